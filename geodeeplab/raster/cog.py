"""Turn a spool of finished rows into a Cloud Optimized GeoTIFF.

Format: https://gdal.org/en/stable/drivers/raster/cog.html.
"""

import os
import shutil
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import rasterio
import rasterio.shutil
from rasterio.errors import NotGeoreferencedWarning
from rasterio.windows import Window

from geodeeplab.errors import OptionError, OutputError
from geodeeplab.raster.decoding import GDAL_ERRORS, small_block_cache
from geodeeplab.raster.grid import Grid
from geodeeplab.raster.outputs import ALMOST_FULL_BYTES, atomic_outputs, output_errors, scratch_folder
from geodeeplab.raster.spool import RowSpool

NODATA_LABEL = 0
NODATA_NAME = "nodata"
RASTER_SUFFIXES = (".tif", ".tiff")


@dataclass(frozen=True, kw_only=True)
class LabelClass:
    """A class of a label raster."""

    id: int
    """Pixel value, 1–255; 0 is nodata."""
    name: str
    """Name, which becomes the category name."""
    color: tuple[int, int, int]
    """Red, green, blue, each 0–255."""

    def __post_init__(self) -> None:
        """Check the id and the colour."""
        if not 1 <= self.id <= 255:
            raise OptionError(f"class {self.name!r} has id {self.id}: ids go from 1 to 255, 0 is nodata")
        if len(self.color) != 3 or not all(0 <= value <= 255 for value in self.color):
            raise OptionError(f"class {self.name!r} has colour {self.color}: give red, green and blue from 0 to 255")


def write_label_cog(
    spool: RowSpool,
    dst_path: str | os.PathLike[str],
    *,
    grid: Grid,
    classes: Sequence[LabelClass],
    tags: Mapping[str, str] | None = None,
    overwrite: bool = False,
) -> None:
    """Write a spool of labels as a COG: uint8, nodata 0, colour table, category names, overviews by mode.

    Category names have no place in a TIFF: GDAL puts them into `DST_PATH.aux.xml`, which appears together with the
    raster. Pixel values without a class have the category name "" and are black.

    Args:
        spool: The labels, all rows, uint8.
        dst_path: Where; its folder also holds the work files meanwhile.
        grid: Shape, transform and CRS.
        classes: The classes; ids must differ.
        tags: Metadata of the dataset, say its provenance.
        overwrite: Whether a file that exists is replaced, with its `.aux.xml`.

    Raises:
        OptionError: Two classes have the same id.
        OutputError: The path is taken, or the raster cannot be written; then nothing is left behind.
    """
    names = [NODATA_NAME] + [""] * max((item.id for item in classes), default=0)
    for item in classes:
        if names[item.id]:
            raise OptionError(f"classes {names[item.id]!r} and {item.name!r} share id {item.id}: give each its own")
        names[item.id] = item.name
    vrt = _Vrt(
        nodata=NODATA_LABEL,
        colors={NODATA_LABEL: (0, 0, 0), **{item.id: item.color for item in classes}},
        names=names,
        tags=tags or {},
    )
    _write_cog(spool, Path(dst_path), grid, vrt, resampling="MODE", overwrite=overwrite)


def write_raster(
    spool: RowSpool,
    dst_path: str | os.PathLike[str],
    *,
    grid: Grid,
    nodata: float | None,
    tags: Mapping[str, str] | None = None,
    overwrite: bool = False,
) -> None:
    """Write a spool of measurements, say confidence, as a COG with overviews by average.

    Args:
        spool: The pixels, all rows.
        dst_path: Where; its folder also holds the work files meanwhile.
        grid: Shape, transform and CRS.
        nodata: Value of pixels that have none; averages leave them out.
        tags: Metadata of the dataset.
        overwrite: Whether a file that exists is replaced.

    Raises:
        OutputError: The path is taken, or the raster cannot be written; then nothing is left behind.
    """
    vrt = _Vrt(nodata=nodata, colors={}, names=(), tags=tags or {})
    _write_cog(spool, Path(dst_path), grid, vrt, resampling="AVERAGE", overwrite=overwrite)


@dataclass(frozen=True, kw_only=True)
class _Vrt:
    """What a VRT says of its band and its dataset; see `RowSpool.write_vrt`."""

    nodata: float | None
    colors: Mapping[int, tuple[int, int, int]]
    names: Sequence[str]
    tags: Mapping[str, str]


def _write_cog(spool: RowSpool, path: Path, grid: Grid, vrt: _Vrt, *, resampling: str, overwrite: bool) -> None:
    """Copy the spool into a COG through a VRT: block by block, never the whole raster in memory."""
    if spool.row_count != grid.shape[0]:
        raise ValueError(f"the spool has {spool.row_count} of {grid.shape[0]} rows: append them all first")
    with atomic_outputs([path], overwrite=overwrite) as temporary, scratch_folder(path) as folder:
        _check_free_space(path, need=2 * spool.byte_count + ALMOST_FULL_BYTES)  # GDAL stages overviews
        vrt_path = folder / "cog.vrt"
        spool.write_vrt(vrt_path, grid, nodata=vrt.nodata, colors=vrt.colors, names=vrt.names, tags=vrt.tags)
        with output_errors(path, *GDAL_ERRORS), small_block_cache():
            rasterio.shutil.copy(
                vrt_path,
                temporary[path],
                driver="COG",
                compress="deflate",  # every TIFF reader has it
                level=6,
                predictor="no",
                blocksize=512,
                overview_resampling=resampling,
                bigtiff="if_safer",
                num_threads="all_cpus",
            )
            _check_complete(temporary[path], shape=grid.shape)


def _check_free_space(path: Path, *, need: int) -> None:
    """Refuse a disk that is sure to fill up: libtiff would cover the console with its own words on it first."""
    free = shutil.disk_usage(path.parent).free
    if free < need:
        raise OutputError(
            f"cannot write {path}: no space left on the disk, {free / 1e6:.1f} MB are free and about "
            f"{need / 1e6:.1f} MB are needed: free some, or choose another folder"
        )


def _check_complete(path: Path, *, shape: tuple[int, int]) -> None:
    """Read what stands last in the file at each overview level: a file cut off in writing fails here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(path) as src:
            complete = src.shape == tuple(shape)
            levels = len(src.overviews(1))
        for level in (None, *range(levels)):
            with rasterio.open(path) if level is None else rasterio.open(path, overview_level=level) as src:
                height, width = src.shape
                src.read(1, window=Window(width - 1, height - 1, 1, 1))
    if not complete:
        raise OutputError(f"cannot write {path}: the written raster is incomplete: check the disk, then run again")
