"""A folder of outputs that appears whole, or not at all."""

import os
import secrets
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from geodeeplab.errors import OutputError
from geodeeplab.raster.outputs.checks import output_errors
from geodeeplab.raster.outputs.inputs import check_not_inputs


@contextmanager
def atomic_folder(
    path: str | os.PathLike[str],
    *,
    overwrite: bool = False,
    known: Sequence[str] = (),
    inputs: Sequence[str | os.PathLike[str]] = (),
) -> Iterator[Path]:
    """Lend a temporary folder; give it its final name at the end of the block.

    When the block raises, KeyboardInterrupt included, it is removed and the final name is as it was before.

    Args:
        path: final path of the folder; a folder that is there is replaced if it is empty, or with `overwrite`.
        overwrite: whether a folder with contents may be replaced; never one that holds anything else than `known`.
        known: names of what such a folder holds.
        inputs: what the work reads; a folder with a file of theirs is refused even with `overwrite`.

    Yields:
        The temporary folder, beside the final one.

    Raises:
        OptionError: the folder that is there holds an input.
        OutputError: the place is taken, its parent does not exist or is not writable, or the disk is full.
    """
    final = Path(os.path.abspath(path))
    _check_place(final, overwrite=overwrite, known=known)
    check_not_inputs(final.rglob("*") if final.is_dir() else (), inputs)
    token = secrets.token_hex(8)
    temporary, backup = (final.with_name(f".{final.name[:40]}.{what}{token}") for what in ("", "old-"))
    with output_errors(final):
        temporary.mkdir()  # exclusively; others may read the result
    try:
        with output_errors(final):
            yield temporary
            _check_place(final, overwrite=overwrite, known=known)
            _swap(temporary, final, backup)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _check_place(final: Path, *, overwrite: bool, known: Sequence[str]) -> None:
    if not final.parent.is_dir():
        raise OutputError(f"output folder {final} cannot be made, {final.parent} does not exist: create it first")
    if final.is_symlink() or (final.exists() and not final.is_dir()):
        raise OutputError(f"output {final} is no folder: choose another path")
    if not os.access(final.parent, os.W_OK | os.X_OK):
        raise OutputError(f"output folder {final.parent} is not writable: choose another, or change its permissions")
    names = sorted(os.listdir(final)) if final.exists() else []
    if names and not overwrite:
        raise OutputError(f"output folder {final} is not empty: pass `overwrite=True`, or choose another")
    others = [name for name in names if name not in known]
    if others:
        raise OutputError(
            f"output folder {final} holds what was not written here ({', '.join(others[:3])}), and is never replaced: "
            "choose another folder"
        )


def _swap(temporary: Path, final: Path, backup: Path) -> None:
    """Put the new folder in the place of the old one; take it back if that fails."""
    if final.exists():
        os.rename(final, backup)
    try:
        os.rename(temporary, final)
    except BaseException:
        if backup.exists():
            os.rename(backup, final)
        raise
    shutil.rmtree(backup, ignore_errors=True)
