"""The model file: one safetensors file whose header carries the input contract. Loading never unpickles."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from geodeeplab.errors import ModelError, OutputError
from geodeeplab.models.build import build_model
from geodeeplab.models.contract import Contract
from geodeeplab.models.network import SegmentationNetwork

HEADER_KEY = "geodeeplab"
BUNDLED_FOLDER = Path(__file__).parents[1] / "bundled"
DEFAULT_MODEL = "landcover-aerial"


@dataclass(frozen=True, kw_only=True)
class Model:
    """A network in evaluation mode with its contract."""

    network: SegmentationNetwork
    """The network, float32, on the CPU."""
    contract: Contract
    """What it was trained on."""
    path: Path
    """The file it came from."""


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
            f"choose one of {', '.join(iter_bundled())}, or give the path of a .safetensors file"
        )
    return Path(name_or_path)


def read_contract(name_or_path: str | os.PathLike[str]) -> Contract:
    """Read the contract of a model file without its weights.

    Raises:
        ModelError: if the file is missing or is not a GeoDeepLab model.
    """
    path = find_model(name_or_path)
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
    write_atomically(Path(dst_path), save(weights, metadata={HEADER_KEY: contract.to_json()}))


def write_atomically(dst_path: Path, content: bytes) -> None:
    """Write a file under a temporary name in the same folder, then rename it: it is whole, or it is not there.

    Raises:
        OutputError: if the file cannot be written.
    """
    temporary = dst_path.with_name(f".{dst_path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(dst_path)
    except OSError as error:
        raise OutputError(
            f"cannot write the model file {dst_path} ({error}): check the folder and the free space"
        ) from error
    finally:
        temporary.unlink(missing_ok=True)


def _stored(tensor: Tensor, half: bool) -> Tensor:
    """Give the tensor as it is stored."""
    shrink = half and tensor.is_floating_point() and tensor.ndim > 1
    return tensor.detach().cpu().to(torch.float16 if shrink else tensor.dtype).contiguous()
