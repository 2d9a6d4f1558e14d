"""What `adapt` gives back: a model of the scenes, its report, and what can be done with both."""

from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path

from geodeeplab.adaptation.head import Trees
from geodeeplab.adaptation.report import Report
from geodeeplab.adaptation.samples import Cells, LabelledCells
from geodeeplab.models import Model, save_model
from geodeeplab.pipeline.request import Request
from geodeeplab.raster import Grid, SceneLike


@dataclass(frozen=True, kw_only=True, eq=False)
class Adaptation:
    """A model made from a few polygons."""

    model: Model
    """The model; `segment` takes it."""
    scenes: tuple[SceneLike, ...]
    """The scenes that it was made from."""
    request: Request = field(repr=False)
    """How they were read; maps of them are made in the same way."""
    report: Report
    """What the polygons alone say about the map."""
    trees: Trees = field(repr=False)
    """The teacher of the head."""
    cells: LabelledCells = field(repr=False)
    """What the polygons cover, with features."""
    ground: Cells = field(repr=False)
    """Cells that stand for all ground, with features."""
    grids: tuple[Grid, ...] = field(repr=False)
    """Grids of the scenes as the model sees them."""
    since: "Adaptation | str | PathLike[str] | None" = field(default=None, repr=False)
    """The round before."""

    def save(self, dst_path: str | PathLike[str]) -> Path:
        """Write a model file, with the frozen networks inside; `segment`, `export` and `adapt` take it.

        Raises:
            OutputError: it cannot be written.
        """
        save_model(self.model.network, self.model.contract, dst_path)  # type: ignore[arg-type]
        return Path(dst_path)
