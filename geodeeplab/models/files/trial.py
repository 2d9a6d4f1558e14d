"""A network from elsewhere, tried on a tile before any work: does it take this size, and what does it give?"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from geodeeplab.errors import ModelError, OptionError
from geodeeplab.models.contract import MAX_TILE_SIZE, Contract
from geodeeplab.models.files.foreign import ForeignNetwork
from geodeeplab.models.files.model import Model
from geodeeplab.models.files.onnx_model import OnnxNetwork

LARGEST_BATCH_BYTES = 2**31
"""Pixels of the largest batch that a file may ask for."""
USUAL_SIZES = (224, 256, 384, 448, 512, 518, 640, 768, 1024)
"""Sizes that networks of one size have."""
ACTIVATIONS = {
    torch.ops.aten.sigmoid: "sigmoid",
    torch.ops.aten.sigmoid_: "sigmoid",
    torch.ops.aten.softmax: "softmax",
    torch.ops.aten._softmax: "softmax",
}


OUT_OF_MEMORY = (
    "out of memory",
    "can't allocate memory",
    "not enough memory",
    "failed to allocate memory",
    "bad_alloc",
    "_alloc_failed",  # CUBLAS_STATUS_ALLOC_FAILED, and the same of cuDNN, cuSOLVER, cuFFT
    "_allocation_failed",  # CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED
    "cublas_status_not_initialized",  # from cublasCreate, which takes memory of its own
    "cudnn_status_not_initialized",
    "unable to find an engine to execute",  # of cuDNN: none has the room that it works in
)
"""Words, in small letters, by which libraries say that no memory is left."""


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether an error says that the device or the host has no memory left."""
    text = str(error).lower()
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or any(words in text for words in OUT_OF_MEMORY)


class TileRefusedError(Exception):
    """The network does not take such a batch; says why, on one line."""


def try_tile(model: Model, *, tile_size: int, batch: int | None = None) -> tuple[Tensor, Tensor, str | None]:
    """Forward one batch of tiles, where the network is.

    A third of the tile are the bands' means, a third lies around them, a third spans the contract's range of values.

    Returns:
        What the network itself gives, the images that it was given (N, C, T, T), and the activation (`sigmoid` or
        `softmax`) that it ends in, None where it ends in none or hides it.

    Raises:
        TileRefusedError: if the network does not take it; where memory runs out, the error that says so.
        ModelError: if it gives something else than numbers.
    """
    network, contract = model.network, model.contract
    count = model.fixed_batch or batch or 1
    if 4 * count * len(contract.bands) * tile_size**2 > LARGEST_BATCH_BYTES:
        raise ModelError(
            f"model '{contract.name}' is tried on {count} tiles of {len(contract.bands)} × {tile_size} × {tile_size}, "
            "which is more than 2 GB: choose a smaller tile size"
        )
    device = next((t.device for t in (*network.parameters(), *network.buffers())), torch.device("cpu"))
    pixels = _draw(contract, count, tile_size).to(device)
    valid = torch.ones(count, tile_size, tile_size, dtype=torch.bool, device=device)
    images = model.preparation().to(device)(pixels, valid)
    call = network.raw if isinstance(network, ForeignNetwork | OnnxNetwork) else network
    watch = _Watch()
    try:
        with torch.inference_mode(), watch:
            raw: Tensor = call(images, valid)
    except (ModelError, OptionError):
        raise
    except Exception as error:  # whatever a network from elsewhere may raise
        if is_out_of_memory(error):
            raise
        raise TileRefusedError(f"{type(error).__name__}: {' '.join(str(error).split())[:200]}") from error
    if raw.numel() and not raw.isfinite().any():
        raise ModelError(
            f"model '{contract.name}' gives no finite number for pixels as its contract has them: check its weights, "
            "and the bands' mean and std"
        )
    activation = network.graph.activation if isinstance(network, OnnxNetwork) else watch.name_of(raw)
    return raw, images, activation


def refuse_size(model: Model, tile_size: int, reason: str) -> ModelError:
    """Say that the network does not take tiles of a size, and which size it takes."""
    contract = model.contract
    shape = (model.fixed_batch or 1, len(contract.bands), tile_size, tile_size)
    good = find_size(model, tile_size)
    advice = "correct the contract's bands or tile_size, or the network"
    if good is not None:
        advice = f"the next size that it takes is {good}: choose it as tile size"
    return ModelError(
        f"model '{contract.name}' does not take {shape} float32, tiles of {tile_size} px ({reason}): {advice}"
    )


def find_size(model: Model, tile_size: int) -> int | None:
    """Find a tile size that the network takes, near to one that it does not; None if none of those tried is."""
    if model.fixed_tile_size is not None:
        return None
    sizes = _candidates(tile_size, model.contract.tile_size)
    return next((size for size in sizes if _takes(model, size)), None)


def check_tiles(model: Model, *, tile_size: int, batch: int) -> None:
    """Try a network from elsewhere at the size asked for, unless it was tried at it before.

    Raises:
        OptionError: if it does not take such tiles, or not so many at once; with the next size that it takes.
    """
    network = model.network
    if not isinstance(network, ForeignNetwork | OnnxNetwork):
        return
    if tile_size == model.contract.tile_size and batch == (model.fixed_batch or 1):
        return
    try:
        raw, images, _ = try_tile(model, tile_size=tile_size, batch=batch)
    except TileRefusedError as refused:
        if batch > 1 and _takes(model, tile_size):
            raise OptionError(
                f"model '{model.contract.name}' does not take {batch} tiles of {tile_size} px at once ({refused}): "
                "choose a batch size of 1"
            ) from refused
        raise OptionError(str(refuse_size(model, tile_size, str(refused)))) from refused
    except Exception as error:
        if is_out_of_memory(error):
            return  # the engine halves its batches, or says what to do
        raise
    network.form.check(raw, images)


def _takes(model: Model, tile_size: int) -> bool:
    try:
        try_tile(model, tile_size=tile_size)
    except Exception:  # memory, too
        return False
    return True


def _candidates(tile_size: int, stated: int) -> Iterator[int]:
    """Yield sizes to try: the next multiples of powers of two, the next size, the contract's, and usual ones."""
    multiples = sorted({-(-tile_size // step) * step for step in (2, 4, 8, 16, 32, 64, 128, 256)} | {tile_size + 1})
    others = sorted({stated, *USUAL_SIZES}, key=lambda size: abs(size - tile_size))
    for size in dict.fromkeys([*multiples, *others]):
        if size != tile_size and size <= MAX_TILE_SIZE:
            yield size


def _draw(contract: Contract, count: int, tile_size: int) -> Tensor:
    """Draw pixels (N, C, T, T) float32 of all kinds, always the same."""
    generator = torch.Generator().manual_seed(0)
    mean = torch.tensor([band.mean for band in contract.bands]).view(1, -1, 1, 1)
    std = torch.tensor([band.std for band in contract.bands]).view(1, -1, 1, 1)
    low, high = contract.value_range
    shape = (count, len(contract.bands), tile_size, tile_size)
    pixels = torch.randn(shape, generator=generator)
    pixels[:, :, : tile_size // 3] = 0
    pixels = pixels * std + mean
    rest = pixels[:, :, 2 * tile_size // 3 :]
    rest.copy_(torch.rand(rest.shape, generator=generator) * (high - low) + low)
    return pixels


class _Watch(TorchDispatchMode):
    """Remembers what sigmoids and softmaxes gave, so that an output is known to come from one."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch's
        self._seen: list[tuple[Tensor, str]] = []

    def __torch_dispatch__(
        self,
        func: Any,  # noqa: ANN401 - torch's own signature
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401
        result = func(*args, **(kwargs or {}))
        name = ACTIVATIONS.get(func.overloadpacket)
        if name == "sigmoid" or (name == "softmax" and args[1] in (1, 1 - args[0].ndim)):
            self._seen.append((result, name))
        return result

    def name_of(self, output: Tensor) -> str | None:
        """Name the activation whose output this is."""
        for made, name in reversed(self._seen):
            if made.data_ptr() == output.data_ptr() and made.shape == output.shape:
                return name
        return None
