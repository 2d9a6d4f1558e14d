"""Which pixel centres lie within polygons: their edges on a grid, found by row."""

import math

import numpy as np
import numpy.typing as npt
from rasterio.windows import Window

ROWS_OF_A_BUCKET = 64  # rows of the scene whose edges are found together


class Edges:
    """The edges of polygons in pixels of a grid, to be found by row.

    A pixel is within where the winding number at its centre is not 0: every edge to its left adds 1 or takes it away,
    by its direction. Outer rings run one way and holes the other (polygons are normalised), so overlapping polygons
    add up, and none has to be dissolved.
    """

    def __init__(self, start: npt.NDArray[np.float64], stop: npt.NDArray[np.float64], *, height: int) -> None:
        """Take the ends (N, 2) of the edges of closed rings as (col, row), in pixels of a grid of this height."""
        self.bounds = (*start.min(axis=0).tolist(), *start.max(axis=0).tolist())
        # Lower row first, so that an edge is crossed at the same place whichever polygon it is an edge of.
        down = start[:, 1] < stop[:, 1]
        top, bottom = np.where(down[:, None], start, stop), np.where(down[:, None], stop, start)
        # Rows whose centres the edge crosses: top <= row + 0.5 < bottom, so a vertex counts for one of its two edges.
        first = np.clip(np.ceil(top[:, 1] - 0.5), 0, height).astype(np.int64)
        last = np.clip(np.ceil(bottom[:, 1] - 0.5), 0, height).astype(np.int64)
        crosses = first < last
        self._number = np.flatnonzero(crosses)
        self._top, self._bottom = top[crosses], bottom[crosses]
        self._first, self._last = first[crosses], last[crosses]
        self._left = np.minimum(self._top[:, 0], self._bottom[:, 0])
        self._right = np.maximum(self._top[:, 0], self._bottom[:, 0])
        self._sign = np.where(down, 1.0, -1.0)[crosses]
        # Buckets as high as edges are on average, so that long edges do not fill many.
        mean_height = float((self._last - self._first).mean()) if len(self._first) else 0.0
        self._bucket_rows = max(ROWS_OF_A_BUCKET, math.ceil(mean_height))
        self._index()

    def mask(self, window: Window) -> npt.NDArray[np.bool_]:
        """Tell which pixels of a window are within."""
        row, col, height, width = (int(one) for one in (window.row_off, window.col_off, window.height, window.width))
        near = self._near(row, row + height)
        first, last = np.maximum(self._first[near], row) - row, np.minimum(self._last[near], row + height) - row
        there = (first < last) & (self._left[near] < col + width)
        near, first, last = near[there], first[there], last[there]
        is_left = self._right[near] < col - 1  # by more than a crossing can be rounded
        before = self._winding_before(near[is_left], first[is_left], last[is_left], height)
        rows, first_cols, signs = self._crossings(near[~is_left], first[~is_left], last[~is_left], row)
        cols = np.clip(first_cols - col, 0, width).astype(np.int64)
        before += _sums(rows[cols == 0], signs[cols == 0], height)
        inside = (cols > 0) & (cols < width)
        if not inside.any():  # each row is all within or all without
            return np.repeat((before != 0)[:, None], width, axis=1)
        at = rows[inside] * width + cols[inside]
        steps = _sums(at, signs[inside], height * width).reshape(height, width)
        steps[:, 0] = before
        return steps.cumsum(axis=1) != 0  # type: ignore[no-any-return] # whole numbers: exact

    def crossings(self, window: Window) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Give where edges cross the rows of a window, on the lines through the pixel centres.

        Returns:
            The number of the edge, as given; the row; and the first column whose centre is to the right of it, or on
            it: both counted from the window's corner, columns from 0 to its width. Every ring crosses a row an even
            number of times.
        """
        row, col, height, width = (int(one) for one in (window.row_off, window.col_off, window.height, window.width))
        near = self._near(row, row + height)
        first, last = np.maximum(self._first[near], row) - row, np.minimum(self._last[near], row + height) - row
        there = first < last
        near, first, last = near[there], first[there], last[there]
        rows, cols, _ = self._crossings(near, first, last, row)
        edges = self._number[np.repeat(near, last - first)]
        return edges, rows, np.clip(cols - col, 0, width).astype(np.int64)

    def _winding_before(
        self, edges: npt.NDArray[np.int64], first: npt.NDArray[np.int64], last: npt.NDArray[np.int64], height: int
    ) -> npt.NDArray[np.float64]:
        """Add up, for each row, the edges that cross it, given their rows first ... last - 1."""
        signs = self._sign[edges]
        steps = _sums(first, signs, height + 1) - _sums(last, signs, height + 1)
        return steps[:height].cumsum()

    def _crossings(
        self, edges: npt.NDArray[np.int64], first: npt.NDArray[np.int64], last: npt.NDArray[np.int64], row: int
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Give row (from `row` on), first column whose centre is to the right, and sign, where edges cross rows."""
        counts = last - first
        edge = np.repeat(edges, counts)
        rows = _counted_up(first, counts)
        (x0, y0), (x1, y1) = self._top[edge].T, self._bottom[edge].T
        crossing = x0 + (rows + row + 0.5 - y0) * ((x1 - x0) / (y1 - y0))
        return rows, np.ceil(crossing - 0.5), self._sign[edge]

    def _index(self) -> None:
        """List the edges of each bucket of rows."""
        first, last = self._first // self._bucket_rows, (self._last - 1) // self._bucket_rows
        counts = last - first + 1
        edge = np.repeat(np.arange(len(first)), counts)
        bucket = _counted_up(first, counts)
        order = np.argsort(bucket, kind="stable")
        self._edge_of, self._bucket_of = edge[order], bucket[order]
        self._bucket_start = np.searchsorted(self._bucket_of, np.arange(int(bucket.max(initial=-1)) + 2))

    def _near(self, row_start: int, row_stop: int) -> npt.NDArray[np.int64]:
        """Give the edges of all buckets that hold some of these rows, each once."""
        count = len(self._bucket_start) - 1
        first = min(max(row_start // self._bucket_rows, 0), count)
        stop = min(max(-(-row_stop // self._bucket_rows), first), count)
        entries = slice(self._bucket_start[first], self._bucket_start[stop])
        edges = self._edge_of[entries]
        own = np.maximum(self._first[edges] // self._bucket_rows, first)  # the first of its buckets among these
        return edges[self._bucket_of[entries] == own]  # type: ignore[no-any-return]


def _counted_up(first: npt.NDArray[np.int64], counts: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Give first, first + 1, ..., so many of them, for each."""
    ends = np.cumsum(counts)
    counted: npt.NDArray[np.int64] = np.arange(counts.sum()) + np.repeat(first - (ends - counts), counts)
    return counted


def _sums(index: npt.NDArray[np.int64], weights: npt.NDArray[np.float64], length: int) -> npt.NDArray[np.float64]:
    """Add weights up by index, 0 ... length - 1."""
    return np.bincount(index, weights=weights, minlength=length).astype(np.float64, copy=False)  # ints if empty
