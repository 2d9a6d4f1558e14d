"""DeepLabV1 (Chen et al. 2015, arXiv 1412.7062): VGG's fc6 as an atrous convolution with a chosen field of view."""

from collections.abc import Sequence

from torch import Tensor, nn

from geodeeplab.models.heads.fcn import fc6_fc7, score_layer


class LargeFOVHead(nn.Sequential):
    """fc6, fc7 and fc8 of VGG as convolutions on the deepest level; DeepLab-LargeFOV by default.

    The paper's other fields of view (section 3.2 and table 2; VGG-16, 21 classes):

    | variant          | kernel_size | rate | hidden_channels | parameters |
    |------------------|-------------|------|-----------------|------------|
    | DeepLab-7x7      | 7           | 4    | 4096            | 134.3 M    |
    | DeepLab          | 4           | 4    | 4096            | 65.1 M     |
    | DeepLab-4x4      | 4           | 8    | 4096            | 65.1 M     |
    | DeepLab-LargeFOV | 3           | 12   | 1024            | 20.5 M     |
    """

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        *,
        kernel_size: int = 3,
        rate: int = 12,
        hidden_channels: int = 1024,
        average_pool: bool = True,
        dropout: float = 0.5,
    ) -> None:
        """Take the backbone's channels, the classes, and the numbers of fc6.

        `rate` is fc6's dilation in cells of the deepest level: the paper's are for output stride 8. `average_pool` is
        pool5a of the authors' network file: a 3 × 3 mean of stride 1, of which the paper says nothing.
        """
        super().__init__()
        if average_pool:
            self.pool5a = nn.AvgPool2d(3, stride=1, padding=1)
        beyond = rate * (kernel_size - 1)
        if beyond % 2:  # an even kernel with an odd rate: a cell more on the right and at the bottom keeps the size
            self.pad = nn.ZeroPad2d((0, 1, 0, 1))
        layers = fc6_fc7(
            in_channels, hidden_channels, kernel_size=kernel_size, padding=beyond // 2, dilation=rate, dropout=dropout
        )
        for name, layer in layers.items():
            self.add_module(name, layer)
        self.fc8 = score_layer(hidden_channels, num_classes, std=0.01)

    def forward(self, levels: Sequence[Tensor], shape: tuple[int, int]) -> Tensor:  # type: ignore[override]
        """Give coarse logits (N, K, h, w) of levels whose last is (N, in, h, w)."""
        x = levels[-1]
        for layer in self:
            x = layer(x)  # (N, hidden, h, w), at last (N, K, h, w)
        return x
