"""Overviews of a layer of a spool, each half the size of the one before, made while the spool is filled.

An overview is a spool itself, whose blocks begin at the corners of the squares that a file is compressed in. One square
of it needs a little more than four squares of the level below, and nothing else. So memory depends on no side of the
scene, squares are made side by side in threads, and no order of blocks shows.
"""

import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from rasterio.windows import Window

from geodeeplab.atomic import make_fresh_folder
from geodeeplab.raster.outputs.checks import output_errors
from geodeeplab.raster.spool.encoded import BLOCK_SIZE, THREADS, encode_block
from geodeeplab.raster.spool.reading import read_part
from geodeeplab.raster.spool.spans import Spans, spans_of
from geodeeplab.raster.spool.store import BlockSpool

Resampling = Literal["mode", "average"]
SOURCE_BYTES = 16 << 20
"""Pixels that a thread reads at once, or those of a single square where these are more."""


def overview_shapes(shape: tuple[int, int]) -> list[tuple[int, int]]:
    """Give the shapes (height, width) of the overviews, as GDAL's COG driver chooses them: down to one square."""
    shapes = []
    height, width = shape
    while max(height, width) > BLOCK_SIZE:
        height, width = height // 2, width // 2
        shapes.append((max(height, 1), max(width, 1)))
    return shapes


class Overviews:
    """Follows a spool, whoever fills it, and in whatever order; what an earlier run left is made anew."""

    def __init__(
        self,
        spool: BlockSpool,
        layer: str,
        *,
        resampling: Resampling,
        nodata: float | None,
        window: Window | None = None,
    ) -> None:
        """Make the empty overviews, in a folder within the spool's.

        Args:
            spool: Has the layer, or will have.
            layer: Its name; of uint8 for `mode`.
            resampling: How pixels become one.
            nodata: The value that has no vote.
            window: The part of the scene that they show; default all of it.

        Raises:
            OutputError: The folder cannot be made.
        """
        self._base, self._name = spool, layer
        self._window = Window(0, 0, spool.shape[1], spool.shape[0]) if window is None else window
        self._resampling, self._nodata = resampling, nodata
        self._folder: Path = spool.folder / f"overviews-{layer}"
        levels = []
        with output_errors(self._folder):
            make_fresh_folder(self._folder)
            for number, shape in enumerate(overview_shapes((self._window.height, self._window.width)), start=1):
                folder = self._folder / str(2**number)
                folder.mkdir()
                levels.append(BlockSpool(folder, shape, [spool.layer(layer)]))
        self.levels: tuple[BlockSpool, ...] = tuple(levels)
        """From the largest to the smallest; none for a scene of one square."""
        self._abandoned = threading.Event()
        self._error: BaseException | None = None
        # Not an executor: a signal while that starts a thread would leave one that nobody can end.
        self._thread = threading.Thread(target=self._follow, name=f"overviews of {layer}", daemon=True)

    def start(self) -> None:
        """Begin; `result` waits for the end."""
        self._thread.start()

    def close(self) -> None:
        """Give up what is not done, and remove all."""
        self._abandoned.set()
        if self._thread.ident is not None:
            self._thread.join()
        shutil.rmtree(self._folder, ignore_errors=True)

    def check(self) -> None:
        """Raise what has gone wrong so far, so that a run does not go on for nothing."""
        if self._error is not None:
            raise self._error

    def result(self) -> tuple[BlockSpool, ...]:
        """Give the overviews when all are made; the spool must be complete."""
        if self._thread.ident is None:
            self._follow()
        else:
            self._thread.join()
        self.check()
        return self.levels

    def _follow(self) -> None:
        try:
            with ThreadPoolExecutor(THREADS, thread_name_prefix="overview") as pool:
                self._make(pool)
        except BaseException as error:
            self._error = error

    def _make(self, pool: ThreadPoolExecutor) -> None:
        """Make rows of squares as soon as the rows below them are there, of the smaller overviews, too."""
        shapes = [(self._window.height, self._window.width), *(level.shape for level in self.levels)]
        sides = [(spans_of(below[0], above[0]), spans_of(below[1], above[1])) for below, above in pairwise(shapes)]
        done = [0] * len(shapes)
        while self.levels and done[1] < shapes[1][0]:
            needed = int(sides[0][0].stop[min(done[1] + BLOCK_SIZE, shapes[1][0]) - 1])
            known = self._base.wait_for_row(self._window.row_off + needed - 1, abandoned=self._abandoned)
            done[0] = min(known - self._window.row_off, self._window.height)
            for number, (rows, cols) in enumerate(sides, start=1):
                while done[number] < shapes[number][0]:
                    stop = min(done[number] + BLOCK_SIZE, shapes[number][0])
                    if self._abandoned.is_set() or rows.stop[stop - 1] > done[number - 1]:
                        break
                    self._make_row(pool, number, (done[number], stop), rows, cols)
                    done[number] = stop
            if self._abandoned.is_set():
                return

    def _make_row(self, pool: ThreadPoolExecutor, number: int, span: tuple[int, int], rows: Spans, cols: Spans) -> None:
        """Make a row of squares of an overview, several side by side at a time."""
        layer = self._base.layer(self._name)
        square = 4 * BLOCK_SIZE**2 * layer.bands * np.dtype(layer.dtype).itemsize
        step = BLOCK_SIZE * max(SOURCE_BYTES // square, 1)
        width = len(cols.start)
        source = self._base if number == 1 else self.levels[number - 2]
        top, left = (self._window.row_off, self._window.col_off) if number == 1 else (0, 0)
        level = self.levels[number - 1]

        def make(first: int) -> None:
            stop = min(first + step, width)
            pixels = read_part(
                source,
                self._name,
                rows=(top + int(rows.start[span[0]]), top + int(rows.stop[span[1] - 1])),
                cols=(left + int(cols.start[first]), left + int(cols.stop[stop - 1])),
            )
            smaller = self._resampled(pixels, rows.part(*span), cols.part(first, stop))
            level.append(encode_block(span[0], first, {self._name: smaller}))

        for _ in pool.map(make, range(0, width, step)):
            pass

    def _resampled(self, pixels: NDArray[Any], rows: Spans, cols: Spans) -> NDArray[Any]:
        """Halve pixels (h, w) or (K, h, w)."""
        from geodeeplab.raster.spool.kernels import means, modes  # numba takes a while

        if self._resampling == "mode":
            return modes(pixels, rows, cols, int(self._nodata or 0))
        if pixels.ndim == 2:
            return means(pixels, rows, cols, self._nodata)
        return np.stack([means(band, rows, cols, self._nodata) for band in pixels])
