"""Several rasters as one: they share a grid, or are brought onto one."""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from os import PathLike, fspath
from typing import Any

import numpy as np
import numpy.typing as npt
from affine import Affine
from rasterio.crs import CRS
from rasterio.windows import Window

from geodeeplab.raster.bands import Band
from geodeeplab.raster.crs import to_crs
from geodeeplab.raster.grid import Grid
from geodeeplab.raster.projection import common_grid
from geodeeplab.raster.sources.members import (
    Member,
    check_bands,
    check_crs,
    check_grid,
    check_members,
    grid_difference,
    lazy_member,
    offset_in,
)
from geodeeplab.raster.sources.remote import measured_in_all, open_file
from geodeeplab.raster.sources.scaled import fill_values
from geodeeplab.raster.sources.source import Pixels, Source
from geodeeplab.raster.sources.warped import BLOCK_SHAPE, LEAST_ROWS, Resampling, shrink_factors, warped_source
from geodeeplab.raster.validity import finite_pixels

FLOAT32 = np.dtype(np.float32)
MOST_OPEN = 64  # parts that are open at a time, apart from those that were given open


class MosaicSource:
    """Several parts on one grid as one source; see `Source`.

    Where parts overlap, the first in order that is valid there gives the pixel: earlier parts lie on top. What no part
    covers is invalid. Where the parts state different scales or offsets for a band, its pixels are brought to the
    numbers of the first part, as float32. At most 64 parts are open at a time. Invalid pixels hold the nodata value
    that all parts agree on, or 0.

    Args:
        parts: at least one. Same CRS, pixel size and orientation, pixels that coincide within 0.01 pixels; same bands
            by number and name, with types of one sort (8-bit integers, wider ones, floating-point numbers).

    Raises:
        SceneError: the parts do not fit together.
        OptionError: there are none.
    """

    def __init__(self, parts: Sequence[Member]) -> None:
        check_members(parts)
        first = parts[0]
        for part in parts:
            check_grid(first, part)
            check_bands(first, part)
        starts = np.array([offset_in(first.grid, part.grid) for part in parts], dtype=np.int64)
        stops = starts + np.array([part.grid.shape for part in parts], dtype=np.int64)
        origin = starts.min(axis=0)
        self._parts = tuple(parts)
        self._starts, self._stops = starts - origin, stops - origin
        self._open: OrderedDict[int, Source] = OrderedDict()
        height, width = self._stops.max(axis=0).tolist()
        self.path = first.path if len(parts) == 1 else f"{first.path} and {len(parts) - 1} more"
        transform = first.grid.transform @ Affine.translation(int(origin[1]), int(origin[0]))
        self.grid = Grid(shape=(height, width), transform=transform, crs=first.grid.crs)
        self.bands = tuple(_joined_band([part.bands[i] for part in parts]) for i in range(len(first.bands)))
        self.driver = "mosaic"
        self.tags = dict(set.intersection(*(set(part.tags.items()) for part in parts)))
        self.least_rows = max(part.least_rows for part in parts)
        self.files = tuple(dict.fromkeys(file for part in parts for file in part.files))

    def block_shape(self, numbers: Sequence[int]) -> tuple[int, int]:
        """Give (height, width) of the largest blocks, see `Source.block_shape`; they begin where each part begins."""
        return max(part.block_shape[0] for part in self._parts), max(part.block_shape[1] for part in self._parts)

    def read(self, window: Window, numbers: Sequence[int]) -> Pixels:
        """Read bands of a window, see `Source.read`; only parts that show in it are opened."""
        chosen = [self.bands[number - 1] for number in numbers]
        dtype = np.result_type(*(band.dtype for band in chosen))
        array = np.empty((len(numbers), window.height, window.width), dtype=dtype)
        for plane, fill in zip(array, fill_values(chosen, dtype), strict=True):
            plane[:] = fill
        valid = np.zeros((window.height, window.width), dtype=np.bool_)
        start = np.array([window.row_off, window.col_off], dtype=np.int64)
        stop = start + np.array([window.height, window.width])
        for index in np.flatnonzero(((self._starts < stop) & (self._stops > start)).all(axis=1)).tolist():
            low, high = np.maximum(self._starts[index], start), np.minimum(self._stops[index], stop)
            (row, col), (end_row, end_col) = (low - start).tolist(), (high - start).tolist()
            is_free = ~valid[row:end_row, col:end_col]
            if not is_free.any():
                continue
            top, left = (low - self._starts[index]).tolist()
            pixels = self._part(index).read(Window(left, top, end_col - col, end_row - row), numbers)
            is_new = pixels.valid & is_free
            planes = [self._in_numbers_of_first(pixels.array[c], index, number) for c, number in enumerate(numbers)]
            for values in planes:
                if values.dtype.kind == "f":
                    is_new &= finite_pixels(values)  # a scale may take numbers out of range
            for plane, values in zip(array, planes, strict=True):
                np.copyto(plane[row:end_row, col:end_col], values, where=is_new, casting="unsafe")
            valid[row:end_row, col:end_col] |= is_new
        return Pixels(array=array, valid=valid)

    def is_all_valid(self, numbers: Sequence[int]) -> bool:
        """Tell whether every pixel is sure to be valid, see `Source.is_all_valid`; with gaps in mind, of one part."""
        return len(self._parts) == 1 and self._part(0).is_all_valid(numbers)

    def close(self) -> None:
        """Close all parts."""
        for source in self._open.values():
            source.close()
        self._open.clear()
        for part in self._parts:
            if part.stays_open:
                part.open().close()

    def _part(self, index: int) -> Source:
        """Give an open part; closes the one that was read longest ago if there are too many."""
        if index not in self._open:
            evictable = [one for one in self._open if not self._parts[one].stays_open]
            if len(evictable) >= MOST_OPEN:
                self._open.pop(evictable[0]).close()
            self._open[index] = self._parts[index].open()
        self._open.move_to_end(index)
        return self._open[index]

    def _in_numbers_of_first(self, values: npt.NDArray[Any], index: int, number: int) -> npt.NDArray[Any]:
        band, first = self._parts[index].bands[number - 1], self.bands[number - 1]
        if (band.scale, band.offset) == (first.scale, first.offset):
            return values
        physical = values.astype(np.float64) * band.scale + band.offset
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            converted: npt.NDArray[Any] = ((physical - first.offset) / first.scale).astype(np.float32)
        return converted


def open_mosaic(
    paths: Sequence[str | PathLike[str]],
    *,
    grid_crs: CRS | str | None = None,
    gsd_m: float | None = None,
    resampling: Resampling = "bilinear",
) -> Source:
    """Open raster files as one source; see `join`.

    Args:
        paths: at least one; earlier files lie on top.
        grid_crs: see `join`.
        gsd_m: see `join`.
        resampling: see `join`.

    Raises:
        SceneError: a file cannot be a scene, or the files do not fit together.
        OptionError: no file, no such CRS, or a pixel size that is none.
    """
    return join(file_members(paths), grid_crs=grid_crs, gsd_m=gsd_m, resampling=resampling)


def file_members(paths: Sequence[str | PathLike[str]]) -> list[Member]:
    """Give raster files as members; which bands flagged alpha are data is decided for all of them together.

    Raises:
        SceneError: a file cannot be a scene.
    """
    names = [fspath(path) for path in paths]
    measured = measured_in_all(names)
    return [lazy_member(partial(open_file, name, measured=measured)) for name in names]


def join(
    parts: Sequence[Member],
    *,
    grid_crs: CRS | str | None = None,
    gsd_m: float | None = None,
    resampling: Resampling = "bilinear",
) -> Source:
    """Make one source of several parts, or bring one to another CRS.

    Without `grid_crs` parts that share a grid are put together as they are, whatever `gsd_m` is. Those that do not are
    warped onto a common one if `gsd_m` is given and they have the same CRS. With `grid_crs` all are warped.

    Args:
        parts: at least one; earlier parts lie on top.
        grid_crs: CRS of the common grid.
        gsd_m: pixel size of the common grid in metres; default that of the finest part.
        resampling: "nearest" for labels; palette indices are never interpolated.

    Raises:
        SceneError: the parts do not fit together.
        OptionError: no part, no such CRS, or a pixel size that is none.
    """
    check_members(parts)
    if grid_crs is None and (gsd_m is None or all(grid_difference(parts[0], part) is None for part in parts)):
        return MosaicSource(parts)
    if grid_crs is None:
        for part in parts:
            check_crs(parts[0], part)
    crs = parts[0].grid.crs if grid_crs is None else to_crs(grid_crs)
    common = common_grid([part.grid for part in parts], crs, paths=[part.path for part in parts], gsd_m=gsd_m)
    return MosaicSource(
        [
            _warped_part(part, common.grid.crop(window), resampling)
            for part, window in zip(parts, common.windows, strict=True)
        ]
    )


def _warped_part(part: Member, grid: Grid, resampling: Resampling) -> Member:
    """Give a part as it is on another grid; its file is opened when that is read."""
    if any(band.colorinterp == "palette" for band in part.bands):
        resampling = "nearest"  # there is nothing between two indices
    shrink = shrink_factors(part.grid, grid, path=part.path)

    def opener() -> Source:
        return warped_source(part.open(), grid, resampling=resampling, shrink=shrink)

    return replace(part, grid=grid, open=opener, block_shape=BLOCK_SHAPE, least_rows=LEAST_ROWS)


def _joined_band(bands: Sequence[Band]) -> Band:
    """Give the band of a mosaic made of a band of each part, in the first part's numbers."""
    first = bands[0]
    dtype = np.result_type(*(band.dtype for band in bands))
    if any((band.scale, band.offset) != (first.scale, first.offset) for band in bands):
        return replace(first, dtype=np.result_type(dtype, np.float32) if dtype.kind == "f" else FLOAT32, nodata=None)
    agree = len({repr(band.nodata) for band in bands}) == 1
    return replace(first, dtype=dtype, nodata=first.nodata if agree else None)
