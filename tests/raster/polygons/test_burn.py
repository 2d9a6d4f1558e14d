import pickle
from dataclasses import replace
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import shapely
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.crs import CRS
from rasterio.features import rasterize
from rasterio.windows import Window
from shapely import box

from geodeeplab.errors import OptionError
from geodeeplab.raster import OVERLAPS, Grid, Overlap, PolygonLayer, burn, read_polygon_layer
from geodeeplab.raster.polygons.burn import burn_numbers
from tests.examples import examples

UTM = CRS.from_epsg(32633)
HEIGHT, WIDTH = 30, 36
WHOLE = Window(0, 0, WIDTH, HEIGHT)
TRANSFORMS = {
    "north-up": Affine(2, 0, 500_000, 0, -2, 5_000_000),
    "rotated": Affine.translation(500_000, 5_000_000) @ Affine.rotation(30) @ Affine.scale(2, -3),
    "south-up": Affine(2, 0, 500_000, 0, 2, 5_000_000),
}


def grid_of(transform: Affine = TRANSFORMS["north-up"]) -> Grid:
    return Grid(shape=(HEIGHT, WIDTH), transform=transform, crs=UTM)


def layer_of(shapes: list[tuple[Any, int]], transform: Affine = TRANSFORMS["north-up"]) -> PolygonLayer:
    """Make a layer of polygons that are drawn in pixels (col, row), each with its class index."""
    ground = [shapely.transform(one, lambda xy: np.array([transform @ (x, y) for x, y in xy])) for one, _ in shapes]
    frame = gpd.GeoDataFrame({"class": [index for _, index in shapes]}, geometry=ground, crs=UTM)
    return read_polygon_layer(frame, crs=UTM, class_field="class", class_indices={i: i for i in range(4)})


@st.composite
def shapes(draw: st.DrawFn) -> list[tuple[Any, int]]:
    """Up to five polygons with a class each, some with a hole, some with corners on pixel corners and centres."""
    coordinate = st.one_of(st.floats(-6, 40), st.integers(-12, 80).map(lambda n: n / 2))
    points = st.lists(st.tuples(coordinate, coordinate), min_size=3, max_size=8, unique=True)
    found = []
    for _ in range(draw(st.integers(1, 5))):
        hull = shapely.MultiPoint(draw(points)).convex_hull
        if hull.geom_type == "Polygon" and hull.area > 1:
            hole = shapely.buffer(hull.centroid, 1.3, quad_segs=3) if draw(st.booleans()) else shapely.Point()
            found.append((hull.difference(hole), draw(st.integers(0, 3))))
    return found or [(box(1, 1, 9.7, 9.7), 2)]


@settings(max_examples=examples(60))
@given(shapes(), st.sampled_from(sorted(TRANSFORMS)), st.booleans(), st.sampled_from(OVERLAPS), st.data())
def test_a_pixel_does_not_depend_on_the_window(
    drawn: list[tuple[Any, int]], name: str, all_touched: bool, overlap: Overlap, data: st.DataObject
) -> None:
    layer, grid = layer_of(drawn, TRANSFORMS[name]), grid_of(TRANSFORMS[name])
    row, col = data.draw(st.integers(0, HEIGHT - 1)), data.draw(st.integers(0, WIDTH - 1))
    window = Window(col, row, data.draw(st.integers(1, WIDTH - col)), data.draw(st.integers(1, HEIGHT - row)))
    part = burn(layer, window, grid, all_touched=all_touched, on_overlap=overlap, background=9)
    whole = burn(layer, WHOLE, grid, all_touched=all_touched, on_overlap=overlap, background=9)
    assert np.array_equal(part, whole[window.toslices()])


@settings(max_examples=examples(60))
@given(shapes(), st.sampled_from(sorted(TRANSFORMS)), st.sampled_from(OVERLAPS))
def test_centres_by_brute_force(drawn: list[tuple[Any, int]], name: str, overlap: Overlap) -> None:
    layer, grid = layer_of(drawn, TRANSFORMS[name]), grid_of(TRANSFORMS[name])
    found = burn(layer, WHOLE, grid, on_overlap=overlap, background=9)
    cols, rows = np.meshgrid(np.arange(WIDTH) + 0.5, np.arange(HEIGHT) + 0.5)
    inside = [shapely.contains_xy(one, cols, rows) for one, _ in drawn]
    expected = paint(inside, drawn, overlap)
    doubtful = np.any([shapely.distance(one.boundary, shapely.points(cols, rows)) < 1e-6 for one, _ in drawn], axis=0)
    assert ((found == expected) | doubtful).all()


@settings(max_examples=examples(60))
@given(shapes(), st.sampled_from(OVERLAPS))
def test_touched_pixels_by_brute_force(drawn: list[tuple[Any, int]], overlap: Overlap) -> None:
    found = burn(layer_of(drawn), WHOLE, grid_of(), on_overlap=overlap, background=9, all_touched=True)
    cols, rows = np.meshgrid(np.arange(WIDTH), np.arange(HEIGHT))
    pixels = shapely.box(cols, rows, cols + 1, rows + 1)
    shares = [shapely.area(shapely.intersection(one, pixels)) for one, _ in drawn]
    expected = paint([share > 1e-9 for share in shares], drawn, overlap)
    doubtful = np.any([(share <= 1e-6) & shapely.dwithin(one, pixels, 1e-6) for share, (one, _) in
                       zip(shares, drawn, strict=True)], axis=0)  # fmt: skip
    assert ((found == expected) | doubtful).all()


@settings(max_examples=examples(60))
@given(shapes(), st.sampled_from(sorted(TRANSFORMS)), st.booleans(), st.sampled_from(OVERLAPS), st.data())
def test_numbers_are_of_polygons_that_give_the_class(
    drawn: list[tuple[Any, int]], name: str, all_touched: bool, overlap: Overlap, data: st.DataObject
) -> None:
    layer, grid = layer_of(drawn, TRANSFORMS[name]), grid_of(TRANSFORMS[name])
    numbers = burn_numbers(layer, WHOLE, grid, all_touched=all_touched, on_overlap=overlap)
    labels = burn(layer, WHOLE, grid, all_touched=all_touched, on_overlap=overlap)
    assert numbers.dtype == np.int32
    assert np.array_equal(np.append(layer.class_index, 255)[numbers], labels)
    for number in np.unique(numbers[numbers >= 0]):  # alone, each covers all that has its number
        alone = replace(layer, polygons=layer.polygons[[number]], class_index=layer.class_index[[number]])
        assert (burn(alone, WHOLE, grid, all_touched=all_touched)[numbers == number] != 255).all()
    row, col = data.draw(st.integers(0, HEIGHT - 1)), data.draw(st.integers(0, WIDTH - 1))
    window = Window(col, row, data.draw(st.integers(1, WIDTH - col)), data.draw(st.integers(1, HEIGHT - row)))
    part = burn_numbers(layer, window, grid, all_touched=all_touched, on_overlap=overlap)
    assert np.array_equal(part, numbers[window.toslices()])


def test_numbers_by_hand() -> None:
    small, large = box(1, 1, 3, 2), box(0, 0, 4, 3)
    grid, window = Grid(shape=(3, 4), transform=TRANSFORMS["north-up"], crs=UTM), Window(0, 0, 4, 3)
    layer = layer_of([(small, 1), (large, 0)])
    assert burn_numbers(layer, window, grid).tolist() == [[1] * 4] * 3
    assert burn_numbers(layer, window, grid, on_overlap="smallest").tolist() == [[1] * 4, [1, 0, 0, 1], [1] * 4]
    assert burn_numbers(layer, window, grid, on_overlap="ignore").tolist() == [[1] * 4, [1, -1, -1, 1], [1] * 4]
    same = layer_of([(box(0, 0, 1, 1), 2), (box(0, 0, 2, 1), 2)])
    assert burn_numbers(same, Window(0, 0, 3, 1), grid, on_overlap="ignore").tolist() == [[1, 1, -1]]


def paint(inside: list[np.ndarray], drawn: list[tuple[Any, int]], overlap: Overlap) -> np.ndarray:
    expected = np.full(inside[0].shape, 9)
    order = list(range(len(drawn)))
    if overlap == "smallest":
        order.sort(key=lambda i: -drawn[i][0].area)
    for i in order:
        clash = inside[i] & (expected != 9) & (expected != drawn[i][1])
        expected = np.where(inside[i], np.where(clash & (overlap == "ignore"), 255, drawn[i][1]), expected)
    return expected


@pytest.mark.parametrize("name", sorted(TRANSFORMS))
def test_rasterio_agrees(name: str) -> None:
    rng = np.random.default_rng(5)
    drawn = [(shapely.Point(rng.uniform(0, 36), rng.uniform(0, 30)).buffer(rng.uniform(2, 9)), i % 4) for i in range(9)]
    layer, grid = layer_of(drawn, TRANSFORMS[name]), grid_of(TRANSFORMS[name])
    pairs = zip(layer.polygons, layer.class_index.tolist(), strict=True)
    oracle = rasterize(pairs, grid.shape, fill=9, transform=grid.transform, dtype=np.uint8)
    assert np.array_equal(burn(layer, WHOLE, grid, background=9), oracle)


def test_overlap_by_hand() -> None:
    small, large = box(1, 1, 3, 2), box(0, 0, 4, 3)
    grid = Grid(shape=(3, 4), transform=TRANSFORMS["north-up"], crs=UTM)
    layer, window = layer_of([(small, 1), (large, 0)]), Window(0, 0, 4, 3)
    assert burn(layer, window, grid).tolist() == [[0] * 4] * 3  # the large one comes later
    assert burn(layer, window, grid, on_overlap="smallest").tolist() == [[0] * 4, [0, 1, 1, 0], [0] * 4]
    assert burn(layer, window, grid, on_overlap="ignore").tolist() == [[0] * 4, [0, 255, 255, 0], [0] * 4]


def test_three_overlapping_of_two_classes_are_ignored() -> None:
    layer = layer_of([(box(0, 0, 1, 1), 0), (box(0, 0, 1, 1), 1), (box(0, 0, 1, 1), 0)])
    assert burn(layer, Window(0, 0, 2, 1), grid_of(), on_overlap="ignore").tolist() == [[255, 255]]
    same = layer_of([(box(0, 0, 1, 1), 2), (box(0, 0, 2, 1), 2)])
    assert burn(same, Window(0, 0, 2, 1), grid_of(), on_overlap="ignore").tolist() == [[2, 2]]


def test_touched_by_hand() -> None:
    layer = layer_of([(box(1, 1, 3, 2), 1)])  # along the borders of pixels
    exact = [[9, 9, 9, 9], [9, 1, 1, 9], [9, 9, 9, 9]]
    for all_touched in (False, True):
        assert burn(layer, Window(0, 0, 4, 3), grid_of(), all_touched=all_touched, background=9).tolist() == exact
    tiny = layer_of([(box(0.1, 0.1, 0.4, 0.4), 3)])  # between the centres
    assert burn(tiny, Window(0, 0, 2, 1), grid_of(), background=9).tolist() == [[9, 9]]
    assert burn(tiny, Window(0, 0, 2, 1), grid_of(), background=9, all_touched=True).tolist() == [[3, 9]]


def test_ground_of_ignored_values_is_ignored() -> None:
    frame = gpd.GeoDataFrame({"kind": ["a", "cloud"]}, geometry=[box(0, 0, 2, 1), box(1, 0, 2, 1)], crs=UTM)
    layer = read_polygon_layer(frame, crs=UTM, class_field="kind", ignore=["cloud"])
    grid = Grid(shape=(1, 3), transform=Affine(1, 0, 0, 0, -1, 1), crs=UTM)
    assert burn(layer, Window(0, 0, 3, 1), grid, background=7).tolist() == [[0, 255, 7]]


def test_a_layer_can_be_pickled() -> None:
    layer = layer_of([(box(0, 0, 5, 5), 1), (box(3, 3, 9, 9), 2)])
    copy = pickle.loads(pickle.dumps(layer))
    assert np.array_equal(burn(copy, WHOLE, grid_of()), burn(layer, WHOLE, grid_of()))


def test_refusals() -> None:
    layer = layer_of([(box(0, 0, 5, 5), 1)])
    with pytest.raises(OptionError, match="cannot be burned on a grid in EPSG:32634"):
        burn(layer, WHOLE, Grid(shape=(9, 9), transform=TRANSFORMS["north-up"], crs=CRS.from_epsg(32634)))
    with pytest.raises(OptionError, match="one of last, smallest, ignore, not 'first'"):
        burn(layer, WHOLE, grid_of(), on_overlap="first")  # type: ignore[arg-type]
