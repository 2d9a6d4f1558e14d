"""Kernels that tell how far new lines are from the traced ones, and which of their runs is to blame."""

import numpy as np
from numpy.typing import NDArray

from geodeeplab.compiled import compiled
from geodeeplab.vector.square.kernels_cover import EXACT, reach
from geodeeplab.vector.square.kernels_runs import FREE, OBLIQUE

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Flags = NDArray[np.uint8]

LEAST_EDGE = 0.5
"""No edge becomes shorter, in px."""
SWEEPS = 2
"""Times that the edges near a segment are looked through for what goes on where the last one ended."""


@compiled
def off_segment(x: float, y: float, ax: float, ay: float, bx: float, by: float) -> float:
    """Give the squared distance of a point from a segment."""
    dx, dy, ex, ey = x - ax, y - ay, bx - ax, by - ay
    length = ex * ex + ey * ey
    t = 0.0 if length == 0.0 else min(max((dx * ex + dy * ey) / length, 0.0), 1.0)
    return float((dx - t * ex) ** 2 + (dy - t * ey) ** 2)


@compiled
def find_far(
    xs: Floats, ys: Floats, firsts: Ints, lasts: Ints, first: int, n: int, is_ring: bool, corners: Floats,
    limit: float, begin: int
) -> int:  # fmt: skip
    """Give the first run, from number `begin` on, near which an arc cannot be so; -1 for none.

    That is where the new line goes the way of the traced one, and neither is farther than √limit from the other.

    All of a run is held against the new edges of it and of the neighbours, and its new edge against these runs.
    """
    for r in range(begin, n):
        if not is_near(xs, ys, firsts, lasts, first, n, is_ring, corners, limit, r):
            return r
    return -1


@compiled
def is_near(
    xs: Floats, ys: Floats, firsts: Ints, lasts: Ints, first: int, n: int, is_ring: bool, corners: Floats,
    limit: float, r: int
) -> bool:  # fmt: skip
    """Tell whether one new edge goes the way of its run, and both are near enough; see `find_far`."""
    a, b = firsts[first + r], lasts[first + r]
    px, py, qx, qy = corners[r, 0], corners[r, 1], corners[r + 1, 0], corners[r + 1, 1]
    ex, ey = qx - px, qy - py
    if ex * (xs[b] - xs[a]) + ey * (ys[b] - ys[a]) <= 0.0 or ex * ex + ey * ey < LEAST_EDGE * LEAST_EDGE:
        return False
    before = off_segment(xs[a], ys[a], px, py, qx, qy) <= limit
    for k in range(a, b):
        after = off_segment(xs[k + 1], ys[k + 1], px, py, qx, qy) <= limit
        if not (before and after):  # what is near one edge is convex
            done = 0.0
            for _ in range(SWEEPS):
                for q in range(r - 1, r + 2):
                    edge = q % n if is_ring else q
                    if 0 <= edge < n:
                        done = reach(
                            xs[k], ys[k], xs[k + 1], ys[k + 1], corners[:, 0], corners[:, 1], edge, edge + 1, limit,
                            done
                        )  # fmt: skip
            if done < 1.0 - EXACT:
                return False
        before = after
    done = 0.0
    for _ in range(SWEEPS):
        for q in range(r - 1, r + 2):
            run = q % n if is_ring else q
            if 0 <= run < n:
                done = reach(px, py, qx, qy, xs, ys, firsts[first + run], lasts[first + run], limit, done)
    return bool(done >= 1.0 - EXACT)


@compiled
def worst_run(
    xs: Floats, ys: Floats, kinds: Ints, firsts: Ints, lasts: Ints, first: int, n: int, is_ring: bool, run: int,
    lines: Floats
) -> int:  # fmt: skip
    """Give the run, of one and its neighbours, whose line is the farthest from its vertices; -1 if all are oblique."""
    worst, most = -1, -1.0
    for q in range(run - 1, run + 2):
        at = first + (q % n if is_ring else q)
        if first <= at < first + n and kinds[at] != OBLIQUE:
            away = 0.0
            for k in range(firsts[at], lasts[at] + 1):
                away = max(away, abs(lines[at, 0] * xs[k] + lines[at, 1] * ys[k] - lines[at, 2]))
            if away > most:
                worst, most = at - first, away
    return worst


@compiled
def twice_area(xs: Floats, ys: Floats, a: int, b: int) -> float:
    """Give the sum of x·dy − y·dx along a line from point a to b − 1."""
    total = 0.0
    for k in range(a, b - 1):
        total += xs[k] * ys[k + 1] - xs[k + 1] * ys[k]
    return total


@compiled
def free_run(kept: Flags, first: int, last: int) -> None:
    """Let the simplified edges between two vertices stay."""
    for k in range(first + 1, last + 1):
        if kept[k]:
            kept[k] = FREE


@compiled
def is_angular(xs: Floats, ys: Floats, kinds: Ints, firsts: Ints, lasts: Ints, first: int, stop: int) -> bool:
    """Tell whether at least half of an arc runs along the main directions."""
    aligned, total = 0.0, 0.0
    for r in range(first, stop):
        length = np.hypot(xs[lasts[r]] - xs[firsts[r]], ys[lasts[r]] - ys[firsts[r]])
        total += length
        if kinds[r] != OBLIQUE:
            aligned += length
    return aligned >= 0.5 * total
