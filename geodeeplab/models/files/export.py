"""ONNX: one file that other runtimes run, with normalisation and PointRend inside and the contract beside."""

import copy
import dataclasses
import os

import torch
from torch import Tensor, nn

from geodeeplab.atomic import write_output
from geodeeplab.errors import ModelError, OptionError
from geodeeplab.models.contract import HEADER_KEY, Contract, contract_of_classes, with_tile_size
from geodeeplab.models.files.foreign import ForeignNetwork
from geodeeplab.models.files.normalise import Normalisation
from geodeeplab.models.files.onnx_targets import (
    DIVISOR,
    DIVISOR_KEY,
    Target,
    check_target,
    program_keys,
    program_overlap,
)
from geodeeplab.models.network import without_boundary
from geodeeplab.quiet import ignore_warnings

OPSET = 18
"""The ONNX operator set of exported files: new enough for GridSample (16), old enough for runtimes since 2023."""
IR_VERSION = 8
"""The version of the file format, as old as `OPSET`: onnxruntime 1.16, the last before NumPy 2, reads up to 9."""
INPUT_NAME, LOGITS, PROBABILITIES = "images", "logits", "probabilities"


class ExportedGraph(nn.Module):
    """What an exported file computes: pixels as they are in the scene to logits, or for a program that thresholds."""

    def __init__(self, network: nn.Module, contract: Contract, *, target: Target = "plain") -> None:
        """Take the network, the contract that says how it wants its input, and whom the file is for."""
        super().__init__()
        self.normalise = Normalisation(contract)
        self.network = network
        self.temperature = contract.temperature
        self.is_plain = target == "plain"

    def forward(self, images: Tensor) -> Tensor:
        """Give logits (N, K, H, W) of images (N, C, H, W) in the contract's value range, NaN where there is no data.

        For a program that divides pixels by 255, images are those, and what is given is probabilities. Such programs
        fill tiles up with 0 past the scene's right and lower edge, where scenes are reflected here.
        """
        if not self.is_plain:
            images = mirror_past_edge(images) * DIVISOR
        valid = ~(~(images.abs() < torch.inf)).any(1)  # (N, H, W); False for NaN and infinity, as scenes are read
        logits: Tensor = self.network(self.normalise(images, valid), valid)  # (N, K, H, W)
        if self.temperature != 1:
            logits = logits / self.temperature
        return logits if self.is_plain else logits.softmax(1)


def mirror_past_edge(images: Tensor) -> Tensor:
    """Reflect images (N, C, H, W) into the rows below, and the columns to the right of, the last that are not 0."""
    for axis in (2, 3):
        side = images.shape[axis]
        place = torch.arange(side, device=images.device)
        is_filled = (images != 0).float().amax(dim=(1, 5 - axis))  # (N, side)
        last = (is_filled * place).amax(1, keepdim=True).long()  # (N, 1)
        reflected = last - (place % (2 * last).clamp(min=1) - last).abs()
        source = torch.where(place <= last, place, reflected)  # (N, side)
        source = source[:, None, :, None] if axis == 2 else source[:, None, None, :]
        images = images.gather(axis, source.expand(images.shape))
    return images


def export_onnx(
    network: nn.Module,
    contract: Contract,
    dst_path: str | os.PathLike[str],
    *,
    tile_size: int | None = None,
    batch_size: int | None = None,
    target: Target = "plain",
    resolution_cm: float | None = None,
) -> None:
    """Write the network as an ONNX file (opset `OPSET`) under a temporary name, then rename it.

    Of a network that gives boundaries, too, the graph has the classes alone.

    The graph maps `images` (N, C, T, T), float32, bands and values as the contract says, NaN where there is no data, to
    `logits` (N, K, T, T), float32. The contract stands in the file's metadata under the key `geodeeplab`, with the tile
    size of the graph.

    For `deepness` and `geodeep` the `images` are pixels divided by 255, the output is `probabilities` (N, K, T, T), and
    the metadata hold what these programs read, too (`program_keys`). Either program takes either file. The overlap is
    one that they can cut, a whole percentage of the tile.

    Logits are divided by the contract's temperature in the graph, so that their softmax is calibrated in every program;
    the contract in the file states none.

    Law: a runtime's logits equal the network's, so divided, up to float rounding, but for PointRend's points at the
    cut-off: where the N-th and the next point are equally certain up to rounding, one may be refined instead of the
    other.

    Args:
        network: weights to export, as in `save_model`; neither its mode nor its device changes.
        contract: what they were trained on.
        dst_path: a path that ends in .onnx; replaced if it exists.
        tile_size: T, fixed in the file; by default the contract's.
        batch_size: N, fixed in the file; by default any.
        target: whom the file is for.
        resolution_cm: centimetres a pixel at which that program shall run it; by default the contract's. Needed where
            the contract states none.

    Raises:
        ModelError: if the network gives probabilities by its contract, and is not one of `as_model`; if the program
            cannot run the model.
        OptionError: if the extra `onnx` is not installed, a size is below 1, or nothing states the resolution.
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
    check_target(contract, target, resolution_cm=resolution_cm)
    if contract.output == "probabilities" and not isinstance(network, ForeignNetwork):
        raise ModelError(
            f"an exported file gives logits, and the network of '{contract.name}' probabilities by its contract: "
            "export the network and the contract of gdl.as_model"
        )
    network, contract = without_boundary(network), contract_of_classes(contract)
    contract = dataclasses.replace(contract, output=None, positive=None, int8_ranges={})  # of what is inside
    contract = with_tile_size(contract, contract.tile_size if tile_size is None else tile_size)
    if target != "plain":
        contract = dataclasses.replace(contract, overlap=program_overlap(contract))
    graph = ExportedGraph(copy.deepcopy(network).cpu().float(), contract, target=target).eval()
    contract = dataclasses.replace(contract, temperature=1.0)  # it is inside
    sample = torch.zeros(batch_size or 2, len(contract.bands), contract.tile_size, contract.tile_size)
    with ignore_warnings(FutureWarning, ".*LeafSpec"):  # torch 2.11 warns of itself
        program = torch.onnx.export(
            graph.to(memory_format=torch.contiguous_format),
            (sample,),
            dynamo=True,
            opset_version=OPSET,
            input_names=[INPUT_NAME],
            output_names=[LOGITS if target == "plain" else PROBABILITIES],
            dynamic_shapes=None if batch_size else {"images": {0: torch.export.Dim("batch")}},
            verbose=False,
        )
    assert program is not None, "torch.onnx.export with dynamo gives a program"
    proto = program.model_proto
    for part in (*proto.graph.node, *proto.graph.value_info):
        part.ClearField("metadata_props")  # stack traces, with this machine's paths
    proto.ir_version = IR_VERSION
    keys = {HEADER_KEY: contract.to_json()}
    if target != "plain":
        keys |= {DIVISOR_KEY: str(DIVISOR)} | program_keys(contract, resolution_cm=resolution_cm)
    onnx.helper.set_model_props(proto, keys)
    write_output(dst_path, proto.SerializeToString())
