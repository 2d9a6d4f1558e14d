"""One builder of networks, with the published numbers as defaults."""

import inspect
import os
from collections.abc import Sequence
from typing import Any

from geodeeplab.errors import ModelError
from geodeeplab.models.backbones import (
    Backbone,
    UnpaddedVGG,
    build_backbone,
    build_fcn_vgg,
    check_multi_grid,
    replace_first_convolution,
)
from geodeeplab.models.backbones.vgg import VGGS
from geodeeplab.models.heads.options import HEADS, accepted_options
from geodeeplab.models.network import SegmentationNetwork
from geodeeplab.models.pointrend import PointHead

MAX_CLASSES = 255

ARCHITECTURES = tuple(HEADS)
OUTPUT_STRIDE = dict.fromkeys(ARCHITECTURES, 8) | {
    "fcn32s": 32,
    "fcn16s": 32,
    "fcn8s": 32,
    "deeplabv3": 16,
    "deeplabv3plus": 16,
}
"""The backbone's published output stride."""
VGG_ONLY = ("fcn32s", "fcn16s", "fcn8s", "dilatednet")


def build_model(
    *,
    arch: str = "deeplabv3",
    backbone: str = "resnet50",
    num_classes: int,
    in_channels: int = 3,
    output_stride: int | None = None,
    pointrend: bool = False,
    keep_dilation: bool = True,
    fine_levels: Sequence[int] = (0,),
    multi_grid: Sequence[int] = (1, 1, 1),
    scales: Sequence[float] = (1.0,),
    atrous_rates: Sequence[int] | None = None,
    aspp_channels: int | None = None,
    aspp_dropout: float | None = None,
    extra_conv: bool | None = None,
    decoder_channels: int | None = None,
    separable: bool | None = None,
    fov_kernel: int | None = None,
    fc_channels: int | None = None,
    context: str | None = None,
    point_channels: int = 256,
    weights: str | os.PathLike[str] | None = None,
    bands: Sequence[str] | None = None,
) -> SegmentationNetwork:
    """Build a network that maps images (N, C, H, W) to logits (N, K, H, W).

    The defaults are torchvision's where it has the network (`fcn`, `deeplabv3`), but for DeepLabV3's output stride of
    16 in place of 8; else the paper's. The paper's variants of DeepLabV3 are arguments: `multi_grid=(1, 2, 4)`,
    `extra_conv=False`, `aspp_dropout=0.1` (the authors' code). The output stride changes no weight: a model trained at
    16 runs at 8. `build_published` gives the papers' own pairings by name.

    Args:
        arch: a name of `ARCHITECTURES`.
        backbone: a name of `geodeeplab.models.BACKBONES`, or `timm:<name>`.
        num_classes: classes, from 2 (with background as one of them, if there is a background).
        in_channels: bands of the images.
        output_stride: input pixels per feature pixel, 8 or 16 (32 keeps the backbone's own strides); by default 16 for
            DeepLabV3 and V3+, 32 for FCN-32s, 16s and 8s, 8 for the others.
        pointrend: refine with PointRend instead of bilinear upsampling.
        keep_dilation: with PointRend, False leaves the backbone at its native stride of 32 (faster, coarser, what
            arcgis.learn does unless told otherwise), and PointRend bridges the rest.
        fine_levels: the levels that PointRend reads, of 0 to 3 (native strides 4, 8, 16, 32).
        multi_grid: factors on the dilation of a ResNet's last three blocks.
        scales: sizes at which the image is seen, 1 first, fused by the maximum; DeepLabV2's are 1, 0.75, 0.5.
        atrous_rates: DeepLabs only. By default 12 (V1) and 6, 12, 18, 24 (V2) at output stride 8, and 6, 12, 18 (V3,
            V3+) at 16, scaled with the output stride (torchvision's MobileNetV3 has 12, 24, 36 at 16).
        aspp_channels: V3 and V3+: width of ASPP and of what follows it, 256.
        aspp_dropout: V3 and V3+: dropout after ASPP's projection, 0.5 and 0.1.
        extra_conv: V3: torchvision's 3 × 3 convolution between ASPP and the classifier, True.
        decoder_channels: V3+: width of the decoder, 256.
        separable: V3+: depthwise separable convolutions in ASPP and decoder, False.
        fov_kernel: V1: size of fc6, 3 (LargeFOV), 4 or 7.
        fc_channels: width of fc6 and fc7: 4096 for FCN-32s, 16s, 8s and DilatedNet, 1024 for V1; V2 has them on a VGG
            only, 1024.
        context: DilatedNet: context module, `basic` or `large`; without it, the front end alone.
        point_channels: width of PointRend's MLP.
        weights: pretrained weights to load: `DEFAULT`, the name of torchvision's, or a file (see `load_pretrained`).
        bands: names of the bands of the images, by which a pretrained first convolution is adapted.

    Raises:
        ModelError: for an unknown name, a number out of range, a pair that does not exist, or an option that the
            architecture does not have.
    """
    arguments = {name: value for name, value in locals().items() if name not in ("weights", "bands")}
    defaults = inspect.signature(build_model).parameters
    given = {name: _plain(value) for name, value in arguments.items() if value != defaults[name].default}
    _check(arch, backbone, num_classes=num_classes, scales=scales)
    stride = _output_stride(arch, output_stride, pointrend=pointrend, keep_dilation=keep_dilation)
    if arch == "deeplabv2" and fc_channels is None and backbone in VGGS:
        fc_channels = 1024
    options = {
        "atrous_rates": atrous_rates,
        "aspp_channels": aspp_channels,
        "aspp_dropout": aspp_dropout,
        "extra_conv": extra_conv,
        "decoder_channels": decoder_channels,
        "separable": separable,
        "fov_kernel": fov_kernel,
        "fc_channels": fc_channels,
        "context": context,
    }
    features = _build_backbone(
        arch, backbone, in_channels=in_channels, output_stride=stride, multi_grid=tuple(multi_grid)
    )
    head = HEADS[arch](features, num_classes, **accepted_options(arch, options))
    point_head = _point_head(features, num_classes, fine_levels, point_channels) if pointrend else None
    network = SegmentationNetwork(features, head, point_head, fine_levels=fine_levels, scales=scales)
    network.architecture = {"arch": arch, "backbone": backbone, "in_channels": in_channels} | given
    if weights is not None:
        from geodeeplab.models.weights.pretrained import load_pretrained

        load_pretrained(network, weights, bands=bands)
    return network


def _plain(value: Any) -> Any:  # noqa: ANN401 - an argument of any type
    """Give a sequence as the list that JSON makes of it."""
    return list(value) if isinstance(value, tuple | list) else value


def _check(arch: str, backbone: str, *, num_classes: int, scales: Sequence[float]) -> None:
    """Refuse what no network can be."""
    if arch not in HEADS:
        raise ModelError(f"no architecture is called {arch!r}: choose one of {', '.join(ARCHITECTURES)}")
    if not 2 <= num_classes <= MAX_CLASSES:
        raise ModelError(f"a model has 2 to {MAX_CLASSES} classes, not {num_classes}")
    if arch in VGG_ONLY and backbone not in VGGS:
        raise ModelError(
            f"{arch} is a network on VGG, whose layers fc6 and fc7 it turns into convolutions, not on {backbone}: "
            f"choose one of {', '.join(VGGS)}, or arch='fcn'"
        )
    if not scales or scales[0] != 1 or any(not 0 < scale <= 4 for scale in scales):
        raise ModelError(f"scales begin with 1 and lie above 0, up to 4, not {tuple(scales)}: such as 1, 0.75, 0.5")


def _output_stride(arch: str, output_stride: int | None, *, pointrend: bool, keep_dilation: bool) -> int:
    """Settle the backbone's output stride."""
    published = OUTPUT_STRIDE[arch]
    if arch in VGG_ONLY and output_stride not in (None, published):
        raise ModelError(f"{arch} has a backbone of output stride {published}, not {output_stride}: leave it out")
    if keep_dilation:
        return published if output_stride is None else output_stride
    if not pointrend:
        raise ModelError("keep_dilation=False leaves the detail to PointRend: set pointrend=True, or output_stride=32")
    if arch == "dilatednet" or output_stride not in (None, 32):
        raise ModelError(
            f"keep_dilation=False means output stride 32, which {arch} at {output_stride or published} contradicts: "
            "leave one of them out"
        )
    return 32


def _build_backbone(
    arch: str, name: str, *, in_channels: int, output_stride: int, multi_grid: tuple[int, ...]
) -> Backbone:
    """Build the backbone in the form that the architecture's paper gave it."""
    if arch in VGG_ONLY:
        check_multi_grid(name, multi_grid)
        padded = UnpaddedVGG(name) if arch == "dilatednet" else build_fcn_vgg(name)
        replace_first_convolution(padded, in_channels)
        return padded
    return build_backbone(
        name,
        in_channels=in_channels,
        output_stride=output_stride,
        multi_grid=multi_grid,
        pools="undilated" if arch in ("deeplabv1", "deeplabv2") else "exact",
    )


def _point_head(backbone: Backbone, num_classes: int, fine_levels: Sequence[int], channels: int) -> PointHead:
    """Build PointRend's head for the levels it reads."""
    if not fine_levels or len(set(fine_levels)) != len(fine_levels) or not set(fine_levels) <= {0, 1, 2, 3}:
        raise ModelError(f"fine_levels are distinct numbers of 0, 1, 2, 3, not {tuple(fine_levels)}")
    fine_channels = sum(backbone.channels[level] for level in fine_levels)
    return PointHead(fine_channels, num_classes, hidden_channels=channels)
