"""Losses on logits (N, K, ...) and class indices (N, ...), each safe where labels are to be ignored.

All are means over the pixels or classes that count. Where nothing counts, as in a chip without a label, a loss is 0
with gradients of 0: `F.cross_entropy` itself would give NaN there, which no optimiser recovers from.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from geodeeplab.errors import OptionError
from geodeeplab.training.chip import IGNORE_INDEX

LEAST_WEIGHT, GREATEST_WEIGHT = 0.5, 2.0
"""Bounds of class weights: a class of a few pixels must not outweigh all others."""
DICE_AVERAGES = ("micro", "macro")

_TINY = 1e-12


def class_weights(class_pixels: Sequence[int]) -> Tensor:
    """Give the weights (K,) of classes by their pixels: inverse square roots of the shares, cut off at 0.5 and 2.

    A class of average size has the weight 1; one without any pixel, 2.
    """
    counts = torch.tensor(class_pixels, dtype=torch.float32)
    return (counts.mean() / counts.clamp(min=1e-9)).sqrt().clamp(LEAST_WEIGHT, GREATEST_WEIGHT)


def cross_entropy(
    logits: Tensor, labels: Tensor, *, weights: Tensor | None = None, label_smoothing: float = 0.0
) -> Tensor:
    """Give the cross-entropy, weighted by class (K,), over the weight of the pixels that count."""
    total = F.cross_entropy(
        logits, labels.long(), weights, ignore_index=IGNORE_INDEX, label_smoothing=label_smoothing, reduction="sum"
    )
    return total / _weight_of(labels, weights).sum().clamp(min=_TINY)


def mixed_cross_entropy(
    logits: Tensor,
    labels: Tensor,
    others: Tensor,
    share: float,
    *,
    weights: Tensor | None = None,
    label_smoothing: float = 0.0,
) -> Tensor:
    """Give the cross-entropy of images mixed of two, `share` of the first (mixup, Zhang et al. 2018, arXiv 1710.09412).

    Each of a pixel's two labels counts with its share, and not at all where it is to be ignored. Law: where none is,
    and without weights, it equals the cross-entropy with the soft labels share · first + (1 − share) · second.
    """
    total, weight = logits.new_zeros(()), logits.new_zeros(())
    for part, target in ((share, labels), (1 - share, others)):
        total = total + part * F.cross_entropy(
            logits, target.long(), weights, ignore_index=IGNORE_INDEX, label_smoothing=label_smoothing, reduction="sum"
        )
        weight = weight + part * _weight_of(target, weights).sum()
    return total / weight.clamp(min=_TINY)


def focal_loss(logits: Tensor, labels: Tensor, *, gamma: float = 2.0, weights: Tensor | None = None) -> Tensor:
    """Give the focal loss (Lin et al. 2017, arXiv 1708.02002, equation 5) in its softmax form: −(1 − p)^γ · log p.

    Law: with a gamma of 0 it is the cross-entropy.
    """
    seen = labels != IGNORE_INDEX
    log_probs = F.log_softmax(logits, dim=1)
    picked = log_probs.gather(1, labels.masked_fill(~seen, 0).long().unsqueeze(1)).squeeze(1)  # (N, ...)
    weight = _weight_of(labels, weights)
    # 1 − p by expm1 and never below a little: the power of an exact 0 has no finite gradient for a gamma below 1.
    miss = (-torch.expm1(picked)).clamp(min=_TINY) ** gamma
    return (-weight * miss * picked).sum() / weight.sum().clamp(min=_TINY)


def dice_loss(logits: Tensor, labels: Tensor, *, average: str = "macro") -> Tensor:
    """Give 1 − Dice of the probabilities over the whole batch.

    Args:
        logits: (N, K, ...).
        labels: (N, ...).
        average: `macro`, the mean over the classes that occur in the labels, or `micro`, all classes' pixels together.

    Raises:
        OptionError: for another average.
    """
    if average not in DICE_AVERAGES:
        raise OptionError(f"Dice is averaged micro or macro, not {average!r}: choose one of them")
    seen = (labels != IGNORE_INDEX).unsqueeze(1)  # (N, 1, ...)
    probs = logits.softmax(1) * seen
    truth = _one_hot(labels, logits.shape[1])
    dims = [0, *range(2, logits.ndim)]
    both, either = (probs * truth).sum(dims), (probs + truth).sum(dims)  # (K,)
    if average == "micro":
        return 1 - (2 * both.sum() + 1) / (either.sum() + 1)
    occurs = truth.sum(dims) > 0
    lost = 1 - (2 * both + 1) / (either + 1)
    return (lost * occurs).sum() / occurs.sum().clamp(min=1)


def lovasz_softmax(logits: Tensor, labels: Tensor) -> Tensor:
    """Give the Lovász-softmax loss (Berman et al. 2018, arXiv 1705.08790), over the classes that occur in the batch.

    It is the convex extension of 1 − IoU: law, for probabilities of 0 and 1 it equals the mean of 1 − IoU. Shapes
    depend on sizes only, so that no device is waited for: pixels to ignore come last, with an error of 0.
    """
    flat = labels.reshape(-1)
    ignored = flat == IGNORE_INDEX
    lost, occurs = [], []
    for index, probs in enumerate(logits.softmax(1).unbind(1)):
        truth = (flat == index).float()
        errors, order = (truth - probs.reshape(-1)).abs().masked_fill(ignored, -1).sort(descending=True)
        lost.append(errors.clamp(min=0) @ _lovasz_gradient(truth[order]))
        occurs.append(truth.amax())
    there = torch.stack(occurs)  # (K,), 0 or 1
    return (torch.stack(lost) * there).sum() / there.sum().clamp(min=1)


def _lovasz_gradient(truth: Tensor) -> Tensor:
    """Give the gradient (P,) of the extension of 1 − IoU at errors in descending order (the paper's algorithm 1).

    Without a true pixel it is finite, too: at least one of the others is counted from the first on.
    """
    total = truth.sum()
    jaccard = 1 - (total - truth.cumsum(0)) / (total + (1 - truth).cumsum(0))
    return torch.diff(jaccard, prepend=jaccard.new_zeros(1))


def boundary_loss(logits: Tensor, target: Tensor) -> Tensor:
    """Give the binary cross-entropy of boundaries and their Dice loss, added up: lines are few of the pixels.

    The cross-entropy keeps the probabilities honest, Dice keeps the lines from being lost (Deng et al. 2018,
    arXiv 1807.10097, section 3.2).

    Args:
        logits: (N, ...).
        target: (N, ...) uint8, 1 on boundaries, 0 elsewhere, `IGNORE_INDEX` counts nowhere.
    """
    seen, truth = (target != IGNORE_INDEX).float(), (target == 1).float()
    each = F.binary_cross_entropy_with_logits(logits, truth, reduction="none")
    probs = logits.sigmoid() * seen
    dice = 1 - (2 * (probs * truth).sum() + 1) / (probs.sum() + truth.sum() + 1)
    return (each * seen).sum() / seen.sum().clamp(min=1) + dice


def drop_classes(labels: Tensor, classes: Sequence[int]) -> Tensor:
    """Give labels in which the class indices `classes` are to be ignored."""
    for index in classes:  # each compared as a number: a tensor of them would be copied to the device, waiting for it
        labels = labels.masked_fill(labels == index, IGNORE_INDEX)
    return labels


def _weight_of(labels: Tensor, weights: Tensor | None) -> Tensor:
    """Give the weight (N, ...) of each pixel: its class's, 0 where it is ignored."""
    seen = labels != IGNORE_INDEX
    if weights is None:
        return seen.float()
    return weights[labels.masked_fill(~seen, 0).long()] * seen


def _one_hot(labels: Tensor, classes: int) -> Tensor:
    """Give labels as (N, K, ...) of 0 and 1; all 0 where they are ignored."""
    index = torch.arange(classes, device=labels.device).view(1, -1, *[1] * (labels.ndim - 1))
    return (labels.unsqueeze(1) == index).float()
