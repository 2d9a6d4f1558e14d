"""Kernels that merge components below their minimum, on areas and borders alone.

Components are numbered in the raster order of their first pixels; number 0 is nodata that cannot be filled, or nothing.
Only borders are kept that matter: those of a component below its minimum. Two others never unite, as neither ever
changes its label again.
"""

import numpy as np
from numpy.typing import NDArray

from geodeeplab.compiled import compiled
from geodeeplab.vector.sieve.kernels_scan import LONGEST
from geodeeplab.vector.trace.kernels_sort import find, unite

Bytes = NDArray[np.uint8]
Int32s = NDArray[np.int32]
Int64s = NDArray[np.int64]


@compiled
def flatten(parent: Int32s, areas: Int64s) -> None:
    """Point each number at its root, and move its area there."""
    for number in range(parent.shape[0] - 1, 0, -1):  # a parent is less than its children, which come first here
        if parent[number] != number:
            areas[parent[number]] += areas[number]
            areas[number] = 0
    for number in range(parent.shape[0]):
        parent[number] = parent[parent[number]]


@compiled
def renumber(parent: Int32s, labels: Int32s, areas: Int64s) -> int:
    """Number the trees 0, 1, … in the order of their roots, in place.

    Args:
        parent: (numbers,) forest; then the new number of each.
        labels: (numbers,) of the roots; then of the new numbers.
        areas: (numbers,) of each number alone; then of the new numbers.

    Returns:
        How many trees there are.
    """
    trees = 0
    for number in range(parent.shape[0]):
        if parent[number] == number:
            labels[trees], areas[trees] = labels[number], areas[number]
            parent[number] = trees
            trees += 1
        else:
            parent[number] = parent[parent[number]]  # a parent is less than its children, and has its new number
            areas[parent[number]] += areas[number]
    return trees


@compiled
def mark_below(
    labels: Int32s, areas: Int64s, classes: Int32s, least: Int64s, otherwise: int, below: Bytes
) -> None:  # fmt: skip
    """Mark the components whose area is below the minimum of their label; never number 0.

    Args:
        labels: (numbers,).
        areas: (numbers,).
        classes: (C,) labels that have a minimum of their own, ascending.
        least: (C,) those minima.
        otherwise: the minimum of the others.
        below: (numbers,) written: 1 below, else 0.
    """
    below[0] = 0
    for number in range(1, labels.shape[0]):
        need = otherwise
        k = np.searchsorted(classes, labels[number])
        if k < classes.shape[0] and classes[k] == labels[number]:
            need = least[k]
        below[number] = areas[number] < need


@compiled
def gather_borders(borders: Int32s, mapping: Int32s, labels: Int32s, below: Bytes, nodata: int) -> int:
    """Map borders to other numbers, drop those that no longer matter, and add up those of the same two, in place.

    Linear: borders are sorted by their lesser number, by counting, and then added up by means of a table of where the
    greater number was met last.

    Args:
        borders: (borders, 3) two numbers and a length.
        mapping: (old numbers,) new number of each.
        labels: (numbers,) of the new ones.
        below: (numbers,) of the new ones.
        nodata: label that nothing merges into.

    Returns:
        How many are left, the lesser number first, in the order of the lesser number.
    """
    count = labels.shape[0]
    ends = np.zeros(count + 1, np.int32)
    kept = 0
    for i in range(borders.shape[0]):
        one, other = np.int64(mapping[borders[i, 0]]), np.int64(mapping[borders[i, 1]])
        low, high = min(one, other), max(one, other)
        matters = (below[low] == 1 and labels[high] != nodata) or (below[high] == 1 and labels[low] != nodata)
        if low == 0 or low == high or not matters:
            continue
        borders[kept, 0], borders[kept, 1], borders[kept, 2] = low, high, borders[i, 2]
        ends[low] += 1
        kept += 1
    begin = 0
    for number in range(count):
        ends[number], begin = begin, begin + ends[number]
    ordered = np.empty((kept, 2), np.int32)
    for i in range(kept):
        low = np.int64(borders[i, 0])
        ordered[ends[low], 0], ordered[ends[low], 1] = borders[i, 1], borders[i, 2]
        ends[low] += 1  # where it begins becomes where it ends
    met = np.full(count, -1, np.int32)
    left = 0
    begin = 0
    for number in range(count):
        first = left
        for i in range(begin, ends[number]):
            high, length = ordered[i, 0], np.int64(ordered[i, 1])
            if met[high] >= first:
                length += borders[met[high], 2]
                borders[met[high], 2] = length if length < LONGEST else LONGEST
            else:
                met[high] = left
                borders[left, 0], borders[left, 1], borders[left, 2] = number, high, length
                left += 1
        begin = ends[number]
    return left


@compiled
def point(
    borders: Int32s, labels: Int32s, areas: Int64s, below: Bytes, nodata: int, target: Int32s, longest: Int32s
) -> int:  # fmt: skip
    """Point each component below its minimum to the neighbour it shall merge into, and count those that point.

    That is the one with the longest common border; of those the one with the largest area; of those the one whose first
    pixel comes first. Never nodata.

    Args:
        borders: see `gather_borders`.
        labels: (numbers,).
        areas: (numbers,).
        below: (numbers,).
        nodata: label.
        target: (numbers,) written: the neighbour, -1 for none.
        longest: (numbers,) scratch.
    """
    target[:] = -1
    pointing = 0
    for i in range(borders.shape[0]):
        length = borders[i, 2]
        if length == 0:
            continue
        for side in range(2):
            one, other = borders[i, side], borders[i, 1 - side]
            if below[one] == 0 or labels[other] == nodata:
                continue
            rival = target[one]
            if rival < 0:
                pointing += 1
                better = True
            elif length != longest[one]:
                better = length > longest[one]
            elif areas[other] != areas[rival]:
                better = areas[other] > areas[rival]
            else:
                better = other < rival
            if better:
                target[one], longest[one] = other, length
    return pointing


@compiled
def merge(target: Int32s, labels: Int32s, areas: Int64s, borders: Int32s, parent: Int32s) -> None:
    """Unite components along their pointers, and then those of equal label that touch.

    A way along the pointers ends at a component that does not point, or at two that point at each other. Longer cycles
    cannot be: borders never get shorter along the pointers, so those of a cycle are equally long; then each component
    is larger than the one two steps back, or as large and comes first, which cannot go on around a cycle.

    Args:
        target: (numbers,) see `point`.
        labels: (numbers,); for each root the label of its tree is written.
        areas: (numbers,).
        borders: see `gather_borders`.
        parent: (numbers,) written: a forest whose roots are the least of their trees.
    """
    for number in range(parent.shape[0]):
        parent[number] = number
    for number in range(parent.shape[0]):
        if target[number] >= 0:
            unite(parent, number, np.int64(target[number]))
    for number in range(parent.shape[0]):
        other = target[number]
        if other < 0:
            labels[find(parent, number)] = labels[number]
        elif number < other and target[other] == number:
            larger = other if areas[other] > areas[number] else number
            labels[find(parent, number)] = labels[larger]
    for i in range(borders.shape[0]):
        one, other = find(parent, np.int64(borders[i, 0])), find(parent, np.int64(borders[i, 1]))
        if one != other and labels[one] == labels[other]:
            unite(parent, one, other)
