"""Kernels that square the lines of one block: faces that touch, and so have main directions in common.

Each run along a main direction becomes a straight line at the mean offset of the traced line, so that the area on
either side stays; corners are where the lines of neighbouring runs meet, and nodes, in which arcs of the block alone
end, where the lines of their runs do. What is farther from the traced line than the tolerance, turns back on itself or
changes an area is refused, and its nodes stay where they are for the others.
"""

import numpy as np
from numpy.typing import NDArray

from geodeeplab.compiled import compiled
from geodeeplab.vector.square.kernels_near import twice_area
from geodeeplab.vector.square.kernels_runs import (
    ACROSS,
    ALONG,
    BINS,
    OBLIQUE,
    add_angles,
    cut_runs,
    peak_angle,
    ring_runs,
)
from geodeeplab.vector.trace.kernels_sort import find, unite

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Parents = NDArray[np.int32]
Flags = NDArray[np.uint8]


@compiled
def to_frame(points: Floats, matrix: Floats, angle: float, xs: Floats, ys: Floats) -> None:
    """Give points (V, 2), in px from the block's own origin, as coordinates along the two main directions."""
    c, s = np.cos(angle), np.sin(angle)
    for k in range(len(points)):
        u = matrix[0, 0] * points[k, 0] + matrix[0, 1] * points[k, 1]
        v = matrix[1, 0] * points[k, 0] + matrix[1, 1] * points[k, 1]
        xs[k], ys[k] = c * u + s * v, c * v - s * u


@compiled
def main_angle(points: Floats, kept: Flags, offsets: Ints, matrix: Floats) -> float:
    """Give the main direction of the block's simplified lines."""
    xs, ys, bins = np.empty(len(points)), np.empty(len(points)), np.zeros(BINS)
    to_frame(points, matrix, 0.0, xs, ys)
    for arc in range(len(offsets) - 1):
        a, b = offsets[arc], offsets[arc + 1]
        add_angles(xs[a:b], ys[a:b], kept[a:b], b - a, bins)
    return peak_angle(bins)


@compiled
def block_runs(
    xs: Floats, ys: Floats, kept: Flags, offsets: Ints, closed: Flags, least: float,
    run_offsets: Ints, kinds: Ints, firsts: Ints, lasts: Ints
) -> None:  # fmt: skip
    """Cut all arcs of a block into runs, from vertex `firsts` to vertex `lasts`; rings are turned in place."""
    total, longest = 0, 1
    for arc in range(len(offsets) - 1):
        longest = max(longest, offsets[arc + 1] - offsets[arc])
    stops = np.empty(longest, np.int64)
    run_offsets[0] = 0
    for arc in range(len(offsets) - 1):
        a, b = offsets[arc], offsets[arc + 1]
        if closed[arc]:
            n = ring_runs(xs[a:b], ys[a:b], kept[a:b], b - a, least, kinds[total:], stops)
        else:
            n = cut_runs(xs[a:b], ys[a:b], kept[a:b], b - a, False, least, kinds[total:], stops)
        for r in range(n):
            firsts[total + r] = a if r == 0 else a + stops[r - 1]
            lasts[total + r] = a + stops[r]
        total += n
        run_offsets[arc + 1] = total


@compiled
def lean_of(xs: Floats, ys: Floats, kinds: Ints, firsts: Ints, lasts: Ints, total: int) -> float:
    """Give the angle by which the runs lean against the main directions: the axis of their common scatter.

    That of all points of their edges, so that one of a single edge has the direction of that.
    """
    sxx, sxy, syy = 0.0, 0.0, 0.0
    for r in range(total):
        if kinds[r] == OBLIQUE:
            continue
        weight, mx, my = 0.0, 0.0, 0.0
        for turn in range(2):
            for k in range(firsts[r], lasts[r]):
                x, y = (xs[k] + xs[k + 1]) / 2.0, (ys[k] + ys[k + 1]) / 2.0
                ex, ey = xs[k + 1] - xs[k], ys[k + 1] - ys[k]
                if kinds[r] == ACROSS:
                    x, y, ex, ey = y, -x, ey, -ex
                w = abs(ex)
                if turn == 0:
                    weight, mx, my = weight + w, mx + w * x, my + w * y
                elif weight > 0.0:
                    dx, dy = x - mx / weight, y - my / weight
                    sxx, sxy = sxx + w * (dx * dx + ex * ex / 12.0), sxy + w * (dx * dy + ex * ey / 12.0)
                    syy += w * (dy * dy + ey * ey / 12.0)
    return float(0.5 * np.arctan2(2.0 * sxy, sxx - syy))


@compiled
def fit_runs(
    xs: Floats, ys: Floats, kinds: Ints, firsts: Ints, lasts: Ints, total: int, lines: Floats, weights: Floats
) -> None:  # fmt: skip
    """Give each run's line, normal and offset, at the mean offset of the traced line, and its length as weight.

    Oblique runs are single edges, and stay where they are.
    """
    for r in range(total):
        a, b = firsts[r], lasts[r]
        nx, ny = (0.0, 1.0) if kinds[r] == ALONG else (1.0, 0.0)
        if kinds[r] == OBLIQUE:
            dx, dy = xs[b] - xs[a], ys[b] - ys[a]
            length = np.hypot(dx, dy)
            nx, ny = -dy / length, dx / length
        above, below = 0.0, 0.0
        for k in range(a, b):
            w = ny * (xs[k + 1] - xs[k]) - nx * (ys[k + 1] - ys[k])
            above += w * (nx * (xs[k] + xs[k + 1]) + ny * (ys[k] + ys[k + 1])) / 2.0
            below += w
        lines[r, 0], lines[r, 1], weights[r] = nx, ny, abs(below)
        if abs(below) >= 0.25 and kinds[r] != OBLIQUE:
            lines[r, 2] = above / below
        else:
            lines[r, 2] = (nx * (xs[a] + xs[b]) + ny * (ys[a] + ys[b])) / 2.0


@compiled
def end_run(run_offsets: Ints, arc: int, end: int) -> int:
    """Give the run with which an arc begins (end 0) or ends (1)."""
    return int(run_offsets[arc] if end == 0 else run_offsets[arc + 1] - 1)


@compiled
def join_at_nodes(
    nodes: Ints, run_offsets: Ints, kinds: Ints, refused: Flags, fixed: Flags, parent: Parents, ends: Ints
) -> None:
    """Unite the runs of one kind that end in a node that may move; `ends` (N, 2) gets a run of each kind, or -1."""
    for r in range(len(parent)):
        parent[r] = r
    ends[:] = -1
    for arc in range(len(nodes)):
        if refused[arc]:
            continue
        for end in range(2):
            node = nodes[arc, end]
            if node < 0 or fixed[node]:
                continue
            run = end_run(run_offsets, arc, end)
            kind = kinds[run]
            if kind == OBLIQUE:
                continue
            if ends[node, kind] >= 0:
                unite(parent, ends[node, kind], run)
            else:
                ends[node, kind] = run


@compiled
def share_offsets(
    nodes: Ints, node_xy: Floats, run_offsets: Ints, kinds: Ints, refused: Flags, fixed: Flags, parent: Parents,
    weights: Floats, lines: Floats
) -> None:  # fmt: skip
    """Give united runs one offset, the mean of theirs; or that of the node that stays in which one of them ends."""
    total = run_offsets[len(nodes)]
    above, below, pins = np.zeros(total), np.zeros(total), np.zeros(total, np.int64)
    for r in range(total):
        root = find(parent, r)
        above[root] += weights[r] * lines[r, 2]
        below[root] += weights[r]
    pinned = np.zeros(total)
    for arc in range(len(nodes)):
        if refused[arc]:
            continue
        for end in range(2):
            node = nodes[arc, end]
            if node >= 0 and fixed[node]:
                run = end_run(run_offsets, arc, end)
                if kinds[run] != OBLIQUE:
                    root = find(parent, run)
                    pins[root] += 1
                    pinned[root] += node_xy[node, 1 if kinds[run] == ALONG else 0]
    for r in range(total):
        root = find(parent, r)
        if kinds[r] != OBLIQUE and pins[root] > 0:
            lines[r, 2] = pinned[root] / pins[root]
        elif kinds[r] != OBLIQUE and below[root] > 0.0:
            lines[r, 2] = above[root] / below[root]


@compiled
def meet(lines: Floats, kinds: Ints, a: int, b: int, x: float, y: float) -> tuple[float, float]:
    """Give where the lines of two runs meet; the point given where both are oblique, or they are nearly parallel."""
    if kinds[a] == OBLIQUE and kinds[b] == OBLIQUE:
        return x, y
    det = lines[a, 0] * lines[b, 1] - lines[a, 1] * lines[b, 0]
    if abs(det) < 0.3:
        return x, y
    return (
        (lines[a, 2] * lines[b, 1] - lines[b, 2] * lines[a, 1]) / det,
        (lines[a, 0] * lines[b, 2] - lines[b, 0] * lines[a, 2]) / det,
    )


@compiled
def place_nodes(node_xy: Floats, fixed: Flags, ends: Ints, lines: Floats, placed: Floats) -> None:
    """Give each node (N, 2) its place: on the lines of the runs that end there."""
    for node in range(len(node_xy)):
        placed[node, 0], placed[node, 1] = node_xy[node, 0], node_xy[node, 1]
        if not fixed[node]:
            if ends[node, ACROSS] >= 0:
                placed[node, 0] = lines[ends[node, ACROSS], 2]
            if ends[node, ALONG] >= 0:
                placed[node, 1] = lines[ends[node, ALONG], 2]


@compiled
def place_corners(
    xs: Floats, ys: Floats, arc: int, is_ring: bool, nodes: Ints, placed: Floats, run_offsets: Ints, lines: Floats,
    kinds: Ints, lasts: Ints, corners: Floats
) -> int:  # fmt: skip
    """Write the new vertices of an arc, one more than it has runs; give how many."""
    first, stop = run_offsets[arc], run_offsets[arc + 1]
    n = stop - first
    for r in range(first, stop - 1):
        corners[r - first + 1, 0], corners[r - first + 1, 1] = meet(lines, kinds, r, r + 1, xs[lasts[r]], ys[lasts[r]])
    if is_ring:
        corners[0, 0], corners[0, 1] = meet(lines, kinds, stop - 1, first, xs[lasts[stop - 1]], ys[lasts[stop - 1]])
        corners[n, 0], corners[n, 1] = corners[0, 0], corners[0, 1]
    else:
        a, b = nodes[arc, 0], nodes[arc, 1]
        corners[0, 0], corners[0, 1] = placed[a, 0], placed[a, 1]
        corners[n, 0], corners[n, 1] = placed[b, 0], placed[b, 1]
    return int(n + 1)


@compiled
def swell_ring(
    xs: Floats, ys: Floats, a: int, b: int, first: int, stop: int, kinds: Ints, lines: Floats, corners: Floats
) -> None:  # fmt: skip
    """Shift the lines of a ring outwards or inwards, all alike, so that its area is about that of the traced one."""
    traced, new = twice_area(xs, ys, a, b), twice_area(corners[:, 0], corners[:, 1], 0, stop - first + 1)
    length = 0.0
    for r in range(stop - first):
        dx, dy = corners[r + 1, 0] - corners[r, 0], corners[r + 1, 1] - corners[r, 1]
        if kinds[first + r] != OBLIQUE:
            length += np.hypot(dx, dy)
    if length <= 0.0:
        return
    shift = (traced - new) / 2.0 / length
    for r in range(first, stop):
        dx = corners[r - first + 1, 0] - corners[r - first, 0]
        dy = corners[r - first + 1, 1] - corners[r - first, 1]
        size = np.hypot(dx, dy)
        if size > 0.0 and kinds[r] != OBLIQUE:  # (dy, −dx) points outwards where the area counts as positive
            lines[r, 2] += shift * (lines[r, 0] * dy - lines[r, 1] * dx) / size
