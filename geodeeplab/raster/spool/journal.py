"""A journal: a header and then one record per line, each safe on the disk before the next begins.

Lines are JSON objects whose last key, `check`, is the CRC-32 of the line's JSON without it. So a line that was cut off
in writing, or damaged since, is known as such; the others stand for themselves.
"""

import json
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from geodeeplab.atomic import append_line, open_plain, read_plain, sync_folder, write_file
from geodeeplab.errors import OutputError
from geodeeplab.raster.outputs.checks import output_errors
from geodeeplab.raster.outputs.commit import is_whole_number
from geodeeplab.raster.spool.boxes import Box
from geodeeplab.raster.spool.encoded import EncodedBlock, SpoolLayer
from geodeeplab.text import parse_json


@dataclass(frozen=True, kw_only=True)
class Journal:
    """What a journal says."""

    header: dict[str, Any]
    """The first line."""
    records: list[dict[str, Any]]
    """The lines after it that are whole, in order."""
    is_whole: bool
    """Whether nothing was damaged; if not, it must be written anew before a record is added."""


def write_journal(path: Path, header: Mapping[str, object], records: Iterable[Mapping[str, object]] = ()) -> None:
    """Write a journal, in place of one that exists; whatever happens, the path holds the old one or the new one.

    Raises:
        OutputError: The file cannot be written.
    """
    with output_errors(path):
        write_file(path, "".join(map(_to_line, (header, *records))).encode())
        sync_folder(path.parent)


def append_record(path: Path, record: Mapping[str, object]) -> None:
    """Add a record to a whole journal; it is safe on the disk when this returns.

    Raises:
        OutputError: The line cannot be written; then the journal is as it was, or ends with a line that does not count.
    """
    with output_errors(path):
        append_line(path, _to_line(record).encode())


def read_journal(path: Path) -> Journal | None:
    """Read a journal; None if there is none.

    Raises:
        OutputError: The file cannot be read, or its header is damaged.
    """
    try:
        content = read_plain(path)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise OutputError(f"{path} cannot be read ({error.strerror}): remove its folder") from error
    *lines, rest = content.split(b"\n")
    header, *records = [_from_line(line) for line in (*lines, rest) if line] or [None]
    if header is None:
        raise OutputError(f"{path} is damaged, so nothing is known of the run that it belongs to: remove its folder")
    kept = [record for record in records if record is not None]
    return Journal(header=header, records=kept, is_whole=not rest and len(kept) == len(records))


def _to_line(record: Mapping[str, object]) -> str:
    text = json.dumps(record)
    return json.dumps(dict(record) | {"check": zlib.crc32(text.encode())}) + "\n"


def _from_line(line: bytes) -> dict[str, Any] | None:
    """Give the record of a line, None if it is damaged."""
    try:
        record = parse_json(line)
    except ValueError:
        return None
    if not isinstance(record, dict):
        return None
    check = record.pop("check", None)
    return record if check == zlib.crc32(json.dumps(record).encode()) else None


_READ_BYTES = 1 << 20
LARGEST_LABEL = 255


@dataclass(frozen=True, kw_only=True, slots=True)
class SpoolEntry:
    """A block in the spool; small, as there may be 100,000."""

    box: Box
    """First row, row after the last, first column, column after the last; in the scene."""
    sizes: tuple[int, ...]
    """Bytes of the file of each layer."""
    checksums: tuple[int, ...]
    """CRC-32 of each file's bytes."""
    class_pixels: tuple[tuple[int, int], ...]
    """Labels and their pixels."""

    @property
    def pixel_count(self) -> int:
        """How many pixels it has."""
        top, bottom, left, right = self.box
        return (bottom - top) * (right - left)

    def file(self, layer: SpoolLayer) -> str:
        """Name the file of a layer."""
        return f"{layer.name}-{self.box[0]:09d}-{self.box[2]:09d}.tif"

    def is_whole(self, folder: Path, layers: Sequence[SpoolLayer]) -> bool:
        """Tell whether all files of the block are as they were written."""
        for layer, size, checksum in zip(layers, self.sizes, self.checksums, strict=True):
            try:
                if _measure(folder / self.file(layer)) != (size, checksum):
                    return False
            except OSError:
                return False
        return True

    def to_record(self, layers: Sequence[SpoolLayer]) -> dict[str, Any]:
        """Give the line of the journal."""
        files = [
            {"name": self.file(layer), "bytes": size, "crc32": checksum}
            for layer, size, checksum in zip(layers, self.sizes, self.checksums, strict=True)
        ]
        return {"rows": self.box[:2], "cols": self.box[2:], "files": files, "class_pixels": self.class_pixels}


def entry_of(block: EncodedBlock, layers: Sequence[SpoolLayer]) -> SpoolEntry:
    """Describe a block before it is written."""
    height, width = block.shape
    contents = [block.contents[layer.name] for layer in layers]
    return SpoolEntry(
        box=(block.row_start, block.row_start + height, block.col_start, block.col_start + width),
        sizes=tuple(map(len, contents)),
        checksums=tuple(map(zlib.crc32, contents)),
        class_pixels=tuple(block.class_pixels.items()),
    )


def entry_from(record: Mapping[str, Any], *, layers: int) -> SpoolEntry | None:
    """Read a line of the journal of a spool with so many layers; None if it is no such line."""
    files, pairs = record.get("files"), record.get("class_pixels")
    if not isinstance(files, list) or not isinstance(pairs, list) or len(files) != layers:
        return None
    described = [_whole_numbers([file.get("bytes"), file.get("crc32")]) for file in files if isinstance(file, dict)]
    counted = [_whole_numbers(pair) for pair in pairs]
    rows, cols = _whole_numbers(record.get("rows")), _whole_numbers(record.get("cols"))
    if rows is None or cols is None or len(described) != layers or None in described or None in counted:
        return None
    entry = SpoolEntry(
        box=(*rows, *cols),
        sizes=tuple(one[0] for one in described if one),
        checksums=tuple(one[1] for one in described if one),
        class_pixels=tuple(one for one in counted if one),
    )
    classes = dict(entry.class_pixels)
    is_counted = len(classes) == len(counted) and max(classes, default=0) <= LARGEST_LABEL
    return entry if is_counted and sum(classes.values()) <= entry.pixel_count else None


def _whole_numbers(pair: object) -> tuple[int, int] | None:
    """Read a list of two integers from 0 on."""
    if isinstance(pair, list) and len(pair) == 2 and all(is_whole_number(one) for one in pair):
        return pair[0], pair[1]
    return None


def _measure(path: Path) -> tuple[int, int] | None:
    """Give size and CRC-32 of a file, None if it is no TIFF; a part at a time, as a block can be large."""
    size, checksum = 0, 0
    with open_plain(path) as file:
        while part := file.read(_READ_BYTES):
            if not size and not part.startswith((b"II", b"MM")):
                return None
            size, checksum = size + len(part), zlib.crc32(part, checksum)
    return size, checksum
