import math
import warnings

import numpy as np
import pytest
import rasterio

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
        (math.nan, "float32"), (1e300, "float32"), (-1.7976931348623157e308, "float32"),
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
        (-math.inf, "float32", -math.inf),
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
