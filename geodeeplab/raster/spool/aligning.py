"""Cut rows into bands that end where the squares end that a raster is compressed in."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geodeeplab.raster.spool.encoded import BLOCK_SIZE

Layers = Mapping[str, NDArray[Any]]
"""Rows (n, w), or (K, n, w), of each layer."""
SMALL_PIXELS = 4 << 20
"""A raster of fewer pixels is small: all of it is compressed once more in a tenth of a second."""


def most_held_rows(shape: tuple[int, int]) -> int:
    """Give how many rows a `BandCutter` holds at most, of a raster of some shape."""
    return BLOCK_SIZE if shape[0] * shape[1] >= SMALL_PIXELS else 0


class BandCutter:
    """Takes rows of any heights from top to bottom, gives bands; holds fewer than `BLOCK_SIZE` rows in between.

    Law: bands have the rows that were put in, in their order, and all but the last end at a multiple of `BLOCK_SIZE`.
    Of a small raster nothing is held, so that little is lost where its run is cut off: to compress it once more takes a
    moment.
    """

    def __init__(self, shape: tuple[int, int]) -> None:
        """Take the raster's shape (height, width)."""
        self._is_small = most_held_rows(shape) == 0
        self._band: dict[str, NDArray[Any]] | None = None
        self._start = self._stop = 0

    def put(self, row_start: int, layers: Layers) -> list[tuple[int, dict[str, NDArray[Any]]]]:
        """Take the next rows; give the first row and the layers of each band that they complete."""
        height = next(iter(layers.values())).shape[-2]
        if self._is_small:
            return [(row_start, dict(layers))]
        if self._band is None:
            self._start = self._stop = row_start
        assert row_start == self._stop, "rows come one after the other"
        bands, done = [], 0
        while done < height:
            if self._band is None:
                most = BLOCK_SIZE - self._start % BLOCK_SIZE
                self._band = {
                    name: np.empty((*array.shape[:-2], most, array.shape[-1]), array.dtype)
                    for name, array in layers.items()
                }
            count = min(height - done, BLOCK_SIZE - self._stop % BLOCK_SIZE)
            first = self._stop - self._start
            for name, array in layers.items():
                self._band[name][..., first : first + count, :] = array[..., done : done + count, :]
            self._stop, done = self._stop + count, done + count
            if self._stop % BLOCK_SIZE == 0:
                bands += self.rest()
        return bands

    def rest(self) -> list[tuple[int, dict[str, NDArray[Any]]]]:
        """Give the rows that are held as a band, if there are any."""
        if self._band is None:
            return []
        start, count, band = self._start, self._stop - self._start, self._band
        self._start, self._band = self._stop, None
        return [(start, {name: array[..., :count, :] for name, array in band.items()})]
