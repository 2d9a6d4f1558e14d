"""Write the outputs of a run from its spool, all or none; polygons while it is filled."""

import json
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from types import TracebackType
from typing import Any

from geodeeplab.inference import CONFIDENCE_NODATA
from geodeeplab.pipeline.executor import Tracing
from geodeeplab.pipeline.outputs import Outputs
from geodeeplab.pipeline.plan import Plan
from geodeeplab.pipeline.polygon_writer import PolygonWriter
from geodeeplab.pipeline.polygons import PolygonPlan
from geodeeplab.pipeline.traced_rows import TracedRows
from geodeeplab.raster import (
    Overviews,
    Workspace,
    classes_tag,
    follow_labels,
    follow_raster,
    write_label_cog,
    write_label_shards,
    write_raster,
)
from geodeeplab.tiling import Shard

TRACERS = max(1, min(4, (os.cpu_count() or 1) // 4))
"""Threads that trace polygons while a GPU computes; on a CPU it is one, as the rest is the network's."""

Lap = Callable[[str], None]
"""Called with an output's name when it is written."""


class OutputWriter:
    """Writes a run's outputs; as a context manager it gives up what is not published at the end of the block."""

    def __init__(
        self, *, plan: Plan, outputs: Outputs, layer: PolygonPlan, workspace: Workspace, sieve_labels: bool
    ) -> None:
        """Take what is to be written.

        Args:
            plan: the run.
            outputs: which outputs.
            layer: how polygons are made.
            workspace: has the spool, and what is written before its time.
            sieve_labels: whether label rasters have the minimum mapping unit, too.
        """
        self._plan, self._outputs, self._layer, self._workspace = plan, outputs, layer, workspace
        self._sieve_labels = sieve_labels
        self._writer: PolygonWriter | None = None
        self._overviews: dict[str, Overviews] = {}
        self._early_path = workspace.folder / f"polygons{'' if outputs.polygons is None else outputs.polygons.suffix}"

    def __enter__(self) -> "OutputWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for one in (self._writer, *self._overviews.values()):
            if one is not None:
                one.close()

    def follow(self, shards: Sequence[Shard]) -> Tracing | None:
        """Begin to make overviews and polygons while rows are finished, unless polygons need all of them first.

        Give what others may do of the polygons, if anything.
        """
        self._follow_rasters()
        if self._outputs.polygons is not None and not self._layer.needs_all_rows:
            tags = self._tags(self._plan.pins)
            self._writer = PolygonWriter(
                self._layer,
                self._workspace.spool,
                shards,
                folder=self._workspace.folder / "traced",
                path=self._early_path,
                metadata=tags,
                threads=TRACERS if self._plan.engine.device.torch_device.type == "cuda" else 1,
            )
            self._writer.start()
        return None if self._writer is None else self._writer.tracing

    def _follow_rasters(self) -> None:
        spool, outputs = self._workspace.spool, self._outputs
        if outputs.label_raster is not None and not self._sieve_labels:
            self._overviews["labels"] = follow_labels(spool)
        for name, path in (
            ("confidence", outputs.confidence),
            ("probabilities", outputs.probabilities),
            ("boundary", outputs.boundary),
        ):
            if path is not None:
                nodata = None if name == "boundary" else self._plan.engine.decision.fill(name)
                self._overviews[name] = follow_raster(spool, name, nodata=nodata)

    def check(self) -> None:
        """Raise what has gone wrong with overviews and polygons so far."""
        for one in (self._writer, *self._overviews.values()):
            if one is not None:
                one.check()

    def publish(self, pins: Mapping[str, Any], *, lap: Lap) -> int | None:
        """Write every output, and let them appear; give the number of polygons, if there are any asked for.

        Args:
            pins: what the pixels depend on, for the files' metadata.
            lap: called with an output's name when it is written.
        """
        polygons = None if self._writer is None else self._writer.result()
        if self._writer is not None:
            lap("polygons")
        with self._traced() as traced, self._workspace.publish() as temporary:
            spool, grid, classes = self._workspace.spool, self._plan.grid, self._plan.classes
            outputs, tags = self._outputs, self._tags(pins)
            shown = traced.labels if traced is not None and self._sieve_labels else spool
            if outputs.label_raster is not None:
                write_label_cog(
                    shown,
                    temporary[outputs.label_raster],
                    grid=grid,
                    classes=classes,
                    tags=tags,
                    overviews=self._overviews.get("labels"),
                )
                lap("label_raster")
            if outputs.shard_windows:
                write_label_shards(shown, outputs.shard_windows, temporary, grid=grid, classes=classes, tags=tags)
                lap("shards")
            decided = self._plan.engine.decision
            bands = tuple(item.name for item in self._plan.model.contract.classes)
            for layer, path, nodata, names in (
                ("confidence", outputs.confidence, CONFIDENCE_NODATA, ()),
                ("probabilities", outputs.probabilities, decided.fill("probabilities"), bands),
                ("boundary", outputs.boundary, None, ()),
            ):
                if path is not None:
                    write_raster(
                        spool,
                        temporary[path],
                        grid=grid,
                        nodata=nodata,
                        layer=layer,
                        band_names=names,
                        tags=tags,
                        overviews=self._overviews.get(layer),
                    )
                    lap(layer)
            if outputs.polygons is not None:
                path = temporary[outputs.polygons]
                if traced is None:
                    shutil.move(self._early_path, path)
                else:
                    rows = traced.iter_with_confidence()
                    polygons = self._layer.write(path, rows, with_confidence=True, metadata=tags, overwrite=True)
                lap("polygons")
        return polygons

    def _tags(self, pins: Mapping[str, Any]) -> dict[str, str]:
        return {"GEODEEPLAB": json.dumps(pins, default=str), **classes_tag(self._plan.classes)}

    def _traced(self) -> AbstractContextManager[TracedRows | None]:
        """Give the rows as they are traced, where polygons, or labels with a minimum mapping unit, need all of them."""
        is_needed = self._layer.needs_all_rows and (self._outputs.polygons is not None or self._sieve_labels)
        if not is_needed:
            return nullcontext()
        return TracedRows(self._layer, self._workspace.spool, self._workspace.folder)
