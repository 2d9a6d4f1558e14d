"""The model, and the model file: one safetensors file whose header is the input contract. Loading never unpickles."""

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor, nn
from torch.nn import init
from torch.overrides import TorchFunctionMode

from geodeeplab.atomic import write_output
from geodeeplab.errors import ModelError
from geodeeplab.models.adapted.architecture import AdaptedArchitecture, read_architecture
from geodeeplab.models.adapted.network import AdaptedNetwork
from geodeeplab.models.architecture import Architecture
from geodeeplab.models.assembly import build_network
from geodeeplab.models.contract import HEADER_KEY, Contract
from geodeeplab.models.files.header import DEFAULT_MODEL, ONNX_SUFFIX, find_model, read_contract
from geodeeplab.models.files.model import Model
from geodeeplab.models.network import SegmentationNetwork

FLOATS = ("F16", "BF16", "F32", "F64")
"""What safetensors calls the types of weights."""


class Undrawn(TorchFunctionMode):
    """Where random numbers would be drawn into a tensor, write one constant: its values come from a file.

    Drawing takes half the time of building a network. The caller's random numbers are left alone, too. The constant is
    one that the drawing could give: to leave the memory as it is would keep truncated normals, which draw again what
    lies outside their bounds, at it for ever.
    """

    DRAWS = (Tensor.normal_, Tensor.uniform_, init.normal_, init.uniform_, init.kaiming_normal_, init.kaiming_uniform_)

    def __torch_function__(
        self,
        func: Callable[..., object],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> object:
        """Call the function, unless it draws."""
        named = kwargs or {}
        if func not in self.DRAWS:
            return func(*args, **named)
        tensor = args[0] if args else named["tensor"]
        assert isinstance(tensor, Tensor)
        with torch.no_grad():
            return tensor.fill_(args[1] if func is Tensor.normal_ and len(args) > 1 else named.get("mean", 0.0))


def load_model(name_or_path: str | os.PathLike[str] = DEFAULT_MODEL) -> Model:
    """Load a bundled model by name, or a model file by path.

    Raises:
        ModelError: if the file is missing, broken, or its weights do not fit the architecture it names.
    """
    path = find_model(name_or_path)
    if path.suffix.lower() == ONNX_SUFFIX:
        raise ModelError(f"{path} is an ONNX file, not a model file: open it with geodeeplab.models.as_model")
    contract = read_contract(path)
    try:
        architecture = read_architecture(contract.architecture)
        with torch.device("meta"), Undrawn():  # shapes without memory
            network = _build(architecture)
    except ModelError as error:
        raise ModelError(f"{path} names an architecture that cannot be built ({error}): save it again") from error
    wanted = network.state_dict()
    _check_tensors(path, wanted)
    with safe_open(path, framework="pt") as file:  # copies: what is lent would change with the file
        state = {key: file.get_tensor(key).to(tensor.dtype, copy=True) for key, tensor in wanted.items()}
    for key, tensor in state.items():
        if not tensor.sum().isfinite() and not tensor.isfinite().all():  # a sum is quick, and may overflow
            raise ModelError(f"the tensor {key} in {path} is not finite: the file is damaged, copy or save it again")
    network.load_state_dict(state, strict=True, assign=True)
    if _has_unstored(network):
        with Undrawn():
            network = _build(architecture)
        network.load_state_dict(state, strict=True)
    return Model(network=network.eval(), contract=contract, path=path)


def _has_unstored(network: nn.Module) -> bool:
    """Tell whether a network that was built without memory has tensors that no file holds."""
    return any(
        isinstance(tensor, Tensor) and tensor.is_meta
        for module in network.modules()
        for tensor in (*module._parameters.values(), *module._buffers.values(), *vars(module).values())
    )


def save_model(
    network: SegmentationNetwork | AdaptedNetwork,
    contract: Contract,
    dst_path: str | os.PathLike[str],
    *,
    half: bool = True,
) -> None:
    """Write a model file under a temporary name, then rename it.

    Args:
        network: weights to save.
        contract: what they were trained on.
        dst_path: a path that ends in .safetensors; replaced if it exists.
        half: store convolutions and linear layers as float16; statistics and biases stay float32.

    Raises:
        OutputError: if the file cannot be written.
    """
    weights = {key: _stored(tensor, half) for key, tensor in network.state_dict().items()}
    write_output(dst_path, save(weights, metadata={HEADER_KEY: contract.to_json()}))


def _build(architecture: Architecture | AdaptedArchitecture) -> SegmentationNetwork | AdaptedNetwork:
    if isinstance(architecture, AdaptedArchitecture):
        return AdaptedNetwork(architecture)
    return build_network(architecture)


def _check_tensors(path: Path, wanted: Mapping[str, Tensor]) -> None:
    """Compare a file's tensors with a network's before anything of their size is built.

    Raises:
        ModelError: if one is missing, too many, or of another shape or type.
    """
    with safe_open(path, framework="pt") as file:
        slices = {key: file.get_slice(key) for key in file.keys()}
        there = {key: (tuple(one.get_shape()), one.get_dtype()) for key, one in slices.items()}
    reason = ""
    for key, tensor in wanted.items():
        shape, dtype = there.get(key, (None, None))
        if shape is None:
            reason = f"{key} is missing"
        elif shape != tuple(tensor.shape):
            reason = f"{key} has the shape {shape}, not {tuple(tensor.shape)}"
        elif tensor.is_floating_point() and dtype not in FLOATS:
            reason = f"{key} is stored as {dtype}, not as one of {', '.join(FLOATS)}"
        if reason:
            break
    excess = [key for key in there if key not in wanted]
    if not reason and excess:
        reason = f"it has no place for {excess[0][:80]!r}"
    if reason:
        raise ModelError(f"the weights in {path} do not fit the architecture it names ({reason}): save it again")


def _stored(tensor: Tensor, half: bool) -> Tensor:
    """Give the tensor as it is stored."""
    shrink = half and tensor.is_floating_point() and tensor.ndim > 1
    return tensor.detach().cpu().to(torch.float16 if shrink else tensor.dtype).contiguous()
