"""What a spool's journal says comes back, but for blocks that are none of the scene's."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from geodeeplab.errors import OutputError
from geodeeplab.raster.spool.encoded import SpoolLayer, encode_block
from geodeeplab.raster.spool.journal import entry_of, write_journal
from geodeeplab.raster.spool.spool_journal import JOURNAL_NAME, read_spool_journal, write_spool_journal

LABELS = (SpoolLayer(name="labels", dtype="uint8"),)
ENTRIES = tuple(
    entry_of(encode_block(row, 0, {"labels": np.full((1, 3), row + 1, np.uint8)}, count="labels"), LABELS)
    for row in range(3)
)


def test_what_is_written_comes_back(tmp_path: Path) -> None:
    assert read_spool_journal(tmp_path) is None
    write_spool_journal(tmp_path, (4, 3), LABELS, {"made_with": [1]}, ENTRIES)
    journal = read_spool_journal(tmp_path)
    assert journal is not None
    assert (journal.shape, journal.layers, journal.header) == ((4, 3), LABELS, {"made_with": [1]})
    assert (journal.entries, journal.is_whole, journal.share) == (ENTRIES, True, 0.75)


def test_blocks_past_the_scene_are_left_out(tmp_path: Path) -> None:
    write_spool_journal(tmp_path, (2, 3), LABELS, {}, ENTRIES)
    journal = read_spool_journal(tmp_path)
    assert journal is not None
    assert (journal.entries, journal.is_whole, journal.share) == (ENTRIES[:2], False, 1.0)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"version": 2}, "is of another version"),
        ({"shape": [4]}, "is damaged"),
        ({"shape": [0, 3]}, "is damaged"),
        ({"layers": []}, "is damaged"),
        ({"layers": [{"name": "labels", "dtype": "text", "bands": 1}]}, "is damaged"),
        ({"header": None}, "is damaged"),
    ],
)
def test_heads_that_say_something_else_are_refused(tmp_path: Path, change: dict[str, object], match: str) -> None:
    head = {"version": 4, "shape": [4, 3], "layers": [dataclasses.asdict(LABELS[0])], "header": {}}
    write_journal(tmp_path / JOURNAL_NAME, head)
    assert read_spool_journal(tmp_path) is not None
    write_journal(tmp_path / JOURNAL_NAME, head | change)
    with pytest.raises(OutputError, match=match):
        read_spool_journal(tmp_path)
