import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from geodeeplab.errors import OptionError
from geodeeplab.evaluation import (
    Distances,
    boundary_counts,
    boundary_distances,
    diagonal_distance,
    halo,
    no_distances,
)
from tests.examples import examples

PAIRS = arrays(np.uint8, (2, 11, 13), elements=st.integers(0, 2))
RES = st.tuples(st.sampled_from([0.5, 1.0, 2.0]), st.sampled_from([0.3, 1.0, 1.5]))


def by_brute_force(labels: np.ndarray, truth: np.ndarray, class_id: int, res: tuple[float, float]) -> list[float]:
    """All distances, both ways, pixel by pixel; 9 is ignored."""
    rims = []
    for values in (labels, truth):
        rim = []
        for row, col in np.argwhere((values == class_id) & (truth != 9)).tolist():
            for r, c in ((row - 1, col), (row + 1, col), (row, col - 1), (row, col + 1)):
                inside = 0 <= r < values.shape[0] and 0 <= c < values.shape[1]
                if inside and truth[r, c] != 9 and values[r, c] != class_id:
                    rim.append((row * res[1], col * res[0]))
                    break
        rims.append(rim)
    return [
        min((math.dist(a, b) for b in dst), default=math.inf)
        for src, dst in (rims, rims[::-1])
        for a in src
    ]  # fmt: skip


@settings(max_examples=examples(50))
@given(PAIRS, arrays(bool, (11, 13)), RES, st.floats(2, 9))
def test_brute_force_agrees(pair: np.ndarray, ignored: np.ndarray, res: tuple[float, float], maximum: float) -> None:
    labels, truth = pair[0], np.where(ignored & (pair[1] == 0), 9, pair[1])
    found = boundary_distances(labels, truth, class_ids=range(3), maximum=maximum, res=res, ignore=9)
    for class_id, one in enumerate(found):
        expected = np.array(by_brute_force(labels, truth, class_id, res))
        clear = np.abs(expected - maximum) > 1e-9
        assert one.total == len(expected)
        if clear.all() and len(expected):
            assert one.beyond == (expected > maximum).sum()
            assert one.mean == pytest.approx(np.minimum(expected, maximum).mean())
            assert one.quantile(1) == (math.inf if one.beyond else pytest.approx(expected.max()))


@settings(max_examples=examples(50))
@given(PAIRS, RES, st.floats(2, 5), st.integers(1, 11), st.integers(1, 13))
def test_parts_with_a_halo_add_up(
    pair: np.ndarray, res: tuple[float, float], maximum: float, height: int, width: int
) -> None:
    options = {"class_ids": range(3), "maximum": maximum, "res": res, "ignore": 2}
    whole = boundary_distances(*pair, **options)  # type: ignore[arg-type]
    rows, cols = halo(maximum, res)
    added = [no_distances(maximum)] * 3
    band = np.zeros((2, 3), dtype=np.int64)
    for top, left in itertools.product(range(0, 11, height), range(0, 13, width)):
        part, core = cut(top, left, height, width, rows, cols)
        for i, one in enumerate(boundary_distances(*pair[:, *part], core=core, **options)):  # type: ignore[arg-type]
            added[i] += one
        part, core = cut(top, left, height, width, 2, 2)
        band += boundary_counts(*pair[:, *part], class_ids=range(3), distance=2, ignore=2, core=core)
    for one, other in zip(whole, added, strict=True):
        assert (one.squares.tolist(), one.counts.tolist()) == (other.squares.tolist(), other.counts.tolist())
        assert one.beyond == other.beyond
    assert np.array_equal(band, boundary_counts(*pair, class_ids=range(3), distance=2, ignore=2))


def cut(
    top: int, left: int, height: int, width: int, rows: int, cols: int
) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """A part with its halo, and its core within it."""
    first, before = max(0, top - rows), max(0, left - cols)
    part = slice(first, top + height + rows), slice(before, left + width + cols)
    return part, (slice(top - first, top - first + height), slice(left - before, left - before + width))


def test_a_shifted_edge_by_hand() -> None:
    truth = np.zeros((4, 12), dtype=np.uint8)
    labels = truth.copy()
    truth[:, 6:], labels[:, 8:] = 1, 1  # the edge lies two columns to the right
    for one in boundary_distances(labels, truth, class_ids=[0, 1], maximum=10, res=(0.5, 3.0)):
        assert (one.squares.tolist(), one.counts.tolist(), one.beyond) == ([1.0], [8], 0)
        assert one.mean == one.quantile(0.5) == one.quantile(0.95) == 1.0  # 2 columns of 0.5 m


def test_a_class_that_was_missed_is_beyond() -> None:
    truth = np.zeros((5, 5), dtype=np.uint8)
    truth[2, 2] = 1
    background, point = boundary_distances(np.zeros_like(truth), truth, class_ids=[0, 1], maximum=3)
    assert (point.total, point.beyond, point.mean, point.share_beyond) == (1, 1, 3, 1)
    assert point.quantile(0.5) == math.inf
    assert background.total == 4


def test_quantiles_count_pixels() -> None:
    one = Distances(squares=np.array([0.0, 4.0]), counts=np.array([3, 1]), beyond=1, maximum=5)
    assert [one.quantile(q) for q in (0.5, 0.6, 0.7, 0.8, 0.9)] == [0, 0, 2, 2, math.inf]
    assert one.mean == (2 + 5) / 5


def test_no_boundary_has_no_distance() -> None:
    same = np.ones((3, 3), dtype=np.uint8)
    (one,) = boundary_distances(same, same, class_ids=[1], maximum=2)
    assert math.isnan(one.mean)
    assert math.isnan(one.quantile(0.5))
    assert math.isnan(one.share_beyond)


def test_the_papers_distance() -> None:
    assert diagonal_distance((300, 400)) == 10
    assert diagonal_distance((8, 6)) == 1
    with pytest.raises(OptionError, match="between 0 and 1, not 2"):
        diagonal_distance((8, 6), share=2)


def test_refusals() -> None:
    same = np.ones((3, 3), dtype=np.uint8)
    with pytest.raises(OptionError, match=r"at least a pixel away, 2, not 1: give more"):
        boundary_distances(same, same, class_ids=[1], maximum=1, res=(1, 2))
    with pytest.raises(OptionError, match="cannot be added"):
        no_distances(1) + no_distances(2)
