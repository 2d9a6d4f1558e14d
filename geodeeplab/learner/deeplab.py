"""`DeepLab`: a network in training."""

import dataclasses
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from geodeeplab.errors import OptionError
from geodeeplab.inference.device import pick_device
from geodeeplab.learner.building import (
    NOTHING,
    adopt,
    check_network,
    make_objective,
    start_network,
    with_batch_for,
    with_instances,
    with_stored_batch,
)
from geodeeplab.learner.fitting import (
    DEFAULT_RATE,
    DEFAULT_STEPS,
    import_loop,
    run_facts,
    run_folder,
    schedule_name,
    tell_forecast,
    warn_of_few_steps,
)
from geodeeplab.learner.opened import data_without_chips
from geodeeplab.learner.saving import find_saved
from geodeeplab.learner.trained import TrainedNetwork
from geodeeplab.maps.figures import in_notebook, show_below_cell
from geodeeplab.models import ARCHITECTURES, BACKBONES, Model, SegmentationNetwork, load_model
from geodeeplab.models.files.esri_model import EsriModel, find_definition, read_esri_model
from geodeeplab.models.weights.weight_files import IMAGENET
from geodeeplab.raster import check_not_inputs
from geodeeplab.training.arcgis_words import (
    FIT,
    FROM_MODEL,
    backbone_name,
    keeps_checkpoints,
    split_rate,
    understands,
)
from geodeeplab.training.arcgis_words import MONITORS as MONITORS_THERE
from geodeeplab.training.data import TrainingData
from geodeeplab.training.loop.checkpoints import BEST, HISTORY, LAST, stored_rate
from geodeeplab.training.loop.loading import default_workers
from geodeeplab.training.loop.objective import Objective
from geodeeplab.training.loop.parameters import (
    TRAINED_FACTOR,
    freeze_backbone,
    is_frozen,
    keeps_statistics,
)
from geodeeplab.training.loop.recipe import MONITORS, PATIENCE, Recipe
from geodeeplab.training.loop.starting import keep_statistics, load_other_classes, network_like
from geodeeplab.training.random_state import CPU, kept_random_state, seed_generators

if TYPE_CHECKING:
    from geodeeplab.training.loop.forecast import FitForecast
    from geodeeplab.training.loop.lr_find import RateSweep
    from geodeeplab.training.loop.progress import FitProgress, StepHook

DEFAULT_BACKBONE = "efficientnet_lite0"
"""Its weights on ImageNet are in the package."""


class DeepLab(TrainedNetwork):
    """A network in training, with arcgis.learn's names.

    Where the defaults are not arcgis.learn's: with PointRend, dilation is kept, because coarse logits at stride 32
    bound what points can repair; the backbone is not frozen at first, it learns with the heads from the first
    step. `keep_dilation=False` and `freeze()` are theirs.

    Attributes:
        data: what it learns from.
        network: what learns; after a fit in evaluation mode, with the averaged weights of the best epoch.
        objective: the loss.
        device: where it learns, and how precisely.
        history: a record of every epoch of every fit.
        sweep: the last sweep of `lr_find`.
        folder: where the last fit kept its checkpoints; None where it kept none.
        supported_backbones: names of torchvision's backbones; `timm:<name>` is any other of timm's.
        supported_architectures: names for `arch`.
        supported_datasets: what `prepare_data` makes training data of.
    """

    supported_backbones: ClassVar[tuple[str, ...]] = BACKBONES
    supported_architectures: ClassVar[tuple[str, ...]] = ARCHITECTURES
    supported_datasets: ClassVar[tuple[str, ...]] = (
        "Classified_Tiles",
        "scenes and polygons",
        "scenes and label rasters",
        "folders of image and label chips",
    )

    def __init__(
        self,
        data: TrainingData,
        backbone: str | None = DEFAULT_BACKBONE,
        pretrained_path: str | os.PathLike[str] | None = None,
        pointrend: bool = True,
        *,
        arch: str = "deeplabv3",
        weights: str | os.PathLike[str] | None = IMAGENET,
        class_balancing: bool = False,
        mixup: bool = False,
        focal_loss: bool = False,
        dice_loss_fraction: float = 0.0,
        dice_loss_average: str = "macro",
        lovasz_loss_fraction: float = 0.0,
        label_smoothing: float = 0.05,
        ignore_classes: Sequence[str | int] = (),
        instances: str | Sequence[str] | None = None,
        boundary_px: int | None = None,
        boundary_weight: float = 1.0,
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
            backbone: a name of `DeepLab.backbones()`, or `timm:<name>`; None for the default, whose weights are in the
                package, so that it needs no network. `resnet50` is larger, and downloads its own once.
            pretrained_path: a GeoDeepLab model of the same backbone to start from, in place of `weights`.
            pointrend: refine with PointRend; False for bilinear upsampling.
            arch: a name of `DeepLab.supported_architectures`.
            weights: what the backbone starts from: `imagenet` (bundled for `efficientnet_lite0`, else torchvision's
                best or timm's), a name or file as `gdl.load_pretrained` takes it, or None for nothing. The default is
                what a few hundred labels need; what is downloaded is so once, and where that fails one line says so,
                rather than a poor model much later.
            class_balancing: weigh classes in the pixelwise loss by clipped inverse square roots of their shares. Chips
                are drawn balanced already (`class_balance` of `prepare_data`): with both, rare classes are claimed
                where they are not.
            mixup: mix pairs of chips; with it the loss is cross-entropy alone.
            focal_loss: the focal loss with a gamma of 2 in place of the cross-entropy.
            dice_loss_fraction: share of the Dice loss in the loss, 0 to 1.
            dice_loss_average: `macro` or `micro`.
            lovasz_loss_fraction: share of the Lovász-softmax loss.
            label_smoothing: of the cross-entropy.
            ignore_classes: classes whose pixels count neither in the loss nor in the scores: names, ids, or the values
                that they have in a folder of chips. 0, ground without a label, may be among them.
            instances: the class, or classes, whose objects are told apart: the network learns their boundaries, too, as
                one more output, and `segment` gives each object its own polygon. Objects are the polygons of the
                labels; of a label raster, pixels of one class that hang together.
            boundary_px: width of a boundary in pixels of a chip, by default 2, for objects from about 8 pixels on; 1
                for smaller ones.
            boundary_weight: of the boundaries' loss, beside 1 for that of the classes.
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
        source = None if pretrained_path is None or network is not None else load_model(find_saved(pretrained_path))
        data = data if source is None else keep_statistics(data, source.contract)
        data = with_instances(data, instances, boundary_px=boundary_px)
        seed = data.seed if seed is None else seed
        if precision == "int8":
            raise OptionError("int8 is for `segment` and `predict`: learn at auto, fp32, bf16 or fp16")
        place = pick_device(device, precision)
        objective = make_objective(
            data,
            class_balancing=class_balancing,
            mixup=mixup,
            focal_loss=focal_loss,
            dice_loss_fraction=dice_loss_fraction,
            dice_loss_average=dice_loss_average,
            lovasz_loss_fraction=lovasz_loss_fraction,
            label_smoothing=label_smoothing,
            boundary_weight=boundary_weight,
            ignore_classes=ignore_classes,
        )
        loaded = None
        if network is None:
            network, loaded = start_network(
                data,
                source,
                weights=weights,
                seed=seed,
                arch=arch,
                backbone=backbone_name(backbone, default=DEFAULT_BACKBONE),
                output_stride=output_stride,
                pointrend=pointrend,
                keep_dilation=keep_dilation,
                aspp_channels=aspp_channels,
            )
        check_network(network, data)
        data = with_batch_for(data, place.torch_device)
        super().__init__(data, network, objective=objective, device=place, seed=seed, loaded=loaded)
        self.folder: Path | None = None

    @classmethod
    @understands(FROM_MODEL)
    def from_model(
        cls,
        model: str | os.PathLike[str],
        data: TrainingData | None = None,
        *,
        objective: Objective | None = None,
        instances: str | Sequence[str] | None = None,
        boundary_px: int | None = None,
        device: str = "auto",
        precision: str = "auto",
        seed: int | None = None,
    ) -> "DeepLab":
        """Go on from a trained model, with the data's classes and bands in place of its own; or predict with it.

        Classes of the same name keep what was learned about them; the first convolution is adapted to the bands by
        name, and bands that the model knows, in scenes of its data type, are normalised as it was trained. Of a model
        of arcgis.learn's DeepLab, everything but the layers of the classes is the start.

        Args:
            model: a bundled model's name, a model file, or what `save` called it; with data also a definition (`.emd`)
                of arcgis.learn's DeepLab, or the folder that it lies in with its weights.
            data: of `prepare_data`; without it the learner predicts as the model is, and does nothing else.
            objective: the loss; by default the constructor's.
            instances: see the constructor; by default those of the model's that the data have. A model without them
                keeps all that it learned, and gets the output of boundaries.
            boundary_px: see the constructor.
            device: see the constructor.
            precision: see the constructor.
            seed: see the constructor.

        Raises:
            ModelError: if the model cannot be loaded, or cannot be trained on.
        """
        model = find_saved(model)
        if data is None:
            return cls._to_predict(load_model(model), device=device, precision=precision)
        if (definition := find_definition(model)) is not None:
            data = with_instances(data, instances, boundary_px=boundary_px)
            learner = cls._from_esri(read_esri_model(definition), data, device=device, precision=precision, seed=seed)
            learner.objective = objective or learner.objective
            return learner
        source = load_model(model)
        data = keep_statistics(data, source.contract)
        if instances is None and not data.instances:
            known = [item.name for item in data.classes]
            instances = tuple(name for name in source.contract.instances if name in known)
        data = with_instances(data, instances, boundary_px=boundary_px)
        with kept_random_state(CPU):
            seed_generators(data.seed if seed is None else seed, CPU)
            network = network_like(
                source, classes=len(data.classes), bands=len(data.bands), boundary=bool(data.instances)
            )
            learner = cls(data, network=network, device=device, precision=precision, seed=seed)
            learner._start_from(adopt(network, source, data))
        learner.objective = objective or learner.objective
        return learner

    @classmethod
    def _to_predict(cls, source: Model, *, device: str, precision: str) -> "DeepLab":
        """Give a learner of a model alone."""
        data, network = data_without_chips(source)
        learner = cls(data, network=network, device=device, precision=precision)
        learner.start, learner._opened = str(source.path), source
        return learner

    @classmethod
    def _from_esri(
        cls, esri: EsriModel, data: TrainingData, *, device: str, precision: str, seed: int | None
    ) -> "DeepLab":
        """Start from the weights of a model of arcgis.learn's."""
        backbone, weights = esri.start()
        pointrend = esri.with_pointrend
        learner = cls(data, backbone, pointrend=pointrend, weights=None, device=device, precision=precision, seed=seed)
        bands = [band.name for band in data.bands]
        learner._start_from(load_other_classes(learner.network, weights, bands=bands))
        return learner

    # ------------------------------------------------------------------------------------------------------ training

    def lr_find(self, allow_plot: bool = True, *, steps: int = 100, workers: int | None = None) -> float:
        """Sweep the learning rate, suggest one, and leave the network as it was; `plot_lr()` draws the sweep.

        Its steps are those of a fit, and the next fits take the suggestion.

        Args:
            allow_plot: show the sweep below the cell, in notebooks.
            steps: of the sweep, from 1e-6 to 1.
            workers: see `fit`.

        Raises:
            OptionError: for fewer than ten steps, a loss that is never finite, or without the extra `train`.
        """
        found: RateSweep = import_loop().trial.sweep_rates(
            self.network,
            self._normalisation(),
            self.data,
            objective=self.objective,
            recipe=self._recipe(epochs=1, lr=DEFAULT_RATE),
            device=self.device.torch_device,
            workers=self._workers(workers),
            steps=steps,
        )
        self.sweep = found
        if allow_plot and in_notebook():
            show_below_cell(self.plot_lr())
        return found.suggestion

    @understands(FIT)
    def fit(
        self,
        epochs: int | None = None,
        lr: float | slice | None = None,
        one_cycle: bool = True,
        early_stopping: bool | int = False,
        checkpoint: bool | str = True,
        tensorboard: bool = False,
        monitor: str = "miou",
        *,
        schedule: str | None = None,
        folder: str | os.PathLike[str] | None = None,
        resume: bool = False,
        overwrite: bool = False,
        weight_decay: float = 0.05,
        ema_decay: float = 0.998,
        clip: float = 1.0,
        devices: int | str | Sequence[int] | None = None,
        strategy: str = "auto",
        num_nodes: int = 1,
        workers: int | None = None,
        progress: "bool | FitProgress | None" = None,
        after_step: "StepHook | None" = None,
        announce: "Callable[[FitForecast], None] | None" = None,
    ) -> None:
        """Train; afterwards the network has the averaged weights of the best epoch.

        With the same seed, data and batch size the chips are the same on every machine; on a CPU the losses are, too,
        bit for bit, whether or not the run was cut off and resumed.

        Args:
            epochs: of `data.epoch_steps` steps, 64 or more unless `epoch_chips` says otherwise; by default so many
                that they make 640 steps.
            lr: peak of the learning rate, of which the backbone has a tenth where a whole model is trained on; by
                default what `lr_find` suggested last, else 0.001. `slice(low, high)` is that of the backbone and of
                the heads.
            one_cycle: rise in a tenth of the run, then fall along a cosine; False for a constant rate.
            early_stopping: end after 5 epochs without a better one, or after so many.
            checkpoint: keep checkpoints to resume from: those of the best and the last epoch.
            tensorboard: write TensorBoard's files into the folder.
            monitor: what the best epoch is best in, on the validation chips: see `available_metrics`;
                `valid_loss` is the loss.
            schedule: `one_cycle`, `poly` or `constant`, in place of `one_cycle`.
            folder: where; by default `runs/<arch>-<backbone>-<number>`. `resume` needs it.
            resume: go on with the run of the same numbers in the folder; with nothing there it begins.
            overwrite: begin anew whatever the folder holds.
            weight_decay: of AdamW; norms and biases have none.
            ema_decay: of the averaged weights; 0 scores and keeps the last ones of each epoch.
            clip: greatest norm of the gradients.
            devices: Lightning's: how many, or which ones; by default the learner's device.
            strategy: Lightning's, such as `ddp` or `ddp_spawn`.
            num_nodes: Lightning's.
            workers: processes that draw chips, on each device; by default what suits the machine.
            progress: draw bars; by default on a terminal and in notebooks, elsewhere a line an epoch. A function is
                called in their place, with the steps done, all there are, and after an epoch its `EpochRecord`.
            after_step: called after every step; it may raise to end the fit.
            announce: called before the first step with what there is to do and how long it will take, by the time of a
                step or two, which are made for that and undone. By default that is a line on stderr, unless `progress`
                is False or a function.

        Warns:
            GeoDeepLabWarning: there are fewer than 200 steps in all.

        Raises:
            OptionError: for options out of their ranges, a folder with another run in it, a loss that is not finite,
                or without the extra `train`.
            ModelError, OutputError: for checkpoints that cannot be read or written.
        """
        fit_network = import_loop().fit.fit_network
        heads_lr, backbone_factor = split_rate(lr)
        kept = keeps_checkpoints(checkpoint)
        path = run_folder(folder, self.network, checkpoint=kept, resume=resume, tensorboard=tensorboard)
        if resume and path is not None:
            self.data = with_stored_batch(self.data, path)
        if path is not None:
            check_not_inputs([path / name for name in (LAST, BEST, HISTORY)], self._inputs)
        epoch_steps = self.data.epoch_steps
        recipe = dataclasses.replace(
            self._recipe(
                epochs=max(1, round(DEFAULT_STEPS / epoch_steps)) if epochs is None else epochs,
                lr=self._rate(heads_lr, path if resume else None),
            ),
            schedule=schedule_name(schedule, one_cycle=one_cycle),
            weight_decay=weight_decay,
            clip=clip,
            ema_decay=ema_decay,
            backbone_factor=backbone_factor or self._backbone_factor,
            patience=int(PATIENCE if early_stopping is True else early_stopping) or None,
            monitor=MONITORS_THERE.get(monitor, monitor),
        )
        warn_of_few_steps((len(self.history) + recipe.epochs) * epoch_steps, epoch_steps=epoch_steps)
        if announce is None and (progress is None or progress is True):
            announce = tell_forecast
        history = fit_network(
            self.network,
            self._normalisation(),
            self.data,
            objective=self.objective,
            recipe=recipe,
            run=run_facts(self.network, self.data, start=self.start, objective=self.objective, recipe=recipe),
            folder=path,
            resume=resume,
            overwrite=overwrite,
            device=self.device.torch_device,
            devices=devices,
            strategy=strategy,
            num_nodes=num_nodes,
            workers=self._workers(workers),
            tensorboard=tensorboard,
            progress=progress,
            after_step=after_step,
            announce=announce,
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

    # ---------------------------------------------------------------------------------------------------- what there is

    @property
    def available_metrics(self) -> tuple[str, ...]:
        """What `fit` can monitor."""
        return tuple(MONITORS)

    @staticmethod
    def backbones() -> tuple[str, ...]:
        """Give the names of torchvision's backbones; `timm:<name>` is any other of timm's."""
        return BACKBONES

    # ------------------------------------------------------------------------------------------------------- helpers

    @property
    def _backbone_factor(self) -> float:
        return TRAINED_FACTOR if self._goes_on else 1.0

    @property
    def _fixed_statistics(self) -> bool:
        return keeps_statistics(pretrained=self.start != NOTHING, chips_at_once=self.data.chips_at_once)

    def _recipe(self, *, epochs: int, lr: float) -> Recipe:
        """Give the numbers of a fit, as network, data and device have them."""
        return Recipe(
            epochs=epochs,
            lr=lr,
            backbone_factor=self._backbone_factor,
            is_frozen=is_frozen(self.network),
            fixed_statistics=self._fixed_statistics,
            precision=self.device.precision,
            batch_size=self.data.batch_size,
            micro_batch=self.data.micro_batch,
            seed=self.seed,
            first_epoch=len(self.history),
        )

    def _workers(self, workers: int | None) -> int:
        return default_workers(self.device.torch_device.type) if workers is None else workers

    def _rate(self, lr: float | None, folder: Path | None) -> float:
        """Settle the learning rate: as given, as in the run to go on with, as suggested last, or the default."""
        if lr is not None:
            return float(lr)
        if folder is not None and (stored := stored_rate(folder)) is not None:
            return stored
        return DEFAULT_RATE if self.sweep is None else self.sweep.suggestion
