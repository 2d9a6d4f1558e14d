"""What a network starts from: nothing, ImageNet's weights, or a trained model of other classes and bands."""

import os
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from geodeeplab.errors import ModelError
from geodeeplab.models import (
    Contract,
    LoadingReport,
    Model,
    SegmentationNetwork,
    build_model,
    iter_bundled,
    load_pretrained,
)
from geodeeplab.models.weights.inflate import RGB, plain_name
from geodeeplab.models.weights.weight_files import BUNDLED_WEIGHTS, IMAGENET
from geodeeplab.training.data import TrainingData


def load_start(network: SegmentationNetwork, weights: str | os.PathLike[str], *, bands: Sequence[str]) -> LoadingReport:
    """Load weights into a fresh network.

    Args:
        network: of `build_model`.
        weights: what `load_pretrained` takes.
        bands: names of the network's bands; the first convolution is adapted by them if red, green or blue is one.

    Raises:
        ModelError: if they are not on this machine and cannot be downloaded, or do not fit.
    """
    named = {plain_name(name) for name in bands} & set(RGB)
    try:
        return load_pretrained(network, weights, bands=list(bands) if named else None)
    except ModelError as error:
        if weights == IMAGENET:
            raise ModelError(f"{error}; {_what_is_here()}; or train from scratch with `weights=None`") from error
        raise


def _what_is_here() -> str:
    """Name what lies in the package to start from."""
    backbones = " or ".join(f"`backbone={name}`" for name, path in BUNDLED_WEIGHTS.items() if path.is_file())
    models = " or ".join(f"`from_model={name}`" for name in iter_bundled())
    return "or start from what is here: " + ", ".join(one for one in (backbones, models) if one)


def load_other_classes(
    network: SegmentationNetwork, weights: str | os.PathLike[str], *, bands: Sequence[str]
) -> LoadingReport:
    """Load weights of a network that tells other classes apart; layers that follow from the classes stay as they are.

    Args:
        network: of `build_model`.
        weights: a file, as `load_pretrained` takes it.
        bands: names of the network's bands.

    Raises:
        ModelError: if the file cannot be read, or is of another network.
    """
    fresh = {key: value.clone() for key, value in network.state_dict().items()}
    report = load_start(network, weights, bands=bands)
    state = network.state_dict()
    with torch.no_grad():
        for key in _class_axes(network.architecture):
            state[key].copy_(fresh[key])
    return report


def network_like(model: Model, *, classes: int, bands: int, boundary: bool = False) -> SegmentationNetwork:
    """Build an untrained network of a model's architecture for other numbers of classes and bands.

    With `boundary` it finds the boundaries of objects, whether or not the model does.

    Raises:
        ModelError: if the model is not one that `build_model` made.
    """
    if not model.contract.architecture:
        raise ModelError(
            f"model '{model.contract.name}' was not made by build_model: only a GeoDeepLab model file can be trained on"
        )
    changes = {"num_classes": classes, "in_channels": bands, "boundary": boundary}
    return build_model(**{**model.contract.architecture, **changes})


def adopt_model(
    network: SegmentationNetwork, model: Model, *, class_names: Sequence[str], bands: Sequence[str]
) -> LoadingReport:
    """Load a trained model into a network of the same backbone that tells other classes apart, or reads other bands.

    The backbone comes over with its first convolution adapted to the bands by name. Where the head is the same, too,
    the classes of one name keep what was learned about them, in whichever order; new ones start afresh.

    Raises:
        ModelError: if the model has no file, or is of another backbone.
    """
    if model.path is None:
        raise ModelError(f"model '{model.contract.name}' has no file: save it, and give its path")
    fresh = {key: value.clone() for key, value in network.state_dict().items()}
    report = load_pretrained(network, model.path, bands=list(bands))
    theirs = [item.name for item in model.contract.classes]
    if list(class_names) == theirs:
        return report
    source = model.network.state_dict()
    state = network.state_dict()
    with torch.no_grad():
        for key, axes in _class_axes(network.architecture).items():
            if key.startswith("backbone.") or key not in source:
                continue
            state[key].copy_(fresh[key])
            if _agree(state[key], source[key], axes, len(class_names), len(theirs)):
                _copy_shared(state[key], source[key].to(state[key]), axes, class_names, theirs)
    return report


def keep_statistics(data: TrainingData, contract: Contract) -> TrainingData:
    """Give data whose bands are normalised as a model's were, so that its filters see what they learned to see.

    Bands of the model's names, scale and offset, in scenes of its data type, take its mean and standard deviation; the
    others keep the data's own.
    """
    if contract.dtype != data.dtype:
        return data
    known = {(band.name, band.scale, band.offset): band for band in contract.bands}
    bands = tuple(
        replace(known.get((band.name, band.scale, band.offset), band), is_optional=band.is_optional)
        for band in data.bands
    )
    return replace(data, bands=bands)


def _class_axes(architecture: Any) -> dict[str, tuple[int, ...]]:  # noqa: ANN401 - arguments of any types
    """Give the tensors that grow with the number of classes, and the axes along which they do, by one a class."""
    count = int(architecture["num_classes"])
    with torch.device("meta"):
        more = build_model(**{**architecture, "num_classes": count + 1}).state_dict()
        here = build_model(**architecture).state_dict()
    axes = {}
    for key, tensor in here.items():
        growth = [b - a for a, b in zip(tensor.shape, more[key].shape, strict=True)]
        if any(growth):
            axes[key] = tuple(axis for axis, by in enumerate(growth) if by == 1)
    return axes


def _agree(ours: Tensor, theirs: Tensor, axes: Sequence[int], own: int, other: int) -> bool:
    """Say whether two tensors differ by the number of classes only."""
    if ours.ndim != theirs.ndim or not axes:
        return False
    expected = [side - (own - other if axis in axes else 0) for axis, side in enumerate(ours.shape)]
    return list(theirs.shape) == expected


def _copy_shared(
    ours: Tensor, theirs: Tensor, axes: Sequence[int], names: Sequence[str], source_names: Sequence[str]
) -> None:
    """Copy a tensor but for the entries of classes that the source does not have.

    Along the axes of classes, the last K entries are the classes', in their order, and what comes before is features.
    """
    pairs = [(index, source_names.index(name)) for index, name in enumerate(names) if name in source_names]
    target: list[Tensor] = [torch.arange(side, device=ours.device) for side in ours.shape]
    source = list(target)
    for axis in axes:
        base, theirs_base = ours.shape[axis] - len(names), theirs.shape[axis] - len(source_names)
        features = list(range(base))
        target[axis] = torch.tensor(features + [base + here for here, _ in pairs], device=ours.device, dtype=torch.long)
        source[axis] = torch.tensor(
            features + [theirs_base + there for _, there in pairs], device=ours.device, dtype=torch.long
        )
    ours[torch.meshgrid(*target, indexing="ij")] = theirs[torch.meshgrid(*source, indexing="ij")]
