"""What a scene holds, before any work and without torch."""

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass

from geodeeplab.errors import SceneError
from geodeeplab.raster import Band, Mask, Scene
from geodeeplab.raster.sources.opening import open_dataset
from geodeeplab.raster.sources.remote import gdal_path, is_remote, remote_env


@dataclass(frozen=True, kw_only=True)
class SceneFacts:
    """A scene as it is."""

    path: str
    """How messages name it."""
    driver: str
    """GDAL's name of the file format, or `mosaic`, `array`, and the like."""
    files: tuple[str, ...]
    """Every file or URL that it reads."""
    file_bytes: int | None
    """Bytes of all of them; None where one is not on a disk."""
    compression: str | None
    """How a single file is compressed, such as `deflate`; None where it is not, or it is not known."""
    overviews: tuple[int, ...]
    """Factors of a single file's overviews; empty where it has none, or it is not known."""
    shape: tuple[int, int]
    """(height, width) in pixels."""
    block_shape: tuple[int, int]
    """(height, width) of the blocks that it is decoded by."""
    crs: str | None
    """The coordinate reference system; None where nobody stated it."""
    res: tuple[float, float]
    """Pixel size (x, y) in CRS units."""
    gsd_m: tuple[float, float] | None
    """Pixel size (x, y) on the ground in metres, None where it is not known; that at the area of interest where it is
    another there."""
    bounds: tuple[float, float, float, float]
    """Left, bottom, right, top in CRS units."""
    bands: tuple[Band, ...]
    """All bands, alpha included."""
    valid: str
    """Which pixels are valid, in words."""


@dataclass(frozen=True, kw_only=True)
class _Storage:
    """How a single file is stored."""

    compression: str | None = None
    overviews: tuple[int, ...] = ()
    has_mask: bool = False


def describe_scene(scene: Scene, *, masks: Sequence[Mask] = ()) -> SceneFacts:
    """Tell what a scene holds, that was opened with these masks; of a file, its headers are read once more."""
    source, grid = scene.source, scene.grid
    storage = _storage(source.path, source.files)
    return SceneFacts(
        path=source.path,
        driver=source.driver,
        files=source.files,
        file_bytes=_bytes_of(source.files),
        compression=storage.compression,
        overviews=storage.overviews,
        shape=grid.shape,
        block_shape=scene.block_shape,
        crs=grid.crs.to_string() if grid.crs else None,
        res=grid.res,
        gsd_m=grid.gsd_m,
        bounds=grid.bounds,
        bands=source.bands,
        valid=_describe_validity(scene, has_mask=storage.has_mask, masks=masks),
    )


def _describe_validity(scene: Scene, *, has_mask: bool, masks: Sequence[Mask]) -> str:
    """Say which pixels of the scene's bands are valid."""
    if scene.is_all_valid:
        return "everywhere"
    bands = scene.bands
    values = dict.fromkeys(band.nodata for band in bands if band.nodata is not None and not math.isnan(band.nodata))
    unless = []
    if len(values) == 1 and all(band.nodata is not None for band in bands):
        unless.append(f"{'all bands are' if len(bands) > 1 else 'it is'} {next(iter(values)):g}")
    elif values:
        unless.append("all bands are nodata")
    if any(band.dtype.kind == "f" for band in bands):
        unless.append(f"{'a band' if len(bands) > 1 else 'it'} is not finite")
    numbers = {band.number for band in bands}
    alphas = [str(band.number) for band in scene.all_bands if band.is_alpha and band.number not in numbers]
    if alphas:
        unless.append(f"alpha (band {', '.join(alphas)}) is 0")
    if has_mask:
        unless.append("the file's mask is 0")
    if scene.source.driver == "mosaic":
        unless.append("no file covers it")
    unless += [f"mask {one} hides it" for one in masks]
    return f"everywhere unless {' or '.join(unless)}" if unless else "where a mask says so"


def _storage(path: str, files: tuple[str, ...]) -> _Storage:
    """Look how a scene of one file is stored; nothing is known of several, or of one that needs a signature."""
    if not files or files[0] != path:
        return _Storage()
    try:
        if not is_remote(path):
            return _look(path)
        with remote_env():
            return _look(gdal_path(path))
    except SceneError:
        return _Storage()


def _look(name: str) -> _Storage:
    with open_dataset(name) as src:
        flags = [{flag.name for flag in one} for one in src.mask_flag_enums]
        return _Storage(
            compression=src.compression.value.lower() if src.compression else None,
            overviews=tuple(src.overviews(1)),
            has_mask=any(not one or ("per_dataset" in one and "alpha" not in one) for one in flags),
        )


def _bytes_of(files: tuple[str, ...]) -> int | None:
    """Add up the bytes of files; None where one is not there to be measured, or there is none."""
    try:
        return sum(os.stat(file).st_size for file in files) or None
    except OSError:
        return None
