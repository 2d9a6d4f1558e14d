"""How long a fit will take, said before it starts."""

import os
from dataclasses import dataclass

import torch

from geodeeplab.training.data import TrainingData
from geodeeplab.training.loop.recipe import Recipe

SCORING_SHARE = 1 / 3
"""Time of scoring a chip to that of training on it: there is no backward pass."""


@dataclass(frozen=True, kw_only=True)
class StepTimes:
    """Seconds of one step."""

    draw: float
    """To draw its chips, in one process."""
    train: float
    """To learn from them."""


@dataclass(frozen=True, kw_only=True)
class FitForecast:
    """What a fit will do, and how long it will take; printed, it is a line."""

    epochs: int
    """Epochs that are left."""
    last_epoch: int
    """Number of the last one, over all fits."""
    epoch_steps: int
    """Steps of each."""
    batch: str
    """What a step learns from, in words."""
    device: str
    """Where."""
    seconds: float
    """Of all epochs, with scoring."""

    @property
    def steps(self) -> int:
        """Steps that are left."""
        return self.epochs * self.epoch_steps

    def __str__(self) -> str:
        """Say it in one line."""
        return (
            f"{self.steps} steps of {self.batch}, in {self.epochs} epochs of {self.epoch_steps}: about "
            f"{_span(self.seconds)} on {self.device}"
        )


def forecast_fit(
    data: TrainingData, recipe: Recipe, times: StepTimes, *, done: int, device: torch.device, workers: int, world: int
) -> FitForecast:
    """Say how long a fit will take, by the time of a step.

    Args:
        data: chips.
        recipe: the numbers.
        times: of a step.
        done: epochs of this fit that are done already.
        device: where.
        workers: processes that draw chips, on each device.
        world: devices.
    """
    epochs, steps = recipe.epochs - done, max(1, data.epoch_steps // world)
    draw = times.draw / max(1, workers)
    if workers and device.type == "cpu":  # drawing takes cores from the network
        step = times.train + times.draw / (os.cpu_count() or 1)
    else:
        step = max(times.train, draw) if workers else times.train + times.draw
    scoring = SCORING_SHARE * (times.train + times.draw) * len(data.val) / (recipe.batch_size * world)
    parts = "" if recipe.parts == 1 else f", {recipe.chips_at_once} at once"
    return FitForecast(
        epochs=epochs,
        last_epoch=recipe.first_epoch + recipe.epochs,
        epoch_steps=steps,
        batch=f"{world * recipe.batch_size} chips of {data.chip_size} px{parts}",
        device=str(device),
        seconds=epochs * (steps * step + scoring),
    )


def _span(seconds: float) -> str:
    """Write a time in its unit."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} minutes" if seconds < 5400 else f"{seconds / 3600:.1f} hours"
