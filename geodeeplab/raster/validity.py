"""Which pixels are valid, from the values themselves: nodata, and what is no number that a network can take."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

# Relative difference up to which a float pixel is the nodata value: that of GDAL's own nodata masks (4 epsilons of
# float32, for float64 too), because the value is often stated with fewer digits than the pixels hold.
NODATA_TOLERANCE = 4 * float(np.finfo(np.float32).eps)

LARGEST = float(np.finfo(np.float32).max)
"""Networks and statistics take float32: a float64 pixel beyond it is as infinite to them as inf is."""


def nodata_range(nodata: float | None, dtype: np.dtype[Any]) -> tuple[Any, Any] | None:
    """Give the lowest and highest pixel value that counts as nodata; None when no pixel of this type can be it.

    What is not finite gives None as well: such a pixel is invalid whatever the nodata value. For integers lowest =
    highest.
    """
    if nodata is None or not math.isfinite(nodata):
        return None
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        if not (limits.min <= nodata <= limits.max and nodata == int(nodata)):
            return None
        return dtype.type(int(nodata)), dtype.type(int(nodata))
    largest = float(np.finfo(dtype).max)
    slack = NODATA_TOLERANCE * abs(nodata)
    low, high = nodata - slack, nodata + slack
    if low > largest or high < -largest:
        return None
    return dtype.type(max(low, -largest)), dtype.type(min(high, largest))


def valid_pixels(array: npt.NDArray[Any], nodata_ranges: Sequence[tuple[Any, Any] | None]) -> npt.NDArray[np.bool_]:
    """Give the pixels that are neither nodata in all bands nor without a finite float32 number in any.

    A pixel of which only some bands are nodata is valid: with nodata 0 it is a dark one. NaN, infinity (10 · log10(0),
    a division by 0) and float64 numbers beyond float32 are no measurements: one of them makes its pixel invalid.

    Args:
        array: pixels (C, H, W).
        nodata_ranges: for each of the C bands what `nodata_range` gave.

    Returns:
        Mask (H, W), True where valid.
    """
    valid = np.ones(array.shape[1:], dtype=np.bool_)
    ranges = [one for one in nodata_ranges if one is not None]
    if len(ranges) == len(array):
        missing = valid.copy()
        for plane, (low, high) in zip(array, ranges, strict=True):
            missing &= (plane == low) if low == high else (low <= plane) & (plane <= high)
            if not missing.any():
                break
        valid = ~missing
    if array.dtype.kind == "f":
        for plane in array:
            valid &= finite_pixels(plane)
    return valid


def finite_pixels(array: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Tell of each number of any shape whether float32 holds it as a finite one."""
    if array.dtype.kind != "f":
        return np.ones(array.shape, dtype=np.bool_)
    if array.dtype.itemsize <= 4:
        finite: npt.NDArray[np.bool_] = np.isfinite(array)
    else:
        finite = np.abs(array) <= LARGEST  # False for NaN
    return finite
