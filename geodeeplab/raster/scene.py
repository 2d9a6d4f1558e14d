"""A scene: one virtual raster with named bands, read by windows together with the mask of its valid pixels."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from os import PathLike, fspath
from types import TracebackType
from typing import TYPE_CHECKING, Any, Union

import numpy as np
import numpy.typing as npt
from affine import Affine
from rasterio.crs import CRS
from rasterio.windows import Window

from geodeeplab.errors import OptionError, SceneError
from geodeeplab.raster.bands import Band, find_bands
from geodeeplab.raster.grid import Grid
from geodeeplab.raster.sources.array import ArraySource, from_xarray, refuse_channels_last
from geodeeplab.raster.sources.dataset import from_dataset, is_dataset
from geodeeplab.raster.sources.local_only import local_files_only
from geodeeplab.raster.sources.members import Member
from geodeeplab.raster.sources.mosaic import file_members, join, open_mosaic
from geodeeplab.raster.sources.opacity import warn_of_measured
from geodeeplab.raster.sources.opening import check_place, refuse_palette, warn_if_not_georeferenced
from geodeeplab.raster.sources.remote import open_file
from geodeeplab.raster.sources.source import Pixels, Source
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
    "Scene",
]
"""What `open_scene` opens, or an open scene."""


class Scene:
    """A source with the bands selected to be read; a context manager, made by `open_scene`.

    Not safe to read from two threads at once.
    """

    def __init__(
        self, source: Source, *, bands: Sequence[str | int] | None = None, allow_palette: bool = False
    ) -> None:
        """Take a source, which is closed with the scene.

        Args:
            source: where the pixels come from.
            bands: names or 1-based numbers, in the order to read them; default all that are not alpha.
            allow_palette: read palette indices too (a label raster); an image has to be expanded first.

        Raises:
            SceneError: a band is not there, or holds palette indices; or the source lies where its CRS is not defined.
        """
        if bands is None:
            bands = [band.number for band in source.bands if not band.is_alpha]
            if not bands:
                raise SceneError(
                    f"scene '{source.path}' has alpha bands only: name one by its number to read it as data"
                )
        self.source = source
        self.bands: tuple[Band, ...] = tuple(map(_as_data, find_bands(source.bands, bands, path=source.path)))
        self.dtype: np.dtype[Any] = np.result_type(*(band.dtype for band in self.bands))
        self._allow_palette = allow_palette
        self._numbers = [band.number for band in self.bands]
        if not allow_palette:
            refuse_palette(self.bands, source.path)
        check_place(source.grid, source.path)

    def __enter__(self) -> "Scene":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        names = ", ".join(band.name for band in self.bands)
        return f"<Scene '{self.path}' {self.shape[0]} x {self.shape[1]} {self.dtype}: {names}>"

    @property
    def path(self) -> str:
        """How messages name the scene: its file, or what it was made of."""
        return self.source.path

    @property
    def grid(self) -> Grid:
        """Its pixels on the ground."""
        return self.source.grid

    @property
    def all_bands(self) -> tuple[Band, ...]:
        """All bands of the source, selected or not."""
        return self.source.bands

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width)."""
        return self.grid.shape

    @property
    def transform(self) -> Affine:
        """From pixel corner (col, row) to CRS coordinates (x, y)."""
        return self.grid.transform

    @property
    def crs(self) -> CRS | None:
        """The coordinate reference system, or None."""
        return self.grid.crs

    @property
    def block_shape(self) -> tuple[int, int]:
        """(height, width) of the blocks that the selected bands are decoded by; the largest where they differ."""
        return self.source.block_shape(self._numbers)

    @property
    def is_all_valid(self) -> bool:
        """True where every pixel is sure to be valid in the selected bands."""
        return self.source.is_all_valid(self._numbers)

    def select(self, wanted: Sequence[str | int]) -> "Scene":
        """Give the same open source with other bands, by name or 1-based number; closing one closes both.

        Raises:
            SceneError: a band is not there, or holds palette indices.
        """
        return Scene(self.source, bands=wanted, allow_palette=self._allow_palette)

    def read(self, window: Window) -> Pixels:
        """Read a window (integer offsets, within the scene).

        Raises:
            SceneError: the window does not lie within the scene, or the file is damaged there.
        """
        _check_within(window, self.shape)
        return self.source.read(window, self._numbers)

    def close(self) -> None:
        """Close the source."""
        self.source.close()


def open_scene(
    scene: SceneLike,
    *,
    bands: Sequence[str | int] | None = None,
    allow_palette: bool = False,
    grid_crs: str | None = None,
    gsd_m: float | None = None,
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
        local_only: read files on disk only, and none outside the folders of those that are named, whatever a VRT or a
            STAC item says; see `local_files_only`.

    Warns:
        GeoDeepLabWarning: the CRS is missing (it stays so), or the transform; a band is flagged alpha, but holds data.

    Raises:
        SceneError: a file is missing, no raster, complex, without a grid (GCPs, RPCs), or lacks a band; files do not
            fit together.
        OptionError: an unknown coordinate reference system.
    """
    with local_files_only(local_only):
        source = _open_source(scene, bands, grid_crs=grid_crs, gsd_m=gsd_m)
    try:
        opened = Scene(source, bands=bands, allow_palette=allow_palette)
        warn_if_not_georeferenced(source.grid, source.path, stacklevel=2)
        named = set() if bands is None else {band.number for band in opened.bands}
        warn_of_measured([one for one in source.bands if one.number not in named], source.path, stacklevel=2)
    except BaseException:
        source.close()
        raise
    return opened


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
    scene: SceneLike, bands: Sequence[str | int] | None, *, grid_crs: str | None, gsd_m: float | None
) -> Source:
    """Open whatever a scene is given as."""
    if isinstance(scene, Scene):
        raise OptionError("an open scene cannot be opened again: pass its path, or use it as it is")
    if isinstance(scene, str | PathLike) and is_zarr(scene):
        if grid_crs is not None:
            raise OptionError(f"the Zarr store '{fspath(scene)}' stays on its own grid: leave out `grid_crs=`")
        return open_zarr(scene)
    if isinstance(scene, str | PathLike) or (isinstance(scene, Mapping) and not is_dataset(scene)):
        scene = [scene]
    if isinstance(scene, Sequence):
        if names_stac(scene):
            return join(_parts(scene, bands), grid_crs=grid_crs, gsd_m=gsd_m)
        files = [fspath(one) for one in scene if not isinstance(one, Mapping)]
        if len(files) == 1 and grid_crs is None:
            return open_file(files[0])
        return open_mosaic(files, grid_crs=grid_crs, gsd_m=gsd_m)
    if grid_crs is not None:
        raise OptionError("an array stays on its own grid: warp it before, or pass a file with `grid_crs=`")
    if isinstance(scene, np.ndarray):
        refuse_channels_last(scene)
        return ArraySource(scene)
    return from_dataset(scene) if is_dataset(scene) else from_xarray(scene)  # type: ignore[arg-type]


def _parts(
    scenes: Sequence[str | PathLike[str] | Mapping[str, Any]], bands: Sequence[str | int] | None
) -> list[Member]:
    """Give STAC items, item collections and files as the parts of a mosaic, in their order."""
    files = [one for one in scenes if not names_stac(one)]
    parts_of_files = iter(file_members(files))  # type: ignore[arg-type]  # no mapping is left
    return [
        part for one in scenes for part in (stac_parts(one, bands=bands) if names_stac(one) else [next(parts_of_files)])
    ]


def _as_data(band: Band) -> Band:
    """Give a band that is read: an alpha band that somebody names is data like any other."""
    if not band.is_alpha:
        return band
    name = str(band.number) if band.name == "alpha" else band.name
    return replace(band, name=name, colorinterp="undefined", was_alpha=True)


def _check_within(window: Window, shape: tuple[int, int]) -> None:
    row, col = window.row_off, window.col_off
    if not (0 <= row and 0 <= col and row + window.height <= shape[0] and col + window.width <= shape[1]):
        raise SceneError(f"a window must lie within the scene's {shape[0]} x {shape[1]} pixels, got {window}")
