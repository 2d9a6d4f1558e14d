"""Assemble finished polygons from the arcs around them."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from affine import Affine
from numpy.typing import NDArray

from geodeeplab.vector.measure.ruler import Ruler
from geodeeplab.vector.trace.arc_store import ArcStore
from geodeeplab.vector.trace.arcs import ClosedFeatures
from geodeeplab.vector.trace.batch import PolygonBatch
from geodeeplab.vector.trace.joiner import ArcJoiner

ToOutput = Callable[[NDArray[np.float64]], NDArray[np.float64]]
"""Maps points (N, 2) from the CRS of the raster to that of the output."""
LONGEST_PX = 32
"""Longer edges along rows and columns are divided on their way into another CRS, where they are curves."""


class Assembler:
    """Turns closed features into batches of polygons, and lets go of the arcs that no one wants any more."""

    def __init__(
        self,
        *,
        joiner: ArcJoiner,
        store: ArcStore,
        subpixels: int,
        transform: Affine,
        to_output: ToOutput | None,
        ruler: Ruler,
        eight: bool,
        with_confidence: bool,
    ) -> None:
        """Take where arcs are, and how their points become coordinates.

        Args:
            joiner: knows which arcs are around a component.
            store: has the arcs.
            subpixels: units of the arcs' points in a pixel.
            transform: from pixel corners to CRS coordinates.
            to_output: from these to those of the output; None where they are the same.
            ruler: measures in the CRS of the output.
            eight: whether features are multipolygons.
            with_confidence: whether features have a confidence.
        """
        self._joiner, self._store = joiner, store
        self._transform, self._to_output, self._ruler = transform @ Affine.scale(1 / subpixels), to_output, ruler
        self._subpixels = subpixels
        self._eight, self._with_confidence = eight, with_confidence
        self._flip = transform.determinant > 0  # rows that go up turn anticlockwise rings round
        self._local = np.empty(0, np.int32)
        self._places = np.empty(0, np.int64)  # where the store has each arc

    def expect(self, arcs: NDArray[np.int32]) -> None:
        """Take note of arcs that the store does not have yet."""
        self.note_places(arcs, np.full(len(arcs), -1, np.int64))

    def part_ready(self, features: ClosedFeatures) -> tuple[ClosedFeatures, ClosedFeatures]:
        """Part the features of which the store has all arcs from the others."""
        from geodeeplab.vector.trace import kernels_rings as kernels

        lacking = np.empty(len(features.heads), np.int64)
        kernels.count_lacking(features.heads, self._joiner.next_of, self._places, lacking)
        starts = features.offsets[:-1]
        ready = np.add.reduceat(lacking, starts) == 0 if len(starts) else np.empty(0, bool)
        return _chosen(features, ready), _chosen(features, ~ready)

    def note_places(self, arcs: NDArray[np.int32], places: NDArray[np.int64]) -> None:
        """Take where the store has arcs."""
        if len(self._places) < len(self._joiner.references):
            grown = np.empty(len(self._joiner.references), np.int64)
            grown[: len(self._places)] = self._places
            self._places = grown
        self._places[arcs] = places

    def assemble(self, parts: Sequence[ClosedFeatures], *, most: int) -> Iterator[PolygonBatch]:
        """Assemble features, in the order of their first pixels, in batches of at most so many."""
        features = _in_order(parts)
        for start in range(0, len(features.offsets) - 1, most):
            yield self._assemble(_slice(features, start, min(start + most, len(features.offsets) - 1)))

    def _assemble(self, features: ClosedFeatures) -> PolygonBatch:
        """Assemble one batch."""
        from geodeeplab.vector.trace import kernels_rings as kernels

        offsets = np.empty(len(features.heads) + 1, np.int64)
        entries = np.empty(0, np.int64)
        n = kernels.list_entries(features.heads, self._joiner.next_of, entries, offsets)
        entries = np.empty(n, np.int64)
        kernels.list_entries(features.heads, self._joiner.next_of, entries, offsets)
        arcs = np.empty(n, np.int32)
        if len(self._local) < len(self._joiner.references):
            self._local = np.full(len(self._joiner.references), -1, np.int32)
        arcs = arcs[: kernels.number_arcs(entries, self._local, arcs)]
        points, arc_offsets, directions = self._store.get(self._places[arcs])
        if self._to_output is not None:
            points, arc_offsets = divide_edges(points, arc_offsets, every=LONGEST_PX * self._subpixels)
        xy = self._to_xy(points)
        rings, ring_offsets, polygon_offsets = self._write_rings(entries, offsets, points, xy, arc_offsets, directions)
        sums = np.empty((len(features.heads), 2))  # in the order of the rings: to the bit, however they were traced
        kernels.sum_entries(entries, offsets, *self._ruler.measure_arcs(xy, arc_offsets), sums)
        self._release(arcs, entries)
        starts = features.offsets[:-1]
        confidence = np.add.reduceat(features.confidence[:, :2], starts, axis=0) if len(starts) else np.empty((0, 2))
        least = np.minimum.reduceat(features.confidence[:, 2], starts) if len(starts) else np.empty(0)
        with np.errstate(invalid="ignore"):
            mean = (confidence[:, 0] / confidence[:, 1]).astype(np.float32)
        sums = np.add.reduceat(sums, starts, axis=0) if len(starts) else sums
        return PolygonBatch(
            class_ids=features.class_ids[starts],
            points=rings,
            ring_offsets=ring_offsets,
            polygon_offsets=polygon_offsets,
            feature_offsets=features.offsets if self._eight else None,
            area_m2=sums[:, 0],
            perimeter_m=sums[:, 1],
            confidence_mean=mean if self._with_confidence else None,
            confidence_min=np.where(confidence[:, 1] > 0, least, np.nan).astype(np.float32)
            if self._with_confidence
            else None,
        )

    def _to_xy(self, points: NDArray[np.int32]) -> NDArray[np.float64]:
        """Give the coordinates of lattice points: equal points have equal coordinates, to the bit."""
        a, b, c, d, e, f = self._transform[:6]
        col, row = points[:, 0].astype(np.float64), points[:, 1].astype(np.float64)
        xy = np.empty((len(points), 2))
        xy[:, 0], xy[:, 1] = a * col + b * row + c, d * col + e * row + f
        return xy if self._to_output is None else self._to_output(xy)

    def _write_rings(
        self,
        entries: NDArray[np.int64],
        offsets: NDArray[np.int64],
        points: NDArray[np.int32],
        xy: NDArray[np.float64],
        arc_offsets: NDArray[np.int64],
        directions: NDArray[np.uint8],
    ) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]]:
        """Give the points of all rings, where rings begin in them, and where polygons begin in the rings."""
        from geodeeplab.vector.trace import kernels_rings as kernels

        ring_entries, component_rings = np.empty(len(entries) + 1, np.int64), np.empty(len(offsets), np.int64)
        n = kernels.link_rings(entries, offsets, points, arc_offsets, directions, ring_entries, component_rings)
        sizes, areas, starts, order = (np.empty(n, np.int64) for _ in range(4))
        kernels.describe_rings(entries, ring_entries, n, points, arc_offsets, sizes, areas, starts)
        kernels.order_rings(component_rings, areas, starts, order)
        ring_offsets = np.zeros(n + 1, np.int64)
        np.cumsum(sizes[order], out=ring_offsets[1:])
        rings = np.empty((ring_offsets[-1], 2))
        kernels.write_rings(
            order, entries, ring_entries, starts, points, xy, arc_offsets, self._flip, rings, ring_offsets
        )
        return rings, ring_offsets, component_rings

    def _release(self, arcs: NDArray[np.int32], entries: NDArray[np.int64]) -> None:
        """Count down who wants the arcs, and forget those that no one does."""
        from geodeeplab.vector.trace import kernels_rings as kernels

        free = np.empty(len(arcs), np.int32)
        free = free[: kernels.release_entries(arcs, entries, self._joiner.references, free)]
        self._store.drop(self._places[free])
        self._joiner.release(free)


def _in_order(parts: Sequence[ClosedFeatures]) -> ClosedFeatures:
    """Join lists of features into one, by first pixel; also the polygons of each."""
    sizes = np.concatenate([np.diff(part.offsets) for part in parts])
    first = np.concatenate([part.first for part in parts])
    owner = np.repeat(np.arange(len(sizes)), sizes)
    least = np.full(len(sizes), np.iinfo(np.int64).max)
    np.minimum.at(least, owner, first)
    order = np.lexsort((first, least[owner]))
    offsets = np.zeros(len(sizes) + 1, np.int64)
    np.cumsum(sizes[np.argsort(least)], out=offsets[1:])
    return ClosedFeatures(
        offsets=offsets,
        class_ids=np.concatenate([part.class_ids for part in parts])[order],
        first=first[order],
        confidence=np.concatenate([part.confidence for part in parts])[order],
        heads=np.concatenate([part.heads for part in parts])[order],
        stop=max(part.stop for part in parts),
    )


def _chosen(features: ClosedFeatures, which: NDArray[np.bool_]) -> ClosedFeatures:
    """Give some of the features (F,)."""
    sizes = np.diff(features.offsets)
    inside, offsets = np.repeat(which, sizes), np.zeros(np.count_nonzero(which) + 1, np.int64)
    np.cumsum(sizes[which], out=offsets[1:])
    return ClosedFeatures(
        offsets=offsets,
        class_ids=features.class_ids[inside],
        first=features.first[inside],
        confidence=features.confidence[inside],
        heads=features.heads[inside],
        stop=features.stop,
    )


def _slice(features: ClosedFeatures, start: int, stop: int) -> ClosedFeatures:
    """Give the features from `start` to `stop`."""
    a, b = features.offsets[start], features.offsets[stop]
    return ClosedFeatures(
        offsets=features.offsets[start : stop + 1] - a,
        class_ids=features.class_ids[a:b],
        first=features.first[a:b],
        confidence=features.confidence[a:b],
        heads=features.heads[a:b],
        stop=features.stop,
    )


def divide_edges(
    points: NDArray[np.int32], arc_offsets: NDArray[np.int64], *, every: int
) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Put vertices where edges along rows and columns pass a multiple of a length; other edges stay as they are.

    The vertices depend on the line alone, so neighbours share them, whichever way an edge is followed.

    Args:
        points: (N, 2) of all arcs.
        arc_offsets: (arcs + 1,) where each begins.
        every: the length, in units of the points.

    Returns:
        The points of the same arcs, and where they begin.
    """
    start, stop = points[:-1].astype(np.int64), points[1:].astype(np.int64)
    axis = (start[:, 0] == stop[:, 0]).astype(np.intp)  # 1 for edges along columns
    edge = np.arange(len(start))
    is_straight = start[edge, 1 - axis] == stop[edge, 1 - axis]
    is_straight[arc_offsets[1:-1] - 1] = False  # from one arc to the next
    low, high = np.minimum(start, stop)[edge, axis] // every, -(-np.maximum(start, stop)[edge, axis] // every)
    counts = np.where(is_straight, np.maximum(high - low - 1, 0), 0)
    before = np.concatenate(([0], np.cumsum(counts)))
    owner = np.repeat(edge, counts)
    number = np.arange(len(owner)) - before[owner]  # of a new vertex on its edge, from the edge's start
    is_up = stop[owner, axis[owner]] > start[owner, axis[owner]]
    divided = np.empty((len(points) + len(owner), 2), np.int32)
    divided[np.arange(len(points)) + before] = points
    new = points[owner]
    new[np.arange(len(owner)), axis[owner]] = every * np.where(is_up, low[owner] + 1 + number, high[owner] - 1 - number)
    divided[np.arange(len(owner)) + owner + 1] = new
    return divided, arc_offsets + before[np.minimum(arc_offsets, len(points) - 1)]
