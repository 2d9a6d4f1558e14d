"""Kernels that find where new lines are in the way of others, and which cells of the scene still have open lines.

A new line may take the place of an old one if it meets no other line, neither its old nor its new form, nor comes near
it but where both end, at an angle, and if no other line lies between the two. So what is decided for one line holds
whatever is decided for the others, in any order.
Coordinates are integers below 2³⁰ in size, so whether lines meet is decided exactly.
"""

import numpy as np
from numpy.typing import NDArray

from geodeeplab.compiled import compiled
from geodeeplab.vector.square.kernels_near import off_segment

Bytes = NDArray[np.uint8]
Corners = NDArray[np.int32]
Ints = NDArray[np.int64]

LEAST_SINE = 1 / 64
"""Of the angle between a new edge and another one that ends where it does, if both go the same way."""


@compiled
def mark_lines(
    points: Corners, offsets: Ints, which: Bytes, cell: int, first_row: int, grid: Bytes, value: int
) -> None:  # fmt: skip
    """Write `value` to all cells that lines (those of which `which` is not 0) pass; edges run along rows and columns.

    Args:
        points: (V, 2) in the unit of `cell`.
        offsets: (A + 1,).
        which: (A,).
        cell: side of a cell.
        first_row: cell row of the grid's first row; what lies above it is left out.
        grid: (R, C).
        value: what is written.
    """
    for arc in range(which.size):
        if which[arc]:
            for k in range(offsets[arc], offsets[arc + 1] - 1):
                mark_edge(points[k, 0], points[k, 1], points[k + 1, 0], points[k + 1, 1], cell, first_row, grid, value)


@compiled
def cell_range(a: int, b: int, cell: int, first: int, count: int) -> tuple[int, int]:
    """Give the first and last cell that a to b passes along one axis, of `count` cells that are numbered from `first`.

    The last is less than the first where it passes none of them.
    """
    return max(min(a, b) // cell - first, 0), min(max(a, b) // cell - first, count - 1)


@compiled
def mark_edge(x0: int, y0: int, x1: int, y1: int, cell: int, first_row: int, grid: Bytes, value: int) -> None:
    """Mark the cells of the box of one edge."""
    rows, cols = grid.shape
    top, bottom = cell_range(y0, y1, cell, first_row, rows)
    left, right = cell_range(x0, x1, cell, 0, cols)
    for row in range(top, bottom + 1):
        for col in range(left, right + 1):
            grid[row, col] = value


@compiled
def find_lines(points: Corners, offsets: Ints, cell: int, first_row: int, grid: Bytes, found: Bytes) -> None:
    """Tell (A,) which lines pass a cell that is marked, or lie above the grid or below."""
    rows, cols = grid.shape
    for arc in range(found.size):
        found[arc] = 0
        for k in range(offsets[arc], offsets[arc + 1] - 1):
            if max(points[k, 1], points[k + 1, 1]) // cell - first_row >= rows:
                found[arc] = 1
            top, bottom = cell_range(points[k, 1], points[k + 1, 1], cell, first_row, rows)
            left, right = cell_range(points[k, 0], points[k + 1, 0], cell, 0, cols)
            for row in range(top, bottom + 1):
                for col in range(left, right + 1):
                    if grid[row, col]:
                        found[arc] = 1
            if found[arc]:
                break


@compiled
def mark_open(
    front: Corners, piece_points: Corners, piece_offsets: Ints, link: Corners, cell: int, first_row: int, grid: Bytes
) -> None:  # fmt: skip
    """Mark the cells that lines pass which are open at the front; see `kernels_join` for the pieces."""
    for k in range(front.size):
        end = front[k]
        while end >= 0:
            piece = end >> 1
            for q in range(piece_offsets[piece], piece_offsets[piece + 1] - 1):
                mark_edge(
                    piece_points[q, 0], piece_points[q, 1], piece_points[q + 1, 0], piece_points[q + 1, 1],
                    cell, first_row, grid, 1
                )  # fmt: skip
            end = link[end ^ 1]


@compiled
def side_of(ax: int, ay: int, bx: int, by: int, cx: int, cy: int) -> int:
    """Give on which side of a–b the point c lies: −1, 0 or 1."""
    cross = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
    return 1 if cross > 0 else (-1 if cross < 0 else 0)


@compiled
def meets(ax: int, ay: int, bx: int, by: int, cx: int, cy: int, dx: int, dy: int, shared: bool, near: int) -> bool:
    """Tell whether the segments a–b and c–d come as near as `near`; if `shared`, go the same way from a common end."""
    if (
        max(ax, bx) + near < min(cx, dx)
        or max(cx, dx) + near < min(ax, bx)
        or max(ay, by) + near < min(cy, dy)
        or max(cy, dy) + near < min(ay, by)
    ):
        return False
    if not shared:
        abc, abd = side_of(ax, ay, bx, by, cx, cy), side_of(ax, ay, bx, by, dx, dy)
        cda, cdb = side_of(cx, cy, dx, dy, ax, ay), side_of(cx, cy, dx, dy, bx, by)
        return (abc * abd <= 0 and cda * cdb <= 0) or min(
            min(off_segment(ax, ay, cx, cy, dx, dy), off_segment(bx, by, cx, cy, dx, dy)),
            min(off_segment(cx, cy, ax, ay, bx, by), off_segment(dx, dy, ax, ay, bx, by)),
        ) <= float(near) * float(near)
    same_way = (ax == cx and ay == cy) or (bx == dx and by == dy)
    ux, uy = float(bx - ax), float(by - ay)
    vx, vy = (float(dx - cx), float(dy - cy)) if same_way else (float(cx - dx), float(cy - dy))
    return bool(ux * vx + uy * vy > 0.0 and abs(ux * vy - uy * vx) < LEAST_SINE * np.hypot(ux, uy) * np.hypot(vx, vy))


@compiled
def bucket_edges(edges: Ints, cell: int, box: Ints, starts: Ints, items: Ints) -> int:
    """List edges by the cells of their boxes; give the number of entries, also where there is no room for them.

    Args:
        edges: (E, 6): both ends, the line that it is of, and its index there.
        cell: side of a cell.
        box: (4,): first and last row and column of the cells, beyond which all is left out.
        starts: (cells + 1,): is filled with where each cell's entries begin.
        items: (entries,): is filled with edges.
    """
    rows, cols = box[1] - box[0] + 1, box[3] - box[2] + 1
    counts = np.zeros(rows * cols + 1, np.int64)
    for turn in range(2):
        for e in range(len(edges)):
            top, bottom = cell_range(edges[e, 1], edges[e, 3], cell, box[0], rows)
            left, right = cell_range(edges[e, 0], edges[e, 2], cell, box[2], cols)
            for row in range(top, bottom + 1):
                for col in range(left, right + 1):
                    if turn == 0:
                        counts[row * cols + col + 1] += 1
                    else:
                        items[counts[row * cols + col]] = e
                        counts[row * cols + col] += 1
        if turn == 0:
            for k in range(rows * cols):
                counts[k + 1] += counts[k]
            starts[:] = counts
            if items.size < counts[rows * cols]:
                break
    return int(starts[rows * cols])


@compiled
def is_inside(x: int, y: int, old: Corners, a: int, b: int, new: Corners, c: int, d: int) -> bool:
    """Tell whether a point, in half units, lies between an old line and a new one: inside the ring of both."""
    inside, n = False, (b - a) + (d - c)
    px, py = np.int64(new[c, 0]) * 2, np.int64(new[c, 1]) * 2
    for k in range(n):
        qx = np.int64(old[a + k, 0] if k < b - a else new[d - 1 - (k - b + a), 0]) * 2
        qy = np.int64(old[a + k, 1] if k < b - a else new[d - 1 - (k - b + a), 1]) * 2
        if (py > y) != (qy > y):
            cross = (qx - px) * (y - py) - (qy - py) * (x - px)
            if (cross > 0) == (qy > py):
                inside = not inside
        px, py = qx, qy
    return inside


@compiled
def find_conflicts(
    lines: Ints, edges: Ints, old: Corners, old_offsets: Ints, new: Corners, new_offsets: Ints, units: Ints,
    cell: int, near: int, box: Ints, starts: Ints, items: Ints, bad: Bytes
) -> None:  # fmt: skip
    """Flag the new lines that meet another or come near it, or have another between them and the old line.

    Args:
        lines: the lines in question.
        edges: see `bucket_edges`; the index counts within the new lines' points if it is ≥ 0, and −1 − it within the
            old ones'.
        old: points of the old lines, and where each begins.
        old_offsets: (A + 1,).
        new: points of the new lines, likewise; none where a line has no new form.
        new_offsets: (A + 1,).
        units: (A,) lines of one number take their new form together.
        cell: see `bucket_edges`.
        near: how far new lines stay from others.
        box: see `bucket_edges`.
        starts: likewise.
        items: likewise.
        bad: (A,) is set.
    """
    cols = box[3] - box[2] + 1
    for line in lines:
        a, b, c, d = old_offsets[line], old_offsets[line + 1], new_offsets[line], new_offsets[line + 1]
        low_x, high_x, low_y, high_y = new[c, 0], new[c, 0], new[c, 1], new[c, 1]
        for k in range(a, b):
            low_x, high_x = min(low_x, old[k, 0]), max(high_x, old[k, 0])
            low_y, high_y = min(low_y, old[k, 1]), max(high_y, old[k, 1])
        for k in range(c, d):
            low_x, high_x = min(low_x, new[k, 0]), max(high_x, new[k, 0])
            low_y, high_y = min(low_y, new[k, 1]), max(high_y, new[k, 1])
        for row in range(max(low_y // cell, box[0]), min(high_y // cell, box[1]) + 1):
            for col in range(max(low_x // cell, box[2]), min(high_x // cell, box[3]) + 1):
                at = (row - box[0]) * cols + col - box[2]
                for place in range(starts[at], starts[at + 1]):
                    other = edges[items[place], 4]
                    if (units[other] == units[line]) or bad[line]:
                        continue
                    e = items[place]
                    x, y = edges[e, 0] + edges[e, 2], edges[e, 1] + edges[e, 3]
                    in_cell = (x // 2) // cell == col and (y // 2) // cell == row
                    if in_cell and is_inside(x, y, old, a, b, new, c, d):
                        bad[line] = 1
        for k in range(c, d - 1):
            if bad[line]:
                break
            if edge_meets(
                line, k, c, d, edges, old_offsets, new, new_offsets, units, cell, near, box, starts, items
            ):  # fmt: skip
                bad[line] = 1


@compiled
def edge_meets(
    line: int, k: int, c: int, d: int, edges: Ints, old_offsets: Ints, new: Corners, new_offsets: Ints, units: Ints,
    cell: int, near: int, box: Ints, starts: Ints, items: Ints
) -> bool:  # fmt: skip
    """Tell whether the edge after vertex k of a new line meets another edge or comes near it, but where tied."""
    cols = box[3] - box[2] + 1
    ax, ay, bx, by = int(new[k, 0]), int(new[k, 1]), int(new[k + 1, 0]), int(new[k + 1, 1])
    for row in range(max((min(ay, by) - near) // cell, box[0]), min((max(ay, by) + near) // cell, box[1]) + 1):
        for col in range(max((min(ax, bx) - near) // cell, box[2]), min((max(ax, bx) + near) // cell, box[3]) + 1):
            at = (row - box[0]) * cols + col - box[2]
            for place in range(starts[at], starts[at + 1]):
                e = items[place]
                other, index = edges[e, 4], edges[e, 5]
                if units[other] == units[line] and index < 0:
                    continue  # the old form of what takes its new one together with this line
                if other == line and index == k:
                    continue
                p, q = edges[e, 0], edges[e, 1]
                r, s = edges[e, 2], edges[e, 3]
                shared = False
                if other == line:  # neighbours on the line, also around a ring
                    ring = new[c, 0] == new[d - 1, 0] and new[c, 1] == new[d - 1, 1]
                    shared = abs(index - k) == 1 or (ring and abs(index - k) == d - c - 2)
                else:
                    is_new = index >= 0
                    first = new_offsets[other] if is_new else old_offsets[other]
                    last = (new_offsets[other + 1] if is_new else old_offsets[other + 1]) - 2
                    place_on = index if is_new else -1 - index
                    shared = (
                        (k == c and place_on == first and ax == p and ay == q)
                        or (k == c and place_on == last and ax == r and ay == s)
                        or (k == d - 2 and place_on == first and bx == p and by == q)
                        or (k == d - 2 and place_on == last and bx == r and by == s)
                    )
                if meets(ax, ay, bx, by, p, q, r, s, shared, near):
                    return True
    return False


@compiled
def mark_kept(points: Corners, offsets: Ints, simple: NDArray[np.float64], simple_offsets: Ints, kept: Bytes) -> None:
    """Mark the vertices (V,) of lines that their simplified form has, too."""
    for arc in range(offsets.size - 1):
        at = simple_offsets[arc]
        for k in range(offsets[arc], offsets[arc + 1]):
            kept[k] = 0
            if at < simple_offsets[arc + 1] and points[k, 0] == simple[at, 0] and points[k, 1] == simple[at, 1]:
                kept[k] = 1
                at += 1
