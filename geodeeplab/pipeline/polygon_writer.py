"""Write a run's polygons while its rows are finished: the tracer follows the spool in a thread of its own."""

import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from geodeeplab.pipeline.executor import Tracing
from geodeeplab.pipeline.polygons import PolygonPlan
from geodeeplab.pipeline.traced_parts import TracedParts, follow_bands
from geodeeplab.raster import BlockSpool
from geodeeplab.tiling import Shard
from geodeeplab.vector import StripRow


class PolygonWriter:
    """Follows a spool, whoever fills it, and in whatever order; a resumed run's rows are replayed first."""

    def __init__(
        self,
        plan: PolygonPlan,
        spool: BlockSpool,
        shards: Sequence[Shard],
        *,
        folder: Path,
        path: Path,
        metadata: Mapping[str, str],
    ) -> None:
        """Take what to write; nothing is begun yet.

        Args:
            plan: how polygons are made; without a minimum mapping unit, which needs all rows first.
            spool: has the labels and their confidence, or will have.
            shards: what the scene is cut into.
            folder: for what others have traced.
            path: where to write; replaced if it exists.
            metadata: the layer's metadata.
        """
        self._plan, self._spool, self._shards, self._path, self._metadata = plan, spool, shards, path, metadata
        self._traced = TracedParts(folder)
        self.tracing = Tracing(connectivity=plan.options.connectivity, take=self._traced.put)
        """What others may trace."""
        self._abandoned = threading.Event()
        self._count: int | None = None
        self._error: BaseException | None = None
        # Not an executor: a signal while that starts a thread would leave one that nobody can end.
        self._thread = threading.Thread(target=self._write, name="polygons", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def close(self) -> None:
        """Give up, unless all is written."""
        self._abandoned.set()
        if self._thread.ident is not None:
            self._thread.join()

    def check(self) -> None:
        """Raise what has gone wrong so far, so that a run does not go on for nothing."""
        if self._error is not None:
            raise self._error

    def result(self) -> int:
        """Wait for the last polygon; give how many there are. The spool must be complete."""
        self._thread.join()
        self.check()
        assert self._count is not None, "the thread ended with a count or with an error"
        return self._count

    def _write(self) -> None:
        try:
            self._count = self._plan.join(
                self._path,
                self._follow(),
                with_confidence=True,
                metadata=self._metadata,
                overwrite=True,
                threads=1,  # the rest is the network's
            )
        except BaseException as error:
            self._error = error

    def _follow(self) -> Iterator[StripRow]:
        yield from follow_bands(self._spool, self._shards, self._traced, abandoned=self._abandoned)
        if self._abandoned.is_set():
            raise AbandonedError


class AbandonedError(Exception):
    """The run has ended, so nobody wants its polygons; nobody sees this either."""
