"""Trace the classes of a label raster into polygons, from top to bottom, in bounded memory."""

import os
import tempfile
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Literal

import numpy as np
from affine import Affine

from geodeeplab.raster.outputs.checks import output_errors
from geodeeplab.vector.generalise.generaliser import SUBPIXELS, ArcGeneraliser, LineRule
from geodeeplab.vector.measure.ruler import Ruler
from geodeeplab.vector.square.rule import subpixels_for
from geodeeplab.vector.square.squarer import Squarer
from geodeeplab.vector.square.table import Lines
from geodeeplab.vector.trace.arc_store import ArcStore
from geodeeplab.vector.trace.arcs import ClosedFeatures, CornerBits, NewArcs, as_one
from geodeeplab.vector.trace.assembly import Assembler, ToOutput
from geodeeplab.vector.trace.batch import PolygonBatch
from geodeeplab.vector.trace.blocks import TracedBlock, mark_vertices, trace_block
from geodeeplab.vector.trace.joiner import ArcJoiner
from geodeeplab.vector.trace.packed import PackedBlock, unpack_block
from geodeeplab.vector.trace.strips import LabelRows, Strip, iter_strips, strip_rows

BATCH_ENTRIES = 100_000
"""Arcs completed between two batches, twice: enough that a batch costs little, few enough to stay small in memory."""

BATCH_FEATURES = 50_000
"""Polygons of a batch, at most."""

ALL_ROWS = 1 << 62

BITS_IN_MEMORY = 256 << 20
"""Bytes of the corners' bits that are kept in memory alone: 46,000 × 46,000 px."""

StripRow = Sequence[Strip | PackedBlock | Callable[[], Strip]]
"""Strips side by side that are as wide as the scene together, each traced already, or not, or not even read."""


def iter_strip_rows(rows: Iterable[LabelRows], *, shape: tuple[int, int], nodata: int = 0) -> Iterator[StripRow]:
    """Yield the rows of a label raster (H, W), which come in any bands from the top, as the tracer takes them."""
    for strip in iter_strips(rows, shape=shape, nodata=nodata):
        yield [strip]


def trace_polygons(
    bands: Iterable[StripRow],
    *,
    shape: tuple[int, int],
    transform: Affine,
    ruler: Ruler,
    connectivity: Literal[4, 8] = 4,
    nodata: int = 0,
    lines: LineRule | None = None,
    to_output: ToOutput | None = None,
    with_confidence: bool = False,
    folder: Path | None = None,
    threads: int | None = None,
) -> Iterator[PolygonBatch]:
    """Trace every connected component of equal labels into one polygon with its holes.

    Vertices are pixel corners, and a vertex stands only where the outline turns, and in every junction of three
    polygons; or what `lines` makes of them. With connectivity 8, pixels that touch at a corner are one component, whose
    geometry is a MultiPolygon.

    Laws: polygons that are not generalised rasterise back to exactly the labels; all are valid, and neighbours share
    their vertices; nothing, to the bit, depends on how bands are cut and who traced their parts, or on threads.

    Args:
        bands: the label raster from the top, in the strips of `strip_edges`, or in parts of them one below the other.
        shape: (H, W) of the raster.
        transform: from pixel corner to CRS, rotated, sheared and south-up too.
        ruler: measures the polygons, in the CRS of the output.
        connectivity: 4 or 8 neighbours.
        nodata: label that gets no polygon.
        lines: how lines are generalised; None leaves them.
        to_output: from CRS coordinates to those of the output; None where they are the same. Long straight edges get
            vertices on the way (`divide_edges`), as they are curves there.
        with_confidence: whether the labels have a confidence.
        folder: where to put what does not stay in memory; the system's folder by default.
        threads: blocks traced at once; by default the machine's cores.

    Yields:
        Batches; none for a raster that is all nodata.
    """
    threads = threads or min(os.cpu_count() or 1, 8)
    bits, eight = None if lines is None else _corner_bits(shape, folder), connectivity == 8
    subpixels = 1 if lines is None else SUBPIXELS if lines.square is None else subpixels_for(shape)
    joiner, store = ArcJoiner(shape[1] + 2, eight=eight, bits=bits), ArcStore(folder)
    assembler = Assembler(
        joiner=joiner,
        store=store,
        subpixels=subpixels,
        transform=transform,
        to_output=to_output,
        ruler=ruler,
        eight=eight,
        with_confidence=with_confidence,
    )
    with ThreadPoolExecutor(threads, thread_name_prefix="trace") as pool:
        shaper = squarer = None
        if lines is not None and bits is not None:
            shaper = ArcGeneraliser(lines, bits, shape=shape, pool=pool, threads=threads, subpixels=subpixels)
            if lines.square is not None:
                line_px = lines.most_px()
                squarer = Squarer(lines.square, bits, shape=shape, subpixels=subpixels, line_px=line_px)
        finisher = BatchBuilder(assembler=assembler, joiner=joiner, store=store, shaper=shaper, squarer=squarer)
        try:
            joined: list[tuple[NewArcs, ClosedFeatures]] = []
            for blocks in trace_ahead(bands, pool, threads, nodata=nodata, eight=eight, bits=bits):
                joined.append(joiner.add_band(blocks))
                if _ends_strip(joined[-1][0].stop, shape):  # batches end there, in whatever parts a strip came
                    yield from finisher.take(*as_one(joined))
                    joined = []
            yield from finisher.finish()
        finally:
            store.close()


def _corner_bits(shape: tuple[int, int], folder: Path | None) -> CornerBits:
    """Make the bits of all corners, and of a row above and below; where they are many, the system may put them away.

    Raises:
        OutputError: the disk has no room for them.
    """
    size = (shape[0] + 3, (shape[1] >> 6) + 1)
    if size[0] * size[1] * 8 <= BITS_IN_MEMORY:
        return CornerBits(words=np.zeros(size, np.uint64), first_row=-1)
    place = Path(folder or tempfile.gettempdir()) / "the tracer's work file"
    with output_errors(place), tempfile.TemporaryFile(prefix=".geodeeplab-bits-", dir=folder) as file:
        if hasattr(os, "posix_fallocate"):  # else a disk that fills up later would end the process
            os.posix_fallocate(file.fileno(), 0, size[0] * size[1] * 8)
        return CornerBits(words=np.memmap(file, np.uint64, "w+", shape=size), first_row=-1)


def _ends_strip(row: int, shape: tuple[int, int]) -> bool:
    return row > shape[0] or row % strip_rows(shape[1]) == 0


def trace_ahead(
    bands: Iterable[StripRow],
    pool: ThreadPoolExecutor,
    threads: int,
    *,
    nodata: int,
    eight: bool,
    bits: CornerBits | None,
) -> Iterator[list[TracedBlock]]:
    """Trace strips in threads, a few bands ahead of the one that is yielded.

    A word of `bits` lies in several strips of a band where they are cut between its columns, and two threads that set
    bits of one word would lose some: there this thread sets them.
    """

    def trace(part: Strip | PackedBlock | Callable[[], Strip], marks: bool) -> TracedBlock:
        if isinstance(part, PackedBlock):
            block = unpack_block(part)
            if marks and bits is not None:
                mark_vertices(block, bits)
            return block
        strip = part if isinstance(part, Strip) else part()
        row = strip.first_row
        words = None if bits is None or not marks else bits.words[row - bits.first_row :][: len(strip.labels) + 1]
        return trace_block(
            strip.labels,
            first_row=row,
            first_col=strip.first_col,
            nodata=nodata,
            confidence=strip.confidence,
            eight=eight,
            words=words,
        )

    def take(band: list[Future[TracedBlock]]) -> list[TracedBlock]:
        blocks = [one.result() for one in band]
        if bits is not None and len(blocks) > 1:
            for block in blocks:
                mark_vertices(block, bits)
        return blocks

    traced: deque[list[Future[TracedBlock]]] = deque()
    for band in bands:
        traced.append([pool.submit(trace, strip, len(band) == 1) for strip in band])
        if len(traced) > threads:
            yield take(traced.popleft())
    while traced:
        yield take(traced.popleft())


class BatchBuilder:
    """Generalises and squares arcs and keeps them, and assembles the features that have closed, in batches."""

    def __init__(
        self,
        *,
        assembler: Assembler,
        joiner: ArcJoiner,
        store: ArcStore,
        shaper: ArcGeneraliser | None,
        squarer: Squarer | None,
    ) -> None:
        """Take who assembles, joins and keeps arcs, and who generalises and squares them, if that is wanted."""
        self._assembler, self._joiner, self._store = assembler, joiner, store
        self._shaper, self._squarer = shaper, squarer
        self._reach = 0 if shaper is None else shaper.reach
        self._arcs: deque[NewArcs] = deque()
        self._closed: deque[ClosedFeatures] = deque()
        self._entries = 0

    def take(self, arcs: NewArcs, closed: ClosedFeatures) -> Iterator[PolygonBatch]:
        """Take what a band completed; yield a batch where there is enough for one."""
        if self._shaper is not None:
            self._shaper.announce(arcs)
        if self._squarer is not None:
            self._assembler.expect(arcs.ids)
            self._squarer.close(closed, self._joiner.next_of)
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
        """Put away the arcs around which enough rows are known, and those that are squared."""
        while self._arcs and known >= self._arcs[0].stop + self._reach:
            arcs = self._arcs.popleft()
            points, offsets = (arcs.points, arcs.offsets) if self._shaper is None else self._shaper.shape(arcs)
            ids, directions = arcs.ids, arcs.directions
            if self._squarer is not None:
                self._squarer.add(arcs, points, offsets)
                others = np.flatnonzero(~self._squarer.is_square(arcs))
                lines = Lines(points=points, offsets=offsets).take(others)
                ids, points, offsets, directions = ids[others], lines.points, lines.offsets, directions[others]
            self._assembler.note_places(ids, self._store.put(points, offsets, directions))
        if self._squarer is not None:
            ids, lines, directions = self._squarer.settle(known, self._joiner.mark_open, self._arcs)
            self._assembler.note_places(ids, self._store.put(lines.points, lines.offsets, directions))

    def _assemble(self, known: int) -> Iterator[PolygonBatch]:
        """Assemble the features of which all arcs are put away."""
        ready = []
        while self._closed and known >= self._closed[0].stop + self._reach:
            ready.append(self._closed.popleft())
        if self._squarer is not None:
            parted = [self._assembler.part_ready(part) for part in ready]
            ready = [part for part, _ in parted]
            self._closed.extendleft(rest for _, rest in reversed(parted) if len(rest.class_ids))
        self._entries = 0
        if any(len(part.class_ids) for part in ready):
            yield from self._assembler.assemble(ready, most=BATCH_FEATURES)
