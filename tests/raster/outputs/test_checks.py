import errno
import os
from pathlib import Path

import pytest
from rasterio.errors import RasterioIOError

from geodeeplab.errors import OptionError, OutputError
from geodeeplab.raster.outputs.checks import (
    atomic_outputs,
    check_distinct,
    check_output,
    check_outputs,
    output_errors,
)

TIF = (".tif", ".tiff")


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


class TestCheckOutput:
    def test_gives_the_path(self, tmp_path: Path) -> None:
        assert check_output(str(tmp_path / "a.TIF"), suffixes=TIF) == tmp_path / "a.TIF"

    def test_refuses_an_unknown_suffix_and_lists_the_known(self, tmp_path: Path) -> None:
        with pytest.raises(OptionError, match=r"suffix '\.shp'.*use \.tif or \.tiff"):
            check_output(tmp_path / "a.shp", suffixes=TIF)

    def test_refuses_a_missing_folder_and_names_it(self, tmp_path: Path) -> None:
        with pytest.raises(OutputError, match=r"folder .*nowhere does not exist: create it"):
            check_output(tmp_path / "nowhere" / "a.tif", suffixes=TIF)

    def test_refuses_a_folder(self, tmp_path: Path) -> None:
        (tmp_path / "a.tif").mkdir()
        with pytest.raises(OutputError, match="is a folder"):
            check_output(tmp_path / "a.tif", suffixes=TIF, overwrite=True)

    def test_refuses_an_existing_file_unless_overwriting(self, tmp_path: Path) -> None:
        (tmp_path / "a.tif").touch()
        with pytest.raises(OutputError, match=r"exists: pass `overwrite=True`"):
            check_output(tmp_path / "a.tif", suffixes=TIF)
        assert check_output(tmp_path / "a.tif", suffixes=TIF, overwrite=True) == tmp_path / "a.tif"

    def test_refuses_an_input_also_through_a_link_and_when_overwriting(self, tmp_path: Path) -> None:
        scene = tmp_path / "scene.tif"
        scene.touch()
        (tmp_path / "link.tif").symlink_to(scene)
        for output in (scene, tmp_path / "link.tif", tmp_path / "." / "scene.tif"):
            with pytest.raises(OptionError, match="is also an input"):
                check_output(output, suffixes=TIF, overwrite=True, inputs=["https://example.com/a.tif", scene])

    @pytest.mark.skipif(os.name == "nt" or not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write")
    def test_refuses_a_folder_without_permission(self, tmp_path: Path) -> None:
        tmp_path.chmod(0o500)
        with pytest.raises(OutputError, match="not writable"):
            check_output(tmp_path / "a.tif", suffixes=TIF)

    def test_refuses_two_outputs_of_one_path(self, tmp_path: Path) -> None:
        check_distinct([tmp_path / "a.tif", tmp_path / "b.tif"])
        with pytest.raises(OptionError, match=r"two outputs have the same path .*a\.tif"):
            check_distinct([tmp_path / "a.tif", tmp_path / "b" / ".." / "a.tif"])


class TestAtomicOutputs:
    def test_outputs_appear_together_with_what_stands_beside_them(self, tmp_path: Path) -> None:
        tif, gpkg = tmp_path / "a.tif", tmp_path / "a.gpkg"
        with atomic_outputs([tif, gpkg]) as temporary:
            assert [path.suffix for path in temporary.values()] == [".tif", ".gpkg"]
            assert {path.parent.parent.parent for path in temporary.values()} == {tmp_path}
            temporary[tif].write_text("tif")
            Path(f"{temporary[tif]}.aux.xml").write_text("names")
            temporary[gpkg].write_text("gpkg")
            assert not tif.exists()
            assert not gpkg.exists()
        assert names_in(tmp_path) == ["a.gpkg", "a.tif", "a.tif.aux.xml"]
        assert tif.read_text() == "tif"

    def test_outputs_whose_long_names_begin_alike_stay_apart(self, tmp_path: Path) -> None:
        paths = [tmp_path / f"{'long' * 50}-{end}.tif" for end in "ab"]
        with atomic_outputs(paths) as temporary:
            for path in paths:
                temporary[path].write_text(path.name)
        assert [path.read_text() for path in paths] == [path.name for path in paths]

    @pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, OSError])
    def test_nothing_is_left_when_the_work_fails(self, tmp_path: Path, error: type[BaseException]) -> None:
        old = tmp_path / "a.tif"
        old.write_text("old")
        with pytest.raises(error), atomic_outputs([old, tmp_path / "b.tif"], overwrite=True) as temporary:  # noqa: PT012
            for path in temporary.values():
                path.write_text("new")
                Path(f"{path}.ovr.tmp").touch()
                path.with_suffix(".tmp").touch()
            raise error
        assert names_in(tmp_path) == ["a.tif"]
        assert old.read_text() == "old"

    def test_overwriting_takes_the_old_companions_away(self, tmp_path: Path) -> None:
        path = tmp_path / "a.tif"
        for end in ("", ".aux.xml", ".ovr", ".msk"):
            Path(f"{path}{end}").write_text("old")
        with atomic_outputs([path], overwrite=True) as temporary:
            temporary[path].write_text("new")
        assert names_in(tmp_path) == ["a.tif"]
        assert path.read_text() == "new"

    def test_refuses_an_existing_file_before_and_after_the_work(self, tmp_path: Path) -> None:
        path = tmp_path / "a.tif"
        with pytest.raises(OutputError, match="exists"), atomic_outputs([path]) as temporary:  # noqa: PT012
            temporary[path].write_text("ours")
            path.write_text("somebody else's")
        assert names_in(tmp_path) == ["a.tif"]
        with pytest.raises(OutputError, match="exists"), atomic_outputs([path]):
            raise AssertionError("no work is done")
        assert path.read_text() == "somebody else's"

    @pytest.mark.parametrize("failing", range(5))
    @pytest.mark.parametrize("error", [PermissionError(errno.EACCES, "file is open elsewhere"), KeyboardInterrupt()])
    def test_a_rename_that_fails_is_undone(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: int, error: BaseException
    ) -> None:
        paths = [tmp_path / "a.tif", tmp_path / "b.gpkg"]
        for path in paths:
            path.write_text("old")
        Path(f"{paths[0]}.aux.xml").write_text("old")
        calls = 0
        replace = os.replace

        def fail_once(source: Path, target: Path) -> None:
            nonlocal calls
            calls += 1
            if calls == failing + 1:
                raise error
            replace(source, target)

        expected = OutputError if isinstance(error, OSError) else KeyboardInterrupt
        with pytest.raises(expected), atomic_outputs(paths, overwrite=True) as temporary:  # noqa: PT012
            for path in paths:
                temporary[path].write_text("new")
            monkeypatch.setattr(os, "replace", fail_once)
        assert calls > failing
        assert names_in(tmp_path) == ["a.tif", "a.tif.aux.xml", "b.gpkg"]
        assert {path.read_text() for path in tmp_path.iterdir()} == {"old"}

    def test_nests(self, tmp_path: Path) -> None:
        path = tmp_path / "a.tif"
        with atomic_outputs([path]) as outer, atomic_outputs([outer[path]]) as inner:
            inner[outer[path]].write_text("new")
            Path(f"{inner[outer[path]]}.aux.xml").write_text("names")
        assert names_in(tmp_path) == ["a.tif", "a.tif.aux.xml"]


class TestOutputErrors:
    @pytest.mark.parametrize(
        "error",
        [
            OSError(errno.ENOSPC, "No space left on device"),
            RasterioIOError("write: No space left on device"),
            RasterioIOError("failed to execute insert : database or disk is full"),
        ],
    )
    def test_a_full_disk_is_one_clear_line(self, error: Exception) -> None:
        with pytest.raises(OutputError, match=r"^cannot write a\.tif: no space left on the disk: free some") as caught:
            with output_errors("a.tif"):
                raise error
        assert "\n" not in str(caught.value)

    def test_other_errors_keep_their_reason_on_one_line(self) -> None:
        with pytest.raises(OutputError, match=r"^cannot write a\.tif \(broken disk\): check .* MB$"):
            with output_errors("a.tif", RuntimeError):
                raise RuntimeError("broken\ndisk")

    def test_our_errors_and_bugs_pass(self) -> None:
        with pytest.raises(OutputError, match=r"^ours$"), output_errors("a.tif"):
            raise OutputError("ours")
        with pytest.raises(RuntimeError, match="bug"), output_errors("a.tif"):
            raise RuntimeError("bug")


def test_outputs_of_one_folder_may_be_written_in_two_ways(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with atomic_outputs([Path("a.tif"), tmp_path / "b.tif"], overwrite=False) as temporary:
        for path in temporary.values():
            path.write_text("new")
    assert {path.name for path in tmp_path.iterdir()} == {"a.tif", "b.tif"}


def test_outputs_are_checked_by_themselves_and_together(tmp_path: Path) -> None:
    wanted: dict[str, tuple[Path | None, tuple[str, ...]]] = {
        "json": (tmp_path / "a.json", (".json",)),
        "figure": (None, (".png",)),
    }
    assert check_outputs(wanted) == {"json": tmp_path / "a.json"}
    both = {**wanted, "table": (tmp_path / "a.json", (".json",))}
    with pytest.raises(OptionError, match="two outputs have the same path"):
        check_outputs(both)
    with pytest.raises(OptionError, match="suffix"):
        check_outputs({"figure": (tmp_path / "a.json", (".png",))})
    (tmp_path / "a.json").write_text("taken")
    with pytest.raises(OutputError, match="exists"):
        check_outputs(wanted)
    with pytest.raises(OptionError, match="input"):
        check_outputs(wanted, overwrite=True, inputs=(path for path in [tmp_path / "a.json"]))
    assert check_outputs(wanted, overwrite=True) == {"json": tmp_path / "a.json"}
