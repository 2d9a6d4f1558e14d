"""Backbones: classification networks as dense feature extractors at a chosen output stride.

State-dict keys are torchvision's own, or timm's for a network that torchvision lacks, so a classifier's weights load
unchanged.
"""

import torch
from torch import nn

from geodeeplab.errors import ModelError
from geodeeplab.models.backbones.densenet import DENSENETS, build_densenet
from geodeeplab.models.backbones.dilation import DilatedPool, Pools, dilate
from geodeeplab.models.backbones.efficientnet import EFFICIENTNETS, EfficientNet
from geodeeplab.models.backbones.extractor import FeatureExtractor
from geodeeplab.models.backbones.mobilenet import INVERTED, build_inverted
from geodeeplab.models.backbones.resnet import RESNETS, build_resnet
from geodeeplab.models.backbones.same import first_centre
from geodeeplab.models.backbones.timm_models import PREFIX, TimmBackbone
from geodeeplab.models.backbones.vgg import VGGS, UnpaddedVGG, build_fcn_vgg, build_vgg

OUTPUT_STRIDES = (8, 16, 32)
BACKBONES = (*VGGS, *DENSENETS, *RESNETS, *INVERTED, *EFFICIENTNETS)
"""Names of our own backbones; `timm:<name>` is any other of timm's."""
Backbone = FeatureExtractor | TimmBackbone

__all__ = [
    "BACKBONES",
    "OUTPUT_STRIDES",
    "Backbone",
    "DilatedPool",
    "EfficientNet",
    "FeatureExtractor",
    "TimmBackbone",
    "UnpaddedVGG",
    "build_backbone",
    "build_fcn_vgg",
    "build_vgg",
    "check_multi_grid",
    "dilate",
    "first_centre",
    "replace_first_convolution",
]


def build_backbone(
    name: str,
    *,
    in_channels: int = 3,
    output_stride: int = 16,
    multi_grid: tuple[int, ...] = (1, 1, 1),
    pools: Pools = "exact",
) -> Backbone:
    """Build an untrained backbone.

    Args:
        name: a name of `BACKBONES`, or `timm:<name>`.
        in_channels: bands of the images, any number from 1.
        output_stride: input pixels per cell of the deepest level: 8, 16 or 32.
        multi_grid: factors on the dilation of the last stage's blocks (DeepLabV3, section 3.2.1); ResNets only.
        pools: `undilated` gives a VGG the pools of DeepLabV1 and V2; other backbones have none to change.

    Raises:
        ModelError: for an unknown name, a number out of range, or a network that cannot be dilated.
    """
    if output_stride not in OUTPUT_STRIDES:
        raise ModelError(f"output stride is 8, 16 or 32, not {output_stride}: choose one of these")
    check_multi_grid(name, multi_grid)
    backbone = _build(name, output_stride=output_stride, multi_grid=multi_grid, pools=pools)
    replace_first_convolution(backbone, in_channels)
    return backbone


def check_multi_grid(name: str, multi_grid: tuple[int, ...]) -> None:
    """Refuse multi-grid for a backbone that has none.

    Raises:
        ModelError: unless all factors are 1 or the backbone is a ResNet.
    """
    if set(multi_grid) != {1} and name not in RESNETS:
        raise ModelError(f"multi_grid {multi_grid} is for ResNets: leave it out for {name}")


def _build(name: str, *, output_stride: int, multi_grid: tuple[int, ...], pools: Pools) -> Backbone:
    if name in VGGS:
        return build_vgg(name, output_stride=output_stride, pools=pools)
    if name in RESNETS:
        return build_resnet(name, output_stride=output_stride, multi_grid=multi_grid)
    if name in DENSENETS:
        return build_densenet(name, output_stride=output_stride)
    if name in INVERTED:
        return build_inverted(name, output_stride=output_stride)
    if name in EFFICIENTNETS:
        return EfficientNet(name, output_stride=output_stride)
    if name.startswith(PREFIX):
        return TimmBackbone(name.removeprefix(PREFIX), output_stride=output_stride)
    raise ModelError(f"no backbone is called {name!r}: choose one of {', '.join(BACKBONES)}, or {PREFIX}<name>")


def replace_first_convolution(backbone: nn.Module, in_channels: int) -> None:
    """Give the first convolution `in_channels` inputs, freshly initialised (He, fan-out) where the number changes.

    Raises:
        ModelError: for no band at all.
    """
    if in_channels < 1:
        raise ModelError(f"a backbone reads at least one band, not {in_channels}")
    conv = next(module for module in backbone.modules() if isinstance(module, nn.Conv2d))
    if conv.in_channels == in_channels:
        return
    conv.in_channels = in_channels
    conv.weight = nn.Parameter(torch.empty(conv.out_channels, in_channels, *conv.kernel_size))
    nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
