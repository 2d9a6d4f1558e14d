"""Bands from several files as one raster: Landsat's and Sentinel-2's band files, the assets of a STAC item."""

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from os import PathLike, fspath
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt
from rasterio.windows import Window

from geodeeplab.errors import OptionError, SceneError
from geodeeplab.raster.bands import Band
from geodeeplab.raster.crs import same_crs
from geodeeplab.raster.grid import Grid
from geodeeplab.raster.sources.remote import open_file_source, over_network
from geodeeplab.raster.sources.source import Pixels, Source
from geodeeplab.raster.validity import nodata_range, valid_pixels

GRID_TOLERANCE = 0.01
"""Pixels, of the finest band, by which the corners of two grids may differ and still be the same."""


@dataclass(frozen=True, kw_only=True)
class StackedBand:
    """One band of a stack: where it is read, and what it is."""

    source: Source
    """Where its pixels come from; may be shared by several bands."""
    number: int
    """1-based, in that source."""
    band: Band
    """As the stack shows it: name, scale, offset and nodata may differ from the source's; the number is the stack's."""


class StackedSource:
    """Bands of several sources as one; see `Source`.

    The grid is that of the finest source. A band that is coarser by a whole factor (Sentinel-2's 20 m and 60 m bands
    beside 10 m) is enlarged by repeating its pixels, so its values stay what they are; it may reach past the finest
    grid by less than one of its own pixels.

    A pixel is invalid as in one file: where all the bands read are nodata, where any is not finite, or where the alpha
    band or mask of any file that is read says so. Nodata is what the stack's bands state, whatever their sources do.
    (Where a source both states nodata and has a mask, a masked pixel of all nodata values counts as nodata.)

    Args:
        bands: at least one; sources are closed with the stack.
        path: how messages name it.

    Raises:
        SceneError: sources differ in CRS or bounds, or a resolution is no multiple of the finest.
        OptionError: there are no bands.
    """

    driver = "stack"

    def __init__(self, bands: Sequence[StackedBand], *, path: str) -> None:
        if not bands:
            raise OptionError("a stack has at least one band, got none: name the bands or the files")
        self.path = path
        self._bands = tuple(bands)
        self._sources = tuple({id(one.source): one.source for one in bands}.values())
        finest = min(self._sources, key=lambda source: source.grid.pixel_area)
        self.grid = finest.grid
        self._factors = {id(source): _factors(finest, source) for source in self._sources}
        self.bands = tuple(replace(one.band, number=number) for number, one in enumerate(bands, start=1))
        tags = [set(source.tags.items()) for source in self._sources]
        self.tags = dict(sorted(set.intersection(*tags)))
        self.least_rows = max(source.least_rows for source in self._sources)
        self.files = tuple(dict.fromkeys(file for source in self._sources for file in source.files))

    def block_shape(self, numbers: Sequence[int]) -> tuple[int, int]:
        """Give (height, width) of the blocks on the stack's grid, see `Source.block_shape`."""
        heights, widths = [], []
        for source, channels in self._by_source(numbers):
            height, width = source.block_shape([self._bands[numbers[channel] - 1].number for channel in channels])
            y_factor, x_factor = self._factors[id(source)]
            heights.append(height * y_factor)
            widths.append(width * x_factor)
        return max(heights), max(widths)

    def read(self, window: Window, numbers: Sequence[int]) -> Pixels:
        """Read bands of a window, see `Source.read`."""
        chosen = [self.bands[number - 1] for number in numbers]
        shape = (int(window.height), int(window.width))
        array = np.empty((len(numbers), *shape), dtype=np.result_type(*(band.dtype for band in chosen)))
        unmasked = np.ones(shape, dtype=np.bool_)
        for source, channels in self._by_source(numbers):
            planes, kept = _read_enlarged(
                source, window, [self._bands[numbers[c] - 1].number for c in channels], self._factors[id(source)]
            )
            array[channels] = planes
            unmasked &= kept
        valid = valid_pixels(array, [nodata_range(band.nodata, band.dtype) for band in chosen])
        return Pixels(array=array, valid=valid & unmasked)

    def is_all_valid(self, numbers: Sequence[int]) -> bool:
        """Tell whether every pixel is sure to be valid, see `Source.is_all_valid`."""
        chosen = [self.bands[number - 1] for number in numbers]
        if all(nodata_range(band.nodata, band.dtype) for band in chosen):
            return False
        return all(
            source.is_all_valid([self._bands[numbers[channel] - 1].number for channel in channels])
            for source, channels in self._by_source(numbers)
        )

    def close(self) -> None:
        """Close all sources."""
        for source in self._sources:
            source.close()

    def _by_source(self, numbers: Sequence[int]) -> list[tuple[Source, list[int]]]:
        """Give each source that these bands need, with the channels that it fills."""
        found = [
            (source, [c for c, number in enumerate(numbers) if self._bands[number - 1].source is source])
            for source in self._sources
        ]
        return [(source, channels) for source, channels in found if channels]


def open_stacked(paths: Sequence[str | PathLike[str]]) -> StackedSource:
    """Open band files as one stack: all bands of each in this order, but those that are alpha.

    The only band of a file that does not describe it is named after the file: `LC08_B4.tif` gives "LC08_B4".

    Raises:
        SceneError: a file cannot be opened, or they differ in CRS or bounds; see `StackedSource`.
    """
    sources: list[Source] = []
    bands: list[StackedBand] = []
    try:
        for path in paths:
            source, own = open_part(fspath(path))
            sources.append(source)
            data = [band for band in own if not band.is_alpha]
            for band in data:
                is_nameless = len(data) == 1 and band.name in ("1", "gray")
                name = PurePosixPath(source.path.partition("?")[0].replace("\\", "/")).stem
                bands.append(stacked_band(source, band, name=name if is_nameless else band.name))
        return StackedSource(bands, path=_describe([source.path for source in sources]))
    except BaseException:
        for source in sources:
            source.close()
        raise


def open_part(path: str, *, measured: Collection[int] | None = None) -> tuple[Source, tuple[Band, ...]]:
    """Open a file for a stack: the source, whose bands state no nodata, and the bands as the file states them.

    It is for the stack to say what nodata is, over all its bands; so the source tells what is masked and nothing else.

    Args:
        path: the file.
        measured: bands that are known to be data, though the file may call them alpha; None to look at their pixels.

    Raises:
        SceneError: the file cannot be opened.
    """
    file = open_file_source(path, measured=measured)
    bands = file.bands if measured is None else tuple(replace(band, was_alpha=False) for band in file.bands)
    file.bands = tuple(replace(band, nodata=None) for band in bands)
    return over_network(file), bands


def stacked_band(
    source: Source,
    band: Band,
    *,
    name: str,
    scale: float | None = None,
    offset: float | None = None,
    nodata: float | None = None,
) -> StackedBand:
    """Put a band of a source into a stack under a name; what is None stays as the band states it.

    "gray" is no colour of one band among several.
    """
    stated = replace(
        band,
        name=name,
        scale=band.scale if scale is None else scale,
        offset=band.offset if offset is None else offset,
        nodata=band.nodata if nodata is None else nodata,
        colorinterp="undefined" if band.colorinterp == "gray" else band.colorinterp,
    )
    return StackedBand(source=source, number=band.number, band=stated)


def _describe(paths: Sequence[str]) -> str:
    more = f" and {len(paths) - 1} more" if len(paths) > 1 else ""
    return f"{paths[0]}{more}" if paths else "no files"


def _factors(finest: Source, source: Source) -> tuple[int, int]:
    """Give how many pixels (down, across) of the finest grid one pixel of a source covers; (1, 1) for the same grid.

    Raises:
        SceneError: it is not so.
    """
    fine, coarse = finest.grid, source.grid
    if not same_crs(coarse.crs, fine.crs):
        raise SceneError(
            f"bands that are stacked have one CRS: '{source.path}' has {_name(coarse)}, '{finest.path}' {_name(fine)}; "
            "warp one onto the grid of the other: gdalwarp -t_srs"
        )
    inner = ~fine.transform @ coarse.transform  # pixels of the coarse grid in those of the fine one
    factors = max(1, round(inner.e)), max(1, round(inner.a))
    end = (fine.width / factors[1], fine.height / factors[0])
    corners = [(0.0, 0.0), (end[0], 0.0), (0.0, end[1]), end]
    off = max(math.dist(inner @ (col, row), (col * factors[1], row * factors[0])) for col, row in corners)
    if off > GRID_TOLERANCE or coarse.shape != (math.ceil(end[1]), math.ceil(end[0])):
        raise SceneError(
            "bands that are stacked have the same bounds, and a coarser one pixels of a whole multiple: "
            f"'{source.path}' is {_grid_name(coarse)}, '{finest.path}' {_grid_name(fine)}; warp one onto the grid of "
            "the other: gdalwarp -te -tr"
        )
    return factors


def _read_enlarged(
    source: Source, window: Window, numbers: list[int], factors: tuple[int, int]
) -> tuple[npt.NDArray[Any], npt.NDArray[np.bool_]]:
    """Read a window of the fine grid from a source that is coarser: pixels, and where no mask hides them."""
    rows = np.arange(window.row_off, window.row_off + window.height) // factors[0]
    cols = np.arange(window.col_off, window.col_off + window.width) // factors[1]
    inner = Window(int(cols[0]), int(rows[0]), int(cols[-1] - cols[0]) + 1, int(rows[-1] - rows[0]) + 1)
    pixels = source.read(inner, numbers)
    own = [source.bands[number - 1] for number in numbers]
    unmasked = pixels.valid
    ranges = [nodata_range(band.nodata, band.dtype) for band in own]
    if all(ranges):  # its own nodata is not what counts
        unmasked = unmasked | ~valid_pixels(pixels.array, ranges)
    if factors == (1, 1):
        return pixels.array, unmasked
    rows, cols = rows - rows[0], cols - cols[0]
    return pixels.array[:, rows[:, None], cols], unmasked[rows[:, None], cols]


def _name(grid: Grid) -> str:
    return "none" if grid.crs is None else str(grid.crs)


def _grid_name(grid: Grid) -> str:
    x_res, y_res = grid.res
    x, y = grid.transform.c, grid.transform.f
    return f"{grid.height} x {grid.width} pixels of {x_res:.9g} x {y_res:.9g} from ({x:.9g}, {y:.9g}) on"
