import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from geodeeplab.vector.generalise.bits import floor_ratio, row_bits, square_distance, triangle_bits, triangle_own
from geodeeplab.vector.generalise.dp import convex_hull, hull_bits
from tests.examples import examples
from tests.vector.reference_arcs import lines_of, trace_arcs

CORNERS = st.tuples(st.integers(0, 80), st.integers(0, 30))
EIGHTHS = st.tuples(st.integers(0, 640), st.integers(0, 240))


def some_corners(seed: int) -> tuple[list[tuple[int, int]], NDArray[np.uint64]]:
    """Give random corners of a lattice of 81 columns and 31 rows, and their bits, whose first row is -2."""
    flags = np.random.default_rng(seed).random((33, 128)) < 0.3
    flags[:2], flags[:, 81:] = False, False
    rows, cols = np.nonzero(flags)
    words = np.packbits(flags, axis=1, bitorder="little").view(np.uint64)
    return list(zip(cols.tolist(), (rows - 2).tolist(), strict=True)), words


def is_inside(x: int, y: int, corners: list[tuple[int, int]]) -> bool:
    """Tell in Python's integers whether a point is in a closed triangle, which may be a segment or a point."""
    turns = [
        (bx - ax) * (y - ay) - (by - ay) * (x - ax)
        for (ax, ay), (bx, by) in zip(corners, corners[1:] + corners[:1], strict=True)
    ]
    in_box = all(
        min(values) <= at <= max(values) for at, values in zip((x, y), zip(*corners, strict=True), strict=True)
    )
    return in_box and (min(turns) >= 0 or max(turns) <= 0)


@given(st.integers(0, 99), EIGHTHS, EIGHTHS, EIGHTHS)
@settings(max_examples=examples(80))
def test_bits_in_a_triangle_in_eighths(seed: int, a: tuple[int, int], b: tuple[int, int], c: tuple[int, int]) -> None:
    corners, words = some_corners(seed)
    inside = sum(is_inside(8 * x, 8 * y, [a, b, c]) for x, y in corners)
    assert triangle_bits(words, -2, 8, *a, *b, *c) == inside
    xs, ys = np.array(corners, np.int64).T.copy()
    assert triangle_own(xs, ys, 0, len(xs) - 1, 8, *a, *b, *c) == inside
    assert triangle_own(xs, ys, 5, 90, 8, *a, *b, *c) == sum(
        is_inside(8 * x, 8 * y, [a, b, c]) for x, y in corners[5:91]
    )


@given(st.integers(0, 99), CORNERS, CORNERS, st.integers(0, 4))
def test_bits_in_thin_triangles_and_segments(seed: int, a: tuple[int, int], b: tuple[int, int], away: int) -> None:
    corners, words = some_corners(seed)
    c = (a[0] + 3 * (b[0] - a[0]) // 4 + away // 2, a[1] + 3 * (b[1] - a[1]) // 4 + away % 2)
    inside = sum(is_inside(x, y, [a, b, c]) for x, y in corners)
    assert triangle_bits(words, -2, 1, *a, *b, *c) == inside


@given(st.integers(0, 99), st.integers(0, 30), st.integers(0, 80), st.integers(0, 80))
def test_bits_in_a_row(seed: int, row: int, first: int, last: int) -> None:
    corners, words = some_corners(seed)
    first, last = min(first, last), max(first, last)
    assert row_bits(words, row + 2, first, last) == sum(y == row and first <= x <= last for x, y in corners)


@given(st.integers(-(10**15), 10**15), st.integers(1, 10**9))
def test_ratios_are_exact(above: int, below: int) -> None:
    assert floor_ratio(above, below) == above // below


@pytest.mark.parametrize("above", [-(3**33), -(10**15) - 1, 3**33 - 1, 3**33, 7 * 10**14])
def test_ratios_next_to_whole_numbers_are_exact(above: int) -> None:
    for below in (3, 3**16, 7, 10**9):
        assert floor_ratio(above, below) == above // below


@given(st.integers(0, 500))
@settings(max_examples=examples(60))
def test_hulls_are_shapely_s(seed: int) -> None:
    labels = (np.random.default_rng(seed).random((9, 9)) < 0.6).astype(np.int32)
    arcs, bits = trace_arcs(labels)
    lows, highs = np.empty(10, np.int64), np.empty(10, np.int64)
    for line in lines_of(arcs):
        xs, ys = np.array(line, np.int64).T.copy()
        last = len(xs) - 1 - (line[0] == line[-1])
        if last < 2:
            continue
        deque = np.empty(2 * len(xs) + 6, np.int64)
        bottom, top = convex_hull(xs, ys, 0, last, deque)
        assert deque[bottom] == deque[top]
        hull = shapely.convex_hull(shapely.multipoints(np.column_stack([xs, ys])))
        ring = deque[bottom : top + 1]
        assert shapely.equals(shapely.polygons(np.column_stack([xs[ring], ys[ring]])), hull)
        vertices = shapely.points(np.unique(arcs.points, axis=0))
        inside = hull_bits(xs, ys, bottom, top, deque, bits.words, 0, lows, highs)
        assert inside == np.count_nonzero(shapely.intersects(hull, vertices))


@given(CORNERS, EIGHTHS, EIGHTHS)
def test_distances_are_those_of_the_metric(at: tuple[int, int], a: tuple[int, int], b: tuple[int, int]) -> None:
    matrix = np.array([[0.8, 0.3], [-0.1, 1.2]])
    gram = matrix.T @ matrix
    forms = np.array([[[gram[0, 0], gram[0, 1], gram[1, 1], np.linalg.det(matrix) ** 2]]])
    ends = np.array([a, b]) / 8
    found = square_distance(forms, 7, *at, *ends[0], *ends[1])
    segment = shapely.linestrings(ends @ matrix.T)
    assert found == pytest.approx(shapely.distance(segment, shapely.points(matrix @ at)) ** 2, abs=1e-9)
