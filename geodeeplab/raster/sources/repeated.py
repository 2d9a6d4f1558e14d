"""A source on a grid with the same axes, by nearest: quick, as rows and columns are found each by itself."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from rasterio.windows import Window

from geodeeplab.raster.crs import same_crs
from geodeeplab.raster.grid import Grid
from geodeeplab.raster.sources.source import Pixels, Source
from geodeeplab.raster.sources.warped import LARGEST_READ, POSITION_QUANTUM, part_of, split_window


class RepeatedSource:
    """Another source on another grid of the same CRS and the same axes; see `Source`. The source is closed with it.

    Each pixel takes the pixel of the source that its centre lies in; where there is none it is invalid, and 0.

    Law: pixels and validity are those of `WarpedSource` by nearest.

    Args:
        source: what is brought onto the grid.
        grid: onto which; see `has_same_axes`.
    """

    def __init__(self, source: Source, grid: Grid) -> None:
        self._source = source
        self._inner = ~source.grid.transform @ grid.transform  # pixels of the grid in those of the source
        self.path, self.grid, self.bands = source.path, grid, source.bands
        self.driver, self.tags, self.files = source.driver, source.tags, source.files
        self.least_rows = source.least_rows

    def block_shape(self, numbers: Sequence[int]) -> tuple[int, int]:
        """Give (height, width) of the blocks on the grid, see `Source.block_shape`."""
        height, width = self._source.block_shape(numbers)
        return max(1, round(height / abs(self._inner.e))), max(1, round(width / abs(self._inner.a)))

    def read(self, window: Window, numbers: Sequence[int]) -> Pixels:
        """Read bands of a window, see `Source.read`."""
        dtype = np.result_type(*(self.bands[number - 1].dtype for number in numbers))
        array = np.zeros((len(numbers), window.height, window.width), dtype=dtype)
        pixels = Pixels(array=array, valid=np.zeros((window.height, window.width), dtype=np.bool_))
        rows = max(1, int(LARGEST_READ / max(1, window.width * abs(self._inner.a)) / max(abs(self._inner.e), 1e-9)))
        cols = max(1, int(LARGEST_READ / max(1.0, abs(self._inner.e)) / max(abs(self._inner.a), 1e-9)))
        for chunk in split_window(window, (min(rows, window.height), min(cols, window.width))):
            self._read_chunk(chunk, numbers, part_of(pixels, window, chunk))
        return pixels

    def _read_chunk(self, window: Window, numbers: Sequence[int], out: Pixels) -> None:
        height, width = self._source.grid.shape
        rows = _indices(window.row_off, window.height, self._inner.e, self._inner.f)
        cols = _indices(window.col_off, window.width, self._inner.a, self._inner.c)
        rows_there, cols_there = (rows >= 0) & (rows < height), (cols >= 0) & (cols < width)
        if not (rows_there.any() and cols_there.any()):
            return
        rows, cols = rows[rows_there], cols[cols_there]
        top, left = int(rows.min()), int(cols.min())
        src = self._source.read(Window(left, top, int(cols.max()) - left + 1, int(rows.max()) - top + 1), numbers)
        is_whole = rows_there.all() and cols_there.all() and out.valid.flags.c_contiguous
        for plane, values in zip((out.valid, *out.array), (src.valid, *src.array), strict=True):
            wide = values.take(cols - left, axis=1, mode="clip")  # the small part first, then whole rows
            if is_whole:
                wide.take(rows - top, axis=0, mode="clip", out=plane)
            else:
                plane[np.ix_(rows_there, cols_there)] = wide[rows - top]

    def is_all_valid(self, numbers: Sequence[int]) -> bool:
        """Give False: the grid may reach past the source."""
        return False

    def close(self) -> None:
        """Close the source."""
        self._source.close()


def has_same_axes(grid: Grid, other: Grid) -> bool:
    """Tell whether two grids have one projected CRS, or none, and axes along the same lines."""
    inner = ~other.transform @ grid.transform
    is_plane = grid.crs is None or not grid.crs.is_geographic  # which may run on past 180 degrees
    return is_plane and same_crs(grid.crs, other.crs) and inner.b == 0 and inner.d == 0


def _indices(start: int, count: int, step: float, offset: float) -> npt.NDArray[np.int64]:
    """Give the row (or column) of the source that the centres of rows of the grid lie in; may lie outside of it."""
    centres = step * (start + np.arange(count) + 0.5) + offset
    found: npt.NDArray[np.int64] = np.floor(np.rint(centres / POSITION_QUANTUM) * POSITION_QUANTUM).astype(np.int64)
    return found
