"""torch's random state: set and put back on the devices concerned, and on no other."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

CPU = torch.device("cpu")


@contextmanager
def kept_random_state(device: torch.device) -> Iterator[None]:
    """Put the generators of the CPU and of a CUDA device back at the end; those of other devices are not touched."""
    named = [device] if device.type == "cuda" else []  # unnamed, every GPU of the machine is woken up
    with torch.random.fork_rng(devices=named, device_type="cuda"):
        yield


def seed_generators(seed: int, device: torch.device) -> None:
    """Seed the generators of the CPU and of a device; `torch.manual_seed` would seed those of every GPU."""
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        index = torch.cuda.current_device() if device.index is None else device.index
        torch.cuda.init()
        torch.cuda.default_generators[index].manual_seed(seed)
    elif device.type == "mps":
        torch.mps.manual_seed(seed)
