"""What polygons look like: the options of all who make them."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from geodeeplab.errors import OptionError
from geodeeplab.vector import LAYER_NAME

RESERVED = ("gpkg_", "rtree_", "sqlite_", "layer_styles")
"""Beginnings of names that tables of a GeoPackage have."""

MinimumArea = float | Mapping[str | int, float]
"""One area for all classes, or areas by class name or id; 0 for classes that are not there."""


@dataclass(frozen=True, kw_only=True)
class PolygonOptions:
    """What polygons look like: exactly the pixels' outlines, unless a tolerance or a minimum area is given."""

    tolerance_m: float | None = None
    """Simplify: no vertex that goes is farther from the new line than this, in metres on the ground."""
    tolerance_px: float | None = None
    """The same in pixels; about 1 makes straight lines of staircases."""
    simplify: Literal["vw", "dp"] = "vw"
    """Which vertices go first: those of the smallest triangles (Visvalingam–Whyatt), or the nearest to the line between
    the farthest (Douglas–Peucker)."""
    smooth: bool = False
    """Round corners off, within the tolerance."""
    keep_outline: bool = False
    """Leave the lines to nodata as they are."""
    square: str | int | Sequence[str | int] = ()
    """Classes, by name or id, whose polygons get right angles and straight walls where the outline is angular; what is
    round or irregular stays as it is simplified."""
    square_tolerance_px: float = 1.5
    """Of those: no squared line is anywhere farther from the pixels' outline than this, nor that from it, in pixels."""
    min_area_m2: MinimumArea | None = None
    """Merge polygons below this area, in m², into the neighbour with the longest common border; or areas by class."""
    min_area_px: MinimumArea | None = None
    """The same in pixels."""
    fill_holes: bool = False
    """Let holes of nodata below the minimum area fill up."""
    connectivity: Literal[4, 8] = 4
    """Whether pixels that touch at corners only (8) are one polygon, then a multipolygon."""
    max_vertices: int | None = None
    """Cut polygons with more vertices than this into parts; None leaves them whole."""
    out_crs: str | None = None
    """Coordinate reference system to write; by default the raster's (GeoJSON: longitude and latitude)."""
    layer_name: str = LAYER_NAME
    """Name of the layer, in formats that name layers."""
    instances: str | int | Sequence[str | int] = ()
    """Classes, by name or id, whose objects become polygons of their own where they touch."""
    boundary_threshold: float = 0.4
    """Of those: the probability of a boundary below which pixels are the markers that objects grow from, 0 to 1."""
    min_marker_px: int = 16
    """Of those: pixels that a marker has at least; what has fewer belongs to an object beside it."""

    def __post_init__(self) -> None:
        """Check what can be checked without a raster.

        Raises:
            OptionError: for what cannot be, or not together.
        """
        for one, other in (("tolerance_m", "tolerance_px"), ("min_area_m2", "min_area_px")):
            if getattr(self, one) is not None and getattr(self, other) is not None:
                raise OptionError(f"`{one}=` and `{other}=` say the same in two units: give one of them")
        for name in ("tolerance_m", "tolerance_px"):
            value = getattr(self, name)
            if value is not None and not 0 < value < float("inf"):
                raise OptionError(f"`{name}=` is a distance above 0, not {value}: leave it out for the exact outlines")
        if not 0 < self.square_tolerance_px < float("inf"):
            raise OptionError(f"`square_tolerance_px=` is a distance above 0, not {self.square_tolerance_px}")
        for name in ("min_area_m2", "min_area_px"):
            areas = getattr(self, name)
            for area in areas.values() if isinstance(areas, Mapping) else [] if areas is None else [areas]:
                if not 0 <= area < float("inf"):
                    raise OptionError(f"`{name}=` is an area of 0 or more, not {area}")
        if not re.fullmatch(r"[^\W\d][\w -]{0,60}", self.layer_name) or self.layer_name.lower().startswith(RESERVED):
            raise OptionError(
                f"a layer is named by a letter, then up to 60 letters, digits, blanks, - and _, and not after "
                f"{' or '.join(RESERVED)}, got {self.layer_name!r}: choose another `layer_name=`"
            )
        if self.simplify not in ("vw", "dp"):
            raise OptionError(f"lines are simplified by vw or dp, not {self.simplify!r}")
        if self.connectivity not in (4, 8):
            raise OptionError(f"pixels have 4 or 8 neighbours, not {self.connectivity}")
        if not self.is_simplified and (self.smooth or self.keep_outline):
            what = "`smooth=` rounds" if self.smooth else "`keep_outline=` leaves out some of"
            raise OptionError(f"{what} the lines that are simplified: give a tolerance too, say `tolerance_px=1`")
        self._check_square()
        if not self.instance_classes and (self.boundary_threshold, self.min_marker_px) != (0.4, 16):
            raise OptionError("thresholds and markers are of objects: say of which classes, `instances=`, too")
        if not 0 < self.boundary_threshold < 1:
            raise OptionError(f"`boundary_threshold=` is a probability between 0 and 1, not {self.boundary_threshold}")
        if self.fill_holes and not self.is_sieved:
            raise OptionError(
                "holes fill up below a minimum area: give `min_area_px=` or `min_area_m2=` with `fill_holes=`"
            )

    def _check_square(self) -> None:
        """Check what goes together with squares.

        Raises:
            OptionError: for what does not.
        """
        if self.square_classes and not self.is_simplified:
            raise OptionError("`square=` straightens lines that are simplified: give a tolerance too, `tolerance_px=1`")
        if self.square_classes and self.keep_outline:
            raise OptionError(
                "`square=` moves walls, and `keep_outline=` leaves those to nodata as they are: give one of them"
            )

    @property
    def square_classes(self) -> tuple[str | int, ...]:
        """Classes whose polygons get right angles."""
        return (self.square,) if isinstance(self.square, str | int) else tuple(self.square)

    @property
    def instance_classes(self) -> tuple[str | int, ...]:
        """Classes whose objects become polygons of their own."""
        return (self.instances,) if isinstance(self.instances, str | int) else tuple(self.instances)

    @property
    def is_simplified(self) -> bool:
        """Whether lines are generalised."""
        return self.tolerance_m is not None or self.tolerance_px is not None

    @property
    def is_sieved(self) -> bool:
        """Whether small polygons merge into their neighbours."""
        return self.min_area_m2 is not None or self.min_area_px is not None

    def facts(self) -> dict[str, Any]:
        """Give the options that are not the default, for the metadata of the layer."""
        default = asdict(PolygonOptions())
        return {name: value for name, value in asdict(self).items() if value != default[name]}


def with_instances(options: PolygonOptions | None, instances: str | int | Sequence[str | int]) -> PolygonOptions:
    """Give options, by default the default ones, with the classes whose objects are told apart, if some are named.

    Raises:
        OptionError: the options name some, too.
    """
    told = options or PolygonOptions()
    if isinstance(instances, Sequence) and not instances:
        return told
    if told.instance_classes:
        raise OptionError("`instances=` and `polygon_options=` both name classes with objects: give one of them")
    return replace(told, instances=instances)
