"""Put finished files in the place of others, all or none, and take it back, in a later process too.

New files are written in a private folder beside their place, where files that are in the way are kept meanwhile. A
replacement is written down in a record before it begins: where a run is killed in the middle, `recover_outputs`
restores what was there before. A record holds no paths that anything is done to: what may be touched follows from the
run's own outputs, so a record that somebody else wrote can move and remove nothing.
"""

import json
import os
import re
import shutil
import stat
import warnings
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeGuard, cast, get_args

from geodeeplab.atomic import read_plain, sync_folder, write_file
from geodeeplab.errors import GeoDeepLabWarning, OutputError
from geodeeplab.text import parse_json

SIDECARS = (".aux.xml", ".ovr", ".msk", "-journal", "-wal", "-shm")
"""Endings of the files that stand beside an output and belong to it: GDAL's metadata, overviews, mask; SQLite's logs.

A new output brings its own along; those of an overwritten one would corrupt it, so they go.
"""
PRIVATE_ENDING = ".geodeeplab-new"
RECORD_VERSION = 2

State = Literal["writing", "committing", "done"]
"""Of a record: temporary files may be there; files may have been moved; all files have their final names."""
Stamp = tuple[int, int, int]
"""Inode, size and time of the last change (ns): what tells a file from any other that has its name."""


@dataclass(frozen=True, kw_only=True)
class Replacement:
    """The three paths of an output."""

    final: Path
    """Its name in the end."""
    token: str
    """What the name of the private folder begins with, beside the final name; 16 hexadecimal digits."""

    @property
    def folder(self) -> Path:
        """The private folder; outputs of one folder share it."""
        return self.final.parent / f".{self.token}{PRIVATE_ENDING}"

    @property
    def temporary(self) -> Path:
        """Where it is written."""
        return self.folder / "new" / self.final.name

    @property
    def backup(self) -> Path:
        """Where a file of its final name lies meanwhile."""
        return self.folder / "old" / self.final.name

    def away(self) -> Iterator[tuple[Path, Path]]:
        """Yield the moves (from, to) that make room, those of the sidecars, too."""
        for ending in ("", *SIDECARS):
            yield _sidecar(self.final, ending), _sidecar(self.backup, ending)

    def into(self) -> Iterator[tuple[Path, Path]]:
        """Yield the moves (from, to) of the new files."""
        for ending in ("", *SIDECARS):
            yield _sidecar(self.temporary, ending), _sidecar(self.final, ending)


@dataclass(frozen=True, kw_only=True)
class _Record:
    """What a record says."""

    state: State
    """How far the replacement was."""
    token: str
    """See `Replacement`."""
    outputs: list[str]
    """The outputs as `_told` gives them, to be compared with a run's own."""
    new: dict[str, Stamp]
    """The new files: number of the output, with the sidecar's ending."""


def make_folders(replacements: Sequence[Replacement]) -> None:
    """Make the private folders; nobody else can look into them.

    Raises:
        OSError: One cannot be made.
    """
    for folder in _folders(replacements):
        folder.mkdir(mode=0o700)
        for name in ("new", "old"):
            (folder / name).mkdir()


def remove_folders(replacements: Sequence[Replacement], *, keep_old: bool = False) -> None:
    """Remove the private folders, or all in them but files that were in the way and could not be put back."""
    for folder in _folders(replacements):
        if _is_folder(folder) and keep_old:
            shutil.rmtree(folder / "new", ignore_errors=True)
            for one in (folder / "old", folder):
                with suppress(OSError):
                    one.rmdir()
        elif _is_folder(folder):
            shutil.rmtree(folder, ignore_errors=True)


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
    remove_folders(replacements)


def write_record(path: Path | None, replacements: Sequence[Replacement], *, state: State) -> None:
    """Write down a replacement and how far it is, safely; without a path do nothing."""
    if path is None:
        return
    new = {}
    for number, replacement in enumerate(replacements):
        for ending in ("", *SIDECARS):
            stamp = stamp_of(_sidecar(replacement.temporary, ending))
            if stamp is not None:
                new[f"{number}{ending}"] = stamp
    content = {
        "version": RECORD_VERSION,
        "state": state,
        "token": replacements[0].token,
        "outputs": [told(path.parent, replacement.final) for replacement in replacements],
        "new": new,
    }
    write_file(path, json.dumps(content).encode())
    sync_folder(path.parent)


def remove_record(path: Path | None, *, state: State | None = None) -> None:
    """Remove a record, or only one that is in this state."""
    if path is None:
        return
    if state is not None:
        found = _read_record(path)
        if found is None or found.state != state:
            return
    path.unlink(missing_ok=True)
    sync_folder(path.parent)


def recover_outputs(record: Path, outputs: Sequence[Path], *, give_up: bool = False) -> bool:
    """Clean up after a run that was killed: no temporary file stays, and of the final names none or all are new.

    Args:
        record: Path of the record of its replacement; it need not exist.
        outputs: Final paths of the outputs of the run that has the record's folder now.
        give_up: Whether a record that says nothing of these outputs is passed over, with a warning.

    Returns:
        Whether all outputs have their final names.

    Raises:
        OutputError: The record is damaged, or of a run with other outputs.
    """
    if not os.path.lexists(record):
        return False
    found = _read_record(record)
    if found is None or found.outputs != [told(record.parent, path) for path in outputs]:
        what = "is damaged, or not of this version" if found is None else "is of a run with other outputs"
        if not give_up:
            raise OutputError(
                f"the record {record} {what}, so nothing is done by it: "
                "give the same outputs as that run, or pass `overwrite=True` to start afresh"
            )
        warnings.warn(f"the record {record} {what}: what it may name is left alone", GeoDeepLabWarning, stacklevel=2)
        return False
    replacements = [Replacement(final=path, token=found.token) for path in outputs]
    if found.state == "committing":
        _roll_back(replacements, found.new)
    remove_folders(replacements, keep_old=found.state != "done")
    _sync_folders(replacements)
    return found.state == "done"


def is_done(record: Path) -> bool:
    """Tell whether a record says that all outputs have their final names."""
    found = _read_record(record)
    return found is not None and found.state == "done"


def stamp_of(path: Path) -> Stamp | None:
    """Give what tells a file, or a link, from any other; None where nothing is."""
    try:
        status = os.lstat(path)
    except (OSError, ValueError):
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns


def told(folder: Path, output: Path) -> str:
    """Give how a file in a work folder speaks of an output: by its name, where that lies beside the folder."""
    place = output.parent.resolve() / output.name
    try:
        return Path(os.path.relpath(place, folder.parent.resolve())).as_posix()
    except ValueError:  # another drive
        return place.as_posix()


def is_whole_number(value: object) -> TypeGuard[int]:
    """Tell whether a value from JSON is an integer that a file may have, from 0 to 2⁶³ - 1."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 63


def to_stamp(value: object) -> Stamp | None:
    """Read a stamp from JSON; None if it is none."""
    if isinstance(value, list) and len(value) == 3 and all(isinstance(one, int) for one in value):
        return value[0], value[1], value[2]
    return None


def _read_record(path: Path) -> _Record | None:
    """Read a record; None for what is no record: they are never cut off, so somebody else wrote it, or damaged it."""
    try:
        content = parse_json(read_plain(path))
    except (OSError, ValueError):
        return None
    if not isinstance(content, dict) or content.get("version") != RECORD_VERSION:
        return None
    state, token, outputs, new = (content.get(key) for key in ("state", "token", "outputs", "new"))
    if state not in get_args(State) or not isinstance(token, str) or not re.fullmatch(r"[0-9a-f]{16}", token):
        return None
    if not isinstance(outputs, list) or not isinstance(new, dict):
        return None
    stamps = {key: stamp for key, value in new.items() if (stamp := to_stamp(value)) is not None}
    return _Record(state=cast(State, state), token=token, outputs=outputs, new=stamps)


def _folders(replacements: Sequence[Replacement]) -> list[Path]:
    """Give the private folders, each once, however the paths of outputs in it are written."""
    return list({one.folder.parent.resolve() / one.folder.name: one.folder for one in replacements}.values())


def _is_folder(path: Path) -> bool:
    """Tell whether a path is a folder, and no link to one."""
    try:
        return stat.S_ISDIR(os.lstat(path).st_mode)
    except OSError:
        return False


def _sync_folders(replacements: Sequence[Replacement]) -> None:
    for folder in {replacement.final.parent for replacement in replacements}:
        if folder.is_dir():
            sync_folder(folder)


def _roll_back(replacements: Sequence[Replacement], new: dict[str, Stamp]) -> None:
    """Take back a replacement that was cut off; a file that somebody else has put there since stays."""
    for number, replacement in enumerate(replacements):
        for ending in ("", *SIDECARS):
            final = _sidecar(replacement.final, ending)
            stamp = stamp_of(final)
            if stamp is not None and stamp == new.get(f"{number}{ending}"):
                final.unlink()
        if not (_is_folder(replacement.folder) and _is_folder(replacement.folder / "old")):
            continue
        for final, backup in replacement.away():
            if os.path.lexists(backup) and not os.path.lexists(final):
                os.replace(backup, final)


def _sidecar(path: Path, ending: str) -> Path:
    return path.with_name(path.name + ending)
