"""Write a run's polygons while its rows are finished: the tracer follows the spool in a thread of its own."""

import threading
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path

from geodeeplab.atomic import make_fresh_folder
from geodeeplab.pipeline.executor import Tracing
from geodeeplab.pipeline.polygons import PolygonPlan
from geodeeplab.raster import NODATA_LABEL, BlockSpool, output_errors, read_part
from geodeeplab.tiling import Shard
from geodeeplab.vector import LabelRows, PackedBlock, Part, Strip, StripRow, iter_strips, strip_edges

LAYERS = ("labels", "confidence")


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
        threads: int,
    ) -> None:
        """Take what to write; nothing is begun yet.

        Args:
            plan: how polygons are made; without a minimum mapping unit, which needs all rows first.
            spool: has the labels and their confidence, or will have.
            shards: what the scene is cut into.
            folder: for what others have traced.
            path: where to write; replaced if it exists.
            metadata: the layer's metadata.
            threads: threads that trace.
        """
        self._threads = threads
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
                threads=self._threads,
            )
        except BaseException as error:
            self._error = error

    def _follow(self) -> Iterator[StripRow]:
        yield from follow_bands(self._spool, self._shards, self._traced, abandoned=self._abandoned)
        if self._abandoned.is_set():
            raise AbandonedError


class AbandonedError(Exception):
    """The run has ended, so nobody wants its polygons; nobody sees this either."""


class TracedParts:
    """Traced parts by their rectangles, a file each. They are not kept for a resumed run: what is missing is traced."""

    def __init__(self, folder: Path) -> None:
        """Take a folder of its own, which is made; whatever an earlier run left there is removed."""
        self._folder = folder
        with output_errors(folder):
            make_fresh_folder(folder)

    def put(self, packed: PackedBlock) -> None:
        """Keep a part; any thread may call it.

        Raises:
            OutputError: if it cannot be written, say on a full disk.
        """
        path = self._path(packed.part)
        with output_errors(path):
            path.write_bytes(packed.data)

    def take(self, part: Part) -> PackedBlock | None:
        """Give a part, and forget it; None if exactly this rectangle was not put here."""
        path = self._path(part)
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            return None
        path.unlink()
        return PackedBlock(part=part, data=data)

    def _path(self, part: Part) -> Path:
        (top, bottom), (left, right) = part.rows, part.cols
        return self._folder / f"{top}-{bottom}-{left}-{right}"


def follow_bands(
    spool: BlockSpool, shards: Sequence[Shard], traced: TracedParts, *, abandoned: threading.Event
) -> Iterator[StripRow]:
    """Yield the labels of a spool from the top while it is filled: what is traced as it is, the rest as it is read.

    Law: the polygons are the same to the bit, whatever has been traced.

    Args:
        spool: has the labels and their confidence, or will have.
        shards: what the scene was cut into; traced parts are strips of them.
        traced: the parts, each there before its rows are in the spool.
        abandoned: ends the iteration when it is set.
    """
    height, width = spool.shape
    cols = sorted({0, *(shard.col_start for shard in shards), width})
    rows = sorted({*strip_edges(0, height, width), *(shard.row_start for shard in shards)})
    for top, bottom in pairwise(rows):
        if spool.wait_for_row(bottom - 1, abandoned=abandoned) < bottom:
            return
        parts = [Part(rows=(top, bottom), cols=span) for span in pairwise(cols)]
        yield [traced.take(part) or partial(_read_strip, spool, part) for part in parts]  # read by who traces


def _read_strip(spool: BlockSpool, part: Part) -> Strip:
    """Read a part that nobody has traced."""
    labels, confidence = (read_part(spool, layer, rows=part.rows, cols=part.cols) for layer in LAYERS)
    rows = [LabelRows(labels=labels, confidence=confidence)]
    (strip,) = iter_strips(rows, shape=spool.shape, nodata=NODATA_LABEL, part=part)
    return strip
