"""What a scene can be given as, and how it is opened."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from os import PathLike, fspath
from typing import TYPE_CHECKING, Any, Union

import numpy as np
import numpy.typing as npt
from affine import Affine
from rasterio.crs import CRS

from geodeeplab.errors import OptionError
from geodeeplab.raster.scene import Scene
from geodeeplab.raster.sources.array import ArraySource, from_xarray, refuse_channels_last
from geodeeplab.raster.sources.dataset import from_dataset, is_dataset
from geodeeplab.raster.sources.local_only import local_files_only
from geodeeplab.raster.sources.mask import Mask, MaskLike, to_masks
from geodeeplab.raster.sources.masked import MaskedSource, OpenMask, masked, masked_member, open_mask
from geodeeplab.raster.sources.members import Member
from geodeeplab.raster.sources.mosaic import file_members, join
from geodeeplab.raster.sources.opacity import warn_of_measured
from geodeeplab.raster.sources.opening import warn_if_not_georeferenced
from geodeeplab.raster.sources.remote import open_file
from geodeeplab.raster.sources.source import Source
from geodeeplab.raster.sources.stac import stac_parts
from geodeeplab.raster.sources.stac_item import is_stac
from geodeeplab.raster.sources.stacked import open_stacked
from geodeeplab.raster.sources.zarr import is_zarr, open_zarr

if TYPE_CHECKING:
    import xarray as xr

SceneLike = Union[
    str,
    PathLike[str],
    Sequence[str | PathLike[str] | Mapping[str, Any]],
    Mapping[str, Any],
    np.ndarray,
    "xr.DataArray",
    "xr.Dataset",
    Scene,
]
"""What `open_scene` opens, or an open scene."""


def open_scene(
    scene: SceneLike,
    *,
    bands: Sequence[str | int] | None = None,
    allow_palette: bool = False,
    grid_crs: str | None = None,
    gsd_m: float | None = None,
    mask: MaskLike | None = None,
    local_only: bool = False,
) -> Scene:
    """Open a scene; use it in a `with` statement.

    Args:
        scene: any raster that GDAL opens (GeoTIFF, COG, VRT, PNG, …) by path or URL; a STAC item or item collection (a
            .json file or URL, or the JSON object); several of these as one mosaic, earlier ones on top; an array
            (C, H, W), a DataArray, or a Dataset, whose variables on one grid are the bands; a group of a Zarr store.
        bands: names or 1-based numbers, in the order to read them; default all that are not alpha.
        allow_palette: read palette indices too (a label raster); an image has to be expanded first.
        grid_crs: warp to this coordinate reference system, at the pixel size of the finest file or at `gsd_m`.
        gsd_m: pixel size in metres where files have to be warped onto one grid.
        mask: what hides pixels, as clouds do: they are invalid; see `to_masks`. Where a band or an asset is named, or
            `{name}` stands for the scene's file, each part of a mosaic has a mask of its own, and where that hides it
            later parts show.
        local_only: read files on disk only, and none outside the folders of those that are named, whatever a VRT or a
            STAC item says; see `local_files_only`.

    Warns:
        GeoDeepLabWarning: the CRS is missing (it stays so), or the transform; a band is flagged alpha, but holds data;
            a mask does not reach all of the scene.

    Raises:
        SceneError: a file is missing, no raster, complex, without a grid (GCPs, RPCs), or lacks a band; files do not
            fit together; a mask lies elsewhere.
        OptionError: an unknown coordinate reference system, or what is no mask.
    """
    masks = to_masks(mask)
    own = [one for one in masks if one.is_of_each_scene]
    with local_files_only(local_only):
        source = _open_source(scene, bands, grid_crs=grid_crs, gsd_m=gsd_m, masks=own)
    try:
        with local_files_only(local_only):
            source = masked(source, _openers([one for one in masks if not one.is_of_each_scene]))
        opened = Scene(source, bands=bands, allow_palette=allow_palette)
        warn_if_not_georeferenced(source.grid, source.path, stacklevel=2)
        named = set() if bands is None else {band.number for band in opened.bands}
        warn_of_measured([one for one in source.bands if one.number not in named], source.path, stacklevel=2)
    except BaseException:
        source.close()
        raise
    return opened


@contextmanager
def with_mask(scene: Scene, mask: MaskLike | None) -> Iterator[Scene]:
    """Lend an open scene with what a mask hides taken off, see `open_scene`; it stays open, the mask does not.

    Raises:
        SceneError: a mask cannot be opened, is none, or lies elsewhere.
    """
    masks = to_masks(mask)
    if not masks:
        yield scene
        return
    source = masked(scene.source, _openers(masks))
    assert isinstance(source, MaskedSource)
    try:
        yield Scene(source, bands=[band.number for band in scene.bands], allow_palette=scene._allow_palette)
    finally:
        source.close_masks()


def open_array(
    array: npt.ArrayLike,
    *,
    transform: Affine | None = None,
    crs: CRS | str | None = None,
    bands: Sequence[str] | None = None,
    nodata: float | None = None,
    valid: npt.NDArray[np.bool_] | None = None,
) -> Scene:
    """Make a scene of an array; it is not copied and must not change.

    Args:
        array: (C, H, W), or (H, W) for one band.
        transform: from pixel corner (col, row) to CRS coordinates; without one, coordinates are pixels.
        crs: the coordinate reference system; it is never guessed.
        bands: names of the bands; by default their numbers.
        nodata: value of pixels without data.
        valid: (H, W), True where a pixel is valid.

    Raises:
        SceneError: the array cannot be a scene.
    """
    refuse_channels_last(array)
    return Scene(ArraySource(array, transform=transform, crs=crs, bands=bands, nodata=nodata, valid=valid))


def open_stack(paths: Sequence[str | PathLike[str]], *, local_only: bool = False) -> Scene:
    """Open files that hold a band each, or some, as one scene of all their bands, in this order.

    All have the same bounds; files of coarser pixels, by a whole factor, are repeated onto the finest. A band without a
    name is named after its file.

    Args:
        paths: of the files.
        local_only: see `open_scene`.

    Raises:
        SceneError: a file cannot be a scene, or the files do not fit together.
    """
    with local_files_only(local_only):
        return Scene(open_stacked(paths))


def names_stac(scene: SceneLike) -> bool:
    """Tell whether a scene is given as a STAC item or item collection, or as several of which one is."""
    if isinstance(scene, Sequence) and not isinstance(scene, str):
        return any(names_stac(one) for one in scene)
    if isinstance(scene, Mapping):
        return not is_dataset(scene)
    return isinstance(scene, str | PathLike) and is_stac(scene)


def _open_source(
    scene: SceneLike,
    bands: Sequence[str | int] | None,
    *,
    grid_crs: str | None,
    gsd_m: float | None,
    masks: Sequence[Mask],
) -> Source:
    """Open whatever a scene is given as; with masks of its own, or of each scene of a mosaic."""
    if isinstance(scene, Scene):
        raise OptionError("an open scene cannot be opened again: pass its path, or use it as it is")
    if isinstance(scene, str | PathLike) and is_zarr(scene):
        if grid_crs is not None:
            raise OptionError(f"the Zarr store '{fspath(scene)}' stays on its own grid: leave out `grid_crs=`")
        return _with_own(open_zarr(scene), masks)
    if isinstance(scene, str | PathLike) or (isinstance(scene, Mapping) and not is_dataset(scene)):
        scene = [scene]
    if isinstance(scene, Sequence):
        if not names_stac(scene) and len(scene) == 1 and grid_crs is None:
            return _with_own(open_file(fspath(scene[0])), masks)  # type: ignore[arg-type]  # no mapping
        return join(_parts(scene, bands, masks), grid_crs=grid_crs, gsd_m=gsd_m)
    if grid_crs is not None:
        raise OptionError("an array stays on its own grid: warp it before, or pass a file with `grid_crs=`")
    if isinstance(scene, np.ndarray):
        refuse_channels_last(scene)
        return _with_own(ArraySource(scene), masks)
    return _with_own(from_dataset(scene) if is_dataset(scene) else from_xarray(scene), masks)  # type: ignore[arg-type]


def _with_own(source: Source, masks: Sequence[Mask]) -> Source:
    """Give an open source with its own masks; it is closed where one of them cannot be opened."""
    try:
        return masked(source, _openers(masks))
    except BaseException:
        source.close()
        raise


def _openers(masks: Sequence[Mask]) -> list[OpenMask]:
    return [partial(open_mask, one) for one in masks]


def _parts(
    scenes: Sequence[str | PathLike[str] | Mapping[str, Any]], bands: Sequence[str | int] | None, masks: Sequence[Mask]
) -> list[Member]:
    """Give STAC items, item collections and files as the parts of a mosaic, in their order, each with its own masks."""
    files = [one for one in scenes if not names_stac(one)]
    of_files = file_members(files)  # type: ignore[arg-type]  # no mapping is left
    parts_of_files = iter([masked_member(part, _openers(masks)) for part in of_files])
    return [
        part
        for one in scenes
        for part in (stac_parts(one, bands=bands, masks=masks) if names_stac(one) else [next(parts_of_files)])
    ]
