"""The model: a network with its contract, however it came here."""

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from geodeeplab.errors import OptionError
from geodeeplab.models.contract import MAX_TILE_SIZE, Contract
from geodeeplab.models.files.header import ONNX_SUFFIX
from geodeeplab.models.files.normalise import Normalisation, RawPixels, ValueMap
from geodeeplab.models.files.onnx_graph import find_weight_files
from geodeeplab.models.network import SegmentationNetwork


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
        if precision == "int8":
            self._check_int8()
            return precision
        if precision == "auto":
            return self.precisions[0] if len(self.precisions) == 1 else "auto"
        if precision in Model.precisions and precision not in self.precisions:  # an unknown name is the device's matter
            raise OptionError(
                f"model '{self.contract.name}' runs at {' or '.join(self.precisions)}, not {precision}: "
                "leave the precision at auto"
            )
        return precision

    def _check_int8(self) -> None:
        """Refuse to run in int8 what is not prepared for it.

        Raises:
            OptionError: for such a model.
        """
        if not isinstance(self.network, SegmentationNetwork):
            raise OptionError(
                f"the network of model '{self.contract.name}' was not made by build_model, and int8 is for those: "
                "leave the precision at auto"
            )
        if not self.contract.int8_ranges:
            raise OptionError(
                f"model '{self.contract.name}' carries no ranges for int8: save it with `int8=True` beside its "
                "training data, or leave the precision at auto"
            )

    def settle_tile_size(self, tile_size: int | None) -> int:
        """Give the tile size to run at: as asked for, else the contract's.

        Raises:
            OptionError: if the network takes another one only, or nobody could.
        """
        if self.fixed_tile_size is not None and tile_size not in (None, self.fixed_tile_size):
            raise OptionError(
                f"model '{self.contract.name}' takes tiles of {self.fixed_tile_size} px only, not {tile_size}: "
                "leave out the tile size, or export the network for another one"
            )
        if tile_size is not None and not 1 <= tile_size <= MAX_TILE_SIZE:
            raise OptionError(f"a tile has 1 to {MAX_TILE_SIZE} pixels along each axis, not {tile_size}: try 512")
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


def _checksum_of_weights(network: nn.Module) -> str:
    """Hash the kind of network, and each of its tensors by name, type, shape and bytes."""
    digest = hashlib.sha256(f"{type(network).__module__}.{type(network).__qualname__}".encode())
    for key, tensor in sorted(network.state_dict().items()):
        if isinstance(tensor, Tensor):  # a module may keep other state beside its tensors
            digest.update(f"\0{key}\0{tensor.dtype}\0{tuple(tensor.shape)}\0".encode())
            content = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
            digest.update(content.numpy().tobytes())
    return digest.hexdigest()
