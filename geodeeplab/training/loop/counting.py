"""Counts of labels against the truth, a batch at a time, on the device that both are on and without waiting for it.

Law: they are those of `geodeeplab.evaluation` to the last pixel, summed over the chips. Shapes depend on sizes only.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from geodeeplab.evaluation.boundary import OUTSIDE
from geodeeplab.training.chip import IGNORE_INDEX


def confusion_counts(labels: Tensor, truth: Tensor, *, classes: int) -> Tensor:
    """Count the pixels of every pair of a true class and a label, of each chip by itself.

    Args:
        labels: (N, H, W), class indices.
        truth: (N, H, W), class indices; `IGNORE_INDEX` counts nowhere.
        classes: K.

    Returns:
        Counts (N, K, K), int64, the truth by row.
    """
    pairs = classes * truth.long() + labels.long()
    counts = [_histogram(*one, classes**2) for one in zip(pairs, truth != IGNORE_INDEX, strict=True)]
    return torch.stack(counts).view(-1, classes, classes)


def boundary_band_counts(labels: Tensor, truth: Tensor, *, classes: int, distance: int) -> Tensor:
    """Count the pixels in the intersection and in the union of the two bands of each class, over all chips.

    See `geodeeplab.evaluation.boundary_counts`; the edges of chips are contours.

    Args:
        labels: (N, H, W), class indices.
        truth: (N, H, W), class indices; `IGNORE_INDEX` counts nowhere.
        classes: K.
        distance: width of the band in pixels, at least 1.

    Returns:
        Counts (2, K), int64: intersections, then unions.
    """
    seen = truth != IGNORE_INDEX
    in_labels, in_truth = (_bands(values, seen, distance) for values in (labels, truth))
    both = _histogram(truth, in_labels & in_truth & (labels == truth), classes)
    either = _histogram(labels, in_labels, classes) + _histogram(truth, in_truth, classes) - both
    return torch.stack([both, either])


def _histogram(values: Tensor, where: Tensor, bins: int) -> Tensor:
    """Count each value from 0 to bins − 1 at the pixels `where`; `torch.bincount` would wait for a GPU."""
    index = values.long().masked_fill(~where, bins).flatten()
    counts = torch.zeros(bins + 1, dtype=torch.int64, device=values.device)
    return counts.scatter_add_(0, index, torch.ones_like(index))[:bins]


def _bands(labels: Tensor, seen: Tensor, distance: int) -> Tensor:
    """Mark the pixels (N, H, W) in the bands of all classes, as `geodeeplab.evaluation.boundary_bands` does."""
    around = (distance,) * 4
    values, unseen = F.pad(labels.to(torch.int16), around, value=OUTSIDE), F.pad(~seen, around, value=False)
    highest = _over_boxes(values.masked_fill(unseen, -1), torch.maximum, 2 * distance + 1)
    lowest = _over_boxes(values.masked_fill(unseen, OUTSIDE + 1), torch.minimum, 2 * distance + 1)
    return (highest != lowest) & seen


def _over_boxes(values: Tensor, extreme: Callable[[Tensor, Tensor], Tensor], side: int) -> Tensor:
    """Give the extreme of every box of side × side pixels (N, h, w), side − 1 fewer along both axes, by doubling."""
    for dim in (-2, -1):
        reached = 1
        while reached < side:
            step = min(reached, side - reached)
            size = values.shape[dim] - step
            values = extreme(values.narrow(dim, 0, size), values.narrow(dim, step, size))
            reached += step
    return values
