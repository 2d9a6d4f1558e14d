"""Counts over chips, and the scores that follow from them."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from geodeeplab.evaluation import (
    accuracy,
    boundary_counts,
    boundary_iou,
    confusion_matrix,
    iou,
    mean_iou,
    mean_over_classes,
)
from geodeeplab.training.chip import IGNORE_INDEX

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
