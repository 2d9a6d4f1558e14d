"""Check output paths before any work, and let finished outputs appear together."""

import os
import secrets
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from rasterio.errors import RasterioError

from geodeeplab import atomic
from geodeeplab.atomic import sync_file
from geodeeplab.errors import OptionError, OutputError
from geodeeplab.raster.outputs.commit import (
    SIDECARS,
    Replacement,
    commit,
    make_folders,
    remove_folders,
    remove_record,
    write_record,
)
from geodeeplab.raster.outputs.inputs import FilePath, check_not_inputs, identity_of


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
        inputs: Files and URLs that the work reads; an output on one of them, or on a file that they name, is refused
            even with `overwrite`.

    Raises:
        OptionError: The suffix is unknown, or the path is that of an input.
        OutputError: The folder does not exist or is not writable, or the path exists.
    """
    path = Path(path)
    if path.suffix.lower() not in suffixes:
        raise OptionError(
            f"output {path} has the suffix {path.suffix!r}, which nobody here writes: use {' or '.join(suffixes)}"
        )
    check_not_inputs([path], inputs)
    check_place(path, overwrite=overwrite)
    return path


def check_outputs(
    asked: Mapping[str, tuple[FilePath | None, Sequence[str]]],
    *,
    overwrite: bool = False,
    inputs: Iterable[FilePath] = (),
) -> dict[str, Path]:
    """Give the paths of the outputs that are asked for, by name, after the checks that need no work done.

    Args:
        asked: Path and known suffixes of each, see `check_output`; None for what is not asked for.
        overwrite: Whether files that exist may be replaced.
        inputs: Files and URLs that the work reads.

    Raises:
        OptionError: A suffix is unknown, a path is that of an input, or two are one file.
        OutputError: A folder does not exist or is not writable, or a path exists.
    """
    inputs = list(inputs)
    outputs = {
        name: check_output(path, suffixes=suffixes, overwrite=overwrite, inputs=inputs)
        for name, (path, suffixes) in asked.items()
        if path is not None
    }
    check_distinct(outputs.values())
    return outputs


def check_place(path: Path, *, overwrite: bool) -> None:
    """Check that a file can be made at a path.

    Raises:
        OutputError: The folder does not exist or is not writable, or the path exists.
    """
    if "\0" in os.fspath(path):
        raise OutputError(f"output {os.fspath(path)!r} has a zero byte in its name: choose another path")
    if not path.parent.is_dir():
        raise OutputError(f"output folder {path.parent} does not exist: create it first, or choose another")
    if path.is_dir():
        raise OutputError(f"output {path} is a folder: give the path of a file")
    for ending in SIDECARS:
        if Path(f"{path}{ending}").is_dir():
            raise OutputError(f"{path}{ending} is a folder, where a file goes with the output: choose another path")
    if os.path.lexists(path) and not overwrite:
        raise OutputError(f"output {path} exists: pass `overwrite=True`, or choose another path")
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise OutputError(f"output folder {path.parent} is not writable: choose another, or change its permissions")


def check_distinct(paths: Iterable[FilePath]) -> None:
    """Check that no two outputs are one file: through links, too, and where a disk does not tell cases apart.

    Raises:
        OptionError: Two outputs are.
    """
    seen: dict[object, FilePath] = {}
    for path in paths:
        resolved = Path(path).parent.resolve() / Path(path).name
        names = (unicodedata.normalize("NFC", os.fspath(resolved)).casefold(), identity_of(path))
        for name in filter(None, names):
            if name in seen:
                other = "" if Path(seen[name]) == Path(path) else f", or are one file, as {os.fspath(seen[name])} is"
                raise OptionError(f"two outputs have the same path {os.fspath(path)}{other}: give each its own")
            seen[name] = path


@contextmanager
def atomic_outputs(
    paths: Iterable[str | os.PathLike[str]], *, overwrite: bool = False, record: Path | None = None
) -> Iterator[dict[Path, Path]]:
    """Lend a temporary path for each output; give all of them their final names at the end of the block.

    A temporary path lies in a private folder beside its output, on the same disk, and has the output's name; what
    writers leave beside it (`SIDECARS`) comes along. When the block raises, KeyboardInterrupt included,
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
    token = secrets.token_hex(8)
    replacements = [Replacement(final=final, token=token) for final in finals]
    temporary = {replacement.final: replacement.temporary for replacement in replacements}
    try:
        with output_errors(finals[0] if record is None else record):
            write_record(record, replacements, state="writing")
        with output_errors(finals[0]):
            make_folders(replacements)
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
        remove_folders(replacements, keep_old=True)
        remove_record(record, state="writing")


@contextmanager
def output_errors(path: FilePath, *also: type[Exception]) -> Iterator[None]:
    """Turn the errors of the system and of rasterio inside the block, and those in `also`, into an OutputError."""
    with atomic.output_errors(path, RasterioError, *also):
        yield


def _commit(replacements: Sequence[Replacement], record: Path | None) -> None:
    try:
        commit(replacements, record=record)
    except OSError as error:
        with output_errors(error.filename2 or error.filename or replacements[0].final):
            raise


def _with_final_names(message: str, temporary: dict[Path, Path]) -> str:
    """Let a message about temporary files speak of the ones that the caller asked for."""
    for final, path in temporary.items():
        message = message.replace(os.fspath(path), os.fspath(final))
    return message
