"""What runs in a worker, here without one."""

import pickle
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio

from geodeeplab.cluster import worker
from geodeeplab.cluster.worker import Job, RunEnded, check_worker, end_run, segment_shard
from geodeeplab.errors import OptionError, SceneError
from geodeeplab.inference import RunFacts
from geodeeplab.pipeline.plan import Plan, open_plan
from geodeeplab.pipeline.request import Request
from geodeeplab.raster import EncodedBlock, encode_block
from geodeeplab.tiling import Shard


@pytest.fixture(autouse=True)
def process(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let this process be a worker, and close what it opened."""
    monkeypatch.setattr(worker, "this_worker", lambda: ("tcp://here:1", 1))
    yield
    for run_id in list(worker._open):
        end_run(run_id)
    worker.ended_runs.clear()


@pytest.fixture
def plan(scene: Path, request_for: Callable[..., Request]) -> Iterator[Plan]:
    with open_plan(request_for(scene)) as plan:
        yield plan


def job_of(plan: Plan, **changed: object) -> Job:
    return Job(run_id=uuid.uuid4().hex, request=plan.request, pins=plan.pins | changed, lanes=None)


def test_a_shard_has_the_pixels_of_the_whole_scene(plan: Plan) -> None:
    shard = Shard(row_start=96, row_stop=288, col_start=192, col_stop=400)
    result = segment_shard(job_of(plan), shard)
    found = np.zeros(shard.shape, np.uint8)
    for block in result.blocks:
        with rasterio.MemoryFile(block.contents["labels"]) as memory, memory.open() as src:
            top, left = block.row_start - shard.row_start, block.col_start - shard.col_start
            pixels = src.read(1)[block.row_start % 512 :, block.col_start % 512 :]  # files begin at corners of squares
            found[top : top + block.shape[0], left : left + block.shape[1]] = pixels
    starts = [block.row_start for block in result.blocks]
    assert starts == sorted(starts)
    whole = np.concatenate([rows.labels for rows in plan.iter_rows(plan.whole, RunFacts())])
    np.testing.assert_array_equal(found, whole[96:288, 192:400])
    assert result.facts.tiles_forwarded == 9
    assert result.batch_size == plan.engine.forward.batch_size


def test_a_worker_opens_a_run_once_and_few_runs_at_once(plan: Plan) -> None:
    jobs = [job_of(plan) for _ in range(3)]
    for job in jobs:
        check_worker(job)
        opened = worker._open[job.run_id]
        check_worker(job)
        assert worker._open[job.run_id] is opened
    assert list(worker._open) == [job.run_id for job in jobs[1:]]


def test_other_pins_are_refused(plan: Plan) -> None:
    with pytest.raises(OptionError, match="worker tcp://here:1 would not give the same pixels: torch is"):
        check_worker(job_of(plan, torch="1.0"))
    assert not worker._open


def test_a_scene_that_is_not_there_keeps_its_kind_of_error(plan: Plan, scene: Path) -> None:
    job = job_of(plan)
    scene.unlink()
    with pytest.raises(SceneError, match=r"worker tcp://here:1: scene .* does not exist: .*same paths as here") as info:
        check_worker(job)
    assert pickle.loads(pickle.dumps(info.value)).args == info.value.args
    assert (info.value.__cause__, info.value.__context__) == (None, None)  # GDAL's cannot be pickled


def test_a_run_that_has_ended_is_not_gone_on_with(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    job = job_of(plan)
    check_worker(job)

    def encode_and_end(*arguments: Any, **options: Any) -> EncodedBlock:  # noqa: ANN401
        end_run(job.run_id)
        return encode_block(*arguments, **options)

    monkeypatch.setattr(worker, "encode_block", encode_and_end)
    with pytest.raises(RunEnded):
        segment_shard(job, plan.whole)
    assert not worker._open
    with pytest.raises(RunEnded):
        check_worker(job)
