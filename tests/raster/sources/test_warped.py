import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import rasterio
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from rasterio.crs import CRS
from rasterio.enums import Resampling
from rasterio.vrt import WarpedVRT
from rasterio.windows import Window

from geodeeplab.errors import OptionError, SceneError
from geodeeplab.raster.crs import to_crs
from geodeeplab.raster.grid import Grid
from geodeeplab.raster.projection import common_grid, near_longitude, pixel_steps, projection
from geodeeplab.raster.sources import warped
from geodeeplab.raster.sources.mosaic import open_mosaic
from geodeeplab.raster.sources.remote import open_file, open_file_source
from geodeeplab.raster.sources.scaled import ScaledSource
from geodeeplab.raster.sources.source import Pixels, Source
from geodeeplab.raster.sources.warped import WarpedSource, shrink_factors, warped_source
from tests.examples import few

MakeRaster = Callable[..., Path]
UTM = CRS.from_epsg(32633)
NORTH_UP = Affine(10, 0, 500_000, 0, -10, 5_000_000)
ROTATED = Affine.translation(500_000, 5_000_000) @ Affine.rotation(30) @ Affine.scale(20, -30)


def read(source: Source) -> Pixels:
    numbers = [band.number for band in source.bands if not band.is_alpha]
    return source.read(Window(0, 0, source.grid.width, source.grid.height), numbers)


def smooth(height: int, width: int, dtype: str = "uint8") -> npt.NDArray[Any]:
    rows, cols = np.mgrid[:height, :width]
    waves = [127 + 60 * np.sin(rows / 5) + 60 * np.cos(cols / 7), 100 + 50 * np.sin((rows + cols) / 9)]
    return np.stack(waves).astype(dtype)


def grid_in(crs: str, source: Source, gsd_m: float | None = None) -> Grid:
    return common_grid([source.grid], to_crs(crs), paths=[source.path], gsd_m=gsd_m).grid


@pytest.fixture(scope="module")
def holes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two bands of noise on a rotated grid, 150 x 170, a third of the pixels nodata."""
    return write_holes(tmp_path_factory.mktemp("warped") / "turned.tif", ROTATED, "EPSG:32633")


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with pixels so large that, from 5 degrees north, Mercator bends them."""
    return write_holes(tmp_path_factory.mktemp("warped") / "large.tif", Affine(0.02, 0, 15, 0, -0.02, 6.7), "EPSG:4326")


def write_holes(path: Path, transform: Affine, crs: str) -> Path:
    rng = np.random.default_rng(0)
    array = rng.integers(1, 256, (2, 150, 170), dtype=np.uint8)
    array[:, rng.random((150, 170)) < 0.2] = 0
    array[:, 30:60, 50:93] = 0
    profile: dict[str, Any] = {"driver": "GTiff", "dtype": "uint8", "count": 2, "height": 150, "width": 170}
    with rasterio.open(path, "w", transform=transform, crs=crs, nodata=0, **profile) as dst:
        dst.write(array)
    return path


@pytest.fixture(scope="module", params=[("holes", "bilinear"), ("holes", "nearest"), ("large", "bilinear")])
def warps(request: pytest.FixtureRequest) -> tuple[Source, Pixels]:
    """A warped source, and all of it."""
    name, resampling = request.param
    source = open_file(str(request.getfixturevalue(name)))
    one = WarpedSource(source, grid_in("EPSG:3857", source), resampling=resampling)
    return one, read(one)


@given(data=st.data())
def test_a_pixel_does_not_depend_on_the_window(warps: tuple[Source, Pixels], data: st.DataObject) -> None:
    source, pixels = warps
    height, width = source.grid.shape
    row, col = data.draw(st.integers(0, height - 1)), data.draw(st.integers(0, width - 1))
    window = Window(col, row, data.draw(st.integers(1, width - col)), data.draw(st.integers(1, height - row)))
    part = source.read(window, [1, 2])
    rows, cols = window.toslices()
    assert np.array_equal(part.array, pixels.array[:, rows, cols])
    assert np.array_equal(part.valid, pixels.valid[rows, cols])


def test_only_bent_cells_are_computed_pixel_by_pixel(holes: Path, large: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shares: list[float] = []
    real = warped._bent_cells

    def spy(nodes: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
        shares.append(float(real(nodes).mean()))
        return real(nodes)

    monkeypatch.setattr(warped, "_bent_cells", spy)
    for path in (holes, large):
        source = open_file(str(path))
        read(WarpedSource(source, grid_in("EPSG:3857", source)))
    assert shares[0] == 0
    assert 0.1 < shares[1] < 0.9


def test_chunks_and_splits_change_nothing(holes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = open_file(str(holes))
    one = WarpedSource(source, grid_in("EPSG:4326", source))
    expected = read(one)
    monkeypatch.setattr(warped, "CHUNK_SHAPE", (37, 51))
    monkeypatch.setattr(warped, "LARGEST_READ", 200)
    pixels = read(one)
    assert np.array_equal(pixels.array, expected.array)
    assert np.array_equal(pixels.valid, expected.valid)


@pytest.mark.parametrize("crs", few(["EPSG:3857", "EPSG:4326", "EPSG:32634", "EPSG:3035"], 2))
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
@pytest.mark.parametrize(
    "transform", [NORTH_UP, ROTATED, NORTH_UP @ Affine.scale(1, -1)], ids=["north", "turned", "south"]
)
@pytest.mark.parametrize("resampling", ["bilinear", "nearest"])
def test_gdal_warps_the_same(make_raster: MakeRaster, crs: str, dtype: str, transform: Affine, resampling: str) -> None:
    array = smooth(90, 110, dtype)
    array[:, 20:40, 30:60] = 0
    path = make_raster(array, nodata=0, transform=transform, crs=UTM)
    source = open_file(str(path))
    one = WarpedSource(source, grid_in(crs, source), resampling=resampling)  # type: ignore[arg-type]
    pixels = read(one)
    place = {"crs": one.grid.crs, "transform": one.grid.transform, "height": one.grid.height, "width": one.grid.width}
    extras = {"XSCALE": 1, "YSCALE": 1} if resampling == "bilinear" else {}
    with (
        rasterio.open(path) as src,
        WarpedVRT(src, resampling=Resampling[resampling], tolerance=1e-5, **place, **extras) as vrt,
    ):
        expected, mask = vrt.read(), vrt.dataset_mask() != 0
    assert (pixels.valid != mask).mean() < 5e-4  # a position on the edge of a pixel
    both = pixels.valid & mask
    difference = np.abs(pixels.array.astype(float) - expected)[:, both]
    if resampling == "nearest":
        assert (difference > 0).mean() < 5e-4
    else:
        assert difference.max() <= (1 if dtype == "uint8" else 0.02)


def test_a_moved_grid_is_a_copy(make_raster: MakeRaster) -> None:
    place = Affine(0.3, 0, 500_000 + 1 / 3, 0, -0.3, 5_000_000 + 1 / 7)
    source = open_file(str(make_raster(smooth(40, 50, "float32"), transform=place)))
    corner = 500_000 + 1 / 3 - 7 * 0.3, 5_000_000 + 1 / 7 + 5 * 0.3
    grid = Grid(shape=(60, 70), crs=UTM, transform=Affine(0.3, 0, corner[0], 0, -0.3, corner[1]))
    pixels = read(WarpedSource(source, grid))
    inside = np.s_[5:45, 7:57]
    assert np.array_equal(pixels.array[:, *inside], read(source).array)
    assert pixels.valid[inside].all()
    assert pixels.valid.sum() == 40 * 50


def test_invalid_pixels_are_not_mixed_in(make_raster: MakeRaster) -> None:
    array = np.array([[[10, 20, 200]], [[1, 2, 99]]], dtype="uint8")
    source = open_file(str(make_raster(array, mask=np.array([[True, True, False]]))))
    grid = Grid(shape=(1, 6), transform=source.grid.transform @ Affine.scale(0.5, 1), crs=UTM)
    pixels = read(WarpedSource(source, grid))
    assert pixels.valid.tolist() == [[True] * 4 + [False] * 2]
    assert pixels.array.tolist() == [[[10, 12, 18, 20, 0, 0]], [[1, 1, 2, 2, 0, 0]]]


def test_alpha_is_a_mask_and_no_band(make_raster: MakeRaster) -> None:
    array = np.array([[[9, 8, 7]], [[0, 255, 255]]], dtype="uint8")
    source = open_file(str(make_raster(array, colorinterp=("gray", "alpha"))))
    one = WarpedSource(source, source.grid)
    assert read(one).valid.tolist() == [[False, True, True]]
    assert one.read(Window(0, 0, 3, 1), [1, 2]).valid.all()


def test_nan_and_nodata_of_floats(make_raster: MakeRaster) -> None:
    array = np.array([[[np.nan, 1, -9, 4]], [[2, 2, -9, -9]]], dtype="float32")
    source = open_file(str(make_raster(array, nodata=-9)))
    pixels = read(WarpedSource(source, source.grid))
    assert pixels.valid.tolist() == [[False, True, False, True]]
    assert pixels.array[:, 0].tolist() == [[-9, 1, -9, 4], [-9, 2, -9, -9]]


def test_coarser_pixels_are_averages(make_raster: MakeRaster) -> None:
    array = np.random.default_rng(0).integers(0, 200, (1, 40, 60)).astype("float32")
    source = open_file(str(make_raster(array)))
    grid = Grid(shape=(10, 15), transform=source.grid.transform @ Affine.scale(4), crs=UTM)
    assert shrink_factors(source.grid, grid, path="x") == (4, 4)
    expected = array.reshape(1, 10, 4, 15, 4).mean(axis=(2, 4))
    assert read(warped_source(source, grid)).array == pytest.approx(expected, rel=1e-6)
    nearest = read(warped_source(source, grid, resampling="nearest"))
    assert np.array_equal(nearest.array, array[:, 2::4, 2::4])
    assert isinstance(warped_source(source, source.grid)._source, type(source))  # type: ignore[attr-defined]
    assert isinstance(warped_source(source, grid)._source, ScaledSource)  # type: ignore[attr-defined]


def test_palettes_are_not_interpolated(make_raster: MakeRaster) -> None:
    array = np.random.default_rng(0).choice(np.array([1, 200], dtype="uint8"), (1, 40, 60))
    path = make_raster(array, colorinterp=("palette",))
    pixels = read(open_mosaic([path], grid_crs="EPSG:3857"))
    assert set(np.unique(pixels.array[:, pixels.valid]).tolist()) == {1, 200}


def test_what_a_warped_source_says_of_itself(make_raster: MakeRaster) -> None:
    path = make_raster(smooth(20, 30), names=("a", "b"))
    source = open_file_source(str(path))
    one = WarpedSource(source, grid_in("EPSG:3857", source))
    assert (one.path, one.bands, one.files, one.tags) == (str(path), source.bands, source.files, source.tags)
    assert one.block_shape([1]) == (256, 256)
    assert not one.is_all_valid([1])
    one.close()
    one.close()
    assert source._src.closed


def test_positions_are_those_of_the_exact_transformation(large: Path) -> None:
    source = open_file(str(large))
    one = WarpedSource(source, grid_in("EPSG:3857", source))
    positions = one.positions(Window(13, 29, 60, 50))
    cols, rows = np.arange(13.5, 73), np.arange(29.5, 79)[:, None]
    assert positions == pytest.approx(one._exact(cols, rows), rel=0, abs=warped.POSITION_TOLERANCE)


def test_cells_that_are_bent_are_found() -> None:
    rows, cols = np.mgrid[0:5:0.5, 0:7:0.5][:, :9, :13]
    straight = np.stack([3 * cols + rows, cols - 2 * rows + cols * rows])
    assert not warped._bent_cells(straight).any()
    for bend in (np.s_[0, 3, 4], np.s_[1, 3, 5], np.s_[0, 2, 5], np.s_[1, 4, 5], np.s_[0, 3, 6]):
        bent = straight.copy()
        bent[bend] += 0.01
        assert warped._bent_cells(bent)[1, 2]
    bent[0, 0, 0] = np.inf
    assert warped._bent_cells(bent)[0, 0]


# The common grid


def grid(shape: tuple[int, int], transform: Affine, crs: str | None) -> Grid:
    return Grid(shape=shape, transform=transform, crs=None if crs is None else CRS.from_string(crs))


def test_the_finest_gives_the_pixels_and_their_place() -> None:
    coarse = grid((10, 10), Affine(2, 0, 100, 0, -2, 200), "EPSG:32633")
    fine = grid((10, 10), Affine(0.5, 0, 110.2, 0, -0.5, 190.1), "EPSG:32633")
    common = common_grid([coarse, fine], coarse.crs, paths=["a", "b"])
    assert common.grid.transform.almost_equals(Affine(0.5, 0, 99.7, 0, -0.5, 200.1))
    assert common.grid.shape == (41, 41)
    assert common.windows == (Window(0, 0, 41, 41), Window(21, 20, 10, 10))


def test_a_grid_without_a_model_lies_on_multiples() -> None:
    common = common_grid([grid((10, 10), ROTATED, "EPSG:32633")], UTM, paths=["a"])
    transform = common.grid.transform
    assert transform.a == pytest.approx((20 * 30) ** 0.5)
    assert transform.c / transform.a == pytest.approx(round(transform.c / transform.a))
    assert transform.f / transform.e == pytest.approx(round(transform.f / transform.e))


@pytest.mark.parametrize(("crs", "size"), [("EPSG:32633", 2), ("EPSG:3857", 2 / 0.7071), ("EPSG:2263", 2 / 0.3048006)])
def test_a_pixel_size_in_metres(crs: str, size: float) -> None:
    place = {"EPSG:2263": (-74.0, 40.7)}.get(crs, (15.0, 45.0))
    x, y = projection(CRS.from_epsg(4326), CRS.from_string(crs), path="a")(np.array(place))
    common = common_grid([grid((9, 9), Affine(1, 0, x, 0, -1, y), crs)], to_crs(crs), paths=["a"], gsd_m=2)
    assert common.grid.res == pytest.approx((size, size), rel=0.005)
    assert common.grid.gsd_m == pytest.approx((2, 2), rel=0.003)


def test_a_pixel_size_in_degrees() -> None:
    one = grid((50, 50), Affine(1e-5, 0, 15, 0, -1e-5, 60), "EPSG:4326")
    common = common_grid([one], one.crs, paths=["a"], gsd_m=3)
    assert common.grid.gsd_m == pytest.approx((3, 3), rel=1e-4)
    assert common.grid.res[0] == pytest.approx(2 * common.grid.res[1], rel=0.01)


def test_scenes_on_both_sides_of_the_antimeridian() -> None:
    west = grid((100, 100), Affine(1000, 0, 700_000, 0, -1000, 6_000_000), "EPSG:32660")
    east = grid((100, 100), Affine(1000, 0, 200_000, 0, -1000, 6_000_000), "EPSG:32601")
    common = common_grid([west, east], CRS.from_epsg(4326), paths=["a", "b"])
    left, _, right, _ = common.grid.bounds
    assert -182 < left < -180 < right < -177


def test_across_the_antimeridian_pixels_are_found(make_raster: MakeRaster) -> None:
    degrees = make_raster(smooth(40, 200), crs="EPSG:4326", transform=Affine(0.01, 0, 179, 0, -0.01, 52))
    source = open_file(str(degrees))
    pixels = read(WarpedSource(source, grid_in("EPSG:32601", source)))
    assert pixels.valid.mean() > 0.8
    back = Grid(shape=(40, 200), transform=Affine(0.01, 0, -181, 0, -0.01, 52), crs=source.grid.crs)
    assert np.array_equal(read(WarpedSource(source, back)).array, read(source).array)


def test_longitudes_near_a_centre() -> None:
    lons = near_longitude(np.array([-179.0, 170, 0, 360, np.inf]), 175)
    assert lons.tolist() == [181, 170, 0, 0, np.inf]
    assert near_longitude(np.array([-180.0, 180]), 0).tolist() == [-180, 180]


def test_a_disk_of_the_earth() -> None:
    """The corners of a geostationary image are not on the Earth."""
    crs = CRS.from_string("+proj=geos +lon_0=-75 +h=35786023 +sweep=x +ellps=GRS80")
    full = Grid(shape=(540, 540), transform=Affine(20_000, 0, -5.4e6, 0, -20_000, 5.4e6), crs=crs)
    common = common_grid([full], CRS.from_epsg(4326), paths=["a"])
    assert common.grid.bounds == pytest.approx((-155, -80, 5, 80), abs=3)
    side = Grid(shape=(270, 100), transform=Affine(20_000, 0, -6e6, 0, -20_000, 3e6), crs=crs)
    assert np.isfinite(pixel_steps(side, CRS.from_epsg(4326), path="a")).all()


def test_outside_of_the_projection() -> None:
    crs = CRS.from_string("+proj=geos +lon_0=-75 +h=35786023 +sweep=x +ellps=GRS80")
    space = Grid(shape=(5, 5), transform=Affine(10, 0, -9e6, 0, -10, 9e6), crs=crs)
    for attempt in (common_grid, lambda grids, crs, paths: pixel_steps(grids[0], crs, path=paths[0])):
        with pytest.raises(SceneError, match=r"'a\.tif' lies outside of where EPSG:4326 is defined"):
            attempt([space], CRS.from_epsg(4326), paths=["a.tif"])


def test_refusals(make_raster: MakeRaster) -> None:
    with pytest.raises(OptionError, match=r"'EPSG:nowhere' is no CRS .*: give e\.g\. EPSG:32633"):
        to_crs("EPSG:nowhere")
    path = make_raster(smooth(5, 5), crs=None)
    with pytest.raises(SceneError, match=r"scene\.tif' cannot be brought into another CRS as one .* missing.*-a_srs"):
        open_mosaic([path], grid_crs="EPSG:3857")
    one = grid((5, 5), NORTH_UP, None)
    with pytest.raises(SceneError, match="a pixel size of 2 m says nothing in the CRS none"):
        common_grid([one], None, paths=["a"], gsd_m=2)
    with pytest.raises(OptionError, match="positive number of metres, got -1"):
        common_grid([one], None, paths=["a"], gsd_m=-1)
    local = 'LOCAL_CS["here",UNIT["metre",1]]'
    with pytest.raises(SceneError, match=r"'a' cannot be brought from .* to EPSG:3857 .*local system.*-a_srs"):
        projection(CRS.from_wkt(local), CRS.from_epsg(3857), path="a")


REAL = [
    "rasterio/RGBA.byte.tif",
    "rasterio/RGB.byte.tif",
    "rasterio/shade.tif",
    "rasterio/float_raster_with_nodata.tif",
]
REAL += ["rio-tiler/cog_rgb_mask.tif", "rio-tiler/201404_13SED190110_201404_0x1500m_CL_1_extmask.tif"]
REAL += ["opengeos-data/dsm.tif", "stars/geomatrix.tif"]


@pytest.mark.parametrize("name", few(REAL, 2))
def test_real_scenes_as_gdal_warps_them(shared_data: Path, name: str) -> None:
    path = shared_data / "scenes" / name
    source = open_mosaic([path], grid_crs="EPSG:6933")
    pixels, numbers = read(source), [band.number for band in source.bands if not band.is_alpha]
    place = {"crs": source.grid.crs, "transform": source.grid.transform}
    place |= {"height": source.grid.height, "width": source.grid.width, "resampling": Resampling.bilinear}
    with warnings.catch_warnings(), rasterio.open(path) as src:
        warnings.simplefilter("ignore")
        has_mask = src.nodata is not None or src.count == 4
        with WarpedVRT(src, tolerance=1e-6, add_alpha=not has_mask, XSCALE=1, YSCALE=1, **place) as vrt:
            expected, mask = vrt.read(numbers), vrt.dataset_mask() != 0
    assert (mask != pixels.valid).mean() < 1e-3
    both = mask & pixels.valid
    difference = np.abs(expected[:, both].astype(float) - pixels.array[:, both])
    assert difference.max() <= 1
