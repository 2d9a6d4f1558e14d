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
    kinds: Bytes, boundary: Bytes, limits: Longs, steps: Longs, ways: Bytes, born: Bytes, queued: Bytes, waiting: Ints,
    front: Ints, behind: Ints
) -> None:  # fmt: skip
    """Let markers grow over the other pixels of their kind, level by level, some steps each.

    In a step each pixel below the level's limit that touches what was reached before the step is reached from the
    neighbour with the lowest boundary; of those as low the first of north, west, east, south. What no step reaches is
    UNREACHED. So a way depends on a window of as many pixels around it as there are steps in all.

    Arrays and numbers:
        kinds, boundary: (h, w), see `find_markers`.
        limits: (levels,): pixels below are flooded, ascending.
        steps: (levels,).
        ways: (h, w): of markers; all are written.
        born, queued: (h, w), zeros. waiting, front, behind: (h · w,) work space.
    """
    h, w = kinds.shape
    n_waiting = 0
    for i in range(h):
        for j in range(w):
            if kinds[i, j] == 0:
                continue
            if ways[i, j] == MARKER:
                born[i, j] = 1
            else:
                waiting[n_waiting] = i * w + j
                n_waiting += 1
    now = 1
    for level in range(limits.shape[0]):
        limit, stamp = limits[level], level + 1
        kept, n_front = 0, 0
        for k in range(n_waiting):
            i, j = waiting[k] // w, waiting[k] % w
            if ways[i, j] != NONE:
                continue
            waiting[kept] = waiting[k]
            kept += 1
            if boundary[i, j] < limit and _choose(kinds, boundary, born, i, j, now + 1) != NONE:
                queued[i, j] = stamp
                front[n_front] = i * w + j
                n_front += 1
        n_waiting = kept
        for _ in range(steps[level]):
            if n_front == 0:
                break
            now += 1
            for k in range(n_front):
                i, j = front[k] // w, front[k] % w
                ways[i, j] = _choose(kinds, boundary, born, i, j, now)
                born[i, j] = now
            n_behind = 0
            for k in range(n_front):
                i, j = front[k] // w, front[k] % w
                for side in range(4):
                    y, x = i, j
                    if side == 0:
                        y -= 1
                    elif side == 1:
                        x -= 1
                    elif side == 2:
                        x += 1
                    else:
                        y += 1
                    if y < 0 or x < 0 or y == h or x == w or kinds[y, x] != kinds[i, j]:
                        continue
                    if ways[y, x] == NONE and queued[y, x] != stamp and boundary[y, x] < limit:
                        queued[y, x] = stamp
                        behind[n_behind] = y * w + x
                        n_behind += 1
            front, behind = behind, front
            n_front = n_behind
    for k in range(n_waiting):
        i, j = waiting[k] // w, waiting[k] % w
        if ways[i, j] == NONE:
            ways[i, j] = UNREACHED


@compiled
def _choose(kinds: Bytes, boundary: Bytes, born: Bytes, i: int, j: int, now: int) -> int:
    """Give the neighbour that a pixel is flooded from, of those that were reached before; NONE if none was."""
    h, w = kinds.shape
    best, lowest = NONE, 256
    if i > 0 and kinds[i - 1, j] == kinds[i, j] and 0 < born[i - 1, j] < now and boundary[i - 1, j] < lowest:
        best, lowest = NORTH, int(boundary[i - 1, j])
    if j > 0 and kinds[i, j - 1] == kinds[i, j] and 0 < born[i, j - 1] < now and boundary[i, j - 1] < lowest:
        best, lowest = WEST, int(boundary[i, j - 1])
    if j < w - 1 and kinds[i, j + 1] == kinds[i, j] and 0 < born[i, j + 1] < now and boundary[i, j + 1] < lowest:
        best, lowest = EAST, int(boundary[i, j + 1])
    if i < h - 1 and kinds[i + 1, j] == kinds[i, j] and 0 < born[i + 1, j] < now and boundary[i + 1, j] < lowest:
        best, lowest = SOUTH, int(boundary[i + 1, j])
    return best
