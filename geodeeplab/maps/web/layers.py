"""What a map shows, as it is given."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from geodeeplab.errors import OptionError
from geodeeplab.raster import LayerLike, SceneLike

DATES = ("before", "after")
RASTERS = ("scene", *DATES, "labels", "confidence", "truth")
"""Layers that can be rasters, in the order of their pictures; the first that is there says where the map lies."""


@dataclass(frozen=True, kw_only=True, eq=False)
class MapLayers:
    """What a map shows; at least one of scene, two dates, labels, confidence, polygons and truth."""

    scene: SceneLike | None = None
    """The scene."""
    before: SceneLike | None = None
    """The earlier of two dates: a scene, or a label raster; the other lies on its grid."""
    after: SceneLike | None = None
    """The later one."""
    are_labels: bool | None = None
    """Whether both dates are label rasters; None: it is told from what is in them."""
    labels: SceneLike | None = None
    """A label raster."""
    confidence: SceneLike | None = None
    """A raster of confidence in per cent."""
    polygons: LayerLike | None = None
    """Polygons of classes."""
    truth: SceneLike | LayerLike | None = None
    """What is true: a label raster, or polygons."""
    class_field: str | None = None
    """Field of the polygons' class."""
    truth_field: str | None = None
    """Field of the truth's class."""
    draw: tuple[str, ...] = ()
    """Classes that can be drawn."""
    suggestions: LayerLike | None = None
    """Where to draw: windows to be ticked off."""

    def __post_init__(self) -> None:
        if (self.before is None) != (self.after is None):
            raise OptionError("two dates are shown, or none: give both `before=` and `after=`")
        if all(one is None for one in (*self.rasters(), self.polygons)):
            raise OptionError("a map shows a scene, labels, confidence, polygons or a truth: give at least one")
        if self.before is not None and any(one is not None for one in (self.scene, self.labels, self.truth)):
            raise OptionError(
                "a line is dragged between two dates alone: leave `scene=`, `labels=` and `truth=` out, or `before=` "
                "and `after=`"
            )
        if len(set(self.draw)) < len(self.draw) or not all(name.strip() for name in self.draw):
            raise OptionError(
                f"classes to draw have a name each, got {', '.join(self.draw)}: give each its own, `draw=`"
            )

    @property
    def has_dates(self) -> bool:
        """Whether two dates are compared."""
        return self.before is not None

    def rasters(self) -> Iterator[Any]:
        """Yield what is given for each of `RASTERS`."""
        for kind in RASTERS:
            yield getattr(self, kind)
