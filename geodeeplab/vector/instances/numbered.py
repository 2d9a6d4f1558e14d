"""Label rows → rows of codes in which objects that touch differ: two passes, the first of which keeps rows as runs.

Objects are numbered in the order of their first pixels, whatever the bands. Parts of objects are numbered band by band,
in memory for a band alone, and united along the lines between bands. Only when the last row is in is it known which
parts are one object, as arms of one may touch far above where they meet; so the rows wait as runs, packed, in memory or
on disk, and are painted with their codes from there, as often as they are asked for.

Memory: what is flooded at once (`band_rows`), and 4 bytes for each object of a band.
"""

import tempfile
import zlib
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from geodeeplab.raster.outputs.checks import output_errors
from geodeeplab.vector.instances.codes import InstanceCodes
from geodeeplab.vector.instances.watershed import BoundaryRows, FloodedRows, InstanceRule, flood_rows

MEMORY_BYTES = 32 << 20
"""Bytes of packed rows that stay in memory."""
FIRST_ROOM = 1 << 16
ZLIB_LEVEL = 1


@dataclass(frozen=True, kw_only=True)
class _PackedBand:
    """Where the runs of a band lie."""

    rows: int
    """How many rows it has."""
    runs: int
    """How many runs."""
    parts: int
    """How many parts of objects."""
    place: tuple[int, int]
    """Offset and bytes in the file."""


class NumberedRows:
    """Rows of a raster in which objects are numbered; a context manager that lets go of its work file at the end."""

    def __init__(self, codes: InstanceCodes, width: int, folder: Path | None = None) -> None:
        """Take what codes are made of, the width of the raster and the folder for what does not stay in memory."""
        self.codes = codes
        """Tells the class of a code."""
        self.count = 0
        """How many objects there are."""
        self._width, self._name = width, Path(folder or tempfile.gettempdir()) / "the watershed's work file"
        self._file = tempfile.SpooledTemporaryFile(
            MEMORY_BYTES, prefix=".geodeeplab-runs-", dir=None if folder is None else str(folder)
        )
        self._bands: list[_PackedBand] = []
        self._parent, self._parts = np.empty(FIRST_ROOM, np.int32), 0
        self._above: tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.int32]] | None = None

    def __enter__(self) -> "NumberedRows":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the work file."""
        self._file.close()

    def add(self, band: FloodedRows) -> None:
        """Number the next rows.

        Raises:
            OutputError: the disk has no room for them.
        """
        from geodeeplab.vector.instances import kernels_number as kernels

        numbers = np.empty(band.kinds.shape, np.int32)
        parent, kind_of = np.empty(numbers.size, np.int32), np.empty(numbers.size, np.uint8)
        parts = kernels.number_band(band.kinds, band.ways, numbers, parent, kind_of)
        self._make_room(parts)
        base = self._parts
        self._parent[base : base + parts] = np.arange(base, base + parts, dtype=np.int32)
        if self._above is not None:
            kernels.unite_bands(*self._above, band.kinds[0], band.ways[0], numbers[0], base, self._parent)
        last = numbers[-1] + np.where(numbers[-1] >= 0, np.int32(base), np.int32(0))
        self._above = band.kinds[-1].copy(), band.ways[-1].copy(), last
        self._parts += parts
        self._keep(band.labels, numbers, kind_of[:parts])

    def finish(self) -> None:
        """Give each object its number, when all rows were added."""
        from geodeeplab.vector.instances import kernels_number as kernels

        self.count = kernels.rank_roots(self._parent, self._parts)
        self._above = None

    def read(self) -> Iterator[NDArray[np.int32]]:
        """Yield the rows from the top, (n, W): labels, and codes of objects; any number of times, one after the other.

        Raises:
            SceneError: there are more objects than codes.
        """
        from geodeeplab.vector.instances import kernels_number as kernels

        base = 0
        for band in self._bands:
            ends, heads, values, kinds = self._unpack(band)
            codes = self.codes.of(self._parent[base : base + band.parts], kinds)
            rows = np.empty((band.rows, self._width), np.int32)
            kernels.paint_runs(heads, values, ends, codes, rows)
            base += band.parts
            yield rows

    def _make_room(self, parts: int) -> None:
        needed = self._parts + parts
        if needed > len(self._parent):
            grown = np.empty(max(needed, len(self._parent) * 3 // 2), np.int32)
            grown[: self._parts] = self._parent[: self._parts]
            self._parent = grown

    def _keep(self, labels: NDArray[np.int32], numbers: NDArray[np.int32], kind_of: NDArray[np.uint8]) -> None:
        """Put a band away as runs."""
        from geodeeplab.vector.instances import kernels_number as kernels

        heads, values, ends = (np.empty(size, np.int32) for size in (labels.size, labels.size, len(labels)))
        n = kernels.pack_runs(labels, numbers, heads, values, ends)
        data = b"".join(array.tobytes() for array in (ends, heads[:n], values[:n], kind_of))
        packed = zlib.compress(data, ZLIB_LEVEL)
        with output_errors(self._name):
            offset = self._file.seek(0, 2)
            self._file.write(packed)
        self._bands.append(
            _PackedBand(rows=len(labels), runs=n, parts=len(kind_of), place=(offset, len(packed)))
        )  # fmt: skip

    def _unpack(
        self, band: _PackedBand
    ) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int32], NDArray[np.uint8]]:
        """Give ends, heads and values of the runs of a band, and the kinds of its parts."""
        with output_errors(self._name):
            self._file.seek(band.place[0])
            data = zlib.decompress(self._file.read(band.place[1]))
        whole = np.frombuffer(data, np.int32, band.rows + 2 * band.runs)
        ends, heads, values = np.split(whole, [band.rows, band.rows + band.runs])
        return ends, heads, values, np.frombuffer(data, np.uint8, band.parts, offset=whole.nbytes)


def number_rows(
    rows: Iterable[BoundaryRows],
    *,
    shape: tuple[int, int],
    rule: InstanceRule,
    folder: Path | None = None,
    threads: int = 1,
    band: int | None = None,
) -> NumberedRows:
    """Tell the objects of a raster apart.

    Law: the rows of codes, put together, depend neither on the bands that rows come in, nor on `band` and threads; two
    neighbours of one class have one code where they are of one object, and else two.

    Args:
        rows: all rows from the top, in any bands.
        shape: (H, W) of the raster.
        rule: which objects, and how.
        folder: where to put what does not stay in memory; the system's folder by default.
        threads: threads that flood.
        band: rows that are flooded at once; by default those that `band_rows` gives.

    Raises:
        OutputError: the disk has no room for the work file.
    """
    numbered = NumberedRows(InstanceCodes(class_ids=rule.class_ids), shape[1], folder)
    try:
        with ThreadPoolExecutor(threads, thread_name_prefix="flood") as pool:
            for flooded in flood_rows(rows, shape=shape, rule=rule, pool=pool, band=band):
                numbered.add(flooded)
    except BaseException:
        numbered.close()
        raise
    numbered.finish()
    return numbered
