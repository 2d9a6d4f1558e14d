"""Depthwise atrous convolution whose gradients are quick on a CPU.

oneDNN, which torch computes convolutions with on a CPU, has no kernel for the gradients of *dilated* depthwise ones and
falls back to plain loops: three layers of EfficientNet-Lite0 take a third of a training step in bfloat16. The gradient
of the input is itself a depthwise convolution, with the kernel turned by 180°, for which there is a kernel; that of a
tap of the kernel is a sum of products over the map.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable


def dilated_depthwise(x: Tensor, weight: Tensor, *, padding: tuple[int, int], dilation: tuple[int, ...]) -> Tensor:
    """Give `F.conv2d` of a map (N, C, H, W) and a kernel (C, 1, k, k) at stride 1, with gradients of the first order.

    Args:
        x: the map.
        weight: one kernel a channel.
        padding: zeros around the map, (rows, columns).
        dilation: distance of the taps, (rows, columns).
    """
    result: Tensor = _DilatedDepthwise.apply(x, weight, padding, dilation)
    return result


class _DilatedDepthwise(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, padding: tuple[int, int], dilation: tuple[int, ...]) -> Tensor:  # noqa: ANN401 - torch's context
        ctx.save_for_backward(x, weight)
        ctx.padding, ctx.dilation = padding, dilation
        return F.conv2d(x, weight, None, 1, padding, dilation, groups=len(weight))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:  # noqa: ANN401
        x, weight = ctx.saved_tensors
        needs_x, needs_weight = ctx.needs_input_grad[:2]
        of_x = of_weight = None
        if needs_x:
            padding = [
                rate * (size - 1) - zeros
                for rate, size, zeros in zip(ctx.dilation, weight.shape[-2:], ctx.padding, strict=True)
            ]
            turned = weight.to(grad.dtype).flip(-2, -1)
            of_x = F.conv2d(grad, turned, None, 1, padding, ctx.dilation, groups=len(weight)).to(x.dtype)
        if needs_weight:
            of_weight = _of_weight(x.to(grad.dtype), grad, weight, ctx.padding, ctx.dilation)
        return of_x, of_weight, None, None


def _of_weight(x: Tensor, grad: Tensor, weight: Tensor, padding: tuple[int, int], dilation: tuple[int, ...]) -> Tensor:
    """Give the gradient (C, 1, k, k) of the kernel: of each tap, the sum over the map that it saw times `grad`."""
    (rows, cols), (height, width) = padding, grad.shape[-2:]
    padded = F.pad(x, (cols, cols, rows, rows))  # (N, C, H + 2·rows, W + 2·cols)
    found = torch.empty(weight.shape, dtype=weight.dtype, device=weight.device)
    for i in range(weight.shape[-2]):
        for j in range(weight.shape[-1]):
            top, left = i * dilation[0], j * dilation[1]
            seen = padded[..., top : top + height, left : left + width]  # (N, C, h, w)
            found[:, 0, i, j] = (seen * grad).sum((0, 2, 3), dtype=weight.dtype)
    return found
