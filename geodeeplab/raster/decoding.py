"""Decoding windows of a file with GDAL: what it needs to be told and where it has to be worked around."""

import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt
import rasterio
from rasterio import DatasetReader
from rasterio._err import CPLE_BaseError  # rasterio lets it through here and there
from rasterio.env import get_gdal_config, set_gdal_config
from rasterio.errors import CRSError, RasterioError
from rasterio.windows import Window

# GDAL keeps decoded blocks up to 5 % of the machine's memory, though ours are read once.
BLOCK_CACHE_BYTES = 64 << 20

THREADS = max(1, min(8, (os.cpu_count() or 1) // 4))
"""Threads in which GDAL decodes the blocks of one read, where the format allows it; few cores are the network's."""
THREADED_SUFFIXES = (".tif", ".tiff", ".jp2")
"""Of files decoded so. A VRT is not, nor what lies on a network: settings of a thread do not reach GDAL's own."""

GDAL_ERRORS = (RasterioError, CRSError, CPLE_BaseError, UnicodeDecodeError)
"""What rasterio raises for a file that is missing, broken or strange; the last of text in it that is not UTF-8."""


def decode_bands(src: DatasetReader, numbers: Sequence[int], window: Window) -> npt.NDArray[Any]:
    """Read bands (1-based) of a window into one array (C, H, W) of their common type.

    Bands of one type are read in one go, so that a block that holds all of them is decoded once.
    """
    dtypes = [np.dtype(src.dtypes[number - 1]) for number in numbers]
    parts = _parts(src, window)
    if len(parts) == 1 and len(set(dtypes)) == 1:
        return src.read(list(numbers), window=window)  # type: ignore[no-any-return]
    array = np.empty((len(numbers), window.height, window.width), dtype=np.result_type(*dtypes))
    for part in parts:
        first = part.row_off - window.row_off
        for dtype in dict.fromkeys(dtypes):
            channels = [channel for channel, one in enumerate(dtypes) if one == dtype]
            array[channels, first : first + part.height] = src.read([numbers[c] for c in channels], window=part)
    return array


def iter_blocks(window: Window, *, block_shape: tuple[int, int], shape: tuple[int, int]) -> Iterator[Window]:
    """Yield the blocks of a raster of this shape that a window touches, whole, row by row."""
    height, width = block_shape
    for row in range(window.row_off // height * height, window.row_off + window.height, height):
        for col in range(window.col_off // width * width, window.col_off + window.width, width):
            yield Window(col, row, min(width, shape[1] - col), min(height, shape[0] - row))


def describe_window(window: Window) -> str:
    """Name the rows and columns of a window, both ends included, 0-based."""
    return (
        f"rows {window.row_off}-{window.row_off + window.height - 1}, "
        f"columns {window.col_off}-{window.col_off + window.width - 1}"
    )


def decoding_env(path: str | None = None) -> rasterio.Env:
    """Give GDAL `THREADS` to open and to read a file with, unless the user has said how many."""
    is_one = THREADS == 1 or path is None or not path.lower().endswith(THREADED_SUFFIXES) or not os.path.isfile(path)
    if is_one or get_gdal_config("GDAL_NUM_THREADS") is not None:
        return rasterio.Env()
    return rasterio.Env(GDAL_NUM_THREADS=str(THREADS))


@contextmanager
def small_block_cache(path: str | None = None) -> Iterator[None]:
    """Keep GDAL from holding on to decoded blocks: at most `BLOCK_CACHE_BYTES`, then what it was set to before.

    GDAL has one such number for all threads: the first that enters sets it, the last that leaves puts it back. Within
    it GDAL's warnings go to the log (as in every `rasterio.Env`) and not straight to stderr.
    """
    _block_cache.enter()
    try:
        with decoding_env(path):
            yield
    finally:
        _block_cache.leave()


class _BlockCache:
    """GDAL's limit of decoded bytes, lowered while anybody reads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._readers = 0
        self._before = self._ours = 0

    def enter(self) -> None:
        with self._lock:
            if self._readers == 0:
                self._before = int(get_gdal_config("GDAL_CACHEMAX"))
                self._ours = min(self._before, BLOCK_CACHE_BYTES)
                set_gdal_config("GDAL_CACHEMAX", self._ours)
            self._readers += 1

    def leave(self) -> None:
        with self._lock:
            self._readers -= 1
            if self._readers == 0 and int(get_gdal_config("GDAL_CACHEMAX")) == self._ours:  # else somebody set another
                set_gdal_config("GDAL_CACHEMAX", self._before)


_block_cache = _BlockCache()


def _parts(src: DatasetReader, window: Window) -> list[Window]:
    """Split a read that GDAL gets wrong in one piece.

    GDAL 3.10 reads a whole PNG by a way of its own, which leaves the array uninitialised and reports no error when the
    file is cut off; half a PNG goes the usual way.
    """
    if src.driver != "PNG" or (window.height, window.width) != src.shape or window.height == 1:
        return [window]
    half = window.height // 2
    return [Window(0, 0, window.width, half), Window(0, half, window.width, window.height - half)]
