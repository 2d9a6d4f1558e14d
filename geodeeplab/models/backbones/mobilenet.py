"""MobileNetV2 (Sandler et al. 2018, arXiv 1801.04381), MobileNetV3 (1905.02244) and EfficientNetV2 (2104.00298)."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import nn
from torchvision.models import efficientnet, mobilenetv2, mobilenetv3

from geodeeplab.models.backbones.dilation import dilate
from geodeeplab.models.backbones.extractor import FeatureExtractor, capped_strides


@dataclass(frozen=True, kw_only=True)
class Inverted:
    """A network of inverted residuals, and where its levels lie."""

    build: Callable[..., nn.Module]
    """torchvision's builder."""
    levels: tuple[str, ...]
    """Names of the levels within `features`; what follows the last is left out."""
    channels: tuple[int, ...]
    """Channels of the levels."""
    dilate_strided: bool = False
    """Whether a convolution that loses its stride is dilated too, as in torchvision's DeepLabV3 on MobileNetV3."""


INVERTED = {
    "mobilenet_v2": Inverted(
        build=mobilenetv2.mobilenet_v2, levels=("3", "6", "13", "17"), channels=(24, 32, 96, 320)
    ),  # without the last 1 × 1 convolution to 1280 channels, as the authors' DeepLabV3
    "mobilenet_v3_large": Inverted(
        build=mobilenetv3.mobilenet_v3_large,
        levels=("3", "6", "12", "16"),
        channels=(24, 40, 112, 960),
        dilate_strided=True,
    ),
    "mobilenet_v3_small": Inverted(
        build=mobilenetv3.mobilenet_v3_small,
        levels=("1", "3", "8", "12"),
        channels=(16, 24, 48, 576),
        dilate_strided=True,
    ),
    "efficientnet_v2_s": Inverted(
        build=efficientnet.efficientnet_v2_s, levels=("2", "3", "5", "6"), channels=(48, 64, 160, 256)
    ),  # without the last 1 × 1 convolution to 1280 channels
}


def build_inverted(name: str, *, output_stride: int) -> FeatureExtractor:
    """Build a MobileNet or EfficientNet up to its deepest level.

    Squeeze-and-excitation pools the whole map, so those networks are not exactly equal at different output strides.
    """
    spec = INVERTED[name]
    features = spec.build(weights=None).get_submodule("features")
    layers = {child: layer for child, layer in features.named_children() if int(child) <= int(spec.levels[-1])}
    backbone = FeatureExtractor(
        layers, levels=spec.levels, channels=spec.channels, strides=capped_strides(output_stride)
    )
    dilate(backbone, output_stride, dilate_strided=spec.dilate_strided)
    return backbone
