"""Lightning's Trainer with our settings."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import Callback, LightningModule, Trainer

from geodeeplab.errors import OptionError
from geodeeplab.quiet import ignore_warnings
from geodeeplab.training.loop.recipe import Recipe

PRECISIONS = {"fp32": "32-true", "bf16": "bf16-mixed", "fp16": "16-mixed"}
"""Lightning's names of ours."""


def make_trainer(
    recipe: Recipe,
    *,
    device: torch.device,
    callbacks: Sequence[Callback],
    devices: int | str | Sequence[int] | None = None,
    strategy: str = "auto",
    num_nodes: int = 1,
    max_steps: int | None = None,
    **more: Any,  # noqa: ANN401 - Lightning's
) -> Trainer:
    """Make a Trainer that keeps, scores and prints nothing of its own.

    Args:
        recipe: the numbers.
        device: where to train.
        callbacks: Lightning's.
        devices: Lightning's: how many of the device's kind, or which; by default the device alone.
        strategy: Lightning's.
        num_nodes: Lightning's.
        max_steps: end after so many, whatever the epochs, and score nothing.
        more: Lightning's.

    Raises:
        OptionError: for devices that are not there, or a strategy that is unknown.
    """
    length: dict[str, Any] = {"max_epochs": recipe.epochs}
    if max_steps is not None:
        length = {"max_epochs": -1, "max_steps": max_steps, "limit_val_batches": 0}
    try:
        return Trainer(
            **_accelerator(device, devices),
            **length,
            strategy=strategy,
            num_nodes=num_nodes,
            precision=PRECISIONS[recipe.precision],  # type: ignore[arg-type]
            gradient_clip_val=recipe.clip,
            accumulate_grad_batches=recipe.parts,
            callbacks=list(callbacks),
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            log_every_n_steps=1,  # nothing is logged by step; 50 would warn of short epochs
            use_distributed_sampler=False,  # the loaders know their process
            **({"logger": False} | more),
        )
    except (MisconfigurationException, ValueError) as error:
        reason = " ".join(str(error).split())
        raise OptionError(
            f"Lightning cannot train as asked for ({reason}): correct `devices=` and `strategy=`, or leave them out"
        ) from error


def run_trainer(trainer: Trainer, module: LightningModule, start: Path | None = None) -> None:
    """Fit, from a checkpoint if there is one, and turn what Lightning makes of Ctrl-C into Ctrl-C again."""
    try:
        trainer.fit(module, ckpt_path=start)
    except SystemExit as error:  # Lightning's way out of an interruption
        raise KeyboardInterrupt("the fit was interrupted") from error


def _accelerator(device: torch.device, devices: int | str | Sequence[int] | None) -> dict[str, Any]:
    """Give Lightning's names for a device."""
    if devices is None:
        devices = [device.index or 0] if device.type == "cuda" else 1
    kind = "gpu" if device.type == "cuda" else device.type
    return {"accelerator": kind, "devices": devices if isinstance(devices, int | str) else list(devices)}


@contextmanager
def quiet_lightning() -> Iterator[None]:
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
