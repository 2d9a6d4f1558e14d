"""Load pretrained weights into a network: all that fits, nothing in silence, and never a part of a backbone."""

import logging
import os
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from geodeeplab.errors import ModelError, OptionError
from geodeeplab.models.architecture import MAX_CLASSES, Architecture
from geodeeplab.models.assembly import build_network
from geodeeplab.models.network import SegmentationNetwork
from geodeeplab.models.weights.inflate import RGB, inflate_first_convolution, plain_name
from geodeeplab.models.weights.key_layouts import FileTensor, name_as_network, required
from geodeeplab.models.weights.loading_report import LoadingReport
from geodeeplab.models.weights.weight_files import Weights, find_weights

logger = logging.getLogger(__name__)


def load_pretrained(
    network: SegmentationNetwork,
    weights: str | os.PathLike[str],
    *,
    bands: Sequence[str] | None = None,
    source_bands: Sequence[str] | None = None,
) -> LoadingReport:
    """Load weights into a network, in place.

    `weights` is one of:

    * `imagenet`: the backbone's on ImageNet: bundled for `efficientnet_lite0`, timm's for its own, else torchvision's
      best.
    * `DEFAULT`: torchvision's default for the whole network where it has one (`deeplabv3` and `fcn` on some backbones),
      else for the backbone, as `imagenet`.
    * a name of torchvision's, with or without its class: `IMAGENET1K_V2`, `ResNet50_Weights.IMAGENET1K_V2`,
      `COCO_WITH_VOC_LABELS_V1`. Files are looked up in torch's cache of downloads (`torch.hub.get_dir()`) first.
    * the path of a state dict (`.pth`, `.pt`, `.safetensors`), or of a GeoDeepLab model, or the name of a bundled one.

    In a file, the backbone is found by its keys, whatever stands before them (`module.`, `features.`, `encoder.`, …);
    it may be part of a classifier or of a whole network. It is loaded entirely or not at all. A head is loaded if its
    keys contain those of the file's or the reverse (FCN-32s into FCN-16s), else left out; so are the layers whose shape
    follows from the number of classes, where that differs. FCN-32s, 16s, 8s, DilatedNet and V1 with `fov_kernel=7` take
    VGG's fully connected layers.

    Args:
        network: of `build_model`.
        weights: see above.
        bands: names of the bands that the network reads. With them, the first convolution is adapted by name, else by
            repeating the filters of the source (see `inflate_first_convolution`).
        source_bands: names of the bands that the weights read; by default what torchvision's weights and GeoDeepLab's
            models say, else red, green, blue where there are three.

    Returns:
        What was loaded, adapted, left out and left as it was; also logged.

    Raises:
        ModelError: if the weights are missing or unreadable, do not hold this backbone in full and with these shapes,
            or read other bands and do not say which. The network is then unchanged.
        OptionError: for `source_bands` without `bands`.
    """
    found = find_weights(weights, arch=network.architecture.get("arch"), backbone=network.architecture.get("backbone"))
    targets = network.state_dict()
    named = name_as_network(found, targets)
    first = next(key for key, tensor in targets.items() if key.startswith("backbone.") and tensor.ndim == 4)
    _check_backbone(found, named, targets, first=first)
    reasons = _left_out_of_heads(found, named, targets, network.architecture)
    fitting = {key: named[key] for key in targets if key in named and key not in reasons}
    tensors = {key: item.tensor for key, item in fitting.items()}
    tensors[first], how = _adapt(found, tensors[first], targets[first], bands=bands, source_bands=source_bands)
    for key, tensor in tensors.items():
        if not tensor.isfinite().all():
            raise ModelError(f"{fitting[key].key} in {found.source} is not finite: the weights are damaged")
    network.load_state_dict(tensors, strict=False)

    used = {item.key for item in fitting.values()}
    why = {named[key].key: reason for key, reason in reasons.items()}
    report = LoadingReport(
        source=found.source,
        loaded={key: item.key for key, item in fitting.items()},
        inflated={first: how} if how else {},
        dropped={key: why.get(key, _why_not_used(key)) for key in found.tensors if key not in used},
        missing=tuple(key for key in required(targets) if key not in fitting),
    )
    logger.info("%s", report)
    return report


def _check_backbone(
    found: Weights, named: Mapping[str, FileTensor], targets: Mapping[str, Tensor], *, first: str
) -> None:
    """Refuse weights that lack tensors of the backbone, have more in its modules, or have other shapes.

    The first convolution may read another number of bands. Whole modules that the backbone does not have are no matter:
    they come after its last level.
    """
    other = f"the weights {found.source} are of another backbone"
    advice = "choose weights of the same backbone, or build the network on theirs"
    own = [key for key in required(targets) if key.startswith("backbone.")]
    lacking = [key for key in own if key not in named]
    if lacking:
        raise ModelError(f"{other}: they lack {len(lacking)} of {len(own)} tensors, such as {lacking[0]}: {advice}")
    modules = {_module(key) for key in own}
    excess = [item.key for key, item in named.items() if key not in targets and _module(key) in modules]
    if excess:
        raise ModelError(f"{other}: they have {len(excess)} tensors more, such as {excess[0]}: {advice}")
    for key in own:
        theirs, ours = tuple(named[key].tensor.shape), tuple(targets[key].shape)
        if theirs != ours and not (key == first and theirs[:1] + theirs[2:] == ours[:1] + ours[2:]):
            raise ModelError(f"{other}: {named[key].key} has the shape {theirs}, not {ours}: {advice}")


def _module(key: str) -> str:
    """Give the name of the backbone's module that a key belongs to."""
    return key.removeprefix("backbone.").removeprefix("body.").partition(".")[0] if key.startswith("backbone.") else ""


def _left_out_of_heads(
    found: Weights, named: Mapping[str, FileTensor], targets: Mapping[str, Tensor], architecture: Mapping[str, Any]
) -> dict[str, str]:
    """Give the names of the heads' tensors that are not to be loaded, with the reason.

    Raises:
        ModelError: if shapes differ by more than the number of classes explains.
    """
    reasons: dict[str, str] = {}
    for part in ("classifier.", "point_head."):
        ours = {key for key in targets if key.startswith(part)}
        theirs = {key for key in named if key.startswith(part)}
        if ours and not (theirs <= ours or theirs >= ours.intersection(required(targets))):
            reasons |= dict.fromkeys(theirs, "the head of another architecture")
            continue
        shapes = {key: named[key].tensor.shape for key in targets if key in ours & theirs}
        differing = [key for key, shape in shapes.items() if shape != targets[key].shape]
        if not differing:
            continue
        classes = _source_classes(shapes, targets, architecture)
        if classes is None:
            key = differing[0]
            raise ModelError(
                f"{named[key].key} has the shape {tuple(shapes[key])} in {found.source} and "
                f"{tuple(targets[key].shape)} in the network: build the network with the same numbers, or load weights "
                "of the backbone alone"
            )
        layers = {key.rpartition(".")[0] for key in differing}
        of_these = [key for key in theirs if key.rpartition(".")[0] in layers]
        reasons |= dict.fromkeys(of_these, f"for {classes} classes, the network has {architecture['num_classes']}")
    return reasons


def _source_classes(
    shapes: Mapping[str, torch.Size], targets: Mapping[str, Tensor], architecture: Mapping[str, Any]
) -> int | None:
    """Give the number of classes with which our network would have the `shapes` of the source; None if there is none.

    It is told by a layer whose first size is our number of classes, and which else is the same.
    """
    ours = {key: targets[key].shape for key in shapes}
    classes = architecture.get("num_classes")
    told = {
        shape[0]
        for key, shape in shapes.items()
        if ours[key][:1] == (classes,) and ours[key][1:] == shape[1:] and shape
    }
    for number in sorted(told - {classes}):
        if not 2 <= number <= MAX_CLASSES:
            continue
        with torch.device("meta"):  # shapes without memory
            twin = build_network(Architecture.from_mapping({**architecture, "num_classes": number})).state_dict()
        if all(twin[key].shape == shape for key, shape in shapes.items()):
            return number
    return None


def _adapt(
    found: Weights, weight: Tensor, target: Tensor, *, bands: Sequence[str] | None, source_bands: Sequence[str] | None
) -> tuple[Tensor, str]:
    """Fit the weight (O, S, kh, kw) of the first convolution to the network's n bands; also say how, if it changed."""
    channels, count = weight.shape[1], target.shape[1]
    names = source_bands or found.bands or (RGB if channels == len(RGB) else None)
    reads = f"the first convolution of {found.source} reads {channels} bands"
    if bands is None:
        if source_bands is not None:
            raise OptionError("`source_bands=` are matched with the bands of the network: pass `bands=` too")
        if channels == count:
            return weight, ""
        if channels != len(RGB):
            raise ModelError(f"{reads}, the network {count}: name both, with `bands=` and `source_bands=`")
        how = "the sum" if count == 1 else f"repeated in order, × {channels}/{count}"
        return inflate_first_convolution(weight, bands=count), f"{channels} → {count} bands: {how}"
    if isinstance(bands, str) or len(bands) != count:
        raise ModelError(f"the network reads {count} bands: bands name each of them, not {bands!r}")
    if names is None:
        raise ModelError(f"{reads} and does not say which: name them in their order, with `source_bands=`")
    own = {plain_name(name) for name in names}
    if [plain_name(name) for name in bands] == [plain_name(name) for name in names]:
        return inflate_first_convolution(weight, bands=bands, source_bands=names), ""
    kept = [name for name in bands if plain_name(name) in own]
    others = [name for name in bands if plain_name(name) not in own]
    parts = ([f"{', '.join(kept)} by name"] if kept else []) + ([f"{', '.join(others)} the mean"] if others else [])
    scale = "" if channels == count else f", × {channels}/{count}"
    how = f"{channels} → {count} bands: {'; '.join(parts)}{scale}"
    return inflate_first_convolution(weight, bands=bands, source_bands=names), how


def _why_not_used(key: str) -> str:
    """Say why a tensor that has no place in the network is left out."""
    return "the auxiliary head of training" if "aux_classifier." in key else "not part of the network"
