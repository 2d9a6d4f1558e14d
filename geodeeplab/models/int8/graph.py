"""A network's backbone and head as a graph of OpenVINO's, with its convolutions in int8.

The network runs once on an empty batch, and each operator of torch that it calls becomes one of OpenVINO's. So nothing
of torch's exporters is needed, which take ten times as long, nor any file.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from geodeeplab.errors import ModelError
from geodeeplab.models.int8.calibrate import int8_convolutions
from geodeeplab.models.int8.ranges import LEVELS, Ranges, settle_range
from geodeeplab.models.network import SegmentationNetwork

aten = torch.ops.aten
WEIGHT_LEVELS = LEVELS - 1
"""Of weights, which are symmetric around 0."""
WEIGHT_PEAK = 127
"""The integer that the greatest weight of each output channel becomes."""
Node = Any
"""A node, or an output of one; OpenVINO's types are not known to type checkers."""


def build_graph(
    network: SegmentationNetwork,
    shape: Sequence[int],
    ranges: Ranges | None,
    ops: Any,  # noqa: ANN401 - OpenVINO's module
) -> tuple[Node, list[Node]]:
    """Give the graph's input, images of `shape` (N, C, T, T) float32, and its outputs: coarse logits, and fine levels.

    Args:
        network: in evaluation mode, on the CPU.
        shape: of the batch.
        ranges: of what each convolution reads; None for a graph in float32.
        ops: OpenVINO's operators, the module.

    Raises:
        ModelError: if an operator is not known here.
    """
    recorder = _Recorder(ops, ranges)
    images = torch.zeros(tuple(shape))
    images_node = ops.parameter(list(shape), np.float32, name="images")
    recorder.note(images, images_node)
    hooks = [
        module.register_forward_pre_hook(recorder.enter(name)) for name, module in int8_convolutions(network).items()
    ]
    try:
        with torch.inference_mode(mode=False), torch.no_grad(), recorder:  # whose operators are not the simple ones
            coarse, fine = network.coarse_and_fine(images)
    finally:
        for hook in hooks:
            hook.remove()
    return images_node, [recorder.node_of(tensor) for tensor in (coarse, *fine)]


class _Recorder(TorchDispatchMode):
    """Notes for each tensor that comes of the images the node that gives it."""

    def __init__(self, ops: Any, ranges: Ranges | None) -> None:  # noqa: ANN401 - OpenVINO's module
        super().__init__()  # type: ignore[no-untyped-call]  # torch's
        self.ops, self.ranges = ops, ranges
        self._convolution = ""

    def note(self, tensor: Tensor, node: Node) -> None:
        output = node.output(0) if hasattr(node, "output") else node
        assert tuple(output.shape) == tuple(tensor.shape), f"{output} stands for {tuple(tensor.shape)}"
        tensor._node = output  # type: ignore[attr-defined]  # it goes with the tensor

    def node_of(self, value: object) -> Node:
        """Give the node of a tensor, or a constant for what does not come of the images."""
        node = getattr(value, "_node", None)
        if node is not None:
            return node
        return self.ops.constant(np.asarray(value.detach() if isinstance(value, Tensor) else value, dtype=np.float32))

    def enter(self, name: str) -> Callable[..., None]:
        def entering(module: object, args: object) -> None:
            self._convolution = name

        return entering

    def __torch_dispatch__(
        self,
        func: Any,  # noqa: ANN401 - torch's own signature
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401
        result = func(*args, **(kwargs or {}))
        inputs = [one for arg in args for one in (arg if isinstance(arg, list | tuple) else [arg])]
        if not any(hasattr(one, "_node") for one in inputs):
            return result  # of weights alone
        name = func.overloadpacket
        if name == aten.convolution:
            node = self._convolve(*args)
        elif name in PASSED_ON:
            node = self.node_of(args[0])
        elif name in OPERATORS:
            node = OPERATORS[name](self, *args, **(kwargs or {}))
        else:
            raise _unknown(name)
        self.note(result[0] if isinstance(result, tuple) else result, node)
        return result

    def _convolve(
        self,
        x: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        stride: list[int],
        padding: list[int],
        dilation: list[int],
        transposed: bool,
        output_padding: list[int],
        groups: int,
    ) -> Node:
        if transposed:
            raise _unknown("transposed convolution")
        node, kernel = self.node_of(x), weight.detach().float().numpy()
        if groups > 1:
            kernel = kernel.reshape(groups, -1, *kernel.shape[1:])
        filters = self.ops.constant(np.ascontiguousarray(kernel))
        if self.ranges is not None and x.shape[-2:].numel() > 1:  # of what is one value for a tile a step is a lot
            low, high = settle_range(*self.ranges[self._convolution])
            node = self._quantise(node, np.float32(low), np.float32(high), LEVELS)
            inner = tuple(range(2 if groups > 1 else 1, kernel.ndim))
            peak = np.maximum(np.abs(kernel).max(axis=inner, keepdims=True), np.float32(1e-12)) * 127 / WEIGHT_PEAK
            filters = self._quantise(filters, -peak, peak, WEIGHT_LEVELS)
        convolve = self.ops.convolution if groups == 1 else self.ops.group_convolution
        found = convolve(node, filters, stride, padding, padding, dilation)
        return found if bias is None else self.ops.add(found, self._per_channel(bias))

    def _quantise(self, node: Node, low: Any, high: Any, levels: int) -> Node:  # noqa: ANN401 - numpy's
        ends = [self.ops.constant(np.asarray(end, dtype=np.float32)) for end in (low, high)]
        return self.ops.fake_quantize(node, *ends, *ends, levels)

    def _per_channel(self, values: Tensor) -> Node:
        return self.ops.constant(values.detach().float().view(1, -1, 1, 1).numpy())

    def normalise(
        self,
        x: Tensor,
        weight: Tensor,
        bias: Tensor,
        mean: Tensor,
        variance: Tensor,
        *rest: Any,  # noqa: ANN401 - in training or not, momentum, ε, by torch's version
    ) -> Node:
        """Give a batch norm as one multiplication and one addition."""
        gain = weight / (variance + rest[-1]).sqrt()
        scaled = self.ops.multiply(self.node_of(x), self._per_channel(gain))
        return self.ops.add(scaled, self._per_channel(bias - mean * gain))

    def resize(self, x: Tensor, shape: list[int], align_corners: bool, *scales: object) -> Node:
        """Give bilinear interpolation."""
        assert not align_corners, "no network here does so"
        return self.ops.interpolate(
            self.node_of(x), np.array(shape, dtype=np.int64), "linear_onnx", "sizes",
            coordinate_transformation_mode="half_pixel", axes=np.array([2, 3], dtype=np.int64),
        )  # fmt: skip

    def pool_max(
        self,
        x: Tensor,
        kernel: list[int],
        stride: list[int] | None = None,
        padding: Sequence[int] = (0, 0),
        dilation: Sequence[int] = (1, 1),
        ceil_mode: bool = False,
    ) -> Node:
        """Give the maximum over a window."""
        rounding, pads = "ceil_torch" if ceil_mode else "floor", _pair(padding)
        steps = _pair(stride or kernel), _pair(dilation)
        return self.ops.max_pool(self.node_of(x), *steps, pads, pads, _pair(kernel), rounding).output(0)

    def pad(self, x: Tensor, pads: list[int], value: float = 0.0) -> Node:
        """Give a map with a constant around it."""
        pairs = list(zip(pads[::2], pads[1::2], strict=True))[::-1]  # torch begins with the last axis
        before, behind = ([0] * (4 - len(pairs)) + [pair[i] for pair in pairs] for i in (0, 1))
        return self.ops.pad(self.node_of(x), before, behind, "constant", np.float32(value))

    def mean(self, x: Tensor, axes: list[int], keepdim: bool = False) -> Node:
        """Give the mean over axes."""
        return self.ops.reduce_mean(self.node_of(x), np.array(axes), keepdim)

    def pool_mean(
        self,
        x: Tensor,
        kernel: list[int],
        stride: list[int] | None = None,
        padding: Sequence[int] = (0, 0),
        ceil_mode: bool = False,
        count_include_pad: bool = True,
    ) -> Node:
        """Give the mean over a window."""
        rounding, pads = "ceil_torch" if ceil_mode else "floor", _pair(padding)
        return self.ops.avg_pool(
            self.node_of(x), _pair(stride or kernel), pads, pads, _pair(kernel), not count_include_pad, rounding
        )

    def stack(self, parts: Sequence[Tensor], dim: int = 0) -> Node:
        """Give maps along a new axis."""
        axis = np.array([dim])
        return self.ops.concat([self.ops.unsqueeze(self.node_of(part), axis) for part in parts], dim)

    def sum(self, x: Tensor, axes: list[int], keepdim: bool = False) -> Node:
        """Give the sum over axes."""
        return self.ops.reduce_sum(self.node_of(x), np.array(axes), keepdim)


def _unknown(name: object) -> ModelError:
    return ModelError(f"the network has an operator that int8 does not know, {name}: leave the precision at auto")


def _pair(value: Sequence[int]) -> list[int]:
    return [value[0], value[-1]]


PASSED_ON = {aten.clone, aten.alias, aten.detach, aten._to_copy, aten.as_strided_}
"""Operators that give what they get, laid out otherwise at most."""
OPERATORS: dict[Any, Callable[..., Node]] = {
    aten.native_batch_norm: _Recorder.normalise,
    aten._native_batch_norm_legit_no_training: _Recorder.normalise,
    aten.upsample_bilinear2d: _Recorder.resize,
    aten.max_pool2d_with_indices: _Recorder.pool_max,
    aten.avg_pool2d: _Recorder.pool_mean,
    aten.constant_pad_nd: _Recorder.pad,
    aten.mean: _Recorder.mean,
    aten.sum: _Recorder.sum,
    aten.stack: _Recorder.stack,
    aten.relu: lambda on, x: on.ops.relu(on.node_of(x)),
    aten.relu_: lambda on, x: on.ops.relu(on.node_of(x)),
    aten.hardtanh: lambda on, x, low=-1.0, high=1.0: on.ops.clamp(on.node_of(x), low, high),
    aten.hardtanh_: lambda on, x, low=-1.0, high=1.0: on.ops.clamp(on.node_of(x), low, high),
    aten.silu: lambda on, x: on.ops.swish(on.node_of(x)),
    aten.silu_: lambda on, x: on.ops.swish(on.node_of(x)),
    aten.sigmoid: lambda on, x: on.ops.sigmoid(on.node_of(x)),
    aten.add: lambda on, x, y: on.ops.add(on.node_of(x), on.node_of(y)),
    aten.add_: lambda on, x, y: on.ops.add(on.node_of(x), on.node_of(y)),
    aten.mul: lambda on, x, y: on.ops.multiply(on.node_of(x), on.node_of(y)),
    aten.div: lambda on, x, y: on.ops.divide(on.node_of(x), on.node_of(y)),
    aten.maximum: lambda on, x, y: on.ops.maximum(on.node_of(x), on.node_of(y)),
    aten.cat: lambda on, parts, dim=0: on.ops.concat([on.node_of(part) for part in parts], dim),
    aten.expand: lambda on, x, shape: on.ops.broadcast(
        on.node_of(x), np.array([side if want == -1 else want for want, side in zip(shape, x.shape, strict=True)])
    ),
    aten.slice: lambda on, x, dim=0, start=0, stop=2**31 - 1, step=1: on.ops.slice(
        on.node_of(x), np.array([start]), np.array([min(stop, 2**31 - 1)]), np.array([step]), np.array([dim])
    ),
}
"""By the operator of torch, what makes OpenVINO's; a function of the recorder and the operator's arguments."""
