import math
from typing import Any

import numpy as np
import pytest
import sklearn.metrics
import torch
import torchmetrics.functional.classification as theirs
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from geodeeplab.evaluation import accuracy, confusion_matrix, f1, iou, kappa, mean_over_classes, precision, recall

PAIRS = arrays(np.uint8, (2, 8, 9), elements=st.integers(0, 3))
BY_HAND = np.array([[2, 1, 0], [1, 3, 0], [0, 0, 0]])


def test_by_hand() -> None:
    assert precision(BY_HAND)[:2].tolist() == [2 / 3, 3 / 4]
    assert recall(BY_HAND)[:2].tolist() == [2 / 3, 3 / 4]
    assert f1(BY_HAND)[:2].tolist() == [4 / 6, 6 / 8]
    assert accuracy(BY_HAND) == 5 / 7
    assert kappa(BY_HAND) == pytest.approx((5 / 7 - 25 / 49) / (1 - 25 / 49))
    assert all(math.isnan(scores(BY_HAND)[2]) for scores in (precision, recall, f1, iou))
    assert mean_over_classes(f1(BY_HAND)) == pytest.approx((4 / 6 + 6 / 8) / 2)


def test_truth_without_a_label_may_count_as_wrong() -> None:
    missed = np.array([3, 0, 0])
    assert recall(BY_HAND, missed=missed)[0] == 2 / 6
    assert f1(BY_HAND, missed=missed)[0] == 4 / 9
    assert accuracy(BY_HAND, missed=missed) == 5 / 10
    assert iou(BY_HAND, missed=missed)[0] == 2 / 7


def test_nothing_has_no_score() -> None:
    nothing = np.zeros((3, 3), dtype=np.int64)
    assert all(math.isnan(score) for score in (accuracy(nothing), kappa(nothing), mean_over_classes(f1(nothing))))
    assert math.isnan(kappa(np.array([[5, 0], [0, 0]])))  # one class only: all agreement is chance


@given(PAIRS)
def test_scikit_learn_agrees(pair: np.ndarray) -> None:
    labels, truth = (one.ravel() for one in pair)
    counts = confusion_matrix(labels, truth, class_ids=range(4))
    options = {"labels": range(4), "average": None, "zero_division": np.nan}
    assert np.array_equal(counts, sklearn.metrics.confusion_matrix(truth, labels, labels=range(4)))
    for ours, name in ((precision, "precision"), (recall, "recall"), (f1, "f1")):
        expected = getattr(sklearn.metrics, f"{name}_score")(truth, labels, **options)
        assert ours(counts) == pytest.approx(expected, nan_ok=True)
    assert accuracy(counts) == pytest.approx(sklearn.metrics.accuracy_score(truth, labels))
    if len(np.unique(pair)) > 1:
        assert kappa(counts) == pytest.approx(sklearn.metrics.cohen_kappa_score(truth, labels), nan_ok=True)


@given(PAIRS, st.integers(0, 3))
def test_torchmetrics_agrees(pair: np.ndarray, ignore: int) -> None:
    labels, truth = (torch.from_numpy(one.astype(np.int64)) for one in pair)
    counts = confusion_matrix(*pair, class_ids=range(4), ignore=ignore)
    options: dict[str, Any] = {"num_classes": 4, "ignore_index": ignore}
    assert np.array_equal(counts, theirs.multiclass_confusion_matrix(labels, truth, **options).numpy())
    there = np.arange(4) != ignore  # they give zeros where ours are NaN
    for ours, function in (
        (precision, theirs.multiclass_precision),
        (recall, theirs.multiclass_recall),
        (f1, theirs.multiclass_f1_score),
    ):
        expected = function(labels, truth, average="none", **options).numpy()
        assert np.nan_to_num(ours(counts))[there] == pytest.approx(expected[there], abs=1e-6)
    expected = theirs.multiclass_jaccard_index(labels, truth, average="none", num_classes=4).numpy()
    assert np.nan_to_num(iou(confusion_matrix(*pair, class_ids=range(4)))) == pytest.approx(expected, abs=1e-6)


@given(PAIRS)
def test_f1_follows_from_iou(pair: np.ndarray) -> None:
    counts = confusion_matrix(*pair, class_ids=range(4))
    assert f1(counts) == pytest.approx(2 * iou(counts) / (1 + iou(counts)), nan_ok=True)
