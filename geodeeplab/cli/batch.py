"""Many scenes, each with results of its own in folders: which commands are meant so, and what they tell."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from geodeeplab.cli.progress import tell, tell_failed, tell_warning
from geodeeplab.cli.text import as_options
from geodeeplab.errors import OptionError
from geodeeplab.pipeline.scenes.result import SceneRun


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


def are_appended(outputs: Mapping[str, str | None], scenes: Sequence[str]) -> bool:
    """Tell whether the polygons of several scenes are appended to one layer, and other outputs are folders.

    Raises:
        OptionError: if some of these are none.
    """
    from geodeeplab.raster.sources.stac_item import is_stac  # it loads rasterio

    others = [path for name, path in outputs.items() if name != "polygons" and path is not None]
    is_several = len(scenes) > 1 or any(_is_folder_of_scenes(scene) or is_stac(scene) for scene in scenes)
    folders = [path for path in others if _is_folder(path)]
    if len(folders) < len(others) and (folders or is_several):
        file = next(path for path in others if path not in folders)
        raise OptionError(f"several scenes have rasters in folders, and {file} is none: end a new folder with /")
    return is_several or bool(folders)


def tell_runs(
    runs: Iterator[SceneRun], count: int, *, tell_facts: Callable[[dict[str, Any]], None], keep: bool
) -> tuple[list[dict[str, Any]], list[str]]:
    """Tell what becomes of scenes, as they end.

    Args:
        runs: the scenes, as `iter_runs` gives them.
        count: how many there are.
        tell_facts: tells the facts of one that was run.
        keep: whether facts are given at the end: of thousands of scenes they take memory.

    Returns:
        The facts of those that were run, if they are kept, and the scenes that failed.
    """
    facts: list[dict[str, Any]] = []
    failed: list[str] = []
    done = 0
    try:
        with closing(runs):  # type: ignore[type-var]  # a generator
            for run in runs:
                for message in run.warnings:
                    tell_warning(_in_options(message))
                if run.status == "failed":
                    failed.append(run.scene)
                    if run.traceback is not None:
                        tell(run.traceback)
                    tell_failed(run.scene, _in_options(str(run.error)))
                    continue
                done += 1
                if run.facts is None:
                    tell(f"{run.scene}: done before")
                else:
                    tell_facts(dict(run.facts))
                    facts += [dict(run.facts)] * keep
    except KeyboardInterrupt as error:
        if done:
            error.add_note(f"{done} of {count} scenes are done")
        raise
    return facts, failed


def _in_options(message: str) -> str:
    return " ".join(as_options(message).split())


def _is_folder(path: str) -> bool:
    """Tell whether an output is a folder; one that is named like a file is left to be refused."""
    return path.endswith(("/", os.sep)) or (Path(path).is_dir() and not Path(path).suffix)


def _is_folder_of_scenes(path: str) -> bool:
    """See `is_folder_of_scenes`, whose module loads rasterio, for what is no folder at all."""
    if not Path(path).is_dir():
        return False
    from geodeeplab.pipeline.scenes.tasks import is_folder_of_scenes

    return is_folder_of_scenes(path)
