"""The edges of neighbouring polygons: which are shared, which are of one polygon alone, and which meet as they may not.

Polygons are a valid coverage if each edge is that of one polygon, or of two that lie on its two sides, if edges meet at
common ends only, and if no polygon lies within another.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geodeeplab.vector.checking.tree import PolygonTree
from geodeeplab.vector.checking.windows import Box, holds

Pairs = NDArray[np.int64]
"""(n, 2) places of two polygons, the smaller first; each pair once."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Edges:
    """Edges of polygons."""

    ends: NDArray[np.float64]
    """(n, 4) from x, y to x, y; the polygon lies on the left."""
    owner: NDArray[np.int64]
    """(n,) place of the polygon."""
    keys: NDArray[np.uint64]
    """(n,) the same for the same edge, whichever way it runs."""

    def take(self, chosen: NDArray[Any]) -> "Edges":
        """Give some of them."""
        return Edges(ends=self.ends[chosen], owner=self.owner[chosen], keys=self.keys[chosen])


def edges_of(geometries: NDArray[Any], window: Box) -> Edges:
    """Give the edges of valid polygons and multipolygons (n,) whose box meets a window."""
    import shapely

    parts, part_owner = shapely.get_parts(geometries, return_index=True)
    rings, part = shapely.get_rings(shapely.orient_polygons(parts), return_index=True)
    points, ring = shapely.get_coordinates(rings, return_index=True)
    same = (ring[1:] == ring[:-1]) & (points[1:] != points[:-1]).any(axis=1)
    ends = np.column_stack([points[:-1], points[1:]])[same]
    owner = part_owner[part[ring[:-1][same]]]
    left, bottom, right, top = window
    met = (np.maximum(ends[:, 0], ends[:, 2]) >= left) & (np.minimum(ends[:, 0], ends[:, 2]) <= right)
    met &= (np.maximum(ends[:, 1], ends[:, 3]) >= bottom) & (np.minimum(ends[:, 1], ends[:, 3]) <= top)
    ends = ends[met]
    return Edges(ends=ends, owner=owner[met], keys=edge_keys(ends, directed=False))


def edge_keys(ends: NDArray[np.float64], *, directed: bool) -> NDArray[np.uint64]:
    """Give a number (n,) for each edge (n, 4), the same for the same edge and, as good as certainly, for no other."""
    if not directed:
        swap = (ends[:, 0] > ends[:, 2]) | ((ends[:, 0] == ends[:, 2]) & (ends[:, 1] > ends[:, 3]))
        ends = np.where(swap[:, None], ends[:, [2, 3, 0, 1]], ends)
    return number_keys(ends)


def number_keys(rows: NDArray[np.float64]) -> NDArray[np.uint64]:
    """Give a number (n,) for each row (n, m) of numbers, the same for the same row and, most likely, for no other."""
    bits = np.ascontiguousarray(rows + 0.0).view(np.uint64)  # −0 is 0
    key = np.zeros(len(rows), dtype=np.uint64)
    for column in bits.T:  # the finaliser of SplitMix64 (Steele et al. 2014) after each
        key = (key ^ column) + np.uint64(0x9E3779B97F4A7C15)
        key = (key ^ (key >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        key = (key ^ (key >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        key = key ^ (key >> np.uint64(31))
    return key


def single_edges(edges: Edges, window: Box) -> tuple[Edges, Edges]:
    """Give those that are of one polygon alone: of which the middle belongs to a window, and of which it does not."""
    _, first, count = np.unique(edges.keys, return_index=True, return_counts=True)
    singles = edges.take(np.sort(first[count == 1]))
    inside = holds(window, (singles.ends[:, :2] + singles.ends[:, 2:]) / 2)
    return singles.take(inside), singles.take(~inside)


def wrongly_shared(edges: Edges) -> Pairs:
    """Give the pairs of polygons with a common edge that lie on one side of it."""
    directed = edge_keys(edges.ends, directed=True)
    order = np.argsort(directed, kind="stable")
    same = np.flatnonzero(directed[order][1:] == directed[order][:-1])
    return _pairs(edges.owner[order[same]], edges.owner[order[same + 1]])


def wrongly_met(edges: Edges) -> Pairs:
    """Give the pairs of polygons of which an edge meets another one elsewhere than at an end of both."""
    import shapely

    _, first, inverse = np.unique(edges.keys, return_index=True, return_inverse=True)
    ends = edges.ends[first]
    lines = shapely.linestrings(ends.reshape(-1, 2, 2))
    one, other = shapely.STRtree(lines).query(lines, predicate="intersects")
    one, other = one[one < other], other[one < other]
    wrong = ~_meet_at_ends(ends[one], ends[other])
    one, other = one[wrong], other[wrong]
    if not len(one):
        return np.empty((0, 2), dtype=np.int64)
    order = np.argsort(inverse, kind="stable")
    starts = np.searchsorted(inverse[order], np.arange(len(first) + 1))
    pairs = [
        (a, b)
        for i, j in zip(one.tolist(), other.tolist(), strict=True)
        for a in edges.owner[order[starts[i] : starts[i + 1]]]
        for b in edges.owner[order[starts[j] : starts[j + 1]]]
    ]
    found = np.array(pairs, dtype=np.int64)
    return _pairs(found[:, 0], found[:, 1])


def wrongly_inside(tree: PolygonTree, singles: Edges, *, step: float) -> Pairs:
    """Give the pairs of polygons of which one lies where the other is, beside a single edge or at a point inside.

    Args:
        tree: all polygons.
        singles: edges of one polygon alone.
        step: how far beside an edge it is looked.
    """
    import shapely

    along = singles.ends[:, 2:] - singles.ends[:, :2]
    right = np.column_stack([along[:, 1], -along[:, 0]]) * (step / np.hypot(*along.T))[:, None]
    beside = (singles.ends[:, :2] + singles.ends[:, 2:]) / 2 + right
    points = np.concatenate([shapely.points(beside), shapely.point_on_surface(tree.polygons)])
    owner = np.concatenate([singles.owner, np.arange(len(tree.polygons))])
    point, polygon = tree.near(points)
    foreign = owner[point] != polygon
    point, polygon = point[foreign], polygon[foreign]
    inside = shapely.contains_properly(tree.polygons[polygon], points[point])
    return _pairs(owner[point[inside]], polygon[inside])


def _meet_at_ends(one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Tell whether edges (n, 4) and others (n, 4), which meet, do so at a common end and nowhere else."""
    meets = np.zeros(len(one), dtype=np.bool_)
    for i in (0, 2):
        for j in (0, 2):
            common = (one[:, i : i + 2] == other[:, j : j + 2]).all(axis=1)
            away = one[:, 2 - i : 4 - i] - one[:, i : i + 2]
            also_away = other[:, 2 - j : 4 - j] - other[:, j : j + 2]
            cross = away[:, 0] * also_away[:, 1] - away[:, 1] * also_away[:, 0]
            lie_on_each_other = (cross == 0) & ((away * also_away).sum(axis=1) > 0)
            meets |= common & ~lie_on_each_other
    return meets


def _pairs(one: NDArray[np.int64], other: NDArray[np.int64]) -> Pairs:
    pairs = np.sort(np.column_stack([one, other]), axis=1)
    found: Pairs = np.unique(pairs[pairs[:, 0] != pairs[:, 1]], axis=0)
    return found
