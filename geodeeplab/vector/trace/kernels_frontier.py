"""Kernels for what a band of blocks leaves: complete arcs in one form, and what stays open at the front."""

import numpy as np
import numpy.typing as npt

from geodeeplab.compiled import compiled
from geodeeplab.vector.trace.kernels_join import OPEN
from geodeeplab.vector.trace.kernels_sort import find

Bytes = npt.NDArray[np.uint8]
Ints = npt.NDArray[np.int32]
Longs = npt.NDArray[np.int64]


@compiled
def canonicalise(points: Ints, offsets: Longs, sides: Ints, closed: Bytes, directions: Bytes, n: int) -> None:
    """Bring each arc into the one form that does not depend on how it was found.

    A closed arc starts at its top-left vertex and runs clockwise (rows go downwards); others start at the end that
    comes first in raster order; one whose ends are the same corner starts with the neighbour that comes first.

    Arrays and numbers:
        points, offsets, sides, closed: the arcs, which are changed.
        directions: (n, 2): of the first and of the last edge: 0 east, 1 south, 2 west, 3 north.
        n: how many arcs.
    """
    for k in range(n):
        a, b = offsets[k], offsets[k + 1]
        if closed[k]:
            best = a
            for q in range(a + 1, b - 1):
                if points[q, 1] < points[best, 1] or (
                    points[q, 1] == points[best, 1] and points[q, 0] < points[best, 0]
                ):
                    best = q
            if best != a:
                length = b - 1 - a
                turned = np.empty((length, 2), np.int32)
                for q in range(length):
                    source = a + (best - a + q) % length
                    turned[q, 0], turned[q, 1] = points[source, 0], points[source, 1]
                for q in range(length):
                    points[a + q, 0], points[a + q, 1] = turned[q, 0], turned[q, 1]
                points[b - 1, 0], points[b - 1, 1] = points[a, 0], points[a, 1]
            backward = points[a + 1, 1] != points[a, 1]
        else:
            dy, dx = points[b - 1, 1] - points[a, 1], points[b - 1, 0] - points[a, 0]
            if dx == 0 and dy == 0:
                dy, dx = points[b - 2, 1] - points[a + 1, 1], points[b - 2, 0] - points[a + 1, 0]
            backward = dy < 0 or (dy == 0 and dx < 0)
        if backward:
            low, high = a, b - 1
            while low < high:
                for axis in range(2):
                    points[low, axis], points[high, axis] = points[high, axis], points[low, axis]
                low += 1
                high -= 1
            sides[k, 0], sides[k, 1] = sides[k, 1], sides[k, 0]
        directions[k, 0] = _direction(points, a)
        directions[k, 1] = _direction(points, b - 2)


@compiled
def _direction(points: Ints, at: int) -> int:
    """Give the direction from a point to the next: 0 east, 1 south, 2 west, 3 north."""
    if points[at, 1] == points[at + 1, 1]:
        return 0 if points[at + 1, 0] > points[at, 0] else 2
    return 1 if points[at + 1, 1] > points[at, 1] else 3


@compiled
def attach_arcs(
    ids: Ints, sides: Ints, parent: Ints, head: Longs, tail: Longs, next_of: Longs, references: Bytes
) -> None:
    """Append arcs to the lists of the components on their sides; an entry is 2 · arc + side (0 left, 1 right)."""
    for k in range(ids.size):
        arc = ids[k]
        references[arc] = 0
        for side in range(2):
            component = sides[k, side]
            if component < 0:
                continue
            component = find(parent, component)
            entry = np.int64(2) * arc + side
            next_of[entry] = -1
            if head[component] < 0:
                head[component] = entry
            else:
                next_of[tail[component]] = entry
            tail[component] = entry
            references[arc] += 1


@compiled
def part_components(front: Ints, parent: Ints, group: Ints, kept: Ints, kept_group: Ints, closed: Ints) -> int:
    """Part the components that are still wanted from those whose group no longer touches the front; count the former.

    Arrays and numbers:
        front: (w,): components along the front, which are replaced by their new numbers.
        parent, group: (n,): forests of components and groups.
        kept: (n,) is filled with the new number of each component that is kept, else -1.
        kept_group: (n,), by new number, is filled with that of the first component of the same group.
        closed: (n,) is filled with the group of each component that is complete, else -1.
    """
    n = parent.size
    open_group = np.zeros(n, np.bool_)
    for k in range(front.size):
        if front[k] >= 0:
            front[k] = find(parent, front[k])
            open_group[find(group, front[k])] = True
    first = np.full(n, -1, np.int32)
    total = 0
    for item in range(n):
        kept[item], closed[item] = -1, -1
        if find(parent, item) != item:
            continue
        its_group = find(group, item)
        if not open_group[its_group]:
            closed[item] = its_group
            continue
        kept[item] = total
        if first[its_group] < 0:
            first[its_group] = total
        kept_group[total] = first[its_group]
        total += 1
    for k in range(front.size):
        if front[k] >= 0:
            front[k] = kept[front[k]]
    return total


@compiled
def count_open_points(front: Ints, piece_offsets: Longs, link: Ints) -> int:
    """Count the points of the lines that are open at the front, a little too high."""
    total = 0
    for k in range(front.size):
        end = front[k]
        while end >= 0:
            total += piece_offsets[(end >> 1) + 1] - piece_offsets[end >> 1]
            end = link[end ^ 1]
    return total


@compiled
def gather_open(
    front: Ints, piece_points: Ints, piece_offsets: Longs, link: Ints, far: Ints, turns: Bytes,
    new_points: Ints, new_offsets: Longs, new_link: Ints, new_far: Ints, new_turns: Bytes
) -> int:  # fmt: skip
    """Make each line that is open at the front one piece, in new arrays; give how many there are.

    `front` is changed to the new ends. Sides are left to `face_front`.
    """
    n, n_points = 0, 0
    new_offsets[0] = 0
    place = np.full(far.size, -1, np.int32)  # where on the front an end lies
    for k in range(front.size):
        if front[k] >= 0:
            place[front[k]] = k
    taken = np.zeros(front.size, np.bool_)
    for k in range(front.size):
        if front[k] < 0 or taken[k]:
            continue
        start = front[k]
        end = start
        while True:
            piece = end >> 1
            first, last = piece_offsets[piece], piece_offsets[piece + 1]
            out = link[end ^ 1]
            for q in range(last - first):
                if (q == 0 and end != start and turns[end] == 0) or (q == last - first - 1 and out >= 0):
                    continue
                source = first + q if end & 1 == 0 else last - 1 - q
                new_points[n_points, 0], new_points[n_points, 1] = piece_points[source, 0], piece_points[source, 1]
                n_points += 1
            if out < 0:
                break
            end = out
        new_offsets[n + 1] = n_points
        new_link[2 * n], new_link[2 * n + 1] = OPEN, out
        new_far[2 * n], new_far[2 * n + 1] = 2 * n + 1, 2 * n
        new_turns[2 * n] = new_turns[2 * n + 1] = 1
        front[k], taken[k] = 2 * n, True
        if out == OPEN:  # the line ends on the front, too
            other = place[end ^ 1]
            front[other], taken[other] = 2 * n + 1, True
        n += 1
    return n


@compiled
def face_front(front: Ints, components: Ints, sides: Ints) -> None:
    """Tell the pieces that are open at the front which components they part there, by their present numbers."""
    for k in range(front.size):
        end = front[k]
        if end >= 0:
            east = components[k] if k < components.size else -1
            west = components[k - 1] if k > 0 else -1
            sides[end >> 1, 0] = east if end & 1 == 1 else west
            sides[end >> 1, 1] = west if end & 1 == 1 else east
