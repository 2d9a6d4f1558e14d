"""Batches through a network: fixed shapes, memory that runs out, compilation."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from geodeeplab.errors import GeoDeepLabWarning, OptionError
from geodeeplab.inference import Device, Forward, TileBatch
from geodeeplab.inference.exact import cuda, cudnn
from geodeeplab.inference.forward import known_to_metal
from geodeeplab.models.files.trial import is_out_of_memory
from geodeeplab.tiling import Lattice

CPU = Device(torch_device=torch.device("cpu"), precision="fp32")
SIZE = 8


class Plain(nn.Module):
    def forward(self, pixels: Tensor, valid: Tensor) -> Tensor:
        return pixels.float()


class Small(nn.Module):
    """Doubles its input; has memory for so many tiles at once."""

    def __init__(self, room: int) -> None:
        super().__init__()
        self.room, self.seen = room, []  # type: ignore[var-annotated]

    def forward(self, images: Tensor, valid: Tensor) -> Tensor:
        self.seen.append(len(images))
        if len(images) > self.room:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return 2 * images


def batch_of(filled: int, slots: int) -> TileBatch:
    lattice = Lattice(shape=(SIZE, SIZE * slots), tile_size=SIZE, overlap=0)
    pixels = torch.zeros(slots, 1, SIZE, SIZE, dtype=torch.uint8)
    valid = torch.zeros(slots, SIZE, SIZE, dtype=torch.bool)
    for slot in range(filled):
        pixels[slot], valid[slot] = slot + 1, True
    tiles = tuple((lattice.tile(0, col), col if col < filled else None) for col in range(slots))
    return TileBatch(tiles=tiles, pixels=pixels, valid=valid, wanted=valid)


def values(logits: Tensor | None) -> list[float]:
    assert logits is not None
    return [float(tile.unique().item()) for tile in logits]


def test_a_batch_keeps_its_shape_however_few_slots_are_filled() -> None:
    network = Small(room=9)
    forward = Forward(network, Plain(), device=CPU, batch_size=4)
    assert values(forward(batch_of(2, 4))) == [2, 4, 0, 0]
    assert network.seen == [4]
    assert forward(batch_of(0, 4)) is None
    assert network.seen == [4]


@pytest.mark.parametrize(("slots", "filled", "room", "left"), [(8, 8, 2, 2), (8, 5, 4, 4), (5, 5, 2, 2), (3, 3, 1, 1)])
def test_out_of_memory_halves_the_batch_says_so_and_goes_on(slots: int, filled: int, room: int, left: int) -> None:
    network = Small(room)
    forward = Forward(network, Plain(), device=CPU, batch_size=slots)
    with pytest.warns(GeoDeepLabWarning) as told:
        assert values(forward(batch_of(filled, slots)))[:filled] == [2 * (slot + 1) for slot in range(filled)]
    assert f"out of memory with {slots} tiles a batch, going on with {slots // 2}" in str(told[0].message)
    assert f"pass `batch_size={left}`" in str(told[-1].message)
    assert forward.batch_size == left
    network.seen.clear()
    assert values(forward(batch_of(filled, slots)))[:filled] == [2 * (slot + 1) for slot in range(filled)]
    assert set(network.seen) == {left}, "every pass has the same shape"


def test_a_tile_that_does_not_fit_is_an_error() -> None:
    forward = Forward(Small(room=0), Plain(), device=CPU, batch_size=1)
    with pytest.raises(OptionError, match="not enough memory for one tile: choose a smaller `tile_size=`"):
        forward(batch_of(1, 1))


def test_other_errors_are_not_mistaken_for_it() -> None:
    class Broken(nn.Module):
        def forward(self, images: Tensor, valid: Tensor) -> Tensor:
            raise RuntimeError("shape mismatch")

    with pytest.raises(RuntimeError, match="shape mismatch"):
        Forward(Broken(), Plain(), device=CPU, batch_size=2)(batch_of(2, 2))
    assert not is_out_of_memory(RuntimeError("CUDA error: CUBLAS_STATUS_EXECUTION_FAILED"))
    assert is_out_of_memory(MemoryError())
    assert is_out_of_memory(RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"))


@pytest.mark.parametrize(
    "words",
    [
        "CUDA error: out of memory",
        "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
        "CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`",
        "cuDNN error: CUDNN_STATUS_ALLOC_FAILED",
        "cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED",
        "FIND was unable to find an engine to execute this computation",
        "MPS backend out of memory (MPS allocated: 8.00 GB, other allocations: 1.00 GB, max allowed: 9.07 GB)",
        "[ONNXRuntimeError] : 6 : RUNTIME_EXCEPTION : Failed to allocate memory for requested buffer of size 9437184",
    ],
)
def test_all_words_for_it_are_known(words: str) -> None:
    assert is_out_of_memory(RuntimeError(words))


def test_metal_gets_no_type_that_it_has_not() -> None:
    network = known_to_metal(nn.Conv2d(1, 1, 1).double())
    assert {one.dtype for one in network.parameters()} == {torch.float32}
    assert {one.dtype for one in known_to_metal(nn.Conv2d(1, 1, 1).half()).parameters()} == {torch.float16}


def test_float32_is_float32_in_a_pass_and_torch_as_it_was_after_it(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    class Looking(nn.Module):
        def forward(self, images: Tensor, valid: Tensor) -> Tensor:
            seen.append((cuda.matmul.allow_tf32, cudnn.allow_tf32, cuda.matmul.fp32_precision))
            seen.append((cudnn.conv.fp32_precision, cudnn.deterministic, cudnn.benchmark))
            return images

    monkeypatch.setattr(torch.backends.cudnn, "benchmark", True)
    torch.set_float32_matmul_precision("medium")
    try:
        Forward(Looking(), Plain(), device=CPU, batch_size=1)(batch_of(1, 1))
        assert torch.get_float32_matmul_precision() == "medium"
        assert torch.backends.cudnn.benchmark
    finally:
        torch.set_float32_matmul_precision("highest")
    assert seen == [(False, False, "ieee"), ("ieee", True, False)]


def test_pixels_reach_the_refinement_as_the_scene_holds_them() -> None:
    seen = []

    def refine(pixels: np.ndarray, valid: np.ndarray, logits: Tensor) -> Tensor:
        seen.append((pixels.dtype.name, int(pixels.max()), valid.any(axis=(1, 2)).tolist()))
        return logits + 1

    forward = Forward(Small(room=9), Plain(), device=CPU, batch_size=2, refine=refine)
    assert values(forward(batch_of(1, 2))) == [3, 1]
    assert seen == [("uint8", 1, [True, False])]


@pytest.mark.slow
def test_a_compiled_network_gives_the_same_logits() -> None:
    torch.manual_seed(0)

    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(1, 3, 3, padding=1)

        def forward(self, images: Tensor, valid: Tensor) -> Tensor:
            logits: Tensor = self.conv(images)
            return logits

    network = Network()
    eager = Forward(network, Plain(), device=CPU, batch_size=2)(batch_of(2, 2))
    compiled = Forward(network, Plain(), device=CPU, batch_size=2, compiled=True)(batch_of(2, 2))
    assert eager is not None
    assert compiled is not None
    torch.testing.assert_close(compiled, eager, rtol=1e-5, atol=1e-5)
