"""Turn a layer of a spool into a Cloud Optimized GeoTIFF.

Format: https://gdal.org/en/stable/drivers/raster/cog.html.
"""

import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryFile

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
from geodeeplab.raster.spool.directories import Directory, Level, framed, lay_out, read_directories, read_structure
from geodeeplab.raster.spool.encoded import BLOCK_SIZE, SpoolLayer, gdal_options
from geodeeplab.raster.spool.overviews import Overviews, Resampling
from geodeeplab.raster.spool.squares import find_squares
from geodeeplab.raster.spool.store import BlockSpool
from geodeeplab.raster.spool.vrt import VrtBand, write_block_vrt
from geodeeplab.text import is_plain

NODATA_LABEL = 0
NODATA_NAME = "nodata"
RASTER_SUFFIXES = (".tif", ".tiff")

Finishing = Callable[[float], None]
"""Called with the share of the work that is done, 0 to 1; it may raise to stop it."""


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
    overviews: Overviews | None = None,
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
        overviews: Those that `follow_labels` has begun; default: they are made now.

    Raises:
        OptionError: Two classes have the same id.
        OutputError: The path is taken, or the raster cannot be written; then nothing is left behind.
    """
    look = _Look(
        nodata=NODATA_LABEL,
        colors={NODATA_LABEL: (0, 0, 0), **{item.id: item.color for item in classes}},
        names=category_names(classes),
        tags=tags or {},
        resampling="mode",
    )
    _write_cog(
        spool,
        layer,
        Path(dst_path),
        grid,
        look,
        overviews=overviews,
        overwrite=overwrite,
        progress=progress,
        window=window,
    )


def follow_labels(spool: BlockSpool, layer: str = "labels") -> Overviews:
    """Begin the overviews of a layer of labels while the spool is filled, for `write_label_cog`.

    Raises:
        OutputError: Nothing can be written in the spool's folder.
    """
    overviews = Overviews(spool, layer, resampling="mode", nodata=NODATA_LABEL)
    overviews.start()
    return overviews


def follow_raster(spool: BlockSpool, layer: str, *, nodata: float | None) -> Overviews:
    """Begin the overviews of a layer of measurements, for `write_raster`; see `follow_labels`."""
    overviews = Overviews(spool, layer, resampling="average", nodata=nodata)
    overviews.start()
    return overviews


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
    overviews: Overviews | None = None,
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
        overviews: Those that `follow_raster` has begun; default: they are made now.

    Raises:
        OutputError: The path is taken, or the raster cannot be written; then nothing is left behind.
    """
    look = _Look(nodata=nodata, band_names=band_names, tags=tags or {}, resampling="average")
    _write_cog(spool, layer, Path(dst_path), grid, look, overviews=overviews, overwrite=overwrite, progress=progress)


@dataclass(frozen=True, kw_only=True)
class _Look:
    """What a COG has beside its pixels; see `write_block_vrt`."""

    nodata: float | None
    colors: Mapping[int, tuple[int, int, int]] = field(default_factory=dict)
    names: Sequence[str] = ()
    band_names: Sequence[str] = ()
    tags: Mapping[str, str]
    resampling: Resampling


def _write_cog(
    spool: BlockSpool,
    layer: str,
    path: Path,
    grid: Grid,
    look: _Look,
    *,
    overviews: Overviews | None,
    overwrite: bool,
    progress: Finishing | None,
    window: Window | None = None,
) -> None:
    """Put a COG together from compressed squares; only those that several blocks share are compressed here."""
    window = Window(0, 0, spool.shape[1], spool.shape[0]) if window is None else window
    if tuple(grid.shape) != (window.height, window.width):
        raise ValueError(f"the grid has shape {grid.shape}, the spool {spool.shape}, the window {window}")
    if not spool.is_complete:
        raise ValueError("the spool does not hold the whole scene: append all blocks first")
    progress = progress or _tell_nobody
    with atomic_outputs([path], overwrite=overwrite) as temporary, output_errors(path, *GDAL_ERRORS):
        progress(0.0)
        _check_free_space(path, need=spool.layer_bytes(layer, window) + ALMOST_FULL_BYTES)
        if overviews is None:
            overviews = Overviews(spool, layer, resampling=look.resampling, nodata=look.nodata, window=window)
        sample = _write_sample(temporary[path], grid, look, spool.layer(layer), folder=spool.folder)
        with TemporaryFile(dir=spool.folder, prefix="joined-") as joined:
            squares = [find_squares(spool, layer, sample.tags[0], joined, window=window)]
            squares += [find_squares(level, layer, sample.tags[1], joined) for level in overviews.result()]
            shapes = [grid.shape, *(level.shape for level in overviews.levels)]
            levels = [
                Level(shape=shape, tags=sample.tags[min(number, 1)], sizes=one.size)
                for number, (shape, one) in enumerate(zip(shapes, squares, strict=True))
            ]
            head = lay_out(levels, sample.structure)
            need = len(head) + sum(int(one.size.sum()) for one in squares)
            _check_free_space(path, need=need + ALMOST_FULL_BYTES)
            with open(temporary[path], "wb") as dst:
                dst.write(head)
                for one in reversed(squares):
                    if one is squares[0]:
                        overviews.close()  # they are in the file, and the disk may need their place
                    for tile in one.iter_tiles(joined):
                        dst.write(framed(tile))
                        progress(min(dst.tell() / need, 0.99))
        _check_complete(temporary[path], shape=grid.shape)
        progress(1.0)


def _tell_nobody(share: float) -> None:
    """Say nothing."""


@dataclass(frozen=True, kw_only=True)
class _Sample:
    """What GDAL writes about a COG of some look; its pixels do not matter."""

    tags: tuple[Directory, Directory]
    """Those of the whole, and those of an overview."""
    structure: bytes
    """What it says of how it is laid out."""


def _write_sample(path: Path, grid: Grid, look: _Look, layer: SpoolLayer, *, folder: Path) -> _Sample:
    """Let GDAL write a small COG on the grid, and the `.aux.xml` that belongs to it; give what it says beside pixels.

    So all that stands in a file about place, colours and names stands there as GDAL writes it.
    """
    vrt_path = folder / f"{layer.name}.vrt"
    write_block_vrt(
        vrt_path,
        Grid(shape=(BLOCK_SIZE + 1, BLOCK_SIZE + 1), transform=grid.transform, crs=grid.crs),  # with one overview
        [],
        band=VrtBand(dtype=layer.dtype, count=layer.bands, nodata=look.nodata, descriptions=tuple(look.band_names)),
        colors=look.colors,
        names=look.names,
        tags=look.tags,
    )
    with small_block_cache():
        rasterio.shutil.copy(
            vrt_path,
            path,
            driver="COG",
            predictor="yes" if layer.dtype.startswith("float") else "no",
            blocksize=BLOCK_SIZE,
            overview_resampling=look.resampling.upper(),
            bigtiff="no",
            **gdal_options(layer.dtype),
        )
    with open(path, "rb") as file:
        whole, overview = read_directories(file)
        return _Sample(tags=(whole, overview), structure=read_structure(file))


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
