"""Kernels that join traced blocks along the lines between them.

A *piece* is a part of a line: a line of a block, or a straight run along the border line of two blocks. Its ends are
numbered 2 · piece (the first point) and 2 · piece + 1 (the last). An end is open, tied to another piece's end, or at a
junction. The two outer ends of several pieces in a row know each other, so a line that is complete shows at once.
"""

import numpy as np
import numpy.typing as npt

from geodeeplab.compiled import compiled
from geodeeplab.vector.trace.kernels_sort import find, unite
from geodeeplab.vector.trace.kernels_trace import JUNCTION, LOOSE

Bytes = npt.NDArray[np.uint8]
Ints = npt.NDArray[np.int32]
Longs = npt.NDArray[np.int64]
Words = npt.NDArray[np.uint64]

OPEN, AT_JUNCTION = -1, -2


@compiled
def take_lines(
    points: Ints, offsets: Longs, left: Ints, right: Ints, kinds: Bytes, slot: int, bounds: Longs,
    piece_points: Ints, piece_offsets: Longs, link: Ints, far: Ints, turns: Bytes, sides: Ints, n_pieces: int,
    arc_points: Ints, arc_offsets: Longs, arc_sides: Ints, arc_closed: Bytes, n_arcs: int,
    top: Ints, bottom: Ints, first: Ints, last: Ints, counts: Longs
) -> None:  # fmt: skip
    """Take the lines of a block: complete ones are arcs, others become pieces whose ends are noted on the border.

    Arrays and numbers:
        points, offsets, left, right, kinds: the block's lines.
        slot: number of the block's first component among all.
        bounds: (4,): first row, first column, last row, last column of corners.
        piece_points, piece_offsets, link, far, turns, sides: (n, 2), (n + 1,), (2 n,), (2 n,), (2 n,), (n, 2): the
            pieces, to which some are appended. `turns` says whether the point where an end is tied is a vertex.
        n_pieces: how many there are.
        arc_points, arc_offsets, arc_sides, arc_closed: the arcs, likewise.
        n_arcs: how many there are.
        top, bottom: (w + 1,): the piece's end on each corner of the first and last row, filled where there is one.
        first, last: (h + 1,): likewise for the first and last column.
        counts: (2,): pieces and arcs afterwards.
    """
    for k in range(left.size):
        a, b = offsets[k], offsets[k + 1]
        if kinds[k, 0] != LOOSE and kinds[k, 1] != LOOSE:
            start = arc_offsets[n_arcs]
            for q in range(b - a):  # slices take seconds to compile
                arc_points[start + q, 0], arc_points[start + q, 1] = points[a + q, 0], points[a + q, 1]
            arc_offsets[n_arcs + 1] = start + b - a
            arc_sides[n_arcs, 0] = left[k] + slot if left[k] >= 0 else -1
            arc_sides[n_arcs, 1] = right[k] + slot if right[k] >= 0 else -1
            arc_closed[n_arcs] = kinds[k, 0] != JUNCTION
            n_arcs += 1
            continue
        start = piece_offsets[n_pieces]
        for q in range(b - a):
            piece_points[start + q, 0], piece_points[start + q, 1] = points[a + q, 0], points[a + q, 1]
        piece_offsets[n_pieces + 1] = start + b - a
        sides[n_pieces, 0] = left[k] + slot if left[k] >= 0 else -1
        sides[n_pieces, 1] = right[k] + slot if right[k] >= 0 else -1
        for e in range(2):
            end = 2 * n_pieces + e
            far[end] = end ^ 1
            turns[end] = 1
            link[end] = OPEN
            if kinds[k, e] == JUNCTION:
                link[end] = AT_JUNCTION
                continue
            col, row = points[a if e == 0 else b - 1, 0], points[a if e == 0 else b - 1, 1]
            if row == bounds[0]:
                top[col - bounds[1]] = end
            elif row == bounds[2]:
                bottom[col - bounds[1]] = end
            elif col == bounds[1]:
                first[row - bounds[0]] = end
            else:
                last[row - bounds[0]] = end
        n_pieces += 1
    counts[0], counts[1] = n_pieces, n_arcs


@compiled
def unite_along(
    a_side: Ints, b_side: Ints, eight: bool, parent: Ints, group: Ints, class_of: Ints, first: Longs,
    confidence_sum: Longs, confidence_count: Longs, confidence_min: Bytes, head: Longs, tail: Longs, next_of: Longs
) -> None:  # fmt: skip
    """Unite the components that face each other across a line with equal labels, and what is known of them."""
    n = a_side.size
    for k in range(n):
        a, b = a_side[k], b_side[k]
        if a >= 0 and b >= 0 and class_of[a] == class_of[b]:
            a, b = find(parent, a), find(parent, b)
            if a != b:
                if b < a:
                    a, b = b, a
                parent[b] = a
                first[a] = min(first[a], first[b])
                confidence_sum[a] += confidence_sum[b]
                confidence_count[a] += confidence_count[b]
                confidence_min[a] = min(confidence_min[a], confidence_min[b])
                if head[a] < 0:
                    head[a], tail[a] = head[b], tail[b]
                elif head[b] >= 0:
                    next_of[tail[a]] = head[b]
                    tail[a] = tail[b]
                unite(group, a, b)
    if eight:
        for k in range(1, n):
            for a, b in ((a_side[k - 1], b_side[k]), (a_side[k], b_side[k - 1])):
                if a >= 0 and b >= 0 and class_of[a] == class_of[b]:
                    unite(group, a, b)


@compiled
def join_line(
    along_row: bool, inside: bool, line: int, start: int, a_side: Ints, b_side: Ints, a_ends: Ints, b_ends: Ints,
    class_of: Ints, words: Words, words_row: int,
    piece_points: Ints, piece_offsets: Longs, link: Ints, far: Ints, turns: Bytes, sides: Ints, n_pieces: int,
    arc_points: Ints, arc_offsets: Longs, arc_sides: Ints, arc_closed: Bytes, n_arcs: int, counts: Longs
) -> None:  # fmt: skip
    """Go along a line between blocks, from corner to corner: tie lines, end them in junctions, begin new ones.

    Arrays and numbers:
        along_row: whether the line is a row of corners (`a` above, `b` below), else a column (`a` left, `b` right).
        inside: whether the first and last corner are left alone: runs along the line have open ends there.
        line: that row or column.
        start: the other coordinate of the first corner.
        a_side, b_side: (n,): components of the pixels on either side.
        a_ends, b_ends: (n + 1,): the pieces' ends that reach the corners from either side, -1 for none.
        class_of: labels of the components.
        words, words_row: `CornerBits`, which are set; (0, 0) where they are not wanted.
        piece_points, …, n_arcs: see `take_lines`.
        counts: (4,): pieces and arcs afterwards, and the open ends on the first and last corner, -1 for none.
    """
    n = a_side.size
    run = -1  # the piece that runs along the line
    counts[2] = counts[3] = -1
    ends = np.empty(4, np.int64)
    for k in range(n + 1):
        x, y = (start + k, line) if along_row else (line, start + k)
        if run >= 0:
            last = piece_offsets[run] + 1
            piece_points[last, 0], piece_points[last, 1] = x, y
        a_end, b_end = a_ends[k], b_ends[k]
        before = run
        after = -1
        if k < n:
            a = class_of[a_side[k]] if a_side[k] >= 0 else -1
            b = class_of[b_side[k]] if b_side[k] >= 0 else -1
            if (a_side[k] >= 0) != (b_side[k] >= 0) or (a_side[k] >= 0 and a != b):
                after = 0
        if inside and k == n:
            counts[3] = 2 * run + 1 if run >= 0 else -1
            break
        degree = int(a_end >= 0) + int(b_end >= 0) + int(before >= 0) + int(after >= 0)
        if degree == 0 or (degree == 2 and before >= 0 and after >= 0):
            continue
        straight = degree == 2 and a_end >= 0 and b_end >= 0
        if after >= 0:
            run = n_pieces
            first = piece_offsets[run]
            piece_points[first, 0], piece_points[first, 1] = x, y
            piece_offsets[run + 1] = first + 2
            sides[run, 0] = a_side[k] if along_row else b_side[k]
            sides[run, 1] = b_side[k] if along_row else a_side[k]
            for e in range(2):
                link[2 * run + e] = OPEN
                far[2 * run + e] = (2 * run + e) ^ 1
                turns[2 * run + e] = 1
            n_pieces += 1
        else:
            run = -1
        if inside and k == 0:
            counts[2] = 2 * run if run >= 0 else -1
            continue
        if words.size > 0 and not straight:
            words[y - words_row, x >> 6] |= np.uint64(1) << np.uint64(x & 63)
        m = 0
        if a_end >= 0:
            ends[m] = a_end
            m += 1
        if before >= 0:
            ends[m] = 2 * before + 1
            m += 1
        if b_end >= 0:
            ends[m] = b_end
            m += 1
        if after >= 0:
            ends[m] = 2 * run
            m += 1
        if m == 2:
            n_arcs = _tie(
                ends[0], ends[1], not straight, piece_points, piece_offsets, link, far, turns, sides,
                arc_points, arc_offsets, arc_sides, arc_closed, n_arcs,
            )  # fmt: skip
        else:
            for q in range(m):
                end = ends[q]
                link[end] = AT_JUNCTION
                if link[far[end]] == AT_JUNCTION:
                    n_arcs = _finish(
                        end, False, piece_points, piece_offsets, link, far, turns, sides,
                        arc_points, arc_offsets, arc_sides, arc_closed, n_arcs, -1,
                    )  # fmt: skip
    counts[0], counts[1] = n_pieces, n_arcs


@compiled
def _tie(
    a: int, b: int, turn: bool, piece_points: Ints, piece_offsets: Longs, link: Ints, far: Ints, turns: Bytes,
    sides: Ints, arc_points: Ints, arc_offsets: Longs, arc_sides: Ints, arc_closed: Bytes, n_arcs: int
) -> int:  # fmt: skip
    """Tie two ends; where that completes a line, append the arc. Give the number of arcs."""
    far_a, far_b = far[a], far[b]
    link[a], link[b] = b, a
    turns[a] = turns[b] = turn
    if far_a == b:
        return _finish(
            a, True, piece_points, piece_offsets, link, far, turns, sides,
            arc_points, arc_offsets, arc_sides, arc_closed, n_arcs, -1,
        )  # fmt: skip
    far[far_a], far[far_b] = far_b, far_a
    if link[far_a] == AT_JUNCTION and link[far_b] == AT_JUNCTION:
        return _finish(
            far_a, False, piece_points, piece_offsets, link, far, turns, sides,
            arc_points, arc_offsets, arc_sides, arc_closed, n_arcs, a,
        )  # fmt: skip
    return n_arcs


@compiled
def _finish(
    end: int, closed: bool, piece_points: Ints, piece_offsets: Longs, link: Ints, far: Ints, turns: Bytes, sides: Ints,
    arc_points: Ints, arc_offsets: Longs, arc_sides: Ints, arc_closed: Bytes, n_arcs: int, known: int
) -> int:  # fmt: skip
    """Append the arc that begins with an end (or goes around through it); give the number of arcs.

    Sides are those of a piece that lies in the last blocks, as old ones have other numbers: the piece of `known`, or
    that of `end` where `known` is below 0.
    """
    n = arc_offsets[n_arcs]
    known_piece = (known if known >= 0 else end) >> 1
    at = end
    while True:
        piece = at >> 1
        first, last = piece_offsets[piece], piece_offsets[piece + 1]
        forward = at & 1 == 0
        if piece == known_piece:
            arc_sides[n_arcs, 0] = sides[piece, 0 if forward else 1]
            arc_sides[n_arcs, 1] = sides[piece, 1 if forward else 0]
        for q in range(last - first):
            if (q == 0 and turns[at] == 0) or (q == last - first - 1 and (link[at ^ 1] >= 0)):
                continue  # no vertex, or the first point of the piece that follows
            source = first + q if forward else last - 1 - q
            arc_points[n, 0], arc_points[n, 1] = piece_points[source, 0], piece_points[source, 1]
            n += 1
        link_out = link[at ^ 1]
        link[at] = link[at ^ 1] = AT_JUNCTION  # done with: `is_live` looks at the far end
        far[at] = far[at ^ 1] = -1
        if link_out < 0 or link_out == end:
            break
        at = link_out
    if closed:
        first_point = arc_offsets[n_arcs]
        arc_points[n, 0], arc_points[n, 1] = arc_points[first_point, 0], arc_points[first_point, 1]
        n += 1
    arc_offsets[n_arcs + 1] = n
    arc_closed[n_arcs] = closed
    return n_arcs + 1
