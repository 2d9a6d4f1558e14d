"""A few steps of a fit, after which the network is as it was: to sweep the learning rate, and to time a fit."""

import copy
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import nn

from geodeeplab.errors import OptionError
from geodeeplab.models.network import SegmentationNetwork
from geodeeplab.training.data import TrainingData
from geodeeplab.training.loop.forecast import StepTimes
from geodeeplab.training.loop.lr_find import RateSweep, SweepCurve, suggest_rate
from geodeeplab.training.loop.module import TrainingModule
from geodeeplab.training.loop.objective import Objective
from geodeeplab.training.loop.recipe import Recipe
from geodeeplab.training.loop.trainer import make_trainer, quiet_lightning, run_trainer
from geodeeplab.training.random_state import kept_random_state

if TYPE_CHECKING:
    from lightning.pytorch.utilities.types import STEP_OUTPUT

FIRST_RATE, LAST_RATE = 1e-6, 1.0
"""Between them a sweep rises, evenly on a logarithmic scale."""
READ_EVERY = 10
"""Steps after which a sweep reads its losses from a GPU, which is waited for then; steps past its end do no harm."""
WARM_UP_STEPS, TIMED_STEPS = 1, 2
"""The first step allocates memory, and on a GPU chooses algorithms."""


def sweep_rates(
    network: SegmentationNetwork,
    normalisation: nn.Module,
    data: TrainingData,
    *,
    objective: Objective,
    recipe: Recipe,
    device: torch.device,
    workers: int,
    steps: int = 100,
) -> RateSweep:
    """Train with a rate that rises exponentially, and put everything back as it was.

    Its steps are those of a fit: the same chips a step, clipped gradients, decay, precision and loss scale.

    Args:
        network: of `build_model`.
        normalisation: maps pixels and `valid` to the network's images.
        data: chips.
        objective: the loss.
        recipe: the numbers of the fit; its rate and schedule play no part.
        device: where to train.
        workers: processes that draw chips.
        steps: from `FIRST_RATE` to `LAST_RATE`.

    Raises:
        OptionError: for fewer than ten steps, or if no loss is finite.
    """
    if steps < 10:
        raise OptionError(f"a sweep rises over 10 steps or more, not over {steps}")

    def factor_at(step: int, _: int) -> float:
        return float((FIRST_RATE / LAST_RATE) ** (1 - step / (steps - 1)))

    sweep = _Sweep(factor_at, steps=steps, at_once=1 if device.type == "cpu" else READ_EVERY)
    with _put_back(network, normalisation, device):
        module = TrainingModule(
            network,
            normalisation,
            data,
            objective=objective,
            recipe=replace(recipe, lr=LAST_RATE, ema_decay=0.0, seed=recipe.seed + 1),
            run={},
            workers=workers,
            factor_at=factor_at,
        )
        _make_steps(module, sweep, device=device, steps=steps)
    rates, losses = sweep.curve.rates, sweep.curve.losses
    return RateSweep(rates=tuple(rates), losses=tuple(losses), suggestion=suggest_rate(rates, losses))


def time_steps(
    network: SegmentationNetwork,
    normalisation: nn.Module,
    data: TrainingData,
    *,
    objective: Objective,
    recipe: Recipe,
    device: torch.device,
) -> StepTimes:
    """Make a few steps of a fit, time them, and put everything back as it was."""
    clock = _Clock()
    with _put_back(network, normalisation, device):
        recipe = replace(recipe, ema_decay=0.0)
        module = TrainingModule(network, normalisation, data, objective=objective, recipe=recipe, run={}, workers=0)
        _make_steps(module, clock, device=device, steps=WARM_UP_STEPS + TIMED_STEPS)
    skipped = WARM_UP_STEPS * recipe.parts
    return StepTimes(draw=sum(clock.drawing[skipped:]) / TIMED_STEPS, train=sum(clock.training[skipped:]) / TIMED_STEPS)


def _make_steps(module: TrainingModule, callback: Callback, *, device: torch.device, steps: int) -> None:
    """Train for some steps, over as many epochs as they take; nothing is scored or kept."""
    with quiet_lightning():
        trainer = make_trainer(module.recipe, device=device, callbacks=[callback], max_steps=steps)
        run_trainer(trainer, module)


class _Sweep(Callback):
    """Follows the losses of a sweep, and ends it where it diverges."""

    def __init__(self, factor_at: Callable[[int, int], float], *, steps: int, at_once: int) -> None:
        self.curve = SweepCurve()
        self._factor_at, self._steps, self._at_once = factor_at, steps, at_once
        self._done = 0
        self._waiting: list[tuple[float, torch.Tensor]] = []

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: "STEP_OUTPUT", batch: object, batch_idx: int
    ) -> None:
        """Take the loss of a step, and read those that wait, if they are enough."""
        module: TrainingModule = pl_module  # type: ignore[assignment]
        if not module.ends_step(batch_idx):
            return
        self._waiting.append((LAST_RATE * self._factor_at(self._done, self._steps), module.step_losses[-1]))
        self._done += 1
        if len(self._waiting) == self._at_once or self._done == self._steps:
            losses = torch.stack([loss for _, loss in self._waiting]).tolist()
            if not self.curve.follow([rate for rate, _ in self._waiting], losses):
                trainer.should_stop = True
            self._waiting.clear()


class _Clock(Callback):
    """Takes the seconds that drawing each micro-batch took, and training on it."""

    def __init__(self) -> None:
        self.drawing: list[float] = []
        self.training: list[float] = []
        self._last = time.perf_counter()

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, *_: object) -> None:
        """Take what drawing took."""
        self.drawing.append(self._since_last(pl_module.device))

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: object) -> None:
        """Take what training took."""
        self.training.append(self._since_last(pl_module.device))

    def _since_last(self, device: torch.device) -> float:
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        before, self._last = self._last, time.perf_counter()
        return self._last - before


@contextmanager
def _put_back(network: SegmentationNetwork, normalisation: nn.Module, device: torch.device) -> Iterator[None]:
    """Restore weights, modes, gradients, device and torch's random state at the end, whatever happened."""
    state, modes = copy.deepcopy(network.state_dict()), {module: module.training for module in network.modules()}
    home = next(network.parameters()).device
    with kept_random_state(device):
        try:
            yield
        finally:
            network.to(home)
            network.load_state_dict(state)
            normalisation.to(home)
            for module, training in modes.items():
                module.training = training
            for parameter in network.parameters():
                parameter.grad = None
