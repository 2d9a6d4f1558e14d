import math

import pytest
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from rasterio.crs import CRS
from rasterio.windows import Window

from geodeeplab.errors import SceneError
from geodeeplab.raster.grid import Grid

UTM = CRS.from_epsg(32633)
north_up = Affine(2, 0, 100, 0, -3, 50)


def make_grid(transform: Affine, shape: tuple[int, int] = (4, 5), crs: CRS | None = UTM) -> Grid:
    return Grid(shape=shape, transform=transform, crs=crs)


def test_bounds_res_and_area_of_a_north_up_grid() -> None:
    grid = make_grid(north_up)
    assert grid.bounds == (100, 38, 110, 50)
    assert grid.res == (2, 3)
    assert grid.pixel_area == 6
    assert (grid.height, grid.width) == (4, 5)


def test_bounds_of_a_south_up_grid_are_ordered() -> None:
    assert make_grid(Affine(2, 0, 100, 0, 3, 50)).bounds == (100, 50, 110, 62)


def test_a_grid_turned_by_a_quarter() -> None:
    grid = make_grid(Affine(0, -3, 100, 2, 0, 50))  # x falls with the row, y grows with the column
    assert grid.bounds == (88, 50, 100, 60)
    assert grid.res == (2, 3)


def test_a_sheared_grid_has_the_area_of_its_parallelogram() -> None:
    grid = make_grid(Affine(1.5, -5, 0, -5, -1.5, 0))
    assert grid.pixel_area == pytest.approx(27.25)
    assert grid.res == pytest.approx((math.hypot(1.5, 5), math.hypot(5, 1.5)))


numbers = st.floats(-100, 100, allow_subnormal=False)


@given(st.tuples(*[numbers] * 6), st.integers(1, 20), st.integers(1, 20), st.data())
def test_bounds_are_the_tightest_box_around_all_pixels(
    parts: tuple[float, ...], height: int, width: int, data: st.DataObject
) -> None:
    transform = Affine(*parts)
    if abs(transform.determinant) < 1e-6:
        return
    grid = make_grid(transform, shape=(height, width))
    left, bottom, right, top = grid.bounds
    corners = [transform @ (col, row) for row in range(height + 1) for col in range(width + 1)]
    assert left == pytest.approx(min(x for x, _ in corners))
    assert right == pytest.approx(max(x for x, _ in corners))
    assert bottom == pytest.approx(min(y for _, y in corners))
    assert top == pytest.approx(max(y for _, y in corners))
    row, col = data.draw(st.integers(-5, height)), data.draw(st.integers(-5, width))
    crop = grid.crop(Window(col, row, 3, 2))
    assert crop.shape == (2, 3)
    assert crop.transform @ (1, 1) == pytest.approx(transform @ (col + 1, row + 1))


@pytest.mark.parametrize("transform", [north_up, Affine.translation(3, 4) @ Affine.rotation(30) @ Affine.scale(2, -3)])
@pytest.mark.filterwarnings("ignore::PendingDeprecationWarning")  # rasterio 1.4 multiplies as affine 2 did
def test_bounds_agree_with_rasterio(transform: Affine) -> None:
    from rasterio.transform import array_bounds

    assert make_grid(transform).bounds == pytest.approx(array_bounds(4, 5, transform))


@pytest.mark.parametrize("shape", [(0, 3), (3, 0)])
def test_an_empty_grid_is_refused(shape: tuple[int, int]) -> None:
    with pytest.raises(SceneError, match="at least 1 x 1"):
        make_grid(north_up, shape=shape)


@pytest.mark.parametrize(
    "transform", [Affine(1, 2, 0, 2, 4, 0), Affine(0, 0, 0, 0, 0, 0), Affine(1, 0, math.nan, 0, 1, 0)]
)
def test_a_grid_without_area_is_refused(transform: Affine) -> None:
    with pytest.raises(SceneError, match="area"):
        make_grid(transform)


def test_gsd_of_utm_is_its_res() -> None:
    assert make_grid(Affine(10, 0, 500_000, 0, -10, 5_000_000)).gsd_m == (10, 10)


def test_gsd_of_feet_is_in_metres() -> None:
    grid = make_grid(Affine(1, 0, 980_000, 0, -2, 200_000), crs=CRS.from_epsg(2263))
    assert grid.gsd_m == pytest.approx((0.3048, 0.6096), rel=1e-5)


def test_gsd_of_web_mercator_is_measured_on_the_ground() -> None:
    x, y = 0.0, 8_399_737.89  # 60 degrees north: half the scale
    gsd = make_grid(Affine(1, 0, x, 0, -1, y), crs=CRS.from_epsg(3857)).gsd_m
    assert gsd == pytest.approx((0.5, 0.5), rel=5e-3)


@pytest.mark.parametrize(
    ("lon", "lat", "metres"),
    [
        (10, 0, (111_319.49, 110_574.27)),  # lengths of a degree on the WGS 84 ellipsoid
        (10, 60, (55_800.28, 111_412.27)),
        (180, 0, (111_319.49, 110_574.27)),  # the step runs over the antimeridian
    ],
)
def test_gsd_of_degrees_is_measured_on_the_ellipsoid(lon: float, lat: float, metres: tuple[float, float]) -> None:
    step = 1e-3
    transform = Affine(step, 0, lon - 2.5 * step, 0, -step, lat + 2 * step)
    gsd = make_grid(transform, crs=CRS.from_epsg(4326)).gsd_m
    assert gsd == pytest.approx((metres[0] * step, metres[1] * step), rel=1e-5)


def test_gsd_of_a_rotated_grid_is_along_its_own_axes() -> None:
    transform = Affine.translation(500_000, 5_000_000) @ Affine.rotation(30) @ Affine.scale(2, -3)
    assert make_grid(transform).gsd_m == pytest.approx((2, 3))


def test_no_gsd_without_crs_or_place_on_earth() -> None:
    assert make_grid(north_up, crs=None).gsd_m is None
    local = CRS.from_wkt('LOCAL_CS["site",UNIT["metre",1],AXIS["x",EAST],AXIS["y",NORTH]]')
    assert make_grid(north_up, crs=local).gsd_m is None
