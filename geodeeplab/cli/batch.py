"""Many scenes, each with results of its own in folders."""

import os
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from geodeeplab.cli.progress import tell, tell_failed
from geodeeplab.cli.text import as_options
from geodeeplab.errors import GeoDeepLabError, OptionError, OutputError

RASTER_ENDINGS = (".tif", ".tiff", ".vrt", ".jp2", ".img", ".png", ".jpg", ".jpeg")
"""What counts as a scene in a folder."""
NAMES = {
    "polygons": "{}.gpkg",
    "label_raster": "{}.tif",
    "confidence": "{}_confidence.tif",
    "probabilities": "{}_probabilities.tif",
}
"""Names of a scene's results in the folders, by option."""


@dataclass(frozen=True, kw_only=True)
class OneOfMany:
    """A scene and where its results go."""

    scene: str
    """Path of the scene."""
    outputs: Mapping[str, Path]
    """Path of each result, by option."""

    @property
    def is_done(self) -> bool:
        """True where all results are there: they appear together."""
        return all(path.exists() for path in self.outputs.values())


def are_folders(outputs: Mapping[str, str | None], scenes: Sequence[str]) -> bool:
    """Tell whether the outputs are folders: each that is given is one already, or ends as one.

    Raises:
        OptionError: if some are and some are not, or scenes are folders and outputs are not.
    """
    given = {name: path for name, path in outputs.items() if path is not None}
    folders = [name for name, path in given.items() if _is_folder(path)]
    if folders and len(folders) < len(given):
        others = ", ".join(path for name, path in given.items() if name not in folders)
        raise OptionError(f"either all outputs are folders or none is, and {others} is none: end a new folder with /")
    if not folders and any(_is_folder_of_scenes(scene) for scene in scenes):
        raise OptionError("a folder of scenes needs a folder of results: give one, such as -o results/")
    return bool(folders)


def plan_batch(scenes: Sequence[str], outputs: Mapping[str, str | None]) -> list[OneOfMany]:
    """List the scenes, those in folders too, with their results; makes the folders.

    Raises:
        OptionError: if there is no scene, two would have results of the same name, a result is one of the scenes, or
            rasters would lie among the scenes, where the next run would take them for scenes or for results.
        OutputError: if a folder cannot be made.
    """
    from geodeeplab.raster import check_distinct, check_not_inputs

    found = [one for scene in scenes for one in _iter_scenes(scene)]
    if not found:
        raise OptionError(f"no scene in {', '.join(scenes)}: rasters end with {', '.join(RASTER_ENDINGS)}")
    folders = {name: Path(path) for name, path in outputs.items() if path is not None}
    parents = {Path(scene).resolve().parent for scene in found}
    for name, folder in folders.items():
        if name != "polygons" and folder.resolve() in parents:
            raise OptionError(
                f"rasters for --{name.replace('_', '-')} would lie among the scenes in {folder}: choose another folder"
            )
    stems: dict[str, str] = {}
    for scene in found:
        stem = Path(scene).stem
        if stem in stems:
            raise OptionError(f"{stems[stem]} and {scene} would have results of the same name: run them one by one")
        stems[stem] = scene
    for folder in folders.values():
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"the folder {folder} cannot be made ({error.strerror}): choose another") from error
    batch = [
        OneOfMany(
            scene=scene,
            outputs={name: folder / NAMES[name].format(Path(scene).stem) for name, folder in folders.items()},
        )
        for scene in found
    ]
    results = [path for one in batch for path in one.outputs.values()]
    check_distinct(results)
    check_not_inputs(results, found)
    return batch


def run_batch(
    batch: Sequence[OneOfMany], run: Callable[[OneOfMany, Mapping[str, object]], dict[str, Any]], *, overwrite: bool
) -> tuple[list[dict[str, Any]], list[str]]:
    """Run the scenes that are not done yet; one that fails, for whatever reason, is reported, and the others go on.

    Args:
        batch: the scenes.
        run: segments one and gives its facts; it is told which it is, for whoever reads how far it is.
        overwrite: run those that are done, too.

    Returns:
        The facts of those that were run, and the scenes that failed.
    """
    facts: list[dict[str, Any]] = []
    failed: list[str] = []
    for count, one in enumerate(batch):
        if one.is_done and not overwrite:
            tell(f"{one.scene}: done before")
            continue
        try:
            facts.append(run(one, {"scene": one.scene, "scene_number": count + 1, "scenes": len(batch)}))
        except Exception as error:
            failed.append(one.scene)
            if not isinstance(error, GeoDeepLabError | MemoryError):
                tell("".join(traceback.format_exception(error)).rstrip())
            tell_failed(one.scene, _told(one.scene, error))
        except KeyboardInterrupt as error:
            if done := count - len(failed):
                error.add_note(f"{done} of {len(batch)} scenes are done")
            raise
    return facts, failed


def _told(scene: str, error: Exception) -> str:
    """Say in one line why a scene failed; our own errors name it, others need not."""
    words = str(error) if isinstance(error, GeoDeepLabError) else f"{scene}: {type(error).__name__}: {error}"
    return " ".join(as_options("; ".join([words, *getattr(error, "__notes__", [])])).split())


def _is_folder(path: str) -> bool:
    """Tell whether an output is a folder; one that is named like a file is left to be refused."""
    return path.endswith(("/", os.sep)) or (Path(path).is_dir() and not Path(path).suffix)


def _iter_scenes(path: str) -> Iterator[str]:
    """Yield the path, or the rasters in it by name if it is a folder of them."""
    if not _is_folder_of_scenes(path):
        yield path
        return
    for file in sorted(Path(path).iterdir()):
        if file.suffix.lower() in RASTER_ENDINGS and not file.name.startswith("."):
            yield str(file)


def _is_folder_of_scenes(path: str) -> bool:
    """Tell whether a path is a folder, and not a Zarr store, which is one scene."""
    if not Path(path).is_dir():
        return False
    from geodeeplab.raster import is_zarr

    return not is_zarr(path)
