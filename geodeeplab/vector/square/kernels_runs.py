"""Kernels that cut a traced line into runs along two main directions, at right angles to each other."""

import numpy as np
from numpy.typing import NDArray

from geodeeplab.compiled import compiled

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Flags = NDArray[np.uint8]

ALONG, ACROSS, OBLIQUE = 0, 1, 2
"""Kinds of runs: along the first main direction, along the second, along none."""
FREE = 2
"""Mark of a vertex that stays, and with it the edge that leads there, whatever its direction."""
BINS = 90
NEAR = np.pi / 12.0
"""An edge that is this near to a main direction, 15°, counts as aligned with it."""
OBLIQUE_TAN = 0.364
"""Edges are oblique from 20° on, ..."""
OBLIQUE_PX = 3.0
"""... if they lead so far away from the main direction: less is a corner that was cut."""


@compiled
def add_angles(xs: Floats, ys: Floats, kept: Flags, n: int, bins: Floats) -> None:
    """Add the edges between the vertices that stay to a histogram of angles modulo 90°, by their squared lengths."""
    before = 0
    for k in range(1, n):
        if kept[k]:
            dx, dy = xs[k] - xs[before], ys[k] - ys[before]
            part = (np.arctan2(dy, dx) / (np.pi / 2.0)) % 1.0 * BINS
            bins[int(part) % BINS] += dx * dx + dy * dy
            before = k


@compiled
def peak_angle(bins: Floats) -> float:
    """Give the main direction, in radians from 0 to π/2: the centre of the 10° around which most edges lie."""
    best, most = 0, -1.0
    for k in range(BINS):
        total = 0.0
        for step in range(-5, 6):
            total += bins[(k + step) % BINS] * (6 - abs(step))
        if total > most:
            best, most = k, total
    above, below = 0.0, 0.0
    for step in range(-8, 9):
        above += bins[(best + step) % BINS] * step
        below += bins[(best + step) % BINS]
    shift = above / below if below > 0.0 else 0.0
    return float((best + 0.5 + shift) / BINS * (np.pi / 2.0))


@compiled
def aligned_lengths(xs: Floats, ys: Floats, kept: Flags, n: int) -> tuple[float, float]:
    """Give the length of the edges that are near to a main direction, and of all."""
    near, total, before = 0.0, 0.0, 0
    for k in range(1, n):
        if kept[k]:
            dx, dy = abs(xs[k] - xs[before]), abs(ys[k] - ys[before])
            length = np.hypot(dx, dy)
            total += length
            if np.arctan2(min(dx, dy), max(dx, dy)) <= NEAR:
                near += length
            before = k
    return near, total


@compiled
def edge_kind(dx: float, dy: float, mark: int) -> int:
    """Give the kind of the edge that leads to a vertex with this mark."""
    if mark == FREE:
        return OBLIQUE
    small, large = min(abs(dx), abs(dy)), max(abs(dx), abs(dy))
    if small > max(OBLIQUE_TAN * large, OBLIQUE_PX):
        return OBLIQUE
    return ALONG if abs(dx) >= abs(dy) else ACROSS


@compiled
def ring_start(xs: Floats, ys: Floats, kept: Flags, n: int) -> int:
    """Give the vertex of a ring at which the longest row of edges of one kind begins."""
    last = n - 2
    while last > 0 and not kept[last]:
        last -= 1
    kind, before = edge_kind(xs[0] - xs[last], ys[0] - ys[last], kept[n - 1]), 0
    begin, length, best, most = -1, 0.0, 0, -1.0
    for turn in range(2):  # the second time round, the row of edges that passes the ring's beginning is seen whole
        for k in range(1, n):
            if not kept[k]:
                continue
            here = edge_kind(xs[k] - xs[before], ys[k] - ys[before], kept[k])
            if here != kind or here == OBLIQUE:
                if begin >= 0 and length > most:
                    best, most = begin, length
                begin, length, kind = before % (n - 1), 0.0, here
            length += np.hypot(xs[k] - xs[before], ys[k] - ys[before])
            before = k if k < n - 1 else 0
        if turn == 1 and begin >= 0 and length > most:
            best = begin
    return best


@compiled
def turn_ring(xs: Floats, ys: Floats, kept: Flags, n: int, start: int) -> None:
    """Let a closed line, whose last point is its first, begin at another of its points."""
    m = n - 1
    kept[0] = kept[m]  # the same vertex; its mark says how the last edge goes
    old_x, old_y, old_kept = xs[:m].copy(), ys[:m].copy(), kept[:m].copy()
    for k in range(m):
        source = (start + k) % m
        xs[k], ys[k], kept[k] = old_x[source], old_y[source], old_kept[source]
    xs[m], ys[m], kept[m] = xs[0], ys[0], kept[0]


@compiled
def shortest_step(
    xs: Floats, ys: Floats, kinds: Ints, stops: Ints, count: int, is_ring: bool, least: float
) -> int:  # fmt: skip
    """Give the shortest run below `least` that can be left out, see `cut_runs`; -1 for none."""
    shortest, size = -1, least
    for r in range(count):
        a, b = 0 if r == 0 else stops[r - 1], stops[r]
        extent = abs(ys[b] - ys[a]) if kinds[r] == ACROSS else abs(xs[b] - xs[a])
        if kinds[r] == OBLIQUE or extent >= size:
            continue
        if r == 0 or r == count - 1:
            if is_ring or kinds[1 if r == 0 else r - 1] == OBLIQUE:
                continue  # where a ring begins is seen to by turning it
        else:
            c, d = 0 if r == 1 else stops[r - 2], stops[r + 1]
            if kinds[r - 1] != kinds[r + 1] or kinds[r - 1] == OBLIQUE:
                continue
            one = xs[a] - xs[c] if kinds[r - 1] == ALONG else ys[a] - ys[c]
            other = xs[d] - xs[b] if kinds[r - 1] == ALONG else ys[d] - ys[b]
            if one * other <= 0.0:
                continue
        shortest, size = r, extent
    return shortest


@compiled
def cut_runs(xs: Floats, ys: Floats, kept: Flags, n: int, is_ring: bool, least: float, kinds: Ints, stops: Ints) -> int:
    """Cut a line into runs of one kind, and let go of short steps; give how many runs there are.

    A run ends where the next one begins. A run that is shorter than `least` between two that go the same way is one
    with them; at the end of a line, with its neighbour.

    Args:
        xs: first coordinates of the traced vertices, along the first main direction.
        ys: the second ones.
        kept: 1 for the vertices that simplification leaves, or `FREE`.
        n: how many vertices.
        is_ring: the line is closed, and begins between two runs (`ring_start`).
        least: the shortest step.
        kinds: written: the kind of each run.
        stops: written: the index of its last vertex.
    """
    count, before = 0, 0
    for k in range(1, n):
        if not kept[k]:
            continue
        kind = edge_kind(xs[k] - xs[before], ys[k] - ys[before], kept[k])
        if count > 0 and kind != OBLIQUE and kinds[count - 1] == kind:
            stops[count - 1] = k
        else:
            kinds[count], stops[count] = kind, k
            count += 1
        before = k
    while count > 1:
        r = shortest_step(xs, ys, kinds, stops, count, is_ring, least)
        if r < 0:
            break
        if r == 0:
            first, gone = 0, 1
        elif r == count - 1:
            stops[r - 1] = stops[r]
            first, gone = r, 1
        else:
            stops[r - 1] = stops[r + 1]
            first, gone = r, 2
        for k in range(first, count - gone):
            kinds[k], stops[k] = kinds[k + gone], stops[k + gone]
        count -= gone
    return count


@compiled
def goes_on(
    xs: Floats, ys: Floats, kinds: Ints, stops: Ints, count: int, least: float
) -> bool:  # fmt: skip
    """Tell whether the last run of a ring is a short step between the first one and one that goes the same way."""
    if count < 5 or kinds[count - 2] != kinds[0] or kinds[0] == OBLIQUE or kinds[count - 1] == OBLIQUE:
        return False
    c, a, b = stops[count - 3], stops[count - 2], stops[count - 1]
    if kinds[0] == ALONG:
        return bool(abs(ys[b] - ys[a]) < least and (xs[a] - xs[c]) * (xs[stops[0]] - xs[0]) > 0.0)
    return bool(abs(xs[b] - xs[a]) < least and (ys[a] - ys[c]) * (ys[stops[0]] - ys[0]) > 0.0)


@compiled
def ring_runs(xs: Floats, ys: Floats, kept: Flags, n: int, least: float, kinds: Ints, stops: Ints) -> int:
    """Turn a ring so that it begins between two runs, and cut it into runs; give how many there are. See `cut_runs`."""
    turn_ring(xs, ys, kept, n, ring_start(xs, ys, kept, n))
    count = cut_runs(xs, ys, kept, n, True, least, kinds, stops)
    for _ in range(8):
        if not goes_on(xs, ys, kinds, stops, count, least):
            break
        start = stops[count - 3]
        for k in range(start + 1, n):
            kept[k] = 0
        for k in range(stops[0]):
            kept[k] = 0
        kept[start] = max(kept[start], 1)
        kept[n - 1] = 1
        turn_ring(xs, ys, kept, n, start)
        count = cut_runs(xs, ys, kept, n, True, least, kinds, stops)
    return count
