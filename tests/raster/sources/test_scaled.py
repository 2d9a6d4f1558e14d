from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import rasterio
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from rasterio.enums import Resampling
from rasterio.vrt import WarpedVRT
from rasterio.windows import Window

from geodeeplab.errors import OptionError, SceneError
from geodeeplab.raster.grid import Grid
from geodeeplab.raster.rows import RowReader
from geodeeplab.raster.scene import Scene
from geodeeplab.raster.sources.remote import open_file
from geodeeplab.raster.sources.scaled import (
    ScaledSource,
    exact_factor,
    factor_to_gsd,
    first_at,
    scaled_grid,
    scaled_indices,
)
from geodeeplab.raster.sources.source import Pixels, Source

MakeRaster = Callable[..., Path]
FACTORS = st.sampled_from([0.1, 0.25, 1 / 3, 0.37, 0.5, 0.75, 0.9, 1.0, 1.1, 1.5, 2, 3.3])


def whole(source: Source) -> Window:
    return Window(0, 0, source.grid.width, source.grid.height)


def numbers(source: Source) -> list[int]:
    return [band.number for band in source.bands if not band.is_alpha]


def read(source: Source) -> Pixels:
    return source.read(whole(source), numbers(source))


def scaled(path: Path, *factor: float) -> ScaledSource:
    return ScaledSource(open_file(str(path)), (factor[0], factor[-1]))


@pytest.fixture(scope="module")
def holes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two bands of noise, 53 x 71, a third of the pixels nodata, in blobs and alone."""
    rng = np.random.default_rng(0)
    array = rng.integers(1, 256, (2, 53, 71), dtype=np.uint8)
    array[:, rng.random((53, 71)) < 0.2] = 0
    array[:, 10:30, 20:33] = 0
    path = tmp_path_factory.mktemp("scaled") / "holes.tif"
    profile: dict[str, Any] = {"driver": "GTiff", "dtype": "uint8", "count": 2, "height": 53, "width": 71, "nodata": 0}
    profile |= {"tiled": True, "blockxsize": 16, "blockysize": 16, "crs": "EPSG:32633"}
    with rasterio.open(path, "w", transform=Affine(1, 0, 5e5, 0, -1, 5e6), **profile) as dst:
        dst.write(array)
    return path


@given(fy=FACTORS, fx=FACTORS, data=st.data())
def test_a_pixel_does_not_depend_on_the_window(holes: Path, fy: float, fx: float, data: st.DataObject) -> None:
    source = ScaledSource(open_file(str(holes)), (fy, fx))
    pixels = read(source)
    height, width = source.grid.shape
    row, col = data.draw(st.integers(0, height - 1)), data.draw(st.integers(0, width - 1))
    window = Window(col, row, data.draw(st.integers(1, width - col)), data.draw(st.integers(1, height - row)))
    part = source.read(window, [1, 2])
    rows, cols = window.toslices()
    assert np.array_equal(part.array, pixels.array[:, rows, cols])
    assert np.array_equal(part.valid, pixels.valid[rows, cols])
    source.close()


@given(
    shape=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    factor=st.tuples(FACTORS, FACTORS),
    origin=st.tuples(st.integers(0, 10), st.integers(0, 10)),
)
def test_indices_never_fall_and_lie_within(
    shape: tuple[int, int], factor: tuple[float, float], origin: tuple[int, int]
) -> None:
    grid = Grid(shape=shape, transform=Affine.rotation(20) @ Affine.scale(3, -2), crs=None)
    new = scaled_grid(grid, factor)
    for length, scaled_length, one in zip(shape, new.shape, factor, strict=True):
        indices = scaled_indices(0, length, one)
        assert indices.shape == (length,)
        assert (np.diff(indices) >= 0).all()
        assert 0 <= indices[0]
        assert indices[-1] < scaled_length
        first = [first_at(index, length, one) for index in range(scaled_length + 1)]
        assert first == np.searchsorted(indices, range(scaled_length + 1)).tolist()
        part = slice(length // 3, length // 2 + 1)
        assert np.array_equal(scaled_indices(part.start, part.stop, one), indices[part])
    row, col = (min(at, length - 1) for at, length in zip(origin, shape, strict=True))
    point = ~new.transform @ (grid.transform @ (col + 0.5, row + 0.5))
    at = scaled_indices(0, shape[1], factor[1])[col], scaled_indices(0, shape[0], factor[0])[row]
    assert all(index - 1e-9 <= where <= index + 1 + 1e-9 for where, index in zip(point, at, strict=True))


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32"])
@pytest.mark.parametrize("side", [2, 3, 5])
def test_whole_blocks_are_averaged(make_raster: MakeRaster, dtype: str, side: int) -> None:
    array = np.random.default_rng(side).integers(0, 100, (2, 30, 45)).astype(dtype)
    source = scaled(make_raster(array), 1 / side)
    pixels = read(source)
    rows, cols = -(-30 // side), -(-45 // side)
    padded = np.full((2, rows * side, cols * side), np.nan)
    padded[:, :30, :45] = array
    means = np.nanmean(padded.reshape(2, rows, side, cols, side), axis=(2, 4))
    expected = (np.rint(means) if np.dtype(dtype).kind in "iu" else means).astype(dtype)
    assert source.grid.shape == (rows, cols)
    assert pixels.array.dtype == np.dtype(dtype)
    assert np.array_equal(pixels.array, expected)
    assert pixels.valid.all()


def test_half_is_rounded_to_even(make_raster: MakeRaster) -> None:
    source = scaled(make_raster(np.array([[[0, 1, 1, 2, 2, 3]]], dtype="uint8")), 1, 0.5)
    assert read(source).array.tolist() == [[[0, 2, 2]]]


def test_halves_of_a_pixel_have_half_the_weight(make_raster: MakeRaster) -> None:
    source = scaled(make_raster(np.array([[[3, 6, 12]]], dtype="float32")), 1, 2 / 3)
    assert read(source).array.tolist() == [[[(3 + 6 / 2) / 1.5, (6 / 2 + 12) / 1.5]]]


def test_pixels_between_centres_in_growing(make_raster: MakeRaster) -> None:
    source = scaled(make_raster(np.array([[[0, 8]]], dtype="float32")), 1, 2)
    assert read(source).array.tolist() == [[[0, 2, 6, 8]]]


def test_invalid_pixels_have_no_weight(make_raster: MakeRaster) -> None:
    nan = np.nan
    array = np.array([[[5, nan, nan, nan, 1, 2, nan], [7, nan, nan, 8, 3, 4, nan]]], dtype="float32")
    pixels = read(scaled(make_raster(array, nodata=nan), 0.5))
    assert pixels.valid.tolist() == [[True, True, True, False]]  # a half, a quarter, all, none
    assert pixels.array[0, 0, :3].tolist() == [6, 8, 2.5]
    assert np.isnan(pixels.array[0, 0, 3])


def test_invalid_pixels_hold_nodata(make_raster: MakeRaster) -> None:
    array = np.array([[[-9, -9, 4, 6]]], dtype="int16")
    assert read(scaled(make_raster(array, nodata=-9), 1, 0.5)).array.tolist() == [[[-9, 5]]]
    assert (
        read(scaled(make_raster(array, nodata=-9, name="grown.tif"), 1, 2)).valid[0].tolist()
        == [False] * 4 + [True] * 4
    )


def test_growing_does_not_mix_in_what_is_invalid(make_raster: MakeRaster) -> None:
    array = np.array([[[10, 20, 200]], [[1, 2, 99]]], dtype="uint8")
    path = make_raster(array, mask=np.array([[True, True, False]]))
    pixels = read(scaled(path, 1, 3))
    assert pixels.valid[0].tolist() == [True] * 6 + [False] * 3
    assert pixels.array[:, 0, :6].max(axis=1).tolist() == [20, 2]


@pytest.mark.parametrize("factor", [(1, 1), (Fraction(1), 1.0)])
def test_factor_one_changes_nothing(holes: Path, factor: tuple[float, float]) -> None:
    pixels, same = read(open_file(str(holes))), read(ScaledSource(open_file(str(holes)), factor))
    assert np.array_equal(pixels.array, same.array)
    assert np.array_equal(pixels.valid, same.valid)


def test_a_constant_stays_constant(make_raster: MakeRaster) -> None:
    array = np.full((1, 37, 23), 77, dtype="uint16")
    for factor in (0.31, 0.77, 1.4, 2.9):
        pixels = read(scaled(make_raster(array), factor))
        assert (pixels.array == 77).all()
        assert pixels.valid.all()


@pytest.mark.parametrize(("factor", "method"), [((0.43, 0.6), "average"), ((1.7, 2.6), "bilinear")])
@pytest.mark.parametrize(
    "transform",
    [
        Affine.translation(500_000, 5_000_000) @ Affine.rotation(30) @ Affine.scale(2, -3),
        Affine(2, 0, 500_000, 0, 2, 5_000_000),
    ],
    ids=["rotated", "south-up"],
)
def test_gdal_gives_the_same(
    make_raster: MakeRaster, factor: tuple[float, float], method: str, transform: Affine
) -> None:
    path = make_raster(np.random.default_rng(0).integers(0, 256, (2, 61, 45), dtype=np.uint8), transform=transform)
    source = scaled(path, *factor)
    pixels, (height, width) = read(source), source.grid.shape
    place = {"transform": source.grid.transform, "height": height, "width": width, "crs": source.grid.crs}
    with rasterio.open(path) as src, WarpedVRT(src, resampling=Resampling[method], tolerance=1e-4, **place) as vrt:
        expected = vrt.read()
    inner = np.s_[:, : height - 1, : width - 1]  # GDAL weighs what lies past the edge in its own way
    assert np.abs(pixels.array[inner].astype(int) - expected[inner]).max() <= 1


def test_what_a_scaled_source_says_of_itself(make_raster: MakeRaster) -> None:
    transform = Affine.translation(500_000, 5_000_000) @ Affine.rotation(30) @ Affine.scale(2, -3)
    path = make_raster(np.zeros((2, 10, 7), dtype=np.uint8), transform=transform, names=("a", "b"))
    source = scaled(path, 0.5, 0.25)
    assert source.grid.shape == (5, 2)
    assert source.grid.transform.almost_equals(transform @ Affine.scale(4, 2))
    assert source.grid.res == pytest.approx((8, 6))
    assert [band.name for band in source.bands] == ["a", "b"]
    assert source.files == (str(path),)
    assert source.is_all_valid([1])
    source.close()
    source.close()


def test_blocks_cover_whole_blocks_of_the_source(make_raster: MakeRaster) -> None:
    layout = {"tiled": True, "blockxsize": 64, "blockysize": 32}
    path = make_raster(np.zeros((1, 200, 200), dtype=np.uint8), **layout)
    assert scaled(path, 0.25, 0.5).block_shape([1]) == (8, 32)
    assert scaled(path, 1 / 3, 2 / 3).block_shape([1]) == (32, 128)  # three blocks each
    assert scaled(path, 0.37).block_shape([1]) == (11, 23)
    assert scaled(path, 100).block_shape([1]) == (458, 493)  # the 7th and 13th part of a block


def test_rows_are_read_in_strips(holes: Path) -> None:
    expected = read(scaled(holes, 0.25))
    source = scaled(holes, 0.25)
    source.least_rows = 4
    heights: list[int] = []
    real = source._source.read

    def spy(window: Window, wanted: list[int]) -> Pixels:
        heights.append(window.height)
        return real(window, wanted)

    source._source.read = spy  # type: ignore[method-assign,assignment]
    pixels = read(source)
    assert heights == [16, 16, 16, 5]
    assert np.array_equal(pixels.array, expected.array)


def test_row_reader_reads_it(holes: Path) -> None:
    source = scaled(holes, 0.6)
    pixels = read(source)
    with Scene(source) as scene:
        reader = RowReader(scene)
        for row in range(0, source.grid.height, 7):
            stop = min(row + 9, source.grid.height)
            assert np.array_equal(reader.read(row, stop).array, pixels.array[:, row:stop])


def test_factors_are_fractions() -> None:
    assert exact_factor(0.07) == Fraction(7, 100)
    assert exact_factor(1 / 3) == Fraction(1, 3)
    assert exact_factor(10 / 3) == Fraction(10, 3)
    assert max(exact_factor(np.pi).as_integer_ratio()) <= 1_000_000
    assert scaled_grid(Grid(shape=(100, 3), transform=Affine.identity(), crs=None), (0.07, 1 / 3)).shape == (7, 1)


@pytest.mark.parametrize("factor", [0, -1, 1e-4, 1001, np.nan, np.inf])
def test_factors_out_of_range(factor: float) -> None:
    with pytest.raises(OptionError, match="factors from 1/1000 to 1000, got"):
        exact_factor(factor)


def test_the_factor_of_a_pixel_size() -> None:
    grid = Grid(shape=(5, 5), transform=Affine(0.5, 0, 5e5, 0, -0.25, 5e6), crs=rasterio.CRS.from_epsg(32633))
    assert factor_to_gsd(grid, 1.0, path="a.tif") == (0.25, 0.5)
    with pytest.raises(OptionError, match="positive number of metres, got 0"):
        factor_to_gsd(grid, 0, path="a.tif")
    nowhere = Grid(shape=(5, 5), transform=grid.transform, crs=None)
    with pytest.raises(SceneError, match=r"'a\.tif' has no pixel size in metres, so it cannot be scaled to 1 m"):
        factor_to_gsd(nowhere, 1, path="a.tif")


@pytest.mark.parametrize("name", ["rasterio/rotated.tif", "stars/geomatrix.tif", "odc-geo/au-3577-rotated.tif"])
def test_real_rotated_scenes_keep_their_place(shared_data: Path, name: str) -> None:
    source = scaled(shared_data / "scenes" / name, 0.5, 2)
    original = open_file(str(shared_data / "scenes" / name))
    pixels, everything = read(source), read(original)
    corner = ~original.grid.transform @ (source.grid.transform @ (2, 1))  # row 1, column 2 is 2 rows down, 1 across
    assert corner == pytest.approx((1, 2))
    assert pixels.valid.any()
    values = everything.array[:, everything.valid]
    assert values.min() <= pixels.array[:, pixels.valid].min()
    assert pixels.array[:, pixels.valid].max() <= values.max()


def mean_of(array: npt.NDArray[Any], valid: npt.NDArray[np.bool_]) -> float:
    return float(array[valid].mean())


def test_a_real_scene_keeps_its_mean(shared_data: Path) -> None:
    path = shared_data / "scenes" / "rasterio" / "RGBA.byte.tif"
    before, after = read(open_file(str(path))), read(scaled(path, 0.5))
    assert mean_of(after.array[0], after.valid) == pytest.approx(mean_of(before.array[0], before.valid), rel=0.01)
    assert after.valid.mean() == pytest.approx(before.valid.mean(), abs=0.01)
