"""Which pixels are valid, from the values themselves: nodata and NaN."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

# Relative difference up to which a float pixel is the nodata value: that of GDAL's own nodata masks (4 epsilons of
# float32, for float64 too), because the value is often stated with fewer digits than the pixels hold.
NODATA_TOLERANCE = 4 * float(np.finfo(np.float32).eps)


def nodata_range(nodata: float | None, dtype: np.dtype[Any]) -> tuple[Any, Any] | None:
    """Give the lowest and highest pixel value that counts as nodata; None when no pixel of this type can be it.

    NaN gives None as well: a NaN pixel is invalid whatever the nodata value. For integers lowest = highest.
    """
    if nodata is None or math.isnan(nodata):
        return None
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        if not (limits.min <= nodata <= limits.max and nodata == int(nodata)):
            return None
        return dtype.type(int(nodata)), dtype.type(int(nodata))
    if math.isinf(nodata):
        return dtype.type(nodata), dtype.type(nodata)
    largest = float(np.finfo(dtype).max)
    slack = NODATA_TOLERANCE * abs(nodata)
    low, high = nodata - slack, nodata + slack
    if low > largest or high < -largest:
        return None
    return dtype.type(max(low, -largest)), dtype.type(min(high, largest))


def valid_pixels(array: npt.NDArray[Any], nodata_ranges: Sequence[tuple[Any, Any] | None]) -> npt.NDArray[np.bool_]:
    """Give the pixels that are neither nodata in all bands nor NaN in any.

    A pixel of which only some bands are nodata is valid: with nodata 0 it is a dark one.

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
            valid &= ~np.isnan(plane)
    return valid
