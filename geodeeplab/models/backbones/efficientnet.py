"""EfficientNet (Tan and Le 2019, arXiv 1905.11946), and its form for small devices by the same authors, Lite.

Inverted residuals, padded as in TensorFlow; keys are those of timm's `tf_efficientnet_…`. EfficientNets have swish and
squeeze-and-excitation, which pools the whole map, so they are not exactly equal at different output strides; Lite0 has
ReLU6 in place of both and is.

Lite0's weights on ImageNet come with GeoDeepLab (see `geodeeplab/bundled/weights/README.md`); they expect
(x − `INPUT_MEAN`) / `INPUT_STD` of red, green and blue from 0 to 255.
"""

import math
from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

from geodeeplab.models.backbones.dilation import dilate
from geodeeplab.models.backbones.extractor import NATIVE_STRIDES, FeatureExtractor
from geodeeplab.models.backbones.same import SameConv2d, first_centre

INPUT_MEAN, INPUT_STD = 127.0, 128.0
"""Of every band, from 0 to 255, as the weights of Lite0 expect it."""
EPS = 1e-3
STEM_CHANNELS = 32
STAGES = (  # blocks, kernel, stride, expansion, channels
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
LEVEL_STAGES = (0, 1, 2, 4, 6)
"""The stages that end the strides 2, 4, 8, 16 and 32."""
SQUEEZE = 0.25
"""Channels that squeeze-and-excitation goes through, to those that a block reads."""
CHANNEL_STEP = 8


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One of the networks."""

    width: float = 1.0
    """Factor on the channels."""
    depth: float = 1.0
    """Factor on the blocks of a stage."""
    is_lite: bool = False
    """ReLU6 without squeeze-and-excitation."""
    level_stages: tuple[int, ...] = LEVEL_STAGES
    """The stages whose maps are kept: the first has stride 2, the others are the levels; what follows is left out."""
    strides: tuple[int, ...] = NATIVE_STRIDES
    """Of the levels."""
    centred: int | None = None
    """The stage whose strided convolution is padded alike on both sides, whatever the parity of the map; None: none."""


EFFICIENTNETS = {
    "efficientnet_lite0": Variant(is_lite=True),
    "efficientnet_b4": Variant(width=1.4, depth=1.8),
    "efficientnet_b4_csmask": Variant(
        width=1.4, depth=1.8, level_stages=(0, 1, 2, 3, 4), strides=(4, 8, 16, 16), centred=2
    ),  # of ukis-csmask: padded for images of 380 px, whose map before that stage has 95, and of use up to stride 16
}


class EfficientNet(FeatureExtractor):
    """An EfficientNet without its last 1 × 1 convolution.

    The centre of a level's cell is told by `first_centre`: for sides that are multiples of 32 it is the last pixel of
    the cell, (s − 1) / 2 pixels from the middle, as a convolution that is padded alike on both sides has it in the
    first pixel, (s − 1) / 2 to the other side.

    Attributes:
        fine_channels: channels of the map of stride 2 that comes before the levels.
    """

    def __init__(self, name: str, *, output_stride: int) -> None:
        """Take a name of `EFFICIENTNETS`, and the stride of the deepest level, if it is not finer of itself."""
        variant = EFFICIENTNETS[name]
        stem = STEM_CHANNELS if variant.is_lite else _scaled(STEM_CHANNELS, variant.width)
        widths = [_scaled(stage[-1], variant.width) for stage in STAGES]
        stages, channels = [], stem
        for index, (number, kernel, stride, expansion, _) in enumerate(STAGES[: variant.level_stages[-1] + 1]):
            blocks: list[nn.Module] = []
            for i in range(math.ceil(number * variant.depth)):
                kind = _InvertedResidual if expansion > 1 else _SeparableBlock
                block = kind(
                    channels,
                    widths[index],
                    kernel=kernel,
                    stride=stride if i == 0 else 1,
                    is_lite=variant.is_lite,
                    is_centred=index == variant.centred and i == 0,
                )
                blocks.append(block)
                channels = widths[index]
            stages.append(nn.Sequential(*blocks))
        super().__init__(
            {
                "conv_stem": SameConv2d(3, stem, 3, stride=2),
                "bn1": nn.BatchNorm2d(stem, eps=EPS),
                "blocks": nn.Sequential(*stages),
            },
            levels=[f"blocks.{stage}" for stage in variant.level_stages[1:]],
            channels=[widths[stage] for stage in variant.level_stages[1:]],
            strides=[min(stride, output_stride) for stride in variant.strides],
        )
        self.fine_channels = widths[variant.level_stages[0]]
        self._is_lite = variant.is_lite
        steps = [stage[2] for stage in STAGES[: (variant.centred or 0) + 1]]
        self._centred_stride = None if variant.centred is None else 2 * math.prod(steps)
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
        dilate(self, output_stride)

    def forward(self, x: Tensor) -> list[Tensor]:
        """Give the levels of images (N, C, H, W), as `FeatureExtractor` does."""
        return self.forward_fine(x)[1:]

    def forward_fine(self, x: Tensor) -> list[Tensor]:
        """Give the map of stride 2, (N, `fine_channels`, ⌈H/2⌉, ⌈W/2⌉), and the levels of images (N, C, H, W)."""
        x = _bend(self["bn1"](self["conv_stem"](x)), is_lite=self._is_lite)  # (N, stem, ⌈H/2⌉, ⌈W/2⌉)
        maps = [x := stage(x) for stage in self["blocks"].children()]
        return [maps[0], *(maps[int(level.removeprefix("blocks."))] for level in self.levels)]

    def first_centre(self, size: int, stride: int) -> int:
        """Give the pixel, of `size` along an axis, in the centre of the first cell of a map of `stride`.

        Law: that of `same.first_centre`, unless a convolution on the way is padded alike on both sides.
        """
        centred = self._centred_stride
        if centred is None or stride < centred:
            return first_centre(size, stride)
        cells = -(-size // centred)  # of the map that it gives; its first has its centre in the first that it reads
        return first_centre(size, centred // 2) + centred * first_centre(cells, stride // centred)


class _SeparableBlock(nn.Module):
    """A depthwise convolution and a linear 1 × 1 convolution; a block that keeps its channels adds its input."""

    def __init__(
        self, in_channels: int, out_channels: int, *, kernel: int, stride: int, is_lite: bool, is_centred: bool
    ) -> None:
        super().__init__()
        self.is_lite, self.is_residual = is_lite, stride == 1 and in_channels == out_channels
        self.conv_dw = _depthwise(in_channels, kernel, stride=stride, is_centred=is_centred)
        self.bn1 = nn.BatchNorm2d(in_channels, eps=EPS)
        self.se = nn.Identity() if is_lite else _SqueezeExcite(in_channels, _squeezed(in_channels))
        self.conv_pw = nn.Conv2d(in_channels, out_channels, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(out_channels, eps=EPS)

    def forward(self, x: Tensor) -> Tensor:
        """Give (N, O, h, w) of a map (N, I, H, W)."""
        y: Tensor = self.se(_bend(self.bn1(self.conv_dw(x)), is_lite=self.is_lite))
        y = self.bn2(self.conv_pw(y))  # (N, O, h, w)
        return x + y if self.is_residual else y


class _InvertedResidual(nn.Module):
    """A 1 × 1 convolution to six times the channels, a depthwise one, and a linear 1 × 1 convolution back.

    Blocks that change neither size nor channels add their input.
    """

    def __init__(
        self, in_channels: int, out_channels: int, *, kernel: int, stride: int, is_lite: bool, is_centred: bool
    ) -> None:
        super().__init__()
        wide = 6 * in_channels
        self.is_lite, self.is_residual = is_lite, stride == 1 and in_channels == out_channels
        self.conv_pw = nn.Conv2d(in_channels, wide, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(wide, eps=EPS)
        self.conv_dw = _depthwise(wide, kernel, stride=stride, is_centred=is_centred)
        self.bn2 = nn.BatchNorm2d(wide, eps=EPS)
        self.se = nn.Identity() if is_lite else _SqueezeExcite(wide, _squeezed(in_channels))
        self.conv_pwl = nn.Conv2d(wide, out_channels, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(out_channels, eps=EPS)

    def forward(self, x: Tensor) -> Tensor:
        """Give (N, O, h, w) of a map (N, I, H, W)."""
        y: Tensor = _bend(self.bn1(self.conv_pw(x)), is_lite=self.is_lite)  # (N, 6·I, H, W)
        y = self.se(_bend(self.bn2(self.conv_dw(y)), is_lite=self.is_lite))  # (N, 6·I, h, w)
        y = self.bn3(self.conv_pwl(y))  # (N, O, h, w)
        return x + y if self.is_residual else y


class _SqueezeExcite(nn.Module):
    """Weigh channels by what the whole map holds of them (Hu et al. 2018, arXiv 1709.01507)."""

    def __init__(self, channels: int, squeezed: int) -> None:
        super().__init__()
        self.conv_reduce = nn.Conv2d(channels, squeezed, 1)
        self.conv_expand = nn.Conv2d(squeezed, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Give (N, C, H, W) of a map (N, C, H, W)."""
        mean = x.mean((2, 3), keepdim=True)  # (N, C, 1, 1)
        weight: Tensor = self.conv_expand(F.silu(self.conv_reduce(mean))).sigmoid()  # (N, C, 1, 1)
        return x * weight


def _bend(x: Tensor, *, is_lite: bool) -> Tensor:
    """Apply the activation, in place."""
    return F.relu6(x, inplace=True) if is_lite else F.silu(x, inplace=True)


def _scaled(channels: int, factor: float) -> int:
    """Give channels times a factor, rounded to a multiple of 8 that is no more than a tenth below it."""
    wanted = channels * factor
    rounded = max(CHANNEL_STEP, int(wanted + CHANNEL_STEP / 2) // CHANNEL_STEP * CHANNEL_STEP)
    return rounded if rounded >= 0.9 * wanted else rounded + CHANNEL_STEP


def _squeezed(in_channels: int) -> int:
    return max(1, round(in_channels * SQUEEZE))


def _depthwise(channels: int, kernel: int, *, stride: int, is_centred: bool) -> nn.Conv2d:
    """Give a depthwise convolution with TensorFlow's padding, or one that is padded alike on both sides."""
    if not is_centred:
        return SameConv2d(channels, channels, kernel, stride=stride, groups=channels)
    return nn.Conv2d(channels, channels, kernel, stride=stride, padding=kernel // 2, groups=channels, bias=False)
