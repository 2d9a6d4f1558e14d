"""Cells with their features: those that polygons cover, and those that stand for the whole ground."""

from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import numpy.typing as npt

CELL = 2
"""Pixels of a cell along each axis: features are computed for every second pixel."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Cells:
    """Cells of one or more scenes with their features, in a fixed order."""

    features: npt.NDArray[np.float32]
    """(n, F), as the network's head sees them."""
    scene: npt.NDArray[np.int64]
    """(n,) number of the scene, from 0."""
    row: npt.NDArray[np.int64]
    """(n,) row of the cell's first pixel on the grid that the model sees."""
    col: npt.NDArray[np.int64]
    """(n,) column, likewise."""

    def __len__(self) -> int:
        return len(self.scene)

    def take(self, chosen: npt.NDArray[Any]) -> Self:
        """Give some of the cells, by a mask or by numbers."""
        return replace(self, **{name: value[chosen] for name, value in vars(self).items()})


@dataclass(frozen=True, kw_only=True, eq=False)
class LabelledCells(Cells):
    """Cells that polygons cover."""

    label: npt.NDArray[np.int64]
    """(n,) class index, from 0."""
    polygon: npt.NDArray[np.int64]
    """(n,) number of the polygon, from 0, over all scenes; every polygon is of one class."""


def balanced_weights(label: npt.NDArray[np.int64], polygon: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Give each cell (n,) a weight: every class counts the same, and within it every polygon; their mean is 1."""
    sizes = np.bincount(polygon)[polygon]
    polygons = np.bincount(np.unique(np.column_stack([label, polygon]), axis=0)[:, 0], minlength=label.max() + 1)
    weights = np.asarray(1 / (sizes * polygons[label]), dtype=np.float64)
    return np.asarray(weights / weights.mean())
