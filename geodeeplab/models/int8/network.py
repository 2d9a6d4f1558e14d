"""A network in int8, run by OpenVINO on the CPU (extra `openvino`)."""

import sys
import threading
from collections.abc import Sequence
from queue import SimpleQueue
from typing import Any

import torch
from torch import Tensor, nn

from geodeeplab.errors import ModelError, OptionError
from geodeeplab.models.int8.calibrate import int8_convolutions
from geodeeplab.models.int8.graph import build_graph
from geodeeplab.models.int8.ranges import Ranges
from geodeeplab.models.network import SegmentationNetwork

DEVICE = "CPU"
TELEMETRY = "openvino_telemetry"
"""A package that tells OpenVINO's makers who imports it; without it, nothing is told."""


class Int8Network(nn.Module):
    """Backbone and head of a network by OpenVINO, with convolutions in int8; PointRend's points by torch in float32.

    A batch's shape is compiled when it is first seen. Law: the same images give the same logits, to the bit, on the
    same kind of CPU at the same number of threads, from whatever thread they are asked for.
    """

    def __init__(
        self, network: SegmentationNetwork, ranges: Ranges | None, *, lanes: int = 1, threads: int = 1
    ) -> None:
        """Take the network and how it is run.

        Args:
            network: in evaluation mode, on the CPU.
            ranges: of what its convolutions read; None for float32 by OpenVINO, to compare with.
            lanes: forward passes side by side.
            threads: of each.

        Raises:
            OptionError: without OpenVINO.
            ModelError: if the ranges are not those of the network's convolutions.
        """
        super().__init__()
        self._openvino = import_openvino()
        if ranges is not None:
            _check_names(network, ranges)
        self.network, self.ranges, self.lanes, self.threads = network, ranges, lanes, threads
        self._requests: dict[tuple[int, ...], SimpleQueue[Any]] = {}
        self._lock = threading.Lock()

    def forward(self, images: Tensor, valid: Tensor | None = None) -> Tensor:
        """Give logits (N, K, H, W), float32, of normalised images (N, C, H, W); see `SegmentationNetwork`."""
        coarse, *fine = self._run(images)
        return self.network.finish(coarse, fine, shape=images.shape[-2:], valid=valid)  # (N, K, H, W)

    def _run(self, images: Tensor) -> list[Tensor]:
        """Give coarse logits and fine levels."""
        idle = self._idle_requests(tuple(images.shape))
        request = idle.get()
        try:
            request.infer([images.contiguous().numpy()])
            outputs = range(len(request.model_outputs))
            return [torch.from_numpy(request.get_output_tensor(index).data.copy()) for index in outputs]
        finally:
            idle.put(request)

    def _idle_requests(self, shape: tuple[int, ...]) -> "SimpleQueue[Any]":
        """Give those of a shape that nobody is computing with, as many as there are lanes; compiled once."""
        with self._lock:
            if shape not in self._requests:
                compiled = self._compile(shape)
                self._requests[shape] = SimpleQueue()
                for _ in range(self.lanes):
                    self._requests[shape].put(compiled.create_infer_request())
            return self._requests[shape]

    def _compile(self, shape: Sequence[int]) -> Any:  # noqa: ANN401 - OpenVINO has no types
        ov = self._openvino
        images, outputs = build_graph(self.network, shape, self.ranges, ov.opset14)
        graph = ov.Model([ov.opset14.result(output) for output in outputs], [images], "geodeeplab")
        how = {
            "NUM_STREAMS": self.lanes,
            "INFERENCE_NUM_THREADS": self.lanes * self.threads,
            "ENABLE_CPU_PINNING": False,
            "INFERENCE_PRECISION_HINT": "f32",  # of what is not int8: bfloat16 elsewhere would be other labels
        }
        return ov.Core().compile_model(graph, DEVICE, how)


def import_openvino() -> Any:  # noqa: ANN401 - OpenVINO has no types
    """Give the module openvino; it reports to nobody that it was imported here.

    Raises:
        OptionError: if it is not installed.
    """
    is_silenced = TELEMETRY not in sys.modules
    if is_silenced:
        sys.modules[TELEMETRY] = None  # type: ignore[assignment]  # so the import of it fails, which openvino expects
    try:
        import openvino
    except ImportError as error:
        raise OptionError("int8 runs with OpenVINO: pip install 'geodeeplab[openvino]'") from error
    finally:
        if is_silenced:
            del sys.modules[TELEMETRY]
    return openvino


def _check_names(network: SegmentationNetwork, ranges: Ranges) -> None:
    wrong = sorted(set(int8_convolutions(network)) ^ set(ranges))
    if wrong:
        raise ModelError(
            f"the model's int8_ranges are those of another network ({wrong[0]!r}): save it again with `int8=True`"
        )
