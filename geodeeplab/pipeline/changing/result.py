"""What `change` gives back: the transitions, as a table, as JSON, and as a picture."""

import html
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from geodeeplab.pipeline.evaluating.table import aligned
from geodeeplab.raster import LabelClass, atomic_outputs, output_errors

if TYPE_CHECKING:
    from geodeeplab.maps.web import Map


@dataclass(frozen=True, kw_only=True, eq=False)
class Change:
    """What became of the ground between two maps, for K classes."""

    before: str
    """The earlier map."""
    after: str
    """The later one."""
    classes: tuple[LabelClass, ...]
    """K classes of either."""
    counts: NDArray[np.int64]
    """(K, K) pixels by class before, by row, and after. What a shifted edge explains counts as unchanged."""
    shifted: NDArray[np.int64]
    """(K, K) the pixels that differ and that a shifted edge explains."""
    pixel_m2: float | None
    """Area of a pixel, on the average; None where nothing says what a metre is."""
    polygons: int
    """Polygons that were written."""
    polygons_path: Path
    """The vector file."""
    label_raster_path: Path | None = None
    """The label raster of the kinds of change, if one was asked for."""
    facts: dict[str, Any]
    """What was done: options, seconds."""

    @property
    def changed(self) -> float:
        """Share of the ground with a class in both maps that changed."""
        total = self.counts.sum()
        return float((total - np.trace(self.counts)) / total) if total else float("nan")

    def table(self) -> str:
        """Give the matrix, hectares (or pixels) by class before, by row, and after, and what is to be said below."""
        unit = 1.0 if self.pixel_m2 is None else self.pixel_m2 / 1e4
        areas = self.counts * unit
        present = np.flatnonzero(self.counts.sum(axis=0) + self.counts.sum(axis=1))
        names = [self.classes[i].name for i in present]
        rows = [["from \\ to", *names, "before"]]
        rows += [
            [self.classes[i].name, *(_number(areas[i, j]) for j in present), _number(areas[i].sum())] for i in present
        ]
        rows.append(["after", *(_number(areas[:, j].sum()) for j in present), _number(areas.sum())])
        both = self.counts.sum()
        lines = [
            f"{'px' if self.pixel_m2 is None else 'ha'} of the ground that has a class in both maps",
            f"changed: {self.changed:.2%}; {self.polygons:,} polygons",
        ]
        if self.facts["shift_px"]:
            share = self.shifted.sum() / both if both else 0.0
            lines.append(f"within {self.facts['shift_px']:g} px of an edge that shifted, unchanged: {share:.2%}")
        return "\n".join([*aligned(rows), *lines])

    def to_dict(self) -> dict[str, Any]:
        """Give everything as what JSON knows."""
        return {
            "before": self.before,
            "after": self.after,
            "classes": [{"id": one.id, "name": one.name} for one in self.classes],
            "pixels": self.counts.tolist(),
            "shifted_pixels": self.shifted.tolist(),
            "pixel_m2": self.pixel_m2,
            "changed": None if np.isnan(self.changed) else self.changed,
            "polygons": self.polygons,
            **self.facts,
        }

    def to_json(self) -> str:
        """Give `to_dict` as text."""
        return json.dumps(self.to_dict(), indent=2, allow_nan=False)

    def save_figure(self, dst_path: str | os.PathLike[str], *, overwrite: bool = False) -> Path:
        """Draw the matrix into a PNG.

        Raises:
            OptionError: matplotlib is missing.
            OutputError: the picture cannot be written there.
        """
        from geodeeplab.maps.charts import plot_confusion
        from geodeeplab.maps.figures import require_matplotlib

        require_matplotlib()
        path = Path(dst_path)
        axes = plot_confusion(self.counts, [one.name for one in self.classes])
        picture = axes.get_figure(root=True)
        assert picture is not None
        axes.set(title=f"{self.changed:.1%} changed", xlabel="after", ylabel="before")
        with atomic_outputs([path], overwrite=overwrite) as temporary, output_errors(path):
            picture.savefig(temporary[path], dpi=150, format="png", bbox_inches="tight")
        return path

    def explore(self) -> "Map":
        """Give a map for the browser: the polygons over both dates, with a line to drag between them."""
        from geodeeplab.maps.web import Map

        return Map(
            before=self.before,
            after=self.after,
            are_labels=self.facts["model"] is None,
            polygons=self.polygons_path,
            title=f"{Path(self.before).name} → {Path(self.after).name}",
        )

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(self.table())}</pre>"


def _number(value: float) -> str:
    return f"{value:,.2f}" if value < 100 and value % 1 else f"{value:,.0f}"
