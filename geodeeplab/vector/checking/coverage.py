"""Faults between neighbours: overlaps, edges that do not match, gaps.

Gaps are the faces of the lines that bound one polygon alone, where the polygons lie outside.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geodeeplab.vector.checking.edges import (
    Pairs,
    edges_of,
    single_edges,
    wrongly_inside,
    wrongly_met,
    wrongly_shared,
)
from geodeeplab.vector.checking.faces import enclosed, points_beside
from geodeeplab.vector.checking.faults import NOBODY, Faults, list_faults
from geodeeplab.vector.checking.tree import PolygonTree
from geodeeplab.vector.checking.windows import Box

SAME = 1 - 1e-9
"""Share of both areas from which an overlap makes two polygons duplicates."""
MANY_VERTICES = 1000
"""Polygons with more are cut to the box of another one before they are intersected with it."""


class CoverageCheck:
    """Looks at the polygons of one window after the other, and at the end at the gaps that reach across several.

    Windows do not show, but where overlaps lie across gaps: these may come in other pieces.
    """

    def __init__(self, *, tolerance: float, gap_width: float) -> None:
        """Begin.

        Args:
            tolerance: overlaps and gaps whose mean width is less are none, but edges that do not match.
            gap_width: holes in the coverage whose mean width is less are gaps; infinite for all of them.
        """
        self._tolerance = tolerance
        self._gap_width = gap_width
        self._known: set[tuple[int, int]] = set()
        self._loose = [np.empty(0, dtype=object)]

    def iter_faults(self, geometries: NDArray[Any], fids: NDArray[np.int64], window: Box) -> Iterator[Faults]:
        """Find the faults of a window that no window before it had.

        Args:
            geometries: all (n,) valid polygons and multipolygons that meet it.
            fids: (n,) their features' numbers.
            window: what they meet.
        """
        import shapely

        if not len(geometries):
            return
        edges = edges_of(geometries, window)
        singles, others = single_edges(edges, window)
        tree = PolygonTree(geometries)
        inside = wrongly_inside(tree, singles, step=10 * self._tolerance)
        wrong = (wrongly_shared(edges), wrongly_met(edges), inside)
        pairs = np.unique(np.concatenate(wrong), axis=0)
        is_faulty = len(pairs) > 0
        new = [tuple(pair) not in self._known for pair in np.sort(fids[pairs], axis=1).tolist()]
        pairs = pairs[np.array(new, dtype=np.bool_)]
        self._known.update(map(tuple, np.sort(fids[pairs], axis=1).tolist()))
        yield from self._between(geometries, fids, pairs)
        if self._gap_width > 0:
            lines = shapely.linestrings(singles.ends.reshape(-1, 2, 2))
            faces, loose = enclosed(lines, are_noded=not is_faulty, window=window, beyond=others.ends.reshape(-1, 2))
            self._loose.append(loose)
            yield self._gaps(faces[~tree.covers(shapely.point_on_surface(faces))])

    def last_faults(self, batches: Callable[[], Iterable[NDArray[Any]]]) -> Faults:
        """Find the gaps that reach across windows.

        Args:
            batches: gives all polygons and multipolygons once more; asked only where something may be a gap.
        """
        import shapely

        lines = np.concatenate(self._loose)
        faces, _ = enclosed(lines, are_noded=not self._known)
        if len(faces):
            beside = points_beside(faces, step=10 * self._tolerance)
            covered = np.zeros(len(faces), dtype=np.bool_)
            for polygons in batches():
                covered |= PolygonTree(polygons).covers(beside)
            faces = faces[~covered]
        if len(faces):  # what lies in them was seen in its own window
            for polygons in batches():
                face, polygon = shapely.STRtree(polygons).query(faces, predicate="intersects")
                for number in np.unique(face):
                    islands = shapely.union_all(polygons[polygon[face == number]])
                    faces[number] = shapely.difference(faces[number], islands)
        return self._gaps(_areal_parts(faces)[0])

    def _between(self, geometries: NDArray[Any], fids: NDArray[np.int64], pairs: Pairs) -> Iterator[Faults]:
        """Say of pairs of polygons whether they overlap, are the same, or have edges that do not match."""
        import shapely

        one, other = pairs[:, 0], pairs[:, 1]
        common = shapely.intersection(
            _cut_to(geometries[one], geometries[other]), _cut_to(geometries[other], geometries[one])
        )
        area = shapely.area(common)
        is_same = (area > SAME * shapely.area(geometries[one])) & (area > SAME * shapely.area(geometries[other]))
        parts, pair = _areal_parts(common)
        wide = _mean_width(parts) > self._tolerance
        parts, pair = parts[wide], pair[wide]
        for kind, chosen in (("duplicate", is_same[pair]), ("overlap", ~is_same[pair])):
            yield list_faults(
                kind,
                fids[one[pair[chosen]]],
                other=fids[other[pair[chosen]]],
                point=shapely.get_coordinates(shapely.point_on_surface(parts[chosen])),
                size=shapely.area(parts[chosen]),
                shape=parts[chosen],
            )
        narrow = np.ones(len(pairs), dtype=np.bool_)
        narrow[pair] = False
        touched = ~shapely.is_empty(common) & narrow
        points = shapely.get_coordinates(shapely.point_on_surface(common[touched]))
        yield list_faults("edge mismatch", fids[one[touched]], other=fids[other[touched]], point=points)

    def _gaps(self, faces: NDArray[Any]) -> Faults:
        """Take the faces that nobody covers and that are of the right width."""
        import shapely

        width = _mean_width(faces)
        gaps = faces[(width > self._tolerance) & (width < self._gap_width)]
        return list_faults(
            "gap",
            np.full(len(gaps), NOBODY),
            point=shapely.get_coordinates(shapely.point_on_surface(gaps)),
            size=shapely.area(gaps),
            shape=gaps,
        )


def _cut_to(polygons: NDArray[Any], others: NDArray[Any]) -> NDArray[Any]:
    """Cut large polygons (n,) to the boxes of others (n,), with which alone they are compared."""
    import shapely

    large = np.flatnonzero(shapely.get_num_coordinates(polygons) > MANY_VERTICES)
    cut = polygons.copy()
    for place in large:
        left, bottom, right, top = shapely.bounds(others[place])
        margin = max(right - left, top - bottom)
        box = shapely.box(left - margin, bottom - margin, right + margin, top + margin)
        cut[place] = shapely.intersection(polygons[place], box)
    return cut


def _areal_parts(geometries: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Give the polygons in geometries of any kind, and which of them each is of."""
    import shapely

    parts, owner = shapely.get_parts(geometries, return_index=True)
    is_area = shapely.get_type_id(parts) == shapely.GeometryType.POLYGON
    return parts[is_area], owner[is_area]


def _mean_width(polygons: NDArray[Any]) -> NDArray[np.float64]:
    """Give twice the area by the perimeter: of something long, its width."""
    import shapely

    width: NDArray[np.float64] = 2 * shapely.area(polygons) / np.maximum(shapely.length(polygons), np.finfo(float).tiny)
    return width
