"""What runs in a worker's process where whole scenes are tasks: the model is loaded once, then scene after scene."""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path

import torch

import geodeeplab
from geodeeplab.cluster.worker import (
    RunEnded,
    check_agreement,
    ended_runs,
    one_at_a_time,
    portable_errors,
    this_worker,
)
from geodeeplab.errors import GeoDeepLabError, GeoDeepLabWarning, OutputError
from geodeeplab.models import ContractLike, Model, as_model
from geodeeplab.pipeline.executor import InThisProcess
from geodeeplab.pipeline.scenes.one import SceneCall, segment_scene
from geodeeplab.pipeline.scenes.result import SceneRun
from geodeeplab.quiet import ignore_warnings
from geodeeplab.raster import wait_for_workspace


@dataclass(frozen=True, kw_only=True)
class SceneJob:
    """A run over many scenes as it travels with each of them."""

    run_id: str
    """Unlike that of any other run."""
    model: str
    """Name of a bundled model, or path of a file."""
    contract: ContractLike | None
    """That of a model that carries none."""
    pins: Mapping[str, str]
    """What a worker must have the same; see `pins_of_model`."""
    manifest: Path
    """A file beside the results, which the client has written."""
    lanes: int | None
    """Forward passes side by side on the CPU; None for one a thread of the Dask worker."""
    threads_per_pass: int | None
    """Threads of each forward pass on a CPU."""
    processes_per_device: int
    """Workers that share a GPU."""


PATIENCE_S = 120.0
"""Seconds that a worker which is lost to the scheduler may take to end, and a shared file system to notice."""
_loaded: dict[str, Model] = {}
"""The model of the latest run, by its id."""


def pins_of_model(model: Model) -> dict[str, str]:
    """Give what every scene's pixels depend on, however different the scenes are."""
    return {
        "geodeeplab": geodeeplab.__version__,
        "torch": torch.__version__,
        "torchvision": version("torchvision"),
        "model_checksum": model.checksum,
    }


def check_scene_worker(job: SceneJob) -> None:
    """Load the model, and check that this worker has the client's versions and writes where the client reads.

    Raises:
        OptionError: if it has others.
        OutputError: if the folder of the results is another one here.
        ModelError: if the model cannot be loaded.
    """
    with portable_errors(), one_at_a_time:
        _model_of(job)


def segment_whole_scene(job: SceneJob, call: SceneCall, *, lost: int = 0) -> SceneRun:
    """Segment a scene as one process does, one at a time in this process; what it warns of comes with the result.

    Args:
        job: the run.
        call: the scene.
        lost: how many workers were lost over it; the last one may take a while to end.

    Raises:
        RunEnded: if the client ended the run before.
        GeoDeepLabError: as `check_scene_worker` does.
    """
    with portable_errors(), one_at_a_time:
        model = _model_of(job)
        if lost:
            wait_for_workspace(call.first_output, seconds=PATIENCE_S)

        def check_ended(done: int, total: int) -> None:
            if job.run_id in ended_runs:
                raise RunEnded(job.run_id)

        torch.set_num_threads(_lanes(job))
        executor = InThisProcess(threads_per_pass=job.threads_per_pass, processes_per_device=job.processes_per_device)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("ignore")
            warnings.simplefilter("always", GeoDeepLabWarning)
            run = segment_scene(
                replace(call, options={**call.options, "model": model}), executor=executor, progress=check_ended
            )
        return replace(run, warnings=tuple(dict.fromkeys(str(one.message) for one in caught)))


def end_scenes(run_id: str) -> None:
    """Forget a run's model; a scene of it that is being computed stops at its next rows. Never waits."""
    ended_runs.add(run_id)
    _loaded.pop(run_id, None)


def _model_of(job: SceneJob) -> Model:
    """Give the run's model, loaded and compared with the client's if the run is new here."""
    if job.run_id in ended_runs:
        raise RunEnded(job.run_id)
    if job.run_id in _loaded:
        return _loaded[job.run_id]
    name, _ = this_worker()
    try:
        with ignore_warnings():  # the client has warned already
            model = as_model(job.model, job.contract)
    except GeoDeepLabError as error:
        raise type(error)(f"worker {name}: {error}; workers find files by the same paths as here") from error
    check_agreement(job.pins, pins_of_model(model), worker=name)
    if not job.manifest.is_file():
        raise OutputError(
            f"worker {name} does not see {job.manifest}: it writes the results itself, so their folder has to have the "
            "same path there and here; else segment the scenes one by one, whose results are written here"
        )
    _loaded.clear()
    _loaded[job.run_id] = model
    return model


def _lanes(job: SceneJob) -> int:
    return job.lanes or this_worker()[1]
