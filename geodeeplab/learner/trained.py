"""A network with the data it learns from, and what can be done with both at any time."""

import dataclasses
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Unpack, overload

import torch

from geodeeplab.errors import OptionError
from geodeeplab.inference.device import Device
from geodeeplab.learner.building import NOTHING
from geodeeplab.learner.saving import check_same, find_saved, named_file, provenance_facts
from geodeeplab.learner.showing import draw_chips, draw_confusion, draw_losses, draw_sweep
from geodeeplab.models import (
    MODEL_SUFFIXES,
    Contract,
    LoadingReport,
    Model,
    Normalisation,
    SegmentationNetwork,
    find_model,
    iter_bundled,
    load_model,
    save_model,
)
from geodeeplab.pipeline.run_options import RunOptions, with_run_options
from geodeeplab.raster import SceneLike, check_output
from geodeeplab.training.arcgis_words import (
    LOAD,
    MIOU,
    PLOT_LOSSES,
    SAVE,
    SHOW_RESULTS,
    named_classes,
    understands,
)
from geodeeplab.training.data import TrainingData
from geodeeplab.training.loop.ground import describe_ground
from geodeeplab.training.loop.int8 import measure_chips
from geodeeplab.training.loop.lr_find import RateSweep
from geodeeplab.training.loop.model_facts import class_table, make_contract, validation_metrics
from geodeeplab.training.loop.objective import Objective, find_ignored
from geodeeplab.training.loop.recipe import EpochRecord
from geodeeplab.training.loop.scoring import ChipScores, LabelledChip, iter_labelled, score_chips
from geodeeplab.training.loop.tally import Tally

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from geodeeplab.pipeline.executor import Executor
    from geodeeplab.pipeline.outputs import OutputPath
    from geodeeplab.pipeline.polygon_options import PolygonOptions
    from geodeeplab.pipeline.result import Segmentation
    from geodeeplab.pipeline.segment import Progress


class TrainedNetwork:
    """A network with the data it learns from: its scores, its figures, its model file, and what it makes of scenes.

    The base of `DeepLab`, which adds how it is built and trained; users call both on one object.
    """

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

    # ---------------------------------------------------------------------------------------------------- model files

    @understands(SAVE)
    def save(
        self,
        path: str | os.PathLike[str],
        *,
        name: str | None = None,
        licence: str = "",
        provenance: Mapping[str, Any] | None = None,
        int8: bool = False,
        overwrite: bool = False,
    ) -> Path:
        """Write one model file, to segment with at once.

        It holds weights and contract, with the temperature that calibrates confidence on the validation chips and with
        what training chips look like; the state to go on training from stays in the folder of the checkpoints.

        Args:
            path: a path that ends in .safetensors, or a name or path without the ending.
            name: the model's; by default the file's.
            licence: of the weights. State it where others get the file: data and ImageNet's weights have theirs.
            provenance: what else there is to say of where the model comes from.
            int8: prepare it for `precision="int8"`: measure what its convolutions read on some training chips.
            overwrite: replace a file that exists.

        Raises:
            OptionError, OutputError: if it cannot be written there.
        """
        path = check_output(named_file(path), suffixes=MODEL_SUFFIXES, overwrite=overwrite, inputs=self._inputs)
        metrics = validation_metrics(self._tally, self._scores().calibration, self.data)
        contract = self._contract(name or path.stem, licence, provenance or {}, metrics)
        ground = describe_ground(self.data.train, contract)
        contract = dataclasses.replace(contract, temperature=self._temperature, appearance=ground)
        if int8:
            ranges = measure_chips(self.network, self.data.train, contract)
            contract = dataclasses.replace(contract, int8_ranges=ranges)
        save_model(self.network, contract, path)
        return path

    @understands(LOAD)
    def load(self, path: str | os.PathLike[str]) -> None:
        """Take the weights of a model file of the same network, classes and bands; `from_model` takes any other.

        Args:
            path: the file, or what `save` called it.

        Raises:
            ModelError: if it is of another network, of other classes or bands.
        """
        path = find_saved(path)
        model = load_model(path)
        check_same(self._contract("learner", "", {}, {}), model.contract, path)
        self.network.load_state_dict(model.network.state_dict())
        self.start, self._goes_on, self._scored = str(path), True, None

    @with_run_options
    def predict(
        self,
        scene: SceneLike,
        polygons: "OutputPath | None" = None,
        *,
        label_raster: "OutputPath | None" = None,
        confidence: "OutputPath | None" = None,
        probabilities: "OutputPath | None" = None,
        probability_dtype: str = "uint8",
        boundary: "OutputPath | None" = None,
        shards: "OutputPath | None" = None,
        polygon_options: "PolygonOptions | None" = None,
        instances: str | Sequence[str] = (),
        sieve_labels: bool = False,
        executor: "Executor | None" = None,
        resume: bool = False,
        overwrite: bool = False,
        progress: "Progress | None" = None,
        **options: Unpack[RunOptions],
    ) -> "Segmentation":
        """Segment a scene with the network as it is: `gdl.segment` has the meaning of all arguments.

        Tiles are as large as the chips were, with an overlap of a quarter, on the learner's own device and in its
        precision, unless the options say otherwise.

        Args:
            scene: a file, several, a URL, an array.
            polygons: vector file to write.
            label_raster: label raster to write.
            confidence: confidence raster to write.
            probabilities: raster of every class's probability to write.
            probability_dtype: `uint8` or `float16`.
            boundary: raster of the boundaries of objects to write, of a network trained with `instances`.
            shards: folder for the label raster in pieces.
            polygon_options: what the polygons look like.
            instances: classes whose objects become polygons of their own where they touch.
            sieve_labels: apply the minimum area to the label raster, too.
            executor: who computes.
            resume: go on with a run that was cut off.
            overwrite: replace outputs that exist.
            progress: called with pixels done and pixels in all.
            options: see `gdl.segment`; all but `model` and `contract`, which are the learner's.

        Raises:
            OptionError, OutputError, SceneError, ContractError: as `gdl.segment` does.
        """
        from geodeeplab.pipeline.segment import segment

        if stated := [name for name in ("model", "contract") if name in options]:
            raise OptionError(f"predict runs the learner's own network: leave {' and '.join(stated)} out")
        own: RunOptions = {"device": str(self.device.torch_device), "precision": self.device.precision}
        run: RunOptions = {**own, **options}
        run["model"] = self._opened or self._model(
            is_calibrated=any((polygons, confidence, probabilities, options.get("min_confidence")))
        )
        return segment(
            scene,
            polygons,
            label_raster=label_raster,
            confidence=confidence,
            probabilities=probabilities,
            probability_dtype=probability_dtype,
            boundary=boundary,
            shards=shards,
            polygon_options=polygon_options,
            instances=instances,
            sieve_labels=sieve_labels,
            executor=executor,
            resume=resume,
            overwrite=overwrite,
            progress=progress,
            **run,
        )

    # ------------------------------------------------------------------------------------------------------- helpers

    @property
    def _inputs(self) -> list[str | os.PathLike[str]]:
        """What it was made of: scenes, labels, and the model or weights that it starts from."""
        return [*self.data.files, self.start, *_bundled_file(self.start)]

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

    def _model(self, *, is_calibrated: bool) -> Model:
        """Give the network as a model; the temperature of its confidence takes a look at the validation chips."""
        contract = self._contract("learner", "", {}, {})
        if is_calibrated:
            contract = dataclasses.replace(contract, temperature=self._temperature)
        return Model(network=self.network.eval(), contract=contract)

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


def _bundled_file(start: str) -> list[Path]:
    """Give the file of a bundled model by its name; none for what is no such name."""
    return [find_model(start)] if start in iter_bundled() else []
