"""Parts of the labels that others have traced: they wait on the disk for the tracer, who follows the spool."""

import shutil
import threading
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

from geodeeplab.raster import NODATA_LABEL, BlockSpool, output_errors, read_part
from geodeeplab.tiling import Shard
from geodeeplab.vector import LabelRows, PackedBlock, Part, Strip, StripRow, iter_strips, strip_edges

LAYERS = ("labels", "confidence")


class TracedParts:
    """Traced parts by their rectangles, a file each. They are not kept for a resumed run: what is missing is traced."""

    def __init__(self, folder: Path) -> None:
        """Take a folder of its own, which is made; whatever an earlier run left there is removed."""
        self._folder = folder
        shutil.rmtree(folder, ignore_errors=True)
        with output_errors(folder):
            folder.mkdir()

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
        yield [traced.take(part) or _read_strip(spool, part) for part in parts]


def _read_strip(spool: BlockSpool, part: Part) -> Strip:
    """Read a part that nobody has traced."""
    labels, confidence = (read_part(spool, layer, rows=part.rows, cols=part.cols) for layer in LAYERS)
    rows = [LabelRows(labels=labels, confidence=confidence)]
    (strip,) = iter_strips(rows, shape=spool.shape, nodata=NODATA_LABEL, part=part)
    return strip
