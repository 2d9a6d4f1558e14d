"""Curves of a fit: the loss, the scores on the validation chips, and the sweep of the learning rate."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from geodeeplab.errors import OptionError
from geodeeplab.maps.figures import new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SMOOTHED_SHARE = 1 / 20
"""Share of all steps that the line through their losses averages over."""


def plot_losses(
    step_losses: Sequence[Sequence[float]],
    val_losses: Sequence[float | None],
    scores: Mapping[str, Sequence[float | None]],
    *,
    val_label: str = "validation",
) -> "Figure":
    """Draw the loss of every step with the validation loss on the left, the scores of the epochs on the right.

    Args:
        step_losses: of each epoch the losses of its steps.
        val_losses: of each epoch, None where it is not known.
        scores: by name, likewise.
        val_label: what the legend calls the validation loss.

    Raises:
        OptionError: for no epoch, or without matplotlib.
    """
    if not step_losses:
        raise OptionError("there is no loss to draw before the first epoch: fit first")
    figure = _figure((9, 3.4))
    left, right = figure.subplots(1, 2)
    losses = np.concatenate([np.asarray(epoch, dtype=np.float64) for epoch in step_losses])
    ends = np.cumsum([len(epoch) for epoch in step_losses])
    steps = np.arange(1, len(losses) + 1)
    left.plot(steps, losses, color="tab:blue", alpha=0.25, linewidth=0.8)
    left.plot(steps, _smooth(losses), color="tab:blue", label="training, smoothed")
    left.plot(ends, _with_gaps(val_losses), color="tab:orange", marker="o", markersize=3, label=val_label)
    left.set(xlabel="step", ylabel="loss")
    epochs = np.arange(1, len(ends) + 1)
    for name, values in scores.items():
        right.plot(epochs, _with_gaps(values), marker="o", markersize=3, label=name)
    right.set(xlabel="epoch", ylabel="on the validation chips", ylim=(0, 1))
    right.xaxis.get_major_locator().set_params(integer=True)
    for axis in (left, right):
        axis.grid(alpha=0.3)
        axis.legend(frameon=False, fontsize=8)
    return figure


def plot_rates(rates: Sequence[float], losses: Sequence[float], suggestion: float) -> "Figure":
    """Draw the smoothed loss over the learning rate, and the rate that is suggested.

    Raises:
        OptionError: without matplotlib.
    """
    figure = _figure((5, 3.4))
    axis = figure.subplots()
    axis.semilogx(rates, losses, color="tab:blue")
    axis.axvline(suggestion, color="tab:orange", linestyle="--", label=f"suggestion {suggestion:.1e}")
    axis.set(xlabel="learning rate", ylabel="loss, smoothed")
    axis.grid(alpha=0.3)
    axis.legend(frameon=False, fontsize=8)
    return figure


def _figure(inches: tuple[float, float]) -> "Figure":
    return new_figure(*inches)


def _smooth(values: np.ndarray) -> np.ndarray:
    """Give the exponential average of values (n,), unbiased from the first on."""
    kept = 1 - 1 / max(4.0, SMOOTHED_SHARE * len(values))
    smoothed, average = np.empty_like(values), 0.0
    for index, value in enumerate(values):
        average = kept * average + (1 - kept) * value
        smoothed[index] = average / (1 - kept ** (index + 1))
    return smoothed


def _with_gaps(values: Sequence[float | None]) -> np.ndarray:
    return np.array([np.nan if value is None else value for value in values], dtype=np.float64)
