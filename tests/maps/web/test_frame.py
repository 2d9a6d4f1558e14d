import numpy as np
import pyproj
import pytest
from affine import Affine
from rasterio.crs import CRS

from geodeeplab.errors import SceneError
from geodeeplab.maps.web.frame import frame_of_grid, frame_of_points, to_mercator
from geodeeplab.raster import Grid

UTM = CRS.from_epsg(32633)


def grid(x: float = 500_000, y: float = 5_000_000, *, crs: CRS | None = UTM, res: float = 10) -> Grid:
    return Grid(shape=(60, 80), transform=Affine(res, 0, x, 0, -res, y), crs=crs)


def test_mercator_is_that_of_epsg_3857() -> None:
    degrees = np.array([[15.0, -170.0, 3.5], [45.0, -33.0, 84.0]])
    wanted = pyproj.Transformer.from_crs("OGC:CRS84", "EPSG:3857", always_xy=True).transform(*degrees)
    np.testing.assert_allclose(to_mercator(degrees), wanted, atol=1e-6)


def test_the_frame_holds_the_scene() -> None:
    frame = frame_of_grid(grid(), path="scene")
    corners = np.array([[500_000.0, 500_800.0], [5_000_000.0, 4_999_400.0]])
    placed = frame.place(corners, UTM, path="scene")
    left, bottom, right, top = frame.bounds
    assert (placed[0] >= left - 1e-6).all()
    assert (placed[0] <= right + 1e-6).all()
    assert (placed[1] >= bottom - 1e-6).all()
    assert (placed[1] <= top + 1e-6).all()
    assert frame.pixel == pytest.approx(10 / np.cos(np.radians(45.15)), rel=0.01)  # Mercator stretches


def test_pictures_and_polygons_lie_in_one_plane() -> None:
    frame = frame_of_grid(grid(), path="scene")
    points = np.array([[500_300.0], [4_999_700.0]])
    assert frame.grid.crs is not None
    grid_crs = pyproj.Transformer.from_crs(UTM.to_wkt(), frame.grid.crs.to_wkt(), always_xy=True)
    np.testing.assert_allclose(frame.place(points, UTM, path="p"), grid_crs.transform(*points), atol=1e-4)


def test_across_the_antimeridian_x_runs_on() -> None:
    there = Grid(shape=(10, 40), transform=Affine(0.1, 0, 178, 0, -0.1, 10), crs=CRS.from_epsg(4326))
    frame = frame_of_grid(there, path="scene")
    left, _, right, _ = frame.bounds
    wanted = tuple(to_mercator(np.array([[178.0, 182.0], [0, 0]]))[0])
    assert (left, right) == pytest.approx(wanted, abs=frame.pixel)
    placed = frame.place(np.array([[-179.0], [9.5]]), CRS.from_epsg(4326), path="p")
    assert placed[0] == pytest.approx(to_mercator(np.array([[181.0], [0]]))[0])


def test_without_a_crs_the_plane_is_pixels() -> None:
    frame = frame_of_grid(grid(100, 700, crs=None, res=2), path="scene")
    assert frame.bounds == (0, -60, 80, 0)
    np.testing.assert_allclose(frame.place(np.array([[104.0], [690.0]]), None, path="p"), [[2], [-5]])


def test_one_crs_of_two_is_refused() -> None:
    with pytest.raises(SceneError, match="'p' has none"):
        frame_of_grid(grid(), path="scene").place(np.zeros((2, 1)), None, path="p")
    with pytest.raises(SceneError, match="the scene has none"):
        frame_of_grid(grid(crs=None), path="scene").place(np.zeros((2, 1)), UTM, path="p")


def test_at_a_pole_there_is_no_map() -> None:
    polar = Grid(shape=(10, 10), transform=Affine(10, 0, -50, 0, -10, 50), crs=CRS.from_epsg(3031))
    with pytest.raises(SceneError, match="beyond 85 degrees"):
        frame_of_grid(polar, path="scene")


def test_pictures_are_no_larger_than_the_scene() -> None:
    frame = frame_of_points(np.array([[0.0, 100], [0, 50]]), None, path="p")
    assert frame.reduced(2048).shape == (50, 100)
    assert frame.reduced(10).shape == (5, 10)
