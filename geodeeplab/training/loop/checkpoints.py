"""The folder of a fit: the last checkpoint to go on from, the best weights, the history. Nothing in it is unpickled.

last.ckpt          weights, averaged weights, optimiser, schedule, history: one epoch ago at most
best.safetensors   the averaged weights of the best epoch
history.json       what each epoch came to
"""

import json
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from geodeeplab.atomic import atomic_file, output_errors, write_output
from geodeeplab.errors import ModelError, OptionError, OutputError
from geodeeplab.text import read_json
from geodeeplab.training.loop.recipe import EpochRecord

CHECKPOINT_VERSION = 1
CHECKPOINT_KEY = "geodeeplab"
LAST, BEST, HISTORY = "last.ckpt", "best.safetensors", "history.json"


def open_run_folder(folder: Path, run: Mapping[str, Any], *, resume: bool, overwrite: bool) -> list[EpochRecord]:
    """Make the folder of a fit, or find what an earlier run left in it.

    Args:
        folder: the folder.
        run: plain facts that tell this run from others.
        resume: go on with what is there.
        overwrite: begin anew, whatever is there.

    Returns:
        The epochs that are done.

    Raises:
        OptionError: for a folder with a run in it and neither `resume` nor `overwrite`, or with another run.
        ModelError: for a checkpoint that cannot be read, or of another format version.
        OutputError: if the folder cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"the folder {folder} cannot be made ({error.strerror}): choose another one") from error
    last = folder / LAST
    if not last.exists():
        return []
    if overwrite:
        for name in (LAST, BEST, HISTORY):
            (folder / name).unlink(missing_ok=True)
        return []
    if not resume:
        raise OptionError(
            f"{folder} holds the checkpoints of an earlier fit: pass `resume=True` to go on with it, `overwrite=True` "
            "to begin anew, or another folder"
        )
    state = read_checkpoint(last)[CHECKPOINT_KEY]
    theirs, ours = (json.loads(json.dumps(facts)) for facts in (state["run"], run))  # where a tuple is a list
    _check_same(theirs, ours, folder)
    return [EpochRecord.from_mapping(values) for values in state["history"]]


def free_folder(parent: Path, name: str) -> Path:
    """Give the first of name-1, name-2, … without a checkpoint in it."""
    number = 1
    while (parent / f"{name}-{number}" / LAST).exists():
        number += 1
    return parent / f"{name}-{number}"


def stored_rate(folder: Path) -> float | None:
    """Give the learning rate of the run in a folder, if there is one."""
    if not (folder / LAST).exists():
        return None
    return float(read_checkpoint(folder / LAST)[CHECKPOINT_KEY]["run"]["lr"])


def stored_batch(folder: Path) -> tuple[int, int] | None:
    """Give the chips of a step and those at once of the run in a folder, if there is one."""
    if not (folder / LAST).exists():
        return None
    run = read_checkpoint(folder / LAST)[CHECKPOINT_KEY]["run"]
    chips = run.get("batch_size")
    return None if chips is None else (int(chips), int(run.get("micro_batch") or chips))


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint of a fit.

    Raises:
        ModelError: if it is missing, damaged, holds other objects, or is of another format version.
    """
    content = read_plain(path)
    state = content.get(CHECKPOINT_KEY)
    if state is None:
        raise ModelError(f"{path} is no checkpoint of GeoDeepLab: choose another folder")
    if state.get("format_version") != CHECKPOINT_VERSION:
        raise ModelError(
            f"this GeoDeepLab goes on with checkpoints of format {CHECKPOINT_VERSION}, {path} has format "
            f"{state.get('format_version')}: go on with the version that wrote it, or begin the fit anew"
        )
    return content


def read_plain(path: Path) -> dict[str, Any]:
    """Read a file of tensors and plain values, nothing else.

    Raises:
        ModelError: if it is missing, damaged, or holds other objects.
    """
    try:
        return dict(torch.load(path, map_location="cpu", weights_only=True))
    except pickle.UnpicklingError as error:
        raise ModelError(
            f"{path} is damaged, or holds Python objects beside tensors, which are not loaded: begin the fit anew"
        ) from error
    except (OSError, EOFError, RuntimeError, TypeError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ModelError(f"{path} is not a readable checkpoint ({reason}): begin the fit anew") from error


def write_checkpoint(content: Mapping[str, Any], path: Path) -> None:
    """Write a checkpoint under a temporary name, then rename it.

    Raises:
        OutputError: if it cannot be written.
    """
    with output_errors(path, RuntimeError), atomic_file(path) as file:  # torch says RuntimeError where the disk is full
        torch.save(dict(content), file)


def write_history(folder: Path, history: list[EpochRecord]) -> None:
    """Write the records of the epochs as JSON."""
    text = json.dumps([record.to_mapping() for record in history], indent=1)
    write_output(folder / HISTORY, text.encode())


def read_history(folder: Path) -> list[EpochRecord]:
    """Read what `write_history` wrote."""
    records = read_json(folder / HISTORY, list, error=ModelError, step="begin the fit anew")
    return [EpochRecord.from_mapping(values) for values in records]


def write_weights(network: nn.Module, path: Path) -> None:
    """Write a network's weights and statistics."""
    state: dict[str, Tensor] = {key: value.detach().cpu().contiguous() for key, value in network.state_dict().items()}
    write_output(path, save(state))


def read_weights(network: nn.Module, path: Path) -> None:
    """Load a network's weights and statistics.

    Raises:
        ModelError: if the file cannot be read, or is of another network.
    """
    try:
        network.load_state_dict(load_file(path), strict=True)
    except (OSError, SafetensorError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ModelError(f"the weights {path} cannot be loaded ({reason}): begin the fit anew") from error


def _check_same(theirs: Mapping[str, Any], ours: Mapping[str, Any], folder: Path) -> None:
    """Refuse to go on with a run of other numbers; one that an earlier version did not state is as it was."""
    differing = [key for key in sorted(theirs) if theirs[key] != ours.get(key)]
    if differing:
        key = differing[0]
        more = f" (and {', '.join(differing[1:])} differ)" if len(differing) > 1 else ""
        raise OptionError(
            f"{folder} holds another run: its {key} is {_short(theirs.get(key))}, not {_short(ours.get(key))}{more}: "
            "repeat its options, or choose another folder"
        )


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
