"""How many chips a step learns from, and how many of them go through the network at once, by the memory there is."""

import os
from dataclasses import dataclass
from pathlib import Path

import torch

from geodeeplab.errors import OptionError
from geodeeplab.inference.memory import free_bytes

BYTES_PER_PIXEL = 3_500
"""Of a chip in training: DeepLabV3 with PointRend on EfficientNet-Lite0 in float32 takes 2,500 to 3,100 with weights,
gradients and moments in it, DeepLabV3+ on ResNet-50 3,400 to 5,100, on ResNet-18 1,600, on MobileNetV3 2,200 (measured
on a CPU, AdamW); mixed precision takes less."""
MEMORY_SHARE = 0.5
"""Of what is free; the rest is for larger networks (ResNet-50 takes 0.73 of it) and for others."""
DEFAULT_BATCH = 8
"""Chips of a step, the same on every machine. DeepLabV3 gained most up to 8 and nothing beyond 16 (64.4, 75.8, 76.5,
77.2 mIoU at 4, 8, 12, 16; arXiv 1706.05587, table 8)."""


@dataclass(frozen=True, kw_only=True)
class BatchSize:
    """Chips of a step, chips at once, and why."""

    chips: int = DEFAULT_BATCH
    """Chips of a step."""
    micro: int
    """Chips that go through the network at once; a step adds up their gradients."""
    reason: str
    """Why, in one line."""
    device: str | None = None
    """Device by whose free memory `micro` was chosen, such as `cuda:1` or `cpu`; None where it was asked for."""

    def __post_init__(self) -> None:
        """Check the numbers.

        Raises:
            OptionError: if they are below 1, or a batch is not made of whole micro-batches.
        """
        if self.chips < 1:
            raise OptionError(f"a batch has at least 1 chip, not {self.chips}: leave it out for {DEFAULT_BATCH}")
        if self.micro < 1 or self.chips % self.micro:
            raise OptionError(
                f"a batch is made of whole micro-batches, {self.chips} chips not of {self.micro}: give a "
                "`micro_batch=` that divides `batch_size=`"
            )


def epoch_steps(chips: int, batch_size: int) -> int:
    """Give the steps of an epoch of so many chips: whole batches, one at least."""
    return max(1, chips // batch_size)


def settle_batch(chip_size: int, *, chips: int | None, micro: int | None) -> BatchSize:
    """Give the batch that is asked for; what is not asked for by default, and by the free memory."""
    if chips is None and micro is None:
        return choose_micro_batch(chip_size)
    chips = DEFAULT_BATCH if chips is None else chips
    return BatchSize(chips=chips, micro=chips if micro is None else micro, reason="as asked for")


def choose_micro_batch(chip_size: int, device: torch.device | None = None) -> BatchSize:
    """Choose how much of the default batch goes through the network at once: what fits into half of the free memory.

    Without a device it is the one that a learner takes by default.
    """
    name = device_name(device or torch.device("cuda" if torch.cuda.is_available() else "cpu"))
    free = free_bytes(torch.device(name)) if name.startswith("cuda") else available_memory()
    if free is None:
        return BatchSize(micro=DEFAULT_BATCH // 2, reason="free memory is not known here", device=name)
    micro = fitting_micro_batch(chip_size, free)
    need, where = micro * chip_size**2 * BYTES_PER_PIXEL, "on the GPU" if name.startswith("cuda") else "of memory"
    return BatchSize(
        micro=micro,
        reason=f"at once about {_gb(need)} GB at {BYTES_PER_PIXEL / 1000:g} kB a pixel, {_gb(free)} GB "
        f"{where} are free",
        device=name,
    )


def device_name(device: torch.device) -> str:
    """Name a device with its number, so that `cuda` and the GPU that it stands for are one."""
    if device.type == "cuda" and device.index is None:
        return f"cuda:{torch.cuda.current_device()}"
    return str(device)


def fitting_micro_batch(chip_size: int, free: int) -> int:
    """Give the largest power of two, 1 to `DEFAULT_BATCH`, that fits into `MEMORY_SHARE` of `free` bytes."""
    micro = 1
    while 2 * micro <= DEFAULT_BATCH and 2 * micro * chip_size**2 * BYTES_PER_PIXEL <= MEMORY_SHARE * free:
        micro *= 2
    return micro


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
