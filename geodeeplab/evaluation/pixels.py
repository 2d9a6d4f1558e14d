"""Pixel metrics from a confusion matrix: precision, recall, F1, accuracy, kappa.

Counts are (K, K), the truth by row, as `confusion_matrix` gives them, or shares of the ground likewise. `missed` (K,)
are true pixels of each class that have no label at all, where these are to count as wrong.
"""

import numpy as np
from numpy.typing import NDArray

from geodeeplab.evaluation.confusion import Counts, divide


def precision(counts: Counts) -> NDArray[np.float64]:
    """Give the share of each class's labels that are right (K,), "user's accuracy"; NaN for a class never labelled."""
    return divide(np.diag(counts), counts.sum(0))


def recall(counts: Counts, *, missed: NDArray[np.int64] | None = None) -> NDArray[np.float64]:
    """Give the share of each class's truth that is found (K,), "producer's accuracy"; NaN for a class never true."""
    return divide(np.diag(counts), counts.sum(1) + _or_zero(missed))


def f1(counts: Counts, *, missed: NDArray[np.int64] | None = None) -> NDArray[np.float64]:
    """Give the harmonic mean of precision and recall (K,), the Dice score; NaN for a class that never occurs.

    Law: with J the intersection over union, it is 2 J / (1 + J).
    """
    return divide(2 * np.diag(counts), counts.sum(0) + counts.sum(1) + _or_zero(missed))


def accuracy(counts: Counts, *, missed: NDArray[np.int64] | None = None) -> float:
    """Give the share of all pixels that are right, "overall accuracy"; NaN for none.

    It follows the largest classes: beside it, look at the mean of the classes' scores.
    """
    total = counts.sum() + np.sum(_or_zero(missed))
    return float(divide(np.atleast_1d(np.trace(counts)), np.atleast_1d(total))[0])


def kappa(counts: NDArray[np.int64]) -> float:
    """Give Cohen's kappa (Cohen 1960): agreement beyond what the two class shares give by chance; NaN for none.

    It is here for comparison with older reports; it says nothing that the confusion matrix does not (Pontius and
    Millones 2011, "Death to kappa").
    """
    total = float(counts.sum())
    if not total:
        return float("nan")
    agreed, by_chance = np.trace(counts) / total, float(counts.sum(0) @ (counts.sum(1) / total)) / total
    return float("nan") if by_chance == 1 else float((agreed - by_chance) / (1 - by_chance))


def mean_over_classes(scores: NDArray[np.float64]) -> float:
    """Give the mean of the scores (K,) that there are; NaN if there is none."""
    there = scores[~np.isnan(scores)]
    return float(there.mean()) if there.size else float("nan")


def _or_zero(missed: NDArray[np.int64] | None) -> NDArray[np.int64]:
    return np.zeros(1, dtype=np.int64) if missed is None else missed
