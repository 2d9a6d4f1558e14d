"""Which parameters are trained, at which rates, and which batch norms keep their statistics."""

from collections.abc import Iterator
from typing import Any

from torch import nn

from geodeeplab.errors import OptionError
from geodeeplab.models.heads.aspp import ImagePooling
from geodeeplab.models.network import SegmentationNetwork

TRAINED_FACTOR = 0.1
"""Rate of the backbone to that of the heads where a whole model is trained on. Under heads that begin at random, a
pretrained backbone learns as fast as they do: at a tenth it was left behind by 0.06 in mean IoU after 320 steps."""
SMALL_BATCH = 8
"""Chips at once below which batch statistics are worse than those that a pretrained backbone came with, and those of
pooled features, of which an image has one a channel, next to nothing: of two values, one becomes 1, the other −1."""
LEAST_MOMENTUM = 0.1
"""Of the statistics of batch norms in training. torchvision's MobileNetV3 (0.01) and EfficientNetV2 (0.01), and
DeepLabV3's published 3e-4, are made for 10⁴ steps and more: in a run of some hundred, what is scored would lag behind
what was learned."""
BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)
BatchNorm = nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d | nn.SyncBatchNorm


def parameter_groups(
    network: SegmentationNetwork, *, lr: float, weight_decay: float, backbone_factor: float
) -> list[dict[str, Any]]:
    """Give an optimiser's groups: backbone and heads, each with and without weight decay.

    Norms and biases, which are all the parameters of one dimension, do not decay. Frozen parameters are left out; a
    group's `lr` is its peak.

    Raises:
        OptionError: if every parameter is frozen.
    """
    groups = []
    for part, factor in (("backbone.", backbone_factor), ("", 1.0)):
        own = [
            parameter
            for name, parameter in network.named_parameters()
            if parameter.requires_grad and name.startswith("backbone.") == (part == "backbone.")
        ]
        for decays in (True, False):
            chosen = [parameter for parameter in own if (parameter.ndim > 1) == decays]
            decay = weight_decay if decays else 0.0
            if chosen:
                groups.append({"params": chosen, "lr": factor * lr, "weight_decay": decay})
    if not groups:
        raise OptionError("every parameter of the network is frozen: unfreeze some")
    return groups


def freeze_backbone(network: SegmentationNetwork, *, frozen: bool = True) -> None:
    """Take the backbone's parameters out of training, or put them back."""
    network.backbone.requires_grad_(not frozen)


def is_frozen(network: SegmentationNetwork) -> bool:
    """Say whether the whole backbone is frozen."""
    return not any(parameter.requires_grad for parameter in network.backbone.parameters())


def keeps_statistics(*, pretrained: bool, chips_at_once: int) -> bool:
    """Say whether the backbone's batch norms keep the statistics they came with."""
    return pretrained and chips_at_once < SMALL_BATCH


def set_training_mode(network: SegmentationNetwork, *, fixed_statistics: bool, chips_at_once: int) -> None:
    """Put a network into training mode, the backbone's batch norms into evaluation mode if they keep their statistics.

    So are those of image pooling where few chips go through the network at once: with the statistics that they begin
    with, a mean of 0 and a variance of 1, they do not normalise, but scale and shift. A frozen backbone is in
    evaluation mode altogether. Statistics that are learned are so with `LEAST_MOMENTUM` or more.
    """
    network.train()
    for norm in _batch_norms(network):
        if norm.momentum is not None:
            norm.momentum = max(norm.momentum, LEAST_MOMENTUM)
    if is_frozen(network):
        network.backbone.eval()
    elif fixed_statistics:
        for norm in _batch_norms(network.backbone):
            norm.eval()
    if chips_at_once < SMALL_BATCH:
        for module in network.modules():
            if isinstance(module, ImagePooling):
                module.norm.eval()


def _batch_norms(module: nn.Module) -> Iterator[BatchNorm]:
    return (child for child in module.modules() if isinstance(child, BATCH_NORMS))
