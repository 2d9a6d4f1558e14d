"""How many chips go into a batch, from the memory that there is."""

import os
from dataclasses import dataclass
from pathlib import Path

import torch

from geodeeplab.inference.memory import free_bytes

BYTES_PER_PIXEL = 5_000
"""Of a chip in training: DeepLabV3+ on ResNet-50 in float32 takes 3,400 to 5,100 with weights, gradients and moments in
it, on ResNet-18 1,600, on MobileNetV3 2,200 (measured on a CPU, AdamW); mixed precision takes less."""
MEMORY_SHARE = 0.5
"""Of what is free; the rest is for weights, their gradients and moments, and for others."""
LEAST, MOST_CPU, MOST_CUDA = 2, 8, 32
"""Batch normalisation needs two. A CPU gains nothing from larger batches; DeepLabV3 gained nothing beyond 16
(64.4, 75.8, 76.5, 77.2 mIoU at 4, 8, 12, 16; arXiv 1706.05587, table 8)."""


@dataclass(frozen=True, kw_only=True)
class BatchSize:
    """A number of chips, and why."""

    chips: int
    """Chips in a batch."""
    reason: str
    """Why, in one line."""
    device: str | None = None
    """Device by whose free memory it was chosen, such as `cuda:1` or `cpu`; None where it was asked for."""


def choose_batch_size(chip_size: int, device: torch.device | None = None) -> BatchSize:
    """Choose the largest power of two, within bounds, whose training fits into half of a device's free memory.

    Without a device it is the one that a learner takes by default.
    """
    name = device_name(device or torch.device("cuda" if torch.cuda.is_available() else "cpu"))
    if name.startswith("cuda"):
        free, most, where = free_bytes(torch.device(name)), MOST_CUDA, "on the GPU"
    else:
        available = available_memory()
        if available is None:
            return BatchSize(chips=4, reason="free memory is not known here", device=name)
        free, most, where = available, MOST_CPU, "of memory"
    chips = fitting_batch(chip_size, free, most=most)
    need = chips * chip_size**2 * BYTES_PER_PIXEL
    return BatchSize(
        chips=chips,
        reason=f"about {_gb(need)} GB at {BYTES_PER_PIXEL / 1000:g} kB a pixel (ResNet-50), {_gb(free)} GB {where} are "
        f"free, at most {most}",
        device=name,
    )


def device_name(device: torch.device) -> str:
    """Name a device with its number, so that `cuda` and the GPU that it stands for are one."""
    if device.type == "cuda" and device.index is None:
        return f"cuda:{torch.cuda.current_device()}"
    return str(device)


def fitting_batch(chip_size: int, free: int, *, most: int) -> int:
    """Give the largest power of two from `LEAST` to `most` that fits into `MEMORY_SHARE` of `free` bytes."""
    chips = LEAST
    while 2 * chips <= most and 2 * chips * chip_size**2 * BYTES_PER_PIXEL <= MEMORY_SHARE * free:
        chips *= 2
    return chips


def available_memory() -> int | None:
    """Give the bytes of memory that this process may still take; None where the system does not say."""
    sizes = [size for size in (_proc_available(), _cgroup_available()) if size is not None]
    if sizes:
        return min(sizes)
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    except (AttributeError, ValueError, OSError):  # Windows
        return None


def _proc_available() -> int | None:
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable:")), None)


def _cgroup_available() -> int | None:
    """Give what a container leaves (cgroup v2)."""
    folder = Path("/sys/fs/cgroup")
    try:
        limit, used = ((folder / name).read_text(encoding="ascii") for name in ("memory.max", "memory.current"))
        return max(0, int(limit) - int(used))
    except (OSError, ValueError):  # no such file, or "max"
        return None


def _gb(size: float) -> str:
    return f"{size / 1e9:.1f}"
