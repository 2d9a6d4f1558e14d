"""Atrous convolution: trade strides for dilation, so that a network gives denser features with the same weights."""

from typing import Literal, TypeGuard

import torch
from torch import Tensor, nn

from geodeeplab.errors import ModelError
from geodeeplab.models.backbones.same import SameConv2d

Pools = Literal["exact", "undilated"]


def dilate(network: nn.Module, output_stride: int, *, dilate_strided: bool = False, pools: Pools = "exact") -> int:
    """Trade strides for dilation, in place, until the network's output stride is `output_stride`.

    The rule (DeepLabV3, section 3.1): when a stride s is dropped, every *later* layer is dilated by s more, while the
    layer that lost its stride keeps the dilation it had. Then `dense[..., ::k, ::k] == strided` holds, at any size if
    the pools round up (`round_up_pools`); with SAME padding, cells count from the last one (see `same.py`). A shortcut
    beside a strided layer (a strided 1 × 1 convolution, or whatever lies in a child called `downsample`) follows it.
    State-dict keys do not change.

    Args:
        network: its `modules()` come in the order of execution.
        output_stride: the stride to stop at.
        dilate_strided: dilate the convolution that loses its stride too, as torchvision's MobileNetV3 does.
        pools: `undilated` leaves the pools that lose their stride undilated, as DeepLabV1 does; not exact.

    Returns:
        The stride that the network had.

    Raises:
        ModelError: where a layer that would have to lose its stride cannot.
    """
    native, dilation = 1, 1
    dropped, dropped_at = False, 1
    for name, layer in list(network.named_modules()):
        step = _step(layer)
        if step > 1 and _is_shortcut(name, layer):
            if dropped:
                _drop_stride(network, name, dropped_at)
            continue
        before = dilation
        if step > 1:
            native *= step
            dropped, dropped_at = native > output_stride, before
            dilation *= step if dropped else 1
        if isinstance(layer, nn.Conv2d):
            _set_dilation(layer, dilation if dilate_strided else before)
        if step > 1 and dropped:
            _drop_stride(network, name, 1 if pools == "undilated" else before)
    return native


def round_up_pools(network: nn.Module) -> None:
    """Let 2 × 2 pools give ⌈n/2⌉ cells of n, as strided convolutions do, so that all levels are of one grid."""
    for layer in network.modules():
        if isinstance(layer, nn.MaxPool2d | nn.AvgPool2d) and layer.kernel_size == 2:
            layer.ceil_mode = True


class DilatedPool(nn.Module):
    """A 2 × 2 pool at stride 1 whose cells lie `dilation` apart; a cell without a partner is paired with itself."""

    def __init__(self, *, dilation: int, average: bool) -> None:
        """Take the distance of the cells, and whether to average (else the maximum)."""
        super().__init__()
        self.dilation, self.average = dilation, average

    def forward(self, x: Tensor) -> Tensor:
        """Give (N, C, h, w) of a map (N, C, h, w)."""
        for dim in (-2, -1):
            size = x.shape[dim]
            if size > self.dilation:
                last = x.narrow(dim, size - self.dilation, self.dilation)
                ahead = torch.cat([x.narrow(dim, self.dilation, size - self.dilation), last], dim)  # (N, C, h, w)
                x = (x + ahead) / 2 if self.average else torch.maximum(x, ahead)  # (N, C, h, w)
        return x

    def extra_repr(self) -> str:
        """Say what the constructor was told."""
        return f"dilation={self.dilation}, average={self.average}"


def _step(layer: nn.Module) -> int:
    """Give the stride of a layer, 1 for those that have none and for blocks of layers."""
    stride = 1 if any(layer.children()) else getattr(layer, "stride", 1)
    step = max(stride) if isinstance(stride, tuple) else stride
    return step if isinstance(step, int) else 1


def _is_same(layer: nn.Module) -> TypeGuard[nn.Conv2d]:
    """Say whether a convolution has SAME padding for whatever stride and dilation it has: ours, or timm's."""
    return isinstance(layer, SameConv2d) or type(layer).__name__ == "Conv2dSame"


def _is_shortcut(name: str, layer: nn.Module) -> bool:
    """Say whether a strided layer lies beside another one."""
    return "downsample" in name.split(".") or (isinstance(layer, nn.Conv2d) and layer.kernel_size == (1, 1))


def _drop_stride(network: nn.Module, name: str, dilation: int) -> None:
    """Set one layer's stride to 1; a pool's cells are then `dilation` apart."""
    layer = network.get_submodule(name)
    if (type(layer) is nn.Conv2d or _is_same(layer)) and all(size % 2 for size in layer.kernel_size):
        layer.stride = (1, 1)
    elif isinstance(layer, nn.MaxPool2d) and layer.kernel_size == 3:
        layer.stride, layer.dilation, layer.padding = 1, dilation, dilation
    elif isinstance(layer, nn.MaxPool2d | nn.AvgPool2d) and layer.kernel_size == 2:
        network.set_submodule(name, DilatedPool(dilation=dilation, average=isinstance(layer, nn.AvgPool2d)))
    else:
        raise ModelError(f"cannot trade the stride of {name} ({layer}) for dilation: use output stride 32")


def _set_dilation(conv: nn.Conv2d, dilation: int) -> None:
    """Dilate one convolution and pad it so that its output keeps the input's size."""
    if dilation == 1:
        return
    height, width = conv.kernel_size
    conv.dilation = (dilation, dilation)
    if not _is_same(conv):  # which sees to its padding itself
        conv.padding = (dilation * (height // 2), dilation * (width // 2))


def set_multi_grid(stage: nn.Sequential, factors: tuple[int, ...]) -> None:
    """Give each block's 3 × 3 convolutions the stage's rate times that block's factor (DeepLabV3, section 3.2.1).

    The first block gets the stage's rate as well, as in the paper: 2, 4, 8 for (1, 2, 4) at output stride 16. Output
    strides 16 and 8 are then still equal where both have a cell, but not 32.

    Raises:
        ModelError: if there is not one factor a block.
    """
    if set(factors) == {1}:
        return
    if len(factors) != len(stage):
        raise ModelError(f"multi_grid gives one factor a block: the last stage has {len(stage)}, got {factors}")
    convolutions = [
        [conv for conv in block.modules() if isinstance(conv, nn.Conv2d) and conv.kernel_size == (3, 3)]
        for block in stage
    ]
    rate = convolutions[-1][-1].dilation[0]
    for block, factor in zip(convolutions, factors, strict=True):
        for conv in block:
            _set_dilation(conv, rate * factor)
