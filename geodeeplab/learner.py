"""`DeepLab`: train a network on one's own labels, look at what it learned, and save it as one model file."""

import dataclasses
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np
import torch

from geodeeplab.errors import ModelError, OptionError
from geodeeplab.inference.device import pick_device
from geodeeplab.models import (
    ARCHITECTURES,
    BACKBONES,
    Contract,
    Model,
    Normalisation,
    SegmentationNetwork,
    build_model,
    load_model,
    save_model,
)
from geodeeplab.models.crf import DenseCRF
from geodeeplab.raster import AoiLike, LabelClass, SceneLike, check_output
from geodeeplab.training.chip import IGNORE_INDEX
from geodeeplab.training.data import TrainingData
from geodeeplab.training.loop.checkpoints import free_folder, stored_rate
from geodeeplab.training.loop.loading import default_workers
from geodeeplab.training.loop.losses import class_weights
from geodeeplab.training.loop.lr_find import RateSweep, sweep_rates
from geodeeplab.training.loop.model_facts import class_table, make_contract, validation_metrics, versions
from geodeeplab.training.loop.objective import Objective, find_ignored
from geodeeplab.training.loop.parameters import (
    PRETRAINED_FACTOR,
    check_batch_size,
    freeze_backbone,
    is_frozen,
    keeps_statistics,
)
from geodeeplab.training.loop.recipe import MONITORS, PATIENCE, EpochRecord, Recipe
from geodeeplab.training.loop.scoring import LabelledChip, chip_image, iter_labelled, score_chips
from geodeeplab.training.loop.starting import IMAGENET, adopt_model, keep_statistics, load_start, network_like
from geodeeplab.training.loop.tally import Tally

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from geodeeplab.pipeline.polygons import PolygonOptions
    from geodeeplab.pipeline.result import Segmentation
    from geodeeplab.pipeline.segment import Progress
    from geodeeplab.training.loop.progress import StepHook

MIXUP_ALPHA = 0.4
FOCAL_GAMMA = 2.0
MODEL_SUFFIXES = (".safetensors",)
NOTHING = "nothing"
"""What a network that was not pretrained starts from."""
RUNS = Path("runs")
"""Folder of the checkpoints where none is given."""


class DeepLab:
    """A network in training, with arcgis.learn's names.

    Where the defaults are not arcgis.learn's: classes are balanced and a third of the loss is Dice, averaged over the
    classes, because that is the recipe that trained the bundled models; with PointRend, dilation is kept, because
    coarse logits at stride 16 bound what points can repair; the backbone is not frozen at first, it learns at a tenth
    of the heads' rate. `class_balancing=False, dice_loss_fraction=0, keep_dilation=False` and `freeze()` are theirs.

    Attributes:
        data: what it learns from.
        network: what learns; after a fit in evaluation mode, with the averaged weights of the best epoch.
        objective: the loss.
        device: where it learns, and how precisely.
        history: a record of every epoch of every fit.
        sweep: the last sweep of `lr_find`.
        folder: where the last fit kept its checkpoints; None where it kept none.
    """

    def __init__(
        self,
        data: TrainingData,
        backbone: str = "resnet50",
        *,
        arch: str = "deeplabv3",
        weights: str | os.PathLike[str] | None = IMAGENET,
        pretrained_path: str | os.PathLike[str] | None = None,
        pointrend: bool = False,
        class_balancing: bool = True,
        mixup: bool = False,
        focal_loss: bool = False,
        dice_loss_fraction: float | None = None,
        dice_loss_average: str = "macro",
        lovasz_loss_fraction: float = 0.0,
        label_smoothing: float = 0.05,
        ignore_classes: Sequence[str | int] = (),
        keep_dilation: bool = True,
        output_stride: int | None = None,
        aspp_channels: int | None = None,
        network: SegmentationNetwork | None = None,
        device: str = "auto",
        precision: str = "auto",
        seed: int | None = None,
    ) -> None:
        """Build a network for the data's classes and bands.

        Args:
            data: of `prepare_data`.
            backbone: a name of `supported_backbones()`, or `timm:<name>`.
            arch: a name of `geodeeplab.models.ARCHITECTURES`.
            weights: what the backbone starts from: `imagenet` (torchvision's best), a name or file as
                `gdl.load_pretrained` takes it, or None for nothing. The default is what a few hundred labels need; it
                is downloaded once, and where that fails one line says so, rather than a poor model much later.
            pretrained_path: a GeoDeepLab model of the same backbone to start from, in place of `weights`.
            pointrend: refine with PointRend instead of bilinear upsampling.
            class_balancing: weigh classes in the pixelwise loss by clipped inverse square roots of their shares.
            mixup: mix pairs of chips; with it the loss is cross-entropy alone.
            focal_loss: the focal loss with a gamma of 2 in place of the cross-entropy.
            dice_loss_fraction: share of the Dice loss in the loss, 0 to 1; by default a third, with mixup 0.
            dice_loss_average: `macro` or `micro`.
            lovasz_loss_fraction: share of the Lovász-softmax loss.
            label_smoothing: of the cross-entropy.
            ignore_classes: names or ids of classes whose pixels count neither in the loss nor in the scores.
            keep_dilation: False leaves the backbone at stride 32 to PointRend.
            output_stride: 8, 16 or 32; by default the architecture's.
            aspp_channels: width of ASPP, for small networks.
            network: one of `gdl.build_model`, for all its other options; it starts as it is.
            device: `auto`, `cpu`, `cuda`, `cuda:N` or `mps`.
            precision: `auto`, `fp32`, `bf16` or `fp16`.
            seed: of weights, chips and everything else; by default the data's.

        Raises:
            OptionError: for options out of their ranges, or that do not go together.
            ModelError: for a network that cannot be, or weights that are not there.
        """
        source = None if pretrained_path is None or network is not None else load_model(pretrained_path)
        self.data = data = data if source is None else keep_statistics(data, source.contract)
        self.seed = data.seed if seed is None else seed
        self.device = pick_device(device, precision)
        if dice_loss_fraction is None:
            dice_loss_fraction = 0.0 if mixup else 1 / 3
        self.objective = Objective(
            class_weights=tuple(class_weights(data.class_pixels).tolist()) if class_balancing else None,
            label_smoothing=label_smoothing,
            focal_gamma=FOCAL_GAMMA if focal_loss else None,
            dice_fraction=dice_loss_fraction,
            dice_average=dice_loss_average,
            lovasz_fraction=lovasz_loss_fraction,
            ignore_classes=find_ignored(data.classes, ignore_classes),
            mixup=MIXUP_ALPHA if mixup else 0.0,
        )
        self.start = NOTHING
        if network is None:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(self.seed)
                network = build_model(
                    arch=arch,
                    backbone=backbone,
                    num_classes=len(data.classes),
                    in_channels=len(data.bands),
                    output_stride=output_stride,
                    pointrend=pointrend,
                    keep_dilation=keep_dilation,
                    aspp_channels=aspp_channels,
                )
                if source is not None:
                    self._adopt(network, source)
                elif weights is not None:
                    self.start = load_start(network, weights, bands=[band.name for band in data.bands]).source
        self.network = _checked(network, data).to(memory_format=torch.channels_last)
        self.history: list[EpochRecord] = []
        self.sweep: RateSweep | None = None
        self.folder: Path | None = None
        self._fits: list[dict[str, Any]] = []
        self._scored: tuple[Tally, dict[int, float]] | None = None

    @classmethod
    def from_model(
        cls,
        model: str | os.PathLike[str],
        data: TrainingData,
        *,
        objective: Objective | None = None,
        device: str = "auto",
        precision: str = "auto",
        seed: int | None = None,
    ) -> "DeepLab":
        """Go on from a trained model, with the data's classes and bands in place of its own.

        Classes of the same name keep what was learned about them; the first convolution is adapted to the bands by
        name, and bands that the model knows, in scenes of its data type, are normalised as it was trained.

        Args:
            model: a bundled model's name, or a model file.
            data: of `prepare_data`.
            objective: the loss; by default the constructor's.
            device: see the constructor.
            precision: see the constructor.
            seed: see the constructor.

        Raises:
            ModelError: if the model cannot be loaded, or cannot be trained on.
        """
        source = load_model(model)
        data = keep_statistics(data, source.contract)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(data.seed if seed is None else seed)
            network = network_like(source, classes=len(data.classes), bands=len(data.bands))
            learner = cls(data, network=network, device=device, precision=precision, seed=seed)
            learner._adopt(network, source)
        learner.objective = objective or learner.objective
        return learner

    # ------------------------------------------------------------------------------------------------------ training

    def lr_find(self, *, steps: int = 100, workers: int | None = None) -> float:
        """Sweep the learning rate, suggest one, and leave the network as it was; `plot_lr()` draws the sweep.

        Args:
            steps: of the sweep, from 1e-6 to 1.
            workers: see `fit`.

        Raises:
            OptionError: for a batch that the network cannot be trained with.
        """
        check_batch_size(self.network, self.data.batch_size)
        self.sweep = sweep_rates(
            self.network,
            self._normalisation(),
            self.data,
            objective=self.objective,
            backbone_factor=self._backbone_factor,
            fixed_statistics=self._fixed_statistics,
            device=self.device.torch_device,
            autocast_dtype=self.device.autocast_dtype,
            workers=self._workers(workers),
            seed=self.seed,
            steps=steps,
        )
        return self.sweep.suggestion

    def fit(
        self,
        epochs: int = 10,
        lr: float | None = None,
        *,
        one_cycle: bool = True,
        schedule: str | None = None,
        early_stopping: bool | int = False,
        checkpoint: bool = True,
        folder: str | os.PathLike[str] | None = None,
        resume: bool = False,
        overwrite: bool = False,
        tensorboard: bool = False,
        monitor: str = "miou",
        weight_decay: float = 0.05,
        ema_decay: float = 0.998,
        clip: float = 1.0,
        devices: int | str | Sequence[int] | None = None,
        strategy: str = "auto",
        num_nodes: int = 1,
        workers: int | None = None,
        progress: bool | None = None,
        after_step: "StepHook | None" = None,
    ) -> None:
        """Train; afterwards the network has the averaged weights of the best epoch.

        With the same seed, data and batch size the chips are the same on every machine; on a CPU the losses are, too,
        bit for bit, whether or not the run was cut off and resumed.

        Args:
            epochs: passes over the training chips.
            lr: peak of the heads' learning rate; by default what `lr_find` suggests, or suggested last.
            one_cycle: rise in a tenth of the run, then fall along a cosine; False for a constant rate.
            schedule: `one_cycle`, `poly` or `constant`, in place of `one_cycle`.
            early_stopping: end after 5 epochs without a better one, or after so many.
            checkpoint: keep checkpoints to resume from.
            folder: where; by default `runs/<arch>-<backbone>-<number>`. `resume` needs it.
            resume: go on with the run of the same numbers in the folder; with nothing there it begins.
            overwrite: begin anew whatever the folder holds.
            tensorboard: write TensorBoard's files into the folder.
            monitor: what the best epoch is best in, on the validation chips: see `available_metrics`.
            weight_decay: of AdamW; norms and biases have none.
            ema_decay: of the averaged weights; 0 scores and keeps the last ones of each epoch.
            clip: greatest norm of the gradients.
            devices: Lightning's: how many, or which ones; by default the learner's device.
            strategy: Lightning's, such as `ddp` or `ddp_spawn`.
            num_nodes: Lightning's.
            workers: processes that draw chips, on each device; by default what suits the machine.
            progress: draw bars; by default on a terminal and in notebooks, elsewhere a line an epoch.
            after_step: called after every step; it may raise to end the fit.

        Raises:
            OptionError: for options out of their ranges, a folder with another run in it, a loss that is not finite,
                or without the extra `train`.
            ModelError, OutputError: for checkpoints that cannot be read or written.
        """
        fit_network = _lightning().fit_network
        check_batch_size(self.network, self.data.batch_size)
        path = self._run_folder(folder, checkpoint=checkpoint, resume=resume, tensorboard=tensorboard)
        recipe = Recipe(
            epochs=epochs,
            lr=self._rate(lr, path if resume else None, workers),
            schedule=_schedule(one_cycle, schedule),
            weight_decay=weight_decay,
            clip=clip,
            ema_decay=ema_decay,
            backbone_factor=self._backbone_factor,
            is_frozen=is_frozen(self.network),
            fixed_statistics=self._fixed_statistics,
            patience=int(PATIENCE if early_stopping is True else early_stopping) or None,
            monitor=monitor,
            precision=self.device.precision,
            batch_size=self.data.batch_size,
            seed=self.seed,
            first_epoch=len(self.history),
        )
        history = fit_network(
            self.network,
            self._normalisation(),
            self.data,
            objective=self.objective,
            recipe=recipe,
            run=self._run_facts(recipe),
            folder=path,
            resume=resume,
            overwrite=overwrite,
            device=self.device.torch_device,
            devices=devices,
            strategy=strategy,
            num_nodes=num_nodes,
            workers=self._workers(workers),
            tensorboard=tensorboard,
            shown=progress,
            after_step=after_step,
        )
        self.network.to("cpu")
        self.history += history
        self.folder = path
        self._fits.append(dataclasses.asdict(recipe) | {"epochs_done": len(history)})
        self._scored = None

    def freeze(self) -> None:
        """Leave the backbone as it is in the fits to come."""
        freeze_backbone(self.network)

    def unfreeze(self) -> None:
        """Train the backbone, too."""
        freeze_backbone(self.network, frozen=False)

    # ------------------------------------------------------------------------------------------------------- results

    def accuracy(self) -> float | None:
        """Give the share of the validation pixels that get their class; None where none is labelled."""
        return self._tally.accuracy

    @overload
    def mIOU(self, mean: Literal[False] = False) -> dict[str, float | None]: ...
    @overload
    def mIOU(self, mean: Literal[True]) -> float | None: ...
    def mIOU(self, mean: bool = False) -> dict[str, float | None] | float | None:
        """Give the IoU of each class on the validation chips, or their mean; None for a class that never occurs."""
        if mean:
            return self._tally.miou
        return dict(zip([item.name for item in self.data.classes], self._tally.iou, strict=True))

    def per_class_metrics(self) -> "pd.DataFrame":
        """Give precision, recall, F1, IoU, boundary IoU and pixels (rows) of the classes (columns) on validation."""
        import pandas as pd

        names = [item.name for item in self.data.classes]
        return pd.DataFrame.from_dict(class_table(self._tally), orient="index", columns=names)

    def plot_losses(self, dst_path: str | os.PathLike[str] | None = None) -> "Figure":
        """Draw the losses and the scores of all epochs so far."""
        from geodeeplab.maps.losses import plot_losses

        scores = {"mIoU": "miou", "boundary IoU": "boundary_iou", "accuracy": "accuracy"}
        figure = plot_losses(
            [record.step_losses for record in self.history],
            [record.val_loss for record in self.history],
            {label: [getattr(record, name) for record in self.history] for label, name in scores.items()},
            val_label="validation" if self.network.point_head is None else "validation, without points",
        )
        return _saved(figure, dst_path)

    def plot_lr(self, dst_path: str | os.PathLike[str] | None = None) -> "Figure":
        """Draw the last sweep of `lr_find`.

        Raises:
            OptionError: before any.
        """
        from geodeeplab.maps.losses import plot_rates

        if self.sweep is None:
            raise OptionError("there is no sweep to draw: call lr_find first")
        return _saved(plot_rates(self.sweep.rates, self.sweep.losses, self.sweep.suggestion), dst_path)

    def plot_confusion(self, dst_path: str | os.PathLike[str] | None = None) -> "Figure":
        """Draw the confusion matrix of the validation chips."""
        from geodeeplab.maps.charts import plot_confusion
        from geodeeplab.maps.figures import new_figure

        names = [item.name for item in self.data.classes]
        figure = new_figure(0.7 * len(names) + 3, 0.7 * len(names) + 2)
        plot_confusion(self._tally.confusion, names, ax=figure.subplots())
        return _saved(figure, dst_path)

    def show_results(self, rows: int = 5, dst_path: str | os.PathLike[str] | None = None) -> "Figure":
        """Draw validation chips, spread evenly over all of them, with truth, labels and errors."""
        _, scores = self._scores()
        known = sorted(scores)
        return self._draw(
            [known[i * len(known) // min(rows, len(known))] for i in range(min(rows, len(known)))], dst_path
        )

    def show_worst(self, rows: int = 5, dst_path: str | os.PathLike[str] | None = None) -> "Figure":
        """Draw the validation chips of the lowest mean IoU, the worst first."""
        _, scores = self._scores()
        return self._draw(sorted(scores, key=lambda index: (scores[index], index))[:rows], dst_path)

    # ---------------------------------------------------------------------------------------------------- model files

    def save(
        self,
        path: str | os.PathLike[str],
        *,
        name: str | None = None,
        licence: str = "",
        provenance: Mapping[str, Any] | None = None,
        overwrite: bool = False,
    ) -> Path:
        """Write one model file, to segment with at once.

        It holds weights and contract; the state to go on training from stays in the folder of the checkpoints.

        Args:
            path: a path that ends in .safetensors.
            name: the model's; by default the file's.
            licence: of the weights. State it where others get the file: data and ImageNet's weights have theirs.
            provenance: what else there is to say of where the model comes from.
            overwrite: replace a file that exists.

        Raises:
            OptionError, OutputError: if it cannot be written there.
        """
        path = check_output(path, suffixes=MODEL_SUFFIXES, overwrite=overwrite)
        metrics = validation_metrics(self._tally, self.data)
        save_model(self.network, self._contract(name or path.stem, licence, provenance or {}, metrics), path)
        return path

    def load(self, path: str | os.PathLike[str]) -> None:
        """Take the weights of a model file of the same network, classes and bands; `from_model` takes any other.

        Raises:
            ModelError: if it is of another network, of other classes or bands.
        """
        model = load_model(path)
        here, there = self._identity(self._contract("", "", {}, {})), self._identity(model.contract)
        for what, value in here.items():
            if there[what] != value:
                raise ModelError(
                    f"{path} has another {what}, {there[what]}, not {value}: use DeepLab.from_model to go on from it"
                )
        self.network.load_state_dict(model.network.state_dict())
        self.start, self._scored = str(path), None

    def predict(
        self,
        scene: SceneLike,
        polygons: str | os.PathLike[str] | None = None,
        *,
        labels: str | os.PathLike[str] | None = None,
        confidence: str | os.PathLike[str] | None = None,
        options: "PolygonOptions | None" = None,
        bands: Sequence[str | int] | None = None,
        rescale: str | Sequence[float] | None = None,
        gsd_m: str | float | None = None,
        aoi: AoiLike | None = None,
        min_confidence: float = 0.0,
        tile_size: int | None = None,
        overlap: int | None = None,
        batch_size: int | None = None,
        tta: str = "none",
        crf: bool | DenseCRF = False,
        overwrite: bool = False,
        progress: "Progress | None" = None,
    ) -> "Segmentation":
        """Segment a scene with the network as it is; `gdl.segment` has the arguments' meaning, and more of them.

        Args:
            scene: a file, several, a URL, an array.
            polygons: vector file to write.
            labels: label raster to write.
            confidence: confidence raster to write.
            options: of the polygons.
            bands: the scene's bands for the model's.
            rescale: the scene's values for the ends of the model's range.
            gsd_m: `native`, `model` or metres.
            aoi: where labels are wanted.
            min_confidence: least probability of a class to be kept.
            tile_size: by default the chips'.
            overlap: by default a quarter of it.
            batch_size: tiles per forward.
            tta: `none`, `flips` or `d4`.
            crf: refine with the dense CRF.
            overwrite: replace outputs that exist.
            progress: called with pixels done and pixels in all.

        Raises:
            OptionError, OutputError, SceneError, ContractError: as `gdl.segment` does.
        """
        from geodeeplab.pipeline.segment import segment

        contract = self._contract("learner", "", {}, {})
        return segment(
            scene,
            polygons,
            labels=labels,
            confidence=confidence,
            polygons=options,
            model=Model(network=self.network.eval(), contract=contract),
            bands=bands,
            rescale=rescale,
            gsd_m=gsd_m,
            aoi=aoi,
            min_confidence=min_confidence,
            tile_size=tile_size,
            overlap=overlap,
            batch_size=batch_size,
            tta=tta,
            crf=crf,
            device=str(self.device.torch_device),
            precision=self.device.precision,
            overwrite=overwrite,
            progress=progress,
        )

    # ---------------------------------------------------------------------------------------------------- what there is

    @property
    def available_metrics(self) -> tuple[str, ...]:
        """What `fit` can monitor."""
        return tuple(MONITORS)

    @staticmethod
    def supported_backbones() -> tuple[str, ...]:
        """Give the names of torchvision's backbones; `timm:<name>` is any other of timm's."""
        return BACKBONES

    @staticmethod
    def supported_architectures() -> tuple[str, ...]:
        """Give the names for `arch`."""
        return ARCHITECTURES

    @staticmethod
    def supported_datasets() -> tuple[str, ...]:
        """Say what `prepare_data` makes training data of."""
        return (
            "scenes and polygons",
            "scenes and label rasters",
            "Esri's Classified Tiles (images/, labels/, map.txt)",
            "folders of image and label chips",
        )

    # ------------------------------------------------------------------------------------------------------- helpers

    def _adopt(self, network: SegmentationNetwork, model: Model) -> None:
        names, bands = [item.name for item in self.data.classes], [band.name for band in self.data.bands]
        self.start = adopt_model(network, model, class_names=names, bands=bands).source

    @property
    def _is_pretrained(self) -> bool:
        return self.start != NOTHING

    @property
    def _backbone_factor(self) -> float:
        return PRETRAINED_FACTOR if self._is_pretrained else 1.0

    @property
    def _fixed_statistics(self) -> bool:
        return keeps_statistics(pretrained=self._is_pretrained, batch_size=self.data.batch_size)

    def _workers(self, workers: int | None) -> int:
        return default_workers(self.device.torch_device.type) if workers is None else workers

    def _normalisation(self) -> Normalisation:
        return Normalisation(self._contract("learner", "", {}, {}))

    def _rate(self, lr: float | None, folder: Path | None, workers: int | None) -> float:
        """Settle the learning rate: as given, as in the run to go on with, as suggested last, or by a sweep."""
        if lr is not None:
            return float(lr)
        if folder is not None and (stored := stored_rate(folder)) is not None:
            return stored
        return self.lr_find(workers=workers) if self.sweep is None else self.sweep.suggestion

    def _run_folder(
        self, folder: str | os.PathLike[str] | None, *, checkpoint: bool, resume: bool, tensorboard: bool
    ) -> Path | None:
        """Settle where a fit keeps its files; None for nowhere."""
        if not checkpoint:
            if folder is not None or resume or tensorboard:
                raise OptionError("folder, resume and tensorboard keep files: leave checkpoint=True with them")
            return None
        if folder is not None:
            return Path(folder)
        if resume:
            raise OptionError("resume goes on with the run in a folder: pass folder, as the first run named it")
        return free_folder(RUNS, f"{self.network.architecture['arch']}-{self.network.architecture['backbone']}")

    def _run_facts(self, recipe: Recipe) -> dict[str, Any]:
        """Give what tells this run from others, flat, so that a difference has a name."""
        return {
            "architecture": dict(self.network.architecture),
            "classes": [item.name for item in self.data.classes],
            "bands": [dataclasses.asdict(band) for band in self.data.bands],
            "chips": [len(self.data.train), len(self.data.val), self.data.chip_size],
            "class_pixels": list(self.data.class_pixels),
            "start": self.start,
            **dataclasses.asdict(self.objective),
            **dataclasses.asdict(recipe),
        }

    def _contract(self, name: str, licence: str, provenance: Mapping[str, Any], metrics: Mapping[str, Any]) -> Contract:
        facts = {
            "data": dict(self.data.provenance),
            "start": self.start,
            "loss": dataclasses.asdict(self.objective),
            "fits": self._fits,
            "epochs": len(self.history),
            "seed": self.seed,
            "versions": versions(),
        }
        return make_contract(
            self.network, self.data, name=name, licence=licence, provenance=facts | dict(provenance), metrics=metrics
        )

    @staticmethod
    def _identity(contract: Contract) -> dict[str, Any]:
        """Give what two models must share for one to take the other's weights."""
        network = build_model(**contract.architecture).architecture
        return {
            "architecture": dict(network),
            "list of classes": [item.name for item in contract.classes],
            "list of bands": list(contract.band_names),
        }

    def _scores(self) -> tuple[Tally, dict[int, float]]:
        """Score the validation chips, once for the same weights."""
        if self._scored is None:
            self._scored = score_chips(self._labelled(range(len(self.data.val))), len(self.data.classes))
        return self._scored

    @property
    def _tally(self) -> Tally:
        return self._scores()[0]

    def _labelled(self, indices: Sequence[int]) -> Iterator[LabelledChip]:
        return iter_labelled(
            self.network,
            self._normalisation(),
            self.data.val,
            indices,
            objective=self.objective,
            device=self.device,
        )

    def _draw(self, indices: Sequence[int], dst_path: str | os.PathLike[str] | None) -> "Figure":
        """Draw validation chips with what the network makes of them."""
        from geodeeplab.maps.results import draw_results

        shown = list(self._labelled(indices))
        figure = draw_results(
            [chip_image(one.chip, self.data) for one in shown],
            [one.truth for one in shown],
            [np.where(one.chip.valid.numpy(), one.labels, np.uint8(IGNORE_INDEX)) for one in shown],
            [LabelClass(id=item.id, name=item.name, color=item.color) for item in self.data.classes],
            titles=[f"chip {one.index}, mIoU {one.miou(len(self.data.classes)):.2f}" for one in shown],
        )
        return _saved(figure, dst_path)


def _checked(network: SegmentationNetwork, data: TrainingData) -> SegmentationNetwork:
    """Refuse a network of other numbers of classes and bands."""
    there = network.architecture.get("num_classes"), network.architecture.get("in_channels")
    if there != (len(data.classes), len(data.bands)):
        raise OptionError(
            f"the data has {len(data.classes)} classes and {len(data.bands)} bands, the network is for {there[0]} and "
            f"{there[1]}: build it with num_classes and in_channels of the data"
        )
    return network


def _schedule(one_cycle: bool, schedule: str | None) -> str:
    if schedule is None:
        return "one_cycle" if one_cycle else "constant"
    if not one_cycle and schedule == "one_cycle":
        raise OptionError("one_cycle=False and schedule='one_cycle' contradict each other: leave one of them out")
    return schedule


def _lightning() -> Any:  # noqa: ANN401 - a module
    """Import what trains; it is in an extra."""
    try:
        from geodeeplab.training.loop import fit
    except ImportError as error:
        raise OptionError("training needs Lightning: pip install 'geodeeplab[train]'") from error
    return fit


def _saved(figure: "Figure", dst_path: str | os.PathLike[str] | None) -> "Figure":
    """Write a figure, if it is wanted."""
    if dst_path is not None:
        figure.savefig(dst_path, dpi=120, bbox_inches="tight")
    return figure
