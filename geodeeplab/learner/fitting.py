"""What a fit needs beside the data and the network: its loop, its schedule, its folder, and what tells it apart."""

import dataclasses
import os
import sys
import warnings
from pathlib import Path
from typing import Any

from geodeeplab.errors import GeoDeepLabWarning, OptionError
from geodeeplab.models import SegmentationNetwork
from geodeeplab.training.data import TrainingData
from geodeeplab.training.loop.checkpoints import free_folder
from geodeeplab.training.loop.objective import Objective
from geodeeplab.training.loop.recipe import Recipe

RUNS = Path("runs")
"""Folder of the checkpoints where none is given."""
DEFAULT_STEPS = 640
"""Of a fit whose epochs are not given: ten epochs of 64, and at 8 chips of 256 px half an hour on two cores."""
DEFAULT_RATE = 1e-3
"""Peak of the learning rate where none is given; that of a whole model's backbone that goes on learning is a tenth."""
LEAST_STEPS = 200
"""Of a fit; below, it is warned of."""


def import_loop() -> Any:  # noqa: ANN401 - a module
    """Import what trains, `fit` and `trial`; it is in an extra.

    Raises:
        OptionError: without the extra.
    """
    try:
        from geodeeplab.training import loop
        from geodeeplab.training.loop import fit, trial  # noqa: F401 - they become the package's attributes
    except ImportError as error:
        raise OptionError("training needs Lightning: pip install 'geodeeplab[train]'") from error
    return loop


def warn_of_few_steps(steps: int, *, epoch_steps: int) -> None:
    """Say that a fit is too short to learn from.

    Warns:
        GeoDeepLabWarning: for less than `LEAST_STEPS` in all.
    """
    if steps < LEAST_STEPS:
        warnings.warn(
            f"{steps} steps in all teach a network little, {LEAST_STEPS} are the least that pays: give "
            f"{-(-LEAST_STEPS // epoch_steps)} `epochs=` of {epoch_steps} steps or more, or a larger `epoch_chips=`",
            GeoDeepLabWarning,
            stacklevel=4,  # the caller of `fit`, past what reads other words for its arguments
        )


def tell_forecast(forecast: object) -> None:
    """Write on stderr what a fit will do, as the lines of its epochs are written."""
    from tqdm import tqdm

    tqdm.write(str(forecast), file=sys.stderr)


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
        "instances": data.provenance.get("instances"),
        **dataclasses.asdict(objective),
        **dataclasses.asdict(recipe),
    }
