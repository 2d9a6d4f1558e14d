"""Keep finished rows on disk, one small file per append, so that the whole raster is never in memory."""

import json
import os
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from affine import Affine
from numpy.typing import DTypeLike, NDArray
from rasterio.io import MemoryFile
from rasterio.windows import Window

from geodeeplab.errors import OutputError
from geodeeplab.raster.blocks import Layer
from geodeeplab.raster.grid import Grid
from geodeeplab.raster.outputs import output_errors
from geodeeplab.raster.swap import sync_folder
from geodeeplab.raster.vrt import VrtBand, write_block_vrt

JOURNAL_VERSION = 1
BLOCK_SIZE = 512


@dataclass(frozen=True, kw_only=True)
class SpoolEntry:
    """One file of a spool; a line of its journal."""

    file: str
    """Name of the file in the spool's folder."""
    row_start: int
    """First row of the raster that it holds."""
    row_count: int
    """How many rows it holds, all columns of them."""
    bytes: int
    """Size of the file."""
    crc32: int
    """Checksum (zlib) of the file's bytes."""


class RowSpool:
    """Finished rows of one band, in a folder of small compressed GeoTIFFs with a journal.

    Every append makes one file: written under a temporary name, synced, renamed, and only then named by a line of the
    journal, synced too. So whatever the moment a run is cut off, each line of the journal stands for rows that are
    safe. The journal `NAME.journal` is JSON lines: a header with `version`, `shape` and `dtype`, then one `SpoolEntry`
    per line, in row order, without gaps.

    Law: the arrays of `iter_rows`, one below the other, are the arrays appended.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        grid_shape: tuple[int, int],
        dtype: DTypeLike = "uint8",
        name: str = "labels",
    ) -> None:
        """Start an empty spool.

        Args:
            folder: An existing folder; spools of different names can share it.
            grid_shape: Height and width of the whole raster.
            dtype: Type of the pixels, one that GeoTIFF knows.
            name: What the names of all files of the spool begin with.

        Raises:
            OutputError: The folder has a journal of this name already, or cannot be written.
        """
        self.folder = Path(folder)
        self.shape = grid_shape
        self.dtype = np.dtype(dtype)
        self.name = name
        self._entries: list[SpoolEntry] = []
        header = {"version": JOURNAL_VERSION, "shape": list(grid_shape), "dtype": self.dtype.name}
        if self.journal_path.exists():
            raise OutputError(f"{self.journal_path} belongs to an earlier run: remove its folder, or choose another")
        self._write_journal_line(header)

    @property
    def journal_path(self) -> Path:
        """Path of the journal."""
        return self.folder / f"{self.name}.journal"

    @property
    def entries(self) -> tuple[SpoolEntry, ...]:
        """The files so far, in row order."""
        return tuple(self._entries)

    @property
    def row_count(self) -> int:
        """How many rows have been appended."""
        return sum(entry.row_count for entry in self._entries)

    @property
    def byte_count(self) -> int:
        """Size of all the files together."""
        return sum(entry.bytes for entry in self._entries)

    @property
    def is_complete(self) -> bool:
        """Whether all rows are there."""
        return self.row_count == self.shape[0]

    def layer(self, name: str) -> Layer:
        """Describe the rows."""
        return Layer(name=self.name, dtype=self.dtype.name)

    def layer_bytes(self, name: str) -> int:
        """Give the size of all the files."""
        return self.byte_count

    def append(self, rows: NDArray[np.generic]) -> None:
        """Add the rows (n, width) that follow those appended so far, n ≥ 1.

        Raises:
            ValueError: The rows do not have the spool's width or dtype, or go past its height.
            OutputError: The file cannot be written, say on a full disk.
        """
        height, width = self.shape
        start = self.row_count
        if rows.ndim != 2 or rows.shape[1] != width or rows.dtype != self.dtype or not 1 <= len(rows) <= height - start:
            raise ValueError(
                f"spool of {height} × {width} {self.dtype} with {start} rows cannot take {rows.shape} {rows.dtype}"
            )
        content = _encode(rows, top=height - start)
        entry = SpoolEntry(
            file=f"{self.name}-{start:09d}.tif",
            row_start=start,
            row_count=len(rows),
            bytes=len(content),
            crc32=zlib.crc32(content),
        )
        path = self.folder / entry.file
        temporary = path.with_suffix(".part")
        with output_errors(path):
            with open(temporary, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
            sync_folder(self.folder)
        self._write_journal_line(asdict(entry))
        self._entries.append(entry)

    def iter_rows(self) -> Iterator[tuple[int, NDArray[Any]]]:
        """Read the rows back, file by file.

        Yields:
            The first row's index, and the rows (n, width), as they were appended.
        """
        for entry in self._entries:
            with rasterio.open(self.folder / entry.file) as src:
                yield entry.row_start, src.read(1)

    def write_vrt(
        self,
        path: str | os.PathLike[str],
        grid: Grid,
        *,
        layer: str = "",
        nodata: float | None = None,
        colors: Mapping[int, tuple[int, int, int]] | None = None,
        names: Sequence[str] = (),
        band_names: Sequence[str] = (),
        tags: Mapping[str, str] | None = None,
    ) -> None:
        """Write a VRT that shows the spool as one georeferenced raster; rows not appended yet are nodata.

        Args:
            path: Where; the VRT refers to the spool's files by absolute path.
            grid: Shape, transform and CRS of the whole raster.
            layer: Nothing here.
            band_names: Nothing here.
            nodata: Its nodata value.
            colors: Colour (red, green, blue) per pixel value, 0–255; none given: no colour table.
            names: Category name per pixel value, from value 0 on.
            tags: Metadata of the dataset.

        Raises:
            ValueError: The grid has another shape than the spool.
            OutputError: The file cannot be written.
        """
        if tuple(grid.shape) != tuple(self.shape):
            raise ValueError(f"the grid has shape {grid.shape}, the spool {self.shape}")
        folder = self.folder.resolve()
        files = [
            ((entry.row_start, entry.row_start + entry.row_count, 0, self.shape[1]), folder / entry.file)
            for entry in self._entries
        ]
        band = VrtBand(dtype=self.dtype.name, count=1, nodata=nodata)
        with output_errors(path):
            write_block_vrt(
                Path(path), grid, files, band=band, parts=folder, colors=colors or {}, names=names, tags=tags or {}
            )

    def _write_journal_line(self, record: Mapping[str, object]) -> None:
        with output_errors(self.journal_path), open(self.journal_path, "a", encoding="utf-8") as journal:
            journal.write(json.dumps(record) + "\n")
            journal.flush()
            os.fsync(journal.fileno())


def _encode(rows: NDArray[np.generic], *, top: int) -> bytes:
    """Give rows as the bytes of a tiled GeoTIFF; in memory first, as GDAL may tell of a full disk too late or never.

    The file's upper edge is at y = `top` in pixels above the raster's last row, so the files of one spool lie in place.
    """
    count, width = rows.shape
    with MemoryFile() as memory:
        with memory.open(
            driver="GTiff",
            height=count,
            width=width,
            count=1,
            dtype=rows.dtype,
            transform=Affine(1, 0, 0, 0, -1, top),
            tiled=True,
            blockxsize=BLOCK_SIZE,
            blockysize=min(BLOCK_SIZE, -(-count // 16) * 16),
            compress="deflate",
            zlevel=1,
        ) as dst:
            dst.write(rows, 1, window=Window(0, 0, width, count))
        return bytes(memory.getbuffer())
