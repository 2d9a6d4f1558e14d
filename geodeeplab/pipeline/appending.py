"""Append a scene's polygons to a layer of many scenes: they are made in a file of their own, and copied at the end."""

import hashlib
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from geodeeplab.errors import OptionError, OutputError
from geodeeplab.pipeline.polygon_options import PolygonOptions
from geodeeplab.pipeline.polygons import PolygonPlan
from geodeeplab.raster import SceneLike, check_output, classes_tag
from geodeeplab.vector import PolygonBatch, write_polygons
from geodeeplab.vector.layers.appending import append_part, check_append
from geodeeplab.vector.layers.scene_records import AppendTarget, already_there

SUFFIX = ".gpkg"


@dataclass(frozen=True, kw_only=True)
class Append:
    """How polygons are appended to a layer that holds those of other scenes, a GeoPackage's."""

    scene_name: str | None = None
    """What the scene is called in the layer; by default the name of its file without the suffix, or its id."""
    scene_column: str = "scene"
    """Column with the names of the scenes."""
    commits: bool = True
    """False leaves the part beside the layer to who called, of many scenes at once."""


@dataclass(frozen=True, kw_only=True)
class Appending:
    """A scene whose polygons are appended, checked before any work."""

    target: AppendTarget
    """The layer, and the scene in it."""
    record: Mapping[str, str] | None
    """How the polygons of this scene were made that are in the layer; None where none are."""
    replaces: bool
    """Whether they are replaced."""
    commits: bool
    """See `Append`."""

    @property
    def part(self) -> Path:
        """Where the polygons are made, and stay until they are in the layer."""
        return part_path(self.target.path, self.target.scene)

    @property
    def column(self) -> tuple[str, str]:
        """The column, and the name that stands in it."""
        return self.target.column, self.target.scene

    def check_layer(self, layer: PolygonPlan) -> None:
        """Check before any work that polygons can go into the layer.

        Raises:
            OptionError, OutputError: They cannot.
        """
        if not self.target.path.exists():
            return
        with tempfile.TemporaryDirectory(prefix="geodeeplab-") as folder:
            probe = Path(folder) / f"probe{SUFFIX}"
            write_polygons(
                [_no_polygons(is_multi=layer.options.connectivity == 8)],
                probe,
                crs=layer.crs,
                classes=layer.classes,
                layer=layer.options.layer_name,
                scene=self.column,
                metadata=classes_tag(layer.classes),
            )
            check_append(probe, self.target)

    def check_unfinished(self) -> None:
        """Check that no earlier run has made the polygons, where they are neither to be appended nor to be replaced.

        Raises:
            OutputError: One has.
        """
        if self.part.exists() and not self.replaces:
            raise OutputError(
                f"the polygons of scene '{self.target.scene}' are finished in {self.part}, not in the layer yet: pass "
                "`resume=True` to append them, or `overwrite=True` to start afresh"
            )

    def check_free(self) -> None:
        """Check that the scene is not in the layer, or is to be replaced.

        Raises:
            OptionError: It is.
        """
        if self.record is not None and not self.replaces:
            raise OptionError(already_there(self.target))

    def finish(self, facts: dict[str, Any]) -> Path:
        """Move the polygons into the layer, unless that is left to others; give where they are.

        Args:
            facts: of the run, whose outputs are named as they are in the end.

        Raises:
            OptionError, OutputError: See `commit`.
        """
        final = self.target.path if self.commits else self.part
        facts["outputs"] = [str(final if path == str(self.part) else path) for path in facts["outputs"]]
        if self.commits:
            self.commit()
        return final

    def commit(self) -> None:
        """Move the polygons into the layer, all or none; nothing is left to do where they are there.

        Raises:
            OptionError, OutputError: See `append_part`; the part stays.
        """
        if self.part.exists():
            try:
                append_part(self.part, self.target, replace=self.replaces)
            except OutputError as error:
                raise OutputError(f"{error}; the polygons stay in {self.part}: pass `resume=True`") from error


def plan_append(
    append: bool | Append,
    path: str | os.PathLike[str] | None,
    scene: SceneLike,
    options: PolygonOptions | None,
    *,
    overwrite: bool,
    resume: bool = False,
) -> Appending | None:
    """Check what can be known of a layer before any work; None where nothing is appended.

    Args:
        append: whether polygons are appended, or how.
        path: the GeoPackage; need not exist.
        scene: the scene.
        options: what polygons look like.
        overwrite: replace those of this scene.
        resume: go on with a run that was cut off.

    Raises:
        OptionError: it is no GeoPackage, or the scene has no name, or is there already.
        OutputError: it cannot be read, or nothing can be made beside it.
    """
    if not append:
        return None
    how = Append() if append is True else append
    if path is None or Path(path).suffix.lower() != SUFFIX:
        given = "none" if path is None else os.fspath(path)
        raise OptionError(f"polygons are appended to a GeoPackage ({SUFFIX}), got {given}: give one as `polygons=`")
    target = AppendTarget(
        path=check_output(path, suffixes=(SUFFIX,), overwrite=True),
        layer=(options or PolygonOptions()).layer_name,
        column=how.scene_column,
        scene=how.scene_name or _name_of(scene),
    )
    planned = Appending(target=target, record=target.record(), replaces=overwrite, commits=how.commits)
    if not resume:
        planned.check_free()
        planned.check_unfinished()
    return planned


def part_path(path: Path, scene: str) -> Path:
    """Give where the polygons of a scene are made that go into a GeoPackage."""
    digest = hashlib.sha256(scene.encode(errors="surrogateescape")).hexdigest()[:12]
    return path.with_name(f".{path.stem}-{digest}{SUFFIX}")


def _name_of(scene: SceneLike) -> str:
    """Name a scene after its file, or its id; a mosaic after its first."""
    first: Any = scene[0] if isinstance(scene, list | tuple) and scene else scene
    name = first.get("id") if isinstance(first, Mapping) else None
    if isinstance(first, str | os.PathLike):
        name = Path(os.fspath(first).partition("?")[0]).stem
    if not isinstance(name, str) or not name:
        raise OptionError("a scene that is no file has no name in the layer: give one, `scene_name=`")
    return name


def _no_polygons(*, is_multi: bool) -> PolygonBatch:
    """Give no polygons, with a confidence."""
    none = np.array([])
    return PolygonBatch(
        class_ids=np.array([], np.int32),
        points=np.empty((0, 2)),
        ring_offsets=np.zeros(1, np.int64),
        polygon_offsets=np.zeros(1, np.int64),
        feature_offsets=np.zeros(1, np.int64) if is_multi else None,
        area_m2=none,
        perimeter_m=none,
        confidence_mean=none,
        confidence_min=none,
    )
