import errno
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geodeeplab.errors import OutputError
from geodeeplab.raster.spool.journal import append_record, read_journal, write_journal

HEADER = {"version": 1, "größe": [3, 4], "share": 0.1, "none": None}
RECORDS = [{"row": index, "files": {"a": index}} for index in range(3)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "a.journal"
    write_journal(path, HEADER)
    for record in RECORDS:
        append_record(path, record)
    return path


def test_lines_come_back(path: Path) -> None:
    journal = read_journal(path)
    assert journal is not None
    assert (journal.header, journal.records, journal.is_whole) == (HEADER, RECORDS, True)
    assert [entry.name for entry in path.parent.iterdir()] == ["a.journal"]
    assert read_journal(path.with_name("b.journal")) is None


def test_a_journal_cut_off_anywhere_has_the_lines_before(path: Path) -> None:
    content = path.read_bytes()
    ends = [index + 1 for index, byte in enumerate(content) if byte == ord("\n")]
    for length in range(ends[0], len(content)):
        path.write_bytes(content[:length])
        journal = read_journal(path)
        assert journal is not None
        whole = sum(end <= length for end in ends) - 1
        assert journal.records[:whole] == RECORDS[:whole]
        assert len(journal.records) <= whole + 1  # a line that lacks its end only stands for a block, too
        assert journal.is_whole == (length in ends)


@given(st.data())
def test_damaged_bytes_never_make_a_record(data: st.DataObject) -> None:
    from tempfile import TemporaryDirectory

    with TemporaryDirectory() as folder:
        path = Path(folder) / "a.journal"
        write_journal(path, HEADER, RECORDS)
        content = bytearray(path.read_bytes())
        first = content.index(b"\n") + 1
        at = data.draw(st.integers(first, len(content) - 1))
        content[at] = data.draw(st.integers(0, 255).filter(lambda byte: byte != content[at]))
        path.write_bytes(content)
        journal = read_journal(path)
    assert journal is not None
    assert all(record in RECORDS for record in journal.records)
    assert len(journal.records) >= 1


def test_a_damaged_header_is_refused(path: Path) -> None:
    for content in (b"", b"\0" * 100, path.read_bytes()[5:]):
        path.write_bytes(content)
        with pytest.raises(OutputError, match=r"a\.journal is damaged, so nothing is known .*: remove its folder"):
            read_journal(path)
    with pytest.raises(OutputError, match=r"cannot be read \(it is no plain file\): remove its folder"):
        read_journal(path.parent)


def test_a_line_that_failed_leaves_no_trace(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = path.read_bytes()

    def fill_up(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", fill_up)
    with pytest.raises(OutputError, match="no space left"):
        append_record(path, {"row": 9})
    assert path.read_bytes() == before
    with pytest.raises(OutputError, match="no space left"):
        write_journal(path, HEADER)
    assert path.read_bytes() == before
    assert [entry.name for entry in path.parent.iterdir()] == ["a.journal"]
