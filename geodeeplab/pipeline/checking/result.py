"""What `check` gives back: the faults, as a table, as JSON, and as a layer."""

import html
import json
import math
import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from geodeeplab.pipeline.evaluating.table import aligned
from geodeeplab.quiet import ignore_warnings
from geodeeplab.raster import atomic_outputs, output_errors
from geodeeplab.vector.checking.faults import FAULTS, NOBODY, OF_LAYER, Faults

POINTS, SHAPES = "faults", "overlaps_and_gaps"
"""Layers of the file of faults."""
LISTED = 100
"""Faults of a kind that the JSON lists."""


@dataclass(frozen=True, kw_only=True, eq=False)
class LayerCheck:
    """A layer, and what is wrong with it. It is true where nothing is."""

    layer: str
    """The file, or what it was given as."""
    count: int
    """Features."""
    crs: Any
    """CRS of the layer, or None."""
    faults: Faults
    """By kind, in the order of `FAULTS`, and by feature within."""
    unchecked: tuple[str, ...]
    """What was not looked at, and why."""
    facts: dict[str, Any]
    """What was looked for: limits, seconds."""

    def __bool__(self) -> bool:
        return not len(self.faults)

    @property
    def counts(self) -> dict[str, int]:
        """How many faults there are of each kind that occurs."""
        found = Counter(self.faults.kind.tolist())
        return {kind: found[kind] for kind in FAULTS if found[kind]}

    def table(self) -> str:
        """Give a line a kind of fault with the first of them, and below what was not looked at."""
        head = f"{self.layer}: {self.count:,} features, " + (
            "no fault" if self else f"{len(self.faults):,} fault{'s' if len(self.faults) > 1 else ''}"
        )
        rows = [["fault", "count", "first"], *([kind, f"{n:,}", self._first(kind)] for kind, n in self.counts.items())]
        width = max(len(row[2]) for row in rows)
        lines = aligned([[*row[:2], row[2].ljust(width)] for row in rows]) if len(rows) > 1 else []
        return "\n".join([head, *lines, *(f"not checked: {one}" for one in self.unchecked)])

    def to_dict(self) -> dict[str, Any]:
        """Give everything as what JSON knows; of each kind the first faults are listed."""
        return {
            "layer": self.layer,
            "features": self.count,
            "faults": len(self.faults),
            "kinds": {kind: {"count": n, "first": self._listed(kind)} for kind, n in self.counts.items()},
            "unchecked": list(self.unchecked),
            **self.facts,
        }

    def to_json(self) -> str:
        """Give `to_dict` as text."""
        return json.dumps(self.to_dict(), indent=2, allow_nan=False)

    def save(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> Path:
        """Write the faults into a GeoPackage: points in `faults`, polygons in `overlaps_and_gaps`.

        Columns: `kind`, `feature`, `other`, `size`, `note`. Faults without a place have no geometry.

        Raises:
            OutputError: the file exists, or cannot be written.
        """
        import geopandas as gpd
        import shapely

        path, faults = Path(path), self.faults
        placed = np.isfinite(faults.point).all(axis=1)
        points = np.full(len(faults), None, dtype=object)
        points[placed] = shapely.points(faults.point[placed])
        columns = {
            "kind": faults.kind.astype(str),
            "feature": _nullable(faults.fid),
            "other": _nullable(faults.other),
            "size": faults.size,
            "note": np.array([one or None for one in faults.note], dtype=object),
        }
        frame = gpd.GeoDataFrame(columns, geometry=points, crs=self.crs)
        has_shape = np.array([one is not None for one in faults.shape], dtype=np.bool_)
        shapes = frame[has_shape].set_geometry(gpd.GeoSeries(faults.shape[has_shape], index=frame.index[has_shape]))
        if self.crs is not None:
            shapes = shapes.set_crs(self.crs, allow_override=True)
        no_crs = ignore_warnings(UserWarning, "'crs' was not provided")
        with atomic_outputs([path], overwrite=overwrite) as temporary, output_errors(path, RuntimeError), no_crs:
            where = os.fspath(temporary[path])
            frame.to_file(where, layer=POINTS, driver="GPKG", geometry_type="Point")
            shapes.to_file(where, layer=SHAPES, driver="GPKG", geometry_type="Polygon")
        return path

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(self.table())}</pre>"

    def _first(self, kind: str) -> str:
        one = self._listed(kind, most=1)[0]
        parts = [] if kind in OF_LAYER or one["feature"] is None else [f"feature {one['feature']}"]
        if one["other"] is not None:
            parts.append(f"and {one['other']}")
        if one["point"] is not None:
            parts.append(f"at {one['point'][0]:.10g}, {one['point'][1]:.10g}")
        if one["size"] is not None:
            parts.append(f"{one['size']:.3g}°" if kind == "spike" else f"{one['size']:.4g} square units")
        return ": ".join(filter(None, (" ".join(parts), one["note"])))

    def _listed(self, kind: str, *, most: int = LISTED) -> list[dict[str, Any]]:
        some = self.faults.take(np.flatnonzero(self.faults.kind == kind)[:most])
        return [
            {
                "feature": None if some.fid[i] == NOBODY else int(some.fid[i]),
                "other": None if some.other[i] == NOBODY else int(some.other[i]),
                "point": some.point[i].tolist() if np.isfinite(some.point[i]).all() else None,
                "size": None if math.isnan(some.size[i]) else float(some.size[i]),
                "note": str(some.note[i]),
            }
            for i in range(len(some))
        ]


def _nullable(numbers: Any) -> Any:  # noqa: ANN401 - pandas' own array
    """Give whole numbers of which `NOBODY` is null."""
    import pandas as pd

    return pd.array([None if one == NOBODY else one for one in numbers.tolist()], dtype="Int64")
