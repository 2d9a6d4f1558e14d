"""EfficientNet-Lite0: EfficientNet (Tan and Le 2019, arXiv 1905.11946) for small devices, by the same authors.

Inverted residuals with ReLU6 and without squeeze-and-excitation, so that atrous features are exact; convolutions are
padded as in TensorFlow, and keys are those of timm's `tf_efficientnet_lite0`. Its weights on ImageNet come with
GeoDeepLab (see `geodeeplab/bundled/weights/README.md`); they expect (x − `INPUT_MEAN`) / `INPUT_STD` of red, green
and blue from 0 to 255.
"""

import torch.nn.functional as F
from torch import Tensor, nn

from geodeeplab.models.backbones.dilation import dilate
from geodeeplab.models.backbones.extractor import FeatureExtractor, capped_strides
from geodeeplab.models.backbones.same import SameConv2d

EFFICIENTNET_LITES = ("efficientnet_lite0",)
INPUT_MEAN, INPUT_STD = 127.0, 128.0
"""Of every band, from 0 to 255, as the weights expect it."""
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


class EfficientNetLite(FeatureExtractor):
    """EfficientNet-Lite0 without its last 1 × 1 convolution to 1280 channels.

    The centre of a level's cell is told by `first_centre`: for sides that are multiples of 32 it is the last pixel of
    the cell, (s − 1) / 2 pixels from the middle, as a convolution that is padded alike on both sides has it in the
    first pixel, (s − 1) / 2 to the other side.
    """

    fine_channels = STAGES[0][-1]
    """Channels of the map of stride 2 that comes before the levels."""

    def __init__(self, *, output_stride: int) -> None:
        """Take the stride of the deepest level."""
        stages, channels = [], STEM_CHANNELS
        for number, kernel, stride, expansion, width in STAGES:
            blocks: list[nn.Module] = []
            for i in range(number):
                kind = _InvertedResidual if expansion > 1 else _SeparableBlock
                blocks.append(kind(channels, width, kernel=kernel, stride=stride if i == 0 else 1))
                channels = width
            stages.append(nn.Sequential(*blocks))
        super().__init__(
            {
                "conv_stem": SameConv2d(3, STEM_CHANNELS, 3, stride=2),
                "bn1": nn.BatchNorm2d(STEM_CHANNELS, eps=EPS),
                "blocks": nn.Sequential(*stages),
            },
            levels=[f"blocks.{stage}" for stage in LEVEL_STAGES[1:]],
            channels=[STAGES[stage][-1] for stage in LEVEL_STAGES[1:]],
            strides=capped_strides(output_stride),
        )
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
        dilate(self, output_stride)

    def forward(self, x: Tensor) -> list[Tensor]:
        """Give the levels of images (N, C, H, W), as `FeatureExtractor` does."""
        return self.forward_fine(x)[1:]

    def forward_fine(self, x: Tensor) -> list[Tensor]:
        """Give the map of stride 2, (N, 16, ⌈H/2⌉, ⌈W/2⌉), and the levels of images (N, C, H, W)."""
        x = F.relu6(self["bn1"](self["conv_stem"](x)), inplace=True)  # (N, 32, ⌈H/2⌉, ⌈W/2⌉)
        maps = []
        for number, stage in enumerate(self["blocks"].children()):
            x = stage(x)
            if number in LEVEL_STAGES:
                maps.append(x)
        return maps


class _SeparableBlock(nn.Module):
    """A depthwise convolution and a linear 1 × 1 convolution."""

    def __init__(self, in_channels: int, out_channels: int, *, kernel: int, stride: int) -> None:
        super().__init__()
        self.conv_dw = SameConv2d(in_channels, in_channels, kernel, stride=stride, groups=in_channels)
        self.bn1 = nn.BatchNorm2d(in_channels, eps=EPS)
        self.conv_pw = nn.Conv2d(in_channels, out_channels, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(out_channels, eps=EPS)

    def forward(self, x: Tensor) -> Tensor:
        """Give (N, O, h, w) of a map (N, I, H, W)."""
        x = F.relu6(self.bn1(self.conv_dw(x)), inplace=True)
        y: Tensor = self.bn2(self.conv_pw(x))  # (N, O, h, w)
        return y


class _InvertedResidual(nn.Module):
    """A 1 × 1 convolution to six times the channels, a depthwise one, and a linear 1 × 1 convolution back.

    Blocks that change neither size nor channels add their input.
    """

    def __init__(self, in_channels: int, out_channels: int, *, kernel: int, stride: int) -> None:
        super().__init__()
        wide = 6 * in_channels
        self.is_residual = stride == 1 and in_channels == out_channels
        self.conv_pw = nn.Conv2d(in_channels, wide, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(wide, eps=EPS)
        self.conv_dw = SameConv2d(wide, wide, kernel, stride=stride, groups=wide)
        self.bn2 = nn.BatchNorm2d(wide, eps=EPS)
        self.conv_pwl = nn.Conv2d(wide, out_channels, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(out_channels, eps=EPS)

    def forward(self, x: Tensor) -> Tensor:
        """Give (N, O, h, w) of a map (N, I, H, W)."""
        y: Tensor = F.relu6(self.bn1(self.conv_pw(x)), inplace=True)  # (N, 6·I, H, W)
        y = F.relu6(self.bn2(self.conv_dw(y)), inplace=True)  # (N, 6·I, h, w)
        y = self.bn3(self.conv_pwl(y))  # (N, O, h, w)
        return x + y if self.is_residual else y
