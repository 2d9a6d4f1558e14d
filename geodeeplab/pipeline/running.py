"""A plan carried out: rows are spooled as they are finished, and every output is made of the spool."""

import time
import warnings
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any

from rasterio.windows import Window

from geodeeplab.errors import GeoDeepLabWarning, SceneError
from geodeeplab.inference import RunFacts
from geodeeplab.pipeline.appending import Appending
from geodeeplab.pipeline.executor import Executor, repeated_tiles
from geodeeplab.pipeline.outputs import Outputs
from geodeeplab.pipeline.plan import Plan
from geodeeplab.pipeline.polygons import PolygonPlan
from geodeeplab.pipeline.writing import OutputWriter
from geodeeplab.raster import EncodedBlock, Workspace, open_workspace
from geodeeplab.tiling import Lattice, Shard

PIECE_SIZE = 8192
"""Pixels of a piece of the label raster along each axis, where there is only one shard."""

Progress = Callable[[int, int], None]
"""Called with the pixels done and the pixels in all; it may raise to cancel the run, which can be resumed then."""


class Clock:
    """Seconds by stage."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._start = self._last = time.perf_counter()

    def lap(self, name: str) -> None:
        """Book the time since the last lap on a name."""
        now = time.perf_counter()
        self.seconds[name], self._last = now - self._last, now

    def total(self) -> float:
        """Give the time since the start."""
        return time.perf_counter() - self._start


def run_plan(
    plan: Plan,
    outputs: Outputs,
    layer: PolygonPlan,
    executor: Executor,
    clock: Clock,
    *,
    appending: Appending | None,
    sieve_labels: bool,
    resume: bool,
    overwrite: bool,
    progress: Progress,
) -> dict[str, Any]:
    """Spool the finished rows, then write every output from the spool; give the run's facts."""
    shards, run = executor.cut(plan), RunFacts()
    outputs = outputs.with_windows(_pieces(plan, shards), read=plan.scene.source.files)
    if resume and outputs.were_made(plan.pins, layer.options.facts()):
        return _facts_of_done(plan, outputs, shards, layer, clock)
    if appending is not None:
        appending.check_free()
    header = plan.pins | {"shards": [(shard.shape, shard.row_start, shard.col_start) for shard in shards]}
    clock.lap("open")
    with (
        open_workspace(
            outputs.paths, header, shape=plan.grid.shape, layers=plan.layers, resume=resume, overwrite=overwrite
        ) as workspace,
        ExitStack() as stack,
    ):
        for note in filter(None, [*plan.implicit_changes, workspace.note]):
            warnings.warn(note, GeoDeepLabWarning, stacklevel=3)
        writing = OutputWriter(plan=plan, outputs=outputs, layer=layer, workspace=workspace, sieve_labels=sieve_labels)
        _fill(workspace, plan, executor, shards, run, progress, stack.enter_context(writing))
        clock.lap("segment")
        spool = workspace.spool
        if not spool.class_pixels:
            workspace.discard()
            raise SceneError(_nothing_found(plan))
        pins = plan.pins | {"batch_size": plan.engine.forward.batch_size, "non_finite": plan.request.non_finite}
        if run.tiles_not_finite:
            warnings.warn(
                f"logits were not finite in {run.tiles_not_finite} of {run.tiles_forwarded} tiles: "
                "such pixels have no label",
                GeoDeepLabWarning,
                stacklevel=3,
            )
        polygons = writing.publish(pins, lap=clock.lap)
        pixels = {item.name: spool.class_pixels.get(item.id, 0) for item in plan.classes}
        resumed = workspace.resumed_share
    height, width = plan.grid.shape
    return pins | {
        "tiles": {"forwarded": run.tiles_forwarded, "skipped": run.tiles_skipped},
        "resumed_share": resumed,
        "shards": len(shards),
        "repeated_tiles": repeated_tiles(plan, shards),
        "pixels": pixels,
        "polygons": polygons,
        "polygon_options": layer.options.facts(),
        "mpx_per_s": (1 - resumed) * height * width / 1e6 / clock.seconds["segment"],
        "seconds": clock.seconds
        | {
            "waited_for_reads": run.waited_for_reads_s,
            "waited_for_writes": run.waited_for_writes_s,
            "forward": run.forward_s / plan.engine.device.lanes,
            "blend": run.blend_s,
            "total": clock.total(),
        },
        "notes": [*plan.notes, *([workspace.note] if workspace.note else [])],
        "outputs": [str(path) for path in outputs.paths],
    }


def _facts_of_done(
    plan: Plan, outputs: Outputs, shards: Sequence[Shard], layer: PolygonPlan, clock: Clock
) -> dict[str, Any]:
    """Give the facts of a run that was complete before."""
    return plan.pins | {
        "tiles": {"forwarded": 0, "skipped": 0},
        "resumed_share": 1.0,
        "shards": len(shards),
        "repeated_tiles": 0.0,
        "pixels": None,
        "polygons": None,
        "polygon_options": layer.options.facts(),
        "mpx_per_s": None,
        "seconds": clock.seconds | {"total": clock.total()},
        "notes": ["done before"],
        "outputs": [str(path) for path in outputs.paths],
    }


def _fill(
    workspace: Workspace,
    plan: Plan,
    executor: Executor,
    shards: Sequence[Shard],
    run: RunFacts,
    progress: Progress,
    writing: OutputWriter,
) -> None:
    """Compute what the spool has not yet, while polygons are written of what it has."""
    spool = workspace.spool
    height, width = plan.grid.shape
    todo = [rest for shard in shards if (rest := spool.resume_shard(shard)) is not None]
    tracing = writing.follow(shards)
    progress(spool.pixel_count, height * width)

    def take(block: EncodedBlock) -> None:
        spool.append(block)
        writing.check()
        progress(spool.pixel_count, height * width)

    if todo:
        executor.run(plan, todo, take, run, tracing=tracing)


def _pieces(plan: Plan, shards: Sequence[Shard]) -> list[Window]:
    """Give the pieces of a label raster in pieces: the shards, or squares where there is only one."""
    if len(shards) == 1:
        height, width = plan.grid.shape
        lattice = Lattice(shape=(height, width), tile_size=1, overlap=0)
        shards = list(lattice.iter_shards(PIECE_SIZE, PIECE_SIZE))
    return [Window(one.col_start, one.row_start, one.shape[1], one.shape[0]) for one in shards]


def _nothing_found(plan: Plan) -> str:
    """Say why there is no label, and what to do."""
    where = "" if plan.aoi is None else " within the area of interest"
    where += "" if plan.request.mask is None else " outside of its masks"
    rest = plan.request.classes is not None or plan.request.min_confidence > 0
    if rest:
        return f"scene '{plan.scene.path}' has no pixel{where} with these classes and this confidence: ask for less"
    return f"scene '{plan.scene.path}' has no valid pixel{where} in these bands: check its nodata value or mask"
