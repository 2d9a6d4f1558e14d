"""Trace the classes of a label raster into polygons, from top to bottom, in bounded memory."""

import os
import tempfile
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Literal

import numpy as np
from affine import Affine

from geodeeplab.raster.outputs import output_errors
from geodeeplab.vector.arc_store import ArcStore
from geodeeplab.vector.arcs import CornerBits
from geodeeplab.vector.assembly import Assembler, ToOutput
from geodeeplab.vector.batch import PolygonBatch
from geodeeplab.vector.blocks import TracedBlock, trace_block
from geodeeplab.vector.finisher import Finisher
from geodeeplab.vector.joiner import ArcJoiner
from geodeeplab.vector.line_shaper import SUBPIXELS, LineRule, LineShaper
from geodeeplab.vector.measure import Ruler
from geodeeplab.vector.strips import LabelRows, Strip, iter_strips

BITS_IN_MEMORY = 256 << 20
"""Bytes of the corners' bits that are kept in memory alone: 46,000 × 46,000 px."""


def trace_polygons(
    rows: Iterable[LabelRows],
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
    their vertices; nothing depends on how rows come in bands, or on threads.

    Args:
        rows: the rows of the label raster from the top.
        shape: (H, W) of the raster.
        transform: from pixel corner to CRS, rotated, sheared and south-up too.
        ruler: measures the polygons, in the CRS of the output.
        connectivity: 4 or 8 neighbours.
        nodata: label that gets no polygon.
        lines: how lines are generalised; None leaves them.
        to_output: from CRS coordinates to those of the output; None where they are the same.
        with_confidence: whether `rows` have a confidence.
        folder: where to put what does not stay in memory; the system's folder by default.
        threads: blocks traced at once; by default the machine's cores.

    Yields:
        Batches; none for a raster that is all nodata.
    """
    threads = threads or min(os.cpu_count() or 1, 8)
    bits, eight = None if lines is None else _corner_bits(shape, folder), connectivity == 8
    joiner, store = ArcJoiner(shape[1] + 2, eight=eight, bits=bits), ArcStore(folder)
    assembler = Assembler(
        joiner=joiner,
        store=store,
        subpixels=1 if lines is None else SUBPIXELS,
        transform=transform,
        to_output=to_output,
        ruler=ruler,
        eight=eight,
        with_confidence=with_confidence,
    )
    with ThreadPoolExecutor(threads, thread_name_prefix="trace") as pool:
        shaper = None
        if lines is not None and bits is not None:
            shaper = LineShaper(lines, bits, shape=shape, pool=pool, threads=threads)
        finisher = Finisher(assembler=assembler, store=store, shaper=shaper)
        try:
            strips = iter_strips(rows, shape=shape, nodata=nodata)
            for block in _trace_ahead(strips, pool, threads, nodata=nodata, eight=eight, bits=bits):
                yield from finisher.take(*joiner.add_band([block]))
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


def _trace_ahead(
    strips: Iterable[Strip],
    pool: ThreadPoolExecutor,
    threads: int,
    *,
    nodata: int,
    eight: bool,
    bits: CornerBits | None,
) -> Iterator[TracedBlock]:
    """Trace strips in threads, a few ahead of the one that is yielded."""

    def trace(strip: Strip) -> TracedBlock:
        row = strip.first_row
        words = None if bits is None else bits.words[row - bits.first_row :][: len(strip.labels) + 1]
        return trace_block(
            strip.labels,
            first_row=row,
            first_col=-1,
            nodata=nodata,
            confidence=strip.confidence,
            eight=eight,
            words=words,
        )

    traced: deque[Future[TracedBlock]] = deque()
    for strip in strips:
        traced.append(pool.submit(trace, strip))
        if len(traced) > threads:
            yield traced.popleft().result()
    while traced:
        yield traced.popleft().result()
