"""Kernels that put arcs together into rings, and rings into polygons."""

import numpy as np
import numpy.typing as npt

from geodeeplab.compiled import compiled
from geodeeplab.vector.trace.kernels_sort import argsort, first_at_least

Bytes = npt.NDArray[np.uint8]
Ints = npt.NDArray[np.int32]
Longs = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@compiled
def list_entries(heads: Longs, next_of: Longs, entries: Longs, offsets: Longs) -> int:
    """Write out the lists of arcs of components; give the number of entries, also where there is no room for them."""
    n = 0
    offsets[0] = 0
    for k in range(heads.size):
        entry = heads[k]
        while entry >= 0:
            if n < entries.size:
                entries[n] = entry
            n += 1
            entry = next_of[entry]
        offsets[k + 1] = n
    return n


@compiled
def count_lacking(heads: Longs, next_of: Longs, places: Longs, lacking: Longs) -> None:
    """Count the arcs of components (C,) that have no place yet, below 0."""
    for k in range(heads.size):
        lacking[k] = 0
        entry = heads[k]
        while entry >= 0:
            lacking[k] += places[entry >> 1] < 0
            entry = next_of[entry]


@compiled
def number_arcs(entries: Longs, local: Ints, arcs: Ints) -> int:
    """Number the arcs of a batch of polygons: entries then lead to these numbers. Give how many arcs there are.

    Arrays and numbers:
        entries: 2 · arc + side, changed to 2 · number + side.
        local: (arcs,): all -1, and left so.
        arcs: is filled with the arcs.
    """
    n = 0
    for k in range(entries.size):
        arc = entries[k] >> 1
        if local[arc] < 0:
            local[arc] = n
            arcs[n] = arc
            n += 1
        entries[k] = 2 * np.int64(local[arc]) + (entries[k] & 1)
    for k in range(n):
        local[arcs[k]] = -1
    return n


@compiled
def link_rings(
    entries: Longs, component_offsets: Longs, points: Ints, offsets: Longs, directions: Bytes, ring_offsets: Longs,
    component_rings: Longs
) -> int:  # fmt: skip
    """Order the arcs of each component into rings, with the component on the left; give the number of rings.

    Where a component meets itself in a corner, a ring turns right: so the ring that goes around the outside parts from
    the one that goes around a hole, and no ring touches itself.

    Arrays and numbers:
        entries: (E,): 2 · arc + side of each component's arcs, brought into order.
        component_offsets: (C + 1,).
        points, offsets, directions: the arcs, as lattice corners.
        ring_offsets: (E + 1,): is filled with where rings begin in `entries`.
        component_rings: (C + 1,): is filled with where components begin in the rings.
    """
    n_rings = 0
    ring_offsets[0] = 0
    component_rings[0] = 0
    for component in range(component_offsets.size - 1):
        a, b = component_offsets[component], component_offsets[component + 1]
        m = b - a
        starts, ends = np.empty(m, np.int64), np.empty(m, np.int64)
        for k in range(m):
            starts[k] = _corner(entries[a + k], points, offsets, 0)
            ends[k] = _corner(entries[a + k], points, offsets, 1)
        order = argsort(starts)
        sorted_starts = np.empty(m, np.int64)
        for k in range(m):
            sorted_starts[k] = starts[order[k]]
        for k in range(m - 1):  # two may begin in one corner
            if sorted_starts[k] == sorted_starts[k + 1]:
                p, q = order[k], order[k + 1]
                if _direction(entries[a + p], directions, 0) > _direction(entries[a + q], directions, 0):
                    order[k], order[k + 1] = q, p
        used = np.zeros(m, np.bool_)
        ordered = np.empty(m, np.int64)
        n = 0
        for k in order:  # so that the outcome, and sums over it, do not depend on how the arcs were listed
            if used[k]:
                continue
            at = k
            while True:
                used[at] = True
                ordered[n] = entries[a + at]
                n += 1
                at = _next(at, entries[a:b], ends, sorted_starts, order, directions)
                if at == k:
                    break
            n_rings += 1
            ring_offsets[n_rings] = a + n
        for k in range(m):
            entries[a + k] = ordered[k]
        component_rings[component + 1] = n_rings
    return n_rings


@compiled
def _next(at: int, entries: Longs, ends: Longs, sorted_starts: Longs, order: Longs, directions: Bytes) -> int:
    """Give the entry that follows: the one that begins where this ends; of two, the one to the right."""
    place = first_at_least(sorted_starts, ends[at])
    first = order[place]
    if place + 1 < sorted_starts.size and sorted_starts[place + 1] == ends[at]:
        right = (_direction(entries[at], directions, 1) + 1) % 4
        if _direction(entries[first], directions, 0) != right:
            return int(order[place + 1])
    return int(first)


@compiled
def _corner(entry: int, points: Ints, offsets: Longs, end: int) -> int:
    """Give the corner in which an entry begins (0) or ends (1) as one number, in raster order."""
    arc = entry >> 1
    at = offsets[arc] if (entry & 1) == end else offsets[arc + 1] - 1
    return int((np.int64(points[at, 1]) << 32) + points[at, 0])


@compiled
def _direction(entry: int, directions: Bytes, end: int) -> int:
    """Give the direction of the first (0) or last (1) edge of an entry, as it is walked."""
    arc = entry >> 1
    if entry & 1 == 0:
        return int(directions[arc, end])
    return int((directions[arc, 1 - end] + 2) % 4)


@compiled
def describe_rings(
    entries: Longs, ring_offsets: Longs, n: int, points: Ints, offsets: Longs, sizes: Longs, areas: Longs, starts: Longs
) -> None:
    """Measure rings, each (R,): points when closed, twice the signed area, first corner in raster order."""
    for ring in range(n):
        size, twice_area, least = np.int64(1), np.int64(0), np.int64(1) << 62
        for k in range(ring_offsets[ring], ring_offsets[ring + 1]):
            arc, forward = entries[k] >> 1, entries[k] & 1 == 0
            a, b = offsets[arc], offsets[arc + 1]
            size += b - a - 1
            area = np.int64(0)
            for q in range(a, b - 1):
                area += np.int64(points[q, 0]) * points[q + 1, 1] - np.int64(points[q + 1, 0]) * points[q, 1]
                least = min(least, (np.int64(points[q, 1]) << 32) + points[q, 0])
            least = min(least, (np.int64(points[b - 1, 1]) << 32) + points[b - 1, 0])
            twice_area += area if forward else -area
        sizes[ring], areas[ring], starts[ring] = size, twice_area, least


@compiled
def order_rings(component_rings: Longs, areas: Longs, starts: Longs, order: Longs) -> None:
    """Order the rings of each component: the shell, which has a negative area as rows go downwards, then the holes."""
    for component in range(component_rings.size - 1):
        a, b = component_rings[component], component_rings[component + 1]
        keys = np.empty(b - a, np.int64)
        for k in range(b - a):
            keys[k] = starts[a + k] if areas[a + k] >= 0 else -(np.int64(1) << 62)
        places = argsort(keys)
        for k in range(b - a):
            order[a + k] = a + places[k]


@compiled
def write_rings(
    order: Longs, entries: Longs, ring_offsets: Longs, starts: Longs, points: Ints, xy: Floats, offsets: Longs,
    flip: bool, out: Floats, out_offsets: Longs
) -> None:  # fmt: skip
    """Write the points of rings, each from its first corner in raster order.

    Arrays and numbers:
        order: (R,): which ring comes when.
        entries, ring_offsets, starts: the rings.
        points, xy, offsets: the arcs, as lattice corners and as coordinates.
        flip: whether rings are to run the other way round.
        out: (P, 2): is filled.
        out_offsets: (R + 1,): where rings go.
    """
    for k in range(order.size):
        ring = order[k]
        n = out_offsets[k + 1] - out_offsets[k] - 1
        turned = np.empty((n, 2), np.float64)
        first, m = 0, 0
        for e in range(ring_offsets[ring], ring_offsets[ring + 1]):
            arc, forward = entries[e] >> 1, entries[e] & 1 == 0
            a, b = offsets[arc], offsets[arc + 1]
            for q in range(b - a - 1):
                at = a + q if forward else b - 1 - q
                if (np.int64(points[at, 1]) << 32) + points[at, 0] == starts[ring]:
                    first = m
                turned[m, 0], turned[m, 1] = xy[at, 0], xy[at, 1]
                m += 1
        place = out_offsets[k]
        for q in range(n + 1):
            at = (first - q) % n if flip else (first + q) % n
            out[place + q, 0], out[place + q, 1] = turned[at, 0], turned[at, 1]


@compiled
def sum_entries(entries: Longs, component_offsets: Longs, areas: Floats, lengths: Floats, out: Floats) -> None:
    """Sum the arcs' integrals into the area and perimeter of each component, (C, 2)."""
    for component in range(component_offsets.size - 1):
        area, length = 0.0, 0.0
        for k in range(component_offsets[component], component_offsets[component + 1]):
            arc = entries[k] >> 1
            area += areas[arc] if entries[k] & 1 == 0 else -areas[arc]
            length += lengths[arc]
        out[component, 0], out[component, 1] = abs(area), length


@compiled
def release_entries(arcs: Ints, entries: Longs, references: Bytes, free: Ints) -> int:
    """Count down the polygons that still want each arc; give how many arcs no one wants, which fill `free`."""
    n = 0
    for k in range(entries.size):
        arc = arcs[entries[k] >> 1]
        references[arc] -= 1
        if references[arc] == 0:
            free[n] = arc
            n += 1
    return n
