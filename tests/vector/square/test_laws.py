"""What squaring promises: lines near the traced ones all along, areas within a hundredth, no order that shows."""

from collections.abc import Callable
from typing import Any
from unittest import mock

import numpy as np
import pytest
import shapely
import shapely.affinity
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage

from geodeeplab.vector import LineRule, Metric
from geodeeplab.vector.square import blocks, squarer
from geodeeplab.vector.square.areas import lines_with_room
from geodeeplab.vector.square.blocks import FittedLines
from geodeeplab.vector.square.kernels_cover import near_span
from geodeeplab.vector.square.kernels_refusals import MOST_SHIFT, SHORT
from geodeeplab.vector.square.table import Lines, LineTable
from tests.examples import examples
from tests.vector.square.test_squarer import Labels, burnt, rule, towns
from tests.vector.test_tracer import gather, trace

MATRICES = {"as they are": np.eye(2), "wide": np.array([[2.0, 0], [0, 1]]) / np.sqrt(2)}


def number_areas(labels: Labels) -> tuple[Labels, tuple[int, ...]]:
    """Give each connected area a number of its own, from 1, and the numbers of those of class 1 and 2."""
    numbers, square = np.zeros_like(labels), list[int]()
    for label in range(5):
        found, count = ndimage.label(labels == label)
        first = int(numbers.max())
        numbers[found > 0] = found[found > 0] + first
        if label in (1, 2):
            square += range(first + 1, first + count + 1)
    return numbers, tuple(square)


@settings(max_examples=examples(80))
@given(
    labels=towns(),
    tolerance=st.sampled_from([0.7, 1.5, 3.0]),
    within=st.sampled_from([1.0, 1.5, 3.0]),
    smooth=st.booleans(),
)
def test_a_polygon_with_a_squared_line_has_the_area_of_its_pixels(
    labels: Labels, tolerance: float, within: float, smooth: bool
) -> None:
    numbers, square = number_areas(labels)
    plain = dict(zip(*gather(trace(numbers, lines=rule((), tolerance=tolerance, smooth=smooth))), strict=True))
    lines = rule(square, tolerance=tolerance, within=within, smooth=smooth)
    for number, polygon in zip(*gather(trace(numbers, lines=lines)), strict=True):
        if number in square and not polygon.normalize().equals_exact(plain[number].normalize(), 0):
            pixels = np.count_nonzero(numbers == number)
            assert abs(polygon.area - pixels) <= 0.01 * pixels + 1e-6


Pairs = list[tuple[shapely.LineString, shapely.LineString]]


def fitted_pairs(labels: Labels, lines: LineRule, *, beside_others: bool = False) -> Pairs:
    """Give each squared line, and what was traced of it, in px; if so said, those alone that no square face is beside.

    These are the lines as fitted, whatever becomes of them later.
    """
    fit: Callable[..., FittedLines] = blocks.fit_blocks
    pairs: Pairs = []

    def fit_and_tell(table: LineTable, *arguments: NDArray[np.int64], subpixels: int, **more: Any) -> FittedLines:  # noqa: ANN401
        fitted = fit(table, *arguments, subpixels=subpixels, **more)
        traced = table.traced.take(fitted.rows)
        new = Lines(points=np.rint(fitted.points * subpixels).astype(np.int32), offsets=fitted.offsets)
        for k in np.flatnonzero(np.diff(new.offsets)):
            if not beside_others or (fitted.faces[k] < 0).any():
                one, other = new.take(np.array([k])).points / subpixels, traced.take(np.array([k])).points
                pairs.append((shapely.LineString(one), shapely.LineString(other)))
        return fitted

    with mock.patch.object(squarer, "fit_blocks", fit_and_tell):
        trace(labels, lines=lines)
    return pairs


def bent_house(across: int, wide: int, deep: int, run: int, turn: int = 0) -> Labels:
    """Draw a house of 30 × `across` px; the first `wide` px of its long wall stand `deep` px out, and recede slowly.

    They do so by a px for each `run`: an edge that counts as one along the wall, so that all of it may be one wall.
    """
    labels = np.zeros((60, across + 20), np.int32)
    labels[20:50, 10 : 10 + across] = 1
    for k in range(deep):
        labels[20 - deep + k, 10 : 10 + wide + run * k] = 1
    return np.ascontiguousarray(np.rot90(labels, turn))


def bent_houses() -> st.SearchStrategy[Labels]:
    across, wide = st.integers(30, 70), st.integers(5, 20)
    return st.builds(bent_house, across, wide, st.integers(2, 4), st.integers(1, 3), st.integers(0, 3))


@settings(max_examples=examples(160))
@given(
    labels=towns() | bent_houses(),
    within=st.sampled_from([0.7, 1.0, 1.5, 3.0]),
    plane=st.sampled_from(sorted(MATRICES)),
)
def test_squared_lines_and_traced_ones_are_near_each_other_all_along(labels: Labels, within: float, plane: str) -> None:
    metric = Metric(cell_px=1, matrices=MATRICES[plane][None, None])
    for pair in fitted_pairs(labels, rule((1, 2), within=within, metric=metric)):
        new, traced = (shapely.transform(line, lambda points: points @ MATRICES[plane].T) for line in pair)
        assert shapely.hausdorff_distance(new, traced, densify=0.02) <= within


@pytest.mark.parametrize("turn", range(4))
def test_a_bent_wall_becomes_one_wall_within_the_tolerance_alone(turn: int) -> None:
    labels = bent_house(60, 8, 3, 2, turn)
    ((new, traced),) = fitted_pairs(labels, rule(within=3.0))
    assert shapely.get_num_coordinates(new) == 5
    assert shapely.hausdorff_distance(new, traced, densify=0.02) == pytest.approx(2.1, abs=0.01)
    ((new, traced),) = fitted_pairs(labels, rule(within=1.5))
    assert shapely.get_num_coordinates(new) == 7
    assert shapely.hausdorff_distance(new, traced, densify=0.02) <= 1.5


def yard(degrees: float, ends: tuple[int, int, int], at: tuple[int, int], size: tuple[int, int]) -> Labels:
    """Draw three houses, 12 px wide, around (15, 15), turned, and between them a yard of class 9."""
    walls = [shapely.box(3, 3, 15, 15 + ends[0]), shapely.box(15, 3, 27, 15 + ends[1])]
    walls.append(shapely.box(3, 15, 15 + ends[2], 27))
    turned = [shapely.affinity.rotate(wall, degrees, origin=(15, 15)) for wall in walls]
    labels = burnt([(wall, k + 1) for k, wall in enumerate(turned)], (30, 30))
    labels[at[0] : at[0] + size[0], at[1] : at[1] + size[1]] = 9
    return labels


def yards() -> st.SearchStrategy[Labels]:
    ends, places, sizes = st.integers(-3, 3), st.integers(12, 17), st.integers(1, 3)
    at, size = st.tuples(places, places), st.tuples(sizes, sizes)
    return st.builds(yard, st.floats(0, 90), st.tuples(ends, ends, ends), at, size)


@settings(max_examples=examples(280))
@given(labels=yards() | towns(), within=st.sampled_from([1.0, 1.5, 3.0]))
def test_short_lines_leave_half_of_what_lies_beside_them(labels: Labels, within: float) -> None:
    for new, traced in fitted_pairs(labels, rule((1, 2, 3), within=within), beside_others=True):
        if traced.length <= SHORT:
            x, y = shapely.get_coordinates([new, traced.reverse()]).T
            shift = (x * np.roll(y, -1) - np.roll(x, -1) * y).sum() / 2
            assert abs(shift) <= MOST_SHIFT * traced.length + 1e-4


def test_a_yard_of_two_pixels_between_three_houses_is_not_squeezed() -> None:
    walls = [shapely.box(1, 1, 15, 17), shapely.box(15, 1, 29, 16), shapely.box(1, 15, 17, 29)]
    turned = [shapely.affinity.rotate(wall, 63.37, origin=(15, 15)) for wall in walls]
    labels = burnt([(wall, k + 1) for k, wall in enumerate(turned)], (30, 30))
    labels[16:18, 15] = 9
    areas = {}
    for square in ((), (1, 2, 3)):
        ids, polygons = gather(trace(labels, lines=rule(square)))
        areas[square] = shapely.area(polygons[ids == 9]).tolist()
    assert areas[()] == [1.5]
    assert areas[1, 2, 3] == [pytest.approx(1.5, abs=0.5)]


coordinates = st.integers(-40, 40).map(lambda k: k / 8)
points = st.tuples(coordinates, coordinates)


@settings(max_examples=examples(300))
@given(p=points, q=points, a=points, b=points, distance=st.sampled_from([0.5, 1.0, 2.5]))
def test_where_a_segment_is_near_another_one(
    p: tuple[float, float], q: tuple[float, float], a: tuple[float, float], b: tuple[float, float], distance: float
) -> None:
    if p == q:
        return
    low, high = near_span(*p, *q, *a, *b, distance**2)
    shares = np.linspace(0, 1, 401)
    on = shapely.points(np.array(p) + shares[:, None] * (np.array(q) - p))
    away = shapely.distance(on, shapely.LineString([a, b]))
    assert (away[(shares >= low) & (shares <= high)] <= distance + 1e-6).all()
    assert (away[(shares < low - 1e-9) | (shares > high + 1e-9)] >= distance - 1e-6).all()


@settings(max_examples=examples(200))
@given(seed=st.integers(0, 2**32 - 1), n=st.integers(1, 40))
def test_lines_that_find_no_room_revert_in_any_order(seed: int, n: int) -> None:
    random = np.random.default_rng(seed)
    faces = random.integers(-1, 8, (n, 2))
    faces[faces[:, 0] == faces[:, 1]] = -1
    changes, units, may = random.integers(-50, 51, n), random.integers(0, n, n), random.random(n) < 0.9
    most = np.append(random.integers(0, 60, 8), np.inf)
    rooms = np.stack((-most[faces], most[faces]), axis=-1)
    taken = lines_with_room(faces, changes, rooms, units, may)
    assert not taken[~may].any()
    for face in range(8):
        lines = taken & (faces == face).any(axis=1)
        change = changes[taken & (faces[:, 0] == face)].sum() - changes[taken & (faces[:, 1] == face)].sum()
        assert not lines.any() or abs(change) <= most[face]
    order = random.permutation(n)
    again = lines_with_room(faces[order], changes[order], rooms[order], units[order], may[order])
    np.testing.assert_array_equal(again, taken[order])
