"""Keep finished blocks on disk, a small file per block and layer, so that a run survives whatever stops it.

A block is written, synced and renamed, its folder synced, and only then named by a line of the journal, synced too. So
whatever the moment a run is cut off, each line of the journal stands for a block that is safe.
"""

import json
import os
import re
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from rasterio.windows import Window

from geodeeplab.atomic import PART_ENDING, sync_folder, write_file
from geodeeplab.errors import OutputError
from geodeeplab.raster.outputs.checks import output_errors
from geodeeplab.raster.spool.boxes import Box, Boxes, Frontier, Rectangle, contains, overlap_pixels
from geodeeplab.raster.spool.encoded import EncodedBlock, SpoolLayer
from geodeeplab.raster.spool.journal import SpoolEntry, append_record, entry_of
from geodeeplab.raster.spool.spool_journal import JOURNAL_NAME, read_spool_journal, write_spool_journal

VERIFIERS = 4
"""Threads that check the files of an earlier run: more than a disk needs."""
FOLLOW_S = 0.2
"""Seconds after which one who waits for rows looks whether they are still wanted."""


S = TypeVar("S", bound=Rectangle)


class BlockSpool:
    """Finished blocks of some layers over a scene: rectangles that do not overlap and in the end tile it.

    Law: what `append` has taken is there for `open` after any crash. Pixels are read by `spool_reading`.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        shape: tuple[int, int],
        layers: Sequence[SpoolLayer],
        header: Mapping[str, object] | None = None,
    ) -> None:
        """Start an empty spool.

        Args:
            folder: An existing folder of its own.
            shape: Height and width of the scene.
            layers: What each block holds.
            header: Whatever the journal is to remember, as JSON.

        Raises:
            OutputError: The folder has a spool already, or cannot be written.
        """
        self._start(Path(folder), shape, tuple(layers), json.loads(json.dumps(dict(header or {}))))
        if os.path.lexists(self._journal):
            raise OutputError(f"{self._journal} belongs to an earlier run: remove its folder, or choose another")
        self._rewrite()

    @classmethod
    def open(cls, folder: str | os.PathLike[str]) -> "BlockSpool":
        """Open the spool of an earlier run.

        A block with a file that is missing or damaged is forgotten; files that the journal does not name are removed.

        Raises:
            OutputError: There is no journal, it is damaged at its head, or is of another version.
        """
        journal = read_spool_journal(Path(folder))
        if journal is None:
            raise OutputError(f"{Path(folder) / JOURNAL_NAME} does not exist, so there is nothing to go on with")
        spool = cls.__new__(cls)
        spool._start(Path(folder), journal.shape, journal.layers, journal.header)
        with ThreadPoolExecutor(VERIFIERS) as pool:
            whole = list(pool.map(lambda entry: entry.is_whole(spool.folder, spool.layers), journal.entries))
        for entry in (entry for entry, is_whole in zip(journal.entries, whole, strict=True) if is_whole):
            with spool._lock:
                if spool._is_free(entry):
                    spool._add(entry)
        if not journal.is_whole or len(spool._entries) != len(journal.entries):
            spool._rewrite()
        spool._remove_strays()
        return spool

    def _start(
        self, folder: Path, shape: tuple[int, int], layers: tuple[SpoolLayer, ...], header: Mapping[str, Any]
    ) -> None:
        self.folder = folder
        self.shape = (int(shape[0]), int(shape[1]))
        self.layers = layers
        self.header = header
        self._journal = folder / JOURNAL_NAME
        self._entries: dict[Box, SpoolEntry] = {}
        self._boxes, self._frontier, self._pixel_count = Boxes(), Frontier(self.shape[1]), 0
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)

    @property
    def entries(self) -> tuple[SpoolEntry, ...]:
        """The blocks, from top to bottom, then from left to right."""
        return tuple(sorted(self._entries.values(), key=_place))

    @property
    def class_pixels(self) -> dict[int, int]:
        """Pixels of each label, over all blocks."""
        total: Counter[int] = Counter()
        for entry in self._entries.values():
            total.update(dict(entry.class_pixels))
        return dict(sorted(total.items()))

    @property
    def pixel_count(self) -> int:
        """Pixels of all blocks."""
        return self._pixel_count

    @property
    def block_count(self) -> int:
        """How many blocks there are."""
        return len(self._entries)

    @property
    def byte_count(self) -> int:
        """Size of all files together."""
        return sum(sum(entry.sizes) for entry in self._entries.values())

    @property
    def is_complete(self) -> bool:
        """Whether the blocks tile the scene."""
        return self.pixel_count == self.shape[0] * self.shape[1]

    def layer(self, name: str) -> SpoolLayer:
        """Give the layer of a name; ValueError without one."""
        for layer in self.layers:
            if layer.name == name:
                return layer
        raise ValueError(f"the spool has the layers {', '.join(one.name for one in self.layers)}, not {name}")

    def layer_bytes(self, name: str, window: Window | None = None) -> int:
        """Give the size of all files of a layer; within a window, the share of them that its pixels have."""
        index = self.layers.index(self.layer(name))
        if window is None:
            return sum(entry.sizes[index] for entry in self._entries.values())
        rows = (window.row_off, window.row_off + window.height)
        cols = (window.col_off, window.col_off + window.width)
        return sum(
            -(-entry.sizes[index] * overlap_pixels(entry.box, (*rows, *cols)) // entry.pixel_count)
            for entry in self.entries_touching(rows, cols)
        )

    def append(self, block: EncodedBlock) -> bool:
        """Add a block; it is safe on the disk when this returns. Any thread may call it, in any order of blocks.

        Returns:
            False if its rectangle is there already, as after a task that ran twice; then nothing is written.

        Raises:
            ValueError: The block has other layers, reaches past the scene or overlaps another block.
            OutputError: A file cannot be written, say on a full disk; the spool is as it was.
        """
        if block.layers != self.layers:
            raise ValueError(f"the spool takes blocks of the layers {self.layers}, not {block.layers}")
        entry = entry_of(block, self.layers)
        with self._lock:
            if entry.box in self._entries:
                return False
            if not self._is_free(entry):
                raise ValueError(f"the block at rows, columns {entry.box} overlaps another or the scene's edge")
            try:
                self._write(entry, block)
            except BaseException:
                self._remove_files(entry)
                raise
            self._add(entry)
        return True

    def resume_shard(self, shard: S) -> S | None:
        """Give what is still to be done of a shard: its rows from the first missing one on; None if it is complete.

        Blocks of the shard that lie further down are forgotten, as they will come again.

        Raises:
            ValueError: A block lies partly in what is to be done of the shard, as it was made for other shards.
        """
        box = (shard.row_start, shard.row_stop, shard.col_start, shard.col_stop)
        with self._lock:
            first = self._boxes.first_missing_row(box)
            left = (first, *box[1:])
            late = [self._entries[one] for one in self._boxes.touching(left)] if first < box[1] else []
            for entry in late:
                if not contains(left, entry.box):
                    raise ValueError(f"the block at rows, columns {entry.box} was made for other shards than {box}")
            if late:
                self._forget(late)
        if first >= box[1]:
            return None
        return replace(shard, row_start=first)

    def entries_touching(self, rows: tuple[int, int], cols: tuple[int, int]) -> list[SpoolEntry]:
        """Give the blocks that share pixels with rows and columns (start, stop), in the order of `entries`."""
        with self._lock:
            found = [self._entries[box] for box in self._boxes.touching((*rows, *cols))]
        return sorted(found, key=_place)

    def wait_for_row(self, row: int, *, abandoned: threading.Event) -> int:
        """Wait until a row is there, all its columns and all rows above it; give the first row that is not.

        That is no more than `row` if `abandoned` was set meanwhile.
        """
        with self._changed:
            while self._frontier.row <= row and not abandoned.is_set():
                self._changed.wait(FOLLOW_S)
            return self._frontier.row

    def _is_free(self, entry: SpoolEntry) -> bool:
        """Tell whether a block lies within the scene and on no other."""
        return contains((0, self.shape[0], 0, self.shape[1]), entry.box) and not self._boxes.touching(entry.box)

    def _write(self, entry: SpoolEntry, block: EncodedBlock) -> None:
        with output_errors(self.folder / entry.file(self.layers[0])):
            for layer in self.layers:
                write_file(self.folder / entry.file(layer), block.contents[layer.name])
            sync_folder(self.folder)
        append_record(self._journal, entry.to_record(self.layers))

    def _add(self, entry: SpoolEntry) -> None:
        self._entries[entry.box] = entry
        self._pixel_count += entry.pixel_count
        self._boxes.add(entry.box)
        self._frontier.add(entry.box)
        self._changed.notify_all()

    def _forget(self, entries: Sequence[SpoolEntry]) -> None:
        """Take blocks out of the journal, then remove their files."""
        for entry in entries:
            del self._entries[entry.box]
            self._pixel_count -= entry.pixel_count
        self._boxes, self._frontier = Boxes(), Frontier(self.shape[1])
        for box in self._entries:
            self._boxes.add(box)
            self._frontier.add(box)
        self._rewrite()
        for entry in entries:
            self._remove_files(entry)

    def _rewrite(self) -> None:
        write_spool_journal(self.folder, self.shape, self.layers, self.header, self._entries.values())

    def _remove_files(self, entry: SpoolEntry) -> None:
        for layer in self.layers:
            with suppress(OSError):
                (self.folder / entry.file(layer)).unlink(missing_ok=True)

    def _remove_strays(self) -> None:
        """Remove the files of blocks that did not get their line, and what was being written when the run ended."""
        known = {entry.file(layer) for entry in self._entries.values() for layer in self.layers}
        strays = rf"\w+-\d{{9}}-\d{{9}}\.tif|\..+{re.escape(PART_ENDING)}"
        for path in self.folder.iterdir():
            if re.fullmatch(strays, path.name) and path.name not in known:
                with suppress(OSError):  # a folder is not ours
                    path.unlink()


def _place(entry: SpoolEntry) -> tuple[int, int]:
    return entry.box[0], entry.box[2]
