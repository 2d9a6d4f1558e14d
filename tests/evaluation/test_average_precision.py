"""Average precision and panoptic quality of objects: by hand, and against definitions written down another way."""

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from shapely.geometry import box

from geodeeplab.evaluation import IOU_THRESHOLDS, ObjectCounts, average_precisions, match_objects

Objects = npt.NDArray[np.object_]


def squares(*corners: tuple[float, float, float]) -> Objects:
    """Give squares by left, bottom and side."""
    return np.array([box(x, y, x + side, y + side) for x, y, side in corners], dtype=object)


def test_by_hand() -> None:
    truth = squares((0, 0, 10), (20, 0, 10))
    found = squares((0, 0, 10), (50, 0, 10), (20, 0, 8))  # exact, false, and at an IoU of 0.64
    at = dict(zip(IOU_THRESHOLDS, average_precisions(found, truth, scores=np.array([0.9, 0.8, 0.7])), strict=True))
    # one of one, one of two, two of three: precision 1 up to a recall of a half, then two thirds
    assert at[0.5] == at[0.6] == pytest.approx((51 * 1 + 50 * 2 / 3) / 101)
    assert at[0.65] == at[0.95] == pytest.approx(51 / 101)


def test_without_scores_it_is_the_precision_up_to_the_recall() -> None:
    truth, found = squares((0, 0, 10), (20, 0, 10)), squares((0, 0, 10), (50, 0, 10), (60, 0, 10), (70, 0, 10))
    assert average_precisions(found, truth) == pytest.approx([0.25 * 51 / 101] * 10)


def test_what_nobody_can_judge_counts_only_with_a_partner() -> None:
    truth, found = squares((0, 0, 10)), squares((0, 0, 10), (50, 0, 10))
    spared = np.array([True, True])
    assert average_precisions(found, truth, unjudged=spared) == pytest.approx([1.0] * 10)


def test_nothing() -> None:
    nothing, one = squares(), squares((0, 0, 1))
    assert average_precisions(nothing, one) == (0.0,) * 10
    assert np.isnan(average_precisions(one, nothing)).all()
    assert np.isnan(average_precisions(nothing, nothing)).all()


coordinates = st.lists(
    st.tuples(st.integers(0, 12), st.integers(0, 12), st.integers(2, 6)), min_size=0, max_size=7, unique=True
)


def brute_force(found: Objects, truth: Objects, scores: npt.NDArray[np.float64], threshold: float) -> float:
    """Give COCO's average precision from its definition, of scores that all differ."""
    taken: set[int] = set()
    hits = []
    for one in np.argsort(-scores):
        overlaps = [
            (found[one].intersection(other).area / found[one].union(other).area, -index)
            for index, other in enumerate(truth)
            if index not in taken
        ]
        best = max(overlaps, default=(0.0, 0))
        hits.append(best[0] >= threshold)
        if hits[-1]:
            taken.add(-best[1])
    points = [(sum(hits[: n + 1]) / len(truth), sum(hits[: n + 1]) / (n + 1)) for n in range(len(hits))]
    levels = [level / 100 for level in range(101)]
    return float(np.mean([max((p for r, p in points if r >= level - 1e-12), default=0.0) for level in levels]))


@given(coordinates, coordinates, st.integers(0, 99))
def test_it_is_what_its_definition_says(
    ours: list[tuple[int, int, int]], theirs: list[tuple[int, int, int]], seed: int
) -> None:
    found, truth = squares(*ours), squares(*theirs)
    scores = np.random.default_rng(seed).permutation(len(found)).astype(np.float64)
    if not len(truth):
        return
    expected = [brute_force(found, truth, scores, threshold) for threshold in IOU_THRESHOLDS]
    assert average_precisions(found, truth, scores=scores) == pytest.approx(expected)


@given(coordinates, coordinates, st.integers(0, 99))
def test_the_order_of_objects_does_not_count(
    ours: list[tuple[int, int, int]], theirs: list[tuple[int, int, int]], seed: int
) -> None:
    rng = np.random.default_rng(seed)
    found, truth = squares(*ours), squares(*theirs)
    found = found[match_free(found)]
    truth = truth[match_free(truth)]
    scores = rng.integers(0, 3, len(found)).astype(np.float64)
    order = rng.permutation(len(found))
    one, other = (
        average_precisions(found, truth, scores=scores),
        average_precisions(found[order], truth, scores=scores[order]),
    )
    assert one == pytest.approx(other, nan_ok=True)


def match_free(objects: Objects) -> list[int]:
    """Choose objects that do not overlap each other."""
    kept: list[int] = []
    for index, one in enumerate(objects):
        if all(one.intersection(objects[other]).area == 0 for other in kept):
            kept.append(index)
    return kept


@given(coordinates, coordinates)
def test_panoptic_quality_is_its_equation(ours: list[tuple[int, int, int]], theirs: list[tuple[int, int, int]]) -> None:
    found, truth = squares(*ours), squares(*theirs)
    found, truth = found[match_free(found)], truth[match_free(truth)]
    ious = [a.intersection(b).area / a.union(b).area for a in found for b in truth]
    right = [iou for iou in ious if iou > 0.5]
    pairs = match_objects(found, truth)
    counts = ObjectCounts(
        matched=len(pairs.iou),
        missed=len(truth) - len(pairs.iou),
        false=len(found) - len(pairs.iou),
        iou_sum=float(pairs.iou.sum()),
    )
    if len(found) + len(truth) == 0:
        assert np.isnan(counts.pq)
        return
    unmatched = (len(found) - len(right)) / 2 + (len(truth) - len(right)) / 2
    assert counts.pq == pytest.approx(sum(right) / (len(right) + unmatched))
    if right:
        assert counts.pq == pytest.approx(counts.mean_iou * counts.f1)
