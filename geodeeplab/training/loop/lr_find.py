"""The learning-rate range test: the losses of an exponential sweep, and the rate that they suggest."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from geodeeplab.errors import OptionError

SMOOTHING = 0.95
"""Of the losses' exponential average."""
DIVERGED = 4.0
"""The sweep ends where the smoothed loss is this many times its least."""


@dataclass(frozen=True, kw_only=True)
class RateSweep:
    """What a sweep met."""

    rates: tuple[float, ...]
    """Learning rates, rising."""
    losses: tuple[float, ...]
    """The smoothed loss at each."""
    suggestion: float
    """The rate half way along the longest fall of the loss (the valley of fastai's learning-rate finder)."""


class SweepCurve:
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
