"""The outputs of a run: checked before any work, written from the spool at the end, all or none."""

import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from rasterio.windows import Window

from geodeeplab.errors import OptionError, OutputError
from geodeeplab.inference import CONFIDENCE_NODATA
from geodeeplab.pipeline.plan import Plan
from geodeeplab.raster import (
    RASTER_SUFFIXES,
    VRT_NAME,
    BlockSpool,
    check_distinct,
    check_output,
    classes_tag,
    shard_paths,
    workspace_folder,
    write_label_cog,
    write_label_shards,
    write_raster,
)
from geodeeplab.vector import POLYGON_SUFFIXES, trace_polygons, write_polygons

OutputPath = str | os.PathLike[str]


@dataclass(frozen=True, kw_only=True)
class Outputs:
    """Where the outputs go."""

    polygons: Path | None
    """Vector file."""
    labels: Path | None
    """Label raster."""
    confidence: Path | None
    """Confidence raster."""
    probabilities: Path | None
    """Raster of all classes' probabilities."""
    shards: Path | None = None
    """Folder for the label raster in pieces."""
    shard_windows: Mapping[Path, Window] = field(default_factory=dict)
    """Path and window of each piece, once they are known."""

    @property
    def paths(self) -> list[Path]:
        """Those that were asked for."""
        every = (self.polygons, self.labels, self.confidence, self.probabilities)
        vrt = () if self.shards is None else (self.shards / VRT_NAME,)
        return [*(path for path in every if path is not None), *vrt, *self.shard_windows]

    def with_windows(self, windows: Sequence[Window]) -> "Outputs":
        """Give the same with the pieces of the label raster, if they are asked for."""
        return self if self.shards is None else replace(self, shard_windows=shard_paths(self.shards, windows))


def check_outputs(
    *,
    polygons: OutputPath | None,
    labels: OutputPath | None,
    confidence: OutputPath | None,
    probabilities: OutputPath | None,
    shards: OutputPath | None,
    overwrite: bool,
    inputs: Iterable[OutputPath],
) -> Outputs:
    """Check everything about the outputs that can be known before any work.

    Raises:
        OptionError: if there is none, two are the same, or one is an input or has an unknown suffix.
        OutputError: if a folder is missing or not writable, or a path is taken and `overwrite` false.
    """
    first = next((path for path in (polygons, labels, confidence, probabilities) if path is not None), None)
    if first is not None and workspace_folder(Path(first)).is_dir():
        overwrite = True  # an earlier run was cut off, perhaps while it renamed outputs: they are checked after that

    def check(path: OutputPath | None, suffixes: Sequence[str]) -> Path | None:
        return None if path is None else check_output(path, suffixes=suffixes, overwrite=overwrite, inputs=inputs)

    outputs = Outputs(
        polygons=check(polygons, POLYGON_SUFFIXES),
        labels=check(labels, RASTER_SUFFIXES),
        confidence=check(confidence, RASTER_SUFFIXES),
        probabilities=check(probabilities, RASTER_SUFFIXES),
        shards=None if shards is None else _check_folder(Path(shards)),
    )
    if not outputs.paths:
        raise OptionError("nothing to write: give an output such as -o landcover.gpkg, --labels or --confidence")
    check_distinct(outputs.paths)
    return outputs


def _check_folder(folder: Path) -> Path:
    """Make the folder for the pieces of the label raster.

    Raises:
        OutputError: if it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"the folder {folder} cannot be made ({error.strerror}): choose another") from error
    return folder


def write_outputs(
    spool: BlockSpool,
    plan: Plan,
    outputs: Outputs,
    temporary: Mapping[Path, Path],
    pins: Mapping[str, Any],
    *,
    lap: Callable[[str], None],
) -> int | None:
    """Write every output from the spool to its temporary path; give the number of polygons, if there are any asked for.

    Args:
        spool: all rows of all layers.
        plan: the run.
        outputs: which outputs.
        temporary: where to write each path of `outputs` for now.
        pins: what the pixels depend on, for the files' metadata.
        lap: called with an output's name when it is written.
    """
    grid, classes, polygons = plan.scene.grid, plan.classes, None
    tags = {"GEODEEPLAB": json.dumps(pins, default=str), **classes_tag(classes)}
    if outputs.labels is not None:
        write_label_cog(spool, temporary[outputs.labels], grid=grid, classes=classes, tags=tags)
        lap("labels")
    if outputs.shard_windows:
        write_label_shards(spool, outputs.shard_windows, temporary, grid=grid, classes=classes, tags=tags)
        lap("shards")
    if outputs.confidence is not None:
        path = temporary[outputs.confidence]
        write_raster(spool, path, grid=grid, nodata=CONFIDENCE_NODATA, layer="confidence", tags=tags)
        lap("confidence")
    if outputs.probabilities is not None:
        write_raster(
            spool,
            temporary[outputs.probabilities],
            grid=grid,
            nodata=plan.engine.decision.fill("probabilities"),
            layer="probabilities",
            band_names=[item.name for item in plan.model.contract.classes],
            tags=tags,
        )
        lap("probabilities")
    if outputs.polygons is not None:
        batches = trace_polygons((rows for _, rows in spool.iter_rows("labels")), transform=plan.scene.transform)
        polygons = write_polygons(
            batches, temporary[outputs.polygons], crs=plan.scene.crs, classes=classes, metadata=tags
        )
        lap("polygons")
    return polygons
