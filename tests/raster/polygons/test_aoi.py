import contextlib
import pickle
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.crs import CRS
from rasterio.features import geometry_mask
from rasterio.windows import Window
from shapely import box

from geodeeplab.errors import GeoDeepLabWarning, OptionError
from geodeeplab.raster import Grid
from geodeeplab.raster.polygons.aoi import Aoi, read_aoi, to_aoi
from tests.examples import examples

UTM = CRS.from_epsg(32633)
HEIGHT, WIDTH = 40, 50
WHOLE = Window(0, 0, WIDTH, HEIGHT)
TRANSFORMS = {
    "north-up": Affine(2, 0, 500_000, 0, -2, 5_000_000),
    "south-up": Affine(2, 0, 500_000, 0, 2, 5_000_000),
    "rotated": Affine.translation(500_000, 5_000_000) @ Affine.rotation(30) @ Affine.scale(2, -3),
}


def grid_of(transform: Affine = TRANSFORMS["north-up"], crs: CRS | None = UTM) -> Grid:
    return Grid(shape=(HEIGHT, WIDTH), transform=transform, crs=crs)


def in_pixels(geometry: shapely.Geometry, transform: Affine = TRANSFORMS["north-up"]) -> shapely.Geometry:
    """Bring a geometry that is drawn in pixels (col, row) to the ground."""
    return shapely.transform(geometry, lambda xy: np.array([transform @ (x, y) for x, y in xy]))


def brute_force(geometry: shapely.Geometry) -> Any:  # noqa: ANN401 - a boolean array
    """Tell which centres of the 40 x 50 pixels lie within a geometry in pixels."""
    cols, rows = np.meshgrid(np.arange(WIDTH) + 0.5, np.arange(HEIGHT) + 0.5)
    return shapely.contains_xy(geometry, cols, rows)


points = st.tuples(st.floats(-10, 60), st.floats(-10, 50))
stars = st.lists(points, min_size=3, max_size=12, unique=True)


@st.composite
def areas(draw: st.DrawFn) -> shapely.Geometry:
    """Polygons, overlapping, some with holes, in pixels."""
    hulls = [shapely.MultiPoint(draw(stars)).convex_hull for _ in range(draw(st.integers(1, 4)))]
    hulls = [hull for hull in hulls if hull.geom_type == "Polygon" and hull.area > 1]
    holes = [shapely.buffer(hull.centroid, 1.3, quad_segs=3) for hull in hulls]
    parts = [hull.difference(hole) if draw(st.booleans()) else hull for hull, hole in zip(hulls, holes, strict=True)]
    return shapely.GeometryCollection([part for part in parts if not part.is_empty] or [box(1.2, 1.2, 9.7, 9.7)])


@settings(max_examples=examples(40))
@given(areas(), st.sampled_from(sorted(TRANSFORMS)))
def test_centres_within_any_polygon_count(area: shapely.Geometry, name: str) -> None:
    transform = TRANSFORMS[name]
    found = to_aoi(in_pixels(area, transform), crs=UTM).mask(WHOLE, grid_of(transform))
    doubtful = brute_force(shapely.buffer(area.boundary if area.geom_type == "Polygon" else shapely.union_all(
        [part.boundary for part in area.geoms]), 1e-6))  # fmt: skip
    assert ((found == brute_force(shapely.union_all(list(area.geoms)))) | doubtful).all()


@settings(max_examples=examples(40))
@given(areas(), st.integers(0, HEIGHT - 1), st.integers(0, WIDTH - 1), st.integers(1, HEIGHT), st.integers(1, WIDTH))
def test_a_pixel_does_not_depend_on_the_window(
    area: shapely.Geometry, row: int, col: int, height: int, width: int
) -> None:
    aoi, grid = to_aoi(in_pixels(area), crs=UTM), grid_of()
    window = Window(col, row, min(width, WIDTH - col), min(height, HEIGHT - row))
    assert np.array_equal(aoi.mask(window, grid), aoi.mask(WHOLE, grid)[window.toslices()])


@settings(max_examples=examples(40))
@given(st.floats(0, 50), st.floats(0, 50), st.integers(0, 100).map(lambda number: number / 2))
def test_polygons_that_share_an_edge_share_out_the_pixels(top: float, bottom: float, centre: float) -> None:
    line = [(top, 0), (centre, 20.5), (bottom, 40)]
    left = shapely.Polygon([(0, 0), *line, (0, 40)])
    right = shapely.Polygon([*line[::-1], (50, 0), (50, 40)][::-1])
    masks = [
        to_aoi(in_pixels(part.buffer(0)), crs=UTM).mask(WHOLE, grid_of()) for part in (left, right) if part.area > 0
    ]
    if left.is_valid and right.is_valid:
        assert (np.sum(masks, axis=0) == 1).all()


@pytest.mark.parametrize("name", sorted(TRANSFORMS))
def test_rasterio_agrees(name: str) -> None:
    rng = np.random.default_rng(1)
    angles = np.sort(rng.uniform(0, 2 * np.pi, 3000))
    radius = rng.uniform(12, 19, 3000)
    star = shapely.Polygon(np.column_stack([25 + radius * np.cos(angles), 20 + radius * np.sin(angles)]))
    area, grid = in_pixels(star.difference(box(20, 15, 24, 30)), TRANSFORMS[name]), grid_of(TRANSFORMS[name])
    oracle = geometry_mask([area], grid.shape, grid.transform, invert=True)
    assert np.array_equal(to_aoi(area, crs=UTM).mask(WHOLE, grid), oracle)


def test_a_three_pixel_example() -> None:
    grid = Grid(shape=(3, 3), transform=Affine(1, 0, 0, 0, -1, 3), crs=UTM)
    aoi = to_aoi(shapely.Polygon([(0, 0), (3, 0), (3, 0.6), (0.6, 3), (0, 3)]), crs=UTM)
    assert aoi.mask(Window(0, 0, 3, 3), grid).tolist() == [
        [True, False, False],
        [True, True, False],
        [True, True, True],
    ]


def test_the_window_around_an_area() -> None:
    grid = grid_of()
    assert to_aoi(in_pixels(box(3.2, 4.2, 7.6, 9.1)), crs=UTM).window(grid) == Window(3, 4, 5, 5)
    assert to_aoi(in_pixels(box(-9, -9, 99, 99)), crs=UTM).window(grid) == WHOLE
    assert to_aoi(in_pixels(box(60, 4, 70, 9)), crs=UTM).window(grid) is None
    assert to_aoi(in_pixels(box(3.6, 4.6, 4.4, 5.4)), crs=UTM).window(grid) is None  # between centres


@settings(max_examples=examples(40))
@given(areas())
def test_the_window_holds_all_that_is_within(area: shapely.Geometry) -> None:
    aoi, grid = to_aoi(in_pixels(area), crs=UTM), grid_of()
    mask, window = aoi.mask(WHOLE, grid), aoi.window(grid)
    if window is not None:
        mask[window.toslices()] = False
    assert not mask.any()


def test_the_fingerprint_is_of_the_area() -> None:
    ring = [(0, 0), (4, 0), (4, 4), (0, 4)]
    one = to_aoi(shapely.Polygon(ring), crs=UTM)
    same = to_aoi(shapely.Polygon(ring[2:] + ring[:2][::1]), crs=UTM)
    other = to_aoi(shapely.Polygon([*ring[:3], (0, 5)]), crs=UTM)
    assert one.fingerprint == same.fingerprint != other.fingerprint
    assert to_aoi(shapely.Polygon(ring), crs=CRS.from_epsg(32634)).fingerprint != one.fingerprint
    copy = pickle.loads(pickle.dumps(one))
    assert isinstance(copy, Aoi)
    assert copy.fingerprint == one.fingerprint
    assert copy == one != other
    assert hash(copy) == hash(same)
    assert copy.geometry.equals(one.geometry)
    assert to_aoi(one, crs=UTM) is one


def write(path: Path, geometries: list[Any], crs: str | None = "EPSG:32633", **options: str) -> Path:
    with pytest.warns(UserWarning, match="crs") if crs is None else _nothing():
        gpd.GeoDataFrame(geometry=geometries, crs=crs).to_file(path, **options)
    return path


def _nothing() -> Any:  # noqa: ANN401 - a context manager
    return contextlib.nullcontext()


@pytest.mark.parametrize("suffix", [".gpkg", ".geojson", ".fgb", ".shp"])
def test_files_of_any_format_in_any_crs(tmp_path: Path, suffix: str) -> None:
    area = in_pixels(box(5.3, 6.3, 30.7, 28.7))
    lonlat = gpd.GeoSeries([area], crs=UTM.to_wkt()).segmentize(1).to_crs(4326).iloc[0]
    path = write(tmp_path / f"area{suffix}", [lonlat], "EPSG:4326")
    for aoi in (read_aoi(path, crs=UTM), to_aoi(path, crs=UTM), to_aoi(str(path), crs=UTM)):
        assert np.array_equal(aoi.mask(WHOLE, grid_of()), brute_force(box(5.3, 6.3, 30.7, 28.7)))


def test_a_geodataframe_brings_its_crs() -> None:
    lonlat = gpd.GeoDataFrame(geometry=[in_pixels(box(5.3, 6.3, 30.7, 28.7))], crs=UTM.to_wkt()).to_crs(4326)
    for frame in (lonlat, lonlat.geometry):
        assert to_aoi(frame, crs=UTM).mask(WHOLE, grid_of()).sum() == 26 * 23


def test_long_edges_follow_their_course() -> None:
    """A parallel of 300 km bends by more than a kilometre in UTM."""
    aoi = to_aoi(gpd.GeoSeries([box(13, 48, 17, 49)], crs=4326), crs=UTM)
    lonlat = gpd.GeoSeries([shapely.Point(15, 48.0000001), shapely.Point(13.5, 48.0000009)], crs=4326)
    fine = lonlat.to_crs(32633)
    assert aoi.geometry.distance(fine.iloc[0]) < 0.06
    assert aoi.geometry.distance(fine.iloc[1]) < 0.06
    coarse = gpd.GeoSeries([box(13, 48, 17, 49)], crs=4326).to_crs(32633).iloc[0]
    assert abs(shapely.hausdorff_distance(coarse, aoi.geometry)) > 1000
    assert len(shapely.get_coordinates(aoi.geometry)) < 5000


def test_a_layer_is_named_where_there_are_several(tmp_path: Path) -> None:
    path = write(tmp_path / "area.gpkg", [in_pixels(box(0, 0, 9, 9))], layer="one")
    write(path, [in_pixels(box(0, 0, 20, 20))], layer="two")
    with pytest.raises(OptionError, match=r"2 layers with geometries \(one, two\)"):
        read_aoi(path, crs=UTM)
    assert read_aoi(path, crs=UTM, layer="two").mask(WHOLE, grid_of()).sum() == 400
    with pytest.raises(OptionError, match=r"cannot be read .*three"):
        read_aoi(path, crs=UTM, layer="three")


def test_what_is_no_area(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"gone\.gpkg' cannot be read .*: give a vector file"):
        read_aoi(tmp_path / "gone.gpkg", crs=UTM)
    (tmp_path / "text.gpkg").write_text("text")
    with pytest.raises(OptionError, match="cannot be read"):
        read_aoi(tmp_path / "text.gpkg", crs=UTM)
    with pytest.raises(OptionError, match=r"has no polygon among its 2 features \(2 points or lines\): give polygons"):
        read_aoi(write(tmp_path / "p.gpkg", [shapely.Point(1, 1), shapely.LineString([(0, 0), (1, 1)])]), crs=UTM)
    with pytest.raises(OptionError, match=r"no polygon among its 2 features \(1 no geometry, 1 no area\)"):
        read_aoi(write(tmp_path / "e.gpkg", [None, shapely.Polygon()]), crs=UTM)
    (tmp_path / "table.csv").write_text("a,b\n1,2\n")
    with pytest.raises(OptionError, match=r"has 0 layers with geometries \(none\): give a column of WKT"):
        read_aoi(tmp_path / "table.csv", crs=UTM)
    with pytest.raises(OptionError, match=r"no polygon among its 1 features \(1 no area\)"):
        to_aoi(shapely.Polygon([(0, 0), (1, 1), (2, 2)]), crs=UTM)
    with pytest.raises(
        OptionError, match="is an int: give a vector file, a GeoDataFrame, a shapely geometry or several"
    ):
        to_aoi(7, crs=UTM)


def test_a_crs_is_never_guessed(tmp_path: Path) -> None:
    path = write(tmp_path / "none.gpkg", [box(0, 0, 1, 1)], None)
    with pytest.raises(OptionError, match=r"has no CRS, so it has no place .* ogr2ogr -a_srs"):
        read_aoi(path, crs=UTM)
    with pytest.raises(OptionError, match="needs a scene with a CRS, this one has none"):
        to_aoi(box(0, 0, 1, 1), crs=None)
    aoi = to_aoi(box(0, 0, 1, 1), crs=UTM)
    with pytest.raises(OptionError, match="cannot be used on a grid in EPSG:32634"):
        aoi.mask(WHOLE, grid_of(crs=CRS.from_epsg(32634)))
    with pytest.raises(OptionError, match="cannot be used in EPSG:32634"):
        to_aoi(aoi, crs=CRS.from_epsg(32634))


def test_an_area_beyond_the_crs_is_refused() -> None:
    with pytest.raises(OptionError, match=r"reaches beyond where .*Mercator is defined"):
        to_aoi(gpd.GeoSeries([box(0, 0, 1, 90)], crs=4326), crs=CRS.from_epsg(3857))
    with pytest.raises(OptionError, match="cut it to the surroundings of the scene"):
        to_aoi(gpd.GeoSeries([box(-170, -80, 170, 80)], crs=4326), crs=UTM)


def test_a_polygon_that_crosses_itself_is_repaired() -> None:
    bow_tie = shapely.Polygon([(0, 0), (20, 20), (20, 0), (0, 20)])
    with pytest.warns(GeoDeepLabWarning, match=r"1 of 1 geometries repaired \(1 self-intersection\)"):
        aoi = to_aoi(in_pixels(bow_tie), crs=UTM)
    off_the_cross = ~(np.eye(20, dtype=np.bool_) | np.eye(20, dtype=np.bool_)[::-1])
    mask, both_sides = aoi.mask(WHOLE, grid_of())[:20, :20], brute_force(shapely.make_valid(bow_tie))[:20, :20]
    assert np.array_equal(mask[off_the_cross], both_sides[off_the_cross])
    assert both_sides.any()


def test_lines_among_polygons_are_left_out_aloud() -> None:
    with pytest.warns(GeoDeepLabWarning, match="1 points or lines beside polygons left out, which have no area"):
        aoi = to_aoi(shapely.GeometryCollection([in_pixels(box(0, 0, 4, 4)), shapely.Point(0, 0)]), crs=UTM)
    assert aoi.mask(WHOLE, grid_of()).sum() == 16


def test_the_park_on_the_landsat_scene(shared_data: Path) -> None:
    with rasterio.open(shared_data / "zion" / "landsat_b2.tif") as src:
        grid, crs = Grid(shape=src.shape, transform=src.transform, crs=src.crs), src.crs
    aoi = read_aoi(shared_data / "zion" / "zion.gpkg", crs=crs)
    window = aoi.window(grid)
    assert window is not None
    park = gpd.read_file(shared_data / "zion" / "zion.gpkg").to_crs(crs.to_wkt())
    whole = aoi.mask(Window(0, 0, grid.width, grid.height), grid)
    assert np.array_equal(whole, geometry_mask(park.geometry, grid.shape, grid.transform, invert=True))
    assert abs(whole.sum() * 900 / park.area.sum() - 1) < 1e-3
    tiled = np.zeros_like(whole)
    for row in range(0, grid.height, 500):
        for col in range(0, grid.width, 500):
            tile = Window(col, row, min(500, grid.width - col), min(500, grid.height - row))
            tiled[tile.toslices()] = aoi.mask(tile, grid)
    assert np.array_equal(tiled, whole)
