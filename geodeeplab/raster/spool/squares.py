"""The compressed squares of a raster, found in the blocks of a spool, or put together where blocks share one."""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from rasterio.windows import Window

from geodeeplab.atomic import open_plain
from geodeeplab.errors import OutputError
from geodeeplab.raster.outputs.checks import output_errors
from geodeeplab.raster.spool.boxes import contains
from geodeeplab.raster.spool.directories import (
    BYTE_COUNTS,
    HEIGHT,
    OFFSETS,
    WIDTH,
    Directory,
    read_directories,
)
from geodeeplab.raster.spool.encoded import BLOCK_SIZE, THREADS, encode_block, file_origin
from geodeeplab.raster.spool.journal import SpoolEntry
from geodeeplab.raster.spool.reading import read_part
from geodeeplab.raster.spool.store import BlockSpool

ALIKE = (258, 259, 277, 284, 317, 322, 323, 339)
"""Tags that say how tiles are to be read: bits, compression, bands, planes, predictor, sides, kind of number."""


@dataclass(frozen=True, kw_only=True)
class Squares:
    """Where the compressed squares of a layer lie, row by row."""

    files: tuple[Path | None, ...]
    """The files that hold any; None stands for the one that was put together."""
    file: NDArray[np.int64]
    """Which of them, of each square."""
    offset: NDArray[np.int64]
    """Where it begins there, in bytes."""
    size: NDArray[np.int64]
    """Its length in bytes."""

    def iter_tiles(self, joined: BinaryIO) -> Iterator[bytes]:
        """Read them all, in order.

        Args:
            joined: What `find_squares` has written to.

        Raises:
            OutputError: A file cannot be read, or has become shorter.
        """
        last, source = -1, joined
        try:
            for index, offset, size in zip(self.file.tolist(), self.offset.tolist(), self.size.tolist(), strict=True):
                path = self.files[index]
                with output_errors(path or "the raster"):
                    if index != last:
                        if source is not joined:
                            source.close()
                        last, source = index, joined if path is None else open_plain(path)
                    source.seek(offset)
                    tile = source.read(size)
                if len(tile) != size:
                    raise OutputError(f"{path} is cut off: pass `overwrite=True` to start afresh")
                yield tile
        finally:
            if source is not joined:
                source.close()


def find_squares(
    spool: BlockSpool, layer: str, tags: Directory, joined: BinaryIO, *, window: Window | None = None
) -> Squares:
    """Find the squares of a layer, or of a part of it.

    A square that lies in one block is taken from its file as it is. One that several blocks share is read, compressed
    and written to `joined`: those along the lines between shards, and all of a part that begins within squares.

    Args:
        spool: All blocks.
        layer: The layer's name.
        tags: How the raster's tiles are to be read; blocks whose files are other are read and compressed again.
        joined: An empty file.
        window: The part; default all.
    """
    finder = _Finder(spool, layer, tags, window or Window(0, 0, spool.shape[1], spool.shape[0]))
    found: list[NDArray[np.int64]] = []
    with ThreadPoolExecutor(THREADS, thread_name_prefix="squares") as pool:
        for rows in finder.rows():
            places = finder.find(rows)
            missing = np.flatnonzero(places[:, 0] < 0).tolist()
            for col, tile in zip(missing, pool.map(partial(finder.join, rows), missing), strict=True):
                places[col] = 0, joined.tell(), len(tile)
                joined.write(tile)
            found.append(places)
    every = np.concatenate(found)
    return Squares(files=tuple(finder.files), file=every[:, 0], offset=every[:, 1], size=every[:, 2])


class _Finder:
    """Finds the squares of a part of a layer, a row of them at a time."""

    def __init__(self, spool: BlockSpool, layer: str, tags: Directory, window: Window) -> None:
        self._spool, self._layer, self._tags, self._window = spool, layer, tags, window
        self.files: dict[Path | None, int] = {None: 0}
        """The files that hold any, and their numbers; None stands for the one that is put together."""

    def rows(self) -> Iterator[tuple[int, int]]:
        """Yield the first row of each row of squares, and the one after its last."""
        top, height = self._window.row_off, self._window.height
        for first in range(0, height, BLOCK_SIZE):
            yield top + first, top + min(first + BLOCK_SIZE, height)

    def find(self, rows: tuple[int, int]) -> NDArray[np.int64]:
        """Give file, offset and size (n, 3) of the squares of a row; −1 for those that no block holds wholly."""
        places = np.full((-(-self._window.width // BLOCK_SIZE), 3), -1, dtype=np.int64)
        left, width = self._window.col_off, self._window.width
        if self._window.row_off % BLOCK_SIZE or left % BLOCK_SIZE:
            return places
        for entry in self._spool.entries_touching(rows, (left, left + width)):
            self._note(entry, rows, places)
        return places

    def join(self, rows: tuple[int, int], col: int) -> bytes:
        """Read a square of a row from all blocks that share it, and compress it."""
        return _compress(read_part(self._spool, self._layer, rows=rows, cols=self._cols(col)))

    def _cols(self, col: int) -> tuple[int, int]:
        left = self._window.col_off + col * BLOCK_SIZE
        return left, min(left + BLOCK_SIZE, self._window.col_off + self._window.width)

    def _note(self, entry: SpoolEntry, rows: tuple[int, int], places: NDArray[np.int64]) -> None:
        """Note the squares of a row that lie wholly in a block."""
        origin = file_origin(entry.box[0], entry.box[2])
        height, width = self._spool.shape
        whole = []
        for col in range(len(places)):
            left, right = self._cols(col)
            is_cut = right < min(left + BLOCK_SIZE, width) or rows[1] < min(rows[0] + BLOCK_SIZE, height)
            if not is_cut and contains(entry.box, (*rows, left, right)):
                whole.append((col, (left - origin[1]) // BLOCK_SIZE))
        if not whole:
            return
        path = self._spool.folder / entry.file(self._spool.layer(self._layer))
        index = _index(path, (entry.box[1] - origin[0], entry.box[3] - origin[1]), self._tags)
        if index is None:
            return
        offsets, sizes = index
        number = self.files.setdefault(path, len(self.files))
        row = (rows[0] - origin[0]) // BLOCK_SIZE
        for col, source in whole:
            places[col] = number, offsets[row, source], sizes[row, source]


def _index(path: Path, shape: tuple[int, int], tags: Directory) -> tuple[NDArray[np.int64], NDArray[np.int64]] | None:
    """Give the offsets and sizes of a file's tiles, (rows, columns); None where it is no file as the raster's own."""
    down, across = (-(-side // BLOCK_SIZE) for side in shape)
    try:
        with open_plain(path) as file:
            (directory,) = read_directories(file)
            end = file.seek(0, os.SEEK_END)
        sides = [int(directory[tag].numbers()[0]) for tag in (HEIGHT, WIDTH)]
        is_alike = all(_value(directory, tag) == _value(tags, tag) for tag in ALIKE)
        offsets, sizes = (directory[tag].numbers().astype(np.int64) for tag in (OFFSETS, BYTE_COUNTS))
    except (OSError, ValueError, KeyError, IndexError):
        return None  # whoever reads it says what is wrong
    if sides != list(shape) or not is_alike or len(offsets) != down * across or len(sizes) != down * across:
        return None
    if not (sizes > 0).all() or (offsets + sizes > end).any():
        return None
    return offsets.reshape(down, across), sizes.reshape(down, across)


def _value(directory: Directory, tag: int) -> list[int]:
    found = directory.get(tag)
    return [1] if found is None else found.numbers().tolist()  # what TIFF has for a predictor that is not stated


def _compress(pixels: NDArray[Any]) -> bytes:
    """Compress one square of pixels (h, w) or (K, h, w)."""
    content = encode_block(0, 0, {"square": pixels}).contents["square"]
    (directory,) = read_directories(BytesIO(content))
    offset, size = (int(directory[tag].numbers()[0]) for tag in (OFFSETS, BYTE_COUNTS))
    return content[offset : offset + size]
