"""One raster file as a source."""

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import rasterio
from rasterio import DatasetReader
from rasterio.windows import Window

from geodeeplab.errors import SceneError
from geodeeplab.raster.bands import Band, band_name, is_spectral
from geodeeplab.raster.decoding import GDAL_ERRORS, decode_bands, describe_window, iter_blocks, small_block_cache
from geodeeplab.raster.grid import Grid
from geodeeplab.raster.sources.opacity import measured_alphas, sample_band
from geodeeplab.raster.sources.opening import opening, root_cause
from geodeeplab.raster.sources.source import Pixels
from geodeeplab.raster.validity import nodata_range, valid_pixels

# Rows decoded in one go where the file's blocks are lower. The blocks of a VRT say nothing about the files behind it,
# which are decoded anew for every read that touches them: taller reads touch them less often.
LEAST_ROWS = 256
LEAST_ROWS_VRT = 512
SERVICES = ("WMS", "WMTS", "WCS")
"""GDAL's drivers of web services; a small file on disk says where they are."""
DAMAGED = "the file, or one that it refers to, is damaged or cut off; copy or create it again"
NOT_SERVED = (
    "the service did not give it; look at its description, or go on later, with `resume=True` where work is kept"
)


class FileSource:
    """One open raster file; see `Source`.

    A pixel is invalid where all the bands read are nodata, where any is not finite, or where an alpha band (0) or a
    mask says so. An alpha band that is itself among the bands read is data, and no mask any more; so is one whose
    pixels show that it never was alpha (see `opacity`).
    """

    def __init__(self, src: DatasetReader, *, path: str, measured: Collection[int] | None = None) -> None:
        """Take an open dataset, which is closed with the source.

        Args:
            src: the dataset.
            path: the name under which it was opened.
            measured: 1-based numbers of bands that are data though the file calls them alpha; None to look at pixels.
        """
        self._src = src
        self.path = path
        with opening(path):
            self.grid = Grid(shape=src.shape, transform=src.transform, crs=src.crs)
            flagged = [number for number, one in enumerate(src.colorinterp, start=1) if one.name == "alpha"]
            self.bands = _bands_of(src, _find_measured(src, flagged) if measured is None else measured)
            self.driver = str(src.driver)
            self.tags = dict(src.tags())
            self.files = tuple(dict.fromkeys((path, *src.files)))
        self.least_rows = LEAST_ROWS_VRT if self.driver == "VRT" else LEAST_ROWS
        self._mask_numbers = lru_cache(maxsize=None)(self._find_masks)

    def block_shape(self, numbers: Sequence[int]) -> tuple[int, int]:
        """Give (height, width) of the blocks, see `Source.block_shape`."""
        shapes = [self._src.block_shapes[number - 1] for number in numbers]
        return max(height for height, _ in shapes), max(width for _, width in shapes)

    def read(self, window: Window, numbers: Sequence[int]) -> Pixels:
        """Read bands of a window, see `Source.read`."""
        try:
            with small_block_cache(self._src.name):
                return self._read(window, numbers)
        except GDAL_ERRORS as error:
            place, cause = self._first_bad_block(window, numbers, error)
            raise SceneError(
                f"scene '{self.path}' cannot be read in {place} "
                f"({root_cause(cause)}): {DAMAGED if self.driver not in SERVICES else NOT_SERVED}"
            ) from error

    def is_all_valid(self, numbers: Sequence[int]) -> bool:
        """Tell whether every pixel is sure to be valid, see `Source.is_all_valid`."""
        ranges = [nodata_range(self.bands[number - 1].nodata, self.bands[number - 1].dtype) for number in numbers]
        floats = any(self.bands[number - 1].dtype.kind == "f" for number in numbers)
        return not (floats or all(ranges) or self._alphas(numbers) or self._mask_numbers(tuple(numbers)))

    @contextmanager
    def reduced(self, factor: int) -> Iterator["FileSource"]:
        """Lend the file's smallest overview whose pixels are at most `factor` times as large; itself if there is none.

        A mask of the whole file may have no overviews of its own, so a file with one is lent as it is.
        """
        numbers = tuple(band.number for band in self.bands if not band.is_alpha)
        factors = [self._src.overviews(number) for number in self._src.indexes]
        levels = [level for level, times in enumerate(factors[0]) if times <= factor]
        if not levels or any(one != factors[0] for one in factors) or self._mask_numbers(numbers):
            yield self
            return
        with opening(self.path):
            src = rasterio.open(self._src.name, overview_level=max(levels, key=lambda level: factors[0][level]))
        with src:
            measured = [band.number for band in self.bands if not band.is_alpha]
            yield FileSource(src, path=self.path, measured=measured)

    def close(self) -> None:
        """Close the file."""
        self._src.close()

    def sample_alphas(self) -> dict[int, npt.NDArray[np.generic]]:
        """Read some pixels (n,) of each band that is alpha, see `sample_band`."""
        return {band.number: sample_band(self._src, band.number) for band in self.bands if band.is_alpha}

    def _read(self, window: Window, numbers: Sequence[int]) -> Pixels:
        chosen = [self.bands[number - 1] for number in numbers]
        alphas, masks = self._alphas(numbers), self._mask_numbers(tuple(numbers))
        everything = decode_bands(self._src, [*numbers, *alphas], window)
        array = everything[: len(chosen)].astype(np.result_type(*(band.dtype for band in chosen)), copy=False)
        valid = valid_pixels(array, [nodata_range(band.nodata, band.dtype) for band in chosen])
        for alpha in everything[len(chosen) :]:
            valid &= alpha != 0
        if masks:
            valid &= (self._src.read_masks(masks, window=window) != 0).all(axis=0)
        return Pixels(array=array, valid=valid)

    def _alphas(self, numbers: Sequence[int]) -> list[int]:
        return [band.number for band in self.bands if band.is_alpha and band.number not in numbers]

    def _find_masks(self, numbers: tuple[int, ...]) -> list[int]:
        """Give the bands whose GDAL mask has to be read: one for a mask of the whole file, each that has its own.

        Flags: "all_valid" and a band's "nodata" need no reading, "alpha" is read as a band.
        """
        with opening(self.path), rasterio.Env():  # the first look for masks may make GDAL warn
            all_flags = [{flag.name for flag in flags} for flags in self._src.mask_flag_enums]
        flags = {number: all_flags[number - 1] for number in numbers}
        own = [number for number, names in flags.items() if not names]
        shared = [number for number, names in flags.items() if "per_dataset" in names and "alpha" not in names]
        return own + shared[:1]

    def _first_bad_block(self, window: Window, numbers: Sequence[int], error: Exception) -> tuple[str, Exception]:
        """Name the first block in a window that cannot be read, and give its error; called after a failure only.

        Where several blocks fail in threads, the error of the whole read may be that of any.
        """
        for block in iter_blocks(window, block_shape=self.block_shape(numbers), shape=self.grid.shape):
            try:
                self._read(block, numbers)
            except GDAL_ERRORS as found:
                return f"the block of {describe_window(block)}", found
        return describe_window(window), error  # a second attempt went well: the file is being written, or on a network


def _find_measured(src: DatasetReader, flagged: Sequence[int]) -> frozenset[int]:
    """Give those bands flagged alpha that are data: by what the file calls them, or by their pixels."""
    named = {number for number in flagged if is_spectral(src.descriptions[number - 1])}
    return frozenset(named) | measured_alphas(src, [number for number in flagged if number not in named])


def _bands_of(src: DatasetReader, measured: Collection[int]) -> tuple[Band, ...]:
    """Describe the bands; those of `measured` are not alpha, whatever the file says."""
    interps = [interp.name.lower() for interp in src.colorinterp]
    was_alpha = [interp == "alpha" and number in measured for number, interp in enumerate(interps, start=1)]
    interps = ["undefined" if was else interp for was, interp in zip(was_alpha, interps, strict=True)]
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
            was_alpha=was_alpha[number - 1],
        )
        for number, description, interp, dtype, scale, offset, nodata in zip(
            src.indexes, src.descriptions, interps, src.dtypes, src.scales, src.offsets, src.nodatavals, strict=True
        )
    )
