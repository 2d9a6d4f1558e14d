"""Pixel metrics: the confusion matrix, and intersection over union per class."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from geodeeplab.errors import OptionError

MAX_ID = 255
"""Labels are uint8."""

Counts = NDArray[np.int64 | np.float64]
"""Numbers of pixels, or what weighs as much: shares of the ground."""


def confusion_matrix(
    labels: NDArray[np.integer], truth: NDArray[np.integer], *, class_ids: Sequence[int], ignore: int | None = None
) -> NDArray[np.int64]:
    """Count the pixels of every pair of a true class and a label.

    Law: the counts of a raster are the sum of the counts of its parts.

    Args:
        labels: labels of any shape.
        truth: true labels of the same shape.
        class_ids: the K values that occur, distinct, of 0 to 255; in the order of rows and columns.
        ignore: pixels with this true label are not counted, whatever their label.

    Returns:
        Counts (K, K), the truth by row.

    Raises:
        OptionError: for shapes that differ, or a value that is no class id.
    """
    seen = check_pair(labels, truth, ignore)
    by_row = class_indices(truth[seen], class_ids, what="truth")
    by_col = class_indices(labels[seen], class_ids, what="labels")
    k = len(class_ids)
    return np.bincount(k * by_row + by_col, minlength=k * k).reshape(k, k)


def iou(counts: Counts, *, missed: NDArray[np.int64] | None = None) -> NDArray[np.float64]:
    """Give the intersection over union (K,) of each class from counts (K, K); NaN where a class never occurs.

    `missed` (K,) are true pixels of each class that have no label at all, where these are to count as wrong.
    """
    hits = np.diag(counts)
    return divide(hits, counts.sum(0) + counts.sum(1) - hits + (0 if missed is None else missed))


def mean_iou(counts: Counts) -> float:
    """Give the mean of `iou` over the classes that occur; NaN if none does."""
    scores = iou(counts)
    return float(scores[~np.isnan(scores)].mean()) if counts.any() else float("nan")


def divide(numerator: Counts, denominator: Counts) -> NDArray[np.float64]:
    """Divide counts; 0 / 0 is NaN."""
    quotient = np.full(numerator.shape, np.nan)
    np.divide(numerator, denominator, out=quotient, where=denominator != 0)
    return quotient


def check_pair(labels: NDArray[np.integer], truth: NDArray[np.integer], ignore: int | None) -> NDArray[np.bool_]:
    """Give the pixels that count, those whose truth is not `ignore`; refuse shapes that differ."""
    if labels.shape != truth.shape:
        raise OptionError(f"labels and truth have one shape, not {labels.shape} and {truth.shape}: crop or warp one")
    return np.ones(truth.shape, dtype=bool) if ignore is None else truth != ignore


def class_indices(values: NDArray[np.integer], class_ids: Sequence[int], *, what: str) -> NDArray[np.int64]:
    """Give the position (n,) of each value (n,) in `class_ids`."""
    table = np.full(MAX_ID + 1, -1, dtype=np.int64)
    table[list(class_ids)] = np.arange(len(class_ids))
    outside = (values < 0) | (values > MAX_ID)
    indices = np.full(values.shape, -1, dtype=np.int64)
    indices[~outside] = table[values[~outside]]
    if (indices < 0).any():
        raise OptionError(
            f"{what} hold class ids, {', '.join(map(str, class_ids))}, not {int(values[indices < 0][0])}: "
            "add it to the classes, or ignore it in the truth"
        )
    return indices
