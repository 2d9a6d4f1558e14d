"""MobileNetV2 (Sandler et al. 2018, arXiv 1801.04381), MobileNetV3 (1905.02244) and EfficientNetV2 (2104.00298)."""

from dataclasses import dataclass

from geodeeplab.models.backbones.dilation import dilate
from geodeeplab.models.backbones.extractor import FeatureExtractor, capped_strides
from geodeeplab.models.backbones.torchvision_models import build_classifier


@dataclass(frozen=True, kw_only=True)
class Inverted:
    """A network of inverted residuals, and where its levels lie."""

    levels: tuple[str, ...]
    """Names of the levels within `features`; what follows the last is left out."""
    channels: tuple[int, ...]
    """Channels of the levels."""
    dilate_strided: bool = False
    """Whether a convolution that loses its stride is dilated too, as in torchvision's DeepLabV3 on MobileNetV3."""


INVERTED = {
    "mobilenet_v2": Inverted(
        levels=("3", "6", "13", "17"), channels=(24, 32, 96, 320)
    ),  # without the last 1 × 1 convolution to 1280 channels, as the authors' DeepLabV3
    "mobilenet_v3_large": Inverted(
        levels=("3", "6", "12", "16"),
        channels=(24, 40, 112, 960),
        dilate_strided=True,
    ),
    "mobilenet_v3_small": Inverted(
        levels=("1", "3", "8", "12"),
        channels=(16, 24, 48, 576),
        dilate_strided=True,
    ),
    "efficientnet_v2_s": Inverted(
        levels=("2", "3", "5", "6"), channels=(48, 64, 160, 256)
    ),  # without the last 1 × 1 convolution to 1280 channels
}


def build_inverted(name: str, *, output_stride: int) -> FeatureExtractor:
    """Build a MobileNet or EfficientNet up to its deepest level.

    Squeeze-and-excitation pools the whole map, so those networks are not exactly equal at different output strides.
    """
    spec = INVERTED[name]
    features = build_classifier(name).get_submodule("features")
    layers = {child: layer for child, layer in features.named_children() if int(child) <= int(spec.levels[-1])}
    backbone = FeatureExtractor(
        layers, levels=spec.levels, channels=spec.channels, strides=capped_strides(output_stride)
    )
    dilate(backbone, output_stride, dilate_strided=spec.dilate_strided)
    return backbone
