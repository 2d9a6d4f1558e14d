"""Write a file so that it is whole or not there, whatever happens, and never through a link that somebody else made.

Also its other half: open only what is a plain file, where a name can be foreseen, and say in one line what failed.
"""

import errno
import math
import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from geodeeplab.errors import GeoDeepLabError, OutputError

ALL_WRITTEN = "all that the run was to write is written"
"""What a run that is interrupted in its very last moments says."""
ALMOST_FULL_BYTES = 64 << 10
"""Where no more is free, that is why a file cannot be written, in whatever words a library puts it."""
PART_ENDING = ".geodeeplab-part"
"""What the name of an unfinished file ends with."""


@contextmanager
def atomic_file(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Lend a new file, open for writing; at the end of the block it is on the disk and gets its name.

    It is made in the same folder, exclusively, under a name that nobody can foresee. Where the block or the disk fails,
    nothing is left of it and the path is as it was. A link at the path is replaced, not followed. That the name is on
    the disk, too, is sure after `sync_folder` only.

    Raises:
        OSError: It cannot be written.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name[:40]}.{secrets.token_hex(8)}{PART_ENDING}")
    try:
        with open(temporary, "xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise


def write_file(path: str | os.PathLike[str], content: bytes) -> None:
    """Write a file as `atomic_file` does.

    Raises:
        OSError: It cannot be written.
    """
    with atomic_file(path) as file:
        file.write(content)


def write_output(path: str | os.PathLike[str], content: bytes) -> None:
    """Write a file that the user asked for as `atomic_file` does.

    Raises:
        OutputError: It cannot be written.
    """
    with output_errors(path):
        write_file(path, content)


def open_plain(path: str | os.PathLike[str], *, append: bool = False) -> BinaryIO:
    """Open a plain file, to read it or to append to it; unbuffered where it is appended to.

    Raises:
        OSError: There is none, or it is a link, a folder, a pipe or a device.
    """
    return open(path, "ab" if append else "rb", buffering=0 if append else -1, opener=_open_plain)


def read_plain(path: str | os.PathLike[str]) -> bytes:
    """Read a plain file.

    Raises:
        OSError: See `open_plain`.
    """
    with open_plain(path) as file:
        return file.read()


def append_line(path: str | os.PathLike[str], line: bytes) -> None:
    """Append a line to a plain file; it is on the disk when this returns.

    Where that fails the file is as it was, or ends with a part of the line.

    Raises:
        OSError: See `open_plain`; or it cannot be written.
    """
    with open_plain(path, append=True) as file:
        before = file.tell()
        try:
            while line:  # a raw file may take a part only
                line = line[file.write(line) :]
            os.fsync(file.fileno())
        except BaseException:
            with suppress(OSError):
                file.truncate(before)
            raise


def make_fresh_folder(folder: Path) -> None:
    """Make a private folder, in place of one of that name, or of a link, which is removed without being followed.

    Raises:
        OSError: It cannot be made.
    """
    if os.path.lexists(folder) and (folder.is_symlink() or not folder.is_dir()):
        folder.unlink()
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700)


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


@contextmanager
def output_errors(path: str | os.PathLike[str], *also: type[Exception]) -> Iterator[None]:
    """Turn the errors of the system inside the block, and those in `also`, into an OutputError."""
    try:
        yield
    except GeoDeepLabError:
        raise
    except Exception as error:
        if not isinstance(error, (OSError, *also)):
            raise
        raise OutputError(_describe(path, error)) from error


def _open_plain(path: str, flags: int) -> int:
    """Open without following a link or waiting for the other end of a pipe."""
    flags |= getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)
    try:
        descriptor = os.open(path, flags & ~os.O_CREAT)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise OSError(errno.ELOOP, "it is a link, not a plain file", os.fspath(path)) from error
        raise
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return descriptor
    os.close(descriptor)
    raise OSError(errno.EINVAL, "it is no plain file", os.fspath(path))


def _describe(path: str | os.PathLike[str], error: Exception) -> str:
    """Say in one line why an output cannot be written, and what to do."""
    reason = " ".join(str(getattr(error, "strerror", None) or error).split()) or type(error).__name__
    free = _free_bytes(path)
    is_full = getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT) or free < ALMOST_FULL_BYTES
    if is_full or any(words in reason.lower() for words in ("no space left", "disk is full")):
        return f"cannot write {os.fspath(path)}: no space left on the disk: free some, or choose another folder"
    return (
        f"cannot write {os.fspath(path)} ({reason}): "
        f"check the folder, its permissions and the free space, {free / 1e6:.1f} MB"
    )


def _free_bytes(path: str | os.PathLike[str]) -> float:
    try:
        return shutil.disk_usage(Path(path).parent).free
    except (OSError, ValueError):
        return math.inf
