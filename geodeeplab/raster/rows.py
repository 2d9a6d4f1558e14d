"""Reading a scene from top to bottom: every block is decoded once, tiles are cut from the rows that are held."""

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from rasterio.windows import Window

from geodeeplab.errors import OptionError
from geodeeplab.raster.scene import Scene
from geodeeplab.raster.sources.source import Pixels


def reflect_indices(start: int, stop: int, length: int) -> npt.NDArray[np.intp]:
    """Give the index within 0 ... length - 1 that each of start ... stop - 1 has when an axis is reflected at its ends.

    Law: `x[reflect_indices(-a, len(x) + b, len(x))]` equals `np.pad(x, (a, b), mode="reflect")` for any a, b ≥ 0; the
    end pixels are not repeated, unless there is only one.
    """
    period = max(2 * (length - 1), 1)
    indices = np.arange(start, stop) % period
    return np.where(indices < length, indices, period - indices)


@dataclass(frozen=True, kw_only=True)
class _RowBuffer:
    """Decoded rows of the reader's columns."""

    start: int
    """The first of them, a row of the scene."""
    pixels: Pixels
    """(C, rows, columns)."""

    @property
    def stop(self) -> int:
        return self.start + len(self.pixels.valid)

    def trimmed(self, first: int) -> "_RowBuffer":
        """Copy the rows from `first` on, so that those before it are freed."""
        cut = first - self.start
        pixels = Pixels(array=self.pixels.array[:, cut:].copy(), valid=self.pixels.valid[cut:].copy())
        return _RowBuffer(start=first, pixels=pixels)


class RowReader:
    """Read windows of a scene in the order of their first rows, reflected past every edge.

    Each block row of the file is decoded once, and held only while a later window can need it. Held are at most the
    rows of the tallest window so far plus one block row (256 rows where blocks are lower, 512 for a VRT), times the
    columns, times the bands. Windows near the lower end see reflected rows, so as many rows as the tallest window so
    far has are held there; a taller window than any before it may decode rows again.

    Use it as a context manager where it reads ahead.

    Args:
        scene: the scene, open; its selected bands are read.
        col_start: first column that windows will ask for; may be negative.
        col_stop: column after the last one, may be past the width; default the width. Only blocks that hold these
            columns, or what is reflected into them, are decoded.
        ahead_to: decode the next block row in a thread while the rows held are in use, up to this row of the scene
            (one block row more is held then); by default nothing is decoded before it is asked for.
    """

    def __init__(
        self, scene: Scene, *, col_start: int = 0, col_stop: int | None = None, ahead_to: int | None = None
    ) -> None:
        self.scene = scene
        self.col_start = col_start
        self.col_stop = scene.shape[1] if col_stop is None else col_stop
        _check_range("columns", self.col_start, self.col_stop)
        cols = reflect_indices(self.col_start, self.col_stop, scene.shape[1])
        self._first_col, self._stop_col = int(cols.min()), int(cols.max()) + 1
        self._step = _rows_at_once(scene)
        self._held: deque[_RowBuffer] = deque()
        self._last_start: int | None = None
        self._tallest = 0
        self._ahead_to = 0 if ahead_to is None else ahead_to
        self._decoder = ThreadPoolExecutor(1, thread_name_prefix="decode") if ahead_to is not None else None
        self._ahead: tuple[int, Future[_RowBuffer]] | None = None

    def __enter__(self) -> "RowReader":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop reading ahead; the scene stays open."""
        if self._decoder is not None:
            self._decoder.shutdown(cancel_futures=True)

    @property
    def held_rows(self) -> int:
        """Rows in memory now."""
        return self._held[-1].stop - self._held[0].start if self._held else 0

    def read(self, row_start: int, row_stop: int, col_start: int | None = None, col_stop: int | None = None) -> Pixels:
        """Read a window, as a copy in the scene's own type; what lies outside the scene is reflected into it.

        Args:
            row_start: first row; never less than in the call before; may be negative.
            row_stop: row after the last one; may be past the height.
            col_start: first column; default the reader's.
            col_stop: column after the last one; default the reader's.

        Raises:
            OptionError: the window is empty, above the one before, or needs columns that the reader does not hold.
            SceneError: the file is damaged there.
        """
        col_start = self.col_start if col_start is None else col_start
        col_stop = self.col_stop if col_stop is None else col_stop
        _check_range("rows", row_start, row_stop)
        _check_range("columns", col_start, col_stop)
        shape = row_stop - row_start, col_stop - col_start
        array = np.empty((len(self.scene.bands), *shape), dtype=self.scene.dtype)
        pixels = Pixels(array=array, valid=np.empty(shape, dtype=np.bool_))
        self.read_into(pixels, row_start, col_start)
        return pixels

    def read_into(self, out: Pixels, row_start: int, col_start: int) -> None:
        """Read the window of `out`'s shape that begins here, into it, as `read` does; its type may be another one."""
        row_stop, col_stop = row_start + out.valid.shape[0], col_start + out.valid.shape[1]
        self._check(row_start)
        height, width = self.scene.shape
        is_inside = 0 <= row_start and row_stop <= height and 0 <= col_start and col_stop <= width
        rows, cols = np.array([row_start, row_stop - 1]), np.array([col_start, col_stop - 1])
        if not is_inside:
            rows, cols = reflect_indices(row_start, row_stop, height), reflect_indices(col_start, col_stop, width)
        if cols.min() < self._first_col or cols.max() >= self._stop_col:
            raise OptionError(
                f"this reader holds columns {self._first_col}-{self._stop_col - 1}, "
                f"got a window that needs {cols.min()}-{cols.max()}: open the reader for them"
            )
        self._last_start = row_start
        self._tallest = max(self._tallest, row_stop - row_start)
        # What later windows reach: from this one's first row on, and what the lower end reflects into them.
        first = max(0, min(row_start, height - self._tallest))
        self._hold(min(first, int(rows.min())), int(rows.max()) + 1)
        if is_inside:
            self._cut(out, row_start, col_start)
            return
        first_row, first_col = int(rows.min()), int(cols.min())
        shape = int(rows.max()) + 1 - first_row, int(cols.max()) + 1 - first_col
        array = np.empty((len(self.scene.bands), *shape), dtype=self.scene.dtype)
        inner = Pixels(array=array, valid=np.empty(shape, dtype=np.bool_))
        self._cut(inner, first_row, first_col)
        array, valid = inner.array, inner.valid
        if row_start < 0 or row_stop > height:
            array, valid = array[:, rows - first_row], valid[rows - first_row]
        if col_start < 0 or col_stop > width:
            array, valid = array[:, :, cols - first_col], valid[:, cols - first_col]
        out.array[:], out.valid[:] = array, valid

    def _check(self, row_start: int) -> None:
        if self._last_start is not None and row_start < self._last_start:
            raise OptionError(
                f"windows are read downwards, got row {row_start} after {self._last_start}: open another reader"
            )

    def _hold(self, first: int, stop: int) -> None:
        """Hold the rows first ... stop - 1 of the scene, decoding those that are missing by whole block rows."""
        while self._held and self._held[0].stop <= first:
            self._held.popleft()
        if self._held and self._held[0].start > first:
            self._held.clear()
        row = self._held[-1].stop if self._held else first
        if self._held and row < stop and self._held[0].start < first:
            self._held[0] = self._held[0].trimmed(first)
        while row < stop:
            self._held.append(self._decode(row) if self._decoder is None else self._decoded_ahead(row, self._decoder))
            row = self._held[-1].stop

    def _decode(self, row: int) -> _RowBuffer:
        """Decode from a row to the end of its block row."""
        stop = min((row // self._step + 1) * self._step, self.scene.shape[0])
        window = Window(self._first_col, row, self._stop_col - self._first_col, stop - row)
        return _RowBuffer(start=row, pixels=self.scene.read(window))

    def _decoded_ahead(self, row: int, decoder: ThreadPoolExecutor) -> _RowBuffer:
        """Take the block row that begins here from the decoder's thread, and let it decode the one below."""
        if self._ahead is None or self._ahead[0] != row:
            self._ahead = row, decoder.submit(self._decode, row)
        rows = self._ahead[1].result()
        self._ahead = (rows.stop, decoder.submit(self._decode, rows.stop)) if rows.stop < self._ahead_to else None
        return rows

    def _cut(self, out: Pixels, row_start: int, col_start: int) -> None:
        """Copy the window of `out`'s shape that begins here; it lies within the rows and columns held."""
        row_stop = row_start + out.valid.shape[0]
        cols = slice(col_start - self._first_col, col_start - self._first_col + out.valid.shape[1])
        for held in self._held:
            first, stop = max(row_start, held.start), min(row_stop, held.stop)
            if first < stop:
                src, dst = slice(first - held.start, stop - held.start), slice(first - row_start, stop - row_start)
                out.array[:, dst] = held.pixels.array[:, src, cols]
                out.valid[dst] = held.pixels.valid[src, cols]


def _rows_at_once(scene: Scene) -> int:
    """Give the rows to decode in one go: a whole number of block rows, not fewer than are worth a call."""
    block_height = scene.block_shape[0]
    return block_height * -(-scene.source.least_rows // block_height)


def _check_range(what: str, start: int, stop: int) -> None:
    if start >= stop:
        raise OptionError(f"{what} run from a start to a greater stop, got {start}-{stop}: ask for at least one")
