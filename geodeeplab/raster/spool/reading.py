"""Read the pixels of a spool: a part, all rows, or rows while blocks are added.

Law: they are the pixels that were appended, whatever the blocks and their order.
"""

import math
import os
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geodeeplab.errors import OutputError
from geodeeplab.raster.outputs.checks import output_errors
from geodeeplab.raster.spool.boxes import iter_bands
from geodeeplab.raster.spool.encoded import file_origin, read_block
from geodeeplab.raster.spool.store import BlockSpool


def iter_rows(spool: BlockSpool, layer: str = "labels", height: int = 512) -> Iterator[tuple[int, NDArray[Any]]]:
    """Read a layer back from top to bottom.

    Args:
        spool: Complete.
        layer: Its name.
        height: The most rows at a time.

    Yields:
        The first row's index, and the rows, all columns: (n, W), of a layer of K > 1 bands (K, n, W).

    Raises:
        ValueError: The spool is not complete.
    """
    spool.layer(layer)
    if not spool.is_complete:
        raise ValueError(f"{spool.pixel_count} of {math.prod(spool.shape)} pixels are in the spool: append all first")
    for rows in iter_bands(sorted({entry.box[1] for entry in spool.entries}), height):
        yield rows[0], read_part(spool, layer, rows=rows, cols=(0, spool.shape[1]))


def follow_rows(
    spool: BlockSpool, layers: Sequence[str], *, abandoned: threading.Event | None = None, height: int = 512
) -> Iterator[tuple[NDArray[Any], ...]]:
    """Read layers from top to bottom while blocks are added: rows come as soon as all their columns are there.

    Args:
        spool: Any.
        layers: Their names.
        abandoned: Ends the iteration when it is set.
        height: The most rows at a time.

    Yields:
        The next rows of each layer, (n, W).
    """
    done, abandoned = 0, abandoned or threading.Event()
    while done < spool.shape[0]:
        known = spool.wait_for_row(done, abandoned=abandoned)
        while done < known:
            if abandoned.is_set():
                return
            rows = (done, min(done + height, known))
            yield tuple(read_part(spool, layer, rows=rows, cols=(0, spool.shape[1])) for layer in layers)
            done = rows[1]
        if abandoned.is_set():
            return


def read_part(spool: BlockSpool, layer: str, *, rows: tuple[int, int], cols: tuple[int, int]) -> NDArray[Any]:
    """Read rows and columns (start, stop) that are all there: (n, w), or (K, n, w) of K > 1 bands.

    Raises:
        OutputError: A file cannot be read.
    """
    described = spool.layer(layer)
    pixels = np.empty((described.bands, rows[1] - rows[0], cols[1] - cols[0]), dtype=described.dtype)
    for entry in spool.entries_touching(rows, cols):
        top, bottom, left, right = entry.box
        first, last = max(rows[0], top), min(rows[1], bottom)
        start, stop = max(cols[0], left), min(cols[1], right)
        path = os.fspath(spool.folder / entry.file(described))
        row, col = file_origin(top, left)
        with output_errors(path):
            read = read_block(path, described.dtype, rows=(first - row, last - row), cols=(start - col, stop - col))
        if len(read) != described.bands:
            raise OutputError(
                f"{path} has {len(read)} bands, not {described.bands}: pass `overwrite=True` to start afresh"
            )
        pixels[:, first - rows[0] : last - rows[0], start - cols[0] : stop - cols[0]] = read
    return pixels if described.bands > 1 else pixels[0]
