"""Fully convolutional networks (Long, Shelhamer and Darrell 2015, arXiv 1411.4038; 2016, arXiv 1605.06211).

`SkipFCNHead` is the paper's FCN-32s, 16s and 8s on VGG; `DilatedFCNHead` is what torchvision calls FCN.
"""

from collections import OrderedDict
from collections.abc import Sequence

from torch import Tensor, nn

from geodeeplab.errors import ModelError
from geodeeplab.models.heads.aspp import conv_bn_relu
from geodeeplab.models.heads.bilinear import BilinearUpsampling

VGG_ORIGIN = -99
"""Image pixel at which the levels of FCN's VGG begin: its first convolution pads by 100, and needs 1 of them itself."""


class DilatedFCNHead(nn.Sequential):
    """torchvision's FCN head for dilated backbones, with its keys: a 3 × 3 convolution to a quarter, and a 1 × 1."""

    def __init__(self, in_channels: int, num_classes: int, *, dropout: float = 0.1) -> None:
        """Take the channels of the deepest level, and the classes."""
        between = in_channels // 4
        super().__init__(
            *conv_bn_relu(in_channels, between, kernel_size=3), nn.Dropout(dropout), nn.Conv2d(between, num_classes, 1)
        )

    def forward(self, levels: Sequence[Tensor], shape: tuple[int, int]) -> Tensor:  # type: ignore[override]
        """Give coarse logits (N, K, h, w) of levels whose last is (N, in, h, w); the image's shape plays no part.

        Raises:
            ModelError: in training with a batch of one and one cell: batch norm then has a single value a channel.
        """
        x = levels[-1]
        if self.training and x[:, 0].numel() == 1:
            raise ModelError("FCN trains on 2 or more cells (batch norm), not 1: raise the batch or the tile size")
        for layer in self:
            x = layer(x)  # (N, in / 4, h, w), at last (N, K, h, w)
        return x


class SkipFCNHead(nn.Module):
    """FCN-32s, 16s or 8s: scores of pool5, and of pool4 and pool3, summed as they are upsampled (figure 3).

    Where things lie, in image pixels. All levels of FCN's VGG begin at −99. fc6, 7 × 7 and unpadded, centres its first
    cell on the fourth of pool5, so the scores begin at −99 + 3·32 = −3. Upsampling a map of stride s by f with the
    kernel of 2·f puts half a cell around it: it begins s / 2 earlier. Hence the crops of the authors' network files:

    | | begins at | offset |
    |---|---|---|
    | 32s: scores × 32              | −3 − 16 = −19 | 19 pixels to the image |
    | 16s: scores × 2               | −19           | (−19 + 99) / 16 = 5 cells of pool4 |
    | 16s: summed with pool4, × 16  | −19 − 8 = −27 | 27 pixels to the image |
    | 8s: summed with pool4, × 2    | −27           | (−27 + 99) / 8 = 9 cells of pool3 |
    | 8s: summed with pool3, × 8    | −27 − 4 = −31 | 31 pixels to the image |

    Attributes:
        stride: image pixels per cell of the finest scores: 32, 16 or 8. The head gives logits of the image's
            size; whoever needs them coarse, as PointRend does, resamples them to ⌈H/stride⌉ × ⌈W/stride⌉.
    """

    def __init__(
        self,
        channels: Sequence[int],
        num_classes: int,
        *,
        skips: int = 2,
        fc_channels: int = 4096,
        dropout: float = 0.5,
    ) -> None:
        """Take the channels of pool3, pool4 and pool5, the classes, and the number of skips: 0, 1 or 2.

        Score layers begin at zero, so that a skip added to trained scores leaves them as they are.
        """
        super().__init__()
        if skips not in (0, 1, 2):
            raise ModelError(f"FCN has 0 skips (32s), 1 (16s) or 2 (8s), not {skips}")
        pool3, pool4, pool5 = channels
        self.fc = nn.Sequential(fc6_fc7(pool5, fc_channels, kernel_size=7, dropout=dropout))
        self.score_fr = score_layer(fc_channels, num_classes, std=0.0)
        self.score_pools = nn.ModuleList(score_layer(pool, num_classes, std=0.0) for pool in (pool4, pool3)[:skips])
        self.stride = 32 >> skips
        self.upsample_2 = BilinearUpsampling(2)
        self.upsample = BilinearUpsampling(self.stride)

    def forward(self, levels: Sequence[Tensor], shape: tuple[int, int]) -> Tensor:
        """Give logits (N, K, H, W) of levels of which the last three are pool3, pool4 and pool5, for `shape` (H, W)."""
        scores = self.score_fr(self.fc(levels[-1]))  # (N, K, h − 6, w − 6)
        begin, stride = VGG_ORIGIN + 3 * 32, 32
        for score_pool, level in zip(self.score_pools, (levels[-2], levels[-3]), strict=False):
            begin, stride = begin - stride // 2, stride // 2
            scores = self.upsample_2(scores)  # (N, K, 2h + 2, 2w + 2)
            scores = scores + crop(score_pool(level), (begin - VGG_ORIGIN) // stride, scores.shape[-2:])
        begin -= stride // 2
        return crop(self.upsample(scores), -begin, shape)  # (N, K, H, W)


def crop(x: Tensor, offset: int, shape: Sequence[int]) -> Tensor:
    """Cut (N, C, *shape) out of a map (N, C, h, w), `offset` cells from its top and its left."""
    return x[..., offset : offset + shape[0], offset : offset + shape[1]]


def fc6_fc7(
    in_channels: int, channels: int, *, kernel_size: int, padding: int = 0, dilation: int = 1, dropout: float = 0.5
) -> OrderedDict[str, nn.Module]:
    """Build VGG's two fully connected layers as convolutions, with ReLU and dropout after each; by their names.

    Initialised after He et al. (arXiv 1502.01852); the papers take the weights of ImageNet instead.
    """
    fc6 = nn.Conv2d(in_channels, channels, kernel_size, padding=padding, dilation=dilation)
    fc7 = nn.Conv2d(channels, channels, 1)
    for layer in (fc6, fc7):
        nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        clear_bias(layer)
    return OrderedDict(
        fc6=fc6, relu6=nn.ReLU(), drop6=nn.Dropout(dropout), fc7=fc7, relu7=nn.ReLU(), drop7=nn.Dropout(dropout)
    )


def score_layer(
    in_channels: int, num_classes: int, *, std: float, kernel_size: int = 1, dilation: int = 1
) -> nn.Conv2d:
    """Build a convolution to logits that keeps the size: weights from N(0, std²), biases zero."""
    padding = dilation * (kernel_size // 2)
    layer = nn.Conv2d(in_channels, num_classes, kernel_size, padding=padding, dilation=dilation)
    nn.init.normal_(layer.weight, std=std)
    clear_bias(layer)
    return layer


def clear_bias(layer: nn.Conv2d) -> None:
    """Set the biases of a convolution to zero."""
    assert layer.bias is not None
    nn.init.zeros_(layer.bias)
