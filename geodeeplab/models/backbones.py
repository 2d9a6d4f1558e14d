"""Backbones: torchvision's classification networks as dense feature extractors at a chosen output stride.

State-dict keys are torchvision's own, so a torchvision classifier's weights load unchanged.
"""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn
from torchvision.models import mobilenetv3, resnet

from geodeeplab.errors import ModelError

OUTPUT_STRIDES = (8, 16, 32)


class FeatureExtractor(nn.ModuleDict):
    """Run named layers in order and keep the outputs of two of them.

    Attributes:
        fine_channels: channels of the stride-4 map that PointRend samples.
        out_channels: channels of the map that the segmentation head reads.
    """

    def __init__(self, layers: Mapping[str, nn.Module], *, fine: str, channels: tuple[int, int]) -> None:
        """Take the layers in their order; `fine` names the stride-4 one, the last layer gives the output."""
        super().__init__(layers)
        self.fine = fine
        self.fine_channels, self.out_channels = channels

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Give the fine map (N, F, ⌈H/4⌉, ⌈W/4⌉) and the output map (N, D, ⌈H/os⌉, ⌈W/os⌉) of images (N, C, H, W)."""
        fine = x
        for name, layer in self.items():
            x = layer(x)
            if name == self.fine:
                fine = x
        return fine, x


def build_backbone(
    name: str, *, in_channels: int = 3, output_stride: int = 16, multi_grid: tuple[int, ...] = (1, 1, 1)
) -> FeatureExtractor:
    """Build an untrained backbone.

    Args:
        name: a key of `BACKBONES`.
        in_channels: bands of the images, any number from 1.
        output_stride: input pixels per output pixel: 8, 16 or 32.
        multi_grid: factors on the dilation of the last stage's blocks (DeepLabV3, section 3.2.1); ResNets only.

    Raises:
        ModelError: for an unknown name, or a number out of range.
    """
    if name not in BACKBONES:
        raise ModelError(f"no backbone is called {name!r}: choose one of {', '.join(BACKBONES)}")
    if output_stride not in OUTPUT_STRIDES:
        raise ModelError(f"output stride is 8, 16 or 32, not {output_stride}: choose one of these")
    if in_channels < 1:
        raise ModelError(f"a backbone reads at least one band, not {in_channels}")
    backbone = BACKBONES[name](output_stride, multi_grid)
    if in_channels != 3:
        _replace_first_convolution(backbone, in_channels)
    return backbone


def dilate(layers: nn.Module, output_stride: int, *, dilate_strided: bool = False) -> None:
    """Trade strides for dilation, in place, until the layers' output stride is `output_stride`.

    The rule (DeepLabV3, section 3.1): when a stride s is dropped, every *later* convolution is dilated by s more, while
    the convolution that lost its stride keeps the dilation it had. Then `dense[..., ::k, ::k] == strided` holds.
    A strided 1 × 1 convolution is a shortcut beside a strided one and follows it.

    Args:
        layers: a network whose `modules()` come in the order of execution.
        output_stride: the stride to stop at.
        dilate_strided: dilate the convolution that loses its stride too, as torchvision's MobileNetV3 does.
    """
    stride, dilation, dropped = 1, 1, False
    for module in layers.modules():
        if isinstance(module, nn.MaxPool2d):
            stride *= module.stride if isinstance(module.stride, int) else module.stride[0]
        if not isinstance(module, nn.Conv2d):
            continue
        before, step = dilation, module.stride[0]
        if step > 1 and module.kernel_size == (1, 1):
            module.stride = (1, 1) if dropped else module.stride
        elif step > 1:
            dropped = stride * step > output_stride
            stride, dilation = (stride, dilation * step) if dropped else (stride * step, dilation)
            module.stride = (1, 1) if dropped else module.stride
        _set_dilation(module, dilation if dilate_strided else before)


def _set_dilation(conv: nn.Conv2d, dilation: int) -> None:
    """Dilate one convolution and pad it so that its output keeps the input's size."""
    height, width = conv.kernel_size
    conv.dilation = (dilation, dilation)
    conv.padding = (dilation * (height // 2), dilation * (width // 2))


def _resnet(build: Callable[..., resnet.ResNet]) -> Callable[[int, tuple[int, ...]], FeatureExtractor]:
    def backbone(output_stride: int, multi_grid: tuple[int, ...]) -> FeatureExtractor:
        net = build(weights=None)
        layers = {name: child for name, child in net.named_children() if name not in ("avgpool", "fc")}
        expansion = net.fc.in_features // 512  # 1 for basic blocks, 4 for bottlenecks
        channels = 64 * expansion, 512 * expansion
        extractor = FeatureExtractor(layers, fine="layer1", channels=channels)
        dilate(extractor, output_stride)
        _apply_multi_grid(net.layer4, multi_grid)
        return extractor

    return backbone


def _mobilenet_v3_large(output_stride: int, multi_grid: tuple[int, ...]) -> FeatureExtractor:
    if set(multi_grid) != {1}:
        raise ModelError(f"multi_grid {multi_grid} is for ResNets: leave it out for mobilenet_v3_large")
    layers = dict(mobilenetv3.mobilenet_v3_large(weights=None).features.named_children())
    extractor = FeatureExtractor(layers, fine="3", channels=(24, 960))
    dilate(extractor, output_stride, dilate_strided=True)
    return extractor


def _apply_multi_grid(stage: nn.Sequential, multi_grid: tuple[int, ...]) -> None:
    """Multiply the dilation of each block's 3 × 3 convolutions by that block's factor."""
    if set(multi_grid) == {1}:
        return
    if len(multi_grid) != len(stage):
        raise ModelError(f"multi_grid gives one factor a block: the last stage has {len(stage)}, got {multi_grid}")
    for block, factor in zip(stage, multi_grid, strict=True):
        for conv in block.modules():
            if isinstance(conv, nn.Conv2d) and conv.kernel_size == (3, 3):
                _set_dilation(conv, conv.dilation[0] * factor)


def _replace_first_convolution(backbone: nn.Module, in_channels: int) -> None:
    """Give the first convolution `in_channels` inputs, freshly initialised (He, fan-out, as torchvision does)."""
    conv = next(module for module in backbone.modules() if isinstance(module, nn.Conv2d))
    conv.in_channels = in_channels
    conv.weight = nn.Parameter(torch.empty(conv.out_channels, in_channels, *conv.kernel_size))
    nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")


BACKBONES: dict[str, Callable[[int, tuple[int, ...]], FeatureExtractor]] = {
    "resnet18": _resnet(resnet.resnet18),
    "resnet34": _resnet(resnet.resnet34),
    "resnet50": _resnet(resnet.resnet50),
    "resnet101": _resnet(resnet.resnet101),
    "mobilenet_v3_large": _mobilenet_v3_large,
}
