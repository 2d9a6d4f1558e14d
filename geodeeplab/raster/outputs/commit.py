"""Put finished files in the place of others, all or none, and take it back, in a later process too.

Replacements are written down in a record before they begin: where a run is killed in the middle, `recover_outputs`
restores what was there before.
"""

import json
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

SIDECARS = (".aux.xml", ".ovr", ".msk", "-journal", "-wal", "-shm")
"""Endings of the files that stand beside an output and belong to it: GDAL's metadata, overviews, mask; SQLite's logs.

A new output brings its own along; those of an overwritten one would corrupt it, so they go.
"""

State = Literal["writing", "committing", "done"]
"""Of a record: temporary files may be there; files may have been moved; all files have their final names."""


@dataclass(frozen=True, kw_only=True)
class Replacement:
    """The three paths of an output, all in one folder."""

    final: Path
    """Its name in the end."""
    temporary: Path
    """Where it is written."""
    backup: Path
    """Where a file of its final name lies meanwhile."""

    def away(self) -> Iterator[tuple[Path, Path]]:
        """Yield the moves (from, to) that make room, those of the sidecars, too."""
        for ending in ("", *SIDECARS):
            yield _sidecar(self.final, ending), _sidecar(self.backup, ending)

    def into(self) -> Iterator[tuple[Path, Path]]:
        """Yield the moves (from, to) of the new files."""
        for ending in ("", *SIDECARS):
            yield _sidecar(self.temporary, ending), _sidecar(self.final, ending)


def commit(replacements: Sequence[Replacement], *, record: Path | None = None) -> None:
    """Move the files in the way to their backups, then the new ones to their final names; undo all if one fails.

    Raises:
        OSError: A file cannot be moved; `filename2` is the path that it could not get.
    """
    moves = [move for replacement in replacements for move in replacement.away()] + [
        move for replacement in replacements for move in replacement.into()
    ]
    write_record(record, replacements, state="committing")
    done: list[tuple[Path, Path]] = []
    try:
        for source, target in moves:
            if os.path.lexists(source):
                done.append((source, target))
                os.replace(source, target)
        _sync_folders(replacements)
    except BaseException:
        for source, target in reversed(done):
            if os.path.lexists(target) and not os.path.lexists(source):
                os.replace(target, source)
        remove_record(record)
        raise
    try:
        write_record(record, replacements, state="done")
    except OSError:  # a full disk; what is removed needs no place, and nobody takes back a replacement without a record
        remove_record(record)
    _remove_backups(replacements)


def write_record(path: Path | None, replacements: Sequence[Replacement], *, state: State) -> None:
    """Write down a replacement and how far it is, safely; without a path do nothing."""
    if path is None:
        return
    inodes = {
        os.path.abspath(to): os.lstat(old).st_ino
        for replacement in replacements
        for old, to in replacement.into()
        if os.path.lexists(old)
    }
    outputs = [
        {name: os.path.abspath(value) for name, value in vars(replacement).items()} for replacement in replacements
    ]
    write_synced(path, json.dumps({"state": state, "outputs": outputs, "inodes": inodes}).encode())
    sync_folder(path.parent)


def remove_record(path: Path | None, *, state: State | None = None) -> None:
    """Remove a record, or only one that is in this state."""
    if path is None or (state is not None and (_read_record(path) or {}).get("state") != state):
        return
    path.unlink(missing_ok=True)
    sync_folder(path.parent)


def recover_outputs(record: Path) -> bool:
    """Clean up after a run that was killed: no temporary file stays, and of the final names none or all are new.

    Args:
        record: Path of the record of its replacement; it need not exist.

    Returns:
        Whether all outputs have their final names.
    """
    content = _read_record(record)
    if content is None:
        return False
    replacements = [Replacement(**{name: Path(path) for name, path in paths.items()}) for paths in content["outputs"]]
    if content["state"] == "committing":
        _roll_back(replacements, content["inodes"])
    for replacement in replacements:
        remove_with_siblings(replacement.temporary)
    if content["state"] == "done":
        _remove_backups(replacements)
    _sync_folders(replacements)
    return bool(content["state"] == "done")


def remove_with_siblings(path: Path) -> None:
    """Remove a temporary file and all that its writer left under names that begin as its name does."""
    for sibling in path.parent.iterdir() if path.parent.is_dir() else ():
        if sibling.name.startswith(path.stem):
            if sibling.is_dir() and not sibling.is_symlink():
                shutil.rmtree(sibling, ignore_errors=True)
            else:
                sibling.unlink(missing_ok=True)


def write_synced(path: Path, content: bytes) -> None:
    """Write a file under a temporary name, wait until it is on the disk, and rename it; a failure leaves no trace.

    The name itself is on the disk only after `sync_folder`.
    """
    temporary = path.with_name(path.name + ".part")
    try:
        with open(temporary, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise


def sync_file(path: Path) -> None:
    """Wait until the content of a file is on the disk."""
    with open(path, "rb+") as file:
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Wait until the names in a folder are on the disk; Windows has no such call and needs none."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _read_record(path: Path) -> dict[str, Any] | None:
    """Read a record; None without one, and for what is no record: they are never cut off, so somebody else wrote it."""
    try:
        content = json.loads(path.read_bytes())
    except (FileNotFoundError, ValueError):
        return None
    return content if isinstance(content, dict) else None


def _sync_folders(replacements: Sequence[Replacement]) -> None:
    for folder in {replacement.final.parent for replacement in replacements}:
        if folder.is_dir():
            sync_folder(folder)


def _roll_back(replacements: Sequence[Replacement], inodes: dict[str, int]) -> None:
    """Take back a replacement that was cut off; a file that somebody else has put there since stays."""
    for replacement in replacements:
        for _, final in replacement.into():
            if os.path.lexists(final) and os.lstat(final).st_ino == inodes.get(os.path.abspath(final)):
                final.unlink()
        for final, backup in replacement.away():
            if os.path.lexists(backup) and not os.path.lexists(final):
                os.replace(backup, final)


def _remove_backups(replacements: Sequence[Replacement]) -> None:
    for replacement in replacements:
        for _, backup in replacement.away():
            backup.unlink(missing_ok=True)


def _sidecar(path: Path, ending: str) -> Path:
    return path.with_name(path.name + ending)
