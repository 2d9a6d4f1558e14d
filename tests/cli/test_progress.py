"""`--progress`: bars, JSON lines, nothing."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from geodeeplab.cli.progress import begin, progress_bar, progress_bars, tell, tell_warning

Run = Callable[..., Any]
MakeRaster = Callable[..., Path]
Blocks = Callable[..., np.ndarray]


@pytest.fixture(autouse=True)
def as_it_was() -> Iterator[None]:
    yield
    begin([])


def events(text: str) -> list[dict[str, Any]]:
    """Read stderr, of which every line is an object."""
    return [json.loads(line, parse_constant=pytest.fail) for line in text.splitlines()]


class TestBars:
    def test_pixels_are_drawn_as_megapixels(self, capsys: pytest.CaptureFixture[str]) -> None:
        begin(["segment", "--progress", "bar"])
        with progress_bar("segment") as progress:
            progress(0, 10_000_000)
            progress(5_000_000, 10_000_000)
            tell_warning("a line above the bar")
            progress(10_000_000, 10_000_000)
        drawn = capsys.readouterr().err
        assert "segment:" in drawn
        assert "0.0/10.0 Mpx" in drawn
        assert "Mpx/s" in drawn
        assert "\nwarning: a line above the bar\n" in drawn.replace("\r", "\n")

    def test_a_stage_takes_the_place_of_the_one_before(self, capsys: pytest.CaptureFixture[str]) -> None:
        begin(["--progress=bar"])
        with progress_bars({"features": "tiles"}) as progress:
            for stage, done in (("features", 1), ("features", 2), ("head", 1), ("features", 2)):
                progress(stage, done, 2)
        drawn = capsys.readouterr().err
        assert drawn.index("features:") < drawn.index("head:")

    @pytest.mark.parametrize("argv", [[], ["--progress", "auto"], ["--progress", "none"], ["--progress"]])
    def test_there_is_none_where_there_is_no_terminal(
        self, argv: list[str], capsys: pytest.CaptureFixture[str]
    ) -> None:
        begin(argv)
        with progress_bar() as progress:
            progress(1, 2)
        assert capsys.readouterr().err == ""

    def test_none_leaves_out_lines_that_tell_only_how_far_it_is(self, capsys: pytest.CaptureFixture[str]) -> None:
        begin(["train", "--progress", "none"])
        tell("epoch 1/2", is_progress=True)
        tell("scene a: done before")
        assert capsys.readouterr().err == "scene a: done before\n"


class TestJson:
    def test_rate_and_rest_are_those_of_this_run(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        now = iter([0.0, 10.0, 12.0, 12.1, 14.0, 14.1])
        monkeypatch.setattr("geodeeplab.cli.progress.time", SimpleNamespace(monotonic=lambda: next(now)))
        begin(["segment", "--progress", "json"])
        with progress_bar("segment", about={"scene": "a.tif"}) as progress:
            progress(500, 1000)  # 500 are from a run before
            progress(600, 1000)
            progress(605, 1000)  # too soon
            progress(700, 1000)
            progress(1000, 1000)
        start, *found = events(capsys.readouterr().err)
        assert (start["event"], start["command"], start["protocol"]) == ("start", "segment", 1)
        common = {"event": "progress", "stage": "segment", "scene": "a.tif", "total": 1000, "unit": "px"}
        assert found == [
            common | {"done": 500, "rate": None, "eta_s": None},
            common | {"done": 600, "rate": 50.0, "eta_s": 8.0},
            common | {"done": 700, "rate": 50.0, "eta_s": 6.0},
            common | {"done": 1000, "rate": 122.0, "eta_s": 0.0},
        ]

    def test_a_run_from_start_to_end(self, run: Run, segment_args: list[object], out: Path) -> None:
        ran = run(*segment_args, "--label-raster", out / "a.tif", "--progress", "json")
        assert ran.status == 0
        start, *middle, done = events(ran.err)
        assert (start["event"], start["command"]) == ("start", "segment")
        assert {one["event"] for one in middle} == {"progress"}
        assert (middle[-1]["done"], middle[-1]["total"]) == (30_000, 30_000)
        assert done["event"] == "done"
        assert done["outputs"] == [str(out / "landcover.gpkg"), str(out / "a.tif")]
        assert done["facts"]["tiles"] == {"forwarded": 4, "skipped": 0}
        assert done["seconds"] > 0
        assert "200 × 150 px" in ran.out, "stdout is as ever"

    def test_warnings_come_at_once_and_with_the_end(
        self, run: Run, make_raster: MakeRaster, blocks: Blocks, tiny_model: Path, out: Path
    ) -> None:
        scene = make_raster(blocks(60, 80), photometric="rgb", crs=None, transform=None)
        ran = run("segment", scene, "--label-raster", out / "a.tif", "--model", tiny_model, "--progress=json")
        found = events(ran.err)
        (warning,) = [one["message"] for one in found if one["event"] == "warning"]
        assert "has no CRS" in warning
        assert found[-1]["warnings"] == [warning]

    @pytest.mark.parametrize(
        ("argv", "status", "kind", "message"),
        [
            (["segment", "none.tif", "-o", "a.gpkg"], 1, "SceneError", "does not exist"),
            (["segment", "none.tif", "--tile-size", "x"], 2, "BadParameter", "see geodeeplab segment --help"),
            (["segment", "none.tif", "--no-such-option"], 2, "NoSuchOption", "--no-such-option"),
        ],
    )
    def test_the_last_object_of_a_refusal_is_the_error(
        self, run: Run, argv: list[str], status: int, kind: str, message: str
    ) -> None:
        ran = run(*argv, "--progress", "json")
        last = events(ran.err)[-1]
        assert (ran.status, last["event"], last["status"], last["type"]) == (status, "error", status, kind)
        assert message in last["message"]

    def test_a_bug_is_told_and_shows_its_traceback(
        self, run: Run, segment_args: list[object], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
    ) -> None:
        def fail(*_: object, **__: object) -> None:
            raise ZeroDivisionError("of nothing")

        monkeypatch.setattr("geodeeplab.pipeline.segment.segment", fail)
        with pytest.raises(ZeroDivisionError):
            run(*segment_args, "--progress", "json")
        last = events(capfd.readouterr().err)[-1]
        assert (last["event"], last["message"]) == ("error", "ZeroDivisionError: of nothing")

    def test_an_interruption_is_an_error(
        self, run: Run, segment_args: list[object], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def interrupt(*_: object, **__: object) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr("geodeeplab.pipeline.segment.segment", interrupt)
        ran = run(*segment_args, "--progress", "json")
        last = events(ran.err)[-1]
        assert (ran.status, last["event"], last["type"]) == (1, "error", "Abort")
        assert last["message"].startswith("interrupted")

    def test_scenes_of_a_batch_are_told_apart(
        self, run: Run, make_raster: MakeRaster, blocks: Blocks, tiny_model: Path, out: Path
    ) -> None:
        scenes = [make_raster(blocks(60, 80), f"{name}.tif", photometric="rgb") for name in "ab"]
        scenes[1].write_bytes(b"no scene")
        argv = ("segment", *scenes, "--label-raster", f"{out}/", "--model", tiny_model)
        found = events(run(*argv, "--progress", "json").err)
        about = {(one["scene"], one["scene_number"], one["scenes"]) for one in found if one["event"] == "progress"}
        assert about == {(str(scenes[0]), 1, 2)}
        (failed,) = [one for one in found if one["event"] == "failed"]
        assert failed["scene"] == str(scenes[1])
        assert found[-1]["message"].startswith("1 of 2 scenes failed")
        again = events(run(*argv, "--progress", "json").err)
        assert [one["message"] for one in again if one["event"] == "message"] == [f"{scenes[0]}: done before"]

    def test_vectorize_and_evaluate(self, run: Run, make_raster: MakeRaster, out: Path) -> None:
        labels = make_raster(np.ones((1, 20, 30), np.uint8), "labels.tif")
        done = events(run("vectorize", labels, "-o", out / "a.gpkg", "--progress", "json").err)[-1]
        assert (done["event"], done["outputs"], done["facts"]["polygons"]) == ("done", [str(out / "a.gpkg")], 1)
        *_, last, done = events(run("evaluate", labels, labels, "--progress", "json").err)
        assert (last["stage"], last["done"], last["total"]) == ("evaluate", 600, 600)
        assert (done["event"], done["outputs"], done["facts"]["mean_iou"]) == ("done", [], 1.0)

    @pytest.mark.parametrize(
        "command", ["segment", "vectorize", "adapt", "train", "chips", "evaluate", "export", "map", "demo"]
    )
    def test_every_long_command_has_it(self, run: Run, command: str) -> None:
        assert "--progress [auto|bar|json|none]" in " ".join(run(command, "--help").out.split())
