"""A source brought onto another grid, in whatever CRS."""

import math
from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Literal

import numpy as np
import numpy.typing as npt
from rasterio.windows import Window

from geodeeplab.raster.crs import same_crs
from geodeeplab.raster.grid import Grid
from geodeeplab.raster.projection import Points, apply_transform, near_longitude, pixel_steps, projection
from geodeeplab.raster.sources.scaled import ScaledSource, fill_values
from geodeeplab.raster.sources.source import Pixels, Source

Resampling = Literal["bilinear", "nearest"]

CELL = 16  # positions are computed at every 16th pixel corner, and between them where that is exact enough
POSITION_TOLERANCE = 0.001  # pixels of the source that interpolated positions may be off by
POSITION_QUANTUM = 2.0**-16  # pixels of the source; absorbs the noise of arithmetic, so that a moved grid is a copy
CHUNK_SHAPE = (512, 2048)  # pixels that are computed in one go
LARGEST_READ = 1 << 24  # pixels of the source that are read in one go, where the window can be split
BLOCK_SHAPE = (256, 256)
SAMPLED_LINES = 257  # along each axis, by which is told how much of a grid a source reaches
LEAST_ROWS = 512  # the blocks of the source under two reads are decoded for both: taller reads have fewer of them


def on_grid(source: Source, grid: Grid) -> Source:
    """Give a source of labels on a grid: itself if it lies there, else warped by the nearest pixel."""
    is_same = (
        source.grid.shape == grid.shape
        and same_crs(source.grid.crs, grid.crs)
        and source.grid.transform.almost_equals(grid.transform, 1e-9)
    )
    return source if is_same else WarpedSource(source, grid, resampling="nearest")


class WarpedSource:
    """Another source on another grid; see `Source`. The source is closed with it.

    Each pixel takes its value at the position of its centre in the source, and is valid where the source's pixel there
    is. Positions are those of the exact transformation to 0.001 pixels of the source: it is computed at every 16th
    pixel corner, counted from the grid's own, and interpolated only within cells where it agrees that well with the
    exact one between them; elsewhere it is computed for every pixel. Invalid pixels hold the nodata value, or 0.

    Args:
        source: what is warped.
        grid: onto which grid; with a CRS if the source has one.
        resampling: "bilinear": between those of the four pixels around the position that are valid, integers rounded
            half to even; "nearest": the pixel at the position, for labels.

    Raises:
        SceneError: one has a CRS and the other has not, or there is no way from one to the other.
    """

    def __init__(self, source: Source, grid: Grid, *, resampling: Resampling = "bilinear") -> None:
        self._source = source
        self._resampling = resampling
        self._project = projection(grid.crs, source.grid.crs, path=source.path)
        self.path = source.path
        self.grid = grid
        self.bands = source.bands
        self.driver = source.driver
        self.tags = source.tags
        self.least_rows = LEAST_ROWS
        self.files = source.files

    def block_shape(self, numbers: Sequence[int]) -> tuple[int, int]:
        """Give (height, width) of blocks that are worth computing, see `Source.block_shape`."""
        return BLOCK_SHAPE

    def read(self, window: Window, numbers: Sequence[int]) -> Pixels:
        """Read bands of a window, see `Source.read`."""
        chosen = [self.bands[number - 1] for number in numbers]
        dtype = np.result_type(*(band.dtype for band in chosen))
        array = np.empty((len(numbers), window.height, window.width), dtype=dtype)
        for plane, fill in zip(array, fill_values(chosen, dtype), strict=True):
            plane[:] = fill
        pixels = Pixels(array=array, valid=np.zeros((window.height, window.width), dtype=np.bool_))
        for chunk in split_window(window, CHUNK_SHAPE):
            self._read_chunk(chunk, numbers, part_of(pixels, window, chunk))
        return pixels

    def is_all_valid(self, numbers: Sequence[int]) -> bool:
        """Give False: hardly any source fills its new grid."""
        return False

    def close(self) -> None:
        """Close the source."""
        self._source.close()

    def reached_share(self) -> float:
        """Give the share of the grid's pixels whose centres lie in the source, from a sample of them."""
        height, width = self._source.grid.shape
        rows, cols = (
            np.unique(np.linspace(0, length - 1, min(length, SAMPLED_LINES)).astype(np.int64)).astype(np.float64) + 0.5
            for length in self.grid.shape
        )
        x, y = self._exact(cols[None, :], rows[:, None])
        return float(((x >= 0) & (y >= 0) & (x < width) & (y < height)).mean())

    def positions(self, window: Window) -> Points:
        """Give where the pixel centres of a window lie in the source.

        Returns:
            (2, H, W): x (column) and y (row) in pixels of the source, 0 at its corner; inf or NaN: nowhere.
        """
        from geodeeplab.raster.sources.kernels import interpolate_nodes

        top, left = window.row_off // CELL, window.col_off // CELL
        rows = -(-(window.row_off + window.height) // CELL) - top
        cols = -(-(window.col_off + window.width) // CELL) - left
        # corners of the cells, and between them the midpoints of the sides and the centres
        nodes = self._exact(
            (left + np.arange(2 * cols + 1)[None, :] / 2) * CELL, (top + np.arange(2 * rows + 1)[:, None] / 2) * CELL
        )
        positions = np.empty((2, window.height, window.width))
        row_start, col_start = window.row_off - top * CELL, window.col_off - left * CELL
        corners = np.ascontiguousarray(nodes[:, ::2, ::2])
        interpolate_nodes(corners, CELL, row_start, col_start, POSITION_QUANTUM, positions)
        is_bent = _bent_cells(nodes)
        if is_bent.any():
            cell_rows = (row_start + np.arange(window.height)) // CELL
            cell_cols = (col_start + np.arange(window.width)) // CELL
            row, col = np.nonzero(is_bent[cell_rows[:, None], cell_cols])
            exact = self._exact(window.col_off + col + 0.5, window.row_off + row + 0.5)
            positions[:, row, col] = np.rint(exact / POSITION_QUANTUM) * POSITION_QUANTUM
        return positions

    def _exact(self, cols: npt.NDArray[np.float64], rows: npt.NDArray[np.float64]) -> Points:
        """Transform positions in the grid (broadcast against each other) to positions in the source, both in pixels."""
        points = self._project(apply_transform(self.grid.transform, cols, rows))
        src = self._source.grid
        if src.crs is not None and src.crs.is_geographic:
            points[0] = near_longitude(points[0], (src.bounds[0] + src.bounds[2]) / 2)
        with np.errstate(invalid="ignore"):  # inf - inf
            return apply_transform(~src.transform, points[0], points[1])

    def _read_chunk(self, window: Window, numbers: Sequence[int], out: Pixels) -> None:
        from geodeeplab.raster.sources.kernels import sample_bilinear, sample_nearest

        positions = self.positions(window)
        needed = _window_around(positions, self._source.grid.shape)
        if needed is None:
            return
        if needed.width * needed.height > LARGEST_READ and max(window.height, window.width) > CELL:
            for part in split_window(window, (-(-window.height // 2), -(-window.width // 2))):
                self._read_chunk(part, numbers, part_of(out, window, part))
            return
        src = self._source.read(needed, numbers)
        array, top, left = np.ascontiguousarray(src.array), needed.row_off, needed.col_off
        values, valid = out.array.copy(), np.zeros(out.valid.shape, dtype=np.bool_)  # contiguous, for the kernels
        if self._resampling == "nearest":
            sample_nearest(array, src.valid, top, left, positions, values, valid)
        else:
            sample_bilinear(array, src.valid, top, left, positions, values.dtype.kind in "iu", values, valid)
        out.array[:], out.valid[:] = values, valid


def warped_source(
    source: Source, grid: Grid, *, resampling: Resampling = "bilinear", shrink: tuple[int, int] | None = None
) -> Source:
    """Give a source on another grid, averaged first where the grid's pixels are larger than its own.

    Args:
        source: what is warped.
        grid: see `WarpedSource`, also for what is raised.
        resampling: see `WarpedSource`; with "nearest" nothing is averaged.
        shrink: what `shrink_factors` gives for the two grids, if that is known.
    """
    if resampling == "nearest":
        return WarpedSource(source, grid, resampling=resampling)
    rows, cols = shrink_factors(source.grid, grid, path=source.path) if shrink is None else shrink
    if rows > 1 or cols > 1:
        source = ScaledSource(source, (Fraction(1, rows), Fraction(1, cols)))
    return WarpedSource(source, grid)


def shrink_factors(src: Grid, grid: Grid, *, path: str) -> tuple[int, int]:
    """Give how many rows and columns of one grid go to a pixel of another, at its centre: whole numbers, at least 1.

    Averaging that many leaves at most 1.5 pixels to interpolate over, so that all of them count.

    Raises:
        SceneError: there is no way from one to the other.
    """
    inverse = ~grid.transform
    along_row, along_col = (
        max(1, round(1 / math.hypot(inverse.a * x + inverse.b * y, inverse.d * x + inverse.e * y)))
        for x, y in pixel_steps(src, grid.crs, path=path)
    )
    return along_col, along_row


def _bent_cells(nodes: Points) -> npt.NDArray[np.bool_]:
    """Tell in which cells (rows, cols) interpolation between the corners misses a point between them.

    Args:
        nodes: (2, 2 rows + 1, 2 cols + 1): positions at the corners, and halfway between them.
    """
    with np.errstate(invalid="ignore"):  # inf - inf is NaN: bent
        sides = (nodes[:, :, :-2:2] + nodes[:, :, 2::2]) / 2 - nodes[:, :, 1::2]  # on every half row
        across = (nodes[:, :-2:2] + nodes[:, 2::2]) / 2 - nodes[:, 1::2]
        centre = (nodes[:, :-2:2, :-2:2] + nodes[:, :-2:2, 2::2] + nodes[:, 2::2, :-2:2] + nodes[:, 2::2, 2::2]) / 4
        centre -= nodes[:, 1::2, 1::2]
        is_straight = [
            np.abs(one).max(axis=0) <= POSITION_TOLERANCE
            for one in (sides[:, :-2:2], sides[:, 2::2], across[:, :, :-2:2], across[:, :, 2::2], centre)
        ]
    bent: npt.NDArray[np.bool_] = ~np.logical_and.reduce(is_straight)
    return bent


def _window_around(positions: Points, shape: tuple[int, int]) -> Window | None:
    """Give the window of a source of this shape that holds all pixels around some positions; None if there is none."""
    height, width = shape
    x, y = positions
    is_inside = (x >= 0) & (y >= 0) & (x < width) & (y < height)
    if not is_inside.any():
        return None
    x, y = x[is_inside], y[is_inside]
    left, top = max(0, int(x.min() - 0.5)), max(0, int(y.min() - 0.5))
    right, bottom = min(width, int(x.max() + 0.5) + 1), min(height, int(y.max() + 0.5) + 1)
    return Window(left, top, right - left, bottom - top)


def split_window(window: Window, shape: tuple[int, int]) -> Iterator[Window]:
    """Yield the parts of a window, each of this shape or what is left at its ends."""
    height, width = shape
    for row in range(0, window.height, height):
        for col in range(0, window.width, width):
            yield Window(
                window.col_off + col,
                window.row_off + row,
                min(width, window.width - col),
                min(height, window.height - row),
            )


def part_of(pixels: Pixels, window: Window, part: Window) -> Pixels:
    """Give views of the pixels of a part of a window."""
    row, col = part.row_off - window.row_off, part.col_off - window.col_off
    rows, cols = slice(row, row + part.height), slice(col, col + part.width)
    return Pixels(array=pixels.array[:, rows, cols], valid=pixels.valid[rows, cols])
