"""One builder that holds the published numbers."""

from collections.abc import Sequence

from geodeeplab.errors import ModelError
from geodeeplab.models.backbones import build_backbone
from geodeeplab.models.deeplabv3 import DeepLabV3Head, SegmentationNetwork
from geodeeplab.models.pointrend import PointHead

ARCHITECTURES = ("deeplabv3",)
MAX_CLASSES = 255


def build_model(
    *,
    arch: str = "deeplabv3",
    backbone: str = "resnet50",
    num_classes: int,
    in_channels: int = 3,
    output_stride: int = 16,
    pointrend: bool = False,
    atrous_rates: Sequence[int] | None = None,
    multi_grid: Sequence[int] = (1, 1, 1),
    aspp_channels: int = 256,
    aspp_dropout: float = 0.5,
    extra_conv: bool = True,
    point_channels: int = 256,
) -> SegmentationNetwork:
    """Build an untrained network that maps images (N, C, H, W) to logits (N, K, H, W).

    The defaults are torchvision's; the paper's variants are arguments: `multi_grid=(1, 2, 4)`, `extra_conv=False`,
    `aspp_dropout=0.1` (the authors' code). The output stride changes no weight: a model trained at 16 runs at 8.

    Args:
        arch: a name of `ARCHITECTURES`.
        backbone: a name of `geodeeplab.models.BACKBONES`.
        num_classes: classes, from 2 (with background as one of them, if there is a background).
        in_channels: bands of the images.
        output_stride: input pixels per feature pixel, 8 or 16 (32 keeps the backbone's own strides).
        pointrend: refine with PointRend instead of bilinear upsampling.
        atrous_rates: ASPP's rates; by default 6, 12, 18 at output stride 16, doubled at 8 (torchvision's MobileNetV3
            keeps 12, 24, 36 at 16).
        multi_grid: factors on the dilation of a ResNet's last three blocks.
        aspp_channels: width of ASPP and of what follows it.
        aspp_dropout: dropout after ASPP's projection.
        extra_conv: torchvision's 3 × 3 convolution between ASPP and the classifier.
        point_channels: width of PointRend's MLP.

    Raises:
        ModelError: for an unknown name or a number out of range.
    """
    if arch not in ARCHITECTURES:
        raise ModelError(f"no architecture is called {arch!r}: choose one of {', '.join(ARCHITECTURES)}")
    if not 2 <= num_classes <= MAX_CLASSES:
        raise ModelError(f"a model has 2 to {MAX_CLASSES} classes, not {num_classes}")
    features = build_backbone(
        backbone, in_channels=in_channels, output_stride=output_stride, multi_grid=tuple(multi_grid)
    )
    rates = atrous_rates if atrous_rates is not None else [max(1, rate * 16 // output_stride) for rate in (6, 12, 18)]
    head = DeepLabV3Head(
        features.out_channels,
        num_classes,
        rates=rates,
        aspp_channels=aspp_channels,
        aspp_dropout=aspp_dropout,
        extra_conv=extra_conv,
    )
    point_head = PointHead(features.fine_channels, num_classes, hidden_channels=point_channels) if pointrend else None
    return SegmentationNetwork(features, head, point_head)
