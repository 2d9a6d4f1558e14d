"""Squared polygons: right angles on lines that stay shared, near the traced ones, whatever strips and bands."""

from itertools import pairwise
from typing import Literal

import numpy as np
import pytest
import shapely
import shapely.affinity
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from rasterio.features import rasterize

from geodeeplab.vector import Generalisation, LineRule, Metric, SquareRule
from geodeeplab.vector.square.rule import subpixels_for
from tests.examples import examples
from tests.vector.test_tracer import as_set, gather, strips_of, trace

Labels = NDArray[np.int32]


def rectangle(x: float, y: float, width: float, height: float, degrees: float) -> shapely.Polygon:
    box = shapely.box(x - width / 2, y - height / 2, x + width / 2, y + height / 2)
    return shapely.affinity.rotate(box, degrees)


def rule(
    classes: tuple[int, ...] = (1,),
    *,
    tolerance: float = 1.5,
    within: float = 1.5,
    smooth: bool = False,
    metric: Metric | None = None,
) -> LineRule:
    square = SquareRule(class_ids=classes, tolerance_px=within, metric=metric or Metric.pixels()) if classes else None
    generalisation = Generalisation(tolerance=tolerance, smooth=smooth)
    return LineRule(generalisation=generalisation, metric=Metric.pixels(), square=square)


def burnt(shapes: list[tuple[shapely.Geometry, int]], shape: tuple[int, int]) -> Labels:
    labels = np.zeros(shape, np.int32)
    rasterize(shapes, out=labels)
    return labels


def cosines(polygon: shapely.Polygon) -> NDArray[np.float64]:
    """Give the cosine of the angle in each vertex of the shell."""
    edges = np.diff(shapely.get_coordinates(polygon.exterior), axis=0)
    edges /= np.hypot(edges[:, 0], edges[:, 1])[:, None]
    found: NDArray[np.float64] = (edges * np.roll(edges, 1, axis=0)).sum(axis=1)
    return found


def iou(one: shapely.Polygon, other: shapely.Polygon) -> float:
    return float(one.intersection(other).area / one.union(other).area)


@st.composite
def towns(draw: st.DrawFn) -> Labels:
    """Draw blocks, discs and specks of five classes, on one of them or on nodata, many of which touch."""
    seed = draw(st.integers(0, 2**32 - 1))
    random = np.random.default_rng(seed)
    height, width = random.integers(16, 90, 2)
    labels = np.full((height, width), random.choice([0, 4]), np.int32)
    for _ in range(random.integers(1, 12)):
        x, y, a, b = random.uniform(0, width), random.uniform(0, height), *random.uniform(4, 30, 2)
        block = rectangle(x, y, a, b, random.choice([20.0, random.uniform(0, 90)]))
        if random.random() < 0.2:
            block = block.centroid.buffer(random.uniform(2, 10))
        rasterize([(block, int(random.integers(0, 5)))], out=labels)
    specks = random.random(labels.shape) < random.choice([0.0, 0.01])
    labels[specks] = random.integers(0, 5, np.count_nonzero(specks))
    return labels


@settings(max_examples=examples(120))
@given(
    labels=towns(),
    classes=st.sampled_from([(1,), (1, 2), (1, 2, 3), (4,)]),
    tolerance=st.sampled_from([0.7, 1.5, 3.0]),
    within=st.sampled_from([1.0, 1.5, 3.0]),
    smooth=st.booleans(),
    connectivity=st.sampled_from([4, 8]),
    sizes=st.tuples(st.integers(1, 400), st.integers(400, 4000)),
)
def test_a_squared_town_is_a_coverage_that_shows_no_strips(
    labels: Labels,
    classes: tuple[int, ...],
    tolerance: float,
    within: float,
    smooth: bool,
    connectivity: Literal[4, 8],
    sizes: tuple[int, int],
) -> None:
    lines = rule(classes, tolerance=tolerance, within=within, smooth=smooth)
    whole = trace(labels, lines=lines, connectivity=connectivity)
    ids, geometries = gather(whole)
    assert shapely.is_valid(geometries).all()
    parts = shapely.get_parts(geometries)
    assert len(parts) == 0 or shapely.coverage_is_valid(parts)
    assert sum(shapely.area(parts)) == pytest.approx(shapely.union_all(parts).area, rel=1e-9)
    plain, _ = gather(trace(labels, lines=rule((), tolerance=tolerance, smooth=smooth), connectivity=connectivity))
    assert sorted(ids) == sorted(plain)
    for size in sizes:
        with strips_of(size):
            assert as_set(trace(labels, connectivity=connectivity, lines=lines, bands=3, threads=1)) == as_set(whole)


@settings(max_examples=examples(60))
@given(labels=towns())
def test_without_a_square_face_nothing_changes(labels: Labels) -> None:
    plain = gather(trace(labels, lines=rule(())))
    squared = gather(trace(labels, lines=rule((9,))))
    np.testing.assert_array_equal(plain[0], squared[0])
    assert shapely.equals_exact(plain[1], squared[1], 0).all()


@settings(max_examples=examples(60))
@given(
    width=st.floats(12, 40),
    height=st.floats(12, 40),
    degrees=st.floats(0, 90),
    x=st.floats(38, 42),
    y=st.floats(38, 42),
)
def test_a_rectangle_has_four_right_angles(width: float, height: float, degrees: float, x: float, y: float) -> None:
    true = rectangle(x, y, width, height, degrees)
    labels = burnt([(true, 1)], (80, 80))
    _, (found,) = gather(trace(labels, lines=rule()))
    assert shapely.get_num_coordinates(found) == 5
    assert np.abs(cosines(found)).max() < 1e-6
    _, (traced,) = gather(trace(labels))
    assert shapely.hausdorff_distance(found, traced) <= 1.5 + 1e-6
    assert found.area == pytest.approx(np.count_nonzero(labels), rel=0.01)
    assert iou(found, true) > min(iou(traced, true), 0.98) - 0.005


@settings(max_examples=examples(60))
@given(labels=towns(), within=st.sampled_from([1.0, 1.5, 2.5]))
def test_what_is_squared_is_near_and_of_the_same_area(labels: Labels, within: float) -> None:
    _, plain = gather(trace(labels, lines=rule((), tolerance=1.0)))
    _, traced = gather(trace(labels))
    _, squared = gather(trace(labels, lines=rule((1, 2), tolerance=1.0, within=within)))
    interior = shapely.box(0, 0, labels.shape[1], labels.shape[0]).boundary
    traced, plain = (one[np.argsort(shapely.area(one))] for one in (traced, plain))
    tree = shapely.STRtree(squared)
    for outline in traced:
        if outline.intersects(interior):
            continue
        found = squared[tree.query(outline.representative_point(), predicate="within")]
        for other in found:
            assert shapely.hausdorff_distance(other, outline) <= max(within, 1.0) * np.sqrt(2) + 1e-6


@pytest.mark.parametrize("width", [12, 13, 40])
def test_walls_along_pixels_stay_along_them(width: int) -> None:
    labels = np.zeros((60, 60), np.int32)
    labels[11:27, 9 : 9 + width] = 1
    _, (found,) = gather(trace(labels, lines=rule()))
    assert shapely.hausdorff_distance(found, shapely.box(9, 11, 9 + width, 27)) < 1e-6


def terrace() -> tuple[Labels, list[shapely.Polygon]]:
    """Draw a row of six houses, of two classes in turn, an L-shape at its end, and a silo apart."""
    houses = [shapely.box(12 + 20 * k, 30, 32 + 20 * k, 62) for k in range(6)]
    houses[5] = houses[5].union(shapely.box(112, 62, 152, 80))
    turned = [shapely.affinity.rotate(one, 17, origin=(80, 50)) for one in houses]
    silo = shapely.Point(40, 105).buffer(11)
    shapes = [(one, 1 + k % 2) for k, one in enumerate(turned)]
    return burnt([*shapes, (silo, 1)], (130, 170)), [*turned, silo]


def test_a_terrace_keeps_its_party_walls() -> None:
    labels, truth = terrace()
    _, found = gather(trace(labels, lines=rule((1, 2))))
    assert shapely.coverage_is_valid(found)
    tree = shapely.STRtree(found)
    squared = [found[tree.query(one.representative_point(), predicate="within")[0]] for one in truth]
    for one, house in zip(truth[:-1], squared[:-1], strict=True):
        corners = np.abs(cosines(house))
        assert (corners < 1e-5).sum() == (6 if one is truth[-2] else 4)
        assert ((corners < 1e-5) | (corners > 1 - 1e-5)).all()  # a node in the middle of a wall is on the wall
        assert shapely.hausdorff_distance(house, one) < 0.8
    for a, b in pairwise(squared[:-1]):
        wall = shapely.intersection(a, b)
        assert wall.length > 30
        assert shapely.get_num_coordinates(shapely.line_merge(wall)) == 2
    _, plain = gather(trace(labels, lines=rule(())))
    assert any(squared[-1].equals_exact(one, 1e-9) for one in plain)  # the silo stays round


def test_houses_that_touch_at_an_angle_have_each_their_own_directions() -> None:
    front, behind = rectangle(70, 80, 90, 64, 12), rectangle(163, 100, 110, 60, 42)
    ids, found = gather(trace(burnt([(behind, 2), (front, 1)], (220, 260)), lines=rule((1, 2))))
    assert shapely.coverage_is_valid(found)
    right = [int((np.abs(cosines(found[ids == label][0])) < 1e-5).sum()) for label in (1, 2)]
    assert right[0] >= 4
    assert right[1] >= 3


def test_a_speck_beside_a_wall_is_not_swallowed() -> None:
    labels = burnt([(rectangle(40, 40, 40, 24, 30), 1)], (80, 80))
    free = np.argwhere((labels == 0) & (np.roll(labels, 2, axis=0) == 1))
    for row, col in free[2::9]:
        town = labels.copy()
        town[row, col] = 3
        ids, found = gather(trace(town, lines=rule((1,), within=3.0)))
        assert shapely.coverage_is_valid(found)
        assert sorted(ids) == [1, 3]
        assert shapely.area(found).sum() == pytest.approx(shapely.union_all(found).area)


def test_angles_are_right_in_the_plane_that_the_metric_says() -> None:
    stretch = np.array([[2.0, 0], [0, 1]])
    true = shapely.affinity.scale(rectangle(40, 40, 44, 30, 25), 0.5, 1, origin=(40, 40))
    lines = rule(metric=Metric(cell_px=1, matrices=stretch[None, None]))
    _, (found,) = gather(trace(burnt([(true, 1)], (80, 80)), lines=lines, transform=Affine.scale(2, 1)))
    assert shapely.get_num_coordinates(found) == 5
    assert np.abs(cosines(found)).max() < 1e-5


def test_what_the_scene_cuts_off_stays() -> None:
    labels = burnt([(rectangle(0, 40, 40, 24, 30), 1)], (80, 80))
    assert as_set(trace(labels, lines=rule())) == as_set(trace(labels, lines=rule(())))


@pytest.mark.parametrize("side", [10, 4096, 100_000, 10_000_000])
def test_points_fit_in_32_bits(side: int) -> None:
    subpixels = subpixels_for((7, side))
    assert subpixels % 128 == 0
    assert subpixels == 128 or (side + 2) * subpixels <= 1 << 30
