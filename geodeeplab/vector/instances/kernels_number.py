"""Kernels that number the objects of bands of rows by their ways, pack the rows as runs, and paint them anew."""

import numpy as np
from numpy.typing import NDArray

from geodeeplab.compiled import compiled
from geodeeplab.vector.instances.kernels_flood import EAST, MARKER, NORTH, SOUTH, WEST
from geodeeplab.vector.trace.kernels_sort import unite

Bytes = NDArray[np.uint8]
Ints = NDArray[np.int32]
Longs = NDArray[np.int64]


@compiled
def number_band(kinds: Bytes, ways: Bytes, numbers: Ints, parent: Ints, kind_of: Bytes) -> int:
    """Number the parts of objects in a band from 0 in the order of their first pixels; give how many there are.

    Neighbours of one kind belong together where one was flooded from the other, both are markers, or both unreached.

    Arrays and numbers:
        kinds, ways: (h, w).
        numbers: (h, w): written, -1 for what is no object.
        parent: (h · w,) work space.
        kind_of: (h · w,): the kind of each number, less 1, is written.
    """
    h, w = kinds.shape
    count = 0
    for i in range(h):
        for j in range(w):
            numbers[i, j] = -1
            kind, way = kinds[i, j], ways[i, j]
            if kind == 0:
                continue
            number = -1
            if j > 0 and kinds[i, j - 1] == kind:
                other = ways[i, j - 1]
                if way == WEST or other == EAST or (way == other and way >= MARKER):
                    number = numbers[i, j - 1]
            if i > 0 and kinds[i - 1, j] == kind:
                other = ways[i - 1, j]
                if way == NORTH or other == SOUTH or (way == other and way >= MARKER):
                    above = numbers[i - 1, j]
                    number = above if number < 0 or number == above else int(unite(parent, number, above))
            if number < 0:
                number = count
                parent[number] = number
                kind_of[number] = kind - 1
                count += 1
            numbers[i, j] = number
    parts = 0
    for number in range(count):
        if parent[number] == number:
            kind_of[parts] = kind_of[number]
            parent[number] = parts
            parts += 1
        else:
            parent[number] = parent[parent[number]]  # a parent is less than its children, and has its new number
    for i in range(h):
        for j in range(w):
            if numbers[i, j] >= 0:
                numbers[i, j] = parent[numbers[i, j]]
    return parts


@compiled
def unite_bands(
    kinds_above: Bytes, ways_above: Bytes, numbers_above: Ints, kinds: Bytes, ways: Bytes, numbers: Ints, base: int,
    parent: Ints
) -> None:  # fmt: skip
    """Unite what belongs together on both sides of the line between two bands.

    Arrays and numbers:
        kinds_above, ways_above, numbers_above: (w,): the last row of the band above; numbers are those of `parent`.
        kinds, ways, numbers: (w,): the first row of the band below; numbers are those of its band.
        base: what is added to these.
        parent: forest of the numbers of all bands.
    """
    for j in range(kinds.shape[0]):
        if kinds[j] == 0 or kinds[j] != kinds_above[j]:
            continue
        if ways[j] == NORTH or ways_above[j] == SOUTH or (ways[j] == ways_above[j] and ways[j] >= MARKER):
            unite(parent, numbers_above[j], base + numbers[j])


@compiled
def rank_roots(parent: Ints, count: int) -> int:
    """Write for each number the rank of its root among the roots, in place; give how many roots there are."""
    ranks = 0
    for number in range(count):
        if parent[number] == number:
            parent[number] = ranks
            ranks += 1
        else:
            parent[number] = parent[parent[number]]
    return ranks


@compiled
def pack_runs(labels: Ints, numbers: Ints, heads: Ints, values: Ints, ends: Ints) -> int:
    """Cut the rows of a band into runs of one object, or of one label where there is none; give how many there are.

    Arrays and numbers:
        labels, numbers: (h, w).
        heads: (h · w,): 2 · first column, and 1 more for an object, is written.
        values: (h · w,): the object's number, or the label, is written.
        ends: (h,): runs up to the end of each row are written.
    """
    h, w = labels.shape
    n = 0
    for i in range(h):
        for j in range(w):
            if (
                j > 0
                and numbers[i, j] == numbers[i, j - 1]
                and (numbers[i, j] >= 0 or labels[i, j] == labels[i, j - 1])
            ):
                continue
            is_object = numbers[i, j] >= 0
            heads[n] = 2 * j + is_object
            values[n] = numbers[i, j] if is_object else labels[i, j]
            n += 1
        ends[i] = n
    return n


@compiled
def paint_runs(heads: Ints, values: Ints, ends: Ints, codes: Ints, rows: Ints) -> None:
    """Write the rows of a band, (h, w), from its runs: labels, and for objects the codes of their numbers."""
    h, w = rows.shape
    n = 0
    for i in range(h):
        while n < ends[i]:
            stop = heads[n + 1] >> 1 if n + 1 < ends[i] else w
            value = codes[values[n]] if heads[n] & 1 else values[n]
            for j in range(heads[n] >> 1, stop):
                rows[i, j] = value
            n += 1
