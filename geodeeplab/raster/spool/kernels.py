"""Rasters halved by the most frequent label or by the mean; imported where they are used, as numba is slow to import.

Law: pixels are those that GDAL's resampling MODE and AVERAGE give, ties included; but means of float16 are rounded to
the nearest, where GDAL cuts off their last bits.
"""

import math
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
    plain = pixels.astype(np.float32) if pixels.dtype == np.float16 else np.ascontiguousarray(pixels)
    out = np.empty((len(rows.start), len(cols.start)), dtype=plain.dtype)
    absent = np.nan if nodata is None else nodata
    half = 0.5 if plain.dtype.kind in "iu" else 0.0
    sides = (rows.start, rows.stop, rows.first_weight, rows.last_weight)
    across = (cols.start, cols.stop, cols.first_weight, cols.last_weight)
    _means(plain, *sides, *across, absent, nodata is not None, half, out)
    return out.astype(pixels.dtype, copy=False)


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
        below = labels[bottom - 1]
        for j in range(out.shape[1]):
            left, right = col_start[j], col_stop[j]
            first, last = labels[top, left], right - 1
            out[i, j] = first
            if bottom - top <= 2 and right - left <= 2:  # nearly all: the four corners are all there is
                if (labels[top, last] == first) & (below[left] == first) & (below[last] == first):
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
    half: float,
    out: NDArray[Any],
) -> None:
    """Write means, rounded to whole numbers where `half` is one half, else as they are with 0."""
    is_even = (row_stop - row_start == 2) & (row_first == 1) & (row_last == 1)
    for i in range(out.shape[0]):
        top, bottom = row_start[i], row_stop[i]
        for j in range(out.shape[1]):
            left, right = col_start[j], col_stop[j]
            if is_even[i] and right - left == 2 and col_first[j] == 1 and col_last[j] == 1:  # all, of even sides
                one, two = float(pixels[top, left]), float(pixels[top, left + 1])
                three, four = float(pixels[top + 1, left]), float(pixels[top + 1, left + 1])
                total = one + two + three + four
                absent = (one == nodata) | (two == nodata) | (three == nodata) | (four == nodata)
                if not has_nodata or not (absent | (total != total)):
                    mean = total / 4
                    out[i, j] = math.floor(mean + half) if half > 0 else mean
                    continue
            total = weight = 0.0
            for row in range(top, bottom):
                row_total = row_weight = 0.0  # row by row, as GDAL: else means half-way are rounded otherwise
                for col in range(left, right):
                    value = float(pixels[row, col])
                    if has_nodata and (value == nodata or value != value):
                        continue
                    wide = col_first[j] if col == left else (col_last[j] if col == right - 1 else 1.0)
                    row_total += wide * value
                    row_weight += wide
                high = row_first[i] if row == top else (row_last[i] if row == bottom - 1 else 1.0)
                total += high * row_total
                weight += high * row_weight
            mean = total / weight if weight > 0 else nodata
            out[i, j] = math.floor(mean + half) if half > 0 else mean
