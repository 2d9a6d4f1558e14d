"""How sure a network may be: the temperature of its confidence, fitted on an even sample of the validation pixels."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from geodeeplab.evaluation import fit_temperature, reliability, softmax
from geodeeplab.training.chip import IGNORE_INDEX

MOST_PIXELS = 2**19
"""About as many pixels are looked at; neighbours say the same."""


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """A temperature, and what it does to the expected calibration error, on the pixels that it was fitted to."""

    temperature: float
    """What logits are divided by where they become confidence."""
    ece: float
    """Expected calibration error with it, 0 to 1."""
    ece_before: float
    """The same at a temperature of 1."""


class LogitSample:
    """Logits and truth of pixels at equal distances, kept on their device until `finish`."""

    def __init__(self, *, chips: int) -> None:
        """Take the number of chips to come; all are of one size."""
        self._chips = chips
        self._logits: list[Tensor] = []
        self._truth: list[Tensor] = []

    def add(self, logits: Tensor, truth: Tensor) -> None:
        """Add logits (N, K, H, W) and class indices (N, H, W) of a batch."""
        step = max(1, math.ceil(truth.shape[-1] * math.sqrt(self._chips / MOST_PIXELS)))
        every = slice(step // 2, None, step)
        self._logits.append(logits[:, :, every, every].float().movedim(1, 0).flatten(1))
        self._truth.append(truth[:, every, every].flatten())

    def finish(self) -> Calibration | None:
        """Fit the temperature; None where no pixel is labelled. It is 1 where that has the lower calibration error."""
        if not self._truth:
            return None
        logits, truth = torch.cat(self._logits, 1).cpu().numpy(), torch.cat(self._truth).cpu().numpy()
        known = (truth != IGNORE_INDEX) & np.isfinite(logits).all(axis=0)
        logits, truth = logits[:, known], truth[known]
        if not truth.size:
            return None
        temperature = round(fit_temperature(logits, truth), 3)
        before, after = (reliability(softmax(logits, temperature=one), truth).ece for one in (1.0, temperature))
        if before <= after:
            return Calibration(temperature=1.0, ece=before, ece_before=before)
        return Calibration(temperature=temperature, ece=after, ece_before=before)
