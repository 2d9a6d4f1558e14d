from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import rasterio
import xarray as xr
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.crs import CRS
from rasterio.windows import Window

from geodeeplab.errors import SceneError
from geodeeplab.raster import Scene
from geodeeplab.raster.sources.array import ArraySource, from_xarray
from geodeeplab.raster.sources.remote import open_file
from tests.examples import examples

rioxarray = pytest.importorskip("rioxarray")

MakeRaster = Callable[..., Path]
UTM = CRS.from_epsg(32633)
PLACE = Affine(2, 0, 500_000, 0, -3, 5_000_000)
WHOLE = Window(0, 0, 5, 4)


def image(dtype: str = "uint8") -> npt.NDArray[Any]:
    return np.arange(60).reshape(3, 4, 5).astype(dtype)


def test_an_array_is_a_scene() -> None:
    source = ArraySource(image(), transform=PLACE, crs="EPSG:32633", bands=["red", "green", "nir"], nodata=7)
    assert (source.grid.shape, source.grid.transform, source.grid.crs) == ((4, 5), PLACE, UTM)
    assert (source.path, source.driver, source.files, source.tags) == ("array", "array", (), {})
    assert source.block_shape([1]) == (1, 5)
    with Scene(source, bands=["NIR", 1, 1]) as scene:
        assert np.array_equal(scene.read(WHOLE).array, image()[[2, 0, 0]])
        assert scene.bands[0].nodata == 7
        assert not scene.is_all_valid


def test_one_band_and_no_place() -> None:
    source = ArraySource(image()[0])
    assert source.grid.crs is None
    assert source.grid.transform.is_identity
    assert [band.name for band in source.bands] == ["1"]
    pixels = source.read(Window(1, 2, 3, 2), [1, 1])
    assert np.array_equal(pixels.array, image()[[0, 0], 2:4, 1:4])
    pixels.array[:] = 99  # a copy
    assert image()[0].max() < 99
    assert source.is_all_valid([1])


@settings(max_examples=examples(50))
@given(st.integers(0, 3), st.integers(0, 4), st.integers(1, 4), st.integers(1, 5))
def test_a_pixel_does_not_depend_on_the_window(row: int, col: int, height: int, width: int) -> None:
    array = image("float32")
    array[1, 2, 3], array[:, 0, 0] = np.nan, 11
    valid = np.ones((4, 5), dtype=np.bool_)
    valid[3, 1] = False
    source = ArraySource(array, nodata=11, valid=valid)
    window = Window(col, row, min(width, 5 - col), min(height, 4 - row))
    everything, part = source.read(WHOLE, [3, 2]), source.read(window, [3, 2])
    assert np.array_equal(part.array, everything.array[:, *window.toslices()], equal_nan=True)
    assert np.array_equal(part.valid, everything.valid[window.toslices()])
    assert np.argwhere(~everything.valid).tolist() == [[0, 0], [2, 3], [3, 1]]


def test_other_byte_orders_become_the_machines() -> None:
    pixels = ArraySource(image(">u2")).read(WHOLE, [1])
    assert pixels.array.dtype == np.dtype("uint16")
    assert pixels.array.dtype.isnative
    assert np.array_equal(pixels.array, image()[:1])


class Lazy:
    """Like a zarr array: has a shape, a type and chunks, and remembers what was asked of it."""

    shape, dtype, chunks = (3, 4, 5), np.dtype("uint8"), (1, 2, 5)

    def __init__(self) -> None:
        self.asked: list[Any] = []

    def __getitem__(self, index: Any) -> npt.NDArray[Any]:  # noqa: ANN401
        self.asked.append(index)
        return image()[index]  # type: ignore[no-any-return]


def test_a_lazy_array_is_read_by_windows() -> None:
    lazy = Lazy()
    source = ArraySource(lazy)
    assert lazy.asked == []
    assert np.array_equal(source.read(Window(1, 2, 3, 2), [3, 1]).array, image()[[2, 0], 2:4, 1:4])
    assert lazy.asked == [([0, 2], slice(2, 4), slice(1, 4))]
    assert source.block_shape([1]) == (2, 5)


@pytest.mark.parametrize(
    ("array", "options", "message"),
    [
        (np.zeros((2, 2), complex), {}, "integers or floating-point numbers up to 64 bits, got complex128"),
        (np.zeros((2, 2), bool), {}, "got bool: convert it"),
        (np.zeros((2, 2), np.longdouble), {}, "up to 64 bits"),
        (np.zeros(3), {}, r"\(C, H, W\) or \(H, W\), got ndarray of shape \(3,\)"),
        (np.zeros((0, 2)), {}, r"of shape \(0, 2\)"),
        ([[1, 2]], {}, "got list of shape None"),
        (np.ma.zeros((2, 2)), {}, "is masked: pass its data"),
        (np.zeros((2, 2)), {"bands": ["a", "b"]}, r"has 1 bands, got the names \['a', 'b'\]"),
        (np.zeros((3, 2, 2)), {"bands": "rgb"}, "got the names 'rgb': give one for each"),
        (np.zeros((2, 2)), {"valid": np.ones((2, 3), bool)}, r"boolean array of 2 x 2, got bool \(2, 3\)"),
        (np.zeros((2, 2)), {"valid": np.ones((2, 2))}, "got float64"),
        (np.zeros((2, 2)), {"crs": "somewhere"}, "CRS of array cannot be understood"),
    ],
)
def test_what_is_no_scene(array: Any, options: dict[str, Any], message: str) -> None:  # noqa: ANN401
    with pytest.raises(SceneError, match=message):
        ArraySource(array, **options)


SCENES = [
    "rasterio/RGB.byte.tif",
    "rasterio/rotated.tif",
    "stars/geomatrix.tif",
    "terratorch/segmentation_test_0_input.tif",
    "ftw-baselines/inference-img.tif",
    "rio-tiler/inverted_lat.tif",
    "rio-tiler/cog_nodata.tif",
    "opengeos-data/1985.tif",
]


@pytest.mark.parametrize("name", SCENES)
def test_rioxarray_and_the_file_are_the_same_scene(shared_data: Path, name: str) -> None:
    path = shared_data / "scenes" / name
    with rioxarray.open_rasterio(path) as data:
        source, file = from_xarray(data), open_file(str(path))
        assert source.grid.shape == file.grid.shape
        assert source.grid.crs == file.grid.crs
        assert source.grid.transform.almost_equals(file.grid.transform, 1e-12)
        numbers = [band.number for band in file.bands if not band.is_alpha]
        for window in (Window(3, 2, 7, 5), Window(0, 0, *file.grid.shape[::-1])):
            ours, theirs = source.read(window, numbers), file.read(window, numbers)
            assert np.array_equal(ours.array, theirs.array, equal_nan=True)
            assert ours.array.dtype == theirs.array.dtype
            assert np.array_equal(ours.valid, theirs.valid)
        part = from_xarray(data.isel(x=slice(4, 9), y=slice(2, 6)))  # its GeoTransform is that of the whole
        assert part.grid.transform.almost_equals(file.grid.crop(Window(4, 2, 5, 4)).transform, 1e-12)
        file.close()


def made(**coords: Any) -> xr.DataArray:  # noqa: ANN401
    ys, xs = 5_000_000 - 3 * (np.arange(4) + 0.5), 500_000 + 2 * (np.arange(5) + 0.5)
    return xr.DataArray(image(), dims=("band", "y", "x"), coords={"y": ys, "x": xs} | coords)


def test_coordinates_alone_say_where_it_is() -> None:
    source = from_xarray(made())
    assert source.grid.transform.almost_equals(PLACE)
    assert source.grid.crs is None
    south_up = from_xarray(made().isel(y=slice(None, None, -1)))
    assert south_up.grid.transform.almost_equals(Affine(2, 0, 500_000, 0, 3, 5_000_000 - 12))
    assert from_xarray(xr.DataArray(image(), dims=("band", "y", "x"))).grid.transform.is_identity


def test_dimensions_in_any_order_and_names() -> None:
    data = made(band=["red", "green", "nir"]).rename(y="latitude", x="longitude")
    source = from_xarray(data.transpose("longitude", "latitude", "band").rename("reflectance"))
    assert np.array_equal(source.read(WHOLE, [1, 2, 3]).array, image())
    assert [band.name for band in source.bands] == ["red", "green", "nir"]
    assert source.path == "array 'reflectance'"
    assert from_xarray(data.isel(band=1)).read(WHOLE, [1]).array.tolist() == image()[[1]].tolist()


@pytest.mark.parametrize(
    ("coords", "attrs", "names"),
    [
        ([1, 2, 3], {}, ["1", "2", "3"]),
        ([4, 3, 2], {}, ["4", "3", "2"]),
        ([1, 2, 3], {"long_name": ("red", "green", "blue")}, ["red", "green", "blue"]),
        ([1, 2, 3], {"long_name": "reflectance"}, ["1", "2", "3"]),
    ],
)
def test_names_of_bands(coords: list[int], attrs: dict[str, Any], names: list[str]) -> None:
    assert [band.name for band in from_xarray(made(band=coords).assign_attrs(attrs)).bands] == names


def test_attributes_say_what_the_numbers_mean() -> None:
    data = made().assign_attrs(_FillValue=0, scale_factor=0.0001, add_offset=-0.1, crs="EPSG:32633")
    source = from_xarray(data)
    assert {(band.nodata, band.scale, band.offset) for band in source.bands} == {(0, 0.0001, -0.1)}
    assert source.grid.crs == UTM
    assert from_xarray(made().assign_attrs(missing_value=5)).bands[0].nodata == 5


def stated(data: xr.DataArray, transform: Affine) -> xr.DataArray:
    text = " ".join(map(str, transform.to_gdal()))
    return data.assign_coords(spatial_ref=xr.DataArray(0, attrs={"GeoTransform": text, "crs_wkt": UTM.to_wkt()}))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (object(), "got object: give one of these"),
        (made().rename(band="time"), r"\(band, y, x\) or \(y, x\), got \(time, y, x\): choose along others with isel"),
        (made().rename(y="row"), r"got \(band, row, x\)"),
        (made(x=[0, 1, 2, 3, 9]), "coordinates 'x' of array are not evenly spaced"),
        (made(x=[0, 0, 0, 0, 0]), "not evenly spaced"),
        (made(y=[3, 2, np.nan, 0]), "coordinates 'y' of array are not evenly spaced"),
        (made().isel(x=[2]), "has one row or column and no transform"),
        (stated(made(), PLACE @ Affine.translation(0.5, 0.5)), r"-0.5, -0.5 pixels off the centres"),
        (
            stated(made().isel(x=slice(None, None, 2)), PLACE),
            r"step by 4.0, -3.0, but a transform with pixels of 2, -3",
        ),
        (stated(made(), PLACE @ Affine.rotation(3)), "step by 2.0, -3.0, but a transform"),
        (made().assign_attrs(crs="nowhere"), "CRS of array cannot be understood"),
    ],
)
def test_what_no_scene_can_be_made_of(data: Any, message: str) -> None:  # noqa: ANN401
    with pytest.raises(SceneError, match=message):
        from_xarray(data)


def test_a_single_row_of_a_stated_transform() -> None:
    source = from_xarray(stated(made(), PLACE).isel(y=[2], x=slice(1, 3)))
    assert source.grid.transform.almost_equals(PLACE @ Affine.translation(1, 2))
    assert source.grid.crs == UTM


def test_a_file_that_xarray_has_not_loaded(make_raster: MakeRaster) -> None:
    path = make_raster(np.zeros((1, 4000, 4000), dtype=np.uint8), compress="deflate", tiled=True)
    with rioxarray.open_rasterio(path, cache=False) as data:
        source = from_xarray(data)
        assert source.read(Window(3999, 3999, 1, 1), [1]).array.tolist() == [[[0]]]
        assert not isinstance(data.variable._data, np.ndarray)
    with rasterio.open(path) as src:
        assert source.grid.shape == src.shape


def test_dask_chunks_are_read_by_windows() -> None:
    dask = pytest.importorskip("dask.array")
    lazy = dask.from_array(image(), chunks=(3, 2, 2))
    for source in (ArraySource(lazy), from_xarray(made().copy(data=lazy))):
        assert source.block_shape([1]) == (2, 2)
        assert np.array_equal(source.read(Window(1, 2, 3, 2), [3, 1, 3]).array, image()[[2, 0, 2], 2:4, 1:4])
