"""`fit_network`: a fit on Lightning's Trainer, from a run's numbers to the best weights."""

import logging
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins.io import TorchCheckpointIO
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.loggers import TensorBoardLogger
from torch import nn

from geodeeplab.errors import OptionError
from geodeeplab.models.network import SegmentationNetwork
from geodeeplab.quiet import ignore_warnings
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
from geodeeplab.training.loop.module import TrainingModule
from geodeeplab.training.loop.objective import Objective
from geodeeplab.training.loop.progress import EpochCalls, EpochLines, FitProgress, Keeper, StepHook
from geodeeplab.training.loop.recipe import EpochRecord, Recipe, has_stalled
from geodeeplab.training.random_state import kept_random_state

PRECISIONS = {"fp32": "32-true", "bf16": "bf16-mixed", "fp16": "16-mixed"}
"""Lightning's names of ours."""


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
    device: torch.device | None = None,
    devices: int | str | Sequence[int] | None = None,
    strategy: str = "auto",
    num_nodes: int = 1,
    workers: int = 0,
    tensorboard: bool = False,
    progress: bool | FitProgress | None = None,
    after_step: StepHook | None = None,
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
            stack.enter_context(_quiet_lightning())
            module = TrainingModule(
                network, normalisation, data, objective=objective, recipe=recipe, run=run, workers=workers
            )
            trainer = Trainer(
                **_accelerator(device or torch.device("cpu"), devices),
                strategy=strategy,
                num_nodes=num_nodes,
                precision=PRECISIONS[recipe.precision],  # type: ignore[arg-type]
                max_epochs=recipe.epochs,
                gradient_clip_val=recipe.clip,
                callbacks=[Keeper(folder, after_step=after_step), _telling(progress)],
                logger=_tensorboard(folder) if tensorboard else False,
                plugins=[PlainCheckpoints()],
                enable_checkpointing=False,
                enable_progress_bar=False,
                enable_model_summary=False,
                num_sanity_val_steps=0,
                log_every_n_steps=1,  # nothing is logged by step; 50 would warn of short epochs
                use_distributed_sampler=False,  # the loaders know their process
            )
            if is_temporary and trainer.world_size > 1:
                raise OptionError("several processes share the folder of their checkpoints: leave `checkpoint=True`")
            stack.enter_context(kept_random_state(trainer.strategy.root_device))
            _run(trainer, module, folder / LAST if history else None, folder)
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


def _run(trainer: Trainer, module: TrainingModule, start: Path | None, folder: Path) -> None:
    """Fit, and turn what Lightning makes of Ctrl-C into Ctrl-C again."""
    try:
        trainer.fit(module, ckpt_path=start)
    except SystemExit as error:  # Lightning's way out of an interruption
        interruption = KeyboardInterrupt("the fit was interrupted")
        if (folder / LAST).exists():
            interruption.add_note(f"the epochs in {folder} are kept: go on with resume")
        raise interruption from error


def _accelerator(device: torch.device, devices: int | str | Sequence[int] | None) -> dict[str, Any]:
    """Give Lightning's names for a device."""
    if devices is None:
        devices = [device.index or 0] if device.type == "cuda" else 1
    kind = "gpu" if device.type == "cuda" else device.type
    return {"accelerator": kind, "devices": devices if isinstance(devices, int | str) else list(devices)}


def _telling(progress: bool | FitProgress | None) -> Callback:
    """Give what tells how far the fit is."""
    return EpochCalls(progress) if callable(progress) else EpochLines(shown=progress)


def _is_complete(history: list[EpochRecord], recipe: Recipe) -> bool:
    """Say whether a run has nothing left to do."""
    stalled = has_stalled(history, monitor=recipe.monitor, patience=recipe.patience)
    return len(history) >= recipe.epochs or stalled


def _tensorboard(folder: Path) -> TensorBoardLogger:
    return TensorBoardLogger(save_dir=folder, name="tensorboard", version="")


@contextmanager
def _quiet_lightning() -> Iterator[None]:
    """Keep Lightning's advice about hardware and loaders, which were chosen on purpose, out of the way."""
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric")]
    levels = [logger.level for logger in loggers]
    with (
        # Workers are chosen by `default_workers`: on a CPU they would take the network's cores.
        ignore_warnings(message=".*does not have many workers.*"),
        # The averaged copy, and norms that keep their statistics, are in evaluation mode on purpose.
        ignore_warnings(message=".*in eval mode at the start of training.*"),
        # Lightning 2.6 calls a class of torch's that torch 2.14 is about to drop.
        ignore_warnings(FutureWarning, ".*LeafSpec.* is deprecated"),
    ):
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
