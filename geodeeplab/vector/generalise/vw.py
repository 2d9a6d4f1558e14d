"""Visvalingam–Whyatt's simplification of one line, compiled with numba.

Visvalingam, M. and Whyatt, J. D. (1993): Line generalisation by repeated elimination of points. The Cartographic
Journal 30(1), 46–51. Here with a tolerance instead of a least area, only where the triangle is empty, and with
the area on either side of the line kept about the same.
"""

import numpy as np
from numpy.typing import NDArray

from geodeeplab.compiled import compiled
from geodeeplab.vector.generalise.bits import is_near, triangle_bits, triangle_own

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Words = NDArray[np.uint64]

INDEX_BITS = 18
"""A line of more than 2¹⁸ vertices comes in pieces, so that a key fits in 63 bits."""
INDEX_MASK = (1 << INDEX_BITS) - 1
SPAN_BITS = 13
MOST_AREA = (1 << (63 - INDEX_BITS - SPAN_BITS)) - 1
"""Twice the area at which keys stop growing, in px²."""
MOST_SPAN = 4096
"""No segment stands for more original edges, so that no check of one takes long."""
MOST_ROUNDS = 8


@compiled
def sink(heap: Ints, size: int, place: int) -> None:
    """Let the key at `place` sink to where it belongs in a binary heap of `size` keys, least first."""
    key = heap[place]
    child = 2 * place + 1
    while child < size:
        if child + 1 < size and heap[child + 1] < heap[child]:
            child += 1
        if heap[child] >= key:
            break
        heap[place] = heap[child]
        place, child = child, 2 * child + 1
    heap[place] = key


@compiled
def push(heap: Ints, size: int, key: int) -> None:
    """Put a key into a binary heap of `size` keys."""
    place = size
    while place > 0 and heap[(place - 1) >> 1] > key:
        heap[place] = heap[(place - 1) >> 1]
        place = (place - 1) >> 1
    heap[place] = key


@compiled
def twice_area(xs: Ints, ys: Ints, a: int, v: int, b: int) -> int:
    """Give twice the area of a triangle, positive if it turns to the right with rows downwards."""
    return int((xs[v] - xs[a]) * (ys[b] - ys[v]) - (ys[v] - ys[a]) * (xs[b] - xs[v]))


@compiled
def vertex_key(xs: Ints, ys: Ints, a: int, v: int, b: int, area: int, index: int) -> int:
    """Give what vertices are removed by: twice the triangle's area but no less than `area`, span, index."""
    area = min(max(abs(twice_area(xs, ys, a, v, b)), area), MOST_AREA)
    span = min(b - a, (1 << SPAN_BITS) - 1)
    return (area << (SPAN_BITS + INDEX_BITS)) | (span << INDEX_BITS) | index


@compiled
def is_removable(
    xs: Ints, ys: Ints, a: int, v: int, b: int, words: Words, first_row: int, forms: Floats, cell: int, limit: float
) -> bool:  # fmt: skip
    """Tell whether the segment a–b may take the place of a–v–b: near enough, and the closed triangle is empty."""
    if b - a > MOST_SPAN or not is_near(xs, ys, a, b, forms, cell, limit):
        return False
    if b - a == 2 and (
        abs(xs[v] - xs[a]) + abs(ys[v] - ys[a]) == 1 or abs(xs[b] - xs[v]) + abs(ys[b] - ys[v]) == 1
    ):  # two edges of the lattice, one of them 1 px long: every other corner in the triangle is on the other edge
        return True
    found = triangle_bits(words, first_row, 1, xs[a], ys[a], xs[v], ys[v], xs[b], ys[b])
    return found == 3 or found == triangle_own(xs, ys, a, b, 1, xs[a], ys[a], xs[v], ys[v], xs[b], ys[b])


@compiled
def room_for_area(
    xs: Ints, ys: Ints, first: int, last: int, is_ring: bool, forms: Floats, cell: int, limit: float
) -> float:
    """Give how much a line may sweep to one side altogether, as twice an area in px².

    A chord cuts off the outside of a bend, so small things would shrink: by 13 % for 10–50 px at 1.5 px. But a straight
    staircase needs some room to become a chord between its outer corners. So the room for each px of length grows with
    the length: where lines are long, bends to both sides make up for each other. The factors are tried, not derived.
    """
    length = 0
    for k in range(first, last):
        length += int(abs(xs[k + 1] - xs[k]) + abs(ys[k + 1] - ys[k]))
    row, col = min(ys[first] // cell, forms.shape[0] - 1), min(xs[first] // cell, forms.shape[1] - 1)
    tolerance_px = np.sqrt(limit / np.sqrt(forms[row, col, 3]))
    share = min(max(length, 20), 100) if is_ring else min(max(length + 25, 45), 100)
    return float(1.0 + length * share * max(tolerance_px / 1.5, 1.0) / 200.0)


@compiled
def simplify_vw(
    xs: Ints, ys: Ints, first: int, last: int, least: int, room: float, words: Words, first_row: int, forms: Floats,
    cell: int, limit: float, before: Ints, after: Ints, keys: Ints, heap: Ints, waiting: Ints
) -> None:  # fmt: skip
    """Remove vertices between `first` and `last`, in the order of their keys.

    A vertex that may not go is tried again when one of its neighbours has gone. One that is blocked for the area only
    waits until no other can go; then all that wait are tried again, up to `MOST_ROUNDS` times. Stale keys stay in the
    heap and are known by not being the vertex's own any more.

    Args:
        xs: columns of the original vertices of one line.
        ys: rows of the original vertices.
        first: index of the first vertex, which stays.
        last: index of the last vertex, which stays.
        least: so many vertices stay, both ends included.
        room: see `room_for_area`.
        words: see `CornerBits`.
        first_row: see `CornerBits`.
        forms: (R, C, 4), see `square_distance`.
        cell: side of a cell of `forms` in px.
        limit: the tolerance squared.
        before: (at least last + 1,), written: the neighbour before each vertex that stays.
        after: likewise the neighbour after.
        keys: (at least last - first + 1,), scratch.
        heap: (at least 3 * (last - first),), scratch.
        waiting: (at least 3 * (last - first),), scratch.
    """
    size = last - first - 1
    for v in range(first, last + 1):
        before[v], after[v] = v - 1, v + 1
    for index in range(1, size + 1):
        keys[index] = vertex_key(xs, ys, first + index - 1, first + index, first + index + 1, 0, index)
        heap[index - 1] = keys[index]
    for place in range((size >> 1) - 1, -1, -1):
        sink(heap, size, place)
    left, swept, parked, gone, rounds = last - first + 1, 0, 0, 0, 0
    while left > least:
        if size == 0:
            if parked == 0 or gone == 0 or rounds == MOST_ROUNDS:
                break
            for place in range(parked):
                if keys[waiting[place] & INDEX_MASK] == waiting[place]:
                    push(heap, size, waiting[place])
                    size += 1
            parked, gone, rounds = 0, 0, rounds + 1
            continue
        key = heap[0]
        size -= 1
        heap[0] = heap[size]
        sink(heap, size, 0)
        index = key & INDEX_MASK
        v = first + index
        if keys[index] != key:
            continue
        a, b = before[v], after[v]
        turn = twice_area(xs, ys, a, v, b)
        if abs(swept + turn) > room and abs(swept + turn) > abs(swept):
            waiting[parked] = key
            parked += 1
            continue
        if not is_removable(xs, ys, a, v, b, words, first_row, forms, cell, limit):
            continue
        keys[index] = -1
        after[a], before[b] = b, a
        left -= 1
        gone += 1
        swept += turn
        area = key >> (SPAN_BITS + INDEX_BITS)
        if a > first:
            keys[a - first] = vertex_key(xs, ys, before[a], a, b, area, a - first)
            push(heap, size, keys[a - first])
            size += 1
        if b < last:
            keys[b - first] = vertex_key(xs, ys, a, b, after[b], area, b - first)
            push(heap, size, keys[b - first])
            size += 1
