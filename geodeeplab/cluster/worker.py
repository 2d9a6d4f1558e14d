"""What runs in a worker's process: it opens the run once, then computes one shard at a time."""

import json
import os
import threading
from collections import OrderedDict, deque
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from geodeeplab.errors import GeoDeepLabError, OptionError
from geodeeplab.inference import RunFacts
from geodeeplab.pipeline.plan import Plan, open_plan
from geodeeplab.pipeline.request import Request
from geodeeplab.quiet import ignore_warnings
from geodeeplab.raster import BandCutter, EncodedBlock, encode_block
from geodeeplab.tiling import Shard
from geodeeplab.vector import LabelRows, PackedBlock, Part, trace_part

NOT_COMPARED = ("scene",)
"""The name of the scene in messages: a path may be relative here and absolute there."""

MOST_NAMED = 4
"""As many differences as a message names."""

MOST_OPEN = 2
"""Runs that a process keeps open: two clients may share a cluster; what a dead client left is closed in time."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """A run as it travels with each of its shards."""

    run_id: str
    """Unlike that of any other run."""
    request: Request
    """What was asked for."""
    pins: Mapping[str, Any]
    """What the client's pixels depend on; a worker's must be the same."""
    lanes: int | None
    """Forward passes side by side on the CPU; None for one a thread of the Dask worker."""
    connectivity: int | None = None
    """4 or 8 neighbours, where labels are to be traced for polygons; else None."""


@dataclass(frozen=True, kw_only=True)
class ShardResult:
    """A finished shard."""

    blocks: list[EncodedBlock] = field(default_factory=list)
    """Its blocks, from top to bottom."""
    traced: list[PackedBlock] = field(default_factory=list)
    """Parts of its labels that are traced, if that was asked for."""
    facts: RunFacts = field(default_factory=RunFacts)
    """What was done for it."""
    batch_size: int = 0
    """Tiles per forward pass at its end: less than at its beginning where memory did not suffice."""


class RunEnded(Exception):
    """The client has ended the run; nobody waits for this shard any more."""


one_at_a_time = threading.RLock()
"""Held by the one shard or scene that is read and run through a network at once in this process."""
_open: OrderedDict[str, tuple[Plan, ExitStack]] = OrderedDict()
ended_runs: set[str] = set()
"""Ids of runs that their client has ended."""


def check_worker(job: Job) -> None:
    """Open the run and check that this worker would give the client's pixels.

    Raises:
        OptionError: if it would not.
        GeoDeepLabError: if it cannot open scene or model; of the same kind as in the client, and names the worker.
    """
    with portable_errors(), one_at_a_time:
        _plan_of(job)


def segment_shard(job: Job, shard: Shard) -> ShardResult:
    """Compute a shard, one at a time in this process.

    Raises:
        RunEnded: if the client ended the run meanwhile.
        GeoDeepLabError: as `check_worker` does, and for whatever goes wrong in the shard.
    """
    with portable_errors(), one_at_a_time:
        plan = _plan_of(job)
        result = ShardResult()
        try:
            rows = _compute(job, plan, shard, result)
            if job.connectivity is None:
                deque(rows, maxlen=0)
            else:
                part = Part(rows=(shard.row_start, shard.row_stop), cols=(shard.col_start, shard.col_stop))
                shape = plan.grid.shape
                result.traced.extend(trace_part(rows, shape=shape, part=part, connectivity=job.connectivity))
        finally:
            if job.run_id in ended_runs:
                _close(job.run_id)
        return replace(result, batch_size=plan.engine.forward.batch_size)


def _compute(job: Job, plan: Plan, shard: Shard, result: ShardResult) -> Iterator[LabelRows]:
    """Compute a shard's blocks into its result; yield the rows for the tracer."""
    cutter = BandCutter(plan.grid.shape)
    with closing(plan.iter_rows(shard, result.facts)) as rows:  # type: ignore[type-var]  # a generator
        for finished in rows:
            if job.run_id in ended_runs:
                raise RunEnded(job.run_id)
            for start, band in cutter.put(finished.row_start, finished.layers):
                result.blocks.append(encode_block(start, shard.col_start, band, count="labels"))
            yield LabelRows(labels=finished.labels, confidence=finished.layers.get("confidence"))
        for start, band in cutter.rest():
            result.blocks.append(encode_block(start, shard.col_start, band, count="labels"))


def end_run(run_id: str) -> None:
    """Close a run; a shard of it that is being computed stops at its next rows. Never waits."""
    ended_runs.add(run_id)
    if one_at_a_time.acquire(blocking=False):
        try:
            _close(run_id)
        finally:
            one_at_a_time.release()


@contextmanager
def portable_errors() -> Iterator[None]:
    """Let errors travel alone: one of GDAL's among their causes cannot, and Dask would send mere text instead."""
    try:
        yield
    except Exception as error:
        caught = error
    else:
        return
    caught.__cause__ = caught.__context__ = None
    raise caught


def _plan_of(job: Job) -> Plan:
    """Give the open run, opened and compared with the client's if it is new here."""
    if job.run_id in ended_runs:
        raise RunEnded(job.run_id)
    if job.run_id in _open:
        _open.move_to_end(job.run_id)
        return _open[job.run_id][0]
    name, threads = this_worker()
    torch.set_num_threads(job.lanes or threads)
    with ExitStack() as stack:
        with ignore_warnings():  # the client has warned already
            try:
                plan = stack.enter_context(open_plan(job.request))
            except GeoDeepLabError as error:
                raise type(error)(f"worker {name}: {error}; workers find files by the same paths as here") from error
        check_agreement(job.pins, plan.pins, worker=name)
        while len(_open) >= MOST_OPEN:
            _close(next(iter(_open)))
        _open[job.run_id] = plan, stack.pop_all()
    return plan


def _close(run_id: str) -> None:
    _, stack = _open.pop(run_id, (None, None))
    if stack is not None:
        stack.close()


def this_worker() -> tuple[str, int]:
    """Give the address and the number of threads of the Dask worker that runs the task."""
    from distributed import get_worker

    worker = get_worker()
    return worker.address, worker.state.nthreads


def check_agreement(here: Mapping[str, Any], there: Mapping[str, Any], *, worker: str) -> None:
    """Check that a worker's pins are the client's.

    Of the scene's files, names and sizes count, the time of the last change does not: copies have another one.

    Args:
        here: the client's pins.
        there: the worker's.
        worker: its address, for the message.

    Raises:
        OptionError: if they differ; it names what does.
    """
    mine, its = _comparable(here), _comparable(there)
    keys = [key for key in sorted(mine | its) if mine.get(key) != its.get(key)]
    if not keys:
        return
    named = [f"{key} is {_brief(its.get(key))} there, {_brief(mine.get(key))} here" for key in keys[:MOST_NAMED]]
    more = f"; {len(keys) - len(named)} more differ" if len(keys) > len(named) else ""
    raise OptionError(
        f"worker {worker} would not give the same pixels: {'; '.join(named)}{more}: "
        "use the same versions, files and kind of device here and there"
    )


def _comparable(pins: Mapping[str, Any]) -> dict[str, Any]:
    """Give pins as JSON would, and of files their names and sizes."""
    plain: dict[str, Any] = json.loads(json.dumps(dict(pins), default=str))
    files = plain.get("scene_files") or []
    return {key: value for key, value in plain.items() if key not in NOT_COMPARED} | {
        "scene_files": [[os.path.basename(name), *rest[:1]] for name, *rest in files]
    }


def _brief(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= 80 else f"{text[:77]}…"
