"""Work folders that somebody else made, or damaged: one line, nothing lost, nothing outside touched."""

import json
import os
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from geodeeplab.errors import GeoDeepLabError, GeoDeepLabWarning, OptionError, OutputError
from geodeeplab.raster.outputs.commit import stamp_of
from geodeeplab.raster.spool.encoded import SpoolLayer, encode_block
from geodeeplab.raster.spool.reading import read_part
from geodeeplab.raster.spool.workspace import open_workspace

LAYERS = [SpoolLayer(name="labels", dtype="uint8")]
TOKEN = "0123456789abcdef"


@pytest.fixture
def output(tmp_path: Path) -> Path:
    (tmp_path / "out").mkdir()
    return tmp_path / "out" / "a.tif"


@pytest.fixture
def work(output: Path) -> Path:
    folder = output.parent / ".a.tif.geodeeplab-work"
    folder.mkdir()
    return folder


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Files of the user, outside of the folder of results."""
    folder = tmp_path / "home"
    (folder / "thesis").mkdir(parents=True)
    (folder / "thesis" / "chapter").write_text("x")
    (folder / "thesis-notes").write_text("y")
    return folder


def content(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def run(output: Path, **options: bool) -> str:
    """Run to the end, or to one line; give that line, or all warnings."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", GeoDeepLabWarning)
        try:
            with open_workspace([output], {}, shape=(4, 3), layers=LAYERS, **options) as workspace:
                for row in range(workspace.spool.block_count, 4):
                    workspace.spool.append(encode_block(row, 0, {"labels": np.ones((1, 3), np.uint8)}, count="labels"))
                read_part(workspace.spool, "labels", rows=(0, 4), cols=(0, 3))
                with workspace.publish() as temporary:
                    temporary[output].write_text("new")
        except GeoDeepLabError as error:
            told = [str(error)]
        else:
            told = [str(one.message) for one in caught]
    assert not any("\n" in one for one in told)
    return "; ".join(told)


def interrupt(output: Path, **options: bool) -> None:
    with pytest.raises(KeyboardInterrupt):  # noqa: PT012
        with open_workspace([output], {}, shape=(4, 3), layers=LAYERS, **options) as workspace:
            workspace.spool.append(encode_block(0, 0, {"labels": np.ones((1, 3), np.uint8)}, count="labels"))
            raise KeyboardInterrupt


def line(record: dict[str, Any]) -> bytes:
    text = json.dumps(record)
    return json.dumps(record | {"check": zlib.crc32(text.encode())}).encode() + b"\n"


RECORDS: dict[str, Callable[[Path], object]] = {
    "paths of others": lambda home: {
        "version": 2, "state": "done", "token": TOKEN, "new": {}, "outputs": [f"{home}/thesis"],
    },
    "old form": lambda home: {
        "state": "writing",
        "inodes": {},
        "outputs": [{"final": f"{home}/a", "temporary": f"{home}/thesis", "backup": f"{home}/thesis-notes"}],
    },
    "token with a path": lambda home: {
        "version": 2, "state": "done", "token": f"../../home/thesis{'x' * 3}", "new": {}, "outputs": ["a.tif"],
    },
    "wrong types": lambda home: {"version": 2, "state": ["done"], "token": 5, "new": 7, "outputs": {"a": 1}},
    "a list": lambda home: [1, 2],
    "a number": lambda home: 10**400,
}  # fmt: skip


@pytest.mark.parametrize("what", RECORDS)
def test_a_forged_record_does_nothing(output: Path, work: Path, home: Path, what: str) -> None:
    before = content(home)
    output.write_text("precious")
    (work / "outputs.json").write_text(json.dumps(RECORDS[what](home)) if what != "a number" else "1" * 5000)
    assert "outputs.json" in run(output)
    assert output.read_text() == "precious"
    assert "left alone" in run(output, overwrite=True)
    assert (content(home), output.read_text()) == (before, "new")


@pytest.mark.parametrize("bad", [b"", b"\xff\xfe\0", b"[" * 100_000, b'{"version": 2', b"null", b'"\\ud800"'])
@pytest.mark.parametrize("name", ["outputs.json", "blocks.journal"])
def test_a_damaged_file_is_one_line(output: Path, work: Path, name: str, bad: bytes) -> None:
    (work / name).write_bytes(bad)
    for options in ({}, {"resume": True}):
        assert "`overwrite=True`" in run(output, **options)
    assert not output.exists()
    run(output, overwrite=True)
    assert output.read_text() == "new"
    assert [path.name for path in output.parent.iterdir()] == ["a.tif"]


@pytest.mark.parametrize("state", ["writing", "committing", "done"])
def test_a_forged_record_of_this_output_cannot_take_the_users_file(output: Path, work: Path, state: str) -> None:
    """It does not know what the disk says of the file; an inode alone could be guessed."""
    output.write_text("precious")
    inode, size, _ = stamp_of(output) or (0, 0, 0)
    record = {"version": 2, "state": state, "token": TOKEN, "outputs": ["a.tif"], "new": {"0": [inode, size, 1]}}
    (work / "outputs.json").write_text(json.dumps(record))
    assert "exists" in run(output)
    assert output.read_text() == "precious"


def test_links_in_place_of_folders_are_not_followed(output: Path, work: Path, home: Path) -> None:
    before = content(home)
    record = {"version": 2, "state": "done", "token": TOKEN, "outputs": ["a.tif"], "new": {}}
    (work / "outputs.json").write_text(json.dumps(record))
    (output.parent / f".{TOKEN}.geodeeplab-new").symlink_to(home)
    for name in ("sieved", "traced", "labels.vrt", "polygons.gpkg", "labels-000000009-000000000.tif"):
        (work / name).symlink_to(home / "thesis-notes" if "." in name else home)
    run(output, overwrite=True)
    assert (content(home), output.read_text()) == (before, "new")


@pytest.mark.parametrize("name", ["outputs.json", "blocks.journal"])
@pytest.mark.parametrize("kind", ["link", "folder", "pipe"])
def test_what_is_no_file_is_one_line(output: Path, work: Path, home: Path, name: str, kind: str) -> None:
    before = content(home)
    if kind == "link":
        (work / name).symlink_to(home / "thesis-notes")
    elif kind == "folder":
        (work / name).mkdir()
        (work / name / "precious").touch()
    else:
        os.mkfifo(work / name)
    for options in ({}, {"resume": True}, {"overwrite": True}):
        run(output, **options)
    assert content(home) == before
    assert kind != "folder" or (work / name / "precious").exists()


def test_a_work_folder_that_is_a_link_or_holds_files_of_others_is_refused(output: Path, work: Path, home: Path) -> None:
    before = content(home)
    (work / "thesis.doc").touch()
    for options in ({}, {"overwrite": True}):
        assert "holds what no run writes (thesis.doc): move it away" in run(output, **options)
    assert (work / "thesis.doc").exists()
    (work / "thesis.doc").unlink()
    work.rmdir()
    work.symlink_to(home)
    assert "move it away" in run(output, overwrite=True)
    assert content(home) == before


@pytest.mark.parametrize("kind", ["link", "text"])
def test_a_lock_that_is_no_lock_is_not_emptied(output: Path, home: Path, kind: str) -> None:
    lock = output.parent / ".a.tif.geodeeplab-work.lock"
    if kind == "link":
        lock.symlink_to(home / "thesis-notes")
    else:
        lock.write_text("y")
    assert "move it away" in run(output)
    assert lock.read_text() == "y"


def test_a_forged_journal_may_not_replace_a_file(output: Path) -> None:
    interrupt(output)
    journal = output.parent / ".a.tif.geodeeplab-work" / "blocks.journal"
    head, *lines = journal.read_bytes().splitlines(keepends=True)
    header = {key: value for key, value in json.loads(head).items() if key != "check"}
    output.write_text("precious")
    for replaces in ({}, {"a.tif": [1, 2, 3]}, {"a.tif": "yes"}, {"a.tif": None}):
        header["header"] = {"made_with": {}, "replaces": replaces}
        journal.write_bytes(line(header) + b"".join(lines))
        assert "exists" in run(output, resume=True)
    assert output.read_text() == "precious"


HEADS: list[dict[str, Any]] = [
    {"shape": "large"}, {"shape": [4]}, {"shape": [4, 0]}, {"shape": [10**30, 3]}, {"shape": [4.0, 3]}, {"header": []},
    {"header": {}}, {"header": {"made_with": 1, "replaces": {}}}, {"layers": []}, {"layers": [5]}, {"version": "3"},
    {"layers": [{"name": "../x", "dtype": "uint8", "bands": 1}]}, {"layers": [{"name": 1, "dtype": [], "bands": True}]},
]  # fmt: skip


@pytest.mark.parametrize("change", HEADS)
def test_a_forged_head_of_the_journal_is_one_line(output: Path, change: dict[str, Any]) -> None:
    interrupt(output)
    journal = output.parent / ".a.tif.geodeeplab-work" / "blocks.journal"
    head, *lines = journal.read_bytes().splitlines(keepends=True)
    header = {key: value for key, value in json.loads(head).items() if key != "check"}
    journal.write_bytes(line(header | change) + b"".join(lines))
    assert "`overwrite=True` to start afresh" in run(output, resume=True)
    assert run(output, overwrite=True) == ""


LINES: list[dict[str, Any]] = [
    {"rows": [0, 10**400]}, {"rows": [-1, 1]}, {"rows": [0.5, 1]}, {"rows": None}, {"rows": [True, 1]}, {"cols": [0]},
    {"cols": [0, 4]}, {"files": 5}, {"files": [5]}, {"files": []}, {"files": [{"bytes": "1", "crc32": []}]},
    {"class_pixels": [[256, 1]]}, {"class_pixels": [[1, 4]]}, {"class_pixels": [[1, 1], [1, 2]]},
    {"class_pixels": {"1": 3}}, {"class_pixels": [[1]]}, {"class_pixels": [["a", 1]]}, {"rows": [1, 1]},
]  # fmt: skip


@pytest.mark.parametrize("change", LINES)
def test_a_forged_line_of_the_journal_counts_for_nothing(output: Path, change: dict[str, Any]) -> None:
    interrupt(output)
    journal = output.parent / ".a.tif.geodeeplab-work" / "blocks.journal"
    head, entry = journal.read_bytes().splitlines(keepends=True)
    record = {key: value for key, value in json.loads(entry).items() if key != "check"}
    journal.write_bytes(head + line(record | change))
    assert run(output, resume=True) == ""
    assert output.read_text() == "new"


def test_a_block_that_is_another_file_is_one_line(output: Path, home: Path) -> None:
    blocks = {
        "smaller": encode_block(0, 0, {"labels": np.ones((1, 1), np.uint8)}).contents["labels"],
        "more bands": encode_block(0, 0, {"labels": np.ones((2, 1, 3), np.uint8)}).contents["labels"],
        "a VRT": b'<VRTDataset rasterXSize="3" rasterYSize="1"></VRTDataset>',
        "no picture": b"II*\0 and nothing else",
    }
    for what, forged in blocks.items():
        interrupt(output)
        folder = output.parent / ".a.tif.geodeeplab-work"
        (folder / "labels-000000000-000000000.tif").write_bytes(forged)
        head, entry = (folder / "blocks.journal").read_bytes().splitlines(keepends=True)
        record = {key: value for key, value in json.loads(entry).items() if key != "check"}
        record["files"][0] |= {"bytes": len(forged), "crc32": zlib.crc32(forged)}
        (folder / "blocks.journal").write_bytes(head + line(record))
        told = run(output, resume=True)
        assert what == "a VRT" or "labels-000000000-000000000.tif" in told
        assert output.exists() == (what == "a VRT"), "that block is computed again"
        output.unlink(missing_ok=True)
        run(output, overwrite=True)
        output.unlink()


def test_outputs_do_not_lie_in_the_work_folder(output: Path, work: Path) -> None:
    with pytest.raises(OptionError, match=r"lies in .*where the run keeps its work"):
        with open_workspace([output, work / "b.tif"], {}, shape=(4, 3), layers=LAYERS):
            pass


def test_outputs_of_another_run_are_not_swapped(output: Path, work: Path) -> None:
    record = {"version": 2, "state": "committing", "token": TOKEN, "outputs": ["a.tif", "b.tif"], "new": {}}
    (work / "outputs.json").write_text(json.dumps(record))
    with pytest.raises(OutputError, match=r"is of a run with other outputs, .*: give the same outputs"):
        with open_workspace([output], {}, shape=(4, 3), layers=LAYERS, resume=True):
            pass
