"""Mutations of TIFF files that know what a tag is: https://www.itu.int/itudoc/itu-t/com16/tiff-fx/docs/tiff6.pdf."""

import struct
from dataclasses import dataclass

import numpy as np

from fuzzing.raw import mutate_bytes

SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8}
"""Bytes of a value, by the type of a tag."""
TAGS = {
    **{256: "width", 257: "height", 258: "bits", 259: "compression", 262: "photometric", 273: "strip offsets"},
    **{277: "samples", 278: "rows per strip", 279: "strip bytes", 284: "planar", 317: "predictor", 320: "palette"},
    **{322: "tile width", 323: "tile height", 324: "tile offsets", 325: "tile bytes", 338: "extra samples"},
    **{339: "sample format", 33550: "pixel scale", 33922: "tie point", 34264: "transform", 34735: "geo keys"},
    **{34737: "geo text", 42112: "GDAL metadata", 42113: "nodata", 254: "subfile", 330: "sub-IFDs", 347: "JPEG tables"},
}
VALUES = (0, 1, 2, 3, 4, 5, 6, 7, 8, 16, 32, 64, 255, 256, 5_000, 32_773, 34_712, 50_000, 65_535, 2**31 - 1, 2**32 - 1)


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A tag in a file."""

    at: int
    """Offset of its 12 bytes."""
    tag: int
    """What it says."""
    kind: int
    """Type of its values."""
    count: int
    """How many there are."""
    value_at: int
    """Offset of the first value."""


def mutate_tiff(content: bytes, rng: np.random.Generator) -> tuple[bytes, str]:
    """Mutate tags of a little-endian classic TIFF; the bytes of anything else."""
    entries, links = read_entries(content)
    if not entries:
        return mutate_bytes(content, rng)
    changed, told = bytearray(content), []
    for _ in range(int(rng.choice([1, 1, 1, 2, 3]))):
        entry = entries[int(rng.integers(len(entries)))]
        what = str(rng.choice(["value", "value", "value", "value", "count", "type", "tag", "offset", "loop"]))
        number = VALUES[int(rng.integers(len(VALUES)))]
        if what == "value":
            _set_value(changed, entry, number, rng)
        elif what == "count":
            struct.pack_into("<I", changed, entry.at + 4, number)
        elif what == "type":
            struct.pack_into("<H", changed, entry.at + 2, int(rng.integers(20)))
        elif what == "tag":
            struct.pack_into("<H", changed, entry.at, list(TAGS)[int(rng.integers(len(TAGS)))])
        elif what == "offset":
            struct.pack_into("<I", changed, entry.at + 8, number if rng.random() < 0.5 else len(content) - 1)
        else:
            struct.pack_into("<I", changed, links[-1], int(rng.choice([8, entry.at, len(content) - 2])))
        told.append(f"{what} of {TAGS.get(entry.tag, entry.tag)}" + (f" {number}" if what == "value" else ""))
    return bytes(changed), ", ".join(told)


def read_entries(content: bytes) -> tuple[list[Entry], list[int]]:
    """Read the tags of all directories, and the offsets of the links from one directory to the next."""
    if content[:4] != b"II*\x00":
        return [], []
    entries, links, seen = [], [4], set()
    (at,) = struct.unpack_from("<I", content, 4)
    while at and at not in seen and at + 2 <= len(content):
        seen.add(at)
        (count,) = struct.unpack_from("<H", content, at)
        if at + 6 + 12 * count > len(content):
            break
        for place in range(at + 2, at + 2 + 12 * count, 12):
            tag, kind, number = struct.unpack_from("<HHI", content, place)
            is_inline = number * SIZES.get(kind, 1) <= 4
            value_at = place + 8 if is_inline else struct.unpack_from("<I", content, place + 8)[0]
            entries.append(Entry(at=place, tag=tag, kind=kind, count=number, value_at=value_at))
        links.append(at + 2 + 12 * count)
        (at,) = struct.unpack_from("<I", content, links[-1])
    return entries, links


def _set_value(changed: bytearray, entry: Entry, number: int, rng: np.random.Generator) -> None:
    """Set one of a tag's values."""
    size = SIZES.get(entry.kind, 1)
    at = entry.value_at + size * int(rng.integers(max(1, min(entry.count, 64))))
    if at + size > len(changed):
        return
    if entry.kind == 12:
        strange = (0.0, -1.0, 1e-300, 1e300, float("nan"), float("inf"), 1e7, 360.0)
        struct.pack_into("<d", changed, at, strange[int(rng.integers(len(strange)))])
    else:
        changed[at : at + size] = (number % 2 ** (8 * size)).to_bytes(size, "little")
