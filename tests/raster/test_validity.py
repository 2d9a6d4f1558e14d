import math
import warnings
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.windows import Window

from geodeeplab.raster.grid import Grid
from geodeeplab.raster.sources.array import ArraySource
from geodeeplab.raster.sources.members import member_of
from geodeeplab.raster.sources.mosaic import MosaicSource
from geodeeplab.raster.sources.scaled import ScaledSource
from geodeeplab.raster.sources.source import Source
from geodeeplab.raster.sources.stacked import StackedBand, StackedSource
from geodeeplab.raster.sources.warped import WarpedSource
from geodeeplab.raster.validity import nodata_range, valid_pixels


def dark(*planes: list[list[float]], dtype: str = "uint8") -> np.ndarray:
    return np.array(planes, dtype=dtype)


def test_invalid_only_where_all_bands_are_nodata() -> None:
    array = dark([[0, 0], [7, 0]], [[0, 5], [7, 0]])
    zero = nodata_range(0, np.dtype("uint8"))
    assert valid_pixels(array, [zero, zero]).tolist() == [[False, True], [True, False]]


def test_each_band_has_its_own_nodata() -> None:
    array = dark([[0, 0, 9]], [[9, 0, 9]])
    ranges = [nodata_range(0, array.dtype), nodata_range(9, array.dtype)]
    assert valid_pixels(array, ranges).tolist() == [[False, True, True]]


def test_a_band_without_nodata_is_always_data() -> None:
    array = dark([[0, 1]], [[0, 1]])
    assert valid_pixels(array, [nodata_range(0, array.dtype), None]).all()


def test_invalid_where_any_band_is_nan() -> None:
    array = dark([[math.nan, 1, -9]], [[1, 1, -9]], dtype="float32")
    assert valid_pixels(array, [None, None]).tolist() == [[False, True, True]]
    low = nodata_range(-9, array.dtype)
    assert valid_pixels(array, [low, low]).tolist() == [[False, True, False]]


@pytest.mark.parametrize(
    ("nodata", "dtype"),
    [
        (None, "uint8"), (-9999, "uint8"), (256, "uint8"), (0.5, "uint16"), (math.nan, "int16"), (math.inf, "int32"),
        (math.nan, "float32"), (math.inf, "float32"), (-math.inf, "float64"), (1e300, "float32"),
        (-1.7976931348623157e308, "float32"),
    ],
)  # fmt: skip
def test_nodata_that_the_type_cannot_hold_marks_nothing(nodata: float | None, dtype: str) -> None:
    assert nodata_range(nodata, np.dtype(dtype)) is None


@pytest.mark.parametrize(
    ("nodata", "dtype", "value"),
    [
        (-32768, "int16", -32768),
        (65535.0, "uint16", 65535),
        (-3.4028234663852886e38, "float32", np.finfo("float32").min),
        (-3.4028235e38, "float32", np.finfo("float32").min),  # beyond the type's end by rounding, as ArcGIS writes it
        (-3.402823e38, "float32", np.finfo("float32").min),  # too few digits
        (0.1, "float32", np.float32(0.1)),
        (-9999, "float64", -9999.0),
    ],
)
def test_nodata_matches_its_value_and_nothing_far_from_it(nodata: float, dtype: str, value: float) -> None:
    array = np.array([[[value, 7, 1]]], dtype=dtype)
    assert valid_pixels(array, [nodata_range(nodata, array.dtype)]).tolist() == [[False, True, True]]


@pytest.mark.parametrize("nodata", [0.1, -9999.9, 1e-30, 1e30, 0.0])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_float_nodata_agrees_with_gdal(nodata: float, dtype: str) -> None:
    # Left out: the very edge of the tolerance, where rounding decides.
    factors = [sign * 10.0**power for power in range(-17, 0) for sign in (-1, 1)]
    array = np.array([[[nodata * (1 + factor) for factor in [0.0, *factors]]]], dtype=dtype)
    profile = {"driver": "GTiff", "count": 1, "height": 1, "width": array.shape[2], "dtype": dtype, "nodata": nodata}
    with warnings.catch_warnings(), rasterio.MemoryFile() as file:
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
        with file.open(**profile) as dst:
            dst.write(array)
        with file.open() as src:
            expected = src.dataset_mask() != 0
    assert np.array_equal(valid_pixels(array, [nodata_range(nodata, array.dtype)]), expected)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_what_is_not_finite_is_no_data(bad: float, dtype: str) -> None:
    array = dark([[bad, 1, 2]], [[1, 2, bad]], dtype=dtype)
    assert valid_pixels(array, [None, None]).tolist() == [[False, True, False]]


def test_numbers_beyond_float32_are_no_data() -> None:
    array = dark([[1e300, -1.7976931348623157e308, 3.4e38]], dtype="float64")
    assert valid_pixels(array, [None]).tolist() == [[False, False, True]]


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, -1e300])
@pytest.mark.parametrize("how", ["scaled down", "scaled up", "warped", "mosaic", "stack"])
def test_no_resampling_sees_what_is_not_finite(how: str, bad: float) -> None:
    """The same pixels are valid, and the same values come out, as where the file says nodata there."""
    grid: dict[str, Any] = {"transform": Affine(2, 0, 500_000, 0, -2, 5_000_000), "crs": "EPSG:32633"}
    numbers = np.random.default_rng(0).normal(size=(2, 12, 15))
    mask = np.random.default_rng(1).random((12, 15)) < 0.1
    poisoned = numbers.copy()
    poisoned[1, mask] = bad
    found = []
    for array, valid in ((poisoned, None), (numbers, ~mask)):
        source: Source = ArraySource(array, valid=valid, **grid)
        if how.startswith("scaled"):
            source = ScaledSource(source, (0.4, 0.3) if how == "scaled down" else (1.7, 2.3))
        elif how == "warped":
            turned = Affine(1.5, 0.4, 500_003, 0.3, -1.7, 4_999_998)
            source = WarpedSource(source, Grid(shape=(10, 10), transform=turned, crs=source.grid.crs))
        elif how == "mosaic":
            under = ArraySource(np.full((2, 12, 15), 5.0), **grid)
            source = MosaicSource([member_of(source), member_of(under)])
        else:
            bands = [StackedBand(source=source, number=n, band=source.bands[n - 1]) for n in (2, 1)]
            source = StackedSource(bands, path="s")
        height, width = source.grid.shape
        found.append(source.read(Window(0, 0, width, height), [1, 2]))
    assert np.array_equal(found[0].valid, found[1].valid)
    assert np.array_equal(found[0].array[:, found[0].valid], found[1].array[:, found[1].valid])
    assert 0 < found[0].valid.sum()


def test_a_mosaic_leaves_out_what_another_scale_takes_out_of_range() -> None:
    grid: dict[str, Any] = {"transform": Affine(2, 0, 500_000, 0, -2, 5_000_000), "crs": "EPSG:32633"}
    right = grid | {"transform": Affine(2, 0, 500_004, 0, -2, 5_000_000)}
    first = ArraySource(np.ones((1, 1, 2), np.uint16), scale=1e-30, **grid)
    second = ArraySource(np.array([[[0, 60_000]]], np.uint16), scale=1e5, **right)
    mosaic = MosaicSource([member_of(first), member_of(second)])
    assert mosaic.read(Window(0, 0, 4, 1), [1]).valid.tolist() == [[True, True, True, False]]


def test_sixteen_bit_floats_are_read_as_thirty_two() -> None:
    source = ArraySource(np.array([[-9999, 0.5]], np.float16), nodata=-9999)
    pixels = ScaledSource(source, (2, 2)).read(Window(0, 0, 4, 2), [1])
    assert pixels.array.dtype == np.float32
    assert pixels.valid.tolist() == [[False, False, True, True]] * 2
