"""What an ONNX file says about itself, read without running it: input, output, contract, the files of its weights."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from geodeeplab.errors import ModelError, OptionError
from geodeeplab.models.checks import shown
from geodeeplab.models.contract import HEADER_KEY, MAX_TILE_SIZE, Contract
from geodeeplab.models.files.onnx_model import CPU, import_onnxruntime, open_session
from geodeeplab.models.files.onnx_targets import DIVISOR, DIVISOR_KEY

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto, TensorProto

MAX_BATCH = 1024
LOGITS_NAMES = ("logits", "out")
"""Which output of several has the logits: transformers' and ours, torchvision's."""


@dataclass(frozen=True, kw_only=True)
class Graph:
    """What an ONNX file says about itself."""

    input_name: str
    """Its one input, images (N, C, H, W) float32."""
    output_name: str
    """Its output with the logits."""
    channels: int | None
    """C if it is fixed."""
    tile_size: int | None
    """H and W if they are fixed."""
    batch: int | None
    """N if it is fixed."""
    activation: str | None
    """`sigmoid` or `softmax` if the output is one's; None where it ends in something else."""
    contract: Contract | None
    """The contract of a file that GeoDeepLab exported, which takes raw pixels with NaN; None for others."""
    divisor: int = 1
    """By what pixels are divided before they are fed to a file that GeoDeepLab exported for another program."""


def read_onnx_contract(path: Path) -> Contract:
    """Read the contract of an ONNX file that GeoDeepLab exported.

    Raises:
        ModelError: if the file is broken, or carries none.
        OptionError: without the extra `onnx`.
    """
    contract = read_graph(path).contract
    if contract is None:
        raise ModelError(
            f"{path} carries no GeoDeepLab contract: write one with geodeeplab export, or pass `contract=`"
        )
    return contract


def read_graph(path: Path) -> Graph:
    """Read what an ONNX file says about its input, its output and its contract.

    Weights that lie outside of the file's folder are not followed.

    Raises:
        ModelError: if the file is broken, names such weights, or does not map one batch of images to logits.
        OptionError: without the extra `onnx`.
    """
    import_onnxruntime()
    proto = _parse(path)
    _weight_files(proto, path)
    session = open_session(path, [CPU], threads=1, is_for_reading=True)
    inputs, outputs = session.get_inputs(), session.get_outputs()
    if len(inputs) != 1 or inputs[0].type != "tensor(float)" or len(inputs[0].shape) != 4:
        raise ModelError(
            f"{path} takes {_describe(inputs)}; a network that runs here takes one float32 input (N, C, H, W): "
            "export it in this form"
        )
    named = [output for output in outputs if output.name in LOGITS_NAMES]
    chosen = outputs if len(outputs) == 1 else named
    if len(chosen) != 1 or len(chosen[0].shape or [0] * 4) != 4:  # a graph need not state the shape
        raise ModelError(
            f"{path} gives {_describe(outputs)}; a network that runs here gives one output (N, K, h, w), or calls it "
            f"{' or '.join(LOGITS_NAMES)}: export it in this form"
        )
    batch, channels, *sides = (side if isinstance(side, int) else None for side in inputs[0].shape)
    fixed = {"batch": (batch, MAX_BATCH), "tile": (sides[0], MAX_TILE_SIZE)}
    for name, (number, most) in fixed.items():
        if number is not None and not 1 <= number <= most:
            raise ModelError(
                f"{path} takes {_describe(inputs)}; the {name} size is 1 to {most}: export it for another one"
            )
    if sides[0] != sides[1]:
        raise ModelError(
            f"{path} takes {_describe(inputs)}; tiles are square: export the network for square images, or any size"
        )
    metadata = session.get_modelmeta().custom_metadata_map
    return Graph(
        input_name=inputs[0].name,
        output_name=chosen[0].name,
        channels=channels,
        tile_size=sides[0],
        batch=batch,
        activation=_activation(proto, chosen[0].name),
        contract=_contract_in(metadata, path),
        divisor=_divisor_in(metadata, path),
    )


def find_weight_files(path: Path) -> tuple[Path, ...]:
    """Find the files beside an ONNX file where it keeps weights, in the order of their names.

    Raises:
        ModelError: if the file is broken, or names one outside of its folder.
        OptionError: without the extra `onnx`.
    """
    return _weight_files(_parse(path), path)


def _parse(path: Path) -> "ModelProto":
    """Read an ONNX file without the weights that lie beside it."""
    try:
        import onnx
    except ImportError as error:
        raise OptionError("looking into an ONNX file needs onnx: pip install 'geodeeplab[onnx]'") from error
    try:
        return onnx.load(path, load_external_data=False)
    except Exception as error:  # an OSError, or one of protobuf's
        reason = " ".join(str(error).split())[:200]
        raise ModelError(f"onnx and onnxruntime cannot read {path} ({reason}): export the network again") from error


def _weight_files(proto: "ModelProto", path: Path) -> tuple[Path, ...]:
    """Give the files that a graph keeps weights in; refuse those that are not in its folder, or below it."""
    names = {
        entry.value for tensor in _iter_tensors(proto) for entry in tensor.external_data if entry.key == "location"
    }
    folder = path.parent.resolve()
    for name in names:
        is_inside = "\0" not in name and (folder / name).resolve().is_relative_to(folder)
        if not is_inside or Path(name).is_absolute():
            raise ModelError(
                f"{path} names weights outside of its folder, {shown(name)}, which are not followed: put them beside "
                "the file, and export it with their name alone"
            )
    return tuple(path.parent / name for name in sorted(names))


def _iter_tensors(proto: "ModelProto") -> "Iterator[TensorProto]":
    """Yield all tensors that a graph holds, those of branches, loops and functions, too."""
    waiting = [proto.graph]
    nodes: list[NodeProto] = [node for function in proto.functions for node in function.node]
    while waiting or nodes:
        while nodes:
            for attribute in nodes.pop().attribute:
                yield from (attribute.t, *attribute.tensors)
                for sparse in (attribute.sparse_tensor, *attribute.sparse_tensors):
                    yield from (sparse.values, sparse.indices)
                waiting += [attribute.g, *attribute.graphs]
        if waiting:
            graph = waiting.pop()
            yield from graph.initializer
            for sparse in graph.sparse_initializer:
                yield from (sparse.values, sparse.indices)
            nodes += graph.node


def _activation(proto: "ModelProto", output: str) -> str | None:
    """Name the activation that an output comes from, through nodes that change no value."""
    makers = {name: node for node in proto.graph.node for name in node.output}
    for _ in range(len(makers)):
        node = makers.get(output)
        if node is None or node.op_type not in ("Identity", "Cast"):
            break
        output = node.input[0] if node.input else ""
    node = makers.get(output)
    if node is None or node.domain not in ("", "ai.onnx"):
        return None
    if node.op_type == "Softmax":
        axes = [attribute.i for attribute in node.attribute if attribute.name == "axis"]
        return "softmax" if axes in ([1], [-3]) else None
    return "sigmoid" if node.op_type == "Sigmoid" else None


def _contract_in(metadata: dict[str, str], path: Path) -> Contract | None:
    if HEADER_KEY not in metadata:
        return None
    try:
        return Contract.from_json(metadata[HEADER_KEY])
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from error


def _divisor_in(metadata: dict[str, str], path: Path) -> int:
    stated = metadata.get(DIVISOR_KEY, "1") if HEADER_KEY in metadata else "1"
    if stated not in ("1", str(DIVISOR)):
        raise ModelError(f"{path}: pixels are divided by 1 or {DIVISOR}, not by {shown(stated)}: export the file again")
    return int(stated)


def _describe(nodes: Sequence[Any]) -> str:
    """List inputs or outputs of a graph for a message."""
    return ", ".join(f"'{node.name}' {node.type} {node.shape}" for node in nodes) or "nothing"
