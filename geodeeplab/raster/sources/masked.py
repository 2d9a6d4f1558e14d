"""A source whose pixels a mask hides: it is part of what is valid, from the first read on."""

import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from rasterio.windows import Window

from geodeeplab.errors import GeoDeepLabWarning, SceneError
from geodeeplab.raster.bands import Band, describe_bands
from geodeeplab.raster.grid import Grid
from geodeeplab.raster.sources.array import ArraySource, from_xarray
from geodeeplab.raster.sources.mask import Mask
from geodeeplab.raster.sources.members import Member
from geodeeplab.raster.sources.repeated import RepeatedSource, has_same_axes
from geodeeplab.raster.sources.source import Pixels, Source
from geodeeplab.raster.sources.stacked import open_part
from geodeeplab.raster.sources.warped import WarpedSource
from geodeeplab.raster.validity import nodata_range


@dataclass(frozen=True, kw_only=True)
class MaskBand:
    """A band that is read as a mask."""

    mask: Mask
    """Which of its values hide a pixel."""
    source: Source
    """Where it is read; its bands state no nodata, unless it is the scene itself."""
    band: Band
    """The band, with its nodata."""
    is_own: bool = False
    """True for a band of the scene itself."""


OpenMask = Callable[[Source], MaskBand]
"""Opens a mask for a source."""


class MaskedSource:
    """Another source, some of whose valid pixels a mask hides; see `Source`. The masks are closed with it.

    A mask on another grid is brought onto the source's by nearest: a pixel is hidden where the pixel of the mask that
    its centre lies in says so, however much of it that covers. Where the mask has nodata, or does not reach, nothing is
    hidden. Whatever several masks hide is hidden.

    Args:
        source: what is read.
        masks: at least one.

    Raises:
        SceneError: a mask and the source have no CRS in common.
    """

    def __init__(self, source: Source, masks: Sequence[MaskBand]) -> None:
        self._source, self.masks = source, tuple(masks)
        self.path, self.grid, self.bands = source.path, source.grid, source.bands
        self.driver, self.tags = source.driver, source.tags
        self._seen: list[Source] = []
        for one in masks:
            with _as_mask():
                self._seen.append(one.source if one.is_own else _on_grid(one.source, source.grid))
        self.least_rows = max(source.least_rows, *(seen.least_rows for seen in self._seen))
        self.files = tuple(dict.fromkeys([*source.files, *(file for one in masks for file in one.source.files)]))

    def block_shape(self, numbers: Sequence[int]) -> tuple[int, int]:
        """Give (height, width) of the blocks, see `Source.block_shape`."""
        return self._source.block_shape(numbers)

    def read(self, window: Window, numbers: Sequence[int]) -> Pixels:
        """Read bands of a window, see `Source.read`; masks are read only where something is left to hide."""
        pixels = self._source.read(window, numbers)
        valid = pixels.valid
        for one, seen in zip(self.masks, self._seen, strict=True):
            if valid.any():
                valid = valid & ~_hidden(one, seen, window)
        return Pixels(array=pixels.array, valid=valid)

    def is_all_valid(self, numbers: Sequence[int]) -> bool:
        """Give False: a mask hides something."""
        return False

    def close(self) -> None:
        """Close the source and the masks."""
        self.close_masks()
        self._source.close()

    def close_masks(self) -> None:
        """Close the masks alone."""
        for one in self.masks:
            if not one.is_own:
                one.source.close()

    def unreached_shares(self) -> Iterator[tuple[Mask, float]]:
        """Yield each mask on another grid with the share of the pixels that it does not reach.

        Raises:
            SceneError: it reaches none.
        """
        for one, seen in zip(self.masks, self._seen, strict=True):
            if seen is one.source:
                continue
            share = WarpedSource(one.source, self.grid, resampling="nearest").reached_share()
            if not share and not WarpedSource(self._source, one.source.grid, resampling="nearest").reached_share():
                raise SceneError(
                    f"mask '{one.mask.name}' lies elsewhere than scene '{self.path}': it covers "
                    f"{_as_text(one.source.grid)}, the scene {_as_text(self.grid)}: give the mask of this scene"
                )
            yield one.mask, 1 - share


def masked(source: Source, masks: Sequence[OpenMask]) -> Source:
    """Give a source with what masks hide taken off, and itself where there is no mask.

    Args:
        source: what is read; it stays open where a mask cannot be opened.
        masks: open the masks.

    Warns:
        GeoDeepLabWarning: a mask does not reach all of it.

    Raises:
        SceneError: a mask cannot be opened, is none, or reaches nothing of it.
    """
    if not masks:
        return source
    found = _mask(source, masks)
    try:
        _warn_of_reach(found)
    except BaseException:
        found.close_masks()
        raise
    return found


def masked_member(part: Member, masks: Sequence[OpenMask]) -> Member:
    """Give a part of a mosaic with what masks hide taken off, see `masked`: where it is hidden, later parts show."""
    if not masks:
        return part

    def opener() -> MaskedSource:
        source = part.open()
        try:
            return _mask(source, masks)
        except BaseException:
            source.close()
            raise

    found = opener()
    try:
        _warn_of_reach(found)
        return replace(part, open=opener, files=found.files, least_rows=found.least_rows)
    finally:
        found.close()


def open_mask(mask: Mask, source: Source) -> MaskBand:
    """Open a mask for a source: a band of it, or a raster.

    Raises:
        SceneError: it cannot be opened, or is no mask.
    """
    for name in mask.band_names:
        own = [band for band in source.bands if band.name.casefold() == name.casefold()]
        if own:
            return _checked(MaskBand(mask=mask, source=source, band=own[0], is_own=True))
    if mask.band_names:
        raise SceneError(
            f"mask '{mask.name}' is no file, and scene '{source.path}' has no such band, only "
            f"{describe_bands(source.bands)}: give a raster, and values behind it as in clouds.tif:1,2 or qa.tif:bit3"
        )
    if isinstance(mask.raster, str | os.PathLike):
        path = os.fspath(mask.raster)
        return open_mask_file(mask, _own_path(path, source) if mask.has_places else path)
    return _checked(_open_array(mask, source))


def open_mask_file(mask: Mask, path: str, *, number: int | None = None, nodata: float | None = None) -> MaskBand:
    """Open a raster file as a mask.

    Args:
        mask: what of it hides a pixel.
        path: path or URL.
        number: the band, 1-based; by default the only one.
        nodata: its nodata value where the file does not state it, as a STAC item may.

    Raises:
        SceneError: it cannot be opened, or has several bands.
    """
    with _as_mask():
        source, bands = open_part(path)
    try:
        chosen = _only_band(bands, path) if number is None else bands[number - 1]
        stated = chosen if chosen.nodata is not None else replace(chosen, nodata=nodata)
        return _checked(MaskBand(mask=mask, source=source, band=stated))
    except BaseException:
        source.close()
        raise


def _mask(source: Source, masks: Sequence[OpenMask]) -> MaskedSource:
    opened: list[MaskBand] = []
    try:
        for one in masks:
            opened.append(one(source))
        return MaskedSource(source, opened)
    except BaseException:
        for band in opened:
            if not band.is_own:
                band.source.close()
        raise


def _on_grid(source: Source, grid: Grid) -> Source:
    """Give a mask on a grid, by nearest."""
    if source.grid == grid:
        return source
    if has_same_axes(source.grid, grid):
        return RepeatedSource(source, grid)
    return WarpedSource(source, grid, resampling="nearest")


def _hidden(one: MaskBand, seen: Source, window: Window) -> npt.NDArray[np.bool_]:
    pixels = seen.read(window, [one.band.number])
    there = np.ones_like(pixels.valid) if one.is_own else pixels.valid  # of its own, validity says what nodata is
    return one.mask.hides(pixels.array[0], there, nodata_range(one.band.nodata, one.band.dtype))


def _open_array(mask: Mask, source: Source) -> MaskBand:
    """Take an array on the scene's grid, or a DataArray on its own."""
    array: Any = mask.raster.astype("uint8") if mask.raster.dtype == bool else mask.raster
    if isinstance(array, np.ndarray):
        if array.shape[-2:] != source.grid.shape or array.size != np.prod(source.grid.shape):
            height, width = source.grid.shape
            raise SceneError(
                f"a mask that is an array has the shape of the scene, {height} x {width}, not "
                f"{' x '.join(map(str, array.shape))}: give a DataArray with coordinates, or a file"
            )
        opened = ArraySource(array, transform=source.grid.transform, crs=source.grid.crs, path="the mask")
    else:
        opened = from_xarray(array)
    band = _only_band(opened.bands, opened.path)
    opened.bands = tuple(replace(one, nodata=None) for one in opened.bands)
    return MaskBand(mask=mask, source=opened, band=band)


def _only_band(bands: Sequence[Band], path: str) -> Band:
    data = [band for band in bands if not band.is_alpha] or list(bands)
    if len(data) == 1:
        return data[0]
    raise SceneError(
        f"a mask has one band, '{path}' has {len(data)} ({describe_bands(data)}): take one out with gdal_translate -b"
    )


def _checked(band: MaskBand) -> MaskBand:
    band.mask.check_dtype(band.band.dtype, path=band.mask.name)
    return band


def _own_path(path: str, source: Source) -> str:
    """Put the name of a scene's file, without its suffix, and its folder in their places."""
    if not source.files:
        raise SceneError(f"mask '{path}' is named after the scene's file, and '{source.path}' is none: name the mask")
    place = source.path.partition("?")[0]
    place, _, item = place.partition(".json#")
    folder, _, file = place.replace("\\", "/").rpartition("/")
    name = item or os.path.splitext(file)[0]
    return path.replace("{folder}", folder or ".").replace("{name}", name)


def _warn_of_reach(found: MaskedSource) -> None:
    for mask, share in found.unreached_shares():
        if share:
            warnings.warn(
                f"mask '{mask.name}' does not reach about {100 * share:.2g} % of scene '{found.path}': nothing is "
                "masked there",
                GeoDeepLabWarning,
                stacklevel=4,
            )


def _as_text(grid: Grid) -> str:
    crs = "" if grid.crs is None else f" in {grid.crs.to_string()[:60]}"
    return f"({', '.join(f'{one:.8g}' for one in grid.bounds)}){crs}"


@contextmanager
def _as_mask() -> Iterator[None]:
    """Let messages about a mask call it that, and not a scene."""
    try:
        yield
    except SceneError as error:
        raise SceneError(str(error).replace("scene '", "mask '", 1)) from error.__cause__
