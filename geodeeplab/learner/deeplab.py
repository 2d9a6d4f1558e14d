"""`DeepLab`: a network in training."""

import os
from collections.abc import Sequence
from typing import ClassVar

from geodeeplab.errors import OptionError
from geodeeplab.inference.device import pick_device
from geodeeplab.learner.building import (
    adopt,
    check_network,
    make_objective,
    start_network,
    with_batch_for,
    with_instances,
)
from geodeeplab.learner.learning import LearningNetwork
from geodeeplab.learner.opened import data_without_chips
from geodeeplab.learner.saving import find_saved
from geodeeplab.models import ARCHITECTURES, BACKBONES, Model, SegmentationNetwork, load_model
from geodeeplab.models.files.esri_model import EsriModel, find_definition, read_esri_model
from geodeeplab.models.weights.weight_files import IMAGENET
from geodeeplab.training.arcgis_words import FROM_MODEL, backbone_name, understands
from geodeeplab.training.data import TrainingData
from geodeeplab.training.loop.objective import Objective
from geodeeplab.training.loop.starting import keep_statistics, load_other_classes, network_like
from geodeeplab.training.random_state import CPU, kept_random_state, seed_generators

DEFAULT_BACKBONE = "efficientnet_lite0"
"""Its weights on ImageNet are in the package."""


class DeepLab(LearningNetwork):
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

    @staticmethod
    def backbones() -> tuple[str, ...]:
        """Give the names of torchvision's backbones; `timm:<name>` is any other of timm's."""
        return BACKBONES
