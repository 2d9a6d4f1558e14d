"""Turn a layer of a spool into a Cloud Optimized GeoTIFF.

Format: https://gdal.org/en/stable/drivers/raster/cog.html.
"""

import glob
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path

import rasterio
import rasterio.shutil
from rasterio.errors import NotGeoreferencedWarning
from rasterio.windows import Window

from geodeeplab.atomic import ALMOST_FULL_BYTES
from geodeeplab.errors import OptionError, OutputError
from geodeeplab.quiet import ignore_warnings
from geodeeplab.raster.decoding import GDAL_ERRORS, small_block_cache
from geodeeplab.raster.grid import Grid
from geodeeplab.raster.outputs.checks import atomic_outputs, output_errors
from geodeeplab.raster.spool.reading import write_spool_vrt
from geodeeplab.raster.spool.store import BlockSpool
from geodeeplab.text import is_plain

NODATA_LABEL = 0
NODATA_NAME = "nodata"
RASTER_SUFFIXES = (".tif", ".tiff")
POLL_S = 0.2

Finishing = Callable[[float], None]
"""Called with the share of the work that is done, 0 to 1; it may raise to stop it, once GDAL's call has returned."""


@dataclass(frozen=True, kw_only=True)
class LabelClass:
    """A class of a label raster."""

    id: int
    """Pixel value, 0–255; where GeoDeepLab writes the raster, 0 is nodata."""
    name: str
    """Name, which becomes the category name."""
    color: tuple[int, int, int]
    """Red, green, blue, each 0–255."""

    def __post_init__(self) -> None:
        """Check the id, the name and the colour."""
        if not is_plain(self.name):
            raise OptionError(f"names of classes have no control characters, but {self.name!r} has: name it anew")
        if not 0 <= self.id <= 255:
            raise OptionError(f"class {self.name!r} has id {self.id}: ids go from 0 to 255")
        if len(self.color) != 3 or not all(0 <= value <= 255 for value in self.color):
            raise OptionError(f"class {self.name!r} has colour {self.color}: give red, green and blue from 0 to 255")


def write_label_cog(
    spool: BlockSpool,
    dst_path: str | os.PathLike[str],
    *,
    grid: Grid,
    classes: Sequence[LabelClass],
    layer: str = "labels",
    tags: Mapping[str, str] | None = None,
    overwrite: bool = False,
    progress: Finishing | None = None,
    window: Window | None = None,
) -> None:
    """Write a layer of labels as a COG: uint8, nodata 0, colour table, category names, overviews by mode.

    Category names have no place in a TIFF: GDAL puts them into `DST_PATH.aux.xml`, which appears together with the
    raster. Pixel values without a class have the category name "" and are black.

    Args:
        spool: All blocks; the layer is uint8.
        dst_path: Where; its folder also holds the work files meanwhile.
        grid: Shape, transform and CRS.
        classes: The classes; ids must differ.
        layer: The layer's name.
        tags: Metadata of the dataset, say its provenance.
        overwrite: Whether a file that exists is replaced, with its `.aux.xml`.
        progress: Told how far the work is.
        window: The part of the scene to write, whose grid is given; default all of it.

    Raises:
        OptionError: Two classes have the same id.
        OutputError: The path is taken, or the raster cannot be written; then nothing is left behind.
    """
    look = _Look(
        nodata=NODATA_LABEL,
        colors={NODATA_LABEL: (0, 0, 0), **{item.id: item.color for item in classes}},
        names=category_names(classes),
        tags=tags or {},
        resampling="MODE",
    )
    _write_cog(spool, layer, Path(dst_path), grid, look, overwrite=overwrite, progress=progress, window=window)


def category_names(classes: Sequence[LabelClass]) -> list[str]:
    """Give the name of each pixel value from 0 on.

    Raises:
        OptionError: Two classes have the same id.
    """
    names = [NODATA_NAME] + [""] * max((item.id for item in classes), default=0)
    for item in classes:
        if names[item.id]:
            raise OptionError(f"classes {names[item.id]!r} and {item.name!r} share id {item.id}: give each its own")
        names[item.id] = item.name
    return names


def write_raster(
    spool: BlockSpool,
    dst_path: str | os.PathLike[str],
    *,
    grid: Grid,
    nodata: float | None,
    layer: str = "confidence",
    band_names: Sequence[str] = (),
    tags: Mapping[str, str] | None = None,
    overwrite: bool = False,
    progress: Finishing | None = None,
) -> None:
    """Write a layer of measurements, say confidence or probabilities, as a COG with overviews by average.

    float16 is written as GeoTIFF does it, Float32 with NBITS=16: readers see Float32, and exactly the values.

    Args:
        spool: All blocks.
        dst_path: Where; its folder also holds the work files meanwhile.
        grid: Shape, transform and CRS.
        nodata: Value of pixels that have none, NaN too; averages leave them out.
        layer: The layer's name.
        band_names: Description of each band; none given: no descriptions.
        tags: Metadata of the dataset.
        overwrite: Whether a file that exists is replaced.
        progress: Told how far the work is.

    Raises:
        OutputError: The path is taken, or the raster cannot be written; then nothing is left behind.
    """
    look = _Look(nodata=nodata, band_names=band_names, tags=tags or {}, resampling="AVERAGE")
    _write_cog(spool, layer, Path(dst_path), grid, look, overwrite=overwrite, progress=progress)


@dataclass(frozen=True, kw_only=True)
class _Look:
    """What a COG has beside its pixels; see `write_spool_vrt`."""

    nodata: float | None
    colors: Mapping[int, tuple[int, int, int]] = field(default_factory=dict)
    names: Sequence[str] = ()
    band_names: Sequence[str] = ()
    tags: Mapping[str, str]
    resampling: str
    """GDAL's name of how overviews are made."""


def _write_cog(
    spool: BlockSpool,
    layer: str,
    path: Path,
    grid: Grid,
    look: _Look,
    *,
    overwrite: bool,
    progress: Finishing | None,
    window: Window | None = None,
) -> None:
    """Copy a layer into a COG through a VRT: block by block, never the whole raster in memory."""
    if not spool.is_complete:
        raise ValueError("the spool does not hold the whole scene: append all blocks first")
    dtype, size = spool.layer(layer).dtype, spool.layer_bytes(layer, window)
    with atomic_outputs([path], overwrite=overwrite) as temporary:
        _check_free_space(path, need=2 * size + ALMOST_FULL_BYTES)  # GDAL stages overviews
        vrt_path = spool.folder / f"{layer}.vrt"
        write_spool_vrt(
            spool,
            vrt_path,
            grid,
            layer=layer,
            nodata=look.nodata,
            colors=look.colors,
            names=look.names,
            band_names=look.band_names,
            tags=look.tags,
            window=window,
        )

        def copy() -> None:
            with small_block_cache():
                rasterio.shutil.copy(
                    vrt_path,
                    temporary[path],
                    driver="COG",
                    compress="deflate",  # every TIFF reader has it
                    level=6,
                    predictor="yes" if dtype.startswith("float") else "no",
                    blocksize=512,
                    overview_resampling=look.resampling,
                    bigtiff="if_safer",
                    num_threads="all_cpus",
                    **({"nbits": 16} if dtype == "float16" else {}),
                )

        with output_errors(path, *GDAL_ERRORS):
            _watch(copy, temporary[path], expected_bytes=2 * size, progress=progress)
            _check_complete(temporary[path], shape=grid.shape)


def _watch(work: Callable[[], None], path: Path, *, expected_bytes: int, progress: Finishing | None) -> None:
    """Let GDAL write a file, in a thread of its own where somebody wants to see it grow: GDAL tells nothing here.

    The share is that of the bytes that were expected, so it is a rough one.
    """
    if progress is None:
        work()
        return
    share = 0.0
    progress(share)
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(work)
        while not wait([future], timeout=POLL_S).done:
            written = sum(one.stat().st_size for one in path.parent.glob(f"{glob.escape(path.stem)}*"))
            share = max(share, min(written / max(expected_bytes, 1), 0.99))
            progress(share)
        future.result()
    progress(1.0)


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
    with ignore_warnings(NotGeoreferencedWarning):
        with rasterio.open(path) as src:
            complete = src.shape == tuple(shape)
            levels = len(src.overviews(1))
        for level in (None, *range(levels)):
            with rasterio.open(path) if level is None else rasterio.open(path, overview_level=level) as src:
                height, width = src.shape
                src.read(1, window=Window(width - 1, height - 1, 1, 1))
    if not complete:
        raise OutputError(f"cannot write {path}: the written raster is incomplete: check the disk, then run again")
