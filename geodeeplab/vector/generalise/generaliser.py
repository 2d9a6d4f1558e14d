"""Generalise the arcs of a scene, as they are completed."""

from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geodeeplab.vector.generalise.arcs import FREE, KEEP, TWIN, Generalisation, Metric, generalise_arcs
from geodeeplab.vector.square.rule import SquareRule
from geodeeplab.vector.trace.arcs import Arcs, CornerBits, NewArcs

SUBPIXELS = 128
"""Generalised lines have their points at multiples of 1/128 px."""


@dataclass(frozen=True, kw_only=True)
class LineRule:
    """How the lines between polygons are generalised."""

    generalisation: Generalisation
    """Simplification and smoothing."""
    metric: Metric
    """What a pixel is in the unit of the tolerance."""
    keep_outline: bool = False
    """Whether lines to nodata stay as they are."""
    square: SquareRule | None = None
    """Which polygons get right angles, and how; None for none."""

    def most_px(self) -> float:
        """Give the tolerance in pixels, where they are smallest on the ground."""
        return self.generalisation.tolerance / float(np.linalg.svd(self.metric.matrices, compute_uv=False).min())


class ArcGeneraliser:
    """Generalises bands of arcs in several threads; all arcs within `reach` rows must have been announced before."""

    def __init__(
        self,
        rule: LineRule,
        bits: CornerBits,
        *,
        shape: tuple[int, int],
        pool: ThreadPoolExecutor,
        threads: int,
        subpixels: int = SUBPIXELS,
    ) -> None:
        """Take the rule, the vertices of all arcs, the shape of the scene, who does the work, and the unit of points.

        The unit is `SUBPIXELS` or a multiple of it.
        """
        self._finer = subpixels // SUBPIXELS
        self._corner = np.array([shape[1], shape[0]], np.int32)
        self._rule, self._bits, self._pool, self._threads = rule, bits, pool, threads
        self._twins = TwinFinder(rule.most_px())
        self.reach = self._twins.reach
        """Rows."""

    def announce(self, arcs: NewArcs) -> None:
        """Take note of the arcs that a band completed."""
        self._twins.add(arcs)

    def shape(self, arcs: NewArcs) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """Give the points (V, 2) of the generalised arcs, in subpixels, and where arcs begin in them (A + 1,)."""
        flags = self._twins.flags(arcs)
        flags[arcs.closed] |= FREE
        outer = (arcs.sides < 0).any(axis=1)
        flags[outer if self._rule.keep_outline else outer & self._on_frame(arcs)] |= KEEP
        shares = np.linspace(0, len(arcs.points), self._threads + 1)[:-1]
        cuts = [*np.searchsorted(arcs.offsets[:-1], shares).tolist(), len(flags)]

        def run(first: int, stop: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
            a, b = arcs.offsets[first], arcs.offsets[stop]
            part = Arcs(
                points=arcs.points[a:b],
                offsets=arcs.offsets[first : stop + 1] - a,
                left=arcs.sides[first:stop, 0],
                right=arcs.sides[first:stop, 1],
            )
            rule = self._rule
            return generalise_arcs(part, self._bits, rule.generalisation, rule.metric, flags[first:stop])

        done = list(self._pool.map(run, cuts[:-1], cuts[1:]))
        points = np.concatenate(
            [np.rint(part * SUBPIXELS).astype(np.int32) * np.int32(self._finer) for part, _ in done]
        )
        offsets = np.zeros(len(flags) + 1, np.int64)
        np.cumsum(np.concatenate([np.diff(part) for _, part in done]), out=offsets[1:])
        return points, offsets

    def _on_frame(self, arcs: NewArcs) -> NDArray[np.bool_]:
        """Tell which arcs run along the edges of the scene only, whose corners are to stay."""
        if not len(arcs.ids):
            return np.zeros(0, bool)
        on_edge = ((arcs.points == 0) | (arcs.points == self._corner)).any(axis=1)
        return np.logical_and.reduceat(on_edge, arcs.offsets[:-1])


class TwinFinder:
    """Finds arcs that join the same two junctions, and lie so close to the straight line that both could become it.

    Such a pair completes within `reach` rows of each other: so arcs wait that long before they are generalised.
    """

    def __init__(self, tolerance_px: float) -> None:
        """Take the tolerance in pixels, where they are smallest on the ground."""
        self._beyond = int(np.ceil(tolerance_px)) + 1
        self.reach = self._beyond + 2
        """Rows."""
        self._candidates: deque[tuple[int, NDArray[np.int64]]] = deque()

    def add(self, arcs: NewArcs) -> None:
        """Take the arcs that a band completed."""
        keys = self._keys(arcs)
        self._candidates.append((arcs.stop, keys[keys[:, 0] >= 0]))

    def flags(self, arcs: NewArcs) -> NDArray[np.uint8]:
        """Give TWIN or 0 for each arc of the next band, after all within reach were added."""
        from geodeeplab.vector.generalise.kernels import mark_twins

        keys = np.concatenate([part for _, part in self._candidates])
        keys = keys[np.argsort(keys[:, 0])]
        flags = np.zeros(len(arcs.ids), np.uint8)
        mark_twins(self._keys(arcs), keys, flags, TWIN)
        while self._candidates and self._candidates[0][0] + self.reach <= arcs.stop:
            self._candidates.popleft()
        return flags

    def _keys(self, arcs: NewArcs) -> NDArray[np.int64]:
        from geodeeplab.vector.generalise.kernels import fill_keys

        keys = np.empty((len(arcs.ids), 2), np.int64)
        fill_keys(arcs.points, arcs.offsets, self._beyond, keys)
        return keys
