"""The rounds of the sieve, on components and their borders alone."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geodeeplab.vector.instances.codes import InstanceCodes


@dataclass(frozen=True, kw_only=True)
class Minimum:
    """Least areas of components, in whole quanta."""

    classes: NDArray[np.int32]
    """(C,) class ids that have a minimum of their own, ascending."""
    least: NDArray[np.int64]
    """(C,) those minima."""
    otherwise: int
    """The minimum of all other classes."""
    codes: InstanceCodes | None = None
    """What labels of objects are of which class; None where all labels are classes."""

    @property
    def greatest(self) -> int:
        """The greatest of the minima."""
        return max(self.otherwise, int(self.least.max(initial=0)))


def mark_below(
    labels: NDArray[np.int32], areas: NDArray[np.int64], minimum: Minimum
) -> NDArray[np.uint8]:  # fmt: skip
    """Give (N,): 1 for components below the minimum of their label, else 0, as for number 0."""
    from geodeeplab.vector.sieve import kernels_merge as kernels

    below = np.empty(len(labels), np.uint8)
    if minimum.codes is not None and len(minimum.classes):
        labels = minimum.codes.to_labels(labels)
    kernels.mark_below(labels, areas, minimum.classes, minimum.least, minimum.otherwise, below)
    return below


def gather_borders(
    borders: NDArray[np.int32],
    mapping: NDArray[np.int32],
    labels: NDArray[np.int32],
    areas: NDArray[np.int64],
    *,
    minimum: Minimum,
    nodata: int,
) -> int:
    """Map borders to other numbers, drop those that no longer matter, and add up those of the same two, in place.

    Args:
        borders: (B, 3) two numbers and the length of their border in pixel edges, 0 where they touch at corners only.
        mapping: new number of each old one.
        labels: (N,) of the new numbers.
        areas: (N,) of the new numbers so far.
        minimum: borders of components not below it are dropped.
        nodata: label that nothing merges into.

    Returns:
        How many borders are left.
    """
    from geodeeplab.vector.sieve import kernels_merge as kernels

    below = mark_below(labels, areas, minimum)
    left: int = kernels.gather_borders(borders, mapping, labels, below, nodata)
    return left


class Components:
    """Components of a raster, numbered in the raster order of their first pixels, and the borders between them.

    Number 0 is nodata that cannot be filled; it has no borders.

    Args:
        labels: (N,).
        areas: (N,) in quanta.
        borders: (B, 3) see `gather_borders`, which they come from.
        minimum: below which a component merges into another.
        nodata: label that nothing merges into.
    """

    def __init__(
        self,
        *,
        labels: NDArray[np.int32],
        areas: NDArray[np.int64],
        borders: NDArray[np.int32],
        minimum: Minimum,
        nodata: int,
    ) -> None:
        self._labels, self._areas, self._borders = labels, areas, borders
        self._minimum, self._nodata = minimum, nodata

    def merge_small(self) -> NDArray[np.int32]:
        """Merge what is below its minimum, in rounds, and give the label (N,) that each component gets."""
        mappings = []
        while (mapping := self._merge_once()) is not None:
            mappings.append(mapping)
        labels = self._labels
        while mappings:
            labels = labels[mappings.pop()]
        return labels

    def _merge_once(self) -> NDArray[np.int32] | None:
        """Do one round; give the new number of each component, or None where none could move."""
        from geodeeplab.vector.sieve import kernels_merge as kernels

        labels, areas, borders = self._labels, self._areas, self._borders
        target, mapping = np.empty(len(labels), np.int32), np.empty(len(labels), np.int32)
        below = mark_below(labels, areas, self._minimum)
        if not kernels.point(borders, labels, areas, below, self._nodata, target, mapping):
            return None
        kernels.merge(target, labels, areas, borders, mapping)
        count = kernels.renumber(mapping, labels, areas)
        self._labels, self._areas = labels[:count].copy(), areas[:count].copy()
        left = gather_borders(
            borders, mapping, self._labels, self._areas, minimum=self._minimum, nodata=self._nodata
        )  # fmt: skip
        self._borders = borders[:left].copy() if left < len(borders) // 2 else borders[:left]
        return mapping
