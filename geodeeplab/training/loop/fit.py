"""`fit_network`: a fit on Lightning's Trainer, from a run's numbers to the best weights."""

import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins.io import TorchCheckpointIO
from lightning.pytorch import Callback
from lightning.pytorch.loggers import TensorBoardLogger
from torch import nn

from geodeeplab.errors import OptionError
from geodeeplab.models.network import SegmentationNetwork
from geodeeplab.training.data import TrainingData
from geodeeplab.training.loop.checkpoints import (
    BEST,
    LAST,
    open_run_folder,
    read_history,
    read_plain,
    read_weights,
    write_checkpoint,
)
from geodeeplab.training.loop.forecast import FitForecast, forecast_fit
from geodeeplab.training.loop.module import TrainingModule
from geodeeplab.training.loop.objective import Objective
from geodeeplab.training.loop.progress import EpochCalls, EpochLines, FitProgress, Keeper, StepHook
from geodeeplab.training.loop.recipe import EpochRecord, Recipe, has_stalled
from geodeeplab.training.loop.trainer import make_trainer, quiet_lightning, run_trainer
from geodeeplab.training.loop.trial import time_steps
from geodeeplab.training.random_state import CPU, kept_random_state


def fit_network(
    network: SegmentationNetwork,
    normalisation: nn.Module,
    data: TrainingData,
    *,
    objective: Objective,
    recipe: Recipe,
    run: Mapping[str, Any],
    folder: Path | None,
    resume: bool = False,
    overwrite: bool = False,
    device: torch.device = CPU,
    devices: int | str | Sequence[int] | None = None,
    strategy: str = "auto",
    num_nodes: int = 1,
    workers: int = 0,
    tensorboard: bool = False,
    progress: bool | FitProgress | None = None,
    after_step: StepHook | None = None,
    announce: Callable[[FitForecast], None] | None = None,
) -> list[EpochRecord]:
    """Train a network in place; afterwards it has the averaged weights of the best epoch.

    Args:
        network: of `build_model`.
        normalisation: maps pixels and `valid` to the network's images.
        data: chips.
        objective: the loss.
        recipe: the numbers.
        run: plain facts that tell this run from others; only a run of the same facts is gone on with.
        folder: where checkpoints and history are kept; None for a temporary one.
        resume: go on with the run in the folder; with nothing there it begins.
        overwrite: begin anew whatever the folder holds.
        device: where to train; by default on the CPU.
        devices: Lightning's: how many of the device's kind, or which; by default the device alone.
        strategy: Lightning's.
        num_nodes: Lightning's.
        workers: processes that draw chips, on each device; they change no chip.
        tensorboard: write TensorBoard's files into the folder.
        progress: draw bars, by default on a terminal and in notebooks; or a function to call in place of them.
        after_step: called after every step.
        announce: called before the first step with what there is to do, by the time of a step or two, which are made
            for that and undone.

    Returns:
        A record of each epoch.

    Raises:
        OptionError, ModelError, OutputError: see `open_run_folder`; and for a loss that is not finite.
    """
    is_temporary = folder is None
    with ExitStack() as stack:
        if folder is None:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="geodeeplab-fit-")))
        history = open_run_folder(folder, run, resume=resume, overwrite=overwrite)
        if not _is_complete(history, recipe):
            if announce is not None and os.environ.get("LOCAL_RANK", "0") == "0":  # others begin anew with this script
                times = time_steps(network, normalisation, data, objective=objective, recipe=recipe, device=device)
                done, world = len(history), _count(devices)
                announce(forecast_fit(data, recipe, times, done=done, device=device, workers=workers, world=world))
            stack.enter_context(quiet_lightning())
            module = TrainingModule(
                network, normalisation, data, objective=objective, recipe=recipe, run=run, workers=workers
            )
            trainer = make_trainer(
                recipe,
                device=device,
                devices=devices,
                strategy=strategy,
                num_nodes=num_nodes,
                callbacks=[Keeper(folder, after_step=after_step), _telling(progress)],
                logger=_tensorboard(folder) if tensorboard else False,
                plugins=[PlainCheckpoints()],
            )
            if is_temporary and trainer.world_size > 1:
                raise OptionError("several processes share the folder of their checkpoints: leave `checkpoint=True`")
            stack.enter_context(kept_random_state(trainer.strategy.root_device))
            try:
                run_trainer(trainer, module, folder / LAST if history else None)
            except KeyboardInterrupt as interruption:
                if (folder / LAST).exists():
                    interruption.add_note(f"the epochs in {folder} are kept: go on with resume")
                raise
            history = read_history(folder)
        elif not (folder / BEST).exists():
            raise OptionError(f"{folder} has lost its best weights: pass `overwrite=True` to begin anew")
        read_weights(network, folder / BEST)
    network.eval()
    return history


class PlainCheckpoints(TorchCheckpointIO):
    """Checkpoints that appear whole beside their final name, and are read without unpickling anything."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:  # noqa: ANN401
        """Write one."""
        write_checkpoint(checkpoint, Path(path))

    def load_checkpoint(self, path: Any, *_: object, **__: object) -> dict[str, Any]:  # noqa: ANN401
        """Read one: a fit's own, checked before, or weights that Lightning hands over between processes."""
        return read_plain(Path(path))


def _count(devices: int | str | Sequence[int] | None) -> int:
    """Give the number of devices, one where only Lightning knows it."""
    if devices is None or isinstance(devices, str):
        return 1
    return max(1, devices) if isinstance(devices, int) else len(devices)


def _telling(progress: bool | FitProgress | None) -> Callback:
    """Give what tells how far the fit is."""
    return EpochCalls(progress) if callable(progress) else EpochLines(shown=progress)


def _is_complete(history: list[EpochRecord], recipe: Recipe) -> bool:
    """Say whether a run has nothing left to do."""
    stalled = has_stalled(history, monitor=recipe.monitor, patience=recipe.patience)
    return len(history) >= recipe.epochs or stalled


def _tensorboard(folder: Path) -> TensorBoardLogger:
    return TensorBoardLogger(save_dir=folder, name="tensorboard", version="")
