"""The learning-rate range test: an exponential sweep, and the rate that it suggests."""

import copy
import math
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from itertools import count

import torch
from torch import Tensor, nn

from geodeeplab.errors import OptionError
from geodeeplab.models.network import SegmentationNetwork
from geodeeplab.training.data import TrainingData
from geodeeplab.training.loop.loading import Batch, training_loader
from geodeeplab.training.loop.objective import Objective, training_loss
from geodeeplab.training.loop.parameters import parameter_groups, set_training_mode
from geodeeplab.training.random_state import kept_random_state, seed_generators
from geodeeplab.training.sampling.radiometry import chip_seed, radiometry_of

SMOOTHING = 0.95
"""Of the losses' exponential average."""
DIVERGED = 4.0
"""The sweep ends where the smoothed loss is this many times its least."""
READ_EVERY = 10
"""Steps after which losses are read from a GPU, which is waited for then; steps past the end of a sweep do no harm."""


@dataclass(frozen=True, kw_only=True)
class RateSweep:
    """What a sweep met."""

    rates: tuple[float, ...]
    """Learning rates, rising."""
    losses: tuple[float, ...]
    """The smoothed loss at each."""
    suggestion: float
    """The rate half way along the longest fall of the loss (the valley of fastai's learning-rate finder)."""


def sweep_rates(
    network: SegmentationNetwork,
    normalisation: nn.Module,
    data: TrainingData,
    *,
    objective: Objective,
    backbone_factor: float,
    fixed_statistics: bool,
    device: torch.device,
    autocast_dtype: torch.dtype | None,
    workers: int,
    seed: int,
    first: float = 1e-6,
    last: float = 1.0,
    steps: int = 100,
) -> RateSweep:
    """Train with a rate that rises exponentially from `first` to `last`, and put everything back as it was.

    Raises:
        OptionError: for rates that do not rise, or fewer than ten steps.
    """
    if not 0 < first < last or steps < 10:
        raise OptionError(f"a sweep rises over 10 steps or more, not from {first:g} to {last:g} over {steps}")
    loader = training_loader(
        data.train,
        batch_size=data.batch_size,
        radiometry=radiometry_of(data, seed=seed),
        workers=workers,
        pinned=device.type == "cuda",
    )
    curve = _Curve()
    with _put_back(network, normalisation, device):
        network.to(device)
        normalisation.to(device)
        set_training_mode(network, fixed_statistics=fixed_statistics)
        groups = parameter_groups(network, lr=1.0, weight_decay=0.0, backbone_factor=backbone_factor)
        optimizer = torch.optim.AdamW(groups)
        factors = [group["lr"] for group in optimizer.param_groups]
        at_once = 1 if device.type == "cpu" else READ_EVERY
        waiting: list[tuple[float, Tensor]] = []
        for step, batch in zip(range(steps), _endless(loader), strict=False):
            rate = first * (last / first) ** (step / (steps - 1))
            for group, factor in zip(optimizer.param_groups, factors, strict=True):
                group["lr"] = rate * factor
            seed_generators(chip_seed(seed + 2, epoch=0, index=step), device)
            pixels, valid, labels = (part.to(device, non_blocking=True) for part in batch)
            with _autocast(device, autocast_dtype):
                images = normalisation(pixels, valid).contiguous(memory_format=torch.channels_last)
                loss = training_loss(network, images, labels, objective)
            _step(optimizer, loss)
            waiting.append((rate, loss.detach()))
            if len(waiting) == at_once or step == steps - 1:
                if not curve.follow([rate for rate, _ in waiting], torch.stack([one for _, one in waiting]).tolist()):
                    break
                waiting.clear()
    rates, losses = curve.rates, curve.losses
    return RateSweep(rates=tuple(rates), losses=tuple(losses), suggestion=suggest_rate(rates, losses))


class _Curve:
    """The smoothed losses of a sweep, up to where it diverges.

    Attributes:
        rates: learning rates, rising.
        losses: the smoothed loss at each.
    """

    def __init__(self) -> None:
        self.rates: list[float] = []
        self.losses: list[float] = []
        self._average = 0.0

    def follow(self, rates: Sequence[float], losses: Sequence[float]) -> bool:
        """Add the losses at further rates; say whether the sweep goes on."""
        for rate, loss in zip(rates, losses, strict=True):
            self._average = SMOOTHING * self._average + (1 - SMOOTHING) * loss
            smoothed = self._average / (1 - SMOOTHING ** (len(self.losses) + 1))
            if not math.isfinite(smoothed) or (self.losses and smoothed > DIVERGED * min(self.losses)):
                return False
            self.rates.append(rate)
            self.losses.append(smoothed)
        return True


def suggest_rate(rates: Sequence[float], losses: Sequence[float]) -> float:
    """Give the rate half way along the longest valley: the longest run of losses that fall, with gaps allowed.

    It is the suggestion of fastai's learning-rate finder (`valley` in fastai/callback/schedule.py). A run of n losses
    counts as the n rates before its end, gaps or not, and half of it as a third and half a third, each rounded down.

    Raises:
        OptionError: if no loss is finite.
    """
    if not losses:
        raise OptionError("no loss of the sweep is finite: check the band statistics, or begin with a lower rate")
    lengths = [1] * len(losses)
    for here in range(len(losses)):
        lengths[here] += max((lengths[there] for there in range(here) if losses[there] > losses[here]), default=0)
    end = max(range(len(losses)), key=lengths.__getitem__)
    third = lengths[end] / 3
    return float(rates[max(0, end - lengths[end] + int(third) + int(third / 2))])


def _step(optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    """Take one step along the clipped gradients."""
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    nn.utils.clip_grad_norm_([p for group in optimizer.param_groups for p in group["params"]], 1.0)
    optimizer.step()


@contextmanager
def _put_back(network: SegmentationNetwork, normalisation: nn.Module, device: torch.device) -> Iterator[None]:
    """Restore weights, modes, gradients, device and torch's random state at the end, whatever happened."""
    state, modes = copy.deepcopy(network.state_dict()), {module: module.training for module in network.modules()}
    home = next(network.parameters()).device
    with kept_random_state(device):
        try:
            yield
        finally:
            network.load_state_dict(state)
            network.to(home)
            normalisation.to(home)
            for module, training in modes.items():
                module.training = training
            for parameter in network.parameters():
                parameter.grad = None


def _endless(loader: torch.utils.data.DataLoader[Batch]) -> Iterator[Batch]:
    """Yield the batches of one epoch after another."""
    for epoch in count():
        loader.sampler.set_epoch(epoch)  # type: ignore[attr-defined]
        yield from loader


def _autocast(device: torch.device, dtype: torch.dtype | None) -> AbstractContextManager[object]:
    return nullcontext() if dtype is None else torch.autocast(device.type, dtype)
