from itertools import pairwise
from random import Random
from typing import Literal

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from geodeeplab.errors import OptionError
from geodeeplab.vector.generalise.arcs import FREE, KEEP, TWIN, Generalisation, Metric, generalise_arcs
from geodeeplab.vector.trace.arcs import Arcs
from tests.examples import examples, few
from tests.vector.reference_arcs import arcs_of, bits_of, lines_of, trace_arcs

Labels = NDArray[np.int32]
Line = NDArray[np.float64]
SHEAR = np.array([[0.8, 0.3], [-0.1, 1.2]])


@st.composite
def noise(draw: st.DrawFn) -> Labels:
    """Drawn by a seed: elements drawn one by one are mostly equal, and hold few corners."""
    shape = (draw(st.integers(1, 9)), draw(st.integers(3, 12)))
    random = np.random.default_rng(draw(st.integers(0, 1 << 20)))
    return random.integers(0, draw(st.integers(2, 5)), shape, dtype=np.int32)


@st.composite
def shapes_on_shapes(draw: st.DrawFn) -> Labels:
    """Discs, rotated boxes and single pixels over one another."""
    size, random = 26, np.random.default_rng(draw(st.integers(0, 1 << 20)))
    labels = np.full((size, size), draw(st.integers(0, 1)), np.int32)
    for k in range(draw(st.integers(3, 10))):
        x, y, radius, turn, flat = random.uniform(0, (size, size, 11, 3.2, 1)).tolist()
        inside = disc(size, x, y, radius) if k % 2 else box(size, x, y, radius, radius * flat, turn)
        labels[inside] = random.integers(0, 5)
    return labels


def disc(size: int, x: float, y: float, radius: float) -> NDArray[np.bool_]:
    rows, cols = np.mgrid[:size, :size] + 0.5
    inside: NDArray[np.bool_] = np.hypot(cols - x, rows - y) < radius
    return inside


def box(size: int, x: float, y: float, length: float, width: float, turn: float) -> NDArray[np.bool_]:
    """Give the pixels of a rotated box; half its length and width are given."""
    rows, cols = np.mgrid[:size, :size] + 0.5
    along = (cols - x) * np.cos(turn) + (rows - y) * np.sin(turn)
    across = (rows - y) * np.cos(turn) - (cols - x) * np.sin(turn)
    inside: NDArray[np.bool_] = (abs(along) < length) & (abs(across) < width)
    return inside


RASTERS = st.one_of(noise(), shapes_on_shapes())
RULES = st.builds(
    Generalisation,
    method=st.sampled_from(["vw", "dp"]),
    tolerance=st.sampled_from([0.5, 0.75, 1.0, 1.25, 1.5, 2.5, 6.0, 50.0]),
    smooth=st.booleans(),
)


def flags_of(arcs: Arcs) -> NDArray[np.uint8]:
    """Flag the arcs that join the same two ends as another, and rings that no other arc ends on."""
    ends = [(line[0], line[-1]) for line in lines_of(arcs)]
    pairs, corners = [frozenset(pair) for pair in ends], [corner for pair in ends for corner in pair]
    return np.array(
        [
            (TWIN if pairs.count(pair) > 1 else 0) | (FREE if a == b and corners.count(a) == 2 else 0)
            for pair, (a, b) in zip(pairs, ends, strict=True)
        ],
        np.uint8,
    )


def generalised(labels: Labels, rule: Generalisation, metric: Metric | None = None) -> tuple[Arcs, list[Line]]:
    arcs, bits = trace_arcs(labels)
    points, offsets = generalise_arcs(arcs, bits, rule, metric or Metric.pixels(), flags_of(arcs))
    return arcs, [points[start:end] for start, end in pairwise(offsets)]


def one_line(line: list[tuple[int, int]], rule: Generalisation, *, flags: int = 0) -> list[tuple[float, ...]]:
    arcs = arcs_of([line])
    bits = bits_of(arcs, height=60, width=120)
    points, _ = generalise_arcs(arcs, bits, rule, Metric.pixels(), np.array([flags], np.uint8))
    return [tuple(point) for point in points.tolist()]


def signed_areas(arcs: Arcs, lines: list[Line]) -> dict[int, float]:
    """Sum each component's area from its arcs, so that it is positive if it lies on their proper side."""
    areas: dict[int, float] = {}
    for left, right, line in zip(arcs.left.tolist(), arcs.right.tolist(), lines, strict=True):
        (x, y), (next_x, next_y) = line[:-1].T, line[1:].T
        swept = float(np.sum(x * next_y - next_x * y)) / 2
        areas[right] = areas.get(right, 0.0) + swept
        areas[left] = areas.get(left, 0.0) - swept
    return areas


def assert_planar(lines: list[Line]) -> None:
    """Lines meet at their ends only; halves, so that rings have ends too."""
    halves = []
    for line in lines:
        assert (np.abs(np.diff(line, axis=0)).sum(axis=1) > 0).all()
        middle = len(line) // 2
        halves += [line[: middle + 1], line[middle:]] if len(line) > 2 else [line]
    strings = np.array([shapely.linestrings(half) for half in halves], object)
    assert shapely.is_simple(strings).all()
    first, second = shapely.STRtree(strings).query(strings)
    first, second = first[first < second], second[first < second]
    assert shapely.relate_pattern(strings[first], strings[second], "FF*F*****").all()


def farthest(originals: list[tuple[int, int]], line: Line, matrix: NDArray[np.float64]) -> float:
    """Give how far the farthest original vertex is from a line, by one metric."""
    string = shapely.linestrings(line @ matrix.T)
    return float(shapely.distance(shapely.points(np.array(originals) @ matrix.T), string).max())


@given(RASTERS, RULES)
@settings(max_examples=examples(80))
def test_lines_are_planar_near_and_on_their_side(labels: Labels, rule: Generalisation) -> None:
    arcs, lines = generalised(labels, rule)
    assert_planar(lines)
    for original, line in zip(lines_of(arcs), lines, strict=True):
        assert farthest(original, line, np.eye(2)) <= rule.tolerance + 1e-6
        np.testing.assert_array_equal(line * 128, np.round(line * 128))
        if original[0] == original[-1]:
            np.testing.assert_array_equal(line[0], line[-1])
            assert len(line) >= 5
        else:
            np.testing.assert_array_equal(line[[0, -1]], [original[0], original[-1]])
    areas = signed_areas(arcs, lines)
    outside = areas.pop(-1, 0.0)
    assert all(area > 0 for area in areas.values())
    assert sum(areas.values()) == -outside  # exact: all are multiples of 2⁻¹⁵
    faces = np.array(shapely.polygonize([shapely.linestrings(line) for line in lines]).geoms, object)
    assert shapely.is_valid(faces).all()
    assert shapely.coverage_is_valid(faces)
    assert float(shapely.area(faces).sum()) >= sum(areas.values())  # faces of nodata are among them


@given(RASTERS, RULES, st.integers(0, 1 << 16))
@settings(max_examples=examples(60))
def test_an_arc_gets_the_same_line_in_any_company_and_direction(
    labels: Labels, rule: Generalisation, seed: int
) -> None:
    arcs, bits = trace_arcs(labels)
    flags, random, originals = flags_of(arcs), Random(seed), lines_of(arcs)
    points, offsets = generalise_arcs(arcs, bits, rule, Metric.pixels(), flags)
    some = [arc for arc in range(len(flags)) if random.random() < 0.7]
    random.shuffle(some)
    turned = [random.random() < 0.5 for _ in some]
    others = arcs_of([originals[arc][::-1] if turn else originals[arc] for arc, turn in zip(some, turned, strict=True)])
    again, ends = generalise_arcs(others, bits, rule, Metric.pixels(), flags[some])
    for place, (arc, turn) in enumerate(zip(some, turned, strict=True)):
        line = again[ends[place] : ends[place + 1]]
        np.testing.assert_array_equal(line[::-1] if turn else line, points[offsets[arc] : offsets[arc + 1]])


@given(RASTERS, st.sampled_from(["vw", "dp"]), st.sampled_from([0.75, 1.5, 4.0, 30.0]))
@settings(max_examples=examples(60))
def test_vertices_between_two_are_near_their_segment_by_the_metric(
    labels: Labels, method: str, tolerance: float
) -> None:
    metric = Metric(cell_px=4, matrices=np.broadcast_to(SHEAR, (3, 2, 2, 2)))
    rule = Generalisation(method="vw" if method == "vw" else "dp", tolerance=tolerance)
    arcs, lines = generalised(labels, rule, metric)
    assert_planar(lines)
    for original, line in zip(lines_of(arcs), lines, strict=True):
        places = [0]
        for col, row in line[1:].astype(int).tolist():
            places.append(original.index((col, row), places[-1] + 1))
        assert places[-1] == len(original) - 1
        for first, last in pairwise(places):
            ends = np.array(original)[[first, last]]
            assert farthest(original[first : last + 1], ends, SHEAR) <= tolerance + 1e-6


@given(shapes_on_shapes(), st.booleans())
@settings(max_examples=examples(30))
def test_smooth_lines_keep_to_the_metric_too(labels: Labels, is_vw: bool) -> None:
    metric = Metric(cell_px=1000, matrices=SHEAR[None, None])
    rule = Generalisation(method="vw" if is_vw else "dp", tolerance=1.5, smooth=True)
    arcs, lines = generalised(labels, rule, metric)
    for original, line in zip(lines_of(arcs), lines, strict=True):
        assert farthest(original, line, SHEAR) <= 1.5 + 1e-6


@given(RASTERS, RULES)
@settings(max_examples=examples(40))
def test_short_pieces_are_lawful_too(labels: Labels, rule: Generalisation) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("geodeeplab.vector.generalise.vw.INDEX_BITS", 3)  # only how lines are cut: pieces of 4 edges
        patch.setattr("geodeeplab.vector.generalise.vw.MOST_SPAN", 4)
        arcs, lines = generalised(labels, rule)
    assert_planar(lines)
    areas = signed_areas(arcs, lines)
    assert all(area > 0 for component, area in areas.items() if component >= 0)
    for original, line in zip(lines_of(arcs), lines, strict=True):
        assert farthest(original, line, np.eye(2)) <= rule.tolerance + 1e-6


def test_a_metric_is_that_of_the_vertex_s_own_cell() -> None:
    # A bump of 1 px on the left, one on the right, where a pixel is worth twice as much.
    steps = [(0, 2), (8, 2), (8, 3), (9, 3), (9, 2), (40, 2), (40, 3), (41, 3), (41, 2), (50, 2)]
    arcs = arcs_of([steps])
    matrices = np.stack([np.eye(2), 2 * np.eye(2)])[None]
    points, _ = generalise_arcs(
        arcs,
        bits_of(arcs, height=9, width=60),
        Generalisation(tolerance=1.5),
        Metric(cell_px=20, matrices=matrices),
        np.zeros(1, np.uint8),
    )
    columns = set(points[:, 0].tolist())
    assert columns.isdisjoint({8, 9})
    assert columns >= {40, 41}
    assert 3 in points[:, 1]


@pytest.mark.parametrize("method", ["vw", "dp"])
@pytest.mark.parametrize("slope", [0.05, 0.2, 1 / 3, 0.41, 0.5, 0.62, 0.7, 0.85, 0.97, 1.0])
def test_a_staircase_of_any_slope_becomes_one_line_from_the_square_root_of_2_on(method: str, slope: float) -> None:
    heights = np.floor(slope * np.arange(61) + 0.5).astype(int)
    stairs = [(0, int(heights[0]))]
    for col in range(1, 61):
        if heights[col] != heights[col - 1]:
            stairs += [(col, int(heights[col - 1])), (col, int(heights[col]))]
    stairs += [(61, int(heights[-1]))]
    rule = Generalisation(method="vw" if method == "vw" else "dp", tolerance=1.5)
    kept = one_line(stairs, rule)
    assert kept[0] == stairs[0]
    assert kept[-1] == stairs[-1]
    headings = np.arctan2(*np.diff(np.array(kept), axis=0).T)
    assert len(kept) <= (2 if method == "dp" else 4)
    assert np.degrees(np.abs(np.diff(headings))).max(initial=0) < 10


@pytest.mark.parametrize("method", ["vw", "dp"])
@pytest.mark.parametrize("smooth", [False, True])
def test_square_corners_stay_and_notches_go(method: str, smooth: bool) -> None:
    # An L-shaped building with one pixel too many, one too few.
    labels = np.ones((50, 50), np.int32)
    labels[10:40, 10:40] = 2
    labels[10:25, 25:40] = 1
    labels[9, 15] = 2
    labels[39, 30] = 1
    rule = Generalisation(method="vw" if method == "vw" else "dp", tolerance=1.5, smooth=smooth)
    _, lines = generalised(labels, rule)
    (building,) = (line for line in lines if 10 <= line[0, 0] <= 25 and len(line) > 5)
    corners = {tuple(point) for point in building.tolist()}
    assert {(25, 10), (25, 25), (40, 25), (40, 40), (10, 40)} <= corners


def test_small_rings_stay_as_they_are() -> None:
    labels = np.zeros((9, 9), np.int32)
    labels[1, 1] = labels[4, 2:5] = labels[6:8, 6:8] = 1
    arcs, lines = generalised(labels, Generalisation(tolerance=5.0))
    assert [len(line) for line in lines] == [5, 5, 5]
    np.testing.assert_array_equal(np.concatenate(lines), arcs.points)


def test_flags() -> None:
    bump = [(0, 0), (4, 0), (4, 1), (6, 1), (6, 0), (16, 0)]
    rule = Generalisation(tolerance=1.0)
    assert one_line(bump, rule) == [(0, 0), (16, 0)]
    assert one_line(bump, rule, flags=KEEP) == bump
    methods: tuple[Literal["vw", "dp"], ...] = ("vw", "dp")
    for method in methods:
        kept = one_line(bump, Generalisation(method=method, tolerance=1.0), flags=TWIN)
        assert len(kept) == 3, method


def test_a_free_ring_is_smooth_all_round() -> None:
    line = lines_of(trace_arcs(disc(30, 15, 15, 10).astype(np.int32))[0])[0]
    rule = Generalisation(tolerance=1.5, smooth=True)
    sharp, smooth = (np.array(one_line(line, rule, flags=flags)) for flags in (0, FREE))
    assert tuple(sharp[0]) == line[0]
    assert tuple(smooth[0]) != line[0]
    for ring, most in ((sharp, 50), (smooth, 25)):
        steps = np.diff(np.concatenate([ring, ring[1:2]]), axis=0)
        headings = np.unwrap(np.arctan2(steps[:, 1], steps[:, 0]))
        assert np.abs(np.degrees(np.diff(headings))).max() < most


def test_nothing_comes_between_close_lines() -> None:
    """A corridor one pixel wide stays open, whatever the tolerance."""
    labels = np.ones((20, 20), np.int32)
    for k in range(18):
        labels[k : k + 2, k] = 2
    for tolerance in (1.5, 8.0):
        for smooth in (False, True):
            arcs, lines = generalised(labels, Generalisation(tolerance=tolerance, smooth=smooth))
            assert_planar(lines)
            assert min(area for part, area in signed_areas(arcs, lines).items() if part >= 0) > 5


@pytest.mark.parametrize(("smooth", "most"), few([(False, 0.03), (True, 0.08)], 1))
def test_small_things_do_not_shrink(smooth: bool, most: float) -> None:
    """Of 60 discs and boxes of 10 to 150 px the mean change of area is a few percent."""
    random, changes = np.random.default_rng(1), []
    for k in range(60):
        x, y = random.uniform(12, 13, 2)
        radius, turn = random.uniform(2.0, 7.0), random.uniform(0, 3.2)
        labels = disc(25, x, y, radius) if k % 2 else box(25, x, y, radius, 0.6 * radius, turn)
        arcs, lines = generalised(labels.astype(np.int32), Generalisation(tolerance=1.5, smooth=smooth))
        changes.append(signed_areas(arcs, lines)[0] / labels.sum() - 1)
    assert abs(np.mean(changes)) < most


def test_no_arcs_give_no_lines() -> None:
    points, offsets = generalise_arcs(
        arcs_of([]),
        bits_of(arcs_of([]), height=3, width=3),
        Generalisation(tolerance=1.0, smooth=True),
        Metric.pixels(),
        np.zeros(0, np.uint8),
    )
    assert points.shape == (0, 2)
    assert offsets.tolist() == [0]


def test_arrays_that_may_not_be_written_to_are_taken() -> None:
    arcs, bits = trace_arcs(disc(12, 6, 6, 4).astype(np.int32))
    for array in (arcs.points, arcs.offsets, bits.words):
        array.flags.writeable = False
    points, _ = generalise_arcs(arcs, bits, Generalisation(tolerance=1.0), Metric.pixels(), np.zeros(1, np.uint8))
    assert len(points) < len(arcs.points)


@pytest.mark.parametrize("tolerance", [0.0, -1.0, float("nan"), float("inf")])
def test_a_tolerance_that_is_no_distance_is_refused(tolerance: float) -> None:
    with pytest.raises(OptionError, match="finite distance above 0"):
        Generalisation(tolerance=tolerance)


def test_an_unknown_method_is_refused() -> None:
    with pytest.raises(OptionError, match="one of vw, dp; 'chaikin' is none"):
        Generalisation(method="chaikin", tolerance=1.0)  # type: ignore[arg-type]
