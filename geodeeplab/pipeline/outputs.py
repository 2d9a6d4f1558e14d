"""The outputs of a run, checked before any work."""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from rasterio.windows import Window

from geodeeplab.errors import OptionError, OutputError
from geodeeplab.raster import (
    RASTER_SUFFIXES,
    VRT_NAME,
    check_distinct,
    check_output,
    shard_paths,
    workspace_folder,
)
from geodeeplab.vector import POLYGON_SUFFIXES

OutputPath = str | os.PathLike[str]


@dataclass(frozen=True, kw_only=True)
class Outputs:
    """Where the outputs go."""

    polygons: Path | None
    """Vector file."""
    label_raster: Path | None
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
        every = (self.polygons, self.label_raster, self.confidence, self.probabilities)
        vrt = () if self.shards is None else (self.shards / VRT_NAME,)
        return [*(path for path in every if path is not None), *vrt, *self.shard_windows]

    def with_windows(self, windows: Sequence[Window]) -> "Outputs":
        """Give the same with the pieces of the label raster, if they are asked for."""
        return self if self.shards is None else replace(self, shard_windows=shard_paths(self.shards, windows))


def check_outputs(
    *,
    polygons: OutputPath | None,
    label_raster: OutputPath | None,
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
    first = next((path for path in (polygons, label_raster, confidence, probabilities) if path is not None), None)
    if first is not None and workspace_folder(Path(first)).is_dir():
        overwrite = True  # an earlier run was cut off, perhaps while it renamed outputs: they are checked after that

    def check(path: OutputPath | None, suffixes: Sequence[str]) -> Path | None:
        return None if path is None else check_output(path, suffixes=suffixes, overwrite=overwrite, inputs=inputs)

    outputs = Outputs(
        polygons=check(polygons, POLYGON_SUFFIXES),
        label_raster=check(label_raster, RASTER_SUFFIXES),
        confidence=check(confidence, RASTER_SUFFIXES),
        probabilities=check(probabilities, RASTER_SUFFIXES),
        shards=None if shards is None else _check_folder(Path(shards)),
    )
    if not outputs.paths:
        raise OptionError("nothing to write: give an output such as -o landcover.gpkg, --label-raster or --confidence")
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
