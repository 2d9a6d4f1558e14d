"""Atrous spatial pyramid pooling (DeepLabV3, arXiv 1706.05587, section 3.3), with torchvision's layout and keys."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from geodeeplab.errors import ModelError


def conv_bn_relu(
    in_channels: int, out_channels: int, *, kernel_size: int = 1, dilation: int = 1, groups: int = 1
) -> nn.Sequential:
    """Build a convolution that keeps the size, batch norm and ReLU."""
    padding = dilation * (kernel_size // 2)
    return nn.Sequential(
        nn.Conv2d(
            in_channels, out_channels, kernel_size, padding=padding, dilation=dilation, groups=groups, bias=False
        ),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(),
    )


def separable_conv_bn_relu(
    in_channels: int, out_channels: int, *, kernel_size: int = 3, dilation: int = 1
) -> nn.Sequential:
    """Build an atrous separable convolution (DeepLabV3+, arXiv 1802.02611, section 3.1) that keeps the size.

    One k × k filter a channel, then a 1 × 1 convolution over channels; batch norm and ReLU after both, as the authors'
    code has it.
    """
    return nn.Sequential(
        *conv_bn_relu(in_channels, in_channels, kernel_size=kernel_size, dilation=dilation, groups=in_channels),
        *conv_bn_relu(in_channels, out_channels),
    )


class ImagePooling(nn.Sequential):
    """The image-level features: global average, 1 × 1 convolution, batch norm, ReLU, spread over the whole map."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        """Take the channels in and out."""
        super().__init__(nn.AdaptiveAvgPool2d(1), *conv_bn_relu(in_channels, out_channels))

    @property
    def norm(self) -> nn.BatchNorm2d:
        """Its batch norm, which in training sees one value of each image."""
        found = self[2]
        assert isinstance(found, nn.BatchNorm2d), "pooling, convolution, batch norm, ReLU"
        return found

    def forward(self, x: Tensor) -> Tensor:
        """Give (N, out, h, w), constant over h and w, of a map (N, in, h, w).

        Raises:
            ModelError: for a batch of one while its batch norm is in training: it has a single value a channel then.
        """
        if self.norm.training and x.shape[0] == 1:
            raise ModelError(
                "ASPP trains on batches of 2 or more (batch norm after image pooling), not 1: raise the batch"
            )
        pooled = x
        for layer in self:
            pooled = layer(pooled)  # (N, out, 1, 1)
        return pooled.expand(-1, -1, *x.shape[-2:])  # (N, out, h, w)


class ASPP(nn.Module):
    """A 1 × 1 branch, one atrous 3 × 3 branch a rate, and image pooling; concatenated and projected."""

    def __init__(
        self,
        in_channels: int,
        *,
        rates: Sequence[int],
        out_channels: int = 256,
        dropout: float = 0.5,
        separable: bool = False,
    ) -> None:
        """Take the channels in and out, the atrous rates in feature pixels, and the dropout after the projection.

        With `separable`, the atrous branches are separable convolutions (DeepLabV3+, section 3.1).
        """
        super().__init__()
        build = separable_conv_bn_relu if separable else conv_bn_relu
        atrous = [build(in_channels, out_channels, kernel_size=3, dilation=rate) for rate in rates]
        self.convs = nn.ModuleList(
            [conv_bn_relu(in_channels, out_channels), *atrous, ImagePooling(in_channels, out_channels)]
        )
        self.project = conv_bn_relu(len(self.convs) * out_channels, out_channels)
        self.project.append(nn.Dropout(dropout))

    def forward(self, x: Tensor) -> Tensor:
        """Give (N, out, h, w) of a map (N, in, h, w)."""
        pyramid = torch.cat([branch(x) for branch in self.convs], dim=1)  # (N, 5·out, h, w)
        projected: Tensor = self.project(pyramid)  # (N, out, h, w)
        return projected


def resize(x: Tensor, shape: Sequence[int]) -> Tensor:
    """Resample a map (N, C, h, w) bilinearly to (N, C, *shape), pixel areas aligned."""
    return F.interpolate(x, size=(int(shape[0]), int(shape[1])), mode="bilinear", align_corners=False)
