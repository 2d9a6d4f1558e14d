"""Average precision of objects (COCO, Lin et al. 2014, arXiv 1405.0312): over thresholds of IoU and levels of recall.

PQ judges a map as it is; average precision judges in which order its objects would be believed.
"""

import numpy as np
from numpy.typing import NDArray

from geodeeplab.evaluation.objects import Objects, overlapping

IOU_THRESHOLDS = tuple(round(0.5 + 0.05 * step, 2) for step in range(10))
"""0.5 to 0.95, over which COCO takes the mean."""
RECALL_LEVELS = 101
"""Recalls from 0 to 1 at which precision is read off."""


def average_precisions(
    found: Objects,
    truth: Objects,
    *,
    scores: NDArray[np.floating] | None = None,
    unjudged: NDArray[np.bool_] | None = None,
) -> tuple[float, ...]:
    """Give the average precision at each of `IOU_THRESHOLDS`; NaN without an object in the truth.

    By falling score, an object takes of the true objects that are free the one of the highest IoU, if that reaches the
    threshold. Objects of the same score are believed at once, all or none: law, the order of objects does not count.
    So without scores there is one step, and the average precision is the precision, over the levels of recall that are
    reached. Where scores differ it is COCO's, to the last bit but for sums.

    Args:
        found: (n,) objects of one class in the labels.
        truth: (m,) objects of that class in the truth, in the same CRS.
        scores: (n,) how much each object is believed, higher is more; None: all the same.
        unjudged: (n,) True where nobody knows the truth: without a partner, such an object counts nowhere.
    """
    count = len(found)
    given = np.zeros(count) if scores is None else np.nan_to_num(np.asarray(scores, dtype=np.float64), nan=-np.inf)
    spared = np.zeros(count, dtype=np.bool_) if unjudged is None else unjudged
    i, j, iou = overlapping(found, truth)
    by_score = np.lexsort((j, i, -iou, -given[i]))
    i, j, iou = i[by_score], j[by_score], iou[by_score]
    return tuple(
        _area(_matched(i, j, iou >= threshold, count, len(truth)), given, spared, len(truth))
        for threshold in IOU_THRESHOLDS
    )


def _matched(
    i: NDArray[np.int64], j: NDArray[np.int64], near: NDArray[np.bool_], found: int, truth: int
) -> NDArray[np.bool_]:
    """Tell which objects (n,) find a partner, of pairs in the order in which they are taken."""
    is_matched, is_taken = np.zeros(found, dtype=np.bool_), np.zeros(truth, dtype=np.bool_)
    for one, other in zip(i[near].tolist(), j[near].tolist(), strict=True):
        if not is_matched[one] and not is_taken[other]:
            is_matched[one] = is_taken[other] = True
    return is_matched


def _area(is_matched: NDArray[np.bool_], scores: NDArray[np.float64], spared: NDArray[np.bool_], truth: int) -> float:
    """Give the area below precision over recall, where precision never rises with recall."""
    if not truth:
        return float("nan")
    counted = is_matched | ~spared
    right, scores = is_matched[counted], scores[counted]
    order = np.argsort(-scores, kind="stable")
    right, scores = right[order], scores[order]
    ends = np.append(scores[1:] != scores[:-1], True)[: len(scores)]  # of objects of the same score the last
    hits = np.cumsum(right)[ends]
    believed = np.flatnonzero(ends) + 1
    precision = np.maximum.accumulate((hits / believed)[::-1])[::-1]
    at = np.searchsorted(hits / truth, np.linspace(0, 1, RECALL_LEVELS), side="left")
    return float(np.append(precision, 0.0)[np.minimum(at, len(precision))].mean())
