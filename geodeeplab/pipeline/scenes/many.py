"""`segment_scenes`: each scene by itself, one that fails stops no other, and a manifest tells what became of each."""

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Protocol, Unpack, runtime_checkable

from geodeeplab.errors import GeoDeepLabError, GeoDeepLabWarning
from geodeeplab.models import DEFAULT_MODEL, as_model
from geodeeplab.pipeline.appending import Append, part_path, plan_append
from geodeeplab.pipeline.executor import Executor
from geodeeplab.pipeline.outputs import OutputPath
from geodeeplab.pipeline.polygon_options import PolygonOptions
from geodeeplab.pipeline.run_options import RunOptions, with_run_options
from geodeeplab.pipeline.running import Progress
from geodeeplab.pipeline.scenes.manifest import Manifest, open_manifest
from geodeeplab.pipeline.scenes.one import SceneCall, segment_scene
from geodeeplab.pipeline.scenes.result import SceneRun
from geodeeplab.pipeline.scenes.tasks import Document, SceneTask, list_tasks
from geodeeplab.raster import workspace_folder
from geodeeplab.raster.sources.local_only import is_local_only

Watch = Callable[[SceneTask, int, int], AbstractContextManager[Progress]]
"""Lends what is told how far a scene is that this process segments: of the scene, its number from 1, and the count."""


@runtime_checkable
class SceneExecutor(Protocol):
    """An executor that takes scenes as wholes, several at once."""

    def iter_scenes(self, calls: Sequence[SceneCall], *, manifest: Path) -> Iterator[SceneRun]:
        """Segment scenes and give what became of each, as they end; their names and outputs are those of the calls.

        Args:
            calls: the scenes.
            manifest: a file beside the results, by which a worker sees that it writes where this process reads.

        Raises:
            OptionError: nobody can compute, or would not compute the same.
        """
        ...


@with_run_options
def segment_scenes(
    scenes: Document | Sequence[Document],
    polygons: OutputPath | None = None,
    *,
    label_raster: OutputPath | None = None,
    confidence: OutputPath | None = None,
    probabilities: OutputPath | None = None,
    probability_dtype: str = "uint8",
    boundary: OutputPath | None = None,
    polygon_options: PolygonOptions | None = None,
    append: bool | Append = False,
    sieve_labels: bool = False,
    executor: Executor | None = None,
    resume: bool = False,
    overwrite: bool = False,
    progress: Progress | None = None,
    **options: Unpack[RunOptions],
) -> list[SceneRun]:
    """Segment many scenes, each into results of its own, which are named after it.

    Scenes whose results are there are left out, so the same call again goes on where one was cut off. A scene that
    fails, for whatever reason, is warned of, and the others go on. The first folder of results gets a manifest,
    `geodeeplab-scenes.jsonl`: a line for each scene with its status, outputs, error and seconds.

    With `Dask`, whole scenes are tasks: each worker opens one, computes it as one process would, to the same bits, and
    writes its results, so their folders have the same paths there and here. A single scene is cut into shards instead.

    Args:
        scenes: paths and URLs, folders of rasters, STAC items, and item collections, each of whose items is a scene.
        polygons: folder for polygons (.gpkg); folders are made.
        label_raster: folder for label rasters.
        confidence: folder for confidence rasters.
        probabilities: folder for rasters of every class's probability.
        probability_dtype: see `segment`.
        boundary: folder for rasters of objects' boundaries.
        polygon_options: see `segment`.
        append: append the polygons of all scenes to one layer, in the GeoPackage that `polygons` is then, as they end;
            scenes that are in it are left out. See `segment`.
        sieve_labels: see `segment`.
        executor: who computes; by default this process, one scene after the other.
        resume: go on within scenes that were cut off, too; without it they are refused, as in `segment`.
        overwrite: segment scenes that are done, too, and replace their results.
        progress: called with the scenes that have ended and all there are; it may raise to cancel.
        options: see `segment`.

    Returns:
        What became of each scene, in the order in which they ended.

    Raises:
        OptionError, OutputError, ModelError: before any work, for what goes wrong with every scene.
    """
    several = [scenes] if not isinstance(scenes, Sequence) or isinstance(scenes, str) else list(scenes)
    folders = {"polygons": polygons, "label_raster": label_raster}
    folders |= {"confidence": confidence, "probabilities": probabilities, "boundary": boundary}
    tasks = list_tasks(
        several,
        folders,
        append_to=(polygon_options or PolygonOptions()).layer_name if append else None,
        scene_name=append.scene_name if isinstance(append, Append) else None,
    )
    done: list[SceneRun] = []
    runs = iter_runs(
        tasks,
        probability_dtype=probability_dtype,
        polygon_options=polygon_options,
        append=append,
        sieve_labels=sieve_labels,
        executor=executor,
        resume=resume,
        overwrite=overwrite,
        options=options,
    )
    with closing(runs):  # type: ignore[type-var]  # a generator
        for run in runs:
            for message in (*run.warnings, *([f"a scene failed: {run.error}"] if run.status == "failed" else [])):
                warnings.warn(message, GeoDeepLabWarning, stacklevel=2)
            done.append(run)
            if progress is not None:
                progress(len(done), len(tasks))
    return done


def iter_runs(
    tasks: Sequence[SceneTask],
    *,
    probability_dtype: str,
    polygon_options: PolygonOptions | None,
    append: bool | Append,
    sieve_labels: bool,
    executor: Executor | None,
    resume: bool,
    overwrite: bool,
    options: RunOptions,
    watch: Watch | None = None,
) -> Iterator[SceneRun]:
    """Segment what is not done; yield what becomes of each scene, as it ends and when it is in the manifest.

    Args:
        tasks: the scenes.
        probability_dtype: see `segment_scenes`, as for what follows.
        polygon_options: what polygons look like.
        append: whether polygons are appended to one layer.
        sieve_labels: whether labels are sieved.
        executor: who computes.
        resume: go on within scenes.
        overwrite: segment what is done, too.
        options: what decides the pixels.
        watch: lends what is told how far each scene is, where they run one after the other.
    """
    shared = _shared_options(options)
    manifest = open_manifest(tasks)
    if manifest.damaged:
        lines = "a damaged line" if manifest.damaged == 1 else f"{manifest.damaged} damaged lines"
        warnings.warn(f"{manifest.path} had {lines}: it is made again", GeoDeepLabWarning, stacklevel=2)
    before = {} if overwrite else manifest.before
    yield from before.values()
    calls = [
        SceneCall(
            name=task.name,
            scene=task.scene,
            outputs=task.outputs,
            probability_dtype=probability_dtype,
            polygon_options=polygon_options,
            sieve_labels=sieve_labels,
            resume=resume and _was_begun(task),
            overwrite=overwrite,
            options=shared,
            append=_append_of(task, append),
        )
        for task in tasks
        if task.name not in before
    ]
    if not calls:
        return
    if takes_scenes(executor, tasks):
        assert isinstance(executor, SceneExecutor)
        runs = executor.iter_scenes(calls, manifest=manifest.path)
    else:
        runs = _iter_here(tasks, calls, executor, watch)
    yield from _noted(runs, manifest, calls)


def takes_scenes(executor: Executor | None, tasks: Sequence[SceneTask]) -> bool:
    """Tell whether whole scenes are computed at once; however many are left, as a resumed run has the same shards."""
    return len(tasks) > 1 and isinstance(executor, SceneExecutor)


def _was_begun(task: SceneTask) -> bool:
    """Tell whether there is something to resume: others need not say that there is not."""
    own = {name: path for name, path in task.outputs.items() if name != "polygons" or task.appended_as is None}
    if task.appended_as is not None:
        own = {"polygons": part_path(task.outputs["polygons"], task.appended_as), **own}
    return workspace_folder(next(iter(own.values()))).is_dir() or any(path.exists() for path in own.values())


def _append_of(task: SceneTask, append: bool | Append) -> Append | None:
    """Say how the polygons of a scene are appended; they are made anywhere, and move into the layer here."""
    if not append or task.appended_as is None:
        return None
    return replace(Append() if append is True else append, scene_name=task.appended_as, commits=False)


def _shared_options(options: RunOptions) -> RunOptions:
    """Load the model once, and state what only this thread knows."""
    shared: RunOptions = {**options}
    shared["model"] = as_model(shared.get("model", DEFAULT_MODEL), shared.pop("contract", None))
    shared["local_only"] = shared.get("local_only", False) or is_local_only()
    return shared


def _iter_here(
    tasks: Sequence[SceneTask], calls: Sequence[SceneCall], executor: Executor | None, watch: Watch | None
) -> Iterator[SceneRun]:
    """Segment one scene after the other; `executor` computes each."""
    numbers = {task.name: (number, task) for number, task in enumerate(tasks, start=1)}
    for call in calls:
        number, task = numbers[call.name]
        with nullcontext() if watch is None else watch(task, number, len(tasks)) as progress:
            run = segment_scene(call, executor=executor, progress=progress)
        yield run


def _noted(runs: Iterator[SceneRun], manifest: Manifest, calls: Sequence[SceneCall]) -> Iterator[SceneRun]:
    """Note what becomes of scenes, when their polygons are in the layer that they may go to."""
    appended = {call.name: call for call in calls if call.append is not None}
    with closing(runs):  # type: ignore[type-var]  # a generator
        for run in runs:
            told = _committed(run, appended[run.scene]) if run.scene in appended else run
            manifest.add(told)
            yield told


def _committed(run: SceneRun, call: SceneCall) -> SceneRun:
    """Move the polygons of a scene into the layer."""
    if run.status == "failed" or call.append is None:
        return run
    path = call.outputs["polygons"]
    try:
        planned = plan_append(
            call.append, path, call.scene, call.polygon_options, overwrite=call.overwrite, resume=True
        )
        assert planned is not None, "something is appended"
        planned.commit()
    except GeoDeepLabError as error:
        return replace(run, status="failed", error=str(error), facts=None)
    outputs = [str(path), *(str(one) for name, one in call.outputs.items() if name != "polygons")]
    return replace(run, outputs=tuple(outputs), facts=None if run.facts is None else {**run.facts, "outputs": outputs})
