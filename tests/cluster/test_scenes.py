"""Whole scenes as tasks of workers."""

import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import psutil
import pytest

import geodeeplab as gdl
from geodeeplab.cluster import Dask, scene_running, scene_worker
from geodeeplab.cluster.scene_running import MOST_LOST, iter_scene_runs
from geodeeplab.cluster.worker import RunEnded
from geodeeplab.errors import GeoDeepLabWarning, OptionError, OutputError
from geodeeplab.models import load_model
from geodeeplab.pipeline.scenes.manifest import MANIFEST_NAME, read_manifest
from geodeeplab.pipeline.scenes.one import SceneCall
from geodeeplab.pipeline.scenes.result import SceneRun

MakeRaster = Callable[..., Path]
Blocks = Callable[..., np.ndarray]
ReadLabels = Callable[[Path], np.ndarray]


@pytest.fixture
def scenes(make_raster: MakeRaster, blocks: Blocks, tmp_path: Path) -> Path:
    """A folder with the scenes a, b and c; b is cut off."""
    (tmp_path / "scenes").mkdir()
    for index, name in enumerate("abc"):
        make_raster(blocks(100 + index, 180, seed=index), f"scenes/{name}.tif", photometric="rgb")
    broken = tmp_path / "scenes" / "b.tif"
    broken.write_bytes(broken.read_bytes()[:20_000])
    return tmp_path / "scenes"


def test_they_are_those_of_one_process_and_one_that_fails_stops_no_other(
    scenes: Path, tiny_model: Path, two_workers: Dask, tmp_path: Path, read_labels: ReadLabels,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)  # paths are relative here, and workers have another folder
    runs: dict[str, dict[str, SceneRun]] = {}
    for name, executor in (("one", None), ("two", two_workers)):
        with pytest.warns(GeoDeepLabWarning, match=r"a scene failed: .*b\.tif"):
            done = gdl.segment_scenes("scenes", label_raster=name, model=tiny_model, executor=executor)
        runs[name] = {run.scene: run for run in done}
    assert {scene: run.status for scene, run in runs["two"].items()} == {
        "scenes/a.tif": "done", "scenes/b.tif": "failed", "scenes/c.tif": "done"
    }  # fmt: skip
    assert runs["two"]["scenes/a.tif"].outputs == ("two/a.tif",)
    for scene, run in runs["one"].items():
        assert runs["two"][scene].status == run.status
    for stem in "ac":
        np.testing.assert_array_equal(
            read_labels(tmp_path / f"one/{stem}.tif"), read_labels(tmp_path / f"two/{stem}.tif")
        )
        one, two = (runs[name][f"scenes/{stem}.tif"].facts for name in ("one", "two"))
        assert one is not None
        assert two is not None
        assert (two["pixels"], two["shards"], two["outputs"]) == (one["pixels"], 1, [f"two/{stem}.tif"])
    noted = {run.scene: run.status for run in read_manifest(tmp_path / "two" / MANIFEST_NAME)}
    assert noted == {scene: run.status for scene, run in runs["two"].items()}


def test_a_single_scene_is_cut_into_shards(scene: Path, tiny_model: Path, two_workers: Dask, tmp_path: Path) -> None:
    (run,) = gdl.segment_scenes(scene, label_raster=tmp_path / "out", model=tiny_model, executor=two_workers)
    assert run.facts is not None
    assert run.facts["shards"] == 4


@pytest.mark.parametrize("trouble", ["another model", "no folder"])
def test_a_worker_that_would_not_do_is_named_before_any_work(
    scenes: Path, tiny_model: Path, two_workers: Dask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trouble: str
) -> None:
    model = load_model(tiny_model)
    call = SceneCall(
        name="a", scene=str(scenes / "a.tif"), outputs={"label_raster": tmp_path / "a.tif"}, probability_dtype="uint8",
        polygon_options=None, sieve_labels=False, resume=False, overwrite=False, options={"model": model},
    )  # fmt: skip
    manifest = tmp_path / MANIFEST_NAME
    if trouble == "another model":
        manifest.touch()
        model.__dict__["checksum"] = "another"
        expected, words = OptionError, r"worker tls://.* would not give the same pixels: model_checksum is"
    else:
        expected, words = OutputError, r"worker tls://.* does not see .*jsonl: it writes the results itself"  # type: ignore[assignment]
    with pytest.raises(expected, match=words):
        next(two_workers.iter_scenes([call], manifest=manifest))
    assert not (tmp_path / "a.tif").exists()


class TestLostWorkers:
    """Of the client alone: its workers are names that come and go."""

    @pytest.fixture
    def calls(self) -> list[SceneCall]:
        nothing: dict[str, Any] = {"probability_dtype": "uint8", "polygon_options": None, "sieve_labels": False}
        nothing |= {"resume": False, "overwrite": False, "options": {}, "outputs": {}}
        return [SceneCall(name=name, scene=f"{name}.tif", **nothing) for name in ("bad", "good", "other")]

    def run(
        self, calls: list[SceneCall], monkeypatch: pytest.MonkeyPatch, *, killers: set[str], kills: int
    ) -> tuple[list[SceneRun], list[tuple[str, bool]]]:
        """Run scenes on two workers, of which some die over the first scenes of `killers`, `kills` times in all."""
        left = {name: kills for name in killers}
        started: list[tuple[str, bool]] = []
        workers = [f"w{number}" for number in range(100)]
        alive = workers[:2]

        class Future(SimpleNamespace):
            status = "finished"

            def result(self) -> SceneRun:
                return SceneRun(scene=self.call.name, status="done", outputs=())

            def cancel(self) -> None: ...

        def submit(function: object, job: object, call: SceneCall, *, workers: list[str], **_: object) -> Future:
            started.append((call.name, call.resume))
            return Future(call=call, worker=workers[0])

        def wait(futures: list[Future]) -> list[Future]:
            done = []
            for one in futures:
                if one.worker not in alive:
                    continue
                if left.get(one.call.name, 0):
                    left[one.call.name] -= 1
                    alive[alive.index(one.worker)] = workers[10 + len(started)]
                else:
                    done.append(one)
            return done

        monkeypatch.setattr(scene_running, "wait_for_some", wait)
        client = cast(Any, SimpleNamespace(submit=submit, nthreads=lambda: dict.fromkeys(alive, 1)))
        job = cast(Any, SimpleNamespace(run_id="r"))
        forgiven: list[bool] = []
        runs = list(iter_scene_runs(client, job, calls, supervise=lambda: None, forgive=lambda: forgiven.append(True)))
        assert len(forgiven) == len(calls)
        return runs, started

    def test_a_scene_is_gone_on_with_by_another(self, calls: list[SceneCall], monkeypatch: pytest.MonkeyPatch) -> None:
        runs, started = self.run(calls, monkeypatch, killers={"bad"}, kills=MOST_LOST - 1)
        assert sorted((run.scene, run.status) for run in runs) == [("bad", "done"), ("good", "done"), ("other", "done")]
        assert [one for one in started if one[0] == "bad"] == [("bad", False), ("bad", True), ("bad", True)]

    def test_one_over_which_they_die_again_and_again_stops_no_other(
        self, calls: list[SceneCall], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        runs, started = self.run(calls, monkeypatch, killers={"bad"}, kills=100)
        assert {run.scene: run.status for run in runs} == {"bad": "failed", "good": "done", "other": "done"}
        (error,) = [run.error for run in runs if run.error]
        assert error.startswith("bad: 3 Dask workers died over it, most likely for want of memory: use fewer workers")
        assert len(started) == MOST_LOST + 2


@pytest.mark.slow
def test_a_killed_worker_is_replaced_and_its_scene_gone_on_with(
    make_raster: MakeRaster, blocks: Blocks, tiny_model: Path, two_workers: Dask, tmp_path: Path,
    read_labels: ReadLabels,
) -> None:  # fmt: skip
    paths = [make_raster(blocks(1500, 300, seed=seed), f"{seed}.tif", photometric="rgb") for seed in range(3)]
    out, killed = tmp_path / "out", list[int]()

    def kill_one() -> None:
        deadline = time.monotonic() + 300
        while time.monotonic() < deadline:
            for folder in out.glob(".*geodeeplab-work"):
                if len(list(folder.glob("*.tif"))) > 1:
                    workers = [one for one in psutil.Process().children() if "dask_worker" in "".join(one.cmdline())]
                    killed.append(workers[0].pid)
                    os.kill(killed[0], signal.SIGKILL)
                    return
            time.sleep(0.01)

    killer = threading.Thread(target=kill_one)
    killer.start()
    runs = gdl.segment_scenes(paths, label_raster=out, model=tiny_model, executor=two_workers)
    killer.join()
    assert killed
    assert [run.status for run in runs] == ["done"] * 3
    for path in paths:
        gdl.segment(path, label_raster=tmp_path / "alone.tif", model=tiny_model, overwrite=True)
        np.testing.assert_array_equal(read_labels(out / path.name), read_labels(tmp_path / "alone.tif"))
    assert sorted(one.name for one in out.glob(".*")) == []


def test_a_run_that_its_client_has_ended_loads_no_model() -> None:
    job = cast(Any, SimpleNamespace(run_id="over"))
    scene_worker.end_scenes("over")
    with pytest.raises(RunEnded):
        scene_worker.check_scene_worker(job)
