"""From completed arcs and closed features to batches of polygons."""

from collections import deque
from collections.abc import Iterator

from geodeeplab.vector.arc_store import ArcStore
from geodeeplab.vector.assembly import Assembler
from geodeeplab.vector.batch import PolygonBatch
from geodeeplab.vector.joined import ClosedFeatures, NewArcs
from geodeeplab.vector.line_shaper import LineShaper

BATCH_ENTRIES = 100_000
"""Arcs completed between two batches, twice: enough that a batch costs little, few enough to stay small in memory."""
BATCH_FEATURES = 50_000
"""Polygons of a batch, at most."""
ALL_ROWS = 1 << 62


class Finisher:
    """Generalises arcs and keeps them, and assembles the features that have closed, in batches."""

    def __init__(self, *, assembler: Assembler, store: ArcStore, shaper: LineShaper | None) -> None:
        """Take who assembles, who keeps arcs, and who generalises them, if that is wanted."""
        self._assembler, self._store, self._shaper = assembler, store, shaper
        self._reach = 0 if shaper is None else shaper.reach
        self._arcs: deque[NewArcs] = deque()
        self._closed: deque[ClosedFeatures] = deque()
        self._entries = 0

    def take(self, arcs: NewArcs, closed: ClosedFeatures) -> Iterator[PolygonBatch]:
        """Take what a band completed; yield a batch where there is enough for one."""
        if self._shaper is not None:
            self._shaper.announce(arcs)
        self._arcs.append(arcs)
        self._closed.append(closed)
        self._entries += 2 * len(arcs.ids)
        self._keep_arcs(arcs.stop)
        if self._entries >= BATCH_ENTRIES:
            yield from self._assemble(arcs.stop)

    def finish(self) -> Iterator[PolygonBatch]:
        """Yield the rest."""
        self._keep_arcs(ALL_ROWS)
        yield from self._assemble(ALL_ROWS)

    def _keep_arcs(self, known: int) -> None:
        """Put away the arcs around which enough rows are known."""
        while self._arcs and known >= self._arcs[0].stop + self._reach:
            arcs = self._arcs.popleft()
            points, offsets = (arcs.points, arcs.offsets) if self._shaper is None else self._shaper.shape(arcs)
            self._assembler.note_places(arcs.ids, self._store.put(points, offsets, arcs.directions))

    def _assemble(self, known: int) -> Iterator[PolygonBatch]:
        """Assemble the features of which all arcs are put away."""
        ready = []
        while self._closed and known >= self._closed[0].stop + self._reach:
            ready.append(self._closed.popleft())
        self._entries = 0
        if any(len(part.class_ids) for part in ready):
            yield from self._assembler.assemble(ready, most=BATCH_FEATURES)
