"""The place of a run's work: one run has it at a time, and only what runs write is removed from it."""

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from geodeeplab.errors import OptionError, OutputError
from geodeeplab.raster.spool.encoded import SpoolLayer
from geodeeplab.raster.spool.work_folder import (
    check_outside,
    lock_folder,
    recover_folder,
    remove_folder,
    wait_for_workspace,
    workspace_folder,
)
from geodeeplab.raster.spool.workspace import open_workspace

LABELS = [SpoolLayer(name="labels", dtype="uint8")]
OTHER = """
import sys, time
from pathlib import Path
from geodeeplab.raster.spool.encoded import SpoolLayer
from geodeeplab.raster.spool.workspace import open_workspace

layers = [SpoolLayer(name="labels", dtype="uint8")]
with open_workspace([Path(sys.argv[1])], {}, shape=(4, 3), layers=layers):
    print("in", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "a.gpkg"


@pytest.fixture
def other_run(output: Path) -> Iterator["subprocess.Popen[bytes]"]:
    with subprocess.Popen([sys.executable, "-c", OTHER, output], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"in\n"
        yield process
        process.kill()


def test_one_run_at_a_time(other_run: "subprocess.Popen[bytes]", output: Path, tmp_path: Path) -> None:
    for options in ({}, {"resume": True}, {"overwrite": True}):
        with pytest.raises(OutputError, match=r"^another run is writing .*a\.gpkg: wait for it, or choose another"):
            with open_workspace([output], {}, shape=(4, 3), layers=LABELS, **options):
                pass
    with open_workspace([tmp_path / "a.tif"], {}, shape=(4, 3), layers=LABELS):  # another output is free
        pass
    other_run.send_signal(signal.SIGKILL)
    other_run.wait()
    with open_workspace([output], {}, shape=(4, 3), layers=LABELS) as workspace:
        assert workspace.spool.block_count == 0  # the lock went with the process, and it had done no work
    assert list(tmp_path.iterdir()) == []


def test_a_lock_is_gone_when_it_is_given_back(output: Path, tmp_path: Path) -> None:
    folder = workspace_folder(output)
    with lock_folder(folder, output) as note:
        assert note is None
        assert [path.name for path in tmp_path.iterdir()] == [f"{folder.name}.lock"]
        with pytest.raises(OutputError, match="another run is writing"), lock_folder(folder, output):
            pass
    assert list(tmp_path.iterdir()) == []


def test_of_long_names(tmp_path: Path) -> None:
    output = tmp_path / ("é" * 120 + ".tif")
    with open_workspace([output], {}, shape=(4, 3), layers=LABELS) as workspace:
        assert workspace.folder == workspace_folder(output)
        with workspace.publish() as temporary:
            temporary[output].write_text("new")
    assert [path.name for path in tmp_path.iterdir()] == [output.name]


def test_what_no_run_writes_stays(output: Path, tmp_path: Path) -> None:
    folder = workspace_folder(output)
    for name in ("blocks.journal", "labels-000000000-000000000.tif", "polygons.gpkg", "traced/1", "letter.txt"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("x")
    with pytest.raises(OutputError, match=r"holds what no run writes \(letter\.txt\): move it away"):
        recover_folder(folder, [output], give_up=True)
    remove_folder(folder)
    assert [path.name for path in folder.iterdir()] == ["letter.txt"]
    (folder / "letter.txt").unlink()
    assert not recover_folder(folder, [output], give_up=False)
    remove_folder(folder)
    assert list(tmp_path.iterdir()) == []


def test_links_are_not_followed(output: Path, tmp_path: Path) -> None:
    folder, other = workspace_folder(output), tmp_path / "other"
    other.mkdir()
    (other / "blocks.journal").write_text("x")
    folder.symlink_to(other)
    remove_folder(folder)
    with pytest.raises(OutputError, match="is no folder but a link or a file"):
        recover_folder(folder, [output], give_up=True)
    folder.unlink()
    folder.mkdir()
    (folder / "traced").symlink_to(other)
    remove_folder(folder)
    assert not folder.exists()
    assert (other / "blocks.journal").read_text() == "x"


def test_no_output_lies_inside(output: Path) -> None:
    folder = workspace_folder(output)
    check_outside(folder, [output])
    with pytest.raises(OptionError, match="where the run keeps its work: choose another path"):
        check_outside(folder, [output, folder / "b.tif"])


def test_it_is_waited_for_as_long_as_another_run_has_it_and_no_longer_than_asked_for(
    output: Path, tmp_path: Path
) -> None:
    wait_for_workspace(output, seconds=60)  # nobody has it
    ended: list[float] = []

    def wait() -> None:
        wait_for_workspace(output, seconds=60)
        ended.append(time.monotonic())

    waiting = threading.Thread(target=wait)
    with lock_folder(workspace_folder(output), output):
        wait_for_workspace(output, seconds=0.05)  # in vain, and says nothing
        waiting.start()
        released = time.monotonic()
    waiting.join()
    assert ended[0] >= released
    assert list(tmp_path.iterdir()) == []
