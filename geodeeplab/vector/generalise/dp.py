"""Douglas–Peucker's simplification of one line, compiled with numba.

Douglas, D. H. and Peucker, T. K. (1973): Algorithms for the reduction of the number of points required to represent a
digitized line or its caricature. Cartographica 10(2), 112–122. Here a segment also has to have an empty hull.
"""

import numpy as np
from numpy.typing import NDArray

from geodeeplab.compiled import compiled
from geodeeplab.vector.generalise.bits import MOST, floor_ratio, row_bits, square_distance

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Words = NDArray[np.uint64]
Flags = NDArray[np.uint8]


@compiled
def is_left(xs: Ints, ys: Ints, a: int, b: int, c: int) -> bool:
    """Tell whether a, b, c turn to the positive side."""
    return bool((xs[b] - xs[a]) * (ys[c] - ys[a]) - (ys[b] - ys[a]) * (xs[c] - xs[a]) > 0)


@compiled
def convex_hull(xs: Ints, ys: Ints, first: int, last: int, deque: Ints) -> tuple[int, int]:
    """Give where in `deque` the hull of a simple line stands, a closed ring of indices; both ends are included.

    Melkman, A. (1987): On-line construction of the convex hull of a simple polyline. Information Processing Letters
    25, 11–12. The first three vertices must not lie on one line.

    Args:
        xs: columns of the vertices.
        ys: rows of the vertices.
        first: index of the first of at least three vertices.
        last: index of the last vertex.
        deque: (at least 2 * (last - first) + 6,), written.
    """
    bottom = last - first
    top = bottom + 3
    deque[bottom] = deque[top] = first + 2
    turns_left = is_left(xs, ys, first, first + 1, first + 2)
    deque[bottom + 1] = first if turns_left else first + 1
    deque[bottom + 2] = first + 1 if turns_left else first
    for k in range(first + 3, last + 1):
        if is_left(xs, ys, deque[bottom], deque[bottom + 1], k) and is_left(xs, ys, deque[top - 1], deque[top], k):
            continue
        while not is_left(xs, ys, deque[bottom], deque[bottom + 1], k):
            bottom += 1
        bottom -= 1
        deque[bottom] = k
        while not is_left(xs, ys, deque[top - 1], deque[top], k):
            top -= 1
        top += 1
        deque[top] = k
    return bottom, top


@compiled
def hull_bits(
    xs: Ints, ys: Ints, bottom: int, top: int, deque: Ints, words: Words, first_row: int, lows: Ints, highs: Ints
) -> int:  # fmt: skip
    """Count the bits in a closed convex hull.

    Args:
        xs: columns of the vertices.
        ys: rows of the vertices.
        bottom: see `convex_hull`.
        top: see `convex_hull`.
        deque: see `convex_hull`.
        words: see `CornerBits`.
        first_row: see `CornerBits`.
        lows: (rows of `words`,), scratch: first column of each row.
        highs: (rows of `words`,), scratch: last column of each row.
    """
    least, most = ys[deque[bottom]], ys[deque[bottom]]
    for place in range(bottom, top):
        least, most = min(least, ys[deque[place]]), max(most, ys[deque[place]])
    for row in range(least - first_row, most - first_row + 1):
        lows[row], highs[row] = MOST, -MOST
    for place in range(bottom, top):
        a, b = deque[place], deque[place + 1]
        if ys[a] > ys[b]:
            a, b = b, a
        for y in range(ys[a], ys[b] + 1):
            floor, ceiling = max(xs[a], xs[b]), min(xs[a], xs[b])
            if ys[a] != ys[b]:
                above = (xs[b] - xs[a]) * (y - ys[a])
                floor = xs[a] + floor_ratio(above, ys[b] - ys[a])
                ceiling = xs[a] - floor_ratio(-above, ys[b] - ys[a])
            lows[y - first_row] = min(lows[y - first_row], ceiling)
            highs[y - first_row] = max(highs[y - first_row], floor)
    total = 0
    for row in range(least - first_row, most - first_row + 1):
        if lows[row] <= highs[row]:
            total += row_bits(words, row, lows[row], highs[row])
    return total


@compiled
def farthest_from(xs: Ints, ys: Ints, first: int, last: int) -> int:
    """Give the vertex between two that is farthest from the line through them, from the point if they are one."""
    worst, far = -1, first + 1
    ex, ey = xs[last] - xs[first], ys[last] - ys[first]
    for k in range(first + 1, last):
        dx, dy = xs[k] - xs[first], ys[k] - ys[first]
        away = dx * dx + dy * dy if ex == 0 and ey == 0 else abs(ex * dy - ey * dx)
        if away > worst:
            worst, far = away, k
    return far


@compiled
def pin_vertices(xs: Ints, ys: Ints, count: int, is_twin: bool, piece: int, kept: Flags) -> None:
    """Mark in `kept` (count,) what stays in any case: both ends, and enough that a ring stays a ring."""
    for k in range(count):
        kept[k] = 0
    for k in range(0, count, piece):
        kept[k] = 1
    kept[count - 1] = 1
    if xs[0] == xs[count - 1] and ys[0] == ys[count - 1]:
        middle = farthest_from(xs, ys, 0, count - 1)
        kept[middle] = 1
        if middle > 1:
            kept[farthest_from(xs, ys, 0, middle)] = 1
        if middle < count - 2:
            kept[farthest_from(xs, ys, middle, count - 1)] = 1
    elif is_twin and count > 2:
        kept[farthest_from(xs, ys, 0, count - 1)] = 1


@compiled
def simplify_dp(
    xs: Ints, ys: Ints, count: int, words: Words, first_row: int, forms: Floats, cell: int, limit: float, kept: Flags,
    stack: Ints, deque: Ints, lows: Ints, highs: Ints
) -> None:  # fmt: skip
    """Mark the vertices of a line that stay, between those that `pin_vertices` has marked.

    Args:
        xs: columns of the original vertices of one line.
        ys: rows of the original vertices.
        count: how many vertices.
        words: see `CornerBits`.
        first_row: see `CornerBits`.
        forms: (R, C, 4), see `square_distance`.
        cell: side of a cell of `forms` in px.
        limit: the tolerance squared.
        kept: (at least count,), written.
        stack: (at least count,), scratch.
        deque: (at least 2 * count + 6,), scratch.
        lows: (rows of `words`,), scratch.
        highs: (rows of `words`,), scratch.
    """
    start = 0
    for end in range(1, count):
        if not kept[end]:
            continue
        first, size = start, 1
        stack[0] = end  # the segment to look at is first–stack[top]; below are the ends of those after it
        start = end
        while size > 0:
            last = stack[size - 1]
            worst, far = -1.0, first + 1
            ax, ay, bx, by = float(xs[first]), float(ys[first]), float(xs[last]), float(ys[last])
            for k in range(first + 1, last):
                away = square_distance(forms, cell, xs[k], ys[k], ax, ay, bx, by)
                if away > worst:
                    worst, far = away, k
            is_done = worst <= limit
            if is_done and last - first > 1:
                is_flat = not (
                    is_left(xs, ys, first, first + 1, first + 2) or is_left(xs, ys, first + 1, first, first + 2)
                )
                if is_flat:  # never with the vertices of a raster; splitting is right in any case
                    is_done = False
                else:
                    bottom, top = convex_hull(xs, ys, first, last, deque)
                    found = hull_bits(xs, ys, bottom, top, deque, words, first_row, lows, highs)
                    is_done = found == last - first + 1
            if is_done:
                first = last
                size -= 1
            else:
                kept[far] = 1
                stack[size] = far
                size += 1
