import math

import numpy as np
import pyproj
import pytest
from affine import Affine
from numpy.typing import NDArray
from rasterio.crs import CRS

from geodeeplab.errors import OptionError
from geodeeplab.raster.grid import Grid
from geodeeplab.vector.measure.ruler import Ruler, metric_table, row_areas

EARTH_M2 = 510_065_621_724_089
MOLLWEIDE = "ESRI:54009"
TURNED = Affine.rotation(30) @ Affine.scale(10, -10)


def grid_of(crs: str | None, transform: Affine, shape: tuple[int, int]) -> Grid:
    return Grid(shape=shape, transform=transform, crs=None if crs is None else CRS.from_string(crs))


def step_lengths(grid: Grid, col: float, row: float) -> NDArray[np.float64]:
    """The oracle: geodesic lengths of a step of one pixel along the columns, the rows and both ways across."""
    assert grid.crs is not None
    to_lonlat = pyproj.Transformer.from_crs(grid.crs, 4326, always_xy=True)
    steps = np.array([(1, 0), (0, 1), (1, 1), (1, -1)]) / 2
    starts, stops = ([to_lonlat.transform(*(grid.transform @ (col + s * u, row + s * v))) for u, v in steps]
                     for s in (-1, 1))  # fmt: skip
    return np.array(pyproj.Geod(ellps="WGS84").inv(*np.transpose(starts), *np.transpose(stops))[2])


GRIDS = {
    "UTM": grid_of("EPSG:32633", Affine(10, 0, 5e5, 0, -10, 6e6), (700, 1000)),
    "UTM, turned": grid_of("EPSG:32633", Affine.translation(8e5, 6e6) @ TURNED, (700, 1000)),
    "degrees": grid_of("EPSG:4326", Affine(0.01, 0, 10, 0, -0.01, 70), (600, 300)),
    "web mercator, south up": grid_of("EPSG:3857", Affine(30, 0, 1e6, 0, 30, 9e6), (300, 600)),
    "US feet": grid_of("EPSG:2263", Affine(3, 0, 1e6, 0, -3, 2e5), (513, 257)),
    "polar stereographic": grid_of("EPSG:3413", Affine(500, 0, -1e5, 0, -500, 1e5), (400, 400)),
    "Albers": grid_of("EPSG:5070", Affine(300, 0, -2e6, 0, -300, 3e6), (600, 600)),
}


@pytest.mark.parametrize("name", GRIDS)
def test_steps_over_pixels_are_as_long_as_geodesics(name: str) -> None:
    grid = GRIDS[name]
    table = metric_table(grid, cell_px=256)
    rows, cols = (math.ceil(size / 256) for size in grid.shape)
    assert table.shape == (rows, cols, 2, 2)
    steps = np.array([(1, 0), (0, 1), (1, 1), (1, -1)])
    for row in range(rows):
        for col in range(cols):
            middle = [(start * 256 + min(start * 256 + 256, size)) / 2
                      for start, size in ((col, grid.width), (row, grid.height))]  # fmt: skip
            lengths = np.linalg.norm(steps @ table[row, col].T, axis=1)
            np.testing.assert_allclose(lengths, step_lengths(grid, *middle), rtol=1e-6)


def test_one_metre_pixels_on_true_ground_by_hand() -> None:
    grid = grid_of("EPSG:32633", Affine(1, 0, 499_990, 0, -1, 5e6), (20, 20))
    np.testing.assert_allclose(metric_table(grid)[0, 0], np.array([[1, 0], [0, -1]]) / 0.9996, atol=1e-6)


def test_cells_of_the_whole_world_are_finite() -> None:
    degrees = grid_of("EPSG:4326", Affine(2, 0, -181, 0, -2, 91), (91, 181))
    assert np.isfinite(metric_table(degrees, cell_px=1)).all()
    mollweide = grid_of(MOLLWEIDE, Affine(50_000, 0, -1.8e7, 0, -50_000, 9e6), (360, 720))
    table = metric_table(mollweide, cell_px=16)
    assert np.isfinite(table).all()
    expected = step_lengths(mollweide, 360 + 8, 180 + 8)
    assert expected[:2] == pytest.approx(np.linalg.norm(table[11, 22], axis=0), rel=0.01)


@pytest.mark.parametrize("name", GRIDS)
def test_the_pixels_of_a_grid_have_its_area(name: str) -> None:
    grid = GRIDS[name]
    areas = row_areas(grid)
    assert areas.shape == (grid.height,)
    corners = [(0, 0), (grid.width, 0), (grid.width, grid.height), (0, grid.height), (0, 0)]
    outline = np.array([grid.transform @ corner for corner in corners])
    total = abs(Ruler(grid.crs, grid.bounds).measure_arcs(outline, np.array([0, 5]))[0][0])
    assert areas.sum() * grid.width == pytest.approx(total, rel=1e-7)


@pytest.mark.parametrize("name", GRIDS)
def test_each_row_of_pixels_has_its_area(name: str) -> None:
    grid = GRIDS[name]
    areas = row_areas(grid)
    for row in (0, grid.height // 2, grid.height - 1):
        strip = [(0, row), (grid.width, row), (grid.width, row + 1), (0, row + 1), (0, row)]
        outline = np.array([grid.transform @ corner for corner in strip])
        total = abs(Ruler(grid.crs, grid.bounds).measure_arcs(outline, np.array([0, 5]))[0][0])
        assert areas[row] * grid.width == pytest.approx(total, rel=1e-6)


def test_rows_of_the_earth_have_its_area() -> None:
    grid = grid_of("EPSG:4326", Affine(36, 0, -180, 0, -0.1, 90), (1800, 10))
    assert row_areas(grid).sum() * 10 == pytest.approx(EARTH_M2, rel=1e-6)


def test_rows_off_the_earth_take_their_neighbours_area() -> None:
    grid = grid_of(MOLLWEIDE, Affine(100_000, 0, -1.8e7, 0, -100_000, 1e7), (200, 360))
    areas = row_areas(grid)
    assert np.isfinite(areas).all()
    np.testing.assert_allclose(areas[15:185], 1e10, rtol=0.01)


@pytest.mark.parametrize("crs", [None, 'LOCAL_CS["site grid",UNIT["metre",1]]'])
def test_metres_are_refused_without_a_place_on_the_ground(crs: str | None) -> None:
    grid = grid_of(crs, Affine(1, 0, 0, 0, -1, 0), (4, 4))
    reason = "has none" if crs is None else "leads to the ground"
    with pytest.raises(OptionError, match=f"a tolerance in metres needs a CRS.*{reason}.*give it in pixels"):
        metric_table(grid)
    with pytest.raises(OptionError, match=f"a minimum area in m² needs a CRS.*{reason}.*give it in pixels"):
        row_areas(grid)


def test_metres_are_refused_where_hardly_anything_is_on_the_ground() -> None:
    grid = grid_of(MOLLWEIDE, Affine(4e6, 0, 1.2656e7, 0, 4e6, 6.278e6), (1, 1))  # one corner of the pixel is
    with pytest.raises(OptionError, match=r"its cells are outside its domain.*give it in pixels"):
        metric_table(grid)
    with pytest.raises(OptionError, match=r"its rows are outside its domain.*give it in pixels"):
        row_areas(grid)
