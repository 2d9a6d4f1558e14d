"""The hidden folder beside an output in which a run keeps its work, until its outputs have their final names.

Its place follows from the output's path, so a later run finds what an earlier one left. One run at a time has it, by a
lock that ends with its process, however that ends.
"""

import hashlib
import json
import math
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from geodeeplab.errors import OptionError, OutputError
from geodeeplab.raster.outputs.checks import atomic_outputs, check_distinct, check_place, output_errors
from geodeeplab.raster.outputs.commit import recover_outputs, sync_folder
from geodeeplab.raster.spool.encoded import SpoolLayer
from geodeeplab.raster.spool.journal import Journal, read_journal
from geodeeplab.raster.spool.store import JOURNAL_NAME, JOURNAL_VERSION, BlockSpool, count_pixels

RECORD_NAME = "outputs.json"
MOST_DIFFERENCES = 4
"""As many as a message names."""


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
    _is_discarded: bool = field(default=False, repr=False)

    def publish(self) -> AbstractContextManager[dict[Path, Path]]:
        """Lend temporary paths for the outputs as `atomic_outputs` does.

        Whatever moment the process is killed, the next run beside this output cleans up.
        """
        return atomic_outputs(self.outputs, overwrite=self.overwrite, record=self.folder / RECORD_NAME)

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
        raise OptionError("resume goes on with a run and overwrite starts afresh: pass one of --resume and --overwrite")
    outputs = tuple(Path(path) for path in outputs)
    check_distinct(outputs)
    check_place(outputs[0], overwrite=True)
    folder = workspace_folder(outputs[0])
    content = json.loads(json.dumps(dict(header), default=str))
    with _lock(folder, outputs[0]) as note:
        workspace = _begin(folder, outputs, content, shape, tuple(layers), resume=resume, overwrite=overwrite)
        workspace.note = "; ".join(filter(None, [workspace.note, note])) or None
        try:
            yield workspace
        except BaseException as error:
            _end_failed(workspace, error)
            raise
        _remove(folder)


def workspace_folder(output: Path) -> Path:
    """Give the path of the workspace of a run whose first output this is."""
    name = output.name
    if len(os.fsencode(name)) > 200:  # names have 255 bytes at most
        name = hashlib.sha256(os.fsencode(name)).hexdigest()
    return output.parent.resolve() / f".{name}.geodeeplab-work"


@contextmanager
def _lock(folder: Path, output: Path) -> Iterator[str | None]:
    """Have a workspace to oneself; yield a note where that cannot be had."""
    path = folder.with_name(f"{folder.name}.lock")
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
    with output_errors(outputs[0]):
        is_done = recover_outputs(folder / RECORD_NAME)
        if is_done and not resume:
            _remove(folder)  # all was done but this
    journal = _read(folder, overwrite=overwrite)
    share = 0.0 if journal is None else count_pixels(journal) / math.prod(journal.header["shape"])
    note = None
    if journal is not None and share:
        if not resume:
            raise OutputError(
                f"an interrupted run left {_percent(share)} in {folder}: "
                "pass --resume to go on with it, or --overwrite to start afresh"
            )
        _check_same(folder, journal, header, shape, layers)
        earlier = journal.header["header"]
        may_replace = earlier["overwrite"] or is_done  # these are its own
        for path in outputs:
            check_place(path, overwrite=may_replace and os.path.abspath(path) in earlier["outputs"])
        spool = BlockSpool.open(folder)
        share = spool.pixel_count / math.prod(shape)
        return Workspace(
            outputs=outputs,
            folder=folder,
            spool=spool,
            overwrite=may_replace,
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
    pins = {"made_with": header, "outputs": [os.path.abspath(path) for path in outputs], "overwrite": overwrite}
    try:
        with output_errors(outputs[0]):
            folder.mkdir()
            sync_folder(folder.parent)
        spool = BlockSpool(folder, shape, layers, pins)
    except BaseException:
        _remove(folder)
        raise
    return Workspace(outputs=outputs, folder=folder, spool=spool, overwrite=overwrite, note=note, resumed_share=0.0)


def _read(folder: Path, *, overwrite: bool) -> Journal | None:
    """Read the journal that an earlier run left; None if there is none, or it is given up."""
    if overwrite:
        return None
    try:
        journal = read_journal(folder / JOURNAL_NAME)
    except OutputError as error:
        raise OutputError(f"{error}, or pass --overwrite to start afresh") from error
    if journal is None or journal.header.get("version") == JOURNAL_VERSION:
        return journal
    raise OutputError(f"another version of GeoDeepLab left work in {folder}: pass --overwrite to start afresh")


def _check_same(
    folder: Path, journal: Journal, header: Mapping[str, Any], shape: tuple[int, int], layers: Sequence[SpoolLayer]
) -> None:
    """Refuse to go on with work that was made otherwise."""
    old = journal.header["header"]["made_with"] | {key: journal.header[key] for key in ("shape", "layers")}
    new = {**header, "shape": list(shape), "layers": [asdict(layer) for layer in layers]}
    before, now = _flatten(old), _flatten(new)
    differing = [key for key in sorted(before | now) if before.get(key) != now.get(key)]
    if not differing:
        return
    told = [f"{key} {before.get(key, 'unset')}, now {now.get(key, 'unset')}" for key in differing[:MOST_DIFFERENCES]]
    more = f"; {len(differing) - len(told)} more differ" if len(differing) > len(told) else ""
    raise OutputError(
        f"cannot resume: the interrupted run in {folder} was made with {'; '.join(told)}{more}: "
        "give the same, or pass --overwrite to start afresh"
    )


def _flatten(value: Any, prefix: str = "") -> dict[str, str]:  # noqa: ANN401 - whatever JSON holds
    """Give the leaves of nested objects by dotted keys, as JSON."""
    if not isinstance(value, dict):
        return {prefix: json.dumps(value)}
    leaves: dict[str, str] = {}
    for key, item in value.items():
        leaves |= _flatten(item, f"{prefix}.{key}" if prefix else str(key))
    return leaves


def _end_failed(workspace: Workspace, error: BaseException) -> None:
    """Keep the work of a run that failed if there is any, and say so."""
    spool = workspace.spool
    if workspace._is_discarded or not spool.block_count:
        _remove(workspace.folder)
        return
    share = spool.pixel_count / math.prod(spool.shape)
    workspace.kept_note = f"{_percent(share)} of the scene is kept in {workspace.folder}: pass --resume to go on"
    error.add_note(workspace.kept_note)


def _remove(folder: Path) -> None:
    """Remove a workspace, its journal first: without it, what is left counts for nothing."""
    with suppress(OSError):
        (folder / JOURNAL_NAME).unlink(missing_ok=True)
        sync_folder(folder)
    shutil.rmtree(folder, ignore_errors=True)


def _percent(share: float) -> str:
    """Round down: what is not all is not 100 %."""
    return f"{math.floor(100 * share)} %"
