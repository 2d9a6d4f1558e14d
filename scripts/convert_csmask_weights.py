"""Make a file of weights of `efficientnet_b4_csmask` from the package that they were published in.

    pip download --no-deps --dest out ukis-csmask==1.0.0
    python scripts/convert_csmask_weights.py out/ukis_csmask-1.0.0-py3-none-any.whl --out csmask.safetensors

ukis-csmask (German Aerospace Center, Apache-2.0) finds clouds and their shadows in Landsat and Sentinel-2: a U-Net on
EfficientNet-B4. What becomes of it here is the encoder up to stride 16. Its tensors come in the order of the network's
and are checked by shape. They are stored as float16, those of batch norms as float32. `--bands 4` takes the network of
blue, green, red and near infrared alone. Needs the package onnx.
"""

import argparse
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path

import onnx
import torch
from onnx import numpy_helper
from safetensors.torch import save_file
from torch import Tensor

from geodeeplab.models import build_backbone

BACKBONE = "efficientnet_b4_csmask"
BANDS = ("blue", "green", "red", "nir", "swir1", "swir2")
ENCODER = "model.encoder."
COUNTER = "num_batches_tracked"


def read_source(wheel: Path, bands: int) -> tuple[dict[str, Tensor], tuple[list[float], list[float]]]:
    """Read the encoder's tensors out of the wheel, and mean and deviation of the reflectances it expects."""
    with zipfile.ZipFile(wheel) as archive:
        graph = onnx.load_from_string(archive.read(f"ukis_csmask/model_{bands}b_l2a.onnx")).graph
        facts = json.loads(archive.read(f"ukis_csmask/model_{bands}b_l2a.json"))
    tensors = {
        item.name.removeprefix(ENCODER): torch.from_numpy(numpy_helper.to_array(item).copy())
        for item in graph.initializer
        if item.name.startswith(ENCODER)
    }
    mean, std = facts["data"]["dataset_statistics"]["img"]
    return tensors, (mean, std)


def convert(source: Mapping[str, Tensor], bands: int) -> dict[str, Tensor]:
    """Give the source's tensors under the backbone's keys."""
    theirs = [(key, tensor) for key, tensor in source.items() if not key.endswith(COUNTER)]
    with torch.device("meta"):
        network = build_backbone(BACKBONE, in_channels=bands).state_dict()
    ours = [(key, tensor.shape) for key, tensor in network.items() if not key.endswith(COUNTER)]
    tensors = {}
    for (their_key, tensor), (key, shape) in zip(theirs, ours, strict=False):  # the source goes on to stride 32
        assert (their_key.rpartition(".")[2], tensor.shape) == (key.rpartition(".")[2], shape), (their_key, key)
        tensors[key] = tensor.to(torch.float16 if tensor.ndim > 1 else torch.float32).contiguous()
    return tensors


def main() -> None:
    """Write the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("wheel", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--bands", type=int, choices=(4, 6), default=6)
    options = parser.parse_args()
    source, (mean, std) = read_source(options.wheel, options.bands)
    header = {
        "bands": BANDS[: options.bands],
        "mean": mean,
        "std": std,
        "data": "Sentinel-2 and Landsat 5 to 9, clouds and shadows, from ImageNet",
        "licence": "Apache-2.0",
        "source": "ukis-csmask 1.0.0",
    }
    save_file(convert(source, options.bands), options.out, metadata={"weights": json.dumps(header, sort_keys=True)})
    print(f"{options.out}: {options.out.stat().st_size} bytes")


if __name__ == "__main__":
    main()
