"""DilatedNet (Yu and Koltun 2016, arXiv 1511.07122): a dense VGG front end and a module that gathers context."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from geodeeplab.errors import ModelError
from geodeeplab.models.heads.fcn import clear_bias, fc6_fc7, score_layer

DILATIONS = (1, 1, 2, 4, 8, 16, 1)
"""Of the context module's 3 × 3 convolutions (table 1); it sees 1 + 2·33 = 67 cells."""
WIDTHS = {"basic": (1, 1, 1, 1, 1, 1, 1, 1), "large": (2, 2, 4, 8, 16, 32, 32, 1)}
"""Channels of the context module's layers, in multiples of the classes (table 1)."""


class DilatedNetHead(nn.Module):
    """The end of the front end, fc6 dilated by 4, fc7 and the scores (section 4), and the context module if wanted."""

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        *,
        context: str | None = None,
        fc_channels: int = 4096,
        dropout: float = 0.5,
    ) -> None:
        """Take the channels of the deepest level, the classes, the context's size, and the width of fc6 and fc7."""
        super().__init__()
        self.fc = nn.Sequential(fc6_fc7(in_channels, fc_channels, kernel_size=7, dilation=4, dropout=dropout))
        self.final = score_layer(fc_channels, num_classes, std=0.001)
        self.context = nn.Identity() if context is None else ContextModule(num_classes, size=context)

    def forward(self, levels: Sequence[Tensor], shape: tuple[int, int]) -> Tensor:
        """Give coarse logits (N, K, h − 24, w − 24) of levels whose last is (N, in, h, w).

        fc6 is not padded: the backbone's map reaches 12 cells beyond the image on each side.
        """
        scores = self.final(self.fc(levels[-1]))  # (N, K, h − 24, w − 24)
        logits: Tensor = self.context(scores)  # (N, K, h − 24, w − 24)
        return logits


class ContextModule(nn.Sequential):
    """Seven 3 × 3 convolutions of growing dilation and a 1 × 1, logits to logits of the same size (section 3, table 1).

    The first one pads with 33 zeros, as in the authors' network for Pascal VOC, and no other does. ReLU follows all but
    the last, so at its start the basic module gives relu(x); the large one does without its noise.
    """

    def __init__(self, num_classes: int, *, size: str = "basic", noise: float = 0.01) -> None:
        """Take the classes, the size `basic` or `large`, and the deviation of the noise in the large one's weights."""
        super().__init__()
        if size not in WIDTHS:
            raise ModelError(f"no context module is called {size!r}: choose one of {', '.join(WIDTHS)}")
        widths = [num_classes] + [num_classes * multiple for multiple in WIDTHS[size]]
        for i, dilation in enumerate(DILATIONS):
            padding = sum(DILATIONS) if i == 0 else 0
            self.append(nn.Conv2d(widths[i], widths[i + 1], 3, padding=padding, dilation=dilation))
            self.append(nn.ReLU())
        self.append(nn.Conv2d(widths[-2], widths[-1], 1))
        for layer in self:
            if isinstance(layer, nn.Conv2d):
                identity_(layer, groups=num_classes, noise=noise if size == "large" else 0.0)


@torch.no_grad()
def identity_(layer: nn.Conv2d, *, groups: int, noise: float) -> None:
    """Set a convolution to pass its input on: the mean of equation 5, of which equation 4 is the case of equal widths.

    Channels fall into `groups` equal runs, one a class. At the kernel's centre an output takes groups / outputs of each
    input of its own run; all other weights are drawn from N(0, noise²). Law: with noise 0, the sum over each run is
    kept.
    """
    outputs, inputs = layer.out_channels, layer.in_channels
    nn.init.normal_(layer.weight, std=noise)
    clear_bias(layer)
    run_of_output = torch.arange(outputs, device=layer.weight.device) * groups // outputs  # (out,)
    run_of_input = torch.arange(inputs, device=layer.weight.device) * groups // inputs  # (in,)
    same = run_of_output[:, None] == run_of_input  # (out, in)
    centre = layer.weight[:, :, layer.kernel_size[0] // 2, layer.kernel_size[1] // 2]  # (out, in), a view
    centre.copy_(torch.where(same, groups / outputs, centre))
