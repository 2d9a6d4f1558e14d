"""DeepLabV3+ (Chen et al. 2018, arXiv 1802.02611): DeepLabV3's ASPP as an encoder, and a small decoder at stride 4."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from geodeeplab.models.heads.aspp import ASPP, conv_bn_relu, resize, separable_conv_bn_relu


class DeepLabV3PlusHead(nn.Module):
    """ASPP on the deepest level, upsampled and joined with few channels of the stride-4 level, then refined (figure 2).

    Two 3 × 3 convolutions of 256 channels and a projection to 48 channels are the paper's best (tables 1 and 2).
    """

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        *,
        low_level_channels: int,
        rates: Sequence[int] = (6, 12, 18),
        aspp_channels: int = 256,
        aspp_dropout: float = 0.1,
        low_level_projection: int = 48,
        decoder_channels: int = 256,
        separable: bool = False,
    ) -> None:
        """Take the channels of the deepest level, the classes, the channels of the stride-4 level, and the numbers.

        `separable` makes ASPP's atrous convolutions and the decoder's depthwise separable (section 3.1). The paper
        speaks of no dropout; 0.1 is the authors' code.
        """
        super().__init__()
        build = separable_conv_bn_relu if separable else conv_bn_relu
        self.aspp = ASPP(
            in_channels, rates=rates, out_channels=aspp_channels, dropout=aspp_dropout, separable=separable
        )
        self.low_level = conv_bn_relu(low_level_channels, low_level_projection)
        self.decoder = nn.Sequential(
            build(aspp_channels + low_level_projection, decoder_channels, kernel_size=3),
            build(decoder_channels, decoder_channels, kernel_size=3),
        )
        self.classifier = nn.Conv2d(decoder_channels, num_classes, 1)
        _initialise(self)
        nn.init.trunc_normal_(self.classifier.weight, std=0.01)

    def forward(self, levels: Sequence[Tensor], shape: tuple[int, int]) -> Tensor:
        """Give logits (N, K, H/4, W/4) of levels whose first is (N, low, H/4, W/4) and whose last is (N, in, h, w).

        Raises:
            ModelError: in training with a batch of one (ASPP's batch norm after image pooling).
        """
        low = self.low_level(levels[0])  # (N, 48, H/4, W/4)
        encoded = resize(self.aspp(levels[-1]), low.shape[-2:])  # (N, 256, H/4, W/4)
        refined = self.decoder(torch.cat([encoded, low], dim=1))  # (N, 256, H/4, W/4)
        logits: Tensor = self.classifier(refined)  # (N, K, H/4, W/4)
        return logits


def _initialise(head: nn.Module) -> None:
    """Initialise convolutions after He et al. (arXiv 1502.01852), and biases to zero; the paper is silent."""
    for layer in head.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
