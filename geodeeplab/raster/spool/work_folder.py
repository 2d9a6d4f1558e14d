"""The hidden folder beside an output in which a run keeps its work: its place, its lock, and what may lie in it.

Its place follows from the output's path, so a later run finds what an earlier one left. One run at a time has it, by a
lock that ends with its process, however that ends. Links are not followed, and what no run writes is not removed.
"""

import hashlib
import os
import re
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from geodeeplab.atomic import PART_ENDING, sync_folder
from geodeeplab.errors import OptionError, OutputError
from geodeeplab.raster.outputs.checks import output_errors
from geodeeplab.raster.outputs.commit import PRIVATE_ENDING, recover_outputs
from geodeeplab.raster.spool.spool_journal import JOURNAL_NAME

RECORD_NAME = "outputs.json"
_OWN_FILES = re.compile(
    rf"{re.escape(JOURNAL_NAME)}|{re.escape(RECORD_NAME)}|polygons(\..+)?|\w+-\d{{9}}-\d{{9}}\.tif(\.part)?"
    rf"|\w+(-part-\d+)?\.vrt(\.aux\.xml)?|joined-\w+|\..+{re.escape(PART_ENDING)}|\.geodeeplab-.+|\.nfs\w+|\.DS_Store"
)
_OWN_FOLDERS = re.compile(rf"traced|sieved|overviews-\w+|\..+{re.escape(PRIVATE_ENDING)}|\.geodeeplab-.+")
"""Names of all that a run makes in its workspace; what has another name is somebody else's."""


def workspace_folder(output: Path) -> Path:
    """Give the path of the workspace of a run whose first output this is."""
    name = output.name
    if len(os.fsencode(name)) > 200:  # names have 255 bytes at most
        name = hashlib.sha256(os.fsencode(name)).hexdigest()
    return output.parent.resolve() / f".{name}.geodeeplab-work"


def check_outside(folder: Path, outputs: Iterable[Path]) -> None:
    """Check that no output lies in the workspace, which is removed at the end.

    Raises:
        OptionError: One does.
    """
    for path in outputs:
        if path.parent.resolve().is_relative_to(folder):
            raise OptionError(f"output {path} lies in {folder}, where the run keeps its work: choose another path")


def wait_for_workspace(output: Path, *, seconds: float) -> None:
    """Wait, no longer than this, while another run has the workspace of an output, as one that is about to end may."""
    with suppress(OutputError), lock_folder(workspace_folder(output), output, patience_s=seconds):
        pass


@contextmanager
def lock_folder(folder: Path, output: Path, *, patience_s: float = 0) -> Iterator[str | None]:
    """Have a workspace to oneself; yield a note where that cannot be had.

    Raises:
        OutputError: Another run has it, and has kept it for `patience_s` seconds.
    """
    path = folder.with_name(f"{folder.name}.lock")
    if os.path.lexists(path) and (path.is_symlink() or not path.is_file() or path.stat().st_size):
        raise OutputError(f"{path} is not the empty file by which runs keep apart: move it away")
    lock = FileLock(path, timeout=patience_s, thread_local=False)
    note = None
    try:
        with output_errors(output):
            lock.acquire()
    except OutputError as error:
        if isinstance(error.__cause__, Timeout):
            raise OutputError(f"another run is writing {output}: wait for it, or choose another output") from None
        raise
    except NotImplementedError:
        note = f"the file system of {folder.parent} has no locks: start no other run with the output {output}"
    try:
        yield note
    finally:
        with suppress(OSError):  # while it is held: who waits for it sees that it is gone
            path.unlink(missing_ok=True)
        lock.release()


def recover_folder(folder: Path, outputs: Sequence[Path], *, give_up: bool) -> bool:
    """Clean up after a run that was killed while its outputs appeared; tell whether all of them have.

    Raises:
        OutputError: What lies in the folder's place is none of ours, or its record is.
    """
    if not os.path.lexists(folder):
        return False
    if folder.is_symlink() or not folder.is_dir():
        raise OutputError(f"{folder} is no folder but a link or a file, where the run keeps its work: move it away")
    others = [path.name for path in folder.iterdir() if not _is_own(path)]
    if others:
        raise OutputError(
            f"{folder}, where the run keeps its work, holds what no run writes ({', '.join(sorted(others)[:3])}): "
            "move it away"
        )
    with output_errors(outputs[0]):
        return recover_outputs(folder / RECORD_NAME, outputs, give_up=give_up)


def remove_folder(folder: Path) -> None:
    """Remove a workspace, its journal first: without it, what is left counts for nothing. What is not ours stays."""
    if folder.is_symlink() or not folder.is_dir():
        return
    with suppress(OSError):
        (folder / JOURNAL_NAME).unlink(missing_ok=True)
        sync_folder(folder)
    for path in filter(_is_own, folder.iterdir()):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            with suppress(OSError):
                path.unlink()
    with suppress(OSError):
        folder.rmdir()


def _is_own(path: Path) -> bool:
    """Tell whether a run makes such a file, or folder, in its workspace; a link stands for what has its name."""
    if path.is_symlink():
        return any(own.fullmatch(path.name) for own in (_OWN_FILES, _OWN_FOLDERS))
    return (_OWN_FOLDERS if path.is_dir() else _OWN_FILES).fullmatch(path.name) is not None
