"""A source with larger or smaller pixels: a pure scale of its own grid, rotation and shear kept."""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import gcd
from typing import Any

import numpy as np
import numpy.typing as npt
from affine import Affine
from rasterio.windows import Window

from geodeeplab.errors import OptionError, SceneError
from geodeeplab.raster.bands import Band
from geodeeplab.raster.grid import Grid
from geodeeplab.raster.sources.source import Pixels, Source

# A factor is used as a fraction of numbers up to this: all weights are then whole numbers and all sums of them exact.
# The grid is off by less than 1e-6 of a pixel along 1,000,000 of them, and its transform says exactly what is used.
LARGEST_TERM = 1_000_000
LARGEST_FACTOR = 1000
LARGEST_BLOCK = 512  # rows and columns that a block grows to in enlarging
LARGEST_MULTIPLE = 8  # blocks of the source that are put together so that they end where a scaled row ends

Factor = float | Fraction


class ScaledSource:
    """Another source, its grid scaled; see `Source`. The source is closed with it.

    The shape is `ceil(length * factor)` along each axis; the last row and column may reach past the source, and count
    only what lies within. Along an axis that shrinks a pixel is the average by area of what it covers, along one that
    grows it is interpolated linearly between pixel centres; invalid pixels have no weight. It is valid where any of the
    area that it covers is valid, so that no valid pixel of the source goes without. Means are taken in float64 and, of
    integers, rounded half to even; invalid pixels hold the nodata value, or 0.

    Args:
        source: what is scaled.
        factor: of rows and of columns (fy, fx), new pixels per old one: less than 1 shrinks the array.

    Raises:
        OptionError: a factor is out of range.
    """

    def __init__(self, source: Source, factor: tuple[Factor, Factor]) -> None:
        self._source = source
        self._fractions = exact_factor(factor[0]), exact_factor(factor[1])
        self.path = source.path
        self.grid = scaled_grid(source.grid, self._fractions)
        self.bands = source.bands
        self.driver = source.driver
        self.tags = source.tags
        self.least_rows = max(1, min(source.least_rows, int(source.least_rows * self._fractions[0])))
        self.files = source.files

    def block_shape(self, numbers: Sequence[int]) -> tuple[int, int]:
        """Give (height, width) that covers whole blocks of the source if possible, see `Source.block_shape`."""
        height, width = self._source.block_shape(numbers)
        return _scaled_block(height, self._fractions[0]), _scaled_block(width, self._fractions[1])

    def read(self, window: Window, numbers: Sequence[int]) -> Pixels:
        """Read bands of a window, see `Source.read`; the source is read in strips as high as is worth a read."""
        chosen = [self.bands[number - 1] for number in numbers]
        dtype = np.result_type(*(band.dtype for band in chosen))
        array = np.empty((len(numbers), window.height, window.width), dtype=dtype)
        valid = np.empty((window.height, window.width), dtype=np.bool_)
        height = self.block_shape(numbers)[0]
        step = height * -(-self.least_rows // height)
        columns = _AxisTaps.of(window.col_off, window.width, self._source.grid.width, self._fractions[1])
        row, stop = window.row_off, window.row_off + window.height
        while row < stop:
            end = min(stop, (row // step + 1) * step)
            rows = _AxisTaps.of(row, end - row, self._source.grid.height, self._fractions[0])
            strip = slice(row - window.row_off, end - window.row_off)
            self._read_strip(rows, columns, numbers, array[:, strip], valid[strip])
            row = end
        for plane, fill in zip(array, fill_values(chosen, dtype), strict=True):
            plane[~valid] = fill
        return Pixels(array=array, valid=valid)

    def is_all_valid(self, numbers: Sequence[int]) -> bool:
        """Tell whether every pixel is sure to be valid, see `Source.is_all_valid`."""
        return self._source.is_all_valid(numbers)

    def close(self) -> None:
        """Close the source."""
        self._source.close()

    def _read_strip(
        self,
        rows: "_AxisTaps",
        columns: "_AxisTaps",
        numbers: Sequence[int],
        out: npt.NDArray[Any],
        out_valid: npt.NDArray[np.bool_],
    ) -> None:
        from geodeeplab.raster.sources.kernels import sum_weights, weighted_mean

        pixels = self._source.read(
            Window(columns.start, rows.start, columns.stop - columns.start, rows.stop - rows.start), numbers
        )
        all_valid = bool(pixels.valid.all())
        down, right = rows.values.kernel_args(rows.start), columns.values.kernel_args(columns.start)
        weights = np.outer(rows.values.totals, columns.values.totals)
        out_valid[:] = True
        if not all_valid:
            sum_weights(pixels.valid, *down, *right, weights)
            covered = weights
            if rows.cover is not rows.values or columns.cover is not columns.values:
                covered = np.empty_like(weights)
                cover = (*rows.cover.kernel_args(rows.start), *columns.cover.kernel_args(columns.start))
                sum_weights(pixels.valid, *cover, covered)
            out_valid[:] = covered > 0
        means = np.empty(out.shape, dtype=out.dtype)  # contiguous, as the kernel is compiled for
        array = np.ascontiguousarray(pixels.array)
        weighted_mean(array, pixels.valid, all_valid, *down, *right, weights, out.dtype.kind in "iu", means)
        out[:] = means


def exact_factor(factor: Factor) -> Fraction:
    """Give the fraction that a factor is used as: it itself, when its terms are at most 1,000,000.

    Raises:
        OptionError: it is not between 1/1000 and 1000.
    """
    if not 1 / LARGEST_FACTOR <= factor <= LARGEST_FACTOR:
        raise OptionError(
            f"a scene is scaled by factors from 1/{LARGEST_FACTOR} to {LARGEST_FACTOR}, got {float(factor):g}: "
            "check the pixel size that is asked for"
        )
    if factor > 1:  # limits the larger of the two terms
        return 1 / (1 / Fraction(factor)).limit_denominator(LARGEST_TERM)
    return Fraction(factor).limit_denominator(LARGEST_TERM)


def factor_to_gsd(grid: Grid, gsd_m: float, *, path: str) -> tuple[float, float]:
    """Give the factors (fy, fx) that bring the pixels of a grid to a size in metres.

    Raises:
        SceneError: the size of the grid's pixels in metres is not known.
        OptionError: the size is not positive.
    """
    if not gsd_m > 0:
        raise OptionError(f"a pixel size is a positive number of metres, got {gsd_m:g}: give e.g. 0.5")
    if grid.gsd_m is None:
        raise SceneError(
            f"scene '{path}' has no pixel size in metres, so it cannot be scaled to {gsd_m:g} m: "
            "assign its CRS (gdal_edit.py -a_srs EPSG:CODE), or leave it at its own size"
        )
    return grid.gsd_m[1] / gsd_m, grid.gsd_m[0] / gsd_m


def scaled_grid(grid: Grid, factor: tuple[Factor, Factor]) -> Grid:
    """Give the grid with `ceil(length * factor)` rows and columns from the same corner."""
    fy, fx = exact_factor(factor[0]), exact_factor(factor[1])
    transform = grid.transform @ Affine.scale(float(1 / fx), float(1 / fy))
    return Grid(
        shape=(_scaled_length(grid.height, fy), _scaled_length(grid.width, fx)), transform=transform, crs=grid.crs
    )


def scaled_indices(start: int, stop: int, factor: Factor) -> npt.NDArray[np.intp]:
    """Give for rows (or columns) of a source the scaled ones that their centres lie in: `floor((i + 0.5) * factor)`.

    Law: the indices never fall, and lie within the scaled source.
    """
    fraction = exact_factor(factor)
    numerators = (2 * np.arange(start, stop, dtype=np.int64) + 1) * fraction.numerator
    return (numerators // (2 * fraction.denominator)).astype(np.intp)


def first_at(index: int, length: int, factor: Factor) -> int:
    """Give the first row (or column) of a source whose centre lies in a scaled one, or beyond; `length` if none does.

    Law: `first_at(k, n, f) == np.searchsorted(scaled_indices(0, n, f), k)`.
    """
    fraction = exact_factor(factor)
    first = -((fraction.numerator - 2 * fraction.denominator * index) // (2 * fraction.numerator))
    return min(max(first, 0), length)


def fill_values(bands: Sequence[Band], dtype: np.dtype[Any]) -> list[Any]:
    """Give what invalid pixels hold in sources that are computed: the nodata value if the type can hold it, else 0."""
    return [dtype.type(_fill_value(band.nodata, dtype)) for band in bands]


def _fill_value(nodata: float | None, dtype: np.dtype[Any]) -> float | int:
    if nodata is None or (np.isnan(nodata) and dtype.kind != "f"):
        return 0
    if dtype.kind == "f":
        return nodata if not np.isfinite(nodata) or abs(nodata) <= np.finfo(dtype).max else 0
    limits = np.iinfo(dtype)
    return int(nodata) if limits.min <= nodata <= limits.max and nodata == int(nodata) else 0


@dataclass(frozen=True, kw_only=True)
class _Taps:
    """Which pixels of the source count for each of n pixels along one axis, and how much."""

    first: npt.NDArray[np.int64]
    """(n,) the first one."""
    count: npt.NDArray[np.int64]
    """(n,) how many, at least 1."""
    weights: npt.NDArray[np.float64]
    """(n, most) whole numbers; of those that count all are positive, the others 0."""

    @property
    def totals(self) -> npt.NDArray[np.float64]:
        """(n,) sums of the weights."""
        sums: npt.NDArray[np.float64] = self.weights.sum(axis=1)
        return sums

    def kernel_args(self, start: int) -> tuple[npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any]]:
        """Give first (counted from `start`), count and weights."""
        return self.first - start, self.count, self.weights


@dataclass(frozen=True, kw_only=True)
class _AxisTaps:
    """The taps of some scaled pixels along one axis."""

    values: _Taps
    """Weights of the values: by area in shrinking, linear between the centres in growing."""
    cover: _Taps
    """Weights by area, which decide on validity; the same object in shrinking."""

    @classmethod
    def of(cls, start: int, count: int, length: int, factor: Fraction) -> "_AxisTaps":
        """Give the taps of scaled pixels start ... start + count - 1 of a source of this length."""
        indices = np.arange(start, start + count, dtype=np.int64)
        cover = _area_taps(indices, length, factor)
        return cls(values=_linear_taps(indices, length, factor) if factor > 1 else cover, cover=cover)

    @property
    def start(self) -> int:
        """First pixel of the source that counts."""
        return int(min(self.values.first[0], self.cover.first[0]))

    @property
    def stop(self) -> int:
        """The pixel after the last one that counts."""
        return int(max(taps.first[-1] + taps.count[-1] for taps in (self.values, self.cover)))


def _area_taps(indices: npt.NDArray[np.int64], length: int, factor: Fraction) -> _Taps:
    """Weigh pixels by the length that a scaled pixel covers of them, in units of 1/numerator pixel."""
    new, old = factor.numerator, factor.denominator
    low, high = indices * old, np.minimum((indices + 1) * old, length * new)
    first = low // new
    count = (high - 1) // new - first + 1
    pixel = first[:, None] + np.arange(count.max())
    weights = np.minimum(high[:, None], (pixel + 1) * new) - np.maximum(low[:, None], pixel * new)
    return _Taps(first=first, count=count, weights=np.maximum(weights, 0).astype(np.float64))


def _linear_taps(indices: npt.NDArray[np.int64], length: int, factor: Fraction) -> _Taps:
    """Weigh the two pixels whose centres are around that of a scaled pixel, in units of 1/(2 numerator) pixel.

    At the ends one of them does not exist: its weight is 0, and the other one's is all there is.
    """
    new, old = factor.numerator, factor.denominator
    centre = (2 * indices + 1) * old - new
    left = centre // (2 * new)
    share = centre - left * (2 * new)
    weights = np.stack([2 * new - share, share], axis=1)
    weights[left + 1 >= length, 1] = 0
    is_before = left < 0
    weights[is_before] = np.stack([share[is_before], np.zeros_like(share[is_before])], axis=1)
    return _Taps(
        first=np.maximum(left, 0), count=1 + (weights[:, 1] > 0).astype(np.int64), weights=weights.astype(np.float64)
    )


def _scaled_length(length: int, factor: Fraction) -> int:
    return -(-length * factor.numerator // factor.denominator)


def _scaled_block(length: int, factor: Fraction) -> int:
    """Give the length of scaled blocks.

    In shrinking several blocks of the source together, where they end at a scaled pixel's end, so that none is decoded
    twice; in growing a part of one, so that memory does not grow with the square of the factor.
    """
    multiple = factor.denominator // gcd(length * factor.numerator, factor.denominator)
    if multiple <= LARGEST_MULTIPLE:
        whole = multiple * length * factor.numerator // factor.denominator
    else:
        whole = max(1, int(length * factor))
    largest = max(length, LARGEST_BLOCK)
    return whole if whole <= largest else -(-whole // -(-whole // largest))
