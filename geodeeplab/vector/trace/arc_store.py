"""Keep finished arcs until the polygons on both sides are written: in few bytes, on disk where they are many."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from geodeeplab.raster.outputs.checks import output_errors

SEGMENT_BYTES = 8 << 20
MEMORY_BYTES = 96 << 20
"""Bytes that stay in memory."""


class ArcStore:
    """Arcs by the place that `put` gives; segments of many arcs, which go when none of theirs is wanted any more."""

    def __init__(self, folder: Path | None = None, *, memory_bytes: int = MEMORY_BYTES) -> None:
        """Take the folder for what does not stay in memory; the system's by default."""
        self._folder, self._memory_bytes = folder, memory_bytes
        self._segments: dict[int, NDArray[np.uint8]] = {}
        self._wanted: dict[int, int] = {}
        self._in_memory: dict[int, int] = {}
        self._files: tempfile.TemporaryDirectory[str] | None = None
        self._next, self._used = 0, 0
        self._open: NDArray[np.uint8] | None = None

    def put(
        self, points: NDArray[np.int32], offsets: NDArray[np.int64], directions: NDArray[np.uint8]
    ) -> NDArray[np.int64]:
        """Keep A arcs: points (V, 2), offsets (A + 1,), directions (A, 2); give their places (A,)."""
        from geodeeplab.vector.trace import kernels_codec as codec

        count = len(offsets) - 1
        most = count * codec.MOST_BYTES_HEAD + len(points) * codec.MOST_BYTES_POINT
        if self._open is None or len(self._open) - self._used < most:
            self._close_segment()
            self._open, self._used = np.empty(max(SEGMENT_BYTES, most), np.uint8), 0
            self._segments[self._next] = self._open
            self._wanted[self._next] = 0
        starts = np.empty(count, np.int64)
        written = codec.encode_arcs(points, offsets, directions, self._open[self._used :], starts)
        starts += self._used + (self._next << 32)
        self._used += written
        self._wanted[self._next] += count
        return starts

    def get(self, places: NDArray[np.int64]) -> tuple[NDArray[np.int32], NDArray[np.int64], NDArray[np.uint8]]:
        """Give the points, offsets and directions of arcs, as `put` took them."""
        from geodeeplab.vector.trace import kernels_codec as codec

        offsets = np.zeros(len(places) + 1, np.int64)
        for data, starts, which in self._by_segment(places):
            codec.count_points(data, starts, which, offsets)
        np.cumsum(offsets, out=offsets)
        points, directions = np.empty((offsets[-1], 2), np.int32), np.empty((len(places), 2), np.uint8)
        for data, starts, which in self._by_segment(places):
            codec.decode_arcs(data, starts, which, offsets, points, directions)
        return points, offsets, directions

    def drop(self, places: NDArray[np.int64]) -> None:
        """Let go of arcs."""
        segments, counts = np.unique(places >> 32, return_counts=True)
        for segment, count in zip(segments.tolist(), counts.tolist(), strict=True):
            self._wanted[segment] -= count
            if not self._wanted[segment] and (segment != self._next or self._open is None):
                self._forget(segment)

    def close(self) -> None:
        """Remove what is on the disk."""
        self._segments.clear()
        if self._files is not None:
            self._files.cleanup()

    def _by_segment(
        self, places: NDArray[np.int64]
    ) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.int32]]]:
        """Yield the data of each segment, where its arcs begin in it, and which of `places` they are."""
        segments = places >> 32
        for segment in np.unique(segments).tolist():
            which = np.flatnonzero(segments == segment).astype(np.int32)
            yield self._segments[segment], places[which] & 0xFFFFFFFF, which

    def _close_segment(self) -> None:
        """Begin no more arcs in the open segment; move segments to the disk where memory would hold too many."""
        if self._open is None:
            return
        segment, data = self._next, self._open[: self._used].copy()
        self._next, self._open = self._next + 1, None
        if not self._wanted[segment]:
            self._forget(segment)
            return
        self._segments[segment] = data
        self._in_memory[segment] = len(data)
        while sum(self._in_memory.values()) > self._memory_bytes:
            self._move_to_disk(next(iter(self._in_memory)))

    def _move_to_disk(self, segment: int) -> None:
        """Move a segment to a file.

        Raises:
            OutputError: if there is no room for it.
        """
        with output_errors(Path(self._folder or tempfile.gettempdir()) / "the tracer's work files"):
            if self._files is None:
                self._files = tempfile.TemporaryDirectory(prefix=".geodeeplab-arcs-", dir=self._folder)
            path = Path(self._files.name) / str(segment)
            self._segments[segment].tofile(path)
        self._segments[segment] = np.memmap(path, np.uint8, mode="r+")
        del self._in_memory[segment]

    def _forget(self, segment: int) -> None:
        del self._segments[segment], self._wanted[segment]
        if self._in_memory.pop(segment, None) is None and self._files is not None:
            (Path(self._files.name) / str(segment)).unlink(missing_ok=True)
