"""The head that finds the boundaries of objects, beside the classes of their pixels.

A class alone does not tell touching objects apart: a second output for their contours does (DCAN, Chen et al. 2016,
arXiv 1604.02677). The contour is a line of a few pixels, so the head works at the finest level, where it sees the
deeper ones, too, and gives a logit for each pixel by sub-pixel convolution (Shi et al. 2016, arXiv 1609.05158).
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from geodeeplab.models.heads.aspp import resize

HIDDEN_CHANNELS = 64
RARE = -2.0
"""Logit of the boundary at first: one pixel in eight or so lies on one."""


class BoundaryHead(nn.Module):
    """All levels of a backbone, projected onto the finest one and added up, then two convolutions and a logit a pixel.

    It adds an output to a network, and no tensor of backbone or classifier depends on it.
    """

    def __init__(self, channels: Sequence[int], *, stride: int, hidden_channels: int = HIDDEN_CHANNELS) -> None:
        """Take the channels of the levels, from shallow to deep, and the stride of the first."""
        super().__init__()
        self.stride = stride
        self.projections = nn.ModuleList(nn.Conv2d(width, hidden_channels, 1, bias=False) for width in channels)
        self.norm = nn.BatchNorm2d(hidden_channels)
        self.refine = nn.Sequential(*_convolution(hidden_channels), *_convolution(hidden_channels))
        self.predictor = nn.Conv2d(hidden_channels, stride**2, 1)
        nn.init.normal_(self.predictor.weight, std=0.01)
        assert self.predictor.bias is not None
        nn.init.constant_(self.predictor.bias, RARE)

    def forward(self, levels: Sequence[Tensor], shape: Sequence[int]) -> Tensor:
        """Give logits (N, 1, H, W), float32, of levels (N, channels[i], h_i, w_i) and the image's `shape` (H, W)."""
        cells = levels[0].shape[-2:]
        projected = [
            resize(project(level), cells) for project, level in zip(self.projections, levels, strict=True)
        ]  # (N, hidden, h, w)
        x = F.relu(self.norm(torch.stack(projected).sum(0)))
        logits = self.predictor(self.refine(x)).float()  # (N, s², h, w)
        fine: Tensor = F.pixel_shuffle(logits, self.stride)  # (N, 1, s · h, s · w)
        return fine[..., : shape[0], : shape[1]]  # (N, 1, H, W)


def _convolution(channels: int) -> tuple[nn.Module, ...]:
    """Build a 3 × 3 convolution that keeps the channels, with norm and ReLU."""
    return nn.Conv2d(channels, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels), nn.ReLU()
