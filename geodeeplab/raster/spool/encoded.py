"""Blocks of finished pixels, encoded as small GeoTIFFs that travel and lie on the disk as they are.

A block's file is compressed in the squares, and by the codec, of the raster that comes of it: a square of the raster
that lies in one block is copied into it as it is.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray
from PIL import Image
from rasterio.io import MemoryFile
from rasterio.windows import Window

from geodeeplab.errors import OptionError, OutputError

BLOCK_SIZE = 512
"""Side of the squares that rasters are compressed in, counted from the scene's corner, in the files of blocks, too."""
THREADS = min(4, os.cpu_count() or 1)
"""That squares and overviews are made in, beside those of the run."""
DEFLATE_LEVEL = 5
"""Of libdeflate's: 6 makes label rasters a tenth smaller in 2.5 times the time, 1 a quarter larger in 0.6 of it."""
TOP = 1_000_000_000  # more rows than any scene has; at 0 rasterio warns of a file without georeference
GDAL_TYPES = {
    "uint8": "Byte",
    "uint16": "UInt16",
    "int16": "Int16",
    "uint32": "UInt32",
    "int32": "Int32",
    "float16": "Float32",  # stored in 16 bits: GeoTIFF knows them as a Float32 with NBITS=16
    "float32": "Float32",
    "float64": "Float64",
}
"""GDAL's names of the pixel types."""


@dataclass(frozen=True, kw_only=True)
class SpoolLayer:
    """One of the rasters that blocks hold, say the labels."""

    name: str
    """Letters, digits and `_`, as it becomes a part of file names."""
    dtype: str
    """NumPy's name of the pixel type, a key of `GDAL_TYPES`."""
    bands: int = 1
    """How many bands; arrays of one band are (n, w), of K > 1 bands (K, n, w)."""

    def __post_init__(self) -> None:
        """Check name, type and bands."""
        if not re.fullmatch(r"[A-Za-z0-9_]+", self.name):
            raise OptionError(f"a layer's name has letters, digits and _ only, not {self.name!r}: choose another")
        if self.dtype not in GDAL_TYPES:
            raise OptionError(f"layer {self.name!r} has type {self.dtype!r}: choose one of {', '.join(GDAL_TYPES)}")
        if self.bands < 1:
            raise OptionError(f"layer {self.name!r} has {self.bands} bands: give it at least one")


@dataclass(frozen=True, kw_only=True)
class EncodedBlock:
    """A rectangle of finished pixels, every layer of it; made by `encode_block`."""

    row_start: int
    """First row in the scene."""
    col_start: int
    """First column in the scene."""
    shape: tuple[int, int]
    """(height, width)."""
    layers: tuple[SpoolLayer, ...]
    """The layers that it holds."""
    contents: Mapping[str, bytes]
    """The file of each layer, by name."""
    class_pixels: Mapping[int, int]
    """Pixels of each label that occurs, 0 left out."""


def encode_block(
    row_start: int,
    col_start: int,
    arrays: Mapping[str, NDArray[Any]],
    *,
    count: str | None = None,
    threads: int = 1,
) -> EncodedBlock:
    """Encode a block of finished pixels; in memory, as GDAL may tell of a full disk too late or never.

    Pure, so any thread or process may do it. Law: the block's pixels come back exactly, NaN as NaN.

    Args:
        row_start: First row in the scene.
        col_start: First column in the scene.
        arrays: The pixels of each layer, (n, w) or (K, n, w), all of one height and width.
        count: The layer of labels (uint8) whose pixels are counted.
        threads: How many threads compress a large block.

    Raises:
        ValueError: The arrays are empty, or do not fit each other.
    """
    shapes = {array.shape[-2:] for array in arrays.values()}
    if len(shapes) != 1 or any(array.ndim not in (2, 3) or not array.size for array in arrays.values()):
        found = ", ".join(f"{name} {array.shape}" for name, array in arrays.items())
        raise ValueError(f"the layers of a block have one height and width, at least 1 x 1, not {found or 'none'}")
    if count is not None and (arrays[count].dtype != np.uint8 or arrays[count].ndim != 2):
        raise ValueError(f"labels are counted in an array (n, w) of uint8, not {arrays[count].dtype}")
    cubes = {name: array if array.ndim == 3 else array[None] for name, array in arrays.items()}
    return EncodedBlock(
        row_start=int(row_start),
        col_start=int(col_start),
        shape=next(iter(shapes)),
        layers=tuple(SpoolLayer(name=name, dtype=cube.dtype.name, bands=len(cube)) for name, cube in cubes.items()),
        contents={name: _encode(cube, row_start, col_start, threads) for name, cube in cubes.items()},
        class_pixels={} if count is None else _count(arrays[count]),
    )


def gdal_options(dtype: str) -> dict[str, object]:
    """Give the creation options of GDAL's drivers GTiff and COG for pixels of a type, as NumPy names it."""
    return {"compress": "deflate"} | ({"nbits": 16} if dtype == "float16" else {})  # deflate: every reader has it


def file_origin(row: int, col: int) -> tuple[int, int]:
    """Give the scene's row and column at which the file of a block begins: the corner of the square that holds both."""
    return row - row % BLOCK_SIZE, col - col % BLOCK_SIZE


def _encode(cube: NDArray[Any], row_start: int, col_start: int, threads: int) -> bytes:
    """Give pixels (K, n, w) as the bytes of a tiled GeoTIFF.

    One unit of its coordinates is a pixel, and the scene's upper left corner is (0, `TOP`), so the files lie in place.
    What it holds above and to the left of the block is zeros.
    """
    bands, height, width = cube.shape
    is_half = cube.dtype == np.float16
    top, left = file_origin(row_start, col_start)
    down, across = row_start - top, col_start - left
    with MemoryFile() as memory:
        with memory.open(
            driver="GTiff",
            height=down + height,
            width=across + width,
            count=bands,
            dtype="float32" if is_half else cube.dtype.name,
            transform=Affine(1, 0, left, 0, -1, TOP - top),
            tiled=True,
            blockxsize=BLOCK_SIZE,
            blockysize=BLOCK_SIZE,
            interleave="pixel",
            endianness="little",
            zlevel=DEFLATE_LEVEL,
            predictor=3 if cube.dtype.kind == "f" else 1,
            num_threads=threads,
            photometric="minisblack",
            **gdal_options(cube.dtype.name),
        ) as dst:
            dst.write(cube.astype(np.float32) if is_half else cube, window=Window(across, down, width, height))
        return bytes(memory.getbuffer())


def read_block(path: str, dtype: str, *, rows: tuple[int, int], cols: tuple[int, int]) -> NDArray[Any]:
    """Read rows and columns (start, stop) of a block's file: (K, n, w), of the layer's type.

    Raises:
        OutputError: It is the file of a smaller block.
    """
    with rasterio.open(path, driver="GTiff") as src:  # no VRT, say, which would read other files
        if src.height < rows[1] or src.width < cols[1]:
            raise OutputError(
                f"{path} holds another block than the journal says: pass `overwrite=True` to start afresh"
            )
        pixels: NDArray[Any] = src.read(window=Window(cols[0], rows[0], cols[1] - cols[0], rows[1] - rows[0]))
    return pixels.astype(dtype, copy=False)


def _count(labels: NDArray[np.uint8]) -> dict[int, int]:
    """Count the labels (n, w) but 0; with Pillow, as NumPy makes integers of eight bytes of them first."""
    counts = Image.fromarray(labels).histogram()
    return {label: count for label, count in enumerate(counts) if label and count}
