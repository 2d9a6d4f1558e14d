"""Where and how precisely the network runs."""

from dataclasses import dataclass

import torch

from geodeeplab.errors import OptionError

PRECISIONS = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16, "int8": None}
BYTES = {"fp32": 4, "bf16": 2, "fp16": 2, "int8": 1}
"""Of a weight, by precision."""
DEFAULT_BATCH = {"cpu": 1, "mps": 4, "cuda": 16}
LARGE_WEIGHTS = 100_000_000
"""Bytes of weights beyond which one forward pass on all cores is faster than one on each (measured on two cores)."""
LARGEST_BATCH = 32
"""Beyond it a GPU gains next to nothing, and the last batch of a shard is mostly padding."""
MEMORY_SHARE = 0.7
"""Share of a GPU's free memory that forward passes may take; the rest is for the band and for others."""


@dataclass(frozen=True, kw_only=True)
class Device:
    """A device with the precision that forwards run at there."""

    torch_device: torch.device
    """CPU, CUDA or MPS."""
    precision: str
    """`fp32`, `bf16` or `fp16`, autocast for the last two; `int8` is the network's own matter."""
    lanes: int = 1
    """Forward passes side by side."""
    threads: int = 1
    """Threads of each forward pass on the CPU; logits depend on it in their last bits."""

    @property
    def autocast_dtype(self) -> torch.dtype | None:
        """The dtype to autocast to, or None where torch computes in plain float32."""
        return PRECISIONS[self.precision]

    @property
    def default_batch(self) -> int:
        """Tiles per forward that suit the device (on CPUs larger batches gain nothing)."""
        return DEFAULT_BATCH.get(self.torch_device.type, 1)


def pick_device(
    name: str = "auto", precision: str = "auto", *, threads: int | None = None, parameters: int = 0
) -> Device:
    """Choose a device and a precision.

    On a CPU as many forward passes as torch has threads run side by side, each in one thread. Only a network with more
    than `LARGE_WEIGHTS` bytes of weights runs one pass at a time on all of them: side by side, passes would fight for
    the cache.

    Args:
        name: `auto` (CUDA, then MPS, then CPU) or a torch device such as `cpu`, `cuda:1`, `mps`.
        precision: `auto` (bf16 or fp16 where the device is fast at it, else fp32), `fp32`, `bf16`, `fp16`, or on
            a CPU `int8`.
        threads: threads of each forward pass on a CPU; by default as above.
        parameters: how many parameters the network has.

    Raises:
        OptionError: for a device that is not there, a precision that is unknown, or one that the device has not.
    """
    device = _numbered(torch.device(_best_available()) if name == "auto" else _named(name))
    if precision == "auto":
        precision = _fast_precision(device)
    if precision not in PRECISIONS:
        raise OptionError(f"precision is one of auto, {', '.join(PRECISIONS)}, not {precision!r}")
    if precision == "int8" and device.type != "cpu":
        raise OptionError(f"int8 runs on a CPU, not on {device}: pass `device='cpu'`, or leave the precision at auto")
    if device.type != "cpu":
        return Device(torch_device=device, precision=precision)
    cores = torch.get_num_threads()
    if threads is None:
        threads = cores if BYTES[precision] * parameters > LARGE_WEIGHTS else 1
    if threads < 1:
        raise OptionError(f"a forward pass has at least one thread, not {threads}: choose 1 or more")
    return Device(torch_device=device, precision=precision, lanes=max(1, cores // threads), threads=threads)


def fitting_batch(one_tile: int, two_tiles: int, free: int) -> int:
    """Give the largest power of two, up to `LARGEST_BATCH`, whose forward pass fits into a GPU's free memory.

    Args:
        one_tile: peak memory of a forward pass of one tile, in bytes.
        two_tiles: the same of two tiles.
        free: free memory before any, in bytes.
    """
    per_tile = max(two_tiles - one_tile, 1)
    fixed = max(one_tile - per_tile, 0)
    batch = 1
    while batch < LARGEST_BATCH and fixed + 2 * batch * per_tile <= MEMORY_SHARE * free:
        batch *= 2
    return batch


def _best_available() -> str:
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def _named(name: str) -> torch.device:
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise OptionError(f"no device is called {name!r}: use auto, cpu, cuda, cuda:N or mps") from error
    there = {
        "cpu": True,
        "cuda": torch.cuda.is_available() and (device.index or 0) < torch.cuda.device_count(),
        "mps": torch.backends.mps.is_available(),
    }
    if not there.get(device.type, False):
        raise OptionError(f"this machine has no usable device {name!r}: use auto or cpu")
    return device


def _numbered(device: torch.device) -> torch.device:
    """Name the GPU that `cuda` means in this thread: in others, where the work is done, it may mean another one."""
    if device.type == "cuda" and device.index is None:
        return torch.device("cuda", torch.cuda.current_device())
    return device


def _fast_precision(device: torch.device) -> str:
    """Name the half precision that the device has units for; MPS stays at float32, where it was not measured."""
    if device.type == "cuda":
        major, _ = torch.cuda.get_device_capability(device)
        return "bf16" if major >= 8 else "fp16" if major >= 7 else "fp32"
    if device.type == "cpu":
        checks = (getattr(torch.cpu, f"_is_{unit}_supported", None) for unit in ("avx512_bf16", "amx_tile"))
        return "bf16" if any(check is not None and check() for check in checks) else "fp32"
    return "fp32"
