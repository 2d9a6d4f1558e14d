"""Whole scenes as Dask tasks: one for each worker at a time, results as they come."""

from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from geodeeplab.cluster.portable import portable_masks, to_absolute
from geodeeplab.cluster.running import dask_errors, wait_for_some, wait_for_workers
from geodeeplab.cluster.scene_worker import SceneJob, segment_whole_scene
from geodeeplab.pipeline.run_options import RunOptions
from geodeeplab.pipeline.scenes.one import SceneCall
from geodeeplab.pipeline.scenes.result import SceneRun

if TYPE_CHECKING:
    from distributed import Client, Future

MOST_LOST = 3
"""So many workers may die over a scene before it counts as failed: once may be chance, or the end of a job."""


@dataclass(frozen=True, kw_only=True)
class _Task:
    """A scene that a worker is at."""

    future: "Future[Any]"
    call: SceneCall


def portable_call(call: SceneCall) -> SceneCall:
    """Give the same call for a process with another working folder; its model goes with the run."""
    options: RunOptions = {
        **call.options,
        "aoi": to_absolute(call.options.get("aoi")),
        "mask": portable_masks(call.options.get("mask")),
    }
    options.pop("model", None)
    return replace(
        call,
        scene=to_absolute(call.scene),
        outputs={name: Path(path).absolute() for name, path in call.outputs.items()},
        options=options,
    )


def iter_scene_runs(
    client: "Client",
    job: SceneJob,
    calls: Sequence[SceneCall],
    *,
    supervise: Callable[[], None],
    forgive: Callable[[], None],
) -> Iterator[SceneRun]:
    """Yield what becomes of scenes, as they end. That of a worker that dies is gone on with by another.

    Each worker has one scene at a time, and gets it by name: a scene takes minutes, so none waits behind another while
    a worker is free, whatever threads workers have.

    Args:
        client: connected to the scheduler.
        job: the run.
        calls: the scenes, portable.
        supervise: called from time to time.
        forgive: called when a scene has ended: workers that died before do not count any more.

    Raises:
        OptionError: if no worker is left, would not give the same pixels, or the scheduler is gone.
    """
    waiting, lost = deque(calls), Counter[str]()
    running: dict[str, _Task] = {}
    try:
        while waiting or running:
            with dask_errors():
                supervise()
                there = wait_for_workers(client)
                for address in there:
                    if waiting and address not in running:
                        call = waiting.popleft()
                        running[address] = _Task(future=_submit(client, job, call, address, lost[call.name]), call=call)
                done = wait_for_some([task.future for task in running.values()])
            for address, task in list(running.items()):
                if task.future in done and not _is_lost(task.future):
                    del running[address]
                    with dask_errors():
                        run: SceneRun = task.future.result()
                    forgive()
                    yield run
                elif task.future in done or address not in there:
                    del running[address]
                    task.future.cancel()
                    lost[task.call.name] += 1
                    if lost[task.call.name] < MOST_LOST:
                        waiting.append(replace(task.call, resume=True))  # with what the dead worker has kept
                    else:
                        forgive()
                        yield _given_up(task.call)
    finally:
        for task in running.values():
            task.future.cancel()


def _submit(client: "Client", job: SceneJob, call: SceneCall, address: str, lost: int) -> "Future[Any]":
    key = f"scene-{job.run_id}-{lost}-{call.name}"
    return client.submit(segment_whole_scene, job, call, lost=lost, workers=[address], key=key, pure=False)


def _is_lost(future: "Future[Any]") -> bool:
    """Tell whether a task that is done ended with its worker."""
    from distributed import KilledWorker

    return future.status == "error" and isinstance(future.exception(), KilledWorker)


def _given_up(call: SceneCall) -> SceneRun:
    return SceneRun(
        scene=call.name,
        status="failed",
        outputs=tuple(map(str, call.outputs.values())),
        error=(
            f"{call.name}: {MOST_LOST} Dask workers died over it, most likely for want of memory: "
            "use fewer workers, or a smaller `tile_size=`; what they have done is kept for `resume=True`"
        ),
    )
