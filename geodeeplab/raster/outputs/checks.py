"""Check output paths before any work, and let finished outputs appear together."""

import errno
import math
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rasterio.errors import RasterioError

from geodeeplab.errors import GeoDeepLabError, OptionError, OutputError
from geodeeplab.raster.outputs.commit import (
    Replacement,
    commit,
    remove_record,
    remove_with_siblings,
    sync_file,
    write_record,
)

ALMOST_FULL_BYTES = 64 << 10
"""Where no more is free, that is why a file cannot be written, in whatever words a library puts it."""


def check_output(
    path: str | os.PathLike[str],
    *,
    suffixes: Sequence[str],
    overwrite: bool = False,
    inputs: Iterable[str | os.PathLike[str]] = (),
) -> Path:
    """Give the path of an output as a `Path`, after the checks that need no work done.

    Args:
        path: Where the output is to appear.
        suffixes: Known suffixes of this kind of output, lower case with the dot (".tif"); letter case does not count.
        overwrite: Whether a file that exists may be replaced.
        inputs: Files that the work reads; an output on one of them is refused even with `overwrite`.

    Raises:
        OptionError: The suffix is unknown, or the path is that of an input.
        OutputError: The folder does not exist or is not writable, or the path exists.
    """
    path = Path(path)
    if path.suffix.lower() not in suffixes:
        raise OptionError(
            f"output {path} has the suffix {path.suffix!r}, which nobody here writes: use {' or '.join(suffixes)}"
        )
    for source in inputs:
        if _is_same_file(path, Path(source)):
            raise OptionError(f"output {path} is also an input, which is never overwritten: choose another output path")
    check_place(path, overwrite=overwrite)
    return path


def check_place(path: Path, *, overwrite: bool) -> None:
    """Check that a file can be made at a path.

    Raises:
        OutputError: The folder does not exist or is not writable, or the path exists.
    """
    if not path.parent.is_dir():
        raise OutputError(f"output folder {path.parent} does not exist: create it first, or choose another")
    if path.is_dir():
        raise OutputError(f"output {path} is a folder: give the path of a file")
    if os.path.lexists(path) and not overwrite:
        raise OutputError(f"output {path} exists: pass --overwrite (overwrite=True), or choose another path")
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise OutputError(f"output folder {path.parent} is not writable: choose another, or change its permissions")


def check_distinct(paths: Iterable[str | os.PathLike[str]]) -> None:
    """Check that no two outputs share a path.

    Raises:
        OptionError: Two outputs have the same path.
    """
    seen: dict[Path, str | os.PathLike[str]] = {}
    for path in paths:
        resolved = Path(path).resolve()
        if resolved in seen:
            raise OptionError(f"two outputs have the same path {os.fspath(path)}: give each its own")
        seen[resolved] = path


@contextmanager
def atomic_outputs(
    paths: Iterable[str | os.PathLike[str]], *, overwrite: bool = False, record: Path | None = None
) -> Iterator[dict[Path, Path]]:
    """Lend a temporary path for each output; give all of them their final names at the end of the block.

    A temporary path lies in the folder of its output and has the same suffix, so writers that look at the suffix work
    as usual, and what they leave beside it (`SIDECARS`) comes along. When the block raises, KeyboardInterrupt included,
    every temporary file is removed and the final names are as they were before. When a rename fails, the outputs that
    already have their names are taken back, too.

    Args:
        paths: Final paths of the outputs; the block must write a file for each.
        overwrite: Whether files that exist are replaced.
        record: A file in which to keep track, so that `recover_outputs` can clean up after a killed process. It stays
            when all has gone well.

    Yields:
        The temporary path of each final path.

    Raises:
        OutputError: A folder is missing or not writable, a path exists, or a rename failed.
    """
    finals = [Path(path) for path in paths]
    check_distinct(finals)
    for final in finals:
        check_place(final, overwrite=overwrite)
    replacements = [_plan_replacement(final, token=f"{secrets.token_hex(4)}-{i}") for i, final in enumerate(finals)]
    temporary = {replacement.final: replacement.temporary for replacement in replacements}
    try:
        with output_errors(record or finals[0]):
            write_record(record, replacements, state="writing")
        yield temporary
        for replacement in replacements:
            with output_errors(replacement.final):
                for written, _ in replacement.into():
                    if written == replacement.temporary or written.exists():
                        sync_file(written)
            check_place(replacement.final, overwrite=overwrite)
        _commit(replacements, record)
    except OutputError as error:
        raise OutputError(_with_final_names(str(error), temporary)) from error
    finally:
        for path in temporary.values():
            remove_with_siblings(path)
        remove_record(record, state="writing")


@contextmanager
def scratch_folder(beside: str | os.PathLike[str]) -> Iterator[Path]:
    """Lend a hidden folder beside an output, for work files as large as the output; it is removed in the end.

    Raises:
        OutputError: The folder cannot be made.
    """
    beside = Path(beside)
    with output_errors(beside):
        folder = Path(tempfile.mkdtemp(prefix=f"{_hidden_stem(beside)}.", suffix=".work", dir=beside.parent))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def output_errors(path: str | os.PathLike[str], *also: type[Exception]) -> Iterator[None]:
    """Turn the errors of the system and of rasterio inside the block, and those in `also`, into an OutputError."""
    try:
        yield
    except GeoDeepLabError:
        raise
    except (OSError, RasterioError, *also) as error:
        raise OutputError(_describe(path, error)) from error


def _is_same_file(path: Path, other: Path) -> bool:
    """Tell whether two paths are one file, through links too; a URL is never a file."""
    try:
        return path.samefile(other)
    except OSError:
        return path.resolve() == other.resolve()


def _plan_replacement(final: Path, *, token: str) -> Replacement:
    return Replacement(
        final=final,
        temporary=final.with_name(f"{_hidden_stem(final)}.{token}{final.suffix}"),
        backup=final.with_name(f"{_hidden_stem(final)}.old-{token}{final.suffix}"),
    )


def _hidden_stem(path: Path) -> str:
    """Give a hidden name's beginning: cut, as names have 255 bytes at most, but not where it is a temporary file's.

    So what is made beside a temporary file begins as it does, and goes with it.
    """
    return path.stem[:150] if path.name.startswith(".") else f".{path.stem[:40]}"


def _commit(replacements: Sequence[Replacement], record: Path | None) -> None:
    try:
        commit(replacements, record=record)
    except OSError as error:
        raise OutputError(_describe(error.filename2 or error.filename or replacements[0].final, error)) from error


def _with_final_names(message: str, temporary: dict[Path, Path]) -> str:
    """Let a message about temporary files speak of the ones that the caller asked for."""
    for final, path in temporary.items():
        message = message.replace(os.fspath(path), os.fspath(final)).replace(path.name, final.name)
    return message


def _describe(path: str | os.PathLike[str], error: Exception) -> str:
    """Say in one line why an output cannot be written, and what to do."""
    reason = " ".join(str(error).split()) or type(error).__name__
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
    except OSError:
        return math.inf
