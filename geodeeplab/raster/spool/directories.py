"""Directories of tiled TIFFs: read those of a file, lay out those of a Cloud Optimized GeoTIFF.

Formats: TIFF 6.0, https://www.awaresystems.be/imaging/tiff/bigtiff.html for BigTIFF, and
https://gdal.org/en/stable/drivers/raster/cog.html for the order of a COG and what stands around its tiles.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

WIDTH, HEIGHT, COMPRESSION = 256, 257, 259
TILE_WIDTH, TILE_HEIGHT, OFFSETS, BYTE_COUNTS = 322, 323, 324, 325
SHORT, LONG, LONG8 = 3, 4, 16
_SIZES = {1: 1, 2: 1, SHORT: 2, LONG: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, LONG8: 8}
_MOST_ENTRIES = 4096
LARGEST_CLASSIC = 2**32 - 1
"""The largest file of a classic TIFF, in bytes."""
AROUND = 4
"""Bytes before each tile, which give its length, and after it, which repeat its last ones."""
_HEAD = 8
"""Bytes of a classic TIFF before anything else."""


@dataclass(frozen=True, kw_only=True)
class Tag:
    """An entry of a directory."""

    kind: int
    """TIFF's number of the type."""
    values: bytes
    """All values, little-endian."""

    @property
    def count(self) -> int:
        """How many values there are."""
        return len(self.values) // _SIZES[self.kind]

    def numbers(self) -> NDArray[np.uint64]:
        """Give unsigned integers."""
        return np.frombuffer(self.values, dtype=f"<u{_SIZES[self.kind]}").astype(np.uint64)


Directory = dict[int, Tag]
"""Entries by the tag's number."""


def read_directories(file: BinaryIO) -> list[Directory]:
    """Read all directories of a classic little-endian TIFF.

    Raises:
        ValueError: It is none.
    """
    if _read(file, 0, 4) != b"II*\0":
        raise ValueError("no little-endian TIFF")
    directories: list[Directory] = []
    (at,) = struct.unpack("<I", _read(file, 4, 4))
    while at:
        (count,) = struct.unpack("<H", _read(file, at, 2))
        if count > _MOST_ENTRIES or len(directories) > 64:
            raise ValueError("too many entries")
        entries = _read(file, at + 2, 12 * count)
        directories.append(dict(_read_entry(file, entries[12 * i : 12 * i + 12]) for i in range(count)))
        (at,) = struct.unpack("<I", _read(file, at + 2 + 12 * count, 4))
    return directories


def read_structure(file: BinaryIO) -> bytes:
    """Read what GDAL's COGs say of their own structure, between head and first directory."""
    (first,) = struct.unpack("<I", _read(file, 4, 4))
    return _read(file, _HEAD, first - _HEAD)


def _read_entry(file: BinaryIO, entry: bytes) -> tuple[int, Tag]:
    number, kind, count, at = struct.unpack("<HHII", entry)
    if kind not in _SIZES:
        raise ValueError(f"type {kind} of a tag")
    size = count * _SIZES[kind]
    return number, Tag(kind=kind, values=entry[8 : 8 + size] if size <= 4 else _read(file, at, size))


def _read(file: BinaryIO, at: int, size: int) -> bytes:
    file.seek(at)
    content = file.read(size)
    if len(content) != size:
        raise ValueError("the file is cut off")
    return content


@dataclass(frozen=True, kw_only=True)
class Level:
    """The scene in one size: all of it, or an overview."""

    shape: tuple[int, int]
    """(height, width) in pixels."""
    tags: Directory
    """All but those of shape and tiles."""
    sizes: NDArray[np.int64]
    """Bytes of each tile, row by row."""


def lay_out(levels: Sequence[Level], structure: bytes, *, largest_classic: int = LARGEST_CLASSIC) -> bytes:
    """Give all that stands before the tiles of a COG; those follow at once, of the smallest level first.

    Each has `AROUND` bytes before and after it. It is a BigTIFF where a classic TIFF cannot hold it.

    Args:
        levels: From the largest to the smallest.
        structure: What the file says of its structure, see `read_structure`.
        largest_classic: The largest classic TIFF.
    """
    data = sum(int(level.sizes.sum()) + 2 * AROUND * len(level.sizes) for level in levels)
    is_big = len(_head(levels, structure, is_big=False)) + data > largest_classic
    return _head(levels, structure, is_big=is_big)


def _head(levels: Sequence[Level], structure: bytes, *, is_big: bool) -> bytes:
    start = (16 if is_big else _HEAD) + len(structure)
    start += start % 2
    size = start + sum(len(_directory(level, 0, level.sizes, is_big=is_big, is_last=False)) for level in levels)
    offsets: list[NDArray[np.int64]] = []
    at = size
    for level in reversed(levels):
        ends = at + np.cumsum(level.sizes + 2 * AROUND)
        offsets.insert(0, ends - level.sizes - AROUND)
        at = int(ends[-1])
    head = struct.pack("<2sHHHQ", b"II", 43, 8, 0, start) if is_big else struct.pack("<2sHI", b"II", 42, start)
    content = bytearray((head + structure).ljust(start, b"\0"))
    for level, places in zip(levels, offsets, strict=True):
        content += _directory(level, len(content), places, is_big=is_big, is_last=level is levels[-1])
    return bytes(content)


def _directory(level: Level, at: int, offsets: NDArray[np.int64], *, is_big: bool, is_last: bool) -> bytes:
    """Give a directory that stands at a byte of the file, with its values behind it."""
    height, width = level.shape
    tags = level.tags | {
        WIDTH: Tag(kind=LONG, values=struct.pack("<I", width)),
        HEIGHT: Tag(kind=LONG, values=struct.pack("<I", height)),
        OFFSETS: _numbers(offsets, LONG8 if is_big else LONG),
        BYTE_COUNTS: _numbers(level.sizes, LONG),
    }
    entry, inline = (20, 8) if is_big else (12, 4)
    values_at = (8 if is_big else 2) + entry * len(tags) + (8 if is_big else 4)
    head = bytearray(struct.pack("<Q" if is_big else "<H", len(tags)))
    values = bytearray()
    for number, tag in sorted(tags.items()):
        head += struct.pack("<HHQ" if is_big else "<HHI", number, tag.kind, tag.count)
        if len(tag.values) <= inline:
            head += tag.values.ljust(inline, b"\0")
        else:
            head += struct.pack("<Q" if is_big else "<I", at + values_at + len(values))
            values += tag.values.ljust(-(-len(tag.values) // 8) * 8, b"\0")
    following = 0 if is_last else at + values_at + len(values)
    return bytes(head + struct.pack("<Q" if is_big else "<I", following) + values)


def _numbers(values: NDArray[np.int64], kind: int) -> Tag:
    return Tag(kind=kind, values=values.astype(f"<u{_SIZES[kind]}").tobytes())


def framed(tile: bytes) -> bytes:
    """Put around a tile what readers of COGs expect there."""
    return struct.pack("<I", len(tile)) + tile + tile[-AROUND:]
