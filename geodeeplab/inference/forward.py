"""Batches of tiles through the network, to logits at full resolution."""

import threading
import warnings
from collections.abc import Callable
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from geodeeplab.errors import GeoDeepLabWarning, OptionError
from geodeeplab.inference.augment import average, check_tta
from geodeeplab.inference.device import Device, fitting_batch
from geodeeplab.inference.exact import exact_arithmetic
from geodeeplab.inference.memory import free_bytes, free_cached
from geodeeplab.inference.tiles import TileBatch
from geodeeplab.inference.weights import rounded_once
from geodeeplab.models.files.trial import is_out_of_memory

Result = TypeVar("Result")
UNKNOWN_TO_METAL = (torch.float64, torch.uint16, torch.uint32, torch.uint64)
"""Types that MPS has not; numbers travel there as float32."""
Refine = Callable[[np.ndarray, np.ndarray, Tensor], Tensor]
"""From pixels (N, C, T, T), `valid` (N, T, T) and logits (N, K, T, T) to better logits, each tile by itself."""


class Forward:
    """A network on a device. Law: a tile's logits depend on the tile and the batch's shape, not on other tiles."""

    def __init__(
        self,
        network: nn.Module,
        normalise: nn.Module,
        *,
        device: Device,
        batch_size: int | None = None,
        tta: str = "none",
        refine: Refine | None = None,
        compiled: bool = False,
        is_batch_fixed: bool = False,
        num_classes: int | None = None,
    ) -> None:
        """Move the network to the device.

        Args:
            network: maps images (N, C, H, W) and `valid` (N, H, W) to logits (N, K, H, W).
            normalise: maps pixels (N, C, H, W) of the scene's dtype and `valid` to images.
            device: where, and how precisely.
            batch_size: tiles per forward pass; by default what suits the device.
            tta: test-time augmentation, `none`, `flips` or `d4`.
            refine: improves the logits before they are blended, such as `CRFRefiner`.
            compiled: compile the network for its batch's shape on first use.
            is_batch_fixed: the network takes no other batch, so none is halved where memory runs out.
            num_classes: K, where the network gives more channels, which `refine` does not see; by default all are
                classes'.
        """
        check_tta(tta)
        self.device = device
        if device.torch_device.type == "mps":
            network = known_to_metal(network)
        network = rounded_once(network, device.autocast_dtype)
        self.network = network.eval().to(device.torch_device).to(memory_format=torch.channels_last)
        self.normalise = normalise.to(device.torch_device)
        self.batch_size = batch_size or device.default_batch
        self.tta, self.refine, self.compiled, self.is_batch_fixed = tta, refine, compiled, is_batch_fixed
        self.num_classes = num_classes
        self._call: Callable[[Tensor, Tensor], Tensor] = self.network
        if compiled:
            # No CUDA graph: torch keeps those by thread, and each scene's passes have a thread of their own.
            self._call = torch.compile(self.network, dynamic=False)
        self._copies = torch.cuda.Stream(device.torch_device) if device.torch_device.type == "cuda" else None
        self._last: torch.cuda.Event | None = None
        self._lock = threading.Lock()

    def __call__(self, batch: TileBatch) -> Tensor | None:
        """Give logits (B, K, T, T), float32, on the device; None if no slot is filled.

        Where memory does not suffice, `batch_size` is halved, with a warning.

        Raises:
            OptionError: if not even one tile fits.
        """
        while batch.filled:
            size = self.batch_size
            found = self._attempt(lambda size=size: self._in_parts(batch, size))  # type: ignore[misc]
            if isinstance(found, Tensor):
                return found
            self._halve(size, found)
        return None

    def logits(self, pixels: Tensor, valid: Tensor) -> Tensor:
        """Give logits (N, K, T, T), float32 on the device, of pixels (N, C, T, T) and `valid` (N, T, T) on the host."""
        logits = self._through_network(pixels, valid)
        if self.refine is None:
            return logits
        refined = self.refine(pixels.numpy(), valid.numpy(), logits[:, : self.num_classes])
        return refined if self.num_classes is None else torch.cat([refined, logits[:, self.num_classes :]], dim=1)

    def find_batch_size(self, channels: int, tile_size: int, *, sharing: int = 1) -> int:
        """Find how many tiles of (channels, tile_size, tile_size) suit the device, and take it as `batch_size`.

        On CUDA it is what fits, by the memory that one and two tiles take; elsewhere the device's default.

        Args:
            channels: of the scene.
            tile_size: in pixels.
            sharing: processes that will compute on the device at once.

        Raises:
            OptionError: if not even one tile fits.
        """
        device = self.device.torch_device
        if device.type != "cuda":
            return self.batch_size
        shape = (channels, tile_size, tile_size)
        warm = self._attempt(lambda: self._peak_bytes(1, shape))  # once for what stays, such as libraries
        if not isinstance(warm, int):
            raise OptionError(_no_room("one tile")) from warm
        free = free_bytes(device) // sharing
        one, two = (self._attempt(lambda count=count: self._peak_bytes(count, shape)) for count in (1, 2))  # type: ignore[misc]
        self.batch_size = fitting_batch(one, two, free) if isinstance(one, int) and isinstance(two, int) else 1
        return self.batch_size

    def release(self) -> None:
        """Give the device's memory back, as others will compute on it: the network goes to the host."""
        if self.device.torch_device.type != "cpu":
            self.network.cpu()
            self.normalise.cpu()
            free_cached(self.device.torch_device)

    def is_busy(self) -> bool:
        """Tell whether a GPU still works on logits that were given."""
        return self._last is not None and not self._last.query()

    def _forward(self, images: Tensor, valid: Tensor) -> Tensor:
        with exact_arithmetic():
            return self._call(images.contiguous(memory_format=torch.channels_last), valid)

    def _through_network(self, pixels: Tensor, valid: Tensor) -> Tensor:
        device, dtype = self.device.torch_device, self.device.autocast_dtype
        with torch.inference_mode(), torch.autocast(device.type, dtype, enabled=dtype is not None):
            there, valid_there = self.to_device(pixels), self.to_device(valid)
            images = self.normalise(there, valid_there)
            logits = average(self._forward, images, valid_there, self.tta, num_classes=self.num_classes)
        if self._copies is not None:
            self._last = torch.cuda.current_stream(device).record_event()
        return logits.float()

    def _in_parts(self, batch: TileBatch, size: int) -> Tensor:
        parts = [self.logits(*_slots(batch, start, size)) for start in range(0, batch.filled, size)]
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def _peak_bytes(self, count: int, shape: tuple[int, int, int]) -> int:
        """Give the peak of a GPU's memory over what is held now, of a pass of `count` tiles (C, T, T)."""
        device = self.device.torch_device
        torch.cuda.reset_peak_memory_stats(device)
        held = torch.cuda.memory_allocated(device)
        pixels = torch.zeros(count, *shape, dtype=torch.uint8)
        self._through_network(pixels, torch.ones(count, *shape[1:], dtype=torch.bool))
        torch.cuda.synchronize(device)
        return int(torch.cuda.max_memory_allocated(device) - held)

    def _attempt(self, function: Callable[[], Result]) -> Result | Exception:
        """Give what a function gives, or the error that says that memory does not suffice, its memory freed.

        An error holds all that the failed call has made, by its traceback, until it is taken off.
        """
        try:
            return function()
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            told = error.with_traceback(None)
        free_cached(self.device.torch_device)
        return told

    def to_device(self, tensor: Tensor) -> Tensor:
        """Copy to the device; from page-locked memory on a stream of its own, while the GPU computes."""
        if self._copies is None:
            is_known = self.device.torch_device.type != "mps" or tensor.dtype not in UNKNOWN_TO_METAL
            return (tensor if is_known else tensor.float()).to(self.device.torch_device)
        with torch.cuda.stream(self._copies):
            copy = tensor.to(self.device.torch_device, non_blocking=True)
        current = torch.cuda.current_stream(self.device.torch_device)
        current.wait_stream(self._copies)
        copy.record_stream(current)
        return copy

    def _halve(self, size: int, error: Exception) -> None:
        """Halve the batch, unless another lane did."""
        with self._lock:
            if self.batch_size < size:
                return
            if size == 1 or self.is_batch_fixed:
                what = "one tile" if size == 1 else f"the batch of {size} tiles"
                raise OptionError(_no_room(what)) from error
            self.batch_size = size // 2
        warnings.warn(
            f"out of memory with {size} tiles a batch, going on with {size // 2}: rare labels may differ from those of "
            f"a run that begins so; pass `batch_size={size // 2}`",
            GeoDeepLabWarning,
            stacklevel=2,
        )


def known_to_metal(network: nn.Module) -> nn.Module:
    """Give the network, in float32 where a tensor of it has more bits, which Metal has no type for; in place."""
    has_double = any(one.dtype == torch.float64 for one in (*network.parameters(), *network.buffers()))
    return network.float() if has_double else network


def _no_room(what: str) -> str:
    return f"the device has not enough memory for {what}: choose a smaller `tile_size=`, or `device='cpu'`"


def _slots(batch: TileBatch, start: int, size: int) -> tuple[Tensor, Tensor]:
    """Give `size` slots of a batch from one on: pixels and `valid`, filled up with empty slots past its end."""
    pixels, valid = batch.pixels[start : start + size], batch.valid[start : start + size]
    missing = size - len(pixels)
    if not missing:
        return pixels, valid
    pad = (0, 0) * 3 + (0, missing)
    return nn.functional.pad(pixels, pad), nn.functional.pad(valid, pad[2:])
