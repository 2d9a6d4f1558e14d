"""Weights in the 16 bits that they are multiplied in, made once a run."""

import copy

import torch
from torch import nn

from geodeeplab.models import SegmentationNetwork
from geodeeplab.models.backbones.same import SameConv2d

ROUNDED_BY_AUTOCAST = (nn.Conv2d, SameConv2d, nn.ConvTranspose2d, nn.Linear)
"""Modules whose weights autocast rounds, and nothing else reads. Types that are made of these may do more with them."""


def rounded_once(network: nn.Module, dtype: torch.dtype | None) -> nn.Module:
    """Give a copy of a network whose convolutions and linear layers have weights of a 16-bit type.

    Under autocast torch rounds all weights anew for each batch: of ResNet-50 those are 160 MB. Law: under autocast to
    this type, the copy's logits are the network's to the bit. Networks that may compute otherwise, or in which some
    parts leave autocast, such as adapted ones and those that users bring, are given back as they are.

    Args:
        network: not changed; what is saved of it keeps all its bits.
        dtype: that of autocast; None for float32, which needs no copy.
    """
    if dtype is None or type(network) is not SegmentationNetwork:
        return network
    rounded = copy.deepcopy(network)
    for module in rounded.modules():
        if type(module) in ROUNDED_BY_AUTOCAST:
            module.to(dtype)
    return rounded
