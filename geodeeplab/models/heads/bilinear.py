"""Bilinear upsampling as a transposed convolution with a fixed kernel (FCN, Long et al. 2015, section 3.3)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def bilinear_kernel(factor: int) -> Tensor:
    """Give the kernel (k, k), k = 2·factor − factor mod 2, that interpolates when it is laid every `factor` pixels.

    A tent of half-width `factor` in both directions. Law: copies of it at a distance of `factor` sum to 1.
    """
    size = 2 * factor - factor % 2
    centre = (size - 1) / 2
    tent = 1 - (torch.arange(size, dtype=torch.float32) - centre).abs() / factor  # (k,)
    return torch.outer(tent, tent)  # (k, k)


class BilinearUpsampling(nn.Module):
    """A transposed convolution that upsamples each channel by `factor` bilinearly, without padding and without bias.

    The kernel is fixed: a buffer, not a parameter, and not in the state dict. Its output has (h − 1)·factor + k rows.
    Law: less its outermost factor / 2 pixels on each side (factor even), that is an interpolation of pixel areas
    (`align_corners=False`), equal to `F.interpolate` but for the next factor / 2 pixels: there the map fades to zero,
    where `F.interpolate` repeats its border.
    """

    kernel: Tensor

    def __init__(self, factor: int) -> None:
        """Take the factor."""
        super().__init__()
        self.factor = factor
        self.register_buffer("kernel", bilinear_kernel(factor), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Give (N, C, (h − 1)·factor + k, (w − 1)·factor + k) of a map (N, C, h, w)."""
        channels = x.shape[1]
        weight = self.kernel.to(x.dtype).expand(channels, 1, -1, -1)  # (C, 1, k, k)
        return F.conv_transpose2d(x, weight, stride=self.factor, groups=channels)
