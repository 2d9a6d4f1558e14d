"""DeepLabV2 (Chen et al. 2018, arXiv 1606.00915): atrous spatial pyramid pooling whose branches each give logits."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from geodeeplab.models.heads.fcn import fc6_fc7, score_layer

ASPP_S = (2, 4, 8, 12)
ASPP_L = (6, 12, 18, 24)


class SummedASPPHead(nn.Module):
    """One atrous branch a rate on the deepest level, their logits summed (section 3.2, figures 4 and 7).

    On VGG a branch is fc6, fc7, fc8; on ResNet (`hidden_channels=None`) it is one 3 × 3 convolution to the classes.
    """

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        *,
        rates: Sequence[int] = ASPP_L,
        hidden_channels: int | None = 1024,
        dropout: float = 0.5,
    ) -> None:
        """Take the backbone's channels, the classes, the rates, and the width and dropout of fc6 and fc7.

        The rates are in cells of the deepest level: the paper's `ASPP_S` and `ASPP_L` are for output stride 8.
        """
        super().__init__()
        if hidden_channels is None:
            branches: list[nn.Module] = [
                score_layer(in_channels, num_classes, std=0.01, kernel_size=3, dilation=rate) for rate in rates
            ]
        else:
            branches = [_branch(in_channels, hidden_channels, num_classes, rate, dropout) for rate in rates]
        self.branches = nn.ModuleList(branches)

    def forward(self, levels: Sequence[Tensor], shape: tuple[int, int]) -> Tensor:
        """Give coarse logits (N, K, h, w) of levels whose last is (N, in, h, w)."""
        return torch.stack([branch(levels[-1]) for branch in self.branches]).sum(dim=0)  # (N, K, h, w)


def _branch(in_channels: int, hidden_channels: int, num_classes: int, rate: int, dropout: float) -> nn.Sequential:
    """Build fc6 (3 × 3, atrous), fc7 and fc8 (1 × 1)."""
    layers = fc6_fc7(in_channels, hidden_channels, kernel_size=3, padding=rate, dilation=rate, dropout=dropout)
    layers["fc8"] = score_layer(hidden_channels, num_classes, std=0.01)
    return nn.Sequential(layers)
