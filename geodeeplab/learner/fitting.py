"""What a fit needs beside the data and the network: its loop, its schedule, its folder, and what tells it apart."""

import dataclasses
import os
from pathlib import Path
from typing import Any

from geodeeplab.errors import OptionError
from geodeeplab.models import SegmentationNetwork
from geodeeplab.training.data import TrainingData
from geodeeplab.training.loop.checkpoints import free_folder
from geodeeplab.training.loop.objective import Objective
from geodeeplab.training.loop.recipe import Recipe

RUNS = Path("runs")
"""Folder of the checkpoints where none is given."""


def import_loop() -> Any:  # noqa: ANN401 - a module
    """Import what trains; it is in an extra.

    Raises:
        OptionError: without the extra.
    """
    try:
        from geodeeplab.training.loop import fit
    except ImportError as error:
        raise OptionError("training needs Lightning: pip install 'geodeeplab[train]'") from error
    return fit


def schedule_name(schedule: str | None, *, one_cycle: bool) -> str:
    """Settle the schedule.

    Raises:
        OptionError: if the two contradict each other.
    """
    if schedule is None:
        return "one_cycle" if one_cycle else "constant"
    if not one_cycle and schedule == "one_cycle":
        raise OptionError("`one_cycle=False` and `schedule='one_cycle'` contradict each other: leave one of them out")
    return schedule


def run_folder(
    folder: str | os.PathLike[str] | None,
    network: SegmentationNetwork,
    *,
    checkpoint: bool,
    resume: bool,
    tensorboard: bool,
) -> Path | None:
    """Settle where a fit keeps its files; None for nowhere.

    Raises:
        OptionError: if what is kept has no place.
    """
    if not checkpoint:
        if folder is not None or resume or tensorboard:
            raise OptionError("folder, resume and tensorboard keep files: leave `checkpoint=True` with them")
        return None
    if folder is not None:
        return Path(folder)
    if resume:
        raise OptionError("resume goes on with the run in a folder: pass folder, as the first run named it")
    return free_folder(RUNS, f"{network.architecture['arch']}-{network.architecture['backbone']}")


def run_facts(
    network: SegmentationNetwork, data: TrainingData, *, start: str, objective: Objective, recipe: Recipe
) -> dict[str, Any]:
    """Give what tells a run from others, flat, so that a difference has a name."""
    return {
        "architecture": dict(network.architecture),
        "classes": [item.name for item in data.classes],
        "bands": [dataclasses.asdict(band) for band in data.bands],
        "chips": [len(data.train), len(data.val), data.chip_size],
        "class_pixels": list(data.class_pixels),
        "start": start,
        **dataclasses.asdict(objective),
        **dataclasses.asdict(recipe),
    }
