"""Kernels over all arcs of a batch, compiled with numba; imported where they are used."""

import numpy as np
from numpy.typing import NDArray

from geodeeplab.compiled import compiled
from geodeeplab.vector.generalise.dp import pin_vertices, simplify_dp
from geodeeplab.vector.generalise.smooth import MOST_POINTS, smooth_line
from geodeeplab.vector.generalise.vw import room_for_area, simplify_vw
from geodeeplab.vector.trace.kernels_sort import first_at_least

Corners = NDArray[np.int32]
Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Words = NDArray[np.uint64]
Flags = NDArray[np.uint8]


@compiled
def runs_backwards(points: Corners, start: int, end: int) -> bool:
    """Tell whether the arc points[start:end] is to be walked from its last point, whichever way round it came.

    Lines go from their upper end (then the left one); rings begin to the right, else downwards, else to the left.
    """
    last = end - 1
    if points[start, 1] != points[last, 1]:
        return bool(points[start, 1] > points[last, 1])
    if points[start, 0] != points[last, 0]:
        return bool(points[start, 0] > points[last, 0])
    order, onward = 0, 0
    for near in (last - 1, start + 1):
        right, down = points[near, 0] - points[start, 0], points[near, 1] - points[start, 1]
        order, onward = onward, 0 if right > 0 else (1 if down > 0 else (2 if right < 0 else 3))
    return order < onward


@compiled
def least_kept(is_ring: bool, is_twin: bool, pieces: int) -> int:
    """Give how many vertices of each piece stay, so that rings keep four corners and twins differ from the chord."""
    if is_ring and pieces == 1:
        return 5
    return 3 if is_ring or is_twin else 2


@compiled
def simplify_arcs(
    points: Corners, offsets: Ints, flags: Flags, words: Words, first_row: int, forms: Floats, cell: int,
    limit: float, spans: Ints | None, piece: int, kept: Flags, sizes: Ints
) -> None:  # fmt: skip
    """Mark the vertices that stay.

    Args:
        points: see `Arcs`.
        offsets: see `Arcs`.
        flags: (A,) KEEP 1, TWIN 2.
        words: see `CornerBits`.
        first_row: see `CornerBits`.
        forms: (R, C, 4), see `square_distance`.
        cell: side of a cell of `forms` in px.
        limit: the tolerance squared.
        spans: (2, rows of `words`), scratch, for Douglas–Peucker; None for Visvalingam–Whyatt. Each is compiled when it
            is wanted only.
        piece: a longer arc keeps one vertex in so many.
        kept: (V,), written: 1 where a vertex stays.
        sizes: (A,), written: how many vertices of each arc stay.
    """
    longest = 1
    for arc in range(len(sizes)):
        longest = max(longest, offsets[arc + 1] - offsets[arc])
    xs, ys = np.empty(longest, np.int64), np.empty(longest, np.int64)
    before, after = np.empty(longest, np.int64), np.empty(longest, np.int64)
    keys, heap = np.empty(longest, np.int64), np.empty(3 * longest + 6, np.int64)
    waiting = np.empty(3 * longest, np.int64)
    marks = np.empty(longest, np.uint8)
    for arc in range(len(sizes)):
        start, end = offsets[arc], offsets[arc + 1]
        count = end - start
        if count <= 2 or flags[arc] & 1:
            for k in range(start, end):
                kept[k] = 1
            sizes[arc] = count
            continue
        backwards = runs_backwards(points, start, end)
        for k in range(count):
            place = end - 1 - k if backwards else start + k
            xs[k], ys[k] = points[place, 0], points[place, 1]
        is_twin = flags[arc] & 2 != 0
        if spans is not None:
            pin_vertices(xs, ys, count, is_twin, piece, marks)
            simplify_dp(
                xs, ys, count, words, first_row, forms, cell, limit, marks, keys, heap, spans[0], spans[1]
            )  # fmt: skip
        else:
            is_ring = xs[0] == xs[count - 1] and ys[0] == ys[count - 1]
            least = least_kept(is_ring, is_twin, (count - 2) // piece + 1)
            for k in range(count):
                marks[k] = 0
            marks[0] = 1
            for first in range(0, count - 1, piece):
                last = min(first + piece, count - 1)
                room = room_for_area(xs, ys, first, last, is_ring, forms, cell, limit)
                simplify_vw(
                    xs, ys, first, last, least, room, words, first_row, forms, cell, limit, before, after, keys, heap,
                    waiting
                )  # fmt: skip
                k = first
                while k != last:
                    k = after[k]
                    marks[k] = 1
        size = 0
        for k in range(count):
            size += marks[k]
            kept[end - 1 - k if backwards else start + k] = marks[k]
        sizes[arc] = size


@compiled
def gather_arcs(points: Corners, kept: Flags, out: Floats) -> None:
    """Write the vertices (V, 2) that stay to `out`, in their order."""
    size = 0
    for k in range(len(kept)):
        if kept[k]:
            out[size, 0], out[size, 1] = points[k, 0], points[k, 1]
            size += 1


@compiled
def smooth_arcs(
    points: Corners, offsets: Ints, flags: Flags, words: Words, first_row: int, forms: Floats, cell: int,
    limit: float, kept: Flags, sizes: Ints, out: Floats
) -> None:  # fmt: skip
    """Write the vertices that stay to `out` with the corners cut; see `simplify_arcs`.

    Args:
        points: see `Arcs`.
        offsets: see `Arcs`.
        flags: (A,) KEEP 1: no corner of the arc is cut; FREE 4: nor is its start spared.
        words: see `CornerBits`.
        first_row: see `CornerBits`.
        forms: (R, C, 4), see `square_distance`.
        cell: side of a cell of `forms` in px.
        limit: the tolerance squared.
        kept: (V,): 1 where a vertex stays.
        sizes: (A,), written: how many points each arc has now.
        out: (room for them, 2), written.
    """
    longest = 1
    for arc in range(len(sizes)):
        longest = max(longest, offsets[arc + 1] - offsets[arc])
    xs, ys, chain = np.empty(2 * longest, np.int64), np.empty(2 * longest, np.int64), np.empty(longest, np.int64)
    curve, ending = np.empty((MOST_POINTS, 2), np.float64), np.empty((MOST_POINTS, 2), np.float64)
    begin = 0
    for arc in range(len(sizes)):
        start, size, count = offsets[arc], offsets[arc + 1] - offsets[arc], 0
        backwards = size > 1 and runs_backwards(points, start, start + size)
        for k in range(size):
            place = start + size - 1 - k if backwards else start + k
            xs[k], ys[k] = points[place, 0], points[place, 1]
            if kept[place]:
                chain[count] = k
                count += 1
        finish = begin
        if flags[arc] & 1:
            for k in range(count):
                out[begin + k, 0], out[begin + k, 1] = xs[chain[k]], ys[chain[k]]
            finish += count
        else:
            is_free = flags[arc] & 4 != 0 and xs[0] == xs[size - 1] and ys[0] == ys[size - 1]
            if is_free:  # go on round the ring, so that the corner at its start has a place of its own
                for k in range(chain[1]):
                    xs[size + k], ys[size + k] = xs[k + 1], ys[k + 1]
            finish = smooth_line(
                xs, ys, chain, count, is_free, words, first_row, forms, cell, limit, curve, ending, out, begin
            )  # fmt: skip
        if backwards:
            for k in range((finish - begin) >> 1):
                for axis in range(2):
                    near, far = out[begin + k, axis], out[finish - 1 - k, axis]
                    out[begin + k, axis], out[finish - 1 - k, axis] = far, near
        sizes[arc] = finish - begin
        begin = finish


@compiled
def fill_keys(points: Corners, offsets: Ints, beyond: int, keys: Ints) -> None:
    """Give both ends of each arc as numbers in raster order, (A, 2); -1 for those that are never straightened.

    That is an arc whose ends are the same corner, and one that leads `beyond` the box around its ends.
    """
    for k in range(offsets.size - 1):
        a, b = offsets[k], offsets[k + 1]
        x0, y0, x1, y1 = points[a, 0], points[a, 1], points[b - 1, 0], points[b - 1, 1]
        left, right, top, bottom = (
            min(x0, x1) - beyond,
            max(x0, x1) + beyond,
            min(y0, y1) - beyond,
            max(y0, y1) + beyond,
        )
        near = x0 != x1 or y0 != y1
        for q in range(a + 1, b - 1):
            x, y = points[q, 0], points[q, 1]
            if x < left or x > right or y < top or y > bottom:
                near = False
                break
        keys[k, 0] = (np.int64(y0) << 32) + x0 if near else -1
        keys[k, 1] = (np.int64(y1) << 32) + x1 if near else -1


@compiled
def mark_twins(keys: Ints, every: Ints, flags: Flags, flag: int) -> None:
    """Flag the arcs whose ends are those of another.

    Args:
        keys: (A, 2) of the arcs.
        every: (N, 2) of all that come into question, these included, in the order of the first column.
        flags: (A,).
        flag: is added to those.
    """
    firsts = np.empty(every.shape[0], np.int64)
    for k in range(firsts.size):
        firsts[k] = every[k, 0]
    for k in range(flags.size):
        if keys[k, 0] < 0:
            continue
        at, same = first_at_least(firsts, keys[k, 0]), 0
        while at < firsts.size and firsts[at] == keys[k, 0]:
            same += every[at, 1] == keys[k, 1]
            at += 1
        if same > 1:
            flags[k] |= flag
