"""Which scenes there are, and where the results of each go."""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from geodeeplab.errors import OptionError, OutputError
from geodeeplab.raster import check_distinct, check_not_inputs, is_zarr, names_stac, paths_in
from geodeeplab.raster.sources.stac_collection import split_collection
from geodeeplab.vector.layers.scene_records import read_records

RASTER_ENDINGS = (".tif", ".tiff", ".vrt", ".jp2", ".img", ".png", ".jpg", ".jpeg")
"""What counts as a scene in a folder."""
NAMES = {
    "polygons": "{}.gpkg",
    "label_raster": "{}.tif",
    "confidence": "{}_confidence.tif",
    "probabilities": "{}_probabilities.tif",
    "boundary": "{}_boundary.tif",
}
"""Names of a scene's results in the folders, by argument of `segment`."""
LONGEST_NAME = 200
"""Bytes of a name without what is put behind it: file systems take 255."""

Document = str | os.PathLike[str] | Mapping[str, Any]
"""A path or URL, or a STAC item or item collection as Python reads it."""


@dataclass(frozen=True, kw_only=True)
class SceneTask:
    """A scene and where its results go."""

    name: str
    """How messages and the manifest name it: the path, or that of the item collection with the item's id."""
    scene: str | Mapping[str, Any]
    """Path or URL of the scene, or a STAC item."""
    outputs: Mapping[str, Path]
    """Path of each result, by argument of `segment`."""
    appended_as: str | None = None
    """Name of the scene in the layer that its polygons are appended to; None where they have a file of their own."""
    is_appended: bool = False
    """True where they are in the layer."""

    @property
    def is_done(self) -> bool:
        """True where all results are there: they appear together."""
        own = [path for name, path in self.outputs.items() if name != "polygons" or self.appended_as is None]
        return all(path.exists() for path in own) and (self.appended_as is None or self.is_appended)


@dataclass(frozen=True, kw_only=True)
class _Found:
    name: str
    stem: str
    scene: str | Mapping[str, Any]


def is_folder_of_scenes(path: str | os.PathLike[str]) -> bool:
    """Tell whether a path is a folder, and not a Zarr store, which is one scene."""
    return Path(path).is_dir() and not is_zarr(path)


def list_tasks(
    scenes: Sequence[Document],
    outputs: Mapping[str, str | os.PathLike[str] | None],
    *,
    split_collections: bool = True,
    append_to: str | None = None,
    scene_name: str | None = None,
) -> list[SceneTask]:
    """List the scenes, those in folders and item collections too, with their results; makes the folders.

    Args:
        scenes: paths and URLs, folders of rasters, STAC items and item collections.
        outputs: folders of results, by argument of `segment`.
        split_collections: each item of a collection is a scene; else a collection is one, the mosaic of its items.
        append_to: name of the layer that polygons of all scenes are appended to; that output is a GeoPackage then.
        scene_name: what the only scene is called in that layer; by default as its results are.

    Raises:
        OptionError: if there is no scene, two would have results of the same name, a result is one of the scenes, or
            rasters would lie among the scenes, where the next run would take them for scenes or for results.
        SceneError: for an item collection whose items cannot be told apart.
        OutputError: if a folder cannot be made.
    """
    found = [one for scene in scenes for one in _iter_scenes(scene, split_collections)]
    if not found:
        told = ", ".join(str(one) if isinstance(one, str | os.PathLike) else "a STAC document" for one in scenes)
        raise OptionError(f"no scene in {told or 'nothing'}: rasters end with {', '.join(RASTER_ENDINGS)}")
    folders = {name: Path(path) for name, path in outputs.items() if path is not None}
    if scene_name is not None and len(found) > 1:
        raise OptionError(
            f"{len(found)} scenes have {len(found)} names, got one, {scene_name!r}: leave `scene_name=` out, or append "
            "them one by one"
        )
    layer = None if append_to is None else folders.pop("polygons", None)
    records = {} if layer is None else read_records(layer)
    if not folders and layer is None:
        raise OptionError("nothing to write: give a folder as `polygons=`, `label_raster=` or `confidence=`")
    parents = {Path(one.scene).resolve().parent for one in found if isinstance(one.scene, str)}
    for name, folder in folders.items():
        if name != "polygons" and folder.resolve() in parents:
            raise OptionError(f"rasters for `{name}=` would lie among the scenes in {folder}: choose another folder")
    stems: dict[str, str] = {}
    for one in found:
        if one.stem in stems:
            raise OptionError(
                f"{stems[one.stem]} and {one.name} would have results of the same name: run them one by one"
            )
        stems[one.stem] = one.name
    for folder in folders.values():
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"the folder {folder} cannot be made ({error.strerror}): choose another") from error
    tasks = [
        SceneTask(
            name=one.name,
            scene=one.scene,
            outputs=({} if layer is None else {"polygons": layer})
            | {name: folder / NAMES[name].format(one.stem) for name, folder in folders.items()},
            appended_as=None if layer is None else scene_name or one.stem,
            is_appended=(append_to, scene_name or one.stem) in records,
        )
        for one in found
    ]
    own = [path for task in tasks for name, path in task.outputs.items() if layer is None or name != "polygons"]
    results = own if layer is None else [layer, *own]
    check_distinct(results)
    check_not_inputs(results, paths_in([one.scene for one in found]))
    return tasks


def _iter_scenes(scene: Document, split_collections: bool) -> Iterator[_Found]:
    """Yield the scene, or the rasters in it by name if it is a folder, or its items if it is a collection of them."""
    if not isinstance(scene, str | os.PathLike | Mapping):
        raise OptionError(
            f"scenes of their own are paths, folders or STAC items, not a {type(scene).__name__}: "
            "write it to a file first, or call `segment`"
        )
    if names_stac(scene):
        items = split_collection(scene) if split_collections and _is_there(scene) else None
        if items is not None or isinstance(scene, Mapping):
            yield from _iter_items(scene, [scene] if items is None else items)  # type: ignore[list-item]
            return
    path = os.fspath(scene)  # type: ignore[arg-type]
    if not is_folder_of_scenes(path):
        yield _Found(name=path, stem=Path(path).stem, scene=path)
        return
    for file in sorted(Path(path).iterdir()):
        if file.suffix.lower() in RASTER_ENDINGS and not file.name.startswith("."):
            yield _Found(name=str(file), stem=file.stem, scene=str(file))


def _is_there(scene: Document) -> bool:
    """Tell whether a document may be read; one that is missing is a scene that fails, as any other."""
    return isinstance(scene, Mapping) or "://" in os.fspath(scene) or os.path.isfile(scene)


def _iter_items(document: Document, items: Sequence[Mapping[str, Any]]) -> Iterator[_Found]:
    for number, item in enumerate(items, start=1):
        own = item.get("id")
        name = own if isinstance(own, str) and own.strip() else f"item-{number}"
        stem = re.sub(r"[^\w.-]", "_", name).lstrip(".")
        if not stem or len(os.fsencode(stem)) > LONGEST_NAME:
            raise OptionError(
                f"results are named after the ids of STAC items, and {name[:40]!r} is no name for a file: "
                f"give it an id of 1 to {LONGEST_NAME} bytes"
            )
        place = "" if isinstance(document, Mapping) else os.fspath(document)
        yield _Found(name=f"{place}#{name}" if place else name, stem=stem, scene=item)
