"""What a spool's journal says of a block."""

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from geodeeplab.raster.blocks import EncodedBlock, Layer
from geodeeplab.raster.boxes import Box

_READ_BYTES = 1 << 20


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

    def file(self, layer: Layer) -> str:
        """Name the file of a layer."""
        return f"{layer.name}-{self.box[0]:09d}-{self.box[2]:09d}.tif"

    def is_whole(self, folder: Path, layers: Sequence[Layer]) -> bool:
        """Tell whether all files of the block are as they were written."""
        for layer, size, checksum in zip(layers, self.sizes, self.checksums, strict=True):
            try:
                if _measure(folder / self.file(layer)) != (size, checksum):
                    return False
            except OSError:
                return False
        return True

    def to_record(self, layers: Sequence[Layer]) -> dict[str, Any]:
        """Give the line of the journal."""
        files = [
            {"name": self.file(layer), "bytes": size, "crc32": checksum}
            for layer, size, checksum in zip(layers, self.sizes, self.checksums, strict=True)
        ]
        return {"rows": self.box[:2], "cols": self.box[2:], "files": files, "class_pixels": self.class_pixels}


def entry_of(block: EncodedBlock, layers: Sequence[Layer]) -> SpoolEntry:
    """Describe a block before it is written."""
    height, width = block.shape
    contents = [block.contents[layer.name] for layer in layers]
    return SpoolEntry(
        box=(block.row_start, block.row_start + height, block.col_start, block.col_start + width),
        sizes=tuple(map(len, contents)),
        checksums=tuple(map(zlib.crc32, contents)),
        class_pixels=tuple(block.class_pixels.items()),
    )


def entry_from(record: Mapping[str, Any]) -> SpoolEntry:
    """Read a line of the journal."""
    return SpoolEntry(
        box=(*record["rows"], *record["cols"]),
        sizes=tuple(file["bytes"] for file in record["files"]),
        checksums=tuple(file["crc32"] for file in record["files"]),
        class_pixels=tuple((label, pixels) for label, pixels in record["class_pixels"]),
    )


def _measure(path: Path) -> tuple[int, int]:
    """Give size and CRC-32 of a file; a part at a time, as a block of probabilities can be large."""
    size, checksum = 0, 0
    with open(path, "rb") as file:
        while part := file.read(_READ_BYTES):
            size, checksum = size + len(part), zlib.crc32(part, checksum)
    return size, checksum
