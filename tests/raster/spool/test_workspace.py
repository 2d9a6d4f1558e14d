import errno
import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock

from geodeeplab import atomic
from geodeeplab.atomic import ALL_WRITTEN
from geodeeplab.errors import OptionError, OutputError
from geodeeplab.raster.outputs import checks as outputs_module
from geodeeplab.raster.outputs import commit as commit_module
from geodeeplab.raster.spool import workspace as workspace_module
from geodeeplab.raster.spool.encoded import EncodedBlock, SpoolLayer, encode_block
from geodeeplab.raster.spool.workspace import Workspace, finished_before, open_workspace

LABELS = [SpoolLayer(name="labels", dtype="uint8")]
HEADER = {"overlap": 128, "model": {"name": "a", "checksum": "ab"}, "bands": (1, 2)}
Open = Callable[..., AbstractContextManager[Workspace]]


class Killed(BaseException):
    """The process ends here: what a test raises where a real one is killed."""


def block(row: int) -> EncodedBlock:
    return encode_block(row, 0, {"labels": np.full((1, 3), row + 1, np.uint8)}, count="labels")


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def paths(tmp_path: Path) -> list[Path]:
    return [tmp_path / "a.gpkg", tmp_path / "a.tif"]


@pytest.fixture
def start(paths: list[Path]) -> Open:
    def start(
        *, header: dict[str, object] | None = None, resume: bool = False, overwrite: bool = False
    ) -> AbstractContextManager[Workspace]:
        return open_workspace(paths, header or HEADER, shape=(4, 3), layers=LABELS, resume=resume, overwrite=overwrite)

    return start


def interrupt(start: Open, *, rows: int, **options: bool) -> Workspace:
    with pytest.raises(KeyboardInterrupt), start(**options) as workspace:  # noqa: PT012
        for row in range(rows):
            workspace.spool.append(block(row))
        raise KeyboardInterrupt
    return workspace


def finish(workspace: Workspace, content: str = "new") -> None:
    for row in range(4):
        workspace.spool.append(block(row))
    with workspace.publish() as temporary:
        for path in temporary.values():
            path.write_text(content)


class TestLife:
    def test_nothing_is_left_of_a_run_that_ends_well(self, start: Open, tmp_path: Path) -> None:
        with start() as workspace:
            assert (workspace.note, workspace.resumed_share) == (None, 0)
            assert workspace.folder == tmp_path / ".a.gpkg.geodeeplab-work"
            finish(workspace)
        assert workspace.kept_note is None
        assert names_in(tmp_path) == ["a.gpkg", "a.tif"]

    def test_work_that_was_done_is_kept(self, start: Open, tmp_path: Path) -> None:
        with pytest.raises(KeyboardInterrupt) as caught, start() as workspace:  # noqa: PT012
            for row in range(3):
                workspace.spool.append(block(row))
            raise KeyboardInterrupt
        note = f"75 % of the scene is kept in {workspace.folder}: pass `resume=True` to go on"
        assert (workspace.kept_note, caught.value.__notes__) == (note, [note])
        assert names_in(tmp_path) == [".a.gpkg.geodeeplab-work"]
        with start(resume=True) as again:
            assert (again.note, again.resumed_share, again.spool.block_count) == (None, 0.75, 3)
            finish(again)
        assert names_in(tmp_path) == ["a.gpkg", "a.tif"]

    @pytest.mark.parametrize("when", ["while the record is removed", "afterwards"])
    def test_an_interruption_after_all_is_written_is_told_as_such(
        self, start: Open, paths: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str
    ) -> None:
        def press(*_: object, **__: object) -> None:
            monkeypatch.undo()
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt) as caught, start() as workspace:  # noqa: PT012
            workspace.spool.append(block(0))
            with workspace.publish() as temporary:
                for path in temporary.values():
                    path.write_bytes(b"new")
                if when == "while the record is removed":
                    monkeypatch.setattr(commit_module, "remove_folders", press)
            raise KeyboardInterrupt
        assert caught.value.__notes__ == [f"{paths[0]}, {paths[1]}: {ALL_WRITTEN}"]
        assert [path.read_bytes() for path in paths] == [b"new", b"new"]
        assert names_in(tmp_path) == ["a.gpkg", "a.tif"]

    def test_nothing_is_kept_of_no_work(self, start: Open, tmp_path: Path) -> None:
        assert interrupt(start, rows=0).kept_note is None
        assert names_in(tmp_path) == []

    def test_nothing_is_kept_of_discarded_work(self, start: Open, tmp_path: Path) -> None:
        with pytest.raises(RuntimeError, match="no valid pixel"), start() as workspace:  # noqa: PT012
            workspace.spool.append(block(0))
            workspace.discard()
            raise RuntimeError("no valid pixel")
        assert workspace.kept_note is None
        assert names_in(tmp_path) == []

    def test_publishing_may_fail_and_be_tried_again(self, start: Open, tmp_path: Path) -> None:
        with pytest.raises(RuntimeError, match="bug"), start() as workspace:  # noqa: PT012
            finish_all = workspace.publish()
            workspace.spool.append(block(0))
            with finish_all as temporary:
                next(iter(temporary.values())).write_text("half")
                raise RuntimeError("bug")
        assert names_in(tmp_path) == [".a.gpkg.geodeeplab-work"]
        assert "outputs.json" not in names_in(workspace.folder)


class TestInterruptedRun:
    def test_needs_a_decision(self, start: Open) -> None:
        folder = interrupt(start, rows=3).folder
        with pytest.raises(
            OutputError, match=r"left 75 % in .*geodeeplab-work: pass `resume=True` to go on .* `overwrite=True`"
        ):
            with start():
                pass
        assert folder.exists()
        with start(overwrite=True) as workspace:
            assert (workspace.spool.block_count, workspace.note) == (0, None)
        with (
            pytest.raises(OptionError, match="one of `resume=True` and `overwrite=True`"),
            start(resume=True, overwrite=True),
        ):
            pass

    def test_nothing_to_resume_starts_afresh_and_says_so(self, start: Open, paths: list[Path]) -> None:
        with start(resume=True) as workspace:
            assert workspace.note == f"nothing to resume for {paths[0]}: starting afresh"
            assert workspace.spool.block_count == 0

    def test_whose_files_are_all_damaged_starts_afresh_and_says_so(self, start: Open) -> None:
        for path in interrupt(start, rows=2).folder.glob("*.tif"):
            path.write_text("broken")
        with start(resume=True) as workspace:
            assert workspace.note is not None
            assert workspace.note.endswith("is whole: starting afresh")
            assert (workspace.spool.block_count, workspace.resumed_share) == (0, 0)

    @pytest.mark.parametrize(
        ("change", "told"),
        [
            ({"overlap": 64}, "overlap 128, now 64:"),
            ({"model": {"name": "b", "checksum": "cd"}}, 'model.checksum "ab", now "cd"; model.name "a", now "b":'),
            ({"tta": "d4"}, 'tta unset, now "d4":'),
            ({"bands": [2, 1]}, r"bands \[1, 2\], now \[2, 1\]:"),
            ({name: 1 for name in "abcdef"}, "d unset, now 1; 2 more differ: give the same, or pass `overwrite=True`"),
        ],
    )
    def test_made_with_other_options_is_refused(self, start: Open, change: dict[str, object], told: str) -> None:
        interrupt(start, rows=1)
        with pytest.raises(OutputError, match=f"^cannot resume: .* was made with .*{told}") as caught:
            with start(header={**HEADER, **change}, resume=True):
                pass
        assert "\n" not in str(caught.value)
        with start(resume=True) as workspace:
            assert workspace.spool.block_count == 1

    def test_of_another_scene_is_refused(self, start: Open, paths: list[Path]) -> None:
        interrupt(start, rows=1)
        other = [*LABELS, SpoolLayer(name="confidence", dtype="uint8")]
        for shape, layers, told in (((5, 3), LABELS, r"shape \[4, 3\], now \[5, 3\]"), ((4, 3), other, "layers")):
            with pytest.raises(OutputError, match=told):
                with open_workspace(paths, HEADER, shape=shape, layers=layers, resume=True):
                    pass

    def test_that_nobody_can_read_is_given_up_on_request_only(self, start: Open) -> None:
        journal = interrupt(start, rows=1).folder / "blocks.journal"
        journal.write_text("\n")
        for resume in (False, True):
            with pytest.raises(OutputError, match=r"is damaged, .*, or pass `overwrite=True` to start afresh"):
                with start(resume=resume):
                    pass
        with start(overwrite=True):
            pass

    def test_of_another_version_is_given_up_on_request_only(self, start: Open, monkeypatch: pytest.MonkeyPatch) -> None:
        interrupt(start, rows=1)
        monkeypatch.setattr("geodeeplab.raster.spool.spool_journal.JOURNAL_VERSION", 99)
        with pytest.raises(OutputError, match=r"is of another version of GeoDeepLab, .*`overwrite=True`"):
            with start(resume=True):
                pass

    def test_may_overwrite_what_it_was_allowed_to(self, start: Open, paths: list[Path]) -> None:
        paths[1].write_text("old")
        interrupt(start, rows=1, overwrite=True)
        assert paths[1].read_text() == "old"
        with start(resume=True) as workspace:
            finish(workspace)
        assert paths[1].read_text() == "new"

    def test_may_not_overwrite_what_has_come_since(self, start: Open, paths: list[Path]) -> None:
        interrupt(start, rows=1)
        paths[1].write_text("precious")
        with pytest.raises(OutputError, match=r"a\.tif exists"), start(resume=True):
            pass
        assert paths[1].read_text() == "precious"


class TestPlaces:
    def test_are_checked(self, start: Open, paths: list[Path]) -> None:
        paths[1].write_text("precious")
        with pytest.raises(OutputError, match=r"a\.tif exists: pass `overwrite=True`"), start():
            pass
        assert names_in(paths[0].parent) == ["a.tif"]
        nowhere = [paths[0].parent / "nowhere" / "a.tif"]
        with (
            pytest.raises(OutputError, match="does not exist"),
            open_workspace(nowhere, {}, shape=(1, 1), layers=LABELS),
        ):
            pass
        with pytest.raises(OptionError, match="same path"):
            with open_workspace([paths[0], paths[0]], {}, shape=(1, 1), layers=LABELS):
                pass


def test_where_no_locks_are_the_user_is_told(start: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    def acquire(self: FileLock) -> None:
        raise NotImplementedError("flock")

    monkeypatch.setattr(FileLock, "acquire", acquire)
    with start(resume=True) as workspace:
        assert workspace.note is not None
        assert "starting afresh; the file system of" in workspace.note


def test_a_full_disk_at_the_start_leaves_nothing(start: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fill_up(path: Path, content: bytes) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("geodeeplab.raster.spool.journal.write_file", fill_up)
    with pytest.raises(OutputError, match="no space left"), start():
        pass
    assert names_in(tmp_path) == []


@pytest.mark.parametrize("state", ["writing", "committing", "done"])
def test_a_full_disk_in_publishing_gives_all_or_none(
    start: Open, paths: list[Path], monkeypatch: pytest.MonkeyPatch, state: str
) -> None:
    write = atomic.write_file

    def fill_up(path: Path, content: bytes) -> None:
        if path.name == "outputs.json" and f'"{state}"'.encode() in content:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write(path, content)

    paths[0].write_text("old")
    monkeypatch.setattr(commit_module, "write_file", fill_up)
    if state == "done":  # they are there, and nothing else has to be written
        with start(overwrite=True) as workspace:
            finish(workspace)
        assert names_in(paths[0].parent) == ["a.gpkg", "a.tif"]
    else:
        with pytest.raises(OutputError, match="no space left"), start(overwrite=True) as workspace:
            finish(workspace)
        assert names_in(paths[0].parent) == [".a.gpkg.geodeeplab-work", "a.gpkg"]
        assert "outputs.json" not in names_in(workspace.folder)
    assert paths[0].read_text() == ("new" if state == "done" else "old")


class TestKilledWhilePublishing:
    """Whatever renames were done: the next run finds the old outputs, or all the new ones."""

    @pytest.fixture
    def die(self, monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
        """Let the process die before its n-th rename from now on: no handler of it changes anything any more."""

        def die(step: int) -> None:
            steps, rename = iter(range(1000)), os.replace

            def replace(source: Path, target: Path) -> None:
                if next(steps) >= step:
                    raise Killed
                rename(source, target)

            monkeypatch.setattr(os, "replace", replace)
            for module in (commit_module, outputs_module):
                monkeypatch.setattr(module, "remove_folders", lambda replacements, keep_old=False: None)
            monkeypatch.setattr(workspace_module, "_end_failed", lambda workspace, error: None)
            monkeypatch.setattr(commit_module, "remove_record", lambda path: None)
            monkeypatch.setattr(outputs_module, "remove_record", lambda path, state: None)

        return die

    @pytest.mark.parametrize("step", range(11))
    @pytest.mark.parametrize("action", ["resume", "overwrite", None])
    def test_the_next_run_finds_all_or_none(
        self,
        start: Open,
        paths: list[Path],
        die: Callable[[int], None],
        monkeypatch: pytest.MonkeyPatch,
        step: int,
        action: str | None,
    ) -> None:
        folder = paths[0].parent
        paths[1].write_text("old")
        Path(f"{paths[1]}.aux.xml").write_text("old")
        with pytest.raises(Killed), start(overwrite=True) as workspace:  # noqa: PT012
            for row in range(4):
                workspace.spool.append(block(row))
            die(step)
            with workspace.publish() as temporary:
                for path in temporary.values():
                    path.write_text("new")
                (path.with_name(f"{path.name}.ovr.tmp")).touch()
            raise Killed
        monkeypatch.undo()
        ended = step > 6  # two records, two files away, two into place, the record that they are
        if action is None:
            if ended:
                with pytest.raises(OutputError, match=r"a\.gpkg exists"), start():
                    pass
            else:
                with pytest.raises(OutputError, match="left 100 %"), start():
                    pass
        elif action == "resume" and ended:
            assert finished_before(paths)
            assert [path.read_text() for path in paths] == ["new", "new"]
            assert names_in(folder) == ["a.gpkg", "a.tif"]
            return
        else:
            again = start(resume=action == "resume", overwrite=action == "overwrite")
            with again as workspace:
                assert workspace.resumed_share == (1 if action == "resume" else 0)
                assert paths[1].read_text() == ("new" if ended else "old")
                finish(workspace, "newer")
            assert [path.read_text() for path in paths] == ["newer", "newer"]
            assert names_in(folder) == ["a.gpkg", "a.tif"]
            return
        visible = [name for name in names_in(folder) if not name.startswith(".")]
        hidden = [name for name in names_in(folder) if name.startswith(".")]
        assert visible == (["a.gpkg", "a.tif"] if ended else ["a.tif", "a.tif.aux.xml"])
        assert {path.read_text() for path in folder.glob("a.*")} == {"new" if ended else "old"}
        assert hidden == ([] if ended else [".a.gpkg.geodeeplab-work"])

    def test_a_file_that_came_since_is_not_touched(
        self, start: Open, paths: list[Path], die: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with pytest.raises(Killed), start() as workspace:  # noqa: PT012
            workspace.spool.append(block(0))
            die(3)
            with workspace.publish() as temporary:
                for path in temporary.values():
                    path.write_text("new")
        monkeypatch.undo()
        assert names_in(paths[0].parent)[-1] == "a.gpkg"
        paths[1].write_text("precious")
        with pytest.raises(OutputError, match=r"a\.tif exists"), start(resume=True):
            pass
        assert not paths[0].exists()
        assert paths[1].read_text() == "precious"
