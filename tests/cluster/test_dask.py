"""`Dask` with real workers: the same labels as in one process, whatever happens on the way."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import distributed
import numpy as np
import psutil
import pyogrio
import pytest
import rasterio
import shapely

import geodeeplab as gdl
from geodeeplab.cluster import Dask, parse_dask
from geodeeplab.cluster import dask as dask_module
from geodeeplab.cluster.worker import Job
from geodeeplab.errors import GeoDeepLabWarning, OptionError, SceneError
from geodeeplab.inference import Forward, RunFacts
from geodeeplab.pipeline.plan import open_plan
from geodeeplab.pipeline.polygon_writer import TracedParts
from geodeeplab.pipeline.request import Request
from geodeeplab.raster import EncodedBlock
from geodeeplab.vector import PackedBlock, Part

MakeRaster = Callable[..., Path]
Blocks = Callable[..., np.ndarray]
ReadLabels = Callable[[Path], np.ndarray]


def workers_of(pid: int | None = None) -> list[psutil.Process]:
    """Give the Dask workers that a process (this one) has started and that still run."""
    children = psutil.Process(pid).children()
    return [one for one in children if one.status() != psutil.STATUS_ZOMBIE and "dask_worker" in "".join(one.cmdline())]


def hide_some(scene: Path) -> str:
    """Write a mask of a scene at a quarter of its resolution; give it as users write it."""
    with rasterio.open(scene) as src:
        hidden = (np.indices((src.height // 4, src.width // 4)).sum(axis=0) // 9 % 3 == 0).astype(np.uint8)
        profile = {"crs": src.crs, "transform": src.transform @ rasterio.Affine.scale(4), "dtype": "uint8", "count": 1}
    path = scene.with_name("clouds.tif")
    with rasterio.open(path, "w", driver="GTiff", height=hidden.shape[0], width=hidden.shape[1], **profile) as dst:
        dst.write(hidden * 6, 1)
    return f"{path}:bit2"


def refuse(block: EncodedBlock) -> None:
    pytest.fail("a block of a run that must not begin")


def test_all_outputs_are_those_of_one_process(
    scene: Path, tiny_model: Path, two_workers: Dask, tmp_path: Path, read_labels: ReadLabels
) -> None:
    done = []
    for folder, executor in ((tmp_path / "one", None), (tmp_path / "two", two_workers)):
        folder.mkdir()
        steps: list[tuple[int, int]] = []
        result = gdl.segment(
            scene,
            folder / "polygons.gpkg",
            label_raster=folder / "labels.tif",
            confidence=folder / "confidence.tif",
            probabilities=folder / "probabilities.tif",
            model=tiny_model,
            executor=executor,
            progress=lambda *step, steps=steps: steps.append(step),
        )
        assert steps[-1] == (120_000, 120_000)
        done.append(result)
    assert done[1].facts["shards"] == 4
    assert done[1].facts["tiles"]["forwarded"] > done[0].facts["tiles"]["forwarded"] == 12
    for name in ("labels", "confidence", "probabilities"):
        one, two = (read_labels(tmp_path / folder / f"{name}.tif") for folder in ("one", "two"))
        np.testing.assert_array_equal(one, two)
    assert layer_of(tmp_path / "one" / "polygons.gpkg") == layer_of(tmp_path / "two" / "polygons.gpkg")


@pytest.mark.slow
def test_a_crop_is_that_of_one_process(
    scene: Path, tiny_model: Path, two_workers: Dask, tmp_path: Path, read_labels: ReadLabels
) -> None:
    area = shapely.Polygon([(500_020.3, 4_999_750), (500_390, 4_999_980), (500_300, 4_999_720)])
    run: dict[str, Any] = {"model": tiny_model, "aoi": area, "mask": hide_some(scene)}
    gdl.segment(scene, label_raster=tmp_path / "whole.tif", crop=False, **run)
    for name, executor in (("one", None), ("two", two_workers)):
        paths: dict[str, Any] = {"polygons": tmp_path / f"{name}.gpkg", "label_raster": tmp_path / f"{name}.tif"}
        done = gdl.segment(scene, crop=True, executor=executor, **paths, **run)
    assert done.facts["shards"] > 1
    top, bottom, left, right = done.facts["crop"]
    assert np.array_equal(read_labels(tmp_path / "one.tif"), read_labels(tmp_path / "two.tif"))
    assert np.array_equal(
        read_labels(tmp_path / "two.tif"), read_labels(tmp_path / "whole.tif")[top:bottom, left:right]
    )
    assert layer_of(tmp_path / "one.gpkg") == layer_of(tmp_path / "two.gpkg")


def layer_of(path: Path) -> tuple[list[Any], ...]:
    """Give what a layer holds, to the bit and in its order."""
    _, _, geometries, attributes = pyogrio.raw.read(path, layer="landcover")
    return ([bytes(one) for one in geometries], *(column.tolist() for column in attributes))


@pytest.mark.slow
class TestPolygons:
    @pytest.mark.parametrize(
        "polygons",
        [None, gdl.PolygonOptions(tolerance_px=1.5, smooth=True, connectivity=8), gdl.PolygonOptions(min_area_px=9)],
    )
    @pytest.mark.parametrize(("workers", "shard_size"), [(1, 97), (2, 200), (3, None)])
    def test_they_are_the_same_to_the_bit_whoever_traces(
        self,
        make_raster: MakeRaster,
        blocks: Blocks,
        tiny_model: Path,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        workers: int,
        shard_size: int | None,
        polygons: gdl.PolygonOptions | None,
    ) -> None:
        image = np.maximum(blocks(610, 730), 1)
        image[:, 200:400, 100:500] = 0
        scene = make_raster(image, photometric="rgb", nodata=0)
        used: list[bool] = []
        take = TracedParts.take

        def watched(self: TracedParts, part: Part) -> PackedBlock | None:
            found = take(self, part)
            used.append(found is not None)
            return found

        monkeypatch.setattr(TracedParts, "take", watched)
        gdl.segment(scene, tmp_path / "one.gpkg", polygon_options=polygons, model=tiny_model)
        assert not any(used)
        executor = Dask(workers, threads=1, shard_size=shard_size)
        gdl.segment(scene, tmp_path / "other.gpkg", polygon_options=polygons, model=tiny_model, executor=executor)
        assert any(used) == (polygons is None or not polygons.is_sieved)
        assert layer_of(tmp_path / "other.gpkg") == layer_of(tmp_path / "one.gpkg")


@pytest.mark.slow
class TestTrouble:
    def test_a_damaged_scene_is_one_error_of_its_own_kind(
        self, make_raster: MakeRaster, blocks: Blocks, tiny_model: Path, two_workers: Dask, tmp_path: Path
    ) -> None:
        scene = make_raster(blocks(600, 400), photometric="rgb", tiled=True, blockxsize=64, blockysize=64)
        whole = scene.read_bytes()
        scene.write_bytes(whole[: len(whole) * 2 // 3])
        with pytest.raises(SceneError, match="damaged"):
            gdl.segment(scene, label_raster=tmp_path / "a.tif", model=tiny_model, executor=two_workers)
        assert not (tmp_path / "a.tif").exists()

    def test_a_worker_that_does_not_find_the_scene_is_named_before_any_work(
        self, scene: Path, request_for: Callable[..., Request], two_workers: Dask
    ) -> None:
        with open_plan(request_for(scene)) as plan:
            shards, _ = two_workers.cut(plan), plan.pins
            scene.unlink()
            with pytest.raises(SceneError, match=r"worker tls://.*does not exist"):
                two_workers.run(plan, shards, refuse, RunFacts())

    def test_a_worker_with_another_model_file_is_named_before_any_work(
        self, scene: Path, request_for: Callable[..., Request], two_workers: Dask, tiny_model: Path, tmp_path: Path
    ) -> None:
        model = tmp_path / "copy.safetensors"
        model.write_bytes(tiny_model.read_bytes())
        with open_plan(request_for(scene, model=model)) as plan:
            shards, _ = two_workers.cut(plan), plan.pins
            content = bytearray(model.read_bytes())
            content[-1] ^= 1
            model.write_bytes(content)
            with pytest.raises(OptionError, match=r"worker tls://.* would not give the same pixels: model_checksum is"):
                two_workers.run(plan, shards, refuse, RunFacts())

    def test_who_takes_the_blocks_may_stop_the_run(
        self, scene: Path, request_for: Callable[..., Request], two_workers: Dask
    ) -> None:
        taken: list[EncodedBlock] = []

        def take(block: EncodedBlock) -> None:
            taken.append(block)
            raise KeyboardInterrupt

        with open_plan(request_for(scene)) as plan:
            with pytest.raises(KeyboardInterrupt):
                two_workers.run(plan, two_workers.cut(plan), take, RunFacts())
            assert len(taken) == 1
            facts = RunFacts()  # and the workers are as good as before
            two_workers.run(plan, two_workers.cut(plan)[:2], taken.append, facts)
        assert facts.tiles_forwarded > 0

    def test_a_killed_worker_is_replaced_and_its_shard_computed_again(
        self, scene: Path, tiny_model: Path, two_workers: Dask, tmp_path: Path, read_labels: ReadLabels
    ) -> None:
        gdl.segment(scene, label_raster=tmp_path / "one.tif", model=tiny_model)
        before = {one.pid for one in workers_of()}
        killed: list[int] = []

        def kill_one(done: int, total: int) -> None:
            if done and not killed:  # the workers are at their next shards already
                killed.append(workers_of()[0].pid)
                os.kill(killed[0], signal.SIGKILL)

        gdl.segment(scene, label_raster=tmp_path / "two.tif", model=tiny_model, executor=two_workers, progress=kill_one)
        np.testing.assert_array_equal(read_labels(tmp_path / "two.tif"), read_labels(tmp_path / "one.tif"))
        after = {one.pid for one in workers_of()}
        assert len(after) == len(before)
        assert killed[0] in before - after


class TestRefusals:
    @pytest.mark.parametrize("options", [{"workers": 0}, {"workers": 2, "threads": 0}, {"workers": 2, "shard_size": 0}])
    def test_numbers_below_one(self, options: dict[str, int]) -> None:
        with pytest.raises(OptionError, match="Dask takes 1 or more as"):
            Dask(**options)

    def test_without_the_extra(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(dask_module, "find_spec", lambda name: None)
        with pytest.raises(OptionError, match=r"pip install 'geodeeplab\[dask\]'"):
            Dask(2)

    def test_what_the_option_takes(self, tmp_path: Path) -> None:
        file = tmp_path / "scheduler.json"
        file.write_text("{}")
        assert [parse_dask(text).workers for text in ("3", "tcp://h:1", str(file))] == [3, "tcp://h:1", str(file)]
        for text in ("three", "host:8786", "-1"):
            with pytest.raises(OptionError, match=r"Dask takes 1 or more|`executor=` is a number"):
                parse_dask(text)

    def test_an_array_before_any_worker_is_started(self, tiny_model: Path, tmp_path: Path) -> None:
        with pytest.warns(GeoDeepLabWarning), pytest.raises(OptionError, match="open the scene by its path or URL"):
            gdl.segment(
                np.zeros((3, 40, 40), np.uint8), label_raster=tmp_path / "a.tif", model=tiny_model, executor=Dask(2)
            )

    def test_a_scheduler_that_is_not_there(
        self, scene: Path, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(dask_module, "CONNECT_S", 0.3)
        with pytest.raises(OptionError, match=r"no Dask scheduler answers at tcp://127\.0\.0\.1:1 "):
            gdl.segment(scene, label_raster=tmp_path / "a.tif", model=tiny_model, executor=Dask("tcp://127.0.0.1:1"))
        assert list(tmp_path.glob(".a.tif*")) == []


def test_a_batch_that_a_worker_halved_is_pinned(scene: Path, request_for: Callable[..., Request]) -> None:
    with open_plan(request_for(scene, batch_size=4)) as plan:
        with pytest.warns(GeoDeepLabWarning, match=r"4 tiles a batch on a worker, which went on with 2"):
            dask_module._note_batch_size(plan, 2)
        dask_module._note_batch_size(plan, 4)
        assert plan.engine.forward.batch_size == 2


def test_workers_take_the_batch_that_was_found_and_this_process_gives_its_gpu_back(
    scene: Path, request_for: Callable[..., Request], monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs: list[Job] = []
    released: list[Forward] = []
    monkeypatch.setattr(Dask, "_connection", lambda self: nullcontext(MagicMock(lanes=1)))
    monkeypatch.setattr(dask_module, "check_workers", lambda client, job, check: jobs.append(job))
    monkeypatch.setattr(dask_module, "iter_results", lambda *_, **__: iter(()))
    monkeypatch.setattr(Forward, "release", lambda self: released.append(self))
    with open_plan(request_for(scene)) as plan:
        plan.engine.forward.batch_size = 3  # as it would have found it on a GPU
        Dask(2).run(plan, [], refuse, RunFacts())
        assert released == [plan.engine.forward]
    assert [job.request.batch_size for job in jobs] == [3]
    assert jobs[0].pins["batch_size"] == 3


@pytest.mark.parametrize(("workers", "gpus", "each"), [(4, 2, 2), (3, 2, 2), (2, 4, 1), (4, 0, 1), ("tcp://a:1", 1, 1)])
def test_workers_that_share_a_gpu_share_its_memory(
    workers: int | str, gpus: int, each: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dask_module, "visible_gpus", lambda: [str(index) for index in range(gpus)])
    assert Dask(workers).processes_per_device == each


@pytest.mark.slow
class TestInvariance:
    @pytest.mark.parametrize(("workers", "shard_size"), [(1, 97), (3, None)])
    def test_any_number_of_workers_and_any_shards(
        self,
        make_raster: MakeRaster,
        blocks: Blocks,
        tiny_model: Path,
        tmp_path: Path,
        read_labels: ReadLabels,
        workers: int,
        shard_size: int | None,
    ) -> None:
        image = np.maximum(blocks(610, 730), 1)
        image[:, 200:400, 100:500] = 0
        scene = make_raster(image, photometric="rgb", nodata=0)
        gdl.segment(scene, label_raster=tmp_path / "one.tif", model=tiny_model)
        executor = Dask(workers, threads=1, shard_size=shard_size)
        gdl.segment(scene, label_raster=tmp_path / "other.tif", model=tiny_model, executor=executor)
        np.testing.assert_array_equal(read_labels(tmp_path / "other.tif"), read_labels(tmp_path / "one.tif"))

    @pytest.mark.parametrize("gsd_m", [0.8, 1.7])
    def test_a_scaled_scene(
        self, scene: Path, tiny_model: Path, two_workers: Dask, tmp_path: Path, read_labels: ReadLabels, gsd_m: float
    ) -> None:
        for name, executor in (("one", None), ("two", two_workers)):
            gdl.segment(scene, label_raster=tmp_path / f"{name}.tif", model=tiny_model, gsd_m=gsd_m, executor=executor)
        np.testing.assert_array_equal(read_labels(tmp_path / "two.tif"), read_labels(tmp_path / "one.tif"))

    @pytest.mark.parametrize("precision", ["fp32", "bf16"])
    def test_the_bundled_model_with_pointrend(
        self,
        make_raster: MakeRaster,
        blocks: Blocks,
        two_workers: Dask,
        tmp_path: Path,
        read_labels: ReadLabels,
        precision: str,
    ) -> None:
        scene = make_raster(blocks(500, 430), photometric="rgb")
        for name, executor in (("one", None), ("two", two_workers)):
            gdl.segment(
                scene,
                label_raster=tmp_path / f"{name}.tif",
                tile_size=256,
                gsd_m="native",
                precision=precision,
                executor=executor,
            )
        labels = read_labels(tmp_path / "one.tif")
        assert len(np.unique(labels)) > 1
        np.testing.assert_array_equal(read_labels(tmp_path / "two.tif"), labels)

    def test_an_existing_cluster(self, scene: Path, tiny_model: Path, tmp_path: Path, read_labels: ReadLabels) -> None:
        gdl.segment(scene, label_raster=tmp_path / "one.tif", model=tiny_model)
        file = tmp_path / "scheduler.json"
        with (
            distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster,
            distributed.Client(cluster) as client,
        ):
            file.write_text(json.dumps({"address": cluster.scheduler_address}))
            cases: dict[str, Any] = {"address": cluster.scheduler_address, "file": file, "client": client}
            for name, where in cases.items():
                gdl.segment(
                    scene, label_raster=tmp_path / f"{name}.tif", model=tiny_model, executor=Dask(where, shard_size=200)
                )
        for name in cases:
            np.testing.assert_array_equal(read_labels(tmp_path / f"{name}.tif"), read_labels(tmp_path / "one.tif"))


CLIENT = """
import signal, sys
import geodeeplab as gdl
from geodeeplab.cluster import Dask
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell in the background has it ignored
scene, labels, model = sys.argv[1:]
layer, dask = labels.replace(".tif", ".gpkg"), Dask(2, threads=1, shard_size=200)
gdl.segment(scene, layer, label_raster=labels, model=model, executor=dask,
            progress=lambda done, total: print(done, flush=True))
"""


@pytest.mark.slow
class TestKilledClient:
    @pytest.mark.parametrize("name", ["SIGKILL", "SIGINT"])
    def test_a_run_is_resumed_and_its_workers_are_gone(
        self,
        make_raster: MakeRaster,
        blocks: Blocks,
        tiny_model: Path,
        two_workers: Dask,
        tmp_path: Path,
        read_labels: ReadLabels,
        name: str,
    ) -> None:
        scene, labels = make_raster(blocks(900, 900), photometric="rgb"), tmp_path / "two.tif"
        arguments = [sys.executable, "-c", CLIENT, str(scene), str(labels), str(tiny_model)]
        with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as client:
            assert client.stdout is not None
            while not int(client.stdout.readline()):
                pass
            workers = workers_of(client.pid)
            client.send_signal(getattr(signal, name))
        assert client.returncode == -getattr(signal, name)
        assert len(workers) == 2
        assert psutil.wait_procs(workers, timeout=20)[1] == []
        layer = tmp_path / "two.gpkg"
        done = gdl.segment(scene, layer, label_raster=labels, model=tiny_model, executor=two_workers, resume=True)
        assert 0 < done.facts["resumed_share"] < 1
        gdl.segment(scene, tmp_path / "one.gpkg", label_raster=tmp_path / "one.tif", model=tiny_model)
        np.testing.assert_array_equal(read_labels(labels), read_labels(tmp_path / "one.tif"))
        assert layer_of(layer) == layer_of(tmp_path / "one.gpkg")
