"""What a learner begins with: the loss, and a network for the data's classes and bands."""

import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path

import torch

from geodeeplab.errors import OptionError
from geodeeplab.models import LoadingReport, Model, SegmentationNetwork, build_model
from geodeeplab.training.arcgis_words import named_classes
from geodeeplab.training.batch import BatchSize, choose_micro_batch, device_name
from geodeeplab.training.data import TrainingData
from geodeeplab.training.loop.checkpoints import stored_batch
from geodeeplab.training.loop.losses import class_weights
from geodeeplab.training.loop.objective import Objective, check_two_classes, find_ignored
from geodeeplab.training.loop.starting import adopt_model, load_start
from geodeeplab.training.random_state import CPU, kept_random_state, seed_generators
from geodeeplab.training.sampling.separation import BOUNDARY_PX

MIXUP_ALPHA = 0.4
FOCAL_GAMMA = 2.0
NOTHING = "nothing"
"""What a network that was not pretrained starts from."""


def make_objective(
    data: TrainingData,
    *,
    class_balancing: bool,
    mixup: bool,
    focal_loss: bool,
    dice_loss_fraction: float,
    dice_loss_average: str,
    lovasz_loss_fraction: float,
    label_smoothing: float,
    boundary_weight: float,
    ignore_classes: Sequence[str | int],
) -> Objective:
    """Give the loss that the options of `DeepLab` describe; classes are weighed by their shares of the data.

    Raises:
        OptionError: for options out of their ranges, or that do not go together.
    """
    ignored = find_ignored(data.classes, named_classes(ignore_classes, data))
    check_two_classes(data.classes, data.class_pixels, ignored)
    return Objective(
        class_weights=tuple(class_weights(data.class_pixels).tolist()) if class_balancing else None,
        label_smoothing=label_smoothing,
        focal_gamma=FOCAL_GAMMA if focal_loss else None,
        dice_fraction=dice_loss_fraction,
        dice_average=dice_loss_average,
        lovasz_fraction=lovasz_loss_fraction,
        ignore_classes=ignored,
        mixup=MIXUP_ALPHA if mixup else 0.0,
        boundary_weight=boundary_weight,
    )


def start_network(
    data: TrainingData,
    source: Model | None,
    *,
    weights: str | os.PathLike[str] | None,
    seed: int,
    arch: str,
    backbone: str,
    output_stride: int | None,
    pointrend: bool,
    keep_dilation: bool,
    aspp_channels: int | None,
) -> tuple[SegmentationNetwork, LoadingReport | None]:
    """Build a network for the data, and load what it starts from.

    Args:
        data: what it will learn from.
        source: a model to start from, in place of `weights`.
        weights: see `load_start`; None for nothing.
        seed: of the weights that nothing is loaded into. PyTorch's own generator is left as it was.
        arch: see `build_model`, here and below.
        backbone: its name.
        output_stride: input pixels per feature pixel.
        pointrend: with PointRend.
        keep_dilation: with PointRend, too.
        aspp_channels: width of ASPP.

    Returns:
        The network, and what was loaded; None for nothing.

    Raises:
        ModelError: for a network that cannot be, or weights that are not there.
    """
    with kept_random_state(CPU):
        seed_generators(seed, CPU)
        network = build_model(
            arch=arch,
            backbone=backbone,
            num_classes=len(data.classes),
            in_channels=len(data.bands),
            output_stride=output_stride,
            pointrend=pointrend,
            keep_dilation=keep_dilation,
            aspp_channels=aspp_channels,
            boundary=bool(data.instances),
        )
        if source is not None:
            return network, adopt(network, source, data)
        if weights is None:
            return network, None
        return network, load_start(network, weights, bands=[band.name for band in data.bands])


def adopt(network: SegmentationNetwork, model: Model, data: TrainingData) -> LoadingReport:
    """Load a trained model into a network for the data.

    Raises:
        ModelError: if the model has no file, or is of another backbone.
    """
    names, bands = [item.name for item in data.classes], [band.name for band in data.bands]
    return adopt_model(network, model, class_names=names, bands=bands)


def with_instances(
    data: TrainingData, instances: str | Sequence[str] | None, *, boundary_px: int | None
) -> TrainingData:
    """Give the data with the boundaries of the objects of some classes as a target; None: as the data have it.

    Raises:
        OptionError: there is no such class, or the width of boundaries cannot be.
    """
    if instances is None:
        if boundary_px is not None and not data.instances:
            raise OptionError("`boundary_px=` is the width of objects' boundaries: pass `instances=`, too")
        instances = data.instances
    names = (instances,) if isinstance(instances, str) else tuple(instances)
    if names == data.instances and boundary_px is None:
        return data
    return data.separating(names, boundary_px=BOUNDARY_PX if boundary_px is None else boundary_px)


def with_batch_for(data: TrainingData, device: torch.device) -> TrainingData:
    """Give the data with the micro-batch that suits a device, where it was chosen by the free memory of another."""
    if data.batch_device is None or data.batch_device == device_name(device):
        return data
    return _with_batch(data, choose_micro_batch(data.chip_size, device))


def with_stored_batch(data: TrainingData, folder: Path) -> TrainingData:
    """Give the data with the batch of the run in a folder, which free memory, another by now, must not change."""
    stored = None if data.batch_device is None else stored_batch(folder)
    if stored is None:
        return data
    chips, micro = stored
    reason = "as in the run that is gone on with"
    return _with_batch(data, BatchSize(chips=chips, micro=micro, reason=reason, device=data.batch_device))


def _with_batch(data: TrainingData, batch: BatchSize) -> TrainingData:
    facts = {**data.provenance, "batch_size": batch.chips, "micro_batch": batch.micro, "batch_reason": batch.reason}
    return dataclasses.replace(
        data, batch_size=batch.chips, micro_batch=batch.micro, batch_device=batch.device, provenance=facts
    )


def check_network(network: SegmentationNetwork, data: TrainingData) -> None:
    """Refuse a network of other numbers of classes and bands.

    Raises:
        OptionError: for such a one.
    """
    there = network.architecture.get("num_classes"), network.architecture.get("in_channels")
    if there != (len(data.classes), len(data.bands)):
        raise OptionError(
            f"the data has {len(data.classes)} classes and {len(data.bands)} bands, the network is for {there[0]} and "
            f"{there[1]}: build it with num_classes and in_channels of the data"
        )
    if (network.boundary_head is not None) != bool(data.instances):
        raise OptionError(
            "objects are told apart by a network that finds their boundaries, and by no other: pass `instances=` with "
            "one that was built with a boundary, or neither"
        )
