"""VGG (Simonyan and Zisserman 2015, arXiv 1409.1556) in the three forms that segmentation networks gave it.

All have torchvision's keys. Levels are the outputs of pool2 to pool5, or of what stands in their places.
"""

import torch
from torch import Tensor, nn

from geodeeplab.errors import ModelError
from geodeeplab.models.backbones.dilation import Pools, dilate, round_up_pools
from geodeeplab.models.backbones.extractor import FeatureExtractor, capped_strides
from geodeeplab.models.backbones.torchvision_models import build_classifier

VGGS = ("vgg16", "vgg16_bn", "vgg19", "vgg19_bn")
CHANNELS = (128, 256, 512, 512)
FCN_PADDING = 100
FC6_MARGIN = 8 * 4 * 3
"""Image pixels that DilatedNet's unpadded fc6 (7 × 7, dilation 4, stride 8) takes off each side."""


def build_vgg(name: str, *, output_stride: int, pools: Pools = "exact") -> FeatureExtractor:
    """Build a VGG whose convolutions keep the size.

    With `pools="undilated"` they are DeepLabV1's: 3 × 3, rounding up, and those that lose their stride not dilated; an
    image of 32k − 31 pixels a side then gives 4k − 3 at output stride 8.
    """
    layers, names = _layers(name)
    if pools == "undilated":
        layers |= {pool: nn.MaxPool2d(3, stride=2, padding=1, ceil_mode=True) for pool in names}
    backbone = FeatureExtractor(layers, levels=names[1:], channels=CHANNELS, strides=capped_strides(output_stride))
    round_up_pools(backbone)
    dilate(backbone, output_stride, pools=pools)
    return backbone


def build_fcn_vgg(name: str) -> FeatureExtractor:
    """Build FCN's VGG: native stride 32, the image padded by 100 in the first convolution so that any size fits.

    That convolution pads by 1 of its own accord, so the maps begin at pixel −99.
    """
    layers, names = _layers(name)
    first = next(layer for layer in layers.values() if isinstance(layer, nn.Conv2d))
    first.padding = (FCN_PADDING, FCN_PADDING)
    for pool in names:
        layers[pool] = nn.MaxPool2d(2, stride=2, ceil_mode=True)
    origin = 1 - FCN_PADDING
    return FeatureExtractor(
        layers, levels=names[1:], channels=CHANNELS, strides=capped_strides(32), origins=(origin,) * 4
    )


class UnpaddedVGG(FeatureExtractor):
    """DilatedNet's VGG: pool4 and pool5 removed, conv5 dilated by 2, no padding but the image's own reflection."""

    def __init__(self, name: str) -> None:
        """Take the name of a VGG."""
        layers, pools = _layers(name)
        offset, stride, dilation, origins = 0, 1, 1, []
        for child, layer in layers.items():
            if isinstance(layer, nn.Conv2d):
                layer.padding, layer.dilation = (0, 0), (dilation, dilation)
                offset += dilation * stride
            elif child in pools[:3]:
                stride *= 2
            elif child in pools:
                layers[child] = nn.Identity()
                dilation *= 2
            if child in pools[1:]:
                origins.append(offset)
        self.margin = offset + FC6_MARGIN
        super().__init__(
            layers,
            levels=pools[1:],
            channels=CHANNELS,
            strides=(4, 8, 8, 8),
            origins=[value - self.margin for value in origins],
        )

    def forward(self, x: Tensor) -> list[Tensor]:
        """Give the levels of images (N, C, H, W), enough of them for fc6 to give ⌈H/8⌉ × ⌈W/8⌉ cells."""
        for dim in (-2, -1):
            size = x.shape[dim]
            index = _reflection(size, self.margin, self.margin + -size % 8, device=x.device)
            x = x.index_select(dim, index)  # (N, C, H + 2·margin, W + 2·margin), rounded up
        return super().forward(x)


def _reflection(length: int, before: int, after: int, *, device: torch.device) -> Tensor:
    """List the indices that reflect an axis at its first and last pixel, as often as needed."""
    period = max(2 * (length - 1), 1)
    position = torch.arange(-before, length + after, device=device).abs() % period
    return torch.minimum(position, period - position)


def _layers(name: str) -> tuple[dict[str, nn.Module], list[str]]:
    """Give torchvision's layers by name, and the names of the five pools."""
    if name not in VGGS:
        raise ModelError(f"{name!r} is no VGG: choose one of {', '.join(VGGS)}")
    with torch.device("meta"):  # the classifier, nine tenths of the weights, is never made
        features = build_classifier(name, init_weights=False).features
    features.to_empty(device=torch.get_default_device())
    for layer in features:
        if isinstance(layer, nn.Conv2d) and layer.bias is not None:
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
            nn.init.zeros_(layer.bias)
        elif isinstance(layer, nn.BatchNorm2d):
            layer.reset_parameters()
    layers = dict(features.named_children())
    return layers, [child for child, layer in layers.items() if isinstance(layer, nn.MaxPool2d)]
