"""A run's work until its outputs have their final names: begun, gone on with, kept or given up."""

import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from geodeeplab.atomic import ALL_WRITTEN, sync_folder
from geodeeplab.errors import OptionError, OutputError
from geodeeplab.raster.outputs.checks import atomic_outputs, check_distinct, check_place, output_errors
from geodeeplab.raster.outputs.commit import is_done, recover_outputs, stamp_of, to_stamp, told
from geodeeplab.raster.spool.encoded import SpoolLayer
from geodeeplab.raster.spool.spool_journal import SpoolJournal, read_spool_journal
from geodeeplab.raster.spool.store import BlockSpool
from geodeeplab.raster.spool.work_folder import (
    RECORD_NAME,
    check_outside,
    lock_folder,
    recover_folder,
    remove_folder,
    workspace_folder,
)

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
    with lock_folder(folder, outputs[0]) as note:
        workspace = _begin(folder, outputs, content, shape, tuple(layers), resume=resume, overwrite=overwrite)
        workspace.note = "; ".join(filter(None, [workspace.note, note])) or None
        try:
            yield workspace
            remove_folder(folder)
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
    with lock_folder(folder, outputs[0]):
        if recover_folder(folder, outputs, give_up=False):
            remove_folder(folder)
        return not os.path.lexists(folder)


def stored_pins(output: Path) -> dict[str, Any]:
    """Give what the interrupted run with this first output was made with; empty if there is none.

    Raises:
        OutputError: Its journal cannot be read.
    """
    folder = workspace_folder(output)
    journal = _read(folder) if folder.is_dir() and not folder.is_symlink() else None
    return {} if journal is None else dict(journal.header["made_with"])


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
    if recover_folder(folder, outputs, give_up=overwrite):
        remove_folder(folder)  # all was done but this
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
        remove_folder(folder)  # it holds no work
    for path in outputs:
        check_place(path, overwrite=overwrite)
    remove_folder(folder)
    stamps = {told(folder, path): stamp_of(path) for path in outputs if os.path.lexists(path)}
    try:
        with output_errors(outputs[0]):
            folder.mkdir(mode=0o700)
            sync_folder(folder.parent)
        spool = BlockSpool(folder, shape, layers, {"made_with": header, "replaces": stamps})
    except BaseException:
        remove_folder(folder)
        raise
    return Workspace(outputs=outputs, folder=folder, spool=spool, overwrite=overwrite, note=note, resumed_share=0.0)


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
        remove_folder(workspace.folder)
        error.add_note(f"{', '.join(map(str, workspace.outputs))}: {ALL_WRITTEN}")
        return
    if workspace._is_discarded or not spool.block_count:
        remove_folder(workspace.folder)
        return
    share = spool.pixel_count / math.prod(spool.shape)
    workspace.kept_note = f"{_percent(share)} of the scene is kept in {workspace.folder}: pass `resume=True` to go on"
    error.add_note(workspace.kept_note)


def _percent(share: float) -> str:
    """Round down: what is not all is not 100 %."""
    return f"{math.floor(100 * share)} %"
