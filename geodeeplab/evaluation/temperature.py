"""The temperature: one number that logits are divided by, so that confidence is right as often as it says.

Guo et al. 2017 (arXiv 1706.04599), section 4.2: fitted on ground that was not trained on, by the negative
log-likelihood. It changes no label, as dividing all logits of a pixel by one number leaves the largest the largest.
"""

import math

import numpy as np
from numpy.typing import NDArray

from geodeeplab.errors import OptionError

LOWEST, HIGHEST = 0.2, 5.0
"""What a fit can give: beyond, there is too little ground, or all of it is right, which says nothing of the rest."""
HALVINGS = 14
"""Of the interval, of which 0.02 % is left."""


def fit_temperature(logits: NDArray[np.floating], truth: NDArray[np.integer]) -> float:
    """Give the temperature T with the least negative log-likelihood of softmax(logits / T), within 0.2 to 5.

    The likelihood is concave in 1 / T, so its slope is halved to its only zero.

    Args:
        logits: (K, N), finite.
        truth: (N,), class indices.

    Raises:
        OptionError: without a pixel.
    """
    if logits.ndim != 2 or truth.shape != logits.shape[1:] or not truth.size:
        raise OptionError(
            f"a temperature is fitted to logits (K, N) of N labelled pixels, at least one, not {logits.shape} for "
            f"{truth.shape}: label ground for validation"
        )
    scores = logits.astype(np.float32)
    scores = scores - scores.max(axis=0)
    mean_of_truth = float(np.take_along_axis(scores, truth[None].astype(np.int64), axis=0).mean(dtype=np.float64))
    low, high = math.log(LOWEST), math.log(HIGHEST)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        expected = np.einsum("kn,kn->n", softmax(scores, temperature=math.exp(middle)), scores)
        if float(expected.mean(dtype=np.float64)) > mean_of_truth:  # too sure
            low = middle
        else:
            high = middle
    return math.exp((low + high) / 2)


def softmax(logits: NDArray[np.floating], *, temperature: float = 1.0) -> NDArray[np.float32]:
    """Give the probabilities (K, ...), float32, of logits (K, ...) at a temperature."""
    scores = logits.astype(np.float32) / np.float32(temperature)
    likely: NDArray[np.float32] = np.exp(scores - scores.max(axis=0))
    likely /= likely.sum(axis=0)
    return likely
