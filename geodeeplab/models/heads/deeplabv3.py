"""DeepLabV3 (Chen et al. 2017, arXiv 1706.05587): ASPP with batch norm and image pooling, one classifier."""

from collections.abc import Sequence

from torch import Tensor, nn

from geodeeplab.models.heads.aspp import ASPP, conv_bn_relu


class DeepLabV3Head(nn.Sequential):
    """ASPP, torchvision's extra 3 × 3 convolution (not in the paper, optional), and the 1 × 1 classifier."""

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        *,
        rates: Sequence[int] = (6, 12, 18),
        aspp_channels: int = 256,
        aspp_dropout: float = 0.5,
        extra_conv: bool = True,
    ) -> None:
        """Take the channels of the deepest level, the classes, and ASPP's numbers."""
        aspp = ASPP(in_channels, rates=rates, out_channels=aspp_channels, dropout=aspp_dropout)
        between = conv_bn_relu(aspp_channels, aspp_channels, kernel_size=3) if extra_conv else ()
        super().__init__(aspp, *between, nn.Conv2d(aspp_channels, num_classes, 1))

    def forward(self, levels: Sequence[Tensor], shape: tuple[int, int]) -> Tensor:  # type: ignore[override]
        """Give coarse logits (N, K, h, w) of the levels (N, C_i, h_i, w_i); the image's shape plays no part."""
        x = levels[-1]
        for layer in self:
            x = layer(x)  # (N, aspp, h, w), at last (N, K, h, w)
        return x
