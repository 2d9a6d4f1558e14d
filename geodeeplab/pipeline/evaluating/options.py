"""What the options of `evaluate` have to be, and the distances that they come to."""

import math
from dataclasses import dataclass

from geodeeplab.errors import OptionError
from geodeeplab.raster import Grid

BOUNDARY_PX = 3
ERROR_MAX_PX = 50


def check_numbers(*, window: int, error_max_px: int, distance_px: int | None, object_iou: float) -> None:
    """Refuse numbers out of their range.

    Raises:
        OptionError: one is.
    """
    least = {"window": window, "error_max_px": error_max_px, "distance_px": 1 if distance_px is None else distance_px}
    for name, value in least.items():
        if value < 1:
            raise OptionError(f"`{name}=` is at least 1 pixel, not {value}: give more")
    if not 0 <= object_iou < 1:
        raise OptionError(f"objects match above an IoU from 0 to less than 1, not {object_iou:g}: give e.g. 0.5")


@dataclass(frozen=True, kw_only=True)
class BoundaryReach:
    """How far boundaries are compared."""

    band_px: int
    """Width of the bands of the boundary IoU, in pixels."""
    maximum: float
    """How far boundaries are looked for, in `unit`."""
    res: tuple[float, float]
    """Size (x, y) of a pixel, in `unit`."""
    unit: str
    """"m" where that is known, else "px"."""


def boundary_reach(
    grid: Grid | None, *, distance_px: int | None, distance_m: float | None, error_max_px: int
) -> BoundaryReach:
    """Give the distances on a grid; without one, there are pixels of no size.

    Raises:
        OptionError: a distance is given both ways, or metres mean nothing here.
    """
    gsd_m = None if grid is None else grid.gsd_m
    res = (1.0, 1.0) if gsd_m is None else gsd_m
    return BoundaryReach(
        band_px=_band_width(distance_px, distance_m, gsd_m),
        maximum=error_max_px * max(res),
        res=res,
        unit="px" if gsd_m is None else "m",
    )


def _band_width(pixels: int | None, metres: float | None, gsd_m: tuple[float, float] | None) -> int:
    if pixels is not None and metres is not None:
        raise OptionError("the distance of a boundary is given in pixels or in metres, not in both: drop one")
    if metres is None:
        return BOUNDARY_PX if pixels is None else pixels
    if gsd_m is None:
        raise OptionError("a distance in metres needs labels with a CRS: give it in pixels (`distance_px=`)")
    if not metres > 0:
        raise OptionError(f"the distance of a boundary is a positive number of metres, not {metres:g}: give e.g. 2")
    return max(1, round(metres / math.sqrt(gsd_m[0] * gsd_m[1])))
