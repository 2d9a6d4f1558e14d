"""The figures of a learner; each is also written where a path is given."""

import os
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from geodeeplab.raster import LabelClass
from geodeeplab.training.chip import IGNORE_INDEX
from geodeeplab.training.data import TrainingData
from geodeeplab.training.loop.lr_find import RateSweep
from geodeeplab.training.loop.recipe import EpochRecord
from geodeeplab.training.loop.scoring import LabelledChip, Tally, chip_image

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DstPath = str | os.PathLike[str] | None
CURVES = {"mIoU": "miou", "boundary IoU": "boundary_iou", "accuracy": "accuracy"}
"""Scores that are drawn beside the losses, and their names in `EpochRecord`."""


def draw_losses(history: Sequence[EpochRecord], dst_path: DstPath, *, val_label: str) -> "Figure":
    """Draw losses and scores of epochs.

    Raises:
        OptionError: where there is none.
    """
    from geodeeplab.maps.losses import plot_losses

    figure = plot_losses(
        [record.step_losses for record in history],
        [record.val_loss for record in history],
        {label: [getattr(record, name) for record in history] for label, name in CURVES.items()},
        val_label=val_label,
    )
    return _saved(figure, dst_path)


def draw_sweep(sweep: RateSweep, dst_path: DstPath) -> "Figure":
    """Draw a sweep of the learning rate."""
    from geodeeplab.maps.losses import plot_rates

    return _saved(plot_rates(sweep.rates, sweep.losses, sweep.suggestion), dst_path)


def draw_confusion(tally: Tally, names: Sequence[str], dst_path: DstPath) -> "Figure":
    """Draw a confusion matrix."""
    from geodeeplab.maps.charts import plot_confusion
    from geodeeplab.maps.figures import new_figure

    figure = new_figure(0.7 * len(names) + 3, 0.7 * len(names) + 2)
    plot_confusion(tally.confusion, names, ax=figure.subplots())
    return _saved(figure, dst_path)


def draw_chips(labelled: Iterable[LabelledChip], data: TrainingData, dst_path: DstPath) -> "Figure":
    """Draw chips with truth, labels and errors, a row each."""
    from geodeeplab.maps.results import draw_results

    shown = list(labelled)
    figure = draw_results(
        [chip_image(one.chip, data) for one in shown],
        [one.truth for one in shown],
        [np.where(one.chip.valid.numpy(), one.labels, np.uint8(IGNORE_INDEX)) for one in shown],
        [LabelClass(id=item.id, name=item.name, color=item.color) for item in data.classes],
        titles=[f"chip {one.index}, mIoU {one.miou(len(data.classes)):.2f}" for one in shown],
    )
    return _saved(figure, dst_path)


def _saved(figure: "Figure", dst_path: DstPath) -> "Figure":
    """Write a figure, if it is wanted."""
    if dst_path is not None:
        figure.savefig(dst_path, dpi=120, bbox_inches="tight")
    return figure
