"""The pixel size at which scenes are read for training."""

import statistics
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from geodeeplab.errors import GeoDeepLabWarning, OptionError
from geodeeplab.raster import Grid
from geodeeplab.raster.sources.scaled import exact_factor, factor_to_gsd

TOLERANCE = 1.25
"""Up to this ratio scenes are read as they are: augmentation by scale covers more."""
NEAR_ONE = 0.002
"""A factor that is this near 1 is none."""

Factor = tuple[Fraction, Fraction]


@dataclass(frozen=True, kw_only=True)
class PixelSize:
    """How scenes are scaled."""

    factors: tuple[Factor | None, ...]
    """Of each scene, new pixels per old one along rows and columns; None for none."""
    gsd_m: float | None
    """Ground sample distance of the chips in metres; None where it is unknown."""


def choose_pixel_size(
    grids: Sequence[Grid], names: Sequence[str], *, gsd_m: float | None = None, zoom: Fraction | None = None
) -> PixelSize:
    """Decide on the pixel size of each scene.

    Args:
        grids: of the scenes.
        names: of the same.
        gsd_m: metres that are asked for. By default scenes stay as they are, but for those that differ from the median
            by more than a quarter: they are brought to it.
        zoom: new pixels per old one that are asked for instead.

    Warns:
        GeoDeepLabWarning: scenes differ by more than a quarter and nothing was asked for.

    Raises:
        OptionError: both are asked for, or metres of a scene whose pixels have no known size.
        SceneError: likewise.
    """
    own = [_gsd(grid) for grid in grids]
    known = [one for one in own if one is not None]
    median = statistics.median_low(known) if known else None
    if zoom is not None:
        if gsd_m is not None:
            raise OptionError("`gsd_m=` and `resize_to=` both say how large pixels are: give one of them")
        factor = None if zoom == 1 else (exact_factor(zoom), exact_factor(zoom))
        return PixelSize(factors=(factor,) * len(grids), gsd_m=None if median is None else median / float(zoom))
    if gsd_m is not None:
        return PixelSize(factors=_factors(grids, names, gsd_m), gsd_m=gsd_m)
    far = [
        number
        for number, one in enumerate(own)
        if one is not None and median is not None and not 1 / TOLERANCE <= one / median <= TOLERANCE
    ]
    if not far or median is None:
        return PixelSize(factors=(None,) * len(grids), gsd_m=median)
    warnings.warn(
        f"{len(far)} of {len(grids)} scenes have pixels that differ by more than a quarter from the median of "
        f"{median:.3g} m ('{names[far[0]]}': {own[far[0]]:.3g} m) and are read at it: give `gsd_m=` to choose another",
        GeoDeepLabWarning,
        stacklevel=4,
    )
    brought = _factors([grids[number] for number in far], [names[number] for number in far], median)
    return PixelSize(
        factors=tuple(brought[far.index(number)] if number in far else None for number in range(len(grids))),
        gsd_m=median,
    )


def _gsd(grid: Grid) -> float | None:
    return None if grid.gsd_m is None else float((grid.gsd_m[0] * grid.gsd_m[1]) ** 0.5)


def _factors(grids: Sequence[Grid], names: Sequence[str], gsd_m: float) -> tuple[Factor | None, ...]:
    factors: list[Factor | None] = []
    for grid, name in zip(grids, names, strict=True):
        down, right = factor_to_gsd(grid, gsd_m, path=name)
        is_one = max(abs(down - 1), abs(right - 1)) < NEAR_ONE
        factors.append(None if is_one else (exact_factor(down), exact_factor(right)))
    return tuple(factors)
