"""A network with the data it learns from: its scores on the validation chips, as numbers and figures."""

import dataclasses
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, overload

import torch

from geodeeplab.errors import OptionError
from geodeeplab.inference.device import Device
from geodeeplab.learner.building import NOTHING
from geodeeplab.learner.saving import provenance_facts
from geodeeplab.learner.showing import draw_chips, draw_confusion, draw_losses, draw_sweep
from geodeeplab.models import Contract, LoadingReport, Model, Normalisation, SegmentationNetwork
from geodeeplab.training.arcgis_words import MIOU, PLOT_LOSSES, SHOW_RESULTS, named_classes, understands
from geodeeplab.training.data import TrainingData
from geodeeplab.training.loop.lr_find import RateSweep
from geodeeplab.training.loop.model_facts import class_table, make_contract
from geodeeplab.training.loop.objective import Objective, find_ignored
from geodeeplab.training.loop.recipe import EpochRecord
from geodeeplab.training.loop.scoring import ChipScores, LabelledChip, iter_labelled, score_chips
from geodeeplab.training.loop.tally import Tally

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure


class ScoredNetwork:
    """A network with the data it learns from, its scores and its figures."""

    def __init__(
        self,
        data: TrainingData,
        network: SegmentationNetwork,
        *,
        objective: Objective,
        device: Device,
        seed: int,
        loaded: LoadingReport | None,
    ) -> None:
        """Take a network for the data's classes and bands.

        Args:
            data: what it learns from.
            network: as it is.
            objective: the loss.
            device: where it runs, and how precisely.
            seed: of everything that chance decides.
            loaded: what was loaded into the network; None for nothing.
        """
        self.data = data
        self.network = network.to(memory_format=torch.channels_last)
        self.objective = objective
        self.device = device
        self.seed = seed
        self.history: list[EpochRecord] = []
        self.sweep: RateSweep | None = None
        self._fits: list[dict[str, Any]] = []
        self._scored: ChipScores | None = None
        self._opened: Model | None = None  # what predicts as it is, where nothing is learned
        self.start, self._goes_on = NOTHING, False
        if loaded is not None:
            self._start_from(loaded)

    def _start_from(self, loaded: LoadingReport) -> None:
        """Keep what the network starts from, and whether its heads, too, were trained before."""
        self.start, self._goes_on = loaded.source, loaded.has_heads

    # ------------------------------------------------------------------------------------------------------- results

    def accuracy(self) -> float | None:
        """Give the share of the validation pixels that get their class; None where none is labelled."""
        return self._tally.accuracy

    @overload
    def mIOU(self, mean: Literal[False] = False) -> dict[str, float | None]: ...
    @overload
    def mIOU(self, mean: Literal[True]) -> float | None: ...
    @understands(MIOU)
    def mIOU(self, mean: bool = False) -> dict[str, float | None] | float | None:
        """Give the IoU of each class on the validation chips, or their mean; None for a class that never occurs."""
        if mean:
            return self._tally.miou
        return dict(zip(self._class_names, self._tally.iou, strict=True))

    def per_class_metrics(self, ignore_classes: Sequence[str | int] = ()) -> "pd.DataFrame":
        """Give precision, recall, F1, IoU, boundary IoU and pixels (rows) of the classes (columns) on validation.

        Args:
            ignore_classes: classes whose pixels do not count, as the constructor has them, beside those that the loss
                ignores.

        Raises:
            OptionError: for a class that there is not, or if fewer than two are left.
        """
        import pandas as pd

        ignored = find_ignored(self.data.classes, named_classes(ignore_classes, self.data))
        tally = self._tally if not ignored else self._score(_ignoring(self.objective, ignored)).tally
        table = pd.DataFrame.from_dict(class_table(tally), orient="index", columns=self._class_names)
        return table.drop(columns=[self._class_names[index] for index in ignored])

    @understands(PLOT_LOSSES)
    def plot_losses(self, dst_path: str | os.PathLike[str] | None = None) -> "Figure":
        """Draw the losses and the scores of all epochs so far."""
        val_label = "validation" if self.network.point_head is None else "validation, without points"
        return draw_losses(self.history, dst_path, val_label=val_label, inputs=self.data.files)

    def plot_lr(self, dst_path: str | os.PathLike[str] | None = None) -> "Figure":
        """Draw the last sweep of `lr_find`.

        Raises:
            OptionError: before any.
        """
        if self.sweep is None:
            raise OptionError("there is no sweep to draw: call lr_find first")
        return draw_sweep(self.sweep, dst_path, inputs=self.data.files)

    def plot_confusion(self, dst_path: str | os.PathLike[str] | None = None) -> "Figure":
        """Draw the confusion matrix of the validation chips."""
        return draw_confusion(self._tally, self._class_names, dst_path, inputs=self.data.files)

    @understands(SHOW_RESULTS)
    def show_results(
        self, rows: int = 5, dst_path: str | os.PathLike[str] | None = None, *, alpha: float | None = None
    ) -> "Figure":
        """Draw validation chips, spread evenly over all of them, with truth, labels and errors.

        Args:
            rows: chips, one a row.
            dst_path: write the figure there, too.
            alpha: draw truth and labels over the chips, with this opacity from 0 to 1, and not alone.

        Raises:
            OptionError: for no row, no chip, or an opacity that cannot be.
        """
        scores = self._scores().miou
        known = sorted(scores)
        count = min(rows, len(known))
        return self._draw([known[i * len(known) // count] for i in range(count)], dst_path, alpha)

    def show_worst(
        self, rows: int = 5, dst_path: str | os.PathLike[str] | None = None, *, alpha: float | None = None
    ) -> "Figure":
        """Draw the validation chips of the lowest mean IoU, the worst first; see `show_results`."""
        scores = self._scores().miou
        return self._draw(sorted(scores, key=lambda index: (scores[index], index))[:rows], dst_path, alpha)

    # ------------------------------------------------------------------------------------------------------- helpers

    @property
    def _class_names(self) -> list[str]:
        return [item.name for item in self.data.classes]

    def _contract(self, name: str, licence: str, provenance: Mapping[str, Any], metrics: Mapping[str, Any]) -> Contract:
        facts = provenance_facts(
            self.data, self.objective, start=self.start, fits=self._fits, epochs=len(self.history), seed=self.seed
        )
        return make_contract(
            self.network, self.data, name=name, licence=licence, provenance=facts | dict(provenance), metrics=metrics
        )

    def _normalisation(self) -> Normalisation:
        return Normalisation(self._contract("learner", "", {}, {}))

    def _scores(self) -> ChipScores:
        """Score the validation chips, once for the same weights."""
        if self._scored is None:
            self._scored = self._score(self.objective)
        return self._scored

    def _score(self, objective: Objective) -> ChipScores:
        """Score the validation chips, with the classes that an objective ignores."""
        return score_chips(
            self.network,
            self._normalisation(),
            self.data.val,
            classes=len(self.data.classes),
            batch_size=self.data.chips_at_once,
            objective=objective,
            device=self.device,
        )

    @property
    def _tally(self) -> Tally:
        return self._scores().tally

    @property
    def _temperature(self) -> float:
        """What the validation chips say that logits are divided by in confidence; 1 where they say nothing."""
        calibration = self._scores().calibration
        return 1.0 if calibration is None else calibration.temperature

    def _labelled(self, indices: Sequence[int]) -> Iterator[LabelledChip]:
        return iter_labelled(
            self.network,
            self._normalisation(),
            self.data.val,
            indices,
            objective=self.objective,
            device=self.device,
        )

    def _draw(self, indices: Sequence[int], dst_path: str | os.PathLike[str] | None, alpha: float | None) -> "Figure":
        """Draw validation chips with what the network makes of them."""
        return draw_chips(self._labelled(indices), self.data, dst_path, alpha=alpha)


def _ignoring(objective: Objective, ignored: Sequence[int]) -> Objective:
    """Give an objective that ignores further classes, by their indices."""
    return dataclasses.replace(objective, ignore_classes=tuple(sorted({*objective.ignore_classes, *ignored})))
