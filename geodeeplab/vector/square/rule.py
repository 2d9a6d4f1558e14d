"""What is squared, and how far lines may go for it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geodeeplab.vector.generalise.arcs import Metric
from geodeeplab.vector.instances.codes import InstanceCodes

MOST_SUBPIXELS, LEAST_SUBPIXELS = 1 << 20, 128
MOST_COORDINATE = 1 << 30


@dataclass(frozen=True, kw_only=True)
class SquareRule:
    """Which polygons get right angles."""

    class_ids: Sequence[int]
    """Labels whose polygons do."""
    tolerance_px: float
    """No squared line is anywhere farther than this from the traced one, nor that from it: in px, which are taken as
    squares of their area in the metric's plane."""
    metric: Metric
    """In what plane angles are right; its unit does not matter."""
    codes: InstanceCodes | None = None
    """What tells the class of a label that is an object's code; None where all labels are classes."""

    def is_square(self, labels: NDArray[np.int32]) -> NDArray[np.bool_]:
        """Tell which labels are of square classes."""
        return np.isin(labels if self.codes is None else self.codes.to_labels(labels), self.class_ids)

    def most_px(self) -> float:
        """Give the tolerance in pixels along the rows or columns, where they are smallest."""
        scale = np.sqrt(np.abs(np.linalg.det(self.metric.matrices)))
        return self.tolerance_px * float((scale / np.linalg.svd(self.metric.matrices, compute_uv=False)[..., -1]).max())


def subpixels_for(shape: tuple[int, int]) -> int:
    """Give the units in a pixel that points of squared lines are rounded to: as many as fit in 30 bits, 2²⁰ at most."""
    subpixels = MOST_SUBPIXELS
    while subpixels > LEAST_SUBPIXELS and (max(shape) + 2) * subpixels > MOST_COORDINATE:
        subpixels //= 2
    return subpixels
