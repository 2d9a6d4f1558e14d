"""Polygons burned into pixels, a window at a time: which class each pixel is of."""

from functools import lru_cache
from typing import Literal, TypeVar

import numpy as np
import numpy.typing as npt
from rasterio.windows import Window

from geodeeplab.errors import OptionError
from geodeeplab.raster.crs import same_crs
from geodeeplab.raster.grid import Grid
from geodeeplab.raster.polygons.edges import Edges
from geodeeplab.raster.polygons.layer import IGNORED, PolygonLayer
from geodeeplab.raster.polygons.projecting import edge_ends

Overlap = Literal["last", "smallest", "ignore"]
"""Which class a pixel has where polygons overlap."""
Painted = TypeVar("Painted", np.uint8, np.int32)
OVERLAPS: tuple[Overlap, ...] = ("last", "smallest", "ignore")

Spans = tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]
"""Polygon, row, first column, column after the last: runs of pixels that a polygon covers."""


def burn(
    polygons: PolygonLayer,
    window: Window,
    grid: Grid,
    *,
    all_touched: bool = False,
    background: int = IGNORED,
    on_overlap: Overlap = "last",
) -> npt.NDArray[np.uint8]:
    """Give the class index of every pixel of a window of a grid.

    Laws: a pixel's class depends on nothing but the polygons and the grid, not on the window it is asked with, to the
    bit. Without `all_touched`, polygons that share an edge share out the pixels.

    Args:
        polygons: the layer, in the CRS of the grid.
        window: integer offsets; it may reach beyond the grid's edges to the left and right, but not above or below.
        grid: the scene's pixels.
        all_touched: a pixel counts if any of its area is covered; by default its centre must be. A centre on an edge
            belongs to the polygon on the right of it (along a row, below it along a column).
        background: class index of pixels that no polygon covers.
        on_overlap: where polygons overlap, the one later in the layer is on top ("last"), the one of the smaller area
            ("smallest"; of equal ones the later), or pixels of two different classes are 255 ("ignore").

    Returns:
        (H, W) class indices: 255 where ground is to be ignored.

    Raises:
        OptionError: the grid is in another CRS, or an option is unknown.
    """
    if on_overlap not in OVERLAPS:
        raise OptionError(f"on_overlap is one of {', '.join(OVERLAPS)}, not {on_overlap!r}")
    prepared = _on_grid(polygons, grid)
    spans = prepared.spans(window, all_touched=all_touched)
    shape = int(window.height), int(window.width)
    if on_overlap == "ignore":
        lowest, highest = (
            _paint(spans, sign * polygons.class_index.astype(np.int64), polygons.class_index, shape, background)
            for sign in (-1, 1)
        )
        return np.where(lowest == highest, highest, np.uint8(IGNORED))
    priority = prepared.by_area if on_overlap == "smallest" else np.arange(len(polygons))
    return _paint(spans, priority, polygons.class_index, shape, background)


def burn_numbers(
    polygons: PolygonLayer,
    window: Window,
    grid: Grid,
    *,
    all_touched: bool = False,
    on_overlap: Overlap = "last",
) -> npt.NDArray[np.int32]:
    """Give the number (H, W) in the layer of the polygon that each pixel has its class from, −1 where there is none.

    For the arguments and the laws see `burn`. Where overlapping polygons are ignored, it is the last of those that
    agree on the class.
    """
    labels = burn(polygons, window, grid, all_touched=all_touched, on_overlap=on_overlap)
    prepared = _on_grid(polygons, grid)
    spans = prepared.spans(window, all_touched=all_touched)
    numbers = np.arange(len(polygons), dtype=np.int32)
    priority = prepared.by_area if on_overlap == "smallest" else np.arange(len(polygons))
    painted = _paint(spans, priority, numbers, labels.shape, -1)
    painted[labels == IGNORED] = -1
    return painted


def _paint(
    spans: Spans,
    priority: npt.NDArray[np.int64],
    values: npt.NDArray[Painted],
    shape: tuple[int, ...],
    background: int,
) -> npt.NDArray[Painted]:
    """Paint runs of pixels with the values of their polygons, by ascending priority: the last one stays."""
    polygon, row, start, stop = spans
    labels = np.full(shape, background, dtype=values.dtype)
    order = np.argsort(priority[polygon], kind="stable")
    lengths = (stop - start)[order]
    ends = np.cumsum(lengths)
    first = (row * shape[1] + start)[order]
    pixels = np.arange(lengths.sum()) + np.repeat(first - (ends - lengths), lengths)
    labels.reshape(-1)[pixels] = np.repeat(values[polygon[order]], lengths)  # of repeated indices the last counts
    return labels


class _OnGrid:
    """The edges of a layer in pixels of a grid."""

    def __init__(self, polygons: PolygonLayer, grid: Grid) -> None:
        import shapely

        inverse = ~grid.transform
        start, stop = (
            np.column_stack([inverse.a * x + inverse.b * y + inverse.c, inverse.d * x + inverse.e * y + inverse.f])
            for x, y in (ends.T for ends in edge_ends(polygons.polygons))
        )
        rings, of_polygon = shapely.get_rings(polygons.polygons, return_index=True)
        self._owner = np.repeat(of_polygon.astype(np.int64), shapely.get_num_coordinates(rings) - 1)
        self._edges = Edges(start, stop, height=grid.height)
        self._start, self._stop = start, stop
        order = np.lexsort((-np.arange(len(polygons)), shapely.area(polygons.polygons)))[::-1]
        self.by_area = np.empty(len(order), dtype=np.int64)
        self.by_area[order] = np.arange(len(order))

    def spans(self, window: Window, *, all_touched: bool) -> Spans:
        """Give the runs of pixels of a window, counted from its corner, by the polygon that covers them."""
        inner = self._centre_spans(window)
        if not all_touched:
            return inner
        rim = self._rim_spans(window)
        return tuple(np.concatenate([a, b]) for a, b in zip(inner, rim, strict=True))  # type: ignore[return-value]

    def _centre_spans(self, window: Window) -> Spans:
        """Give the runs between each first and second crossing of a polygon's edges with a row of pixel centres."""
        edges, rows, cols = self._edges.crossings(window)
        polygon = self._owner[edges]
        order = np.lexsort((cols, rows, polygon))
        polygon, rows, cols = polygon[order], rows[order], cols[order]
        polygon, rows, start, stop = polygon[::2], rows[::2], cols[::2], cols[1::2]
        there = start < stop
        return polygon[there], rows[there], start[there], stop[there]

    def _rim_spans(self, window: Window) -> Spans:
        """Give the runs of pixels that edges run through, row by row."""
        top, left = float(window.row_off), float(window.col_off)
        bottom, right = top + float(window.height), left + float(window.width)
        (x0, y0), (x1, y1) = self._start.T, self._stop.T
        near = np.flatnonzero(
            (np.maximum(x0, x1) > left) & (np.minimum(x0, x1) < right)
            & (np.maximum(y0, y1) > top) & (np.minimum(y0, y1) < bottom)
        )  # fmt: skip
        down = y0[near] < y1[near]  # an edge is met at the same place whichever polygon it is an edge of
        xa, ya = np.where(down, x0[near], x1[near]), np.where(down, y0[near], y1[near])
        xb, yb = np.where(down, x1[near], x0[near]), np.where(down, y1[near], y0[near])
        first, last = np.floor(np.maximum(ya, top)), np.ceil(np.minimum(yb, bottom))
        counts = np.maximum(last - first, 0).astype(np.int64)
        edge = np.repeat(np.arange(len(near)), counts)
        row = np.arange(counts.sum()) + np.repeat(first - (np.cumsum(counts) - counts), counts)
        slope = np.divide(xb - xa, yb - ya, out=np.zeros_like(xa), where=yb != ya)[edge]
        enters = np.where(row > ya[edge], xa[edge] + (row - ya[edge]) * slope, xa[edge])
        leaves = np.where(row + 1 < yb[edge], xa[edge] + (row + 1 - ya[edge]) * slope, xb[edge])
        is_flat = ya[edge] == yb[edge]
        enters, leaves = np.where(is_flat, xa[edge], enters), np.where(is_flat, xb[edge], leaves)
        start = np.clip(np.floor(np.minimum(enters, leaves)) - left, 0, window.width).astype(np.int64)
        stop = np.clip(np.ceil(np.maximum(enters, leaves)) - left, 0, window.width).astype(np.int64)
        there = start < stop
        rows = (row - top).astype(np.int64)
        return self._owner[near[edge]][there], rows[there], start[there], stop[there]


@lru_cache(maxsize=4)
def _on_grid(polygons: PolygonLayer, grid: Grid) -> _OnGrid:
    """Prepare a layer for a grid; the last few are kept."""
    if not same_crs(grid.crs, polygons.crs):
        raise OptionError(
            f"polygon layer '{polygons.name}' in {polygons.crs} cannot be burned on a grid in {grid.crs}: read it for "
            "that CRS"
        )
    return _OnGrid(polygons, grid)
