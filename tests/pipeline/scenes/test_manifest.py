"""The manifest: what is true of it after whatever has become of the file."""

import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geodeeplab.errors import OutputError
from geodeeplab.pipeline.scenes import manifest as module
from geodeeplab.pipeline.scenes.manifest import MANIFEST_NAME, open_manifest, read_manifest, write_manifest
from geodeeplab.pipeline.scenes.result import SceneRun
from geodeeplab.pipeline.scenes.tasks import SceneTask

FAILED = SceneRun(scene="b.tif", status="failed", outputs=("out/b.gpkg",), error="no\nband", seconds=1.5)
TEXT = st.text(alphabet='a"\\\n\u2028é\ud800', max_size=5)


@pytest.fixture
def tasks(tmp_path: Path) -> list[SceneTask]:
    """Scenes a, b and c, of which a has its results."""
    (tmp_path / "a.gpkg").touch()
    return [
        SceneTask(name=f"{one}.tif", scene=f"{one}.tif", outputs={"polygons": tmp_path / f"{one}.gpkg"})
        for one in "abc"
    ]


def statuses(folder: Path) -> dict[str, tuple[str, float | None]]:
    return {run.scene: (run.status, run.seconds) for run in read_manifest(folder / MANIFEST_NAME)}


@given(st.lists(st.builds(
    SceneRun,
    scene=TEXT,
    status=st.sampled_from(["done", "failed"]),
    outputs=st.tuples(TEXT),
    error=st.none() | TEXT,
    seconds=st.none() | st.integers(0, 10**6).map(float),
), unique_by=lambda run: run.scene))  # fmt: skip
def test_what_is_written_is_read(tmp_path_factory: pytest.TempPathFactory, runs: list[SceneRun]) -> None:
    path = tmp_path_factory.mktemp("manifest") / "m.jsonl"
    write_manifest(path, runs)
    assert read_manifest(path) == runs
    assert len(path.read_bytes().splitlines()) == len(runs)


def test_a_line_for_each_scene_that_ends_and_the_last_counts(tasks: list[SceneTask], tmp_path: Path) -> None:
    manifest = open_manifest(tasks)
    assert manifest.path == tmp_path / MANIFEST_NAME
    manifest.add(FAILED)
    manifest.add(SceneRun(scene="b.tif", status="done", outputs=("out/b.gpkg",), seconds=2.0004))
    assert statuses(tmp_path) == {"a.tif": ("done", None), "b.tif": ("done", 2.0)}
    (tmp_path / "b.gpkg").touch()
    assert open_manifest(tasks).before["b.tif"].seconds == 2
    first, second = (json.loads(line) for line in manifest.path.read_text().splitlines())
    assert second == {
        "scene": "b.tif",
        "status": "done",
        "outputs": [str(tmp_path / "b.gpkg")],
        "error": None,
        "seconds": 2.0,
    }
    assert first["scene"] == "a.tif"


def test_what_results_say_wins_over_what_it_says(tasks: list[SceneTask], tmp_path: Path) -> None:
    others = SceneRun(scene="other.tif", status="done", outputs=(), seconds=3)
    claimed = SceneRun(scene="c.tif", status="done", outputs=(), seconds=4)
    write_manifest(tmp_path / MANIFEST_NAME, [others, FAILED, claimed])
    assert list(open_manifest(tasks).before) == ["a.tif"]
    assert statuses(tmp_path) == {"other.tif": ("done", 3), "a.tif": ("done", None), "b.tif": ("failed", 1.5)}


DAMAGED = (
    b"{", b"\xff\xfe", b"[]", b"null", b'{"scene": 1}', b"[" * 10_000, b'"' + b"\\u0000" * 9,
    b'{"scene": "a.tif", "status": "gone", "outputs": [], "error": null, "seconds": 1}',
    b'{"scene": "a.tif", "status": "done", "outputs": [1], "error": null, "seconds": 1}',
    b'{"scene": "a.tif", "status": "done", "outputs": [], "error": [], "seconds": 1}',
    b'{"scene": "a.tif", "status": "done", "outputs": [], "error": null, "seconds": NaN}',
    b'{"scene": "a.tif", "status": "done", "outputs": [], "error": null, "seconds": 1' + b"0" * 5000 + b"}",
    b'{"scene": "a.tif", "status": "done", "outputs": [], "error": null, "seconds": 1' + b"0" * 400 + b"}",
)  # fmt: skip


def test_damaged_lines_are_left_out(tasks: list[SceneTask], tmp_path: Path) -> None:
    write_manifest(tmp_path / MANIFEST_NAME, [FAILED])
    with open(tmp_path / MANIFEST_NAME, "ab") as file:
        file.write(b"\n".join((*DAMAGED, b'{"scene": "c.tif", "sta')))
    assert open_manifest(tasks).damaged == len(DAMAGED) + 1
    assert statuses(tmp_path) == {"a.tif": ("done", None), "b.tif": ("failed", 1.5)}
    assert open_manifest(tasks).damaged == 0


def test_what_is_no_manifest_is_refused(
    tasks: list[SceneTask], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / MANIFEST_NAME
    path.symlink_to(tmp_path / "a.gpkg")
    with pytest.raises(OutputError, match=r"jsonl cannot be read \(it is a link.*\): move it away"):
        open_manifest(tasks)
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(OutputError, match=r"no plain file.*: move it away"):
        open_manifest(tasks)
    path.unlink()
    path.write_bytes(b"\n" * 9)
    monkeypatch.setattr(module, "LARGEST_BYTES", 8)
    with pytest.raises(OutputError, match="is no manifest: move it away"):
        open_manifest(tasks)


def test_a_line_that_cannot_be_written_leaves_none(
    tasks: list[SceneTask], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = open_manifest(tasks)

    def refuse(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", refuse)
        with pytest.raises(OutputError, match="no space left"):
            manifest.add(FAILED)
    assert list(statuses(tmp_path)) == ["a.tif"]
