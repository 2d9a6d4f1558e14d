"""The journal of a spool: the scene and the layers in its header, a line for each block; all checked as it is read."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeGuard

from geodeeplab.errors import OptionError, OutputError
from geodeeplab.raster.outputs.commit import is_whole_number
from geodeeplab.raster.spool.boxes import contains
from geodeeplab.raster.spool.encoded import SpoolLayer
from geodeeplab.raster.spool.journal import SpoolEntry, entry_from, read_journal, write_journal

JOURNAL_NAME = "blocks.journal"
JOURNAL_VERSION = 4


@dataclass(frozen=True, kw_only=True)
class SpoolJournal:
    """The journal of a spool, checked."""

    shape: tuple[int, int]
    """Height and width of the scene."""
    layers: tuple[SpoolLayer, ...]
    """What each block holds."""
    header: dict[str, Any]
    """What the spool was told to remember."""
    entries: tuple[SpoolEntry, ...]
    """Blocks that lie in the scene, whether or not their files are whole."""
    is_whole: bool
    """Whether each line named such a block."""

    @property
    def share(self) -> float:
        """Share of the scene's pixels that it names."""
        return min(sum(entry.pixel_count for entry in self.entries) / math.prod(self.shape), 1.0)


def read_spool_journal(folder: Path) -> SpoolJournal | None:
    """Read the journal of a spool; None if there is none.

    Raises:
        OutputError: It is damaged at its head, or is of another version.
    """
    path = folder / JOURNAL_NAME
    journal = read_journal(path)
    if journal is None:
        return None
    head = journal.header
    if head.get("version") != JOURNAL_VERSION:
        raise OutputError(f"{path} is of another version of GeoDeepLab, or of another program: remove its folder")
    shape, header, layers = head.get("shape"), head.get("header"), _to_layers(head.get("layers"))
    if not _is_shape(shape) or layers is None or not isinstance(header, dict):
        raise OutputError(f"{path} is damaged, so nothing is known of the run that it belongs to: remove its folder")
    scene = (0, shape[0], 0, shape[1])
    found = [entry_from(record, layers=len(layers)) for record in journal.records]
    entries = tuple(entry for entry in found if entry is not None and contains(scene, entry.box))
    return SpoolJournal(
        shape=(shape[0], shape[1]),
        layers=layers,
        header=header,
        entries=entries,
        is_whole=journal.is_whole and len(entries) == len(journal.records),
    )


def write_spool_journal(
    folder: Path,
    shape: tuple[int, int],
    layers: Sequence[SpoolLayer],
    header: Mapping[str, Any],
    entries: Iterable[SpoolEntry] = (),
) -> None:
    """Write the journal of a spool, in place of one that exists.

    Raises:
        OutputError: The file cannot be written.
    """
    head = {
        "version": JOURNAL_VERSION,
        "shape": list(shape),
        "layers": [asdict(layer) for layer in layers],
        "header": header,
    }
    write_journal(folder / JOURNAL_NAME, head, (entry.to_record(layers) for entry in entries))


def _is_shape(value: object) -> TypeGuard[list[int]]:
    return isinstance(value, list) and len(value) == 2 and all(is_whole_number(one) and one for one in value)


def _to_layers(values: object) -> tuple[SpoolLayer, ...] | None:
    """Read layers from JSON; None if they are none."""
    if not isinstance(values, list) or not values:
        return None
    layers = []
    for value in values:
        if not isinstance(value, dict):
            return None
        name, dtype, bands = value.get("name"), value.get("dtype"), value.get("bands")
        if not (isinstance(name, str) and isinstance(dtype, str) and is_whole_number(bands)):
            return None
        try:
            layers.append(SpoolLayer(name=name, dtype=dtype, bands=bands))
        except OptionError:
            return None
    return tuple(layers)
