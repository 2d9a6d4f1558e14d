"""One scene of many: segmented here or on a worker, and what becomes of it told as a value."""

import time
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from geodeeplab.errors import GeoDeepLabError
from geodeeplab.pipeline.appending import Append, part_path
from geodeeplab.pipeline.executor import Executor
from geodeeplab.pipeline.polygon_options import PolygonOptions
from geodeeplab.pipeline.run_options import RunOptions
from geodeeplab.pipeline.running import Progress
from geodeeplab.pipeline.scenes.result import SceneRun
from geodeeplab.pipeline.segment import segment


@dataclass(frozen=True, kw_only=True)
class SceneCall:
    """All that `segment` is told for one scene; with paths for scene, model and area it travels to a worker."""

    name: str
    """How messages name the scene."""
    scene: str | Mapping[str, Any]
    """Path or URL of the scene, or a STAC item."""
    outputs: Mapping[str, Path]
    """Path of each result, by argument of `segment`."""
    probability_dtype: str
    """See `segment`, as for what follows."""
    polygon_options: PolygonOptions | None
    sieve_labels: bool
    resume: bool
    overwrite: bool
    options: RunOptions
    append: Append | None = None

    @property
    def first_output(self) -> Path:
        """The output beside which the run does its work."""
        if self.append is not None and self.append.scene_name is not None:
            return part_path(self.outputs["polygons"], self.append.scene_name)
        return next(iter(self.outputs.values()))


def segment_scene(call: SceneCall, *, executor: Executor | None = None, progress: Progress | None = None) -> SceneRun:
    """Segment a scene of many; one that fails, for whatever reason, is a value like one that does not.

    Args:
        call: the scene and what is to be done.
        executor: who computes it; by default this process.
        progress: see `segment`.
    """
    started = time.perf_counter()
    outputs = tuple(map(str, call.outputs.values()))
    try:
        facts = segment(
            call.scene,
            call.outputs.get("polygons"),
            label_raster=call.outputs.get("label_raster"),
            confidence=call.outputs.get("confidence"),
            probabilities=call.outputs.get("probabilities"),
            boundary=call.outputs.get("boundary"),
            probability_dtype=call.probability_dtype,
            polygon_options=call.polygon_options,
            append=call.append or False,
            sieve_labels=call.sieve_labels,
            executor=executor,
            resume=call.resume,
            overwrite=call.overwrite,
            progress=progress,
            **call.options,
        ).facts
    except Exception as error:
        is_expected = isinstance(error, GeoDeepLabError | MemoryError)
        return SceneRun(
            scene=call.name,
            status="failed",
            outputs=outputs,
            error=_told(call.name, error),
            seconds=time.perf_counter() - started,
            traceback=None if is_expected else "".join(traceback.format_exception(error)).rstrip(),
        )
    seconds = time.perf_counter() - started
    return SceneRun(scene=call.name, status="done", outputs=outputs, seconds=seconds, facts=facts)


def _told(scene: str, error: Exception) -> str:
    """Say in one line why a scene failed; our own errors name it, others need not."""
    words = str(error) if isinstance(error, GeoDeepLabError) else f"{scene}: {type(error).__name__}: {error}"
    return " ".join("; ".join([words, *getattr(error, "__notes__", [])]).split())
