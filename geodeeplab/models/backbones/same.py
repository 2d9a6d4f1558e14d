"""TensorFlow's SAME padding: as many zeros as ⌈n/stride⌉ cells need, and of an odd number one more behind than before.

Along an axis of n pixels the *last* pixel is then the centre of the last cell, at every stride (odd kernels): with
stride 2, cell i reads around pixel 2i + 1 where n is even, around 2i where it is odd. So cells count from the end, and
what follows from that is stated here for a chain of such layers:

* The centre of cell i of a map of stride s is pixel s·i + `first_centre(n, s)`.
* Where strides were traded for dilation, k cells of the dense map to one of the strided map, the last cells are the
  same: `dense[..., o::k, p::k] == strided` with o and p the `first_centre` of the dense map's height and width and k;
  at any size, the borders included. Layers that lost their stride, and all after them, have equal pads on both sides.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from geodeeplab.models.backbones.depthwise import dilated_depthwise


class SameConv2d(nn.Conv2d):
    """A convolution with an odd kernel, without bias, padded as TensorFlow's SAME says, for its stride and dilation."""

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int, *, stride: int = 1, groups: int = 1
    ) -> None:
        """Take what `nn.Conv2d` does."""
        assert kernel_size % 2, "the laws of SAME padding are of odd kernels"
        super().__init__(in_channels, out_channels, kernel_size, stride=stride, groups=groups, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Give (N, O, ⌈H/stride⌉, ⌈W/stride⌉) of a map (N, I, H, W)."""
        (top, bottom), (left, right) = (self._pads(x.shape[dim], dim) for dim in (-2, -1))
        if (top, left) == (bottom, right):
            return self._convolve(x, self.weight, (top, left))
        # Runtimes have convolutions with other pads behind than before, and gradients of odd kernels are quicker.
        if torch.compiler.is_exporting() or torch.is_grad_enabled():
            return self._convolve(F.pad(x, (left, right, top, bottom)), self.weight, (0, 0))
        # A tap of zero before the others moves the kernel by one pixel, for less than a padded copy of the map costs.
        weight = F.pad(self.weight, (right - left, 0, bottom - top, 0))  # (O, I / groups, kh or kh + 1, kw or kw + 1)
        return self._convolve(x, weight, (bottom, right))

    def _convolve(self, x: Tensor, weight: Tensor, padding: tuple[int, int]) -> Tensor:
        if torch.is_grad_enabled() and x.device.type == "cpu" and self._is_dilated_depthwise:
            return dilated_depthwise(x, weight, padding=padding, dilation=self.dilation)
        return F.conv2d(x, weight, self.bias, self.stride, padding, self.dilation, self.groups)

    @property
    def _is_dilated_depthwise(self) -> bool:
        return self.groups == self.in_channels > 1 and max(self.dilation) > 1 and max(self.stride) == 1

    def _pads(self, size: int, dim: int) -> tuple[int, int]:
        """Give the zeros before and behind an axis of `size` cells."""
        stride, reach = self.stride[dim], (self.kernel_size[dim] - 1) * self.dilation[dim]
        total = max((-(-size // stride) - 1) * stride + reach + 1 - size, 0)
        return total // 2, total - total // 2


def first_centre(size: int, stride: int) -> int:
    """Give the pixel, of `size` along an axis, in the centre of the first cell of a map of `stride`.

    Law: the last of the ⌈size/stride⌉ cells has its centre in the last pixel.
    """
    return (size - 1) % stride
