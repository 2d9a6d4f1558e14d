import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from geodeeplab.errors import OptionError
from geodeeplab.evaluation import confusion_matrix, iou, mean_iou

TRUTH = np.array([[1, 1, 2], [1, 2, 2], [0, 0, 2]], dtype=np.uint8)
LABELS = np.array([[1, 2, 2], [1, 1, 2], [1, 2, 2]], dtype=np.uint8)


def test_counts_and_scores_by_hand() -> None:
    counts = confusion_matrix(LABELS, TRUTH, class_ids=[1, 2], ignore=0)
    assert counts.tolist() == [[2, 1], [1, 3]]
    assert counts.dtype == np.int64
    assert iou(counts).tolist() == [2 / 4, 3 / 5]
    assert mean_iou(counts) == pytest.approx(0.55)


def test_rows_and_columns_follow_the_class_ids() -> None:
    assert confusion_matrix(LABELS, TRUTH, class_ids=[2, 1], ignore=0).tolist() == [[3, 1], [1, 2]]


def test_a_class_that_never_occurs_has_no_score() -> None:
    counts = confusion_matrix(LABELS, TRUTH, class_ids=[1, 2, 3], ignore=0)
    assert np.isnan(iou(counts)).tolist() == [False, False, True]
    assert mean_iou(counts) == pytest.approx(0.55)
    assert math.isnan(mean_iou(np.zeros((2, 2), dtype=np.int64)))


PAIRS = arrays(np.uint8, (2, 6, 5), elements=st.integers(0, 3))


@given(PAIRS, st.integers(0, 6))
def test_counts_of_parts_add_up(pair: np.ndarray, cut: int) -> None:
    whole = confusion_matrix(*pair, class_ids=range(4), ignore=3)
    parts = [confusion_matrix(*part, class_ids=range(4), ignore=3) for part in (pair[:, :cut], pair[:, cut:])]
    assert np.array_equal(whole, sum(parts))
    assert whole.sum() == (pair[1] != 3).sum()


@given(PAIRS)
def test_iou_is_that_of_the_masks(pair: np.ndarray) -> None:
    scores = iou(confusion_matrix(*pair, class_ids=range(4)))
    for index, score in enumerate(scores):
        a, b = pair == index
        assert math.isnan(score) if not (a | b).any() else score == (a & b).sum() / (a | b).sum()


def test_labels_under_ignored_truth_may_be_anything() -> None:
    odd = np.where(TRUTH == 0, 77, LABELS)
    assert np.array_equal(
        confusion_matrix(odd, TRUTH, class_ids=[1, 2], ignore=0),
        confusion_matrix(LABELS, TRUTH, class_ids=[1, 2], ignore=0),
    )


@pytest.mark.parametrize("value", [0, 3, 300, -1])
def test_refuses_labels_of_no_class(value: int) -> None:
    labels = LABELS.astype(np.int64)
    labels[0, 0] = value
    with pytest.raises(OptionError, match=f"labels hold class ids, 1, 2, not {value}"):
        confusion_matrix(labels, TRUTH, class_ids=[1, 2], ignore=0)


def test_refuses_truth_of_no_class() -> None:
    with pytest.raises(OptionError, match="truth hold class ids, 1, 2, not 0"):
        confusion_matrix(LABELS, TRUTH, class_ids=[1, 2])


def test_refuses_shapes_that_differ() -> None:
    with pytest.raises(OptionError, match=r"one shape, not \(2, 3\) and \(3, 3\)"):
        confusion_matrix(LABELS[:2], TRUTH, class_ids=[1, 2])
