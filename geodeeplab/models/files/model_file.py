"""The model, and the model file: one safetensors file whose header is the input contract. Loading never unpickles."""

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from geodeeplab.atomic import write_output
from geodeeplab.errors import ModelError, OptionError
from geodeeplab.models.build import build_model
from geodeeplab.models.files.contract import Contract
from geodeeplab.models.files.normalise import Normalisation, RawPixels, ValueMap
from geodeeplab.models.network import SegmentationNetwork

HEADER_KEY = "geodeeplab"
BUNDLED_FOLDER = Path(__file__).parents[2] / "bundled"
DEFAULT_MODEL = "landcover-aerial"


ONNX_SUFFIX = ".onnx"


@dataclass(frozen=True, kw_only=True)
class Model:
    """A network in evaluation mode with its contract; `load_model` and `as_model` make it."""

    network: nn.Module
    """Maps images (N, C, T, T) float32 and `valid` (N, T, T) to logits (N, K, T, T) float32."""
    contract: Contract
    """What it was trained on."""
    path: Path | None = None
    """The file it came from; None for a network that was handed over."""
    input: Literal["normalised", "raw"] = "normalised"
    """What its images are: by the contract's means and deviations, 0 where invalid; or numbers as the training scenes
    have them, NaN where invalid, for a network that normalises by itself."""
    fixed_tile_size: int | None = None
    """The only tile size T that it takes, in pixels; None for any."""
    fixed_batch: int | None = None
    """The only number N of tiles that it takes at once; None for any."""
    precisions: tuple[str, ...] = ("fp32", "bf16", "fp16")
    """Precisions that it can run at."""

    @property
    def files(self) -> tuple[Path, ...]:
        """Every file that it reads: its own, and those where an ONNX file keeps weights; none where it has no path."""
        if self.path is None:
            return ()
        if self.path.suffix.lower() != ONNX_SUFFIX:
            return (self.path,)
        from geodeeplab.models.files.onnx_model import find_weight_files

        return (self.path, *find_weight_files(self.path))

    @cached_property
    def checksum(self) -> str:
        """SHA-256 in hex of the file, or of the weights where there is no file; the contract is no part of it."""
        if self.path is None or not self.path.is_file():
            return _checksum_of_weights(self.network)
        digests = []
        for path in self.files:
            with open(path, "rb") as file:
                digests.append(hashlib.file_digest(file, "sha256"))
        for other in digests[1:]:
            digests[0].update(other.digest())
        return digests[0].hexdigest()

    def preparation(self, values: ValueMap | None = None) -> nn.Module:
        """Give what maps pixels (N, C, H, W) of a scene and `valid` (N, H, W) to the network's images.

        Args:
            values: how the scene's numbers become the contract's; without it they are the contract's.
        """
        return RawPixels(values) if self.input == "raw" else Normalisation(self.contract, values=values)

    def settle_precision(self, precision: str) -> str:
        """Give the precision to run at: as asked for, and in place of `auto` the only one that there is.

        Raises:
            OptionError: if the network cannot run at it.
        """
        if precision == "auto":
            return self.precisions[0] if len(self.precisions) == 1 else "auto"
        if precision in Model.precisions and precision not in self.precisions:  # an unknown name is the device's matter
            raise OptionError(
                f"model '{self.contract.name}' runs at {' or '.join(self.precisions)}, not {precision}: "
                "leave the precision at auto"
            )
        return precision

    def settle_tile_size(self, tile_size: int | None) -> int:
        """Give the tile size to run at: as asked for, else the contract's.

        Raises:
            OptionError: if the network takes another one only.
        """
        if self.fixed_tile_size is not None and tile_size not in (None, self.fixed_tile_size):
            raise OptionError(
                f"model '{self.contract.name}' takes tiles of {self.fixed_tile_size} px only, not {tile_size}: "
                "leave out the tile size, or export the network for another one"
            )
        return self.fixed_tile_size or tile_size or self.contract.tile_size

    def settle_batch_size(self, batch_size: int | None) -> int | None:
        """Give the number of tiles per forward as asked for, or the only one that there is; None where it is free.

        Raises:
            OptionError: if the network takes another one only.
        """
        if self.fixed_batch is not None and batch_size not in (None, self.fixed_batch):
            raise OptionError(
                f"model '{self.contract.name}' takes {self.fixed_batch} tiles at once only, not {batch_size}: "
                "leave out the batch size, or export the network for any"
            )
        return self.fixed_batch or batch_size


def iter_bundled() -> Iterator[str]:
    """Yield the names of the models that come with GeoDeepLab."""
    yield from sorted(path.stem for path in BUNDLED_FOLDER.glob("*.safetensors"))


def find_model(name_or_path: str | os.PathLike[str]) -> Path:
    """Find the file of a bundled model by its name, or of any other by its path.

    Raises:
        ModelError: if there is neither.
    """
    bundled = BUNDLED_FOLDER / f"{name_or_path}.safetensors"
    if bundled.is_file():
        return bundled
    if not Path(name_or_path).is_file():
        raise ModelError(
            f"no bundled model and no file is called {str(name_or_path)!r}: "
            f"choose one of {', '.join(iter_bundled())}, or give the path of a .safetensors or .onnx file"
        )
    return Path(name_or_path)


def read_contract(name_or_path: str | os.PathLike[str]) -> Contract:
    """Read the contract of a model file, or of an exported ONNX file, without building the network.

    Raises:
        ModelError: if the file is missing or is not a GeoDeepLab model.
        OptionError: for an ONNX file without the extra `onnx`.
    """
    path = find_model(name_or_path)
    if path.suffix.lower() == ONNX_SUFFIX:
        from geodeeplab.models.files.onnx_model import read_onnx_contract

        return read_onnx_contract(path)
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{path} is not a readable safetensors file ({error}): download or save it again") from error
    if HEADER_KEY not in metadata:
        raise ModelError(f"{path} carries no GeoDeepLab contract: save it with geodeeplab.models.save_model")
    try:
        return Contract.from_json(metadata[HEADER_KEY])
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from error


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
        network = build_model(**contract.architecture)
    except (TypeError, ModelError) as error:
        raise ModelError(f"{path} names an architecture that cannot be built ({error}): save it again") from error
    with safe_open(path, framework="pt") as file:
        weights = {key: file.get_tensor(key).float() for key in file.keys()}
    try:
        network.load_state_dict(weights, strict=True)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:200]
        raise ModelError(
            f"the weights in {path} do not fit the architecture it names ({reason}): save it again"
        ) from error
    return Model(network=network.eval(), contract=contract, path=path)


def save_model(
    network: SegmentationNetwork, contract: Contract, dst_path: str | os.PathLike[str], *, half: bool = True
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


def _stored(tensor: Tensor, half: bool) -> Tensor:
    """Give the tensor as it is stored."""
    shrink = half and tensor.is_floating_point() and tensor.ndim > 1
    return tensor.detach().cpu().to(torch.float16 if shrink else tensor.dtype).contiguous()


def _checksum_of_weights(network: nn.Module) -> str:
    """Hash the kind of network, and each of its tensors by name, type, shape and bytes."""
    digest = hashlib.sha256(f"{type(network).__module__}.{type(network).__qualname__}".encode())
    for key, tensor in sorted(network.state_dict().items()):
        if isinstance(tensor, Tensor):  # a module may keep other state beside its tensors
            digest.update(f"\0{key}\0{tensor.dtype}\0{tuple(tensor.shape)}\0".encode())
            content = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
            digest.update(content.numpy().tobytes())
    return digest.hexdigest()
