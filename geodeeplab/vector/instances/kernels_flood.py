"""Kernels of the watershed within one window; imported where they are used, as numba is slow to come.

Each pixel of an object gets a *way*: the neighbour that it was flooded from, or that it is a marker, or that no marker
reaches it. Pixels touch along edges.
"""

import numpy as np
from numpy.typing import NDArray

from geodeeplab.compiled import compiled
from geodeeplab.vector.trace.kernels_sort import find, unite

Bytes = NDArray[np.uint8]
Ints = NDArray[np.int32]
Longs = NDArray[np.int64]

NONE, NORTH, WEST, EAST, SOUTH, MARKER, UNREACHED = 0, 1, 2, 3, 4, 5, 6
"""Ways; the neighbours in the order in which they come first where several are as good."""
NOBODY = 1 << 12
WAITING = 255
"""In place of the step by which a pixel was reached: it touches what was; more than any step."""


@compiled
def find_markers(
    kinds: Bytes, boundary: Bytes, threshold: int, min_marker: int, numbers: Ints, parent: Ints, sizes: Ints,
    ways: Bytes
) -> None:  # fmt: skip
    """Find the markers: the components of pixels of one kind below the threshold that are large enough.

    Arrays and numbers:
        kinds: (h, w): 0 for what is no object, else which class.
        boundary: (h, w): probability of a boundary.
        threshold: markers are below it.
        min_marker: pixels of a component that is a marker, at least.
        numbers: (h, w) work space. parent, sizes: (h · w,) likewise.
        ways: (h, w): MARKER and NONE are written.
    """
    h, w = kinds.shape
    count = 0
    for i in range(h):
        for j in range(w):
            numbers[i, j] = -1
            if kinds[i, j] == 0 or boundary[i, j] >= threshold:
                continue
            number = -1
            if j > 0 and numbers[i, j - 1] >= 0 and kinds[i, j - 1] == kinds[i, j]:
                number = numbers[i, j - 1]
            if i > 0 and numbers[i - 1, j] >= 0 and kinds[i - 1, j] == kinds[i, j]:
                above = numbers[i - 1, j]
                number = above if number < 0 or number == above else int(unite(parent, number, above))
            if number < 0:
                number = count
                parent[number], sizes[number] = number, 0
                count += 1
            numbers[i, j] = number
            sizes[number] += 1
    for number in range(count - 1, -1, -1):  # a parent is less than its children
        if parent[number] != number:
            sizes[parent[number]] += sizes[number]
    for i in range(h):
        for j in range(w):
            number = numbers[i, j]
            ways[i, j] = MARKER if number >= 0 and sizes[find(parent, number)] >= min_marker else NONE


@compiled
def grow(
    kinds: Bytes, boundary: Bytes, width: int, level_of: Bytes, steps: Longs, ways: Bytes, born: Bytes, after: Ints,
    front: Ints, behind: Ints
) -> None:  # fmt: skip
    """Let markers grow over the other pixels of their kind, level by level, some steps each.

    In a step each pixel of the level, or of one before, that touches what was reached before the step is reached from
    the neighbour with the lowest boundary; of those as low the first of north, west, east, south. What no step reaches
    is UNREACHED. So a way depends on a window of as many pixels around it as there are steps in all.

    A pixel that touches what was reached waits in the list of its level, or of the next one where steps run out.

    Arrays and numbers:
        kinds, boundary: (n,), rows one after the other, see `find_markers`; no object lies at the edge.
        width: of the rows.
        level_of: (256,): level of each boundary.
        steps: (levels,).
        ways: (n,): of markers; all are written.
        born: (n,), zeros: 1 for markers, 255 for what waits, else the step by which a pixel was reached, is written.
        after, front, behind: (n,) work space.
    """
    heads = np.full(steps.shape[0] + 1, -1, np.int32)
    for k in range(kinds.shape[0]):
        if ways[k] == MARKER:
            born[k] = 1
    for k in range(kinds.shape[0]):
        if kinds[k] != 0 and ways[k] == NONE and _choose(kinds, boundary, born, width, k, 2) != NONE:
            born[k] = WAITING
            after[k], heads[level_of[boundary[k]]] = heads[level_of[boundary[k]]], k
    now = 1
    for level in range(steps.shape[0]):
        n_front, k = 0, heads[level]
        while k >= 0:
            front[n_front] = k
            n_front, k = n_front + 1, after[k]
        for _ in range(steps[level]):
            if n_front == 0:
                break
            now += 1
            for at in range(n_front):
                ways[front[at]] = _choose(kinds, boundary, born, width, front[at], now)
            for at in range(n_front):
                born[front[at]] = now
            n_behind = 0
            for at in range(n_front):
                k = front[at]
                for side in range(4):
                    other = k - width if side == 0 else k - 1 if side == 1 else k + 1 if side == 2 else k + width
                    if born[other] != 0 or kinds[other] != kinds[k]:
                        continue
                    born[other] = WAITING
                    its_level = level_of[boundary[other]]
                    if its_level <= level:
                        behind[n_behind] = other
                        n_behind += 1
                    else:
                        after[other], heads[its_level] = heads[its_level], other
            front, behind = behind, front
            n_front = n_behind
        for at in range(n_front):
            after[front[at]], heads[level + 1] = heads[level + 1], front[at]
    for k in range(kinds.shape[0]):
        if kinds[k] != 0 and ways[k] == NONE:
            ways[k] = UNREACHED


@compiled
def _choose(kinds: Bytes, boundary: Bytes, born: Bytes, width: int, k: int, now: int) -> int:
    """Give the neighbour that a pixel is flooded from, of those that were reached before; NONE if none was."""
    kind = kinds[k]
    north = _rank(kinds, boundary, born, k - width, kind, now, NORTH)
    west = _rank(kinds, boundary, born, k - 1, kind, now, WEST)
    east = _rank(kinds, boundary, born, k + 1, kind, now, EAST)
    south = _rank(kinds, boundary, born, k + width, kind, now, SOUTH)
    best = min(min(north, west), min(east, south))
    return best & 7 if best < NOBODY else NONE


@compiled
def _rank(kinds: Bytes, boundary: Bytes, born: Bytes, k: int, kind: int, now: int, way: int) -> int:
    """Give 8 · boundary + way of a neighbour that was reached before, else `NOBODY`; without branches, for speed."""
    was_reached = (born[k] > 0) & (born[k] < now) & (kinds[k] == kind)
    return 8 * int(boundary[k]) + way if was_reached else NOBODY
