from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import rasterio
from affine import Affine
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rasterio.windows import Window

from geodeeplab.errors import OptionError, SceneError
from geodeeplab.raster import Scene
from geodeeplab.raster.sources.array import ArraySource
from geodeeplab.raster.sources.stacked import StackedBand, StackedSource, open_stacked
from tests.examples import examples

MakeRaster = Callable[..., Path]


def noise(height: int, width: int, dtype: str = "uint16", seed: int = 0) -> npt.NDArray[Any]:
    return np.random.default_rng(seed).integers(0, 3, (1, height, width)).astype(dtype)


def at(res: float) -> Affine:
    return Affine(res, 0, 500_000, 0, -res, 5_000_000)


def whole(source: StackedSource) -> Window:
    return Window(0, 0, source.grid.width, source.grid.height)


@settings(max_examples=examples(60), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 12), st.integers(0, 10), st.integers(1, 13), st.integers(1, 11), st.permutations([1, 2, 3, 4]))
def test_a_pixel_does_not_depend_on_the_window(row: int, col: int, height: int, width: int, numbers: list[int]) -> None:
    sources = [
        ArraySource(noise(-(-13 // factor), -(-11 // factor), seed=factor), transform=at(10 * factor), nodata=nodata)
        for factor, nodata in ((1, 0), (2, 1), (6, 2), (1, None))
    ]
    stack = StackedSource([StackedBand(source=one, number=1, band=one.bands[0]) for one in sources], path="stack")
    window = Window(col, row, min(width, 11 - col), min(height, 13 - row))
    part, everything = stack.read(window, numbers), stack.read(whole(stack), numbers)
    assert np.array_equal(part.array, everything.array[:, *window.toslices()])
    assert np.array_equal(part.valid, everything.valid[window.toslices()])
    planes = [np.kron(noise(-(-13 // f), -(-11 // f), seed=f)[0], np.ones((f, f)))[:13, :11] for f in (1, 2, 6, 1)]
    assert np.array_equal(everything.array, np.stack([planes[number - 1] for number in numbers]))


def test_what_a_stack_says_of_itself(make_raster: MakeRaster) -> None:
    red = make_raster(noise(6, 6), "x_B4.tif", transform=at(10), nodata=0, blockysize=2)
    swir = make_raster(noise(3, 3, "float32"), "x_B11.tif", transform=at(20), names=("swir16",), blockysize=3)
    stack = open_stacked([str(swir), red])
    assert [(band.number, band.name, band.dtype.name) for band in stack.bands] == [
        (1, "swir16", "float32"),
        (2, "x_B4", "uint16"),
    ]
    assert (stack.bands[0].nodata, stack.bands[1].nodata) == (None, 0)
    assert stack.grid.shape == (6, 6)
    assert stack.grid.transform == at(10)
    assert (stack.block_shape([1]), stack.block_shape([2]), stack.block_shape([2, 1])) == ((6, 6), (2, 6), (6, 6))
    assert stack.files == (str(swir), str(red))
    assert stack.path == f"{swir} and 1 more"
    assert (stack.driver, stack.tags["AREA_OR_POINT"], stack.least_rows) == ("stack", "Area", 256)
    assert stack.read(whole(stack), [1, 2]).array.dtype == np.float32
    assert stack.read(whole(stack), [2, 2]).array.dtype == np.uint16
    assert not stack.is_all_valid([2])
    assert not stack.is_all_valid([1])
    with Scene(stack, bands=["x_b4"]) as scene:
        assert scene.dtype == np.uint16


def test_nodata_counts_where_all_bands_have_it(make_raster: MakeRaster) -> None:
    one = make_raster(np.array([[[0, 0, 5, 5]]], dtype="uint8"), "one.tif", nodata=0)
    two = make_raster(np.array([[[9, 3, 9, 3]]], dtype="uint8"), "two.tif", nodata=9)
    stack = open_stacked([one, two])
    assert stack.read(whole(stack), [1, 2]).valid.tolist() == [[False, True, True, True]]
    assert stack.read(whole(stack), [2]).valid.tolist() == [[False, True, False, True]]
    assert not stack.is_all_valid([1, 2])
    stack.close()
    stack.close()


def test_masks_alpha_and_nan_of_any_file_count(make_raster: MakeRaster) -> None:
    mask = np.array([[False, True, True, True]])
    masked = make_raster(np.array([[[0, 5, 5, 0]]], dtype="uint8"), "masked.tif", mask=mask, nodata=0)
    alpha = make_raster(
        np.array([[[1, 1, 1, 1]], [[9, 0, 9, 9]]], dtype="uint8"), "alpha.tif", colorinterp=("gray", "alpha")
    )
    floats = make_raster(np.array([[[1, 1, np.nan, 1]]], dtype="float32"), "floats.tif")
    plain = make_raster(np.array([[[1, 1, 1, 1]]], dtype="uint8"), "plain.tif")
    stack = open_stacked([masked, alpha, floats, plain])
    assert [band.name for band in stack.bands] == ["masked", "alpha", "floats", "plain"]
    assert stack.read(whole(stack), [1, 4]).valid.tolist() == [[False, True, True, True]]
    assert stack.read(whole(stack), [2, 4]).valid.tolist() == [[True, False, True, True]]
    assert stack.read(whole(stack), [3, 4]).valid.tolist() == [[True, True, False, True]]
    assert stack.read(whole(stack), [1, 2, 3]).valid.tolist() == [[False, False, False, True]]
    assert [stack.is_all_valid([number]) for number in (1, 2, 3, 4)] == [False, False, False, True]
    stack.close()


def test_nodata_that_is_stated_over_the_source() -> None:
    source = ArraySource(np.array([[[0, 7, 3]]], dtype="uint8"), nodata=0)
    band = StackedBand(source=source, number=1, band=ArraySource(np.zeros((1, 1), np.uint8), nodata=7).bands[0])
    stack = StackedSource([band], path="stack")
    assert stack.read(whole(stack), [1]).valid.tolist() == [[True, False, True]]


@pytest.mark.parametrize(
    ("shape", "options", "message"),
    [
        ((4, 4), {"crs": "EPSG:32634"}, r"have one CRS: '.*b\.tif' has EPSG:32634, '.*a\.tif' EPSG:32633; .*gdalwarp"),
        ((3, 4), {}, r"have the same bounds.* '.*b\.tif' is 3 x 4 pixels of 10 x 10 from \(500000, 5000000\) on"),
        ((4, 4), {"transform": at(10) @ Affine.translation(0.02, 0)}, "have the same bounds"),
        ((4, 4), {"transform": at(15)}, "have the same bounds"),
        ((3, 3), {"transform": at(40 / 3)}, "have the same bounds"),
        ((2, 2), {"transform": Affine(20, 0, 500_000, 0, 20, 5_000_000)}, "have the same bounds"),
        ((3, 2), {"transform": at(20)}, "have the same bounds"),
    ],
)
def test_bands_that_do_not_fit_are_refused(
    make_raster: MakeRaster, shape: tuple[int, int], options: dict[str, Any], message: str
) -> None:
    one = make_raster(noise(4, 4), "a.tif", transform=at(10))
    two = make_raster(noise(*shape), "b.tif", **({"transform": at(10)} | options))
    with pytest.raises(SceneError, match=message):
        open_stacked([one, two])


def test_a_hair_off_is_the_same_grid(make_raster: MakeRaster) -> None:
    one = make_raster(noise(4, 4), "a.tif", transform=at(10))
    two = make_raster(noise(4, 4), "b.tif", transform=at(10) @ Affine.translation(0.005, 0.005))
    source = open_stacked([one, two])
    assert (source.grid.transform, len(source.bands)) == (at(10), 2)
    source.close()


def test_nothing_to_stack() -> None:
    with pytest.raises(OptionError, match="at least one band, got none"):
        open_stacked([])


def test_a_missing_band_file(make_raster: MakeRaster, tmp_path: Path) -> None:
    with pytest.raises(SceneError, match=r"gone\.tif' does not exist"):
        open_stacked([make_raster(noise(4, 4)), tmp_path / "gone.tif"])


def test_the_landsat_bands_of_zion(shared_data: Path) -> None:
    paths = [shared_data / "zion" / f"landsat_b{number}.tif" for number in (4, 3, 2, 5)]
    stack = open_stacked(paths)
    assert [band.name for band in stack.bands] == ["landsat_b4", "landsat_b3", "landsat_b2", "landsat_b5"]
    assert {band.nodata for band in stack.bands} == {65535}
    window = Window(301, 205, 517, 333)
    pixels = stack.read(window, [1, 2, 3, 4])
    for plane, path in zip(pixels.array, paths, strict=True):
        with rasterio.open(path) as src:
            assert np.array_equal(plane, src.read(1, window=window))
    assert np.array_equal(pixels.valid, (pixels.array != 65535).any(axis=0))
    stack.close()


def test_sentinel_2_at_two_resolutions(shared_data: Path, make_raster: MakeRaster) -> None:
    with rasterio.open(shared_data / "scenes" / "ftw-baselines" / "inference-img.tif") as src:
        image, transform, crs = src.read(), src.transform, src.crs
    fine = make_raster(image[:3], "fine.tif", transform=transform, crs=crs)
    coarse = make_raster(image[4:5, ::2, ::2], "coarse.tif", transform=transform @ Affine.scale(2), crs=crs)
    stack = open_stacked([fine, coarse])
    pixels = stack.read(Window(101, 33, 200, 150), [4, 1])
    rows, cols = np.arange(33, 183) // 2, np.arange(101, 301) // 2
    assert np.array_equal(pixels.array[0], image[4, ::2, ::2][rows[:, None], cols])
    assert np.array_equal(pixels.array[1], image[0, 33:183, 101:301])
    stack.close()
