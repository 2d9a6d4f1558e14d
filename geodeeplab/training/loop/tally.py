"""The scores of chips, from counts that grow on the device where the labels are."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from geodeeplab.evaluation import accuracy, boundary_iou, iou, mean_iou, mean_over_classes
from geodeeplab.training.loop.counting import boundary_band_counts, confusion_counts

BOUNDARY_PX = 3
"""Width in pixels of the bands of the boundary IoU."""


@dataclass(frozen=True, kw_only=True)
class Tally:
    """The confusion matrix and the boundary counts of chips.

    The edges of chips are contours to the boundary IoU, so it is a little higher than that of a whole scene.
    """

    confusion: NDArray[np.int64]
    """(K, K), the truth by row."""
    boundary: NDArray[np.int64]
    """(2, K): intersections, then unions."""
    contours: NDArray[np.int64] | None = None
    """(3,) pixels of objects' boundaries: found, missed, and found where there are none; None of a network that does
    not look for them."""

    @property
    def boundary_f1(self) -> float | None:
        """F1 of the pixels of objects' boundaries; None where there are none, or nobody looks for them."""
        if self.contours is None or not self.contours.any():
            return None
        found, missed, false = (float(pixels) for pixels in self.contours)
        return 2 * found / (2 * found + missed + false)

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


class GrowingTally:
    """A tally that grows batch by batch; nothing is copied to the host before `finish`.

    Attributes:
        confusion: (K, K) int64, on the device.
        boundary: (2, K) int64, likewise.
        contours: (3,) int64, likewise; see `Tally`.
    """

    def __init__(self, classes: int, device: torch.device) -> None:
        """Take the number of classes K, and where to count: Metal, which lacks some of it, leaves it to the CPU."""
        self._has_contours = False
        self._device = torch.device("cpu") if device.type == "mps" else device
        self.confusion = torch.zeros(classes, classes, dtype=torch.int64, device=self._device)
        self.boundary = torch.zeros(2, classes, dtype=torch.int64, device=self._device)
        self.contours = torch.zeros(3, dtype=torch.int64, device=self._device)

    def add(self, labels: Tensor, truth: Tensor) -> Tensor:
        """Count labels (N, H, W) against class indices (N, H, W); give each chip's confusion matrix (N, K, K)."""
        labels, truth = labels.to(self._device), truth.to(self._device)
        by_chip = confusion_counts(labels, truth, classes=len(self.confusion))
        self.confusion += by_chip.sum(0)
        self.boundary += boundary_band_counts(labels, truth, classes=len(self.confusion), distance=BOUNDARY_PX)
        return by_chip

    def add_contours(self, logits: Tensor, target: Tensor) -> None:
        """Count what boundaries' logits (N, H, W) put on a boundary, against the target (N, H, W) of `Chip`."""
        self._has_contours = True
        found, truth = (logits > 0).to(self._device), target.to(self._device)
        on, off = truth == 1, truth == 0
        self.contours += torch.stack([(found & on).sum(), (~found & on).sum(), (found & off).sum()])

    def finish(self) -> Tally:
        """Give what was counted, on the host."""
        return Tally(
            confusion=self.confusion.cpu().numpy(),
            boundary=self.boundary.cpu().numpy(),
            contours=self.contours.cpu().numpy() if self._has_contours else None,
        )


def or_none(values: Sequence[float] | NDArray[np.float64]) -> list[float | None]:
    """Give scores as plain numbers, None where they are NaN."""
    return [None if np.isnan(value) else float(value) for value in values]
