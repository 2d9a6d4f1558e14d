"""Two maps compared window by window: from which class to which."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rasterio.windows import Window

from geodeeplab.pipeline.evaluating.class_windows import UNKNOWN, ClassWindows
from geodeeplab.raster import Aoi

BAND_ROWS = 512


@dataclass(frozen=True, kw_only=True, eq=False)
class Band:
    """Some rows of both maps."""

    start: int
    """The first row."""
    before: NDArray[np.uint8]
    """(n, W) class indices, 255 where either map has none."""
    after: NDArray[np.uint8]
    """(n, W) class indices, 255 where either map has none."""
    is_shifted: NDArray[np.bool_]
    """(n, W) whether a shifted edge explains that they differ."""


def iter_bands(before: ClassWindows, after: ClassWindows, *, shift_px: float, aoi: Aoi | None) -> Iterator[Band]:
    """Yield all rows from the top.

    Law: no pixel depends on how the rows are cut into bands.

    Args:
        before: the earlier map.
        after: the later one, on the same grid.
        shift_px: how far an edge may have shifted, in pixels.
        aoi: ground outside of it has no class.
    """
    from geodeeplab.pipeline.changing.kernels import mark_shifted

    reach = math.floor(shift_px)
    offsets = np.arange(-reach, reach + 1)
    rows, cols = (one.ravel() for one in np.meshgrid(offsets, offsets, indexing="ij"))
    near = (np.hypot(rows, cols) <= shift_px) & ((rows != 0) | (cols != 0))
    rows, cols = rows[near], cols[near]
    grid = before.grid
    for start in range(0, grid.height, BAND_ROWS):
        stop = min(start + BAND_ROWS, grid.height)
        top, bottom = max(0, start - reach), min(grid.height, stop + reach)
        window = Window(0, top, grid.width, bottom - top)
        one, other = before.read(window), after.read(window)
        nothing = (one == UNKNOWN) | (other == UNKNOWN)
        if aoi is not None:
            nothing |= ~aoi.mask(window, grid)
        one[nothing] = other[nothing] = UNKNOWN
        marks = np.zeros((stop - start, grid.width), dtype=np.uint8)
        if len(rows):
            mark_shifted(one, other, rows, cols, start - top, stop - top, marks)
        inner = slice(start - top, stop - top)
        yield Band(start=start, before=one[inner], after=other[inner], is_shifted=marks.astype(np.bool_))


def count_transitions(band: Band, class_count: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Count pixels (K, K) by class before, by row, and after: those that a shifted edge explains apart.

    Returns:
        The transitions, in which what a shifted edge explains stays in its class; and these pixels, as they differ.
    """
    known = band.before != UNKNOWN
    pairs = band.before.astype(np.int64) * class_count + band.after
    shape = (class_count, class_count)
    shifted = np.bincount(pairs[known & band.is_shifted], minlength=class_count**2).reshape(shape)
    counts = np.bincount(pairs[known & ~band.is_shifted], minlength=class_count**2).reshape(shape)
    return counts + np.diag(shifted.sum(axis=1)), shifted
