"""ONNX files as networks, run by onnxruntime (extra `onnx`)."""

import os
import threading
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from geodeeplab.errors import GeoDeepLabWarning, ModelError, OptionError
from geodeeplab.models.files.foreign import OutputForm

if TYPE_CHECKING:
    from geodeeplab.models.files.onnx_graph import Graph

CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"
CUDA_OPTIONS = {"cudnn_conv_algo_search": "HEURISTIC", "use_tf32": "0"}
"""Algorithms by rule instead of by the clock, which would choose others the next time; float32 throughout."""


class OnnxNetwork(nn.Module):
    """An ONNX file as a network. Without parameters in torch; it can be pickled, and run from several threads.

    onnxruntime computes with as many threads as torch does in the calling thread. The same images give the same logits,
    to the bit, on the same machine at the same number of threads.
    """

    def __init__(self, path: str | os.PathLike[str], graph: "Graph", *, num_classes: int, name: str) -> None:
        """Take the file, what is in it, the number of classes, and how messages name it."""
        super().__init__()
        self.path, self.graph = Path(path), graph
        self.form = OutputForm(name=name, num_classes=num_classes, channels=num_classes)
        """What the graph gives; `as_model` finds it out."""
        self.forget_sessions()

    def forward(self, images: Tensor, valid: Tensor | None = None) -> Tensor:
        """Give logits (N, K, H, W), float32, on the device of the images (N, C, H, W); `valid` is not used.

        Raises:
            ModelError: if the graph gives something else than its form says.
        """
        return self.form.to_logits(self.raw(images, valid), images)  # (N, K, H, W)

    def raw(self, images: Tensor, valid: Tensor | None = None) -> Tensor:
        """Give what the graph gives, (N, channels, h, w) float32, on the device of the images."""
        session = self._session(images.device)
        content = (images.float() / self.graph.divisor).contiguous().cpu().numpy()
        (found,) = session.run([self.graph.output_name], {self.graph.input_name: content})
        return torch.from_numpy(np.ascontiguousarray(found, dtype=np.float32)).to(images.device)

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
    ort = import_onnxruntime()
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.use_deterministic_compute = True
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # idle threads leave the cores to others
    options.log_severity_level = 4  # errors arrive as exceptions
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
    if device.type == "cuda" and CUDA in import_onnxruntime().get_available_providers():
        return [(CUDA, {"device_id": str(device.index or 0), **CUDA_OPTIONS}), CPU]
    if device.type != "cpu":
        warnings.warn(
            f"this onnxruntime cannot compute on {device.type}, so the network runs on the CPU: "
            "pass `device='cpu'`, or install onnxruntime-gpu for CUDA",
            GeoDeepLabWarning,
            stacklevel=2,
        )
    return [CPU]


def import_onnxruntime() -> Any:  # noqa: ANN401 - onnxruntime has no types
    """Give the module onnxruntime.

    Raises:
        OptionError: if it is not installed.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise OptionError("an ONNX file runs with onnxruntime: pip install 'geodeeplab[onnx]'") from error
    return onnxruntime
