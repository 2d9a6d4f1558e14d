"""Overviews of half the size: the most frequent label, or the mean; imported where they are used, as numba is slow to.

Law: pixels are those that GDAL's resampling MODE and AVERAGE give, ties included; but means of float16 are rounded to
the nearest, where GDAL cuts their last bits off.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from geodeeplab.compiled import compiled
from geodeeplab.raster.spool.spans import Spans


def modes(labels: NDArray[np.uint8], rows: Spans, cols: Spans, nodata: int) -> NDArray[np.uint8]:
    """Give the most frequent label of each window of (h, w), of several that which comes first to its number.

    Nodata has no vote; where there is nothing else, it is nodata.
    """
    out = np.empty((len(rows.start), len(cols.start)), dtype=np.uint8)
    _modes(np.ascontiguousarray(labels), rows.start, rows.stop, cols.start, cols.stop, nodata, out)
    return out


def means(pixels: NDArray[Any], rows: Spans, cols: Spans, nodata: float | None) -> NDArray[Any]:
    """Give the mean of each window of (h, w), in the pixels' type; nodata counts for nothing."""
    out = np.empty((len(rows.start), len(cols.start)), dtype=np.float64)
    plain = pixels.astype(np.float32) if pixels.dtype == np.float16 else np.ascontiguousarray(pixels)
    absent = np.nan if nodata is None else nodata
    sides = (rows.start, rows.stop, rows.first_weight, rows.last_weight)
    _means(plain, *sides, cols.start, cols.stop, cols.first_weight, cols.last_weight, absent, nodata is not None, out)
    return (out if pixels.dtype.kind == "f" else np.floor(out + 0.5)).astype(pixels.dtype)


@compiled
def _modes(
    labels: NDArray[np.uint8],
    row_start: NDArray[np.int64],
    row_stop: NDArray[np.int64],
    col_start: NDArray[np.int64],
    col_stop: NDArray[np.int64],
    nodata: int,
    out: NDArray[np.uint8],
) -> None:
    counts = np.zeros(256, dtype=np.int64)
    for i in range(out.shape[0]):
        top, bottom = row_start[i], row_stop[i]
        for j in range(out.shape[1]):
            left, right = col_start[j], col_stop[j]
            first = labels[top, left]
            is_one = True
            for row in range(top, bottom):
                for col in range(left, right):
                    is_one &= labels[row, col] == first
            out[i, j] = first
            if is_one:
                continue
            most, best = 0, np.uint8(nodata)
            for row in range(top, bottom):
                for col in range(left, right):
                    label = labels[row, col]
                    if label != nodata:
                        counts[label] += 1
                        if counts[label] > most:
                            most, best = counts[label], label
            for row in range(top, bottom):
                for col in range(left, right):
                    counts[labels[row, col]] = 0
            out[i, j] = best


@compiled
def _means(
    pixels: NDArray[Any],
    row_start: NDArray[np.int64],
    row_stop: NDArray[np.int64],
    row_first: NDArray[np.float64],
    row_last: NDArray[np.float64],
    col_start: NDArray[np.int64],
    col_stop: NDArray[np.int64],
    col_first: NDArray[np.float64],
    col_last: NDArray[np.float64],
    nodata: float,
    has_nodata: bool,
    out: NDArray[np.float64],
) -> None:
    for i in range(out.shape[0]):
        top, bottom = row_start[i], row_stop[i]
        for j in range(out.shape[1]):
            left, right = col_start[j], col_stop[j]
            total = weight = 0.0
            for row in range(top, bottom):
                high = row_first[i] if row == top else (row_last[i] if row == bottom - 1 else 1.0)
                for col in range(left, right):
                    value = float(pixels[row, col])
                    if has_nodata and (value == nodata or value != value):
                        continue
                    wide = col_first[j] if col == left else (col_last[j] if col == right - 1 else 1.0)
                    total += high * wide * value
                    weight += high * wide
            out[i, j] = total / weight if weight > 0 else nodata
