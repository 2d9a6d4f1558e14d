"""One builder of networks, with the published numbers as defaults."""

import os
from collections.abc import Sequence

from geodeeplab.models.architecture import Architecture
from geodeeplab.models.assembly import build_network
from geodeeplab.models.network import SegmentationNetwork
from geodeeplab.models.weights.pretrained import load_pretrained


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
    pixels_per_point: int = 256,
    boundary: bool = False,
    weights: str | os.PathLike[str] | None = None,
    bands: Sequence[str] | None = None,
) -> SegmentationNetwork:
    """Build a network that maps images (N, C, H, W) to logits (N, K, H, W), with `boundary` (N, K + 1, H, W).

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
        fine_levels: the levels that PointRend reads, of 0 to 3 (native strides 4, 8, 16, 32); −1 is the image itself.
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
        pixels_per_point: pixels of the image for each point that PointRend computes, in training and in each step of
            inference. The default refines edges; with 1, and the image among the levels, every pixel is classified by
            its own values too, as maps need whose objects are pixels.
        boundary: give one logit more, after those of the classes: whether the pixel lies on the boundary of an object,
            so that objects that touch can be told apart. A head of its own reads it off the backbone's levels.
        weights: pretrained weights to load: `DEFAULT`, the name of torchvision's, or a file (see `load_pretrained`).
        bands: names of the bands of the images, by which a pretrained first convolution is adapted.

    Raises:
        ModelError: for an unknown name, a number out of range, a pair that does not exist, or an option that the
            architecture does not have.
    """
    network = build_network(
        Architecture(
            arch=arch,
            backbone=backbone,
            num_classes=num_classes,
            in_channels=in_channels,
            output_stride=output_stride,
            pointrend=pointrend,
            keep_dilation=keep_dilation,
            fine_levels=fine_levels,
            multi_grid=multi_grid,
            scales=scales,
            atrous_rates=atrous_rates,
            aspp_channels=aspp_channels,
            aspp_dropout=aspp_dropout,
            extra_conv=extra_conv,
            decoder_channels=decoder_channels,
            separable=separable,
            fov_kernel=fov_kernel,
            fc_channels=fc_channels,
            context=context,
            point_channels=point_channels,
            pixels_per_point=pixels_per_point,
            boundary=boundary,
        )
    )
    if weights is not None:
        load_pretrained(network, weights, bands=bands)
    return network
