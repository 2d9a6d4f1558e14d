"""The figures of a learner; each is also written where a path is given."""

import os
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from geodeeplab.maps.figures import save_figure
from geodeeplab.raster import LabelClass
from geodeeplab.training.chip import IGNORE_INDEX
from geodeeplab.training.data import TrainingData
from geodeeplab.training.loop.lr_find import RateSweep
from geodeeplab.training.loop.recipe import EpochRecord
from geodeeplab.training.loop.scoring import LabelledChip, chip_image
from geodeeplab.training.loop.tally import Tally

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DstPath = str | os.PathLike[str] | None
Inputs = Iterable[str | os.PathLike[str]]
DPI = 120
CURVES = {"mIoU": "miou", "boundary IoU": "boundary_iou", "accuracy": "accuracy"}
"""Scores that are drawn beside the losses, and their names in `EpochRecord`."""


def draw_losses(history: Sequence[EpochRecord], dst_path: DstPath, *, val_label: str, inputs: Inputs) -> "Figure":
    """Draw losses and scores of epochs.

    Raises:
        OptionError: where there is none.
    """
    from geodeeplab.maps.losses import plot_losses

    finds_boundaries = any(record.boundary_f1 is not None for record in history)
    curves = CURVES | ({"boundary F1": "boundary_f1"} if finds_boundaries else {})
    figure = plot_losses(
        [record.step_losses for record in history],
        [record.val_loss for record in history],
        {label: [getattr(record, name) for record in history] for label, name in curves.items()},
        val_label=val_label,
    )
    return save_figure(figure, dst_path, dpi=DPI, inputs=inputs)


def draw_sweep(sweep: RateSweep, dst_path: DstPath, *, inputs: Inputs) -> "Figure":
    """Draw a sweep of the learning rate."""
    from geodeeplab.maps.losses import plot_rates

    return save_figure(plot_rates(sweep.rates, sweep.losses, sweep.suggestion), dst_path, dpi=DPI, inputs=inputs)


def draw_confusion(tally: Tally, names: Sequence[str], dst_path: DstPath, *, inputs: Inputs) -> "Figure":
    """Draw a confusion matrix."""
    from geodeeplab.maps.charts import plot_confusion
    from geodeeplab.maps.figures import new_figure

    figure = new_figure(0.7 * len(names) + 3, 0.7 * len(names) + 2)
    plot_confusion(tally.confusion, names, ax=figure.subplots())
    return save_figure(figure, dst_path, dpi=DPI, inputs=inputs)


def draw_chips(
    labelled: Iterable[LabelledChip], data: TrainingData, dst_path: DstPath, *, alpha: float | None = None
) -> "Figure":
    """Draw chips with truth, labels and errors, a row each."""
    from geodeeplab.maps.results import draw_results

    shown = list(labelled)
    figure = draw_results(
        [chip_image(one.chip, data) for one in shown],
        [one.truth for one in shown],
        [np.where(one.chip.valid.numpy(), one.labels, np.uint8(IGNORE_INDEX)) for one in shown],
        [LabelClass(id=item.id, name=item.name, color=item.color) for item in data.classes],
        titles=[f"chip {one.index}, mIoU {one.miou(len(data.classes)):.2f}" for one in shown],
        alpha=alpha,
    )
    return save_figure(figure, dst_path, dpi=DPI, inputs=data.files)
