"""Labels compared with a truth, window by window: every count that the metrics are made of."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from rasterio.windows import Window

from geodeeplab.evaluation import (
    Distances,
    boundary_counts,
    boundary_distances,
    confusion_matrix,
    halo,
    no_distances,
    percent_counts,
)
from geodeeplab.pipeline.evaluating.class_windows import UNKNOWN, ClassWindows
from geodeeplab.raster import Aoi, Pixels, Scene

WINDOW = 1024
"""Pixels of a window along each axis, without the halo around it: a multiple of a label raster's blocks."""
PICTURE_SIZE = 700
"""Pixels of the longer side of the overview, at most."""

Progress = Callable[[int, int], None]
"""Called with the pixels compared and the pixels in all; it may raise to cancel."""


@dataclass(frozen=True, kw_only=True)
class Overview:
    """Labels and truth made small, every `step`-th pixel of both axes, for pictures."""

    labels: NDArray[np.uint8]
    """(h, w) class indices, 255 without."""
    truth: NDArray[np.uint8]
    """(h, w) class indices, 255 without."""
    wrong: NDArray[np.float64]
    """(h, w) share of the pixels of a cell of `step` × `step` whose label is wrong; NaN where none has a truth."""
    step: int
    """Pixels of the rasters to one of these, along each axis."""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """What was counted, for K classes."""

    counts: NDArray[np.int64]
    """(K, K) confusion matrix, the truth by row."""
    missed: NDArray[np.int64]
    """(K,) true pixels that have no label."""
    label_pixels: NDArray[np.int64]
    """(K,) pixels with each label, with or without truth."""
    bands: NDArray[np.int64]
    """(2, K) of `boundary_counts`."""
    distances: tuple[Distances, ...]
    """K of `boundary_distances`."""
    percents: NDArray[np.int64] | None
    """(2, 101) of `percent_counts`, where there is a confidence raster."""
    overview: Overview
    """For pictures."""


def compare(
    labels: ClassWindows,
    truth: ClassWindows,
    *,
    class_count: int,
    distance: int,
    maximum: float,
    res: tuple[float, float],
    confidence: Scene | None = None,
    aoi: Aoi | None = None,
    window: int = WINDOW,
    progress: Progress | None = None,
) -> Comparison:
    """Count everything in one pass; in memory are a few windows and the overview.

    Laws: the size of the windows does not show in any number; within an area of interest, nor does what lies outside of
    it, so a raster that was cropped to the area has the numbers of the whole one.

    Args:
        labels: class indices 0 to K − 1, 255 where there is no label.
        truth: class indices on the same grid, 255 where there is no truth.
        class_count: K.
        distance: of the boundary IoU, in pixels.
        maximum: of the boundary error, in the unit of `res`.
        res: size of a pixel (x, y).
        confidence: raster of 0–100 on the same grid.
        aoi: pixels outside of it are neither labels nor truth.
        window: pixels of a window along each axis.
        progress: called after each window.
    """
    tally = _Tally(labels.grid.shape, class_count=class_count, maximum=maximum)
    around = tuple(max(distance, reach) for reach in halo(maximum, res))
    ids = range(class_count)
    for part, inner in _iter_windows(labels.grid.shape, window, around):
        found, true = labels.read(part), truth.read(part)
        if aoi is not None:
            outside = ~aoi.mask(part, labels.grid)
            found[outside], true[outside] = UNKNOWN, UNKNOWN
        tally.count_labels(found[inner])
        if (true[inner] != UNKNOWN).any():
            tally.missed += _bincount(true[inner][found[inner] == UNKNOWN], class_count)
            tally.show_truth(true[inner], part, inner)
            true[found == UNKNOWN] = UNKNOWN  # nothing to compare there
            tally.counts += confusion_matrix(found[inner], true[inner], class_ids=ids, ignore=UNKNOWN)
            tally.bands += boundary_counts(
                found, true, class_ids=ids, distance=distance, ignore=UNKNOWN, core=inner, edge=aoi is None
            )
            lengths = boundary_distances(
                found, true, class_ids=ids, maximum=maximum, res=res, ignore=UNKNOWN, core=inner
            )
            tally.distances = [one + other for one, other in zip(tally.distances, lengths, strict=True)]
            if confidence is not None:
                tally.count_confidence(confidence.read(_core_window(part, inner)), found[inner], true[inner])
        tally.show(found[inner], true[inner], part, inner)
        if progress is not None:
            progress(tally.done, math.prod(labels.grid.shape))
    return tally.comparison(with_confidence=confidence is not None)


def without_boundaries(comparison: Comparison) -> Comparison:
    """Forget the boundaries, of which a truth of single pixels has none."""
    return replace(
        comparison,
        bands=np.zeros_like(comparison.bands),
        distances=tuple(no_distances(one.maximum) for one in comparison.distances),
    )


Core = tuple[slice, slice]


def _iter_windows(shape: tuple[int, int], side: int, around: tuple[int, ...]) -> Iterator[tuple[Window, Core]]:
    """Yield windows with their halo, cut off at the raster's edge, and where the window itself lies within."""
    for top in range(0, shape[0], side):
        for left in range(0, shape[1], side):
            first, before = max(0, top - around[0]), max(0, left - around[1])
            bottom, right = min(shape[0], top + side), min(shape[1], left + side)
            last, after = min(shape[0], bottom + around[0]), min(shape[1], right + around[1])
            core = slice(top - first, bottom - first), slice(left - before, right - before)
            yield Window(before, first, after - before, last - first), core


def _core_window(part: Window, inner: Core) -> Window:
    rows, cols = inner
    return Window(part.col_off + cols.start, part.row_off + rows.start, cols.stop - cols.start, rows.stop - rows.start)


def _bincount(indices: NDArray[np.uint8], count: int) -> NDArray[np.int64]:
    return np.bincount(indices[indices != UNKNOWN], minlength=count).astype(np.int64)


class _Tally:
    """The sums, as they grow."""

    def __init__(self, shape: tuple[int, int], *, class_count: int, maximum: float) -> None:
        self.counts = np.zeros((class_count, class_count), dtype=np.int64)
        self.missed = np.zeros(class_count, dtype=np.int64)
        self.label_pixels = np.zeros(class_count, dtype=np.int64)
        self.bands = np.zeros((2, class_count), dtype=np.int64)
        self.distances = [no_distances(maximum)] * class_count
        self.percents = np.zeros((2, 101), dtype=np.int64)
        self.done = 0
        self._step = max(1, -(-max(shape) // PICTURE_SIZE))
        cells = -(-shape[0] // self._step), -(-shape[1] // self._step)
        self._labels, self._truth = np.full(cells, UNKNOWN, np.uint8), np.full(cells, UNKNOWN, np.uint8)
        self._seen, self._wrong = np.zeros(cells, dtype=np.int64), np.zeros(cells, dtype=np.int64)

    def count_labels(self, found: NDArray[np.uint8]) -> None:
        """Count the labels of a window, with or without truth."""
        self.label_pixels += _bincount(found, len(self.label_pixels))
        self.done += found.size

    def count_confidence(self, pixels: Pixels, found: NDArray[np.uint8], true: NDArray[np.uint8]) -> None:
        """Count confidence against truth."""
        values = np.where(pixels.valid, pixels.array[0], 255)
        self.percents += percent_counts(values, found, true, ignore=UNKNOWN)

    def show_truth(self, true: NDArray[np.uint8], part: Window, inner: Core) -> None:
        """Keep every few pixels of the truth."""
        cells, sampled = self._sampled(part, inner)
        self._truth[cells] = true[sampled]

    def show(self, found: NDArray[np.uint8], true: NDArray[np.uint8], part: Window, inner: Core) -> None:
        """Keep every few pixels of the labels, and how many are wrong in each cell."""
        cells, sampled = self._sampled(part, inner)
        self._labels[cells] = found[sampled]
        window = _core_window(part, inner)
        rows = np.arange(window.row_off, window.row_off + window.height) // self._step
        cols = np.arange(window.col_off, window.col_off + window.width) // self._step
        seen = true != UNKNOWN
        for sums, marked in ((self._seen, seen), (self._wrong, seen & (found != true))):
            by_row = np.add.reduceat(marked.astype(np.int64), np.flatnonzero(np.diff(rows, prepend=-1)), axis=0)
            by_cell = np.add.reduceat(by_row, np.flatnonzero(np.diff(cols, prepend=-1)), axis=1)
            sums[rows[0] : rows[-1] + 1, cols[0] : cols[-1] + 1] += by_cell

    def comparison(self, *, with_confidence: bool) -> Comparison:
        """Give what was counted."""
        wrong = np.full(self._seen.shape, np.nan)
        np.divide(self._wrong, self._seen, out=wrong, where=self._seen > 0)
        return Comparison(
            counts=self.counts,
            missed=self.missed,
            label_pixels=self.label_pixels,
            bands=self.bands,
            distances=tuple(self.distances),
            percents=self.percents if with_confidence else None,
            overview=Overview(labels=self._labels, truth=self._truth, wrong=wrong, step=self._step),
        )

    def _sampled(self, part: Window, inner: Core) -> tuple[Core, Core]:
        """Give the cells whose first pixels lie in a window, and these pixels, from the window's corner."""
        window, step = _core_window(part, inner), self._step
        row, col = -(-window.row_off // step), -(-window.col_off // step)
        first, before = row * step - window.row_off, col * step - window.col_off
        rows, cols = len(range(first, window.height, step)), len(range(before, window.width, step))
        return (slice(row, row + rows), slice(col, col + cols)), (
            slice(first, window.height, step),
            slice(before, window.width, step),
        )
