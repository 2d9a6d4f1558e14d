"""Scores of a network on chips, and single chips with their labels."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from geodeeplab.evaluation import (
    accuracy,
    boundary_counts,
    boundary_iou,
    confusion_matrix,
    iou,
    mean_iou,
    mean_over_classes,
)
from geodeeplab.inference.device import Device
from geodeeplab.training.chip import IGNORE_INDEX, Chip, ChipSet
from geodeeplab.training.data import TrainingData
from geodeeplab.training.loop.objective import Objective

BOUNDARY_PX = 3
"""Width in pixels of the bands of the boundary IoU."""


class Tally:
    """The confusion matrix and the boundary counts of chips.

    The edges of chips are contours to the boundary IoU, so it is a little higher than that of a whole scene.
    """

    def __init__(self, classes: int) -> None:
        """Take the number of classes K."""
        self.class_ids = range(classes)
        self.confusion = np.zeros((classes, classes), dtype=np.int64)
        self.boundary = np.zeros((2, classes), dtype=np.int64)

    def add(self, labels: NDArray[np.integer], truth: NDArray[np.integer]) -> None:
        """Count a chip's labels (H, W) against its true class indices."""
        self.confusion += confusion_matrix(labels, truth, class_ids=self.class_ids, ignore=IGNORE_INDEX)
        self.boundary += boundary_counts(
            labels, truth, class_ids=self.class_ids, distance=BOUNDARY_PX, ignore=IGNORE_INDEX
        )

    @property
    def iou(self) -> list[float | None]:
        """IoU of each class; None for one that never occurs."""
        return or_none(iou(self.confusion))

    @property
    def boundary_iou_by_class(self) -> list[float | None]:
        """Boundary IoU of each class, likewise."""
        return or_none(boundary_iou(self.boundary))

    @property
    def miou(self) -> float | None:
        """Mean IoU over the classes that occur."""
        return or_none([mean_iou(self.confusion)])[0]

    @property
    def boundary_iou(self) -> float | None:
        """Mean boundary IoU over the classes that occur."""
        return or_none([mean_over_classes(boundary_iou(self.boundary))])[0]

    @property
    def accuracy(self) -> float | None:
        """Share of the pixels that got their class."""
        return or_none([accuracy(self.confusion)])[0]


def or_none(values: Sequence[float] | NDArray[np.float64]) -> list[float | None]:
    """Give scores as plain numbers, None where they are NaN."""
    return [None if np.isnan(value) else float(value) for value in values]


@dataclass(frozen=True, kw_only=True)
class LabelledChip:
    """A chip with the labels that a network gives it."""

    index: int
    """Its number in its set."""
    chip: Chip
    """Pixels and truth; classes that are ignored, and invalid pixels, have no label."""
    labels: NDArray[np.uint8]
    """(S, S), class indices."""

    @property
    def truth(self) -> NDArray[np.uint8]:
        """(S, S), class indices or `IGNORE_INDEX`."""
        truth: NDArray[np.uint8] = self.chip.labels.numpy()
        return truth

    def miou(self, classes: int) -> float:
        """Give the mean IoU over the classes that occur; NaN where nothing is labelled."""
        counts = confusion_matrix(self.labels, self.truth, class_ids=range(classes), ignore=IGNORE_INDEX)
        return mean_iou(counts)


def iter_labelled(
    network: nn.Module,
    normalisation: nn.Module,
    chips: ChipSet,
    indices: Sequence[int],
    *,
    objective: Objective,
    device: Device,
) -> Iterator[LabelledChip]:
    """Yield chips with a network's labels, one by one; the network comes back to where it was."""
    home = next(network.parameters()).device
    network.eval().to(device.torch_device)
    normalisation.to(device.torch_device)
    try:
        for index in indices:
            chip = chips.draw(index)
            truth = objective.clean(chip.labels.masked_fill(~chip.valid, IGNORE_INDEX))
            chip = Chip(pixels=chip.pixels, valid=chip.valid, labels=truth)
            labels = _labels(network, normalisation, chip, device)
            yield LabelledChip(index=index, chip=chip, labels=labels)
    finally:
        network.to(home)
        normalisation.to(home)


def score_chips(labelled: Iterator[LabelledChip], classes: int) -> tuple[Tally, dict[int, float]]:
    """Give the counts over chips, and the mean IoU of each chip with a label."""
    tally, scores = Tally(classes), {}
    for one in labelled:
        tally.add(one.labels, one.truth)
        score = one.miou(classes)
        if not np.isnan(score):
            scores[one.index] = score
    return tally, scores


def chip_image(chip: Chip, data: TrainingData) -> NDArray[np.uint8]:
    """Give a chip as an image (S, S, 3), stretched as all the training pixels are."""
    from geodeeplab.maps.chips import stretch

    return stretch(
        chip.pixels.numpy(), chip.valid.numpy(), channels=data.rgb_channels, display_range=data.display_range
    )


@torch.inference_mode()
def _labels(network: nn.Module, normalisation: nn.Module, chip: Chip, device: Device) -> NDArray[np.uint8]:
    pixels, valid = (part.unsqueeze(0).to(device.torch_device) for part in (chip.pixels, chip.valid))
    images = normalisation(pixels, valid).contiguous(memory_format=torch.channels_last)
    dtype = device.autocast_dtype
    with torch.autocast(device.torch_device.type, dtype or torch.bfloat16, enabled=dtype is not None):
        logits = network(images, valid)
    labels: NDArray[np.uint8] = logits[0].argmax(0).to(torch.uint8).cpu().numpy()
    return labels
