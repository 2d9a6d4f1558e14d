"""Write a run's polygons while its rows are finished: the tracer follows the spool in a thread of its own."""

import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType

from geodeeplab.pipeline.polygons import PolygonPlan
from geodeeplab.raster import BlockSpool
from geodeeplab.vector import LabelRows

LAYERS = ("labels", "confidence")


class PolygonWriter:
    """Follows a spool, whoever fills it, and in whatever order; a resumed run's rows are replayed first.

    As a context manager it gives up at the end of the block unless `result` was called.
    """

    def __init__(self, plan: PolygonPlan, spool: BlockSpool, path: Path, metadata: Mapping[str, str]) -> None:
        """Begin.

        Args:
            plan: how polygons are made; without a minimum mapping unit, which needs all rows first.
            spool: has the labels and their confidence, or will have.
            path: where to write; replaced if it exists.
            metadata: the layer's metadata.
        """
        self._abandoned = threading.Event()
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="polygons")
        self._count: Future[int] = self._pool.submit(
            plan.write,
            path,
            self._follow(spool),
            with_confidence=True,
            metadata=metadata,
            overwrite=True,
            threads=1,  # the rest is the network's
        )

    def __enter__(self) -> "PolygonWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._abandoned.set()
        self._pool.shutdown()

    def check(self) -> None:
        """Raise what has gone wrong so far, so that a run does not go on for nothing."""
        if self._count.done():
            self._count.result()

    def result(self) -> int:
        """Wait for the last polygon; give how many there are. The spool must be complete."""
        return self._count.result()

    def _follow(self, spool: BlockSpool) -> Iterator[LabelRows]:
        for labels, confidence in spool.follow_rows(LAYERS, abandoned=self._abandoned):
            yield LabelRows(labels=labels, confidence=confidence)
        if self._abandoned.is_set():
            raise AbandonedError


class AbandonedError(Exception):
    """The run has ended, so nobody wants its polygons; nobody sees this either."""
