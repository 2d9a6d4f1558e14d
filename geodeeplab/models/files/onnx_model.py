"""ONNX files as networks, run by onnxruntime (extra `onnx`)."""

import os
import threading
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from geodeeplab.errors import GeoDeepLabWarning, ModelError, OptionError
from geodeeplab.models.files.contract import Contract
from geodeeplab.models.files.export import with_tile_size
from geodeeplab.models.files.model_file import HEADER_KEY, Model

LOGITS_NAMES = ("logits", "out")
"""Which output of several has the logits: transformers' and ours, torchvision's."""
CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"
CUDA_OPTIONS = {"cudnn_conv_algo_search": "HEURISTIC", "use_tf32": "0"}
"""Algorithms by rule instead of by the clock, which would choose others the next time; float32 throughout."""


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
    contract: Contract | None
    """The contract of a file that GeoDeepLab exported, which takes raw pixels with NaN; None for others."""


class OnnxNetwork(nn.Module):
    """An ONNX file as a network. Without parameters in torch; it can be pickled, and run from several threads.

    onnxruntime computes with as many threads as torch does in the calling thread. The same images give the same logits,
    to the bit, on the same machine at the same number of threads.
    """

    def __init__(self, path: str | os.PathLike[str], graph: Graph, *, num_classes: int, name: str) -> None:
        """Take the file, what is in it, the number of classes, and how messages name it."""
        super().__init__()
        self.path, self.graph, self.num_classes, self.name = Path(path), graph, num_classes, name
        self.forget_sessions()

    def forward(self, images: Tensor, valid: Tensor | None = None) -> Tensor:
        """Give logits (N, K, H, W), float32, on the device of the images (N, C, H, W); `valid` is not used.

        Raises:
            ModelError: if the graph gives something else than logits of these classes.
        """
        session = self._session(images.device)
        content = images.float().contiguous().cpu().numpy()
        (found,) = session.run([self.graph.output_name], {self.graph.input_name: content})
        if found.ndim != 4 or found.shape[:2] != (len(content), self.num_classes):
            raise ModelError(
                f"model '{self.name}' has {self.num_classes} classes by its contract, so it gives logits "
                f"({len(content)}, {self.num_classes}, h, w), not {found.shape}: correct the contract's classes"
            )
        logits = torch.from_numpy(np.ascontiguousarray(found, dtype=np.float32)).to(images.device)
        if logits.shape[2:] == images.shape[2:]:
            return logits
        return nn.functional.interpolate(logits, images.shape[2:], mode="bilinear", align_corners=False)

    def __getstate__(self) -> dict[str, Any]:
        """Give the state without the sessions, which belong to this process."""
        return {key: value for key, value in self.__dict__.items() if key not in ("_sessions", "_lock")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)  # type: ignore[no-untyped-call]  # torch's
        self.forget_sessions()

    def forget_sessions(self) -> None:
        """Free what onnxruntime holds, such as another copy of the weights for each number of threads."""
        self._sessions: dict[tuple[torch.device, int], Any] = {}
        self._lock = threading.Lock()

    def _session(self, device: torch.device) -> Any:  # noqa: ANN401 - onnxruntime has no types
        """Give the session for a device and torch's present number of threads, opened once for each."""
        key = device, torch.get_num_threads()
        with self._lock:
            if key not in self._sessions:
                self._sessions[key] = open_session(self.path, providers_for(device), threads=key[1])
            return self._sessions[key]


def load_onnx(path: Path, contract: Contract | None) -> Model:
    """Load an ONNX file: an exported one with the contract that it carries, any other with the contract given.

    A tile size that is fixed in the graph replaces the contract's.

    Raises:
        ModelError: if the file is broken, is no segmentation network, or does not fit the contract; if it needs one.
        OptionError: if it carries its own contract and another is given; without the extra `onnx`.
    """
    graph = read_graph(path)
    if graph.contract is not None and contract is not None:
        raise OptionError(f"{path} carries its own contract: leave out the other one")
    chosen = graph.contract or contract
    if chosen is None:
        raise ModelError(
            f"{path} carries no GeoDeepLab contract: pass one that names its classes and bands, as a JSON file or as "
            "contract="
        )
    if graph.channels not in (None, len(chosen.bands)):
        raise ModelError(
            f"{path} reads {graph.channels} bands, the contract names {len(chosen.bands)} "
            f"({', '.join(chosen.band_names)}): correct the contract, or export the network with channels first"
        )
    if graph.tile_size is not None:
        chosen = with_tile_size(chosen, graph.tile_size)
    return Model(
        network=OnnxNetwork(path, graph, num_classes=len(chosen.classes), name=chosen.name).eval(),
        contract=chosen,
        path=path,
        input="normalised" if graph.contract is None else "raw",
        fixed_tile_size=graph.tile_size,
        fixed_batch=graph.batch,
        precisions=("fp32",),
    )


def read_onnx_contract(path: Path) -> Contract:
    """Read the contract of an ONNX file that GeoDeepLab exported.

    Raises:
        ModelError: if the file is broken, or carries none.
        OptionError: without the extra `onnx`.
    """
    contract = read_graph(path).contract
    if contract is None:
        raise ModelError(f"{path} carries no GeoDeepLab contract: write one with geodeeplab export, or pass contract=")
    return contract


def read_graph(path: Path) -> Graph:
    """Read what an ONNX file says about its input, its output and its contract.

    Raises:
        ModelError: if the file is broken, or does not map one batch of images to logits.
        OptionError: without the extra `onnx`.
    """
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
        contract=_contract_in(metadata, path),
    )


def find_weight_files(path: Path) -> tuple[Path, ...]:
    """Find the files beside an ONNX file where it keeps weights, in the order of their names.

    Raises:
        ModelError: if the file is broken.
        OptionError: without the extra `onnx`.
    """
    try:
        import onnx
    except ImportError as error:
        raise OptionError("looking into an ONNX file needs onnx: pip install 'geodeeplab[onnx]'") from error
    try:
        graph = onnx.load(path, load_external_data=False).graph
    except Exception as error:  # an OSError, or one of protobuf's
        raise ModelError(f"onnx cannot read {path} ({error}): export the network again") from error
    entries = [entry for tensor in graph.initializer for entry in tensor.external_data if entry.key == "location"]
    return tuple(path.parent / name for name in sorted({entry.value for entry in entries}))


def open_session(path: Path, providers: Sequence[Any], *, threads: int, is_for_reading: bool = False) -> Any:  # noqa: ANN401 - onnxruntime has no types
    """Open an ONNX file in onnxruntime.

    Args:
        path: the file.
        providers: onnxruntime's providers, the first that can compute a node does.
        threads: of the session.
        is_for_reading: look at the graph only, so spend no time on optimising it.

    Raises:
        ModelError: if onnxruntime cannot.
        OptionError: if it is not installed.
    """
    ort = _onnxruntime()
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.use_deterministic_compute = True
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # idle threads leave the cores to others
    options.log_severity_level = 3  # errors only, which arrive as exceptions
    if is_for_reading:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        return ort.InferenceSession(os.fspath(path), options, providers=list(providers))
    except Exception as error:  # onnxruntime's exceptions have no base of their own
        reason = " ".join(str(error).split())[:200]
        raise ModelError(f"onnxruntime cannot read {path} ({reason}): export the network again") from error


def providers_for(device: torch.device) -> list[Any]:
    """Give onnxruntime's providers for a device: CUDA if it is one and onnxruntime can, then the CPU.

    Warns:
        GeoDeepLabWarning: the device is another one than onnxruntime runs on.
    """
    if device.type == "cuda" and CUDA in _onnxruntime().get_available_providers():
        return [(CUDA, {"device_id": str(device.index or 0), **CUDA_OPTIONS}), CPU]
    if device.type != "cpu":
        warnings.warn(
            f"this onnxruntime cannot compute on {device.type}, so the network runs on the CPU: "
            "pass `device='cpu'`, or install onnxruntime-gpu for CUDA",
            GeoDeepLabWarning,
            stacklevel=2,
        )
    return [CPU]


def _onnxruntime() -> Any:  # noqa: ANN401 - onnxruntime has no types
    try:
        import onnxruntime
    except ImportError as error:
        raise OptionError("an ONNX file runs with onnxruntime: pip install 'geodeeplab[onnx]'") from error
    return onnxruntime


def _contract_in(metadata: dict[str, str], path: Path) -> Contract | None:
    if HEADER_KEY not in metadata:
        return None
    try:
        return Contract.from_json(metadata[HEADER_KEY])
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from error


def _describe(nodes: Sequence[Any]) -> str:
    """List inputs or outputs of a graph for a message."""
    return ", ".join(f"'{node.name}' {node.type} {node.shape}" for node in nodes) or "nothing"
