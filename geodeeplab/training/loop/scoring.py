"""Scores of a network on chips, and single chips with their labels."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from geodeeplab.evaluation import confusion_matrix, mean_iou
from geodeeplab.inference.device import Device
from geodeeplab.models.network import without_boundary
from geodeeplab.training.chip import IGNORE_INDEX, Chip, ChipSet
from geodeeplab.training.data import TrainingData
from geodeeplab.training.loop.calibrating import Calibration, LogitSample
from geodeeplab.training.loop.loading import validation_loader
from geodeeplab.training.loop.objective import Objective
from geodeeplab.training.loop.tally import GrowingTally, Tally


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


@dataclass(frozen=True, kw_only=True)
class ChipScores:
    """What is known of a network from chips."""

    tally: Tally
    """Counts over all chips."""
    miou: dict[int, float]
    """The mean IoU of each chip with a label, by its number."""
    calibration: Calibration | None
    """The temperature of its confidence; None where no pixel is labelled."""


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
    with _on_device(network, normalisation, device):
        classes = without_boundary(network)
        for index in indices:
            chip = chips.draw(index)
            truth = objective.clean(chip.labels.masked_fill(~chip.valid, IGNORE_INDEX))
            chip = replace(chip, labels=truth)
            pixels, valid = (part.unsqueeze(0).to(device.torch_device) for part in (chip.pixels, chip.valid))
            labels = _logits(classes, normalisation, pixels, valid, device)[0].argmax(0).to(torch.uint8)
            yield LabelledChip(index=index, chip=chip, labels=labels.cpu().numpy())


def score_chips(
    network: nn.Module,
    normalisation: nn.Module,
    chips: ChipSet,
    *,
    classes: int,
    batch_size: int,
    objective: Objective,
    device: Device,
) -> ChipScores:
    """Score a network on chips.

    Chips go through the network in batches, and are counted where they are: the host waits for the device at the end
    only, and draws the next batch meanwhile.
    """
    there = device.torch_device
    counts, by_chip = GrowingTally(classes, there), []
    sample = LogitSample(chips=len(chips))
    loader = validation_loader(chips, batch_size=batch_size, workers=0, pinned=there.type == "cuda")
    with _on_device(network, normalisation, device):
        for batch in loader:
            pixels, valid, labels, *more = (part.to(there, non_blocking=True) for part in batch)
            truth = objective.clean(labels.masked_fill(~valid, IGNORE_INDEX))
            given = _logits(network, normalisation, pixels, valid, device)
            logits = given[:, :classes]
            for target in more:
                counts.add_contours(given[:, -1], target)
            by_chip.append(counts.add(logits.argmax(1).to(torch.uint8), truth))
            sample.add(logits, truth)
    matrices = torch.cat(by_chip).cpu().numpy()  # (chips, K, K)
    miou = {index: mean_iou(one) for index, one in enumerate(matrices) if one.any()}
    return ChipScores(tally=counts.finish(), miou=miou, calibration=sample.finish())


def chip_image(chip: Chip, data: TrainingData) -> NDArray[np.uint8]:
    """Give a chip as an image (S, S, 3), stretched as all the training pixels are."""
    from geodeeplab.maps.chips import stretch

    return stretch(
        chip.pixels.numpy(), chip.valid.numpy(), channels=data.rgb_channels, display_range=data.display_range
    )


@contextmanager
def _on_device(network: nn.Module, normalisation: nn.Module, device: Device) -> Iterator[None]:
    """Take a network to a device, in evaluation mode; it comes back to where it was."""
    home = next(network.parameters()).device
    network.eval().to(device.torch_device)
    normalisation.to(device.torch_device)
    try:
        yield
    finally:
        network.to(home)
        normalisation.to(home)


@torch.inference_mode()
def _logits(network: nn.Module, normalisation: nn.Module, pixels: Tensor, valid: Tensor, device: Device) -> Tensor:
    """Give logits (N, K, S, S), or with the boundary's, of pixels (N, C, S, S) and `valid` (N, S, S) on the device."""
    images = normalisation(pixels, valid).contiguous(memory_format=torch.channels_last)
    dtype = device.autocast_dtype
    with torch.autocast(device.torch_device.type, dtype or torch.bfloat16, enabled=dtype is not None):
        logits: Tensor = network(images, valid)
    return logits
