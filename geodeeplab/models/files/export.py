"""ONNX: one file that other runtimes run, with normalisation and PointRend inside and the contract beside."""

import copy
import dataclasses
import os

import torch
from torch import Tensor, nn

from geodeeplab.atomic import write_output
from geodeeplab.errors import ModelError, OptionError
from geodeeplab.models.contract import HEADER_KEY, Contract, with_tile_size
from geodeeplab.models.files.foreign import ForeignNetwork
from geodeeplab.models.files.normalise import Normalisation
from geodeeplab.quiet import ignore_warnings

OPSET = 18
"""The ONNX operator set of exported files: new enough for GridSample (16), old enough for runtimes since 2023."""
INPUT_NAME, OUTPUT_NAME = "images", "logits"


class ExportedGraph(nn.Module):
    """What an exported file computes: pixels as they are in the scene to logits."""

    def __init__(self, network: nn.Module, contract: Contract) -> None:
        """Take the network and the contract that says how it wants its input."""
        super().__init__()
        self.normalise = Normalisation(contract)
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        """Give logits (N, K, H, W) of images (N, C, H, W) in the contract's value range, NaN where there is no data."""
        valid = ~(~(images.abs() < torch.inf)).any(1)  # (N, H, W); False for NaN and infinity, as scenes are read
        logits: Tensor = self.network(self.normalise(images, valid), valid)  # (N, K, H, W)
        return logits


def export_onnx(
    network: nn.Module,
    contract: Contract,
    dst_path: str | os.PathLike[str],
    *,
    tile_size: int | None = None,
    batch_size: int | None = None,
) -> None:
    """Write the network as an ONNX file (opset `OPSET`) under a temporary name, then rename it.

    The graph maps `images` (N, C, T, T), float32, bands and values as the contract says, NaN where there is no data, to
    `logits` (N, K, T, T), float32. The contract stands in the file's metadata under the key `geodeeplab`, with the tile
    size of the graph.

    Law: a runtime's logits equal the network's up to float rounding, but for PointRend's points at the cut-off: where
    the N-th and the next point are equally certain up to rounding, one may be refined instead of the other.

    Args:
        network: weights to export, as in `save_model`; neither its mode nor its device changes.
        contract: what they were trained on.
        dst_path: a path that ends in .onnx; replaced if it exists.
        tile_size: T, fixed in the file; by default the contract's.
        batch_size: N, fixed in the file; by default any.

    Raises:
        ModelError: if the network gives probabilities by its contract, and is not one of `as_model`.
        OptionError: if the extra `onnx` is not installed, or a size is below 1.
        OutputError: if the file cannot be written.
    """
    try:
        import onnx
        import onnxscript  # noqa: F401  (torch.onnx translates with it)
    except ImportError as error:
        raise OptionError("export needs onnx and onnxscript: pip install 'geodeeplab[onnx]'") from error
    for name, value in (("tile", tile_size), ("batch", batch_size)):
        if value is not None and value < 1:
            raise OptionError(f"the {name} size is at least 1, not {value}: choose another, or leave it out")
    if contract.output == "probabilities" and not isinstance(network, ForeignNetwork):
        raise ModelError(
            f"an exported file gives logits, and the network of '{contract.name}' probabilities by its contract: "
            "export the network and the contract of gdl.as_model"
        )
    contract = dataclasses.replace(contract, output=None, positive=None)  # of what is inside
    contract = with_tile_size(contract, contract.tile_size if tile_size is None else tile_size)
    graph = ExportedGraph(copy.deepcopy(network).cpu().float(), contract).eval()
    sample = torch.zeros(batch_size or 2, len(contract.bands), contract.tile_size, contract.tile_size)
    with ignore_warnings(FutureWarning, ".*LeafSpec"):  # torch 2.11 warns of itself
        program = torch.onnx.export(
            graph.to(memory_format=torch.contiguous_format),
            (sample,),
            dynamo=True,
            opset_version=OPSET,
            input_names=[INPUT_NAME],
            output_names=[OUTPUT_NAME],
            dynamic_shapes=None if batch_size else {"images": {0: torch.export.Dim("batch")}},
            verbose=False,
        )
    assert program is not None, "torch.onnx.export with dynamo gives a program"
    proto = program.model_proto
    for part in (*proto.graph.node, *proto.graph.value_info):
        part.ClearField("metadata_props")  # stack traces, with this machine's paths
    onnx.helper.set_model_props(proto, {HEADER_KEY: contract.to_json()})
    write_output(dst_path, proto.SerializeToString())
