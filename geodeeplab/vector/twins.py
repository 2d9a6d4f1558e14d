"""Find arcs that could become the same straight line."""

from collections import deque

import numpy as np
from numpy.typing import NDArray

from geodeeplab.vector.generalise import TWIN
from geodeeplab.vector.joined import NewArcs


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
        from geodeeplab.vector.kernels_twins import mark_twins

        keys = np.concatenate([part for _, part in self._candidates])
        keys = keys[np.argsort(keys[:, 0])]
        flags = np.zeros(len(arcs.ids), np.uint8)
        mark_twins(self._keys(arcs), keys, flags, TWIN)
        while self._candidates and self._candidates[0][0] + self.reach <= arcs.stop:
            self._candidates.popleft()
        return flags

    def _keys(self, arcs: NewArcs) -> NDArray[np.int64]:
        from geodeeplab.vector.kernels_twins import fill_keys

        keys = np.empty((len(arcs.ids), 2), np.int64)
        fill_keys(arcs.points, arcs.offsets, self._beyond, keys)
        return keys
