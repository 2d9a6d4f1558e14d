"""Memory that runs out: what can be done about it beside smaller batches."""

import gc
import warnings
from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor

from geodeeplab.errors import GeoDeepLabWarning, OptionError
from geodeeplab.models.files.trial import is_out_of_memory

Result = TypeVar("Result")


def free_cached(device: torch.device) -> None:
    """Give back what torch keeps of a GPU's memory for later; before it, drop what a failed call has made."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()


def free_bytes(device: torch.device) -> int:
    """Give the bytes of a GPU that are free, or kept by torch's allocator for whoever asks next."""
    free, _ = torch.cuda.mem_get_info(device)
    return int(free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device))


def with_room(make: Callable[[], Result], *, device: torch.device, what: str = "the logits of a batch") -> Result:
    """Give what a function gives; where memory does not suffice, free some and call it once more.

    Args:
        make: changes nothing that was there before, so that it can be called again.
        device: whose memory it takes.
        what: what memory is for, in words.

    Raises:
        OptionError: if memory does not suffice then either.
    """
    try:
        return make()
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
    free_cached(device)  # here, as the error held what the call had made
    try:
        return make()
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise OptionError(
            f"the device has not enough memory to blend {what}: choose a smaller `batch_size=` or `tile_size=`, or "
            "`device='cpu'`"
        ) from error


def host_tensor(shape: tuple[int, ...], dtype: torch.dtype, *, pin: bool) -> Tensor:
    """Give a tensor on the host, not filled; in page-locked memory if asked, from which a GPU copies while it computes.

    Where the system has no such memory left it is an ordinary one, with a warning: copies are slower then.
    """
    if pin:
        try:
            return torch.empty(shape, dtype=dtype, pin_memory=True)
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
        warnings.warn(
            "the system has no page-locked memory left, so copies to and from the GPU hold it up: choose a smaller "
            "`batch_size=`, or raise the limit (`ulimit -l`)",
            GeoDeepLabWarning,
            stacklevel=2,
        )
    return torch.empty(shape, dtype=dtype)
