import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from torchmetrics.functional.classification import multiclass_calibration_error

from geodeeplab.errors import OptionError
from geodeeplab.evaluation import percent_counts, reliability, reliability_of_percents


def softmax(seed: int, classes: int = 4, pixels: int = 500) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    raw = np.exp(rng.normal(size=(classes, pixels)) * 2)
    return raw / raw.sum(0), rng.integers(0, classes, pixels)


@given(st.integers(0, 1000), st.sampled_from([1, 5, 10, 15]))
def test_torchmetrics_agrees(seed: int, bins: int) -> None:
    probabilities, truth = softmax(seed)
    expected = multiclass_calibration_error(
        torch.from_numpy(probabilities.T), torch.from_numpy(truth), num_classes=4, n_bins=bins
    )
    assert reliability(probabilities, truth, bins=bins).ece == pytest.approx(float(expected), abs=1e-6)


def test_by_hand() -> None:
    confidence = np.array([[95, 95, 55, 50, 255]])
    labels, truth = np.array([[1, 1, 2, 2, 1]]), np.array([[1, 2, 2, 2, 1]])
    found = reliability_of_percents(percent_counts(confidence, labels, truth, ignore=None))
    assert found.counts.tolist() == [0, 0, 0, 0, 0, 2, 0, 0, 0, 2]
    assert found.accuracy[[5, 9]].tolist() == [1, 0.5]
    assert found.confidence[[5, 9]] == pytest.approx([0.525, 0.95])
    assert found.ece == pytest.approx((2 * 0.475 + 2 * 0.45) / 4)
    assert found.overconfidence == pytest.approx((0.95 * 2 + 0.55 + 0.5 - 3) / 4)


def test_100_per_cent_is_in_the_last_bin() -> None:
    counts = percent_counts(np.array([100, 0]), np.array([1, 1]), np.array([1, 2]), ignore=None)
    assert reliability_of_percents(counts, bins=2).counts.tolist() == [1, 1]
    assert reliability_of_percents(counts).ece == 0


@given(arrays(np.uint8, (3, 6, 5), elements=st.integers(0, 130)), st.integers(0, 6))
def test_counts_of_parts_add_up(drawn: np.ndarray, cut: int) -> None:
    confidence, labels, truth = drawn[0], drawn[1] % 3, drawn[2] % 3
    whole = percent_counts(confidence, labels, truth, ignore=2)
    parts = [percent_counts(confidence[rows], labels[rows], truth[rows], ignore=2) for rows in np.s_[:cut, cut:]]
    assert np.array_equal(whole, sum(parts))
    assert whole[0].sum() == ((confidence <= 100) & (truth != 2)).sum()


def test_rounding_to_per_cent_hardly_matters() -> None:
    probabilities, truth = softmax(3, pixels=20_000)
    counts = percent_counts(
        np.rint(100 * probabilities.max(0)).astype(np.uint8), probabilities.argmax(0), truth, ignore=None
    )
    assert reliability_of_percents(counts).ece == pytest.approx(reliability(probabilities, truth).ece, abs=0.005)


def test_pixels_without_probability_or_truth_do_not_count() -> None:
    probabilities, truth = softmax(5)
    probabilities[:, 0], truth[1] = np.nan, 255
    found = reliability(probabilities, truth, ignore=255)
    assert found.counts.sum() == 498
    nothing = reliability(probabilities[:, :0], truth[:0])
    assert math.isnan(nothing.ece)
    assert math.isnan(nothing.overconfidence)


def test_refusals() -> None:
    with pytest.raises(OptionError, match="pass them through a softmax"):
        reliability(np.array([[3.0], [-1.0]]), np.array([0]))
    with pytest.raises(OptionError, match="move the axis"):
        reliability(np.zeros((5, 2)), np.zeros(5, dtype=np.int64))
    with pytest.raises(OptionError, match="at least 1 bin, not 0"):
        reliability(*softmax(1), bins=0)
    with pytest.raises(OptionError, match="one shape"):
        percent_counts(np.zeros((2, 2), int), np.zeros((2, 3), int), np.zeros((2, 2), int), ignore=None)
