"""Read the pixels of a spool: a part, all rows, rows while blocks are added, or all as one VRT.

Law: they are the pixels that were appended, whatever the blocks and their order.
"""

import math
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rasterio.windows import Window

from geodeeplab.errors import OutputError
from geodeeplab.raster.grid import Grid
from geodeeplab.raster.outputs.checks import output_errors
from geodeeplab.raster.spool.boxes import iter_bands
from geodeeplab.raster.spool.encoded import read_block
from geodeeplab.raster.spool.store import BlockSpool
from geodeeplab.raster.spool.vrt import VrtBand, write_block_vrt


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
        with output_errors(path):
            read = read_block(path, described.dtype, rows=(first - top, last - top), cols=(start - left, stop - left))
        if len(read) != described.bands:
            raise OutputError(
                f"{path} has {len(read)} bands, not {described.bands}: pass `overwrite=True` to start afresh"
            )
        pixels[:, first - rows[0] : last - rows[0], start - cols[0] : stop - cols[0]] = read
    return pixels if described.bands > 1 else pixels[0]


def write_spool_vrt(
    spool: BlockSpool,
    path: str | os.PathLike[str],
    grid: Grid,
    *,
    layer: str = "labels",
    nodata: float | None = None,
    colors: Mapping[int, tuple[int, int, int]] | None = None,
    names: Sequence[str] = (),
    band_names: Sequence[str] = (),
    tags: Mapping[str, str] | None = None,
    window: Window | None = None,
) -> None:
    """Write a VRT that shows a layer, or a part of it, as one georeferenced raster; missing pixels are nodata.

    Args:
        spool: Any.
        path: Where; it refers to the spool's files, and to VRTs of parts that are written into its folder.
        grid: Shape, transform and CRS of the scene, or of the part.
        layer: The layer's name.
        nodata: Its nodata value.
        colors: Colour (red, green, blue) per pixel value, 0–255; none given: no colour table.
        names: Category name per pixel value, from value 0 on.
        band_names: Description of each band; none given: no descriptions.
        tags: Metadata of the dataset.
        window: The part of the scene to show; default all of it.

    Raises:
        ValueError: The grid has another shape than the spool, or than the window.
        OutputError: The file cannot be written.
    """
    window = Window(0, 0, spool.shape[1], spool.shape[0]) if window is None else window
    if tuple(grid.shape) != (window.height, window.width):
        raise ValueError(f"the grid has shape {grid.shape}, the spool {spool.shape}, the window {window}")
    described = spool.layer(layer)
    band = VrtBand(dtype=described.dtype, count=described.bands, nodata=nodata, descriptions=tuple(band_names))
    folder = spool.folder.resolve()
    row, col = window.row_off, window.col_off
    files = [
        ((top - row, bottom - row, left - col, right - col), folder / entry.file(described))
        for entry in spool.entries_touching((row, row + window.height), (col, col + window.width))
        for top, bottom, left, right in [entry.box]
    ]
    with output_errors(path):
        write_block_vrt(
            Path(path),
            grid,
            files,
            band=band,
            parts=folder / f"{layer}-part",
            colors=colors or {},
            names=names,
            tags=tags or {},
        )
