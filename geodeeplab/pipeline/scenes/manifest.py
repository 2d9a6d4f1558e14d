"""The manifest: a file among the results that tells what became of each scene, for people and other programs.

One JSON object a line: `scene`, `status` ("done" or "failed"), `outputs`, `error` and `seconds`. A line is added as a
scene ends; of several for one scene the last counts. Nothing is decided by it, as whether a scene is done is told by
its results, which appear together: so whatever has become of the file, it is made again from what is there.
"""

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from geodeeplab.atomic import append_line, open_plain, output_errors, sync_folder, write_file
from geodeeplab.errors import OutputError
from geodeeplab.pipeline.scenes.result import SceneRun
from geodeeplab.pipeline.scenes.tasks import NAMES, SceneTask
from geodeeplab.text import parse_json

MANIFEST_NAME = "geodeeplab-scenes.jsonl"
LARGEST_BYTES = 256 << 20
"""A file of that name that is larger is no manifest: a line has some hundred bytes."""
LONGEST_S = 1e10
"""Seconds of a scene, well above any."""


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """A manifest that is open for more lines."""

    path: Path
    """Where it is."""
    before: Mapping[str, SceneRun]
    """Scenes whose results were there when it was opened."""
    damaged: int
    """Lines that could not be read, and are left out now."""

    def add(self, run: SceneRun) -> None:
        """Add a scene; it is on the disk when this returns.

        Raises:
            OutputError: it cannot be written.
        """
        with output_errors(self.path):
            append_line(self.path, _to_line(run))


def manifest_path(tasks: Sequence[SceneTask]) -> Path:
    """Give the place of the manifest: the first folder of results, polygons before rasters."""
    outputs = tasks[0].outputs
    return next(outputs[name] for name in NAMES if name in outputs).parent / MANIFEST_NAME


def open_manifest(tasks: Sequence[SceneTask]) -> Manifest:
    """Write the manifest of a folder anew, in one go: what is true of the old one, and scenes whose results are there.

    Scenes that are not among these keep their lines.

    Raises:
        OutputError: what has its name is no plain file, is larger than any manifest, or cannot be written.
    """
    path = manifest_path(tasks)
    runs, damaged = _read(path)
    ours = {task.name: task for task in tasks}
    done = {name for name, task in ours.items() if task.is_done}
    kept = {name: run for name, run in runs.items() if name not in ours}
    before = {
        task.name: SceneRun(
            scene=task.name,
            status="done before",
            outputs=tuple(map(str, task.outputs.values())),
            seconds=runs[task.name].seconds if task.name in runs and runs[task.name].status == "done" else None,
        )
        for task in tasks
        if task.name in done
    }
    failed = {name: run for name, run in runs.items() if name in ours and name not in done and run.status == "failed"}
    write_manifest(path, [*kept.values(), *before.values(), *failed.values()])
    return Manifest(path=path, before=before, damaged=damaged)


def write_manifest(path: Path, runs: Iterable[SceneRun]) -> None:
    """Write a manifest whole, in place of one that is there.

    Raises:
        OutputError: it cannot be written.
    """
    with output_errors(path):
        write_file(path, b"".join(map(_to_line, runs)))
        sync_folder(path.parent)


def read_manifest(path: str | os.PathLike[str]) -> list[SceneRun]:
    """Read what a manifest says of each scene, without facts; lines that are damaged are passed over.

    Raises:
        OutputError: it cannot be read.
    """
    return list(_read(Path(path))[0].values())


def _read(path: Path) -> tuple[dict[str, SceneRun], int]:
    """Give the last line of each scene, and how many lines are damaged; nothing where there is no file."""
    runs: dict[str, SceneRun] = {}
    damaged = 0
    try:
        with open_plain(path) as file:
            content = file.read(LARGEST_BYTES + 1)
    except FileNotFoundError:
        return {}, 0
    except OSError as error:
        raise OutputError(f"the manifest {path} cannot be read ({error.strerror}): move it away") from error
    if len(content) > LARGEST_BYTES:
        raise OutputError(f"{path} has more than {LARGEST_BYTES >> 20} MB and is no manifest: move it away")
    for line in filter(None, content.split(b"\n")):
        run = _from_line(line)
        if run is None:
            damaged += 1
        else:
            runs.pop(run.scene, None)
            runs[run.scene] = run
    return runs, damaged


def _to_line(run: SceneRun) -> bytes:
    record: dict[str, Any] = {
        "scene": run.scene,
        "status": "failed" if run.status == "failed" else "done",
        "outputs": list(run.outputs),
        "error": run.error,
        "seconds": None if run.seconds is None else round(run.seconds, 3),
    }
    return (json.dumps(record) + "\n").encode()


def _from_line(line: bytes) -> SceneRun | None:
    """Read a line; None if it is damaged or was written by somebody else."""
    try:
        record = parse_json(line)
    except ValueError:
        return None
    if not isinstance(record, dict):
        return None
    scene, status, outputs = (record.get(key) for key in ("scene", "status", "outputs"))
    error, seconds = record.get("error"), record.get("seconds")
    is_time = seconds is None or (type(seconds) in (int, float) and 0 <= seconds < LONGEST_S)
    if not isinstance(outputs, list) or not all(isinstance(one, str) for one in outputs):
        return None
    if not isinstance(scene, str) or status not in ("done", "failed") or not is_time:
        return None
    if not (error is None or isinstance(error, str)):
        return None
    return SceneRun(scene=scene, status=status, outputs=tuple(outputs), error=error, seconds=seconds)
