"""A network put together from its checked numbers: backbone, head, PointRend."""

from collections.abc import Sequence

from geodeeplab.errors import ModelError
from geodeeplab.models.architecture import ARCHITECTURES, Architecture
from geodeeplab.models.backbones import (
    Backbone,
    UnpaddedVGG,
    build_backbone,
    build_fcn_vgg,
    check_multi_grid,
    replace_first_convolution,
)
from geodeeplab.models.backbones.vgg import VGGS
from geodeeplab.models.heads.boundary import BoundaryHead
from geodeeplab.models.heads.options import HEADS, accepted_options
from geodeeplab.models.network import SegmentationNetwork
from geodeeplab.models.pointrend import IMAGE_LEVEL, PointHead

OUTPUT_STRIDE = dict.fromkeys(ARCHITECTURES, 8) | {
    "fcn32s": 32,
    "fcn16s": 32,
    "fcn8s": 32,
    "deeplabv3": 16,
    "deeplabv3plus": 16,
}
"""The backbone's published output stride."""
VGG_ONLY = ("fcn32s", "fcn16s", "fcn8s", "dilatednet")


def build_network(numbers: Architecture) -> SegmentationNetwork:
    """Build an untrained network that maps images (N, C, H, W) to logits (N, K, H, W), or one channel more.

    Raises:
        ModelError: for a backbone that is unknown, or numbers that do not go together.
    """
    arch, backbone = numbers.arch, numbers.backbone
    if arch in VGG_ONLY and backbone not in VGGS:
        raise ModelError(
            f"{arch} is a network on VGG, whose layers fc6 and fc7 it turns into convolutions, not on {backbone}: "
            f"choose one of {', '.join(VGGS)}, or `arch='fcn'`"
        )
    stride = _output_stride(numbers)
    options = numbers.head_options
    if arch == "deeplabv2" and numbers.fc_channels is None and backbone in VGGS:
        options["fc_channels"] = 1024
    features = _build_backbone(numbers, output_stride=stride)
    head = HEADS[arch](features, numbers.num_classes, **accepted_options(arch, options))
    point_head = _point_head(features, numbers) if numbers.pointrend else None
    boundary_head = BoundaryHead(features.channels, stride=features.strides[0]) if numbers.boundary else None
    network = SegmentationNetwork(
        features, head, point_head, boundary_head, fine_levels=numbers.fine_levels, scales=numbers.scales
    )
    network.architecture = numbers.to_mapping()
    return network


def _output_stride(numbers: Architecture) -> int:
    """Settle the backbone's output stride."""
    arch, output_stride = numbers.arch, numbers.output_stride
    published = OUTPUT_STRIDE[arch]
    if arch in VGG_ONLY and output_stride not in (None, published):
        raise ModelError(f"{arch} has a backbone of output stride {published}, not {output_stride}: leave it out")
    if numbers.keep_dilation:
        return published if output_stride is None else output_stride
    if not numbers.pointrend:
        raise ModelError(
            "`keep_dilation=False` leaves the detail to PointRend: set `pointrend=True`, or `output_stride=32`"
        )
    if arch == "dilatednet" or output_stride not in (None, 32):
        raise ModelError(
            f"`keep_dilation=False` means output stride 32, which {arch} at {output_stride or published} contradicts: "
            "leave one of them out"
        )
    return 32


def _build_backbone(numbers: Architecture, *, output_stride: int) -> Backbone:
    """Build the backbone in the form that the architecture's paper gave it."""
    arch, name, multi_grid = numbers.arch, numbers.backbone, tuple(numbers.multi_grid)
    if arch in VGG_ONLY:
        check_multi_grid(name, multi_grid)
        padded = UnpaddedVGG(name) if arch == "dilatednet" else build_fcn_vgg(name)
        replace_first_convolution(padded, numbers.in_channels)
        return padded
    return build_backbone(
        name,
        in_channels=numbers.in_channels,
        output_stride=output_stride,
        multi_grid=multi_grid,
        pools="undilated" if arch in ("deeplabv1", "deeplabv2") else "exact",
    )


def _point_head(backbone: Backbone, numbers: Architecture) -> PointHead:
    """Build PointRend's head for the levels it reads."""
    levels: Sequence[int] = numbers.fine_levels
    if not levels or len(set(levels)) != len(levels) or not set(levels) <= {IMAGE_LEVEL, 0, 1, 2, 3}:
        raise ModelError(
            f"fine_levels are distinct numbers of 0, 1, 2, 3, and {IMAGE_LEVEL} for the image, not {tuple(levels)}"
        )
    channels = {IMAGE_LEVEL: numbers.in_channels, **dict(enumerate(backbone.channels))}
    return PointHead(
        sum(channels[level] for level in levels),
        numbers.num_classes,
        hidden_channels=numbers.point_channels,
        pixels_per_point=numbers.pixels_per_point,
        at_centres=IMAGE_LEVEL in levels,
    )
