"""The outputs of a run, checked before any work: against each other, its inputs, and what an earlier run has done."""

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rasterio
from rasterio.windows import Window

from geodeeplab.errors import GeoDeepLabError, OptionError, OutputError
from geodeeplab.models import find_model
from geodeeplab.raster import (
    RASTER_SUFFIXES,
    VRT_NAME,
    check_distinct,
    check_not_inputs,
    check_output,
    describe_difference,
    finished_before,
    iter_files,
    paths_in,
    shard_paths,
    stored_pins,
    workspace_folder,
)
from geodeeplab.text import parse_json
from geodeeplab.vector import POLYGON_SUFFIXES
from geodeeplab.vector.layers import read_layer_metadata
from geodeeplab.vector.layers.scene_records import read_records

if TYPE_CHECKING:  # they load torch
    from geodeeplab.models import ContractLike, ModelLike

OutputPath = str | os.PathLike[str]
NOT_COMPARED = ("batch_size", "non_finite")
"""Pins that may differ though a run is the same: what was found on the way, and what changes nothing that is done."""


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
    boundary: Path | None = None
    """Raster of the boundaries of objects."""
    shards: Path | None = None
    """Folder for the label raster in pieces."""
    shard_windows: Mapping[Path, Window] = field(default_factory=dict)
    """Path and window of each piece, once they are known."""
    inputs: tuple[OutputPath, ...] = ()
    """What the run reads."""
    appended: Mapping[str, str] | None = None
    """How the polygons were made that are in the layer that they go to; None where none are, or there is no layer."""

    @property
    def paths(self) -> list[Path]:
        """Those that were asked for."""
        every = (self.polygons, self.label_raster, self.confidence, self.probabilities, self.boundary)
        vrt = () if self.shards is None else (self.shards / VRT_NAME,)
        return [*(path for path in every if path is not None), *vrt, *self.shard_windows]

    def with_windows(self, windows: Sequence[Window], *, read: Iterable[str]) -> "Outputs":
        """Give the same with the pieces of the label raster, if they are asked for, checked once more.

        Args:
            windows: of the pieces.
            read: the files of the open scene.

        Raises:
            OptionError: if one is an input, or lies in the run's place to work.
        """
        whole = self if self.shards is None else replace(self, shard_windows=shard_paths(self.shards, windows))
        check_not_inputs(whole.paths, [*self.inputs, *read])
        return whole

    def were_made(self, pins: Mapping[str, Any], polygon_options: Mapping[str, Any]) -> bool:
        """Tell whether an earlier run with the same pins has made all of them; cleans up after it.

        Raises:
            OutputError: if all are there, and one was made otherwise.
        """
        left = [path for path in self.paths if self.appended is None or path != self.polygons]
        if left and not finished_before(left):
            return False
        now = _as_json({key: value for key, value in pins.items() if key not in NOT_COMPARED})
        for path in self.paths:
            is_appended = path not in left
            facts, polygons = parse_facts(self.appended or {}) if is_appended else read_facts(path)
            before = {key: value for key, value in facts.items() if key not in NOT_COMPARED}
            difference = describe_difference(before, now) if facts else "something else"
            if facts and path == self.polygons:
                difference = difference or describe_difference(polygons, _as_json(polygon_options))
            if difference:
                raise OutputError(
                    f"cannot resume: {path} is complete and was made with {difference}: "
                    "give the same, or pass `overwrite=True` to start afresh"
                )
        return True


def stored_batch_size(first: Path) -> int | None:
    """Give the batch that an interrupted run has found, of the run whose first output this is; None if nobody knows.

    It is no number that anybody may have written there: what this machine could not have found counts for nothing.
    """
    from geodeeplab.inference.device import LARGEST_BATCH

    try:
        made_with = stored_pins(first)
    except OutputError:  # told when the workspace is opened
        return None
    batch_size = made_with.get("batch_size")
    is_found = type(batch_size) is int and 1 <= batch_size <= LARGEST_BATCH
    return batch_size if is_found else None


def read_facts(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Read the pins that `segment` wrote into an output, and the options of its polygons; empty if it wrote none."""
    tags: dict[str, str] = {}
    with suppress(Exception):  # a damaged file, or somebody else's, has none
        if path.suffix.lower() in POLYGON_SUFFIXES:
            tags = read_layer_metadata(path)
            records = read_records(path) if path.suffix.lower() == ".gpkg" else {}
            if len(records) == 1:  # one that was ready to be appended
                tags |= next(iter(records.values()))
        else:
            with rasterio.Env(), rasterio.open(path) as src:
                tags = src.tags()
    return parse_facts(tags)


def parse_facts(tags: Mapping[str, str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Read the same from the tags of a file; empty if they do not have it."""
    found = []
    for key in ("GEODEEPLAB", "GEODEEPLAB_POLYGONS"):
        try:
            value = parse_json(tags.get(key, "{}"))
        except ValueError:
            value = {}
        found.append(value if isinstance(value, dict) else {})
    return found[0], found[1]


def model_paths(model: "ModelLike", contract: "ContractLike | None") -> list[OutputPath]:
    """List the files that a model is read from."""
    if not isinstance(model, str | os.PathLike):
        from geodeeplab.models import Model

        return paths_in(model.files if isinstance(model, Model) else None, contract)
    with suppress(GeoDeepLabError, OSError):  # whoever loads it says what is wrong
        path = find_model(model)
        files: list[OutputPath] = [path]
        if path.suffix.lower() == ".onnx":
            from geodeeplab.models.files.onnx_graph import find_weight_files

            files += find_weight_files(path)
        return [*files, *paths_in(contract)]
    return paths_in(contract)


def check_outputs(
    *,
    polygons: OutputPath | None,
    label_raster: OutputPath | None,
    confidence: OutputPath | None,
    probabilities: OutputPath | None,
    boundary: OutputPath | None = None,
    shards: OutputPath | None,
    overwrite: bool,
    inputs: Sequence[OutputPath],
) -> Outputs:
    """Check everything about the outputs that can be known before any work.

    Raises:
        OptionError: if there is none, two are the same, or one is an input or has an unknown suffix.
        OutputError: if a folder is missing or not writable, or a path is taken and `overwrite` false.
    """
    every = (polygons, label_raster, confidence, probabilities, boundary)
    first = next((path for path in every if path is not None), None)
    if first is not None and workspace_folder(Path(first)).is_dir():
        overwrite = True  # an earlier run was cut off, perhaps while it renamed outputs: they are checked after that

    def check(path: OutputPath | None, suffixes: Sequence[str]) -> Path | None:
        return None if path is None else check_output(path, suffixes=suffixes, overwrite=overwrite, inputs=inputs)

    outputs = Outputs(
        polygons=check(polygons, POLYGON_SUFFIXES),
        label_raster=check(label_raster, RASTER_SUFFIXES),
        confidence=check(confidence, RASTER_SUFFIXES),
        probabilities=check(probabilities, RASTER_SUFFIXES),
        boundary=check(boundary, RASTER_SUFFIXES),
        shards=None if shards is None else _check_folder(Path(shards)),
        inputs=tuple(inputs),
    )
    if not outputs.paths:
        raise OptionError("nothing to write: give an output, `polygons=`, `label_raster=` or `confidence=`")
    check_distinct(outputs.paths)
    _check_inputs_outside(workspace_folder(outputs.paths[0]), inputs)
    return outputs


def _check_inputs_outside(folder: Path, inputs: Iterable[OutputPath]) -> None:
    """Check that nothing that the run reads lies where it works, as that is removed at the end.

    Raises:
        OptionError: if something does.
    """
    for name in inputs if folder.is_dir() else ():
        for file in iter_files(name):
            if Path(file).resolve().is_relative_to(folder):
                raise OptionError(f"input {file} lies in {folder}, where the run keeps its work: move it away first")


def _as_json(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Give facts as they come back from a file."""
    read: dict[str, Any] = json.loads(json.dumps(dict(facts), default=str))
    return read


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
