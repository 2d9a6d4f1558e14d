"""A scene: one raster file with named bands, read by windows together with the mask of its valid pixels."""

from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike, fspath
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt
import rasterio
from affine import Affine
from rasterio import DatasetReader
from rasterio.crs import CRS
from rasterio.windows import Window

from geodeeplab.errors import SceneError
from geodeeplab.raster.bands import Band, band_name, find_bands
from geodeeplab.raster.decoding import GDAL_ERRORS, decode_bands, describe_window, iter_blocks, small_block_cache
from geodeeplab.raster.grid import Grid
from geodeeplab.raster.opening import (
    open_dataset,
    refuse_palette,
    root_cause,
    warn_if_not_georeferenced,
)
from geodeeplab.raster.validity import nodata_range, valid_pixels


@dataclass(frozen=True, kw_only=True)
class Pixels:
    """Pixels of a window and which of them are valid."""

    array: npt.NDArray[Any]
    """(C, H, W), as on disk: no scale, no offset, no conversion; invalid pixels hold whatever the file holds."""
    valid: npt.NDArray[np.bool_]
    """(H, W), True where valid."""


class Scene:
    """One raster file with named bands; a context manager, made by `open_scene`.

    A pixel is invalid where all the bands read are nodata, where any is NaN, or where an alpha band (0) or a mask
    says so. An alpha band that is itself among the bands read is data, and no mask any more.

    Not safe to read from two threads at once.
    """

    def __init__(
        self,
        src: DatasetReader,
        *,
        path: str,
        all_bands: tuple[Band, ...],
        bands: tuple[Band, ...],
        allow_palette: bool,
    ) -> None:
        if not allow_palette:
            refuse_palette(src, path, [band.number for band in bands])
        self._src = src
        self._allow_palette = allow_palette
        self.path = path
        self.grid = Grid(shape=src.shape, transform=src.transform, crs=src.crs)
        self.all_bands = all_bands
        self.bands = bands
        self.dtype: np.dtype[Any] = np.result_type(*(band.dtype for band in bands))
        self._nodata_ranges = [nodata_range(band.nodata, band.dtype) for band in bands]
        numbers = {band.number for band in bands}
        self._alphas = [band.number for band in all_bands if band.is_alpha and band.number not in numbers]
        self._masks = _mask_numbers(src, bands)

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
    def driver(self) -> str:
        """GDAL's short name of the file format: "GTiff", "VRT", "PNG", ..."""
        return str(self._src.driver)

    @property
    def tags(self) -> dict[str, str]:
        """The file's own metadata."""
        return dict(self._src.tags())

    @property
    def block_shape(self) -> tuple[int, int]:
        """(height, width) of the blocks that the file is decoded by; the largest where the bands differ."""
        shapes = [self._src.block_shapes[band.number - 1] for band in self.bands]
        return max(height for height, _ in shapes), max(width for _, width in shapes)

    def select(self, wanted: Sequence[str | int]) -> "Scene":
        """Give the same open file with other bands, by name or 1-based number; closing one closes both.

        Raises:
            SceneError: a band is not there, or holds palette indices.
        """
        return Scene(
            self._src,
            path=self.path,
            all_bands=self.all_bands,
            bands=find_bands(self.all_bands, wanted, path=self.path),
            allow_palette=self._allow_palette,
        )

    def read(self, window: Window) -> Pixels:
        """Read a window (integer offsets, within the scene).

        Raises:
            SceneError: the window does not lie within the scene, or the file is damaged there.
        """
        _check_within(window, self.shape)
        try:
            with small_block_cache():
                return self._read(window)
        except GDAL_ERRORS as error:
            raise SceneError(
                f"scene '{self.path}' cannot be read in {self._first_bad_block(window)} ({root_cause(error)}): "
                "the file, or one that it refers to, is damaged or cut off; copy or create it again"
            ) from error

    def close(self) -> None:
        """Close the file."""
        self._src.close()

    def _read(self, window: Window) -> Pixels:
        everything = decode_bands(self._src, [band.number for band in self.bands] + self._alphas, window)
        array = everything[: len(self.bands)].astype(self.dtype, copy=False)
        valid = valid_pixels(array, self._nodata_ranges)
        for alpha in everything[len(self.bands) :]:
            valid &= alpha != 0
        if self._masks:
            valid &= (self._src.read_masks(self._masks, window=window) != 0).all(axis=0)
        return Pixels(array=array, valid=valid)

    def _first_bad_block(self, window: Window) -> str:
        """Name the first block in a window that cannot be read; called after a failure only."""
        for block in iter_blocks(window, block_shape=self.block_shape, shape=self.shape):
            try:
                self._read(block)
            except GDAL_ERRORS:
                return f"the block of {describe_window(block)}"
        return describe_window(window)  # a second attempt went well: the file is being written, or on a network


def open_scene(
    path: str | PathLike[str], *, bands: Sequence[str | int] | None = None, allow_palette: bool = False
) -> Scene:
    """Open a raster file as a scene; use it in a `with` statement.

    Args:
        path: any raster that GDAL opens: GeoTIFF, COG, VRT, PNG, JPEG, ...
        bands: names or 1-based numbers, in the order to read them; default all that are not alpha.
        allow_palette: read palette indices too (a label raster); an image has to be expanded first.

    Warns:
        GeoDeepLabWarning: the CRS is missing (it stays so), or the transform.

    Raises:
        SceneError: the file is missing, no raster, complex, without a grid (GCPs, RPCs), or lacks a band.
    """
    name = fspath(path)
    with rasterio.Env():  # takes GDAL's own warnings to the log instead of stderr
        src = open_dataset(name)
        try:
            all_bands = _bands_of(src)
            wanted = bands if bands is not None else [band.number for band in all_bands if not band.is_alpha]
            if bands is None and not wanted:
                raise SceneError(f"scene '{name}' has alpha bands only: name one by its number to read it as data")
            found = find_bands(all_bands, wanted, path=name)
            scene = Scene(src, path=name, all_bands=all_bands, bands=found, allow_palette=allow_palette)
            warn_if_not_georeferenced(src, name, stacklevel=2)
        except BaseException:
            src.close()
            raise
    return scene


def _bands_of(src: DatasetReader) -> tuple[Band, ...]:
    interps = [interp.name.lower() for interp in src.colorinterp]
    is_only_band = sum(interp != "alpha" for interp in interps) == 1
    return tuple(
        Band(
            number=number,
            name=band_name(number, description=description, colorinterp=interp, is_only_band=is_only_band),
            dtype=np.dtype(dtype),
            scale=scale,
            offset=offset,
            nodata=nodata,
            colorinterp=interp,
        )
        for number, description, interp, dtype, scale, offset, nodata in zip(
            src.indexes, src.descriptions, interps, src.dtypes, src.scales, src.offsets, src.nodatavals, strict=True
        )
    )


def _mask_numbers(src: DatasetReader, bands: tuple[Band, ...]) -> list[int]:
    """Give the bands whose GDAL mask has to be read: one for a mask of the whole file, each that has its own.

    Flags: "all_valid" and a band's "nodata" need no reading, "alpha" is read as a band.
    """
    with rasterio.Env():  # the first look for masks may make GDAL warn
        all_flags = [{flag.name for flag in flags} for flags in src.mask_flag_enums]
    flags = {band.number: all_flags[band.number - 1] for band in bands}
    own = [number for number, names in flags.items() if not names]
    shared = [number for number, names in flags.items() if "per_dataset" in names and "alpha" not in names]
    return own + shared[:1]


def _check_within(window: Window, shape: tuple[int, int]) -> None:
    row, col = window.row_off, window.col_off
    if not (0 <= row and 0 <= col and row + window.height <= shape[0] and col + window.width <= shape[1]):
        raise SceneError(f"a window must lie within the scene's {shape[0]} x {shape[1]} pixels, got {window}")
