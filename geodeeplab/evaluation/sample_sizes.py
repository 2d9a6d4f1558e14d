"""How many units to sample of each class of a map, so that its accuracy and areas are known well enough.

Olofsson et al. 2014, "Good practices for estimating area and assessing accuracy of land change", section 5.1.1:
equation 13 for all classes together, then at least so many for rare ones, and the rest in proportion to the area.
"""

import numpy as np
from numpy.typing import NDArray

from geodeeplab.errors import OptionError


def sample_sizes(
    pixels: NDArray[np.int64],
    *,
    expected: NDArray[np.float64],
    standard_error: float = 0.01,
    least: int = 50,
    total: int | None = None,
) -> NDArray[np.int64]:
    """Give how many of the pixels (K,) with each label to sample; never more than there are.

    Args:
        pixels: with each label.
        expected: user's accuracy (K,) that is expected of each label, between 0 and 1.
        standard_error: that the overall accuracy is to have.
        least: units of each class that occurs.
        total: units in all, in place of what the standard error asks for; at least `least` of each class.

    Raises:
        OptionError: a number makes no sense, or no pixel has a label.
    """
    if not pixels.sum():
        raise OptionError("no pixel has a label: there is nothing to sample")
    if not ((expected > 0) & (expected < 1)).all():
        raise OptionError("accuracies that are expected lie between 0 and 1: give e.g. 0.8")
    if not 0 < standard_error < 1:
        raise OptionError(f"`standard_error=` lies between 0 and 1, not {standard_error:g}: give e.g. 0.01")
    if least < 1 or (total is not None and total < 1):
        raise OptionError("at least one unit of each class is sampled: give a larger number")
    share = pixels / pixels.sum()
    if total is None:
        deviation = np.sqrt(expected * (1 - expected))
        few = (share * deviation**2).sum() / pixels.sum()
        total = int(np.ceil((share * deviation).sum() ** 2 / (standard_error**2 + few)))
    return _allocate(pixels, total, np.minimum(least, pixels))


def _allocate(pixels: NDArray[np.int64], total: int, least: NDArray[np.int64]) -> NDArray[np.int64]:
    """Share out units in proportion to the pixels, at least so many (K,) to each class, and no more than its pixels."""
    rare = pixels == 0
    while True:
        sizes = least.astype(np.float64)
        share = pixels[~rare] / max(1, pixels[~rare].sum())
        sizes[~rare] = (total - least[rare].sum()) * share
        low = ~rare & (sizes < least)
        if not low.any():
            return np.minimum(np.round(sizes).astype(np.int64), pixels)
        rare |= low
