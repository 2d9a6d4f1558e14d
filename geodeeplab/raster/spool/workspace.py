"""The hidden folder beside an output in which a run keeps its work, until its outputs have their final names.

Its place follows from the output's path, so a later run finds what an earlier one left. One run at a time has it, by a
lock that ends with its process, however that ends.
"""

import hashlib
import json
import math
import os
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from geodeeplab.atomic import ALL_WRITTEN, PART_ENDING, sync_folder
from geodeeplab.errors import OptionError, OutputError
from geodeeplab.raster.outputs.checks import atomic_outputs, check_distinct, check_place, output_errors
from geodeeplab.raster.outputs.commit import PRIVATE_ENDING, is_done, recover_outputs, stamp_of, to_stamp, told
from geodeeplab.raster.spool.encoded import SpoolLayer
from geodeeplab.raster.spool.store import JOURNAL_NAME, BlockSpool, SpoolJournal, read_spool_journal

RECORD_NAME = "outputs.json"
MOST_DIFFERENCES = 4
"""As many as a message names."""
_OWN_FILES = re.compile(
    rf"{re.escape(JOURNAL_NAME)}|{re.escape(RECORD_NAME)}|polygons(\..+)?|\w+-\d{{9}}-\d{{9}}\.tif(\.part)?"
    rf"|\w+(-part-\d+)?\.vrt(\.aux\.xml)?|\..+{re.escape(PART_ENDING)}|\.geodeeplab-.+|\.nfs\w+|\.DS_Store"
)
_OWN_FOLDERS = re.compile(rf"traced|sieved|\..+{re.escape(PRIVATE_ENDING)}|\.geodeeplab-.+")
"""Names of all that a run makes in its workspace; what has another name is somebody else's."""


@dataclass(kw_only=True)
class Workspace:
    """A run's place to work; made by `open_workspace`."""

    outputs: tuple[Path, ...]
    """Final paths of all outputs."""
    folder: Path
    """Where the work is kept."""
    spool: BlockSpool
    """The finished blocks: none, or those of the run that is resumed."""
    overwrite: bool
    """Whether outputs that exist are replaced."""
    note: str | None
    """What the user should be told before the run, in one line."""
    resumed_share: float
    """Share of the scene's pixels that an earlier run has done."""
    kept_note: str | None = None
    """After a run that failed: how much is kept, where, and how to go on; None where nothing is kept."""
    is_published: bool = False
    """Whether all outputs have their final names."""
    _is_discarded: bool = field(default=False, repr=False)

    @contextmanager
    def publish(self) -> Iterator[dict[Path, Path]]:
        """Lend temporary paths for the outputs as `atomic_outputs` does.

        Whatever moment the process is killed, the next run beside this output cleans up.
        """
        with atomic_outputs(self.outputs, overwrite=self.overwrite, record=self.folder / RECORD_NAME) as temporary:
            yield temporary
        self.is_published = True

    def discard(self) -> None:
        """Declare that nothing here is worth keeping: the folder goes at the end of the run, even if it fails."""
        self._is_discarded = True


@contextmanager
def open_workspace(
    outputs: Sequence[Path],
    header: Mapping[str, object],
    *,
    shape: tuple[int, int],
    layers: Sequence[SpoolLayer],
    resume: bool = False,
    overwrite: bool = False,
) -> Iterator[Workspace]:
    """Lend the workspace of a run, beside its first output; it is removed at the end of the block.

    When the block raises, it is kept if a block of pixels is done, and the exception gets a note that says so.

    Args:
        outputs: Final paths of all outputs.
        header: All that the pixels depend on, as JSON; a run resumes only one with the same header.
        shape: (height, width) of the scene.
        layers: What the spool holds.
        resume: Whether to go on with what an interrupted run left.
        overwrite: Whether outputs that exist are replaced, and what an interrupted run left is given up.

    Raises:
        OptionError: Both `resume` and `overwrite`, or two outputs with one path.
        OutputError: Another run has the workspace; an interrupted run left work and neither is passed; that work was
            made with another header; an output cannot be made at its place.
    """
    if resume and overwrite:
        raise OptionError(
            "resume goes on with a run and overwrite starts afresh: pass one of `resume=True` and `overwrite=True`"
        )
    outputs = tuple(Path(path) for path in outputs)
    check_distinct(outputs)
    check_place(outputs[0], overwrite=True)
    folder = workspace_folder(outputs[0])
    check_outside(folder, outputs)
    content = json.loads(json.dumps(dict(header), default=str))
    with _lock(folder, outputs[0]) as note:
        workspace = _begin(folder, outputs, content, shape, tuple(layers), resume=resume, overwrite=overwrite)
        workspace.note = "; ".join(filter(None, [workspace.note, note])) or None
        try:
            yield workspace
            _remove(folder)
        except BaseException as error:
            _end_failed(workspace, error)
            raise


def finished_before(outputs: Sequence[Path]) -> bool:
    """Tell whether an earlier run has left nothing to do, and clean up after it where it was killed at its very end.

    Raises:
        OutputError: Another run has the workspace, or what lies there is none of ours.
    """
    if not all(path.is_file() for path in outputs):
        return False
    folder = workspace_folder(outputs[0])
    with _lock(folder, outputs[0]):
        if _recover(folder, outputs, give_up=False):
            _remove(folder)
        return not os.path.lexists(folder)


def stored_pins(output: Path) -> dict[str, Any]:
    """Give what the interrupted run with this first output was made with; empty if there is none.

    Raises:
        OutputError: Its journal cannot be read.
    """
    folder = workspace_folder(output)
    journal = _read(folder) if folder.is_dir() and not folder.is_symlink() else None
    return {} if journal is None else dict(journal.header["made_with"])


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


@contextmanager
def _lock(folder: Path, output: Path) -> Iterator[str | None]:
    """Have a workspace to oneself; yield a note where that cannot be had."""
    path = folder.with_name(f"{folder.name}.lock")
    if os.path.lexists(path) and (path.is_symlink() or not path.is_file() or path.stat().st_size):
        raise OutputError(f"{path} is not the empty file by which runs keep apart: move it away")
    lock = FileLock(path, timeout=0, thread_local=False)
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


def _begin(
    folder: Path,
    outputs: tuple[Path, ...],
    header: dict[str, Any],
    shape: tuple[int, int],
    layers: tuple[SpoolLayer, ...],
    *,
    resume: bool,
    overwrite: bool,
) -> Workspace:
    """Resume what is there, or start afresh."""
    if _recover(folder, outputs, give_up=overwrite):
        _remove(folder)  # all was done but this
    journal = None if overwrite else _read(folder)
    note = None
    if journal is not None and journal.share:
        if not resume:
            raise OutputError(
                f"an interrupted run left {_percent(journal.share)} in {folder}: "
                "pass `resume=True` to go on with it, or `overwrite=True` to start afresh"
            )
        _check_same(folder, journal, header, shape, layers)
        replaced = [path for path in outputs if os.path.lexists(path) and _may_replace(folder, path, journal)]
        for path in outputs:
            check_place(path, overwrite=path in replaced)
        spool = BlockSpool.open(folder)
        share = spool.pixel_count / math.prod(shape)
        return Workspace(
            outputs=outputs,
            folder=folder,
            spool=spool,
            overwrite=bool(replaced),
            note=None if share else f"nothing that the interrupted run left in {folder} is whole: starting afresh",
            resumed_share=share,
        )
    if resume:
        note = f"nothing to resume for {outputs[0]}: starting afresh"
    if not overwrite:
        _remove(folder)  # it holds no work
    for path in outputs:
        check_place(path, overwrite=overwrite)
    _remove(folder)
    stamps = {told(folder, path): stamp_of(path) for path in outputs if os.path.lexists(path)}
    try:
        with output_errors(outputs[0]):
            folder.mkdir(mode=0o700)
            sync_folder(folder.parent)
        spool = BlockSpool(folder, shape, layers, {"made_with": header, "replaces": stamps})
    except BaseException:
        _remove(folder)
        raise
    return Workspace(outputs=outputs, folder=folder, spool=spool, overwrite=overwrite, note=note, resumed_share=0.0)


def _recover(folder: Path, outputs: Sequence[Path], *, give_up: bool) -> bool:
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


def _read(folder: Path) -> SpoolJournal | None:
    """Read the journal that an earlier run left; None if there is none."""
    try:
        journal = read_spool_journal(folder)
    except OutputError as error:
        raise OutputError(f"{error}, or pass `overwrite=True` to start afresh") from error
    if journal is None or all(isinstance(journal.header.get(key), dict) for key in ("made_with", "replaces")):
        return journal
    raise OutputError(f"the journal in {folder} is damaged: pass `overwrite=True` to start afresh")


def _may_replace(folder: Path, path: Path, journal: SpoolJournal) -> bool:
    """Tell whether an output is the very file that the interrupted run was allowed to replace."""
    return to_stamp(journal.header["replaces"].get(told(folder, path))) == stamp_of(path)


def _check_same(
    folder: Path,
    journal: SpoolJournal,
    header: Mapping[str, Any],
    shape: tuple[int, int],
    layers: Sequence[SpoolLayer],
) -> None:
    """Refuse to go on with work that was made otherwise.

    Raises:
        OutputError: It was.
    """
    old = journal.header["made_with"] | _as_facts(journal.shape, journal.layers)
    difference = describe_difference(old, {**header, **_as_facts(shape, layers)})
    if difference:
        raise OutputError(
            f"cannot resume: the interrupted run in {folder} was made with {difference}: "
            "give the same, or pass `overwrite=True` to start afresh"
        )


def _as_facts(shape: tuple[int, int], layers: Sequence[SpoolLayer]) -> dict[str, Any]:
    return {"shape": list(shape), "layers": [asdict(layer) for layer in layers]}


def describe_difference(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Say what differs between the facts of two runs, as JSON holds them; "" if nothing does."""
    old, new = _flatten(dict(before)), _flatten(dict(now))
    differing = [key for key in sorted(old | new) if old.get(key) != new.get(key)]
    stated = [f"{key} {old.get(key, 'unset')}, now {new.get(key, 'unset')}" for key in differing[:MOST_DIFFERENCES]]
    more = f"; {len(differing) - len(stated)} more differ" if len(differing) > len(stated) else ""
    return "; ".join(stated) + more


def _flatten(value: Any, prefix: str = "") -> dict[str, str]:  # noqa: ANN401 - whatever JSON holds
    """Give the leaves of nested objects by dotted keys, as JSON."""
    if not isinstance(value, dict):
        return {prefix: json.dumps(value)}
    leaves: dict[str, str] = {}
    for key, item in value.items():
        leaves |= _flatten(item, f"{prefix}.{key}" if prefix else str(key))
    return leaves


def _end_failed(workspace: Workspace, error: BaseException) -> None:
    """Keep the work of a run that failed if there is any, and say so; an interruption may come after all was done."""
    spool = workspace.spool
    record = workspace.folder / RECORD_NAME
    if workspace.is_published or is_done(record):
        recover_outputs(record, workspace.outputs, give_up=True)  # what is left of the old files
        _remove(workspace.folder)
        error.add_note(f"{', '.join(map(str, workspace.outputs))}: {ALL_WRITTEN}")
        return
    if workspace._is_discarded or not spool.block_count:
        _remove(workspace.folder)
        return
    share = spool.pixel_count / math.prod(spool.shape)
    workspace.kept_note = f"{_percent(share)} of the scene is kept in {workspace.folder}: pass `resume=True` to go on"
    error.add_note(workspace.kept_note)


def _remove(folder: Path) -> None:
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


def _percent(share: float) -> str:
    """Round down: what is not all is not 100 %."""
    return f"{math.floor(100 * share)} %"
