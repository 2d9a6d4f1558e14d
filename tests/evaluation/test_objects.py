import math
from typing import Any

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from shapely import box

from geodeeplab.errors import OptionError
from geodeeplab.evaluation import ObjectCounts, covered_shares, match_objects
from tests.examples import examples


def objects(*shapes: Any) -> np.ndarray:  # noqa: ANN401 - shapely geometries
    array = np.empty(len(shapes), dtype=object)
    array[:] = shapes
    return array


def test_by_hand() -> None:
    truth = objects(box(0, 0, 4, 4), box(10, 0, 14, 4), box(20, 0, 24, 4))
    found = objects(box(20, 0, 24, 2), box(0, 0, 4, 3), box(30, 0, 31, 1), box(11, 0, 15, 4))
    pairs = match_objects(found, truth)
    assert pairs.found.tolist() == [1, 3]  # the first covers half of a square, and half is not enough
    assert pairs.truth.tolist() == [0, 1]
    assert pairs.iou.tolist() == pytest.approx([0.75, 0.6])
    assert len(match_objects(found, truth, threshold=0.49).iou) == 3


def test_scores() -> None:
    counts = ObjectCounts(matched=6, missed=2, false=4, unjudged=9, iou_sum=4.5)
    assert (counts.precision, counts.recall, counts.f1, counts.mean_iou) == (0.6, 0.75, 12 / 18, 0.75)
    nothing = ObjectCounts(matched=0, missed=0, false=0)
    assert all(math.isnan(one) for one in (nothing.precision, nothing.recall, nothing.f1, nothing.mean_iou))


def test_each_object_has_one_partner() -> None:
    same = box(0, 0, 4, 4)
    pairs = match_objects(objects(box(0, 0, 4, 3.5), same, same), objects(same))
    assert (pairs.found.tolist(), pairs.truth.tolist(), pairs.iou.tolist()) == ([1], [0], [1.0])


def test_nothing_matches_nothing() -> None:
    assert len(match_objects(objects(), objects(box(0, 0, 1, 1))).iou) == 0
    assert len(match_objects(objects(box(0, 0, 1, 1)), objects()).iou) == 0


def test_holes_and_several_parts() -> None:
    ring = box(0, 0, 6, 6).difference(box(1, 1, 5, 5))  # 20 of 36
    two = shapely.MultiPolygon([box(0, 0, 1, 1), box(5, 5, 6, 6)])
    assert match_objects(objects(box(0, 0, 6, 6)), objects(ring)).iou.tolist() == pytest.approx([20 / 36])
    assert len(match_objects(objects(box(0, 0, 6, 6)), objects(two)).iou) == 0


def test_what_crosses_itself_is_mended() -> None:
    bow = shapely.Polygon([(0, 0), (4, 4), (4, 0), (0, 4)])
    assert match_objects(objects(bow), objects(bow)).iou.tolist() == pytest.approx([1.0])


@settings(max_examples=examples(50))
@given(st.integers(0, 10_000), st.sampled_from([0.5, 0.6, 0.75]))
def test_no_object_has_two_candidates_where_none_overlap(seed: int, threshold: float) -> None:
    rng = np.random.default_rng(seed)
    layers = []
    for _ in range(2):
        xs, ys = (np.sort(rng.choice(40, 6, replace=False)) for _ in range(2))
        layers.append(objects(*(box(xs[i], ys[j], xs[i + 1], ys[j + 1]) for i in range(5) for j in range(5))))
    found, truth = layers
    scores = shapely.area(shapely.intersection(found[:, None], truth)) / shapely.area(
        shapely.union(found[:, None], truth)
    )
    over = scores > threshold
    assert over.sum(0).max() <= 1
    assert over.sum(1).max() <= 1
    pairs = match_objects(found, truth, threshold=threshold)
    assert np.array_equal(np.column_stack([pairs.found, pairs.truth]), np.argwhere(over))


def test_covered_shares() -> None:
    found = objects(box(0, 0, 4, 1), box(0, 5, 4, 6), box(0, 0, 2, 1))
    ground = objects(box(0, 0, 1, 1), box(0.5, 0, 2, 1))  # these two overlap
    assert covered_shares(found, ground).tolist() == pytest.approx([0.5, 0, 1])
    assert covered_shares(found, objects()).tolist() == [0, 0, 0]
    assert len(covered_shares(objects(), ground)) == 0


def test_refuses_a_threshold_of_one() -> None:
    with pytest.raises(OptionError, match="less than 1, not 1"):
        match_objects(objects(), objects(), threshold=1)
