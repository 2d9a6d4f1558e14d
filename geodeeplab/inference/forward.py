"""Batches of tiles through the network, to logits at full resolution."""

import threading
import warnings
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from geodeeplab.errors import GeoDeepLabWarning, OptionError
from geodeeplab.inference.augment import average, check_tta
from geodeeplab.inference.device import Device, fitting_batch
from geodeeplab.inference.tiles import TileBatch
from geodeeplab.models.files.trial import is_out_of_memory

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
    ) -> None:
        """Move the network to the device.

        Args:
            network: maps images (N, C, H, W) and `valid` (N, H, W) to logits (N, K, H, W).
            normalise: maps pixels (N, C, H, W) of the scene's dtype and `valid` to images.
            device: where, and how precisely.
            batch_size: tiles per forward pass; by default what suits the device.
            tta: test-time augmentation, `none`, `flips` or `d4`.
            refine: improves the logits before they are blended, such as `CRFRefiner`.
            compiled: compile the network for its batch's shape on first use, on CUDA into a graph.
            is_batch_fixed: the network takes no other batch, so none is halved where memory runs out.
        """
        check_tta(tta)
        self.device = device
        self.network = network.eval().to(device.torch_device).to(memory_format=torch.channels_last)
        self.normalise = normalise.to(device.torch_device)
        self.batch_size = batch_size or device.default_batch
        self.tta, self.refine, self.compiled, self.is_batch_fixed = tta, refine, compiled, is_batch_fixed
        self._call: Callable[[Tensor, Tensor], Tensor] = self.network
        if compiled:
            mode = "reduce-overhead" if device.torch_device.type == "cuda" else "default"
            self._call = torch.compile(self.network, mode=mode, dynamic=False)
        self._copies = torch.cuda.Stream(device.torch_device) if device.torch_device.type == "cuda" else None
        self._last: torch.cuda.Event | None = None
        self._lock = threading.Lock()

    def __call__(self, batch: TileBatch) -> Tensor | None:
        """Give logits (B, K, T, T), float32, on the device; None if no slot is filled.

        Where memory does not suffice, `batch_size` is halved, with a warning.

        Raises:
            OptionError: if not even one tile fits.
        """
        filled = batch.filled
        while filled:
            size = self.batch_size
            try:
                parts = [self.logits(*_slots(batch, start, size)) for start in range(0, filled, size)]
                return parts[0] if len(parts) == 1 else torch.cat(parts)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                self._halve(size, error)
        return None

    def logits(self, pixels: Tensor, valid: Tensor) -> Tensor:
        """Give logits (N, K, T, T), float32 on the device, of pixels (N, C, T, T) and `valid` (N, T, T) on the host."""
        device, dtype = self.device.torch_device, self.device.autocast_dtype
        with torch.inference_mode(), torch.autocast(device.type, dtype, enabled=dtype is not None):
            there, valid_there = self._to_device(pixels), self._to_device(valid)
            logits = average(self._forward, self.normalise(there, valid_there), valid_there, self.tta)
        if self._copies is not None:
            self._last = torch.cuda.current_stream(device).record_event()
        return logits.float() if self.refine is None else self.refine(pixels.numpy(), valid.numpy(), logits.float())

    def find_batch_size(self, channels: int, tile_size: int) -> int:
        """Find how many tiles of (channels, tile_size, tile_size) suit the device, and take it as `batch_size`.

        On CUDA it is what fits, by the memory that one and two tiles take; elsewhere the device's default.
        """
        device = self.device.torch_device
        if device.type == "cuda":
            free, _ = torch.cuda.mem_get_info(device)
            peaks = []
            for count in (1, 2):
                torch.cuda.reset_peak_memory_stats(device)
                held = torch.cuda.memory_allocated(device)
                pixels = torch.zeros(count, channels, tile_size, tile_size, dtype=torch.uint8)
                self.logits(pixels, torch.ones(count, tile_size, tile_size, dtype=torch.bool))
                torch.cuda.synchronize(device)
                peaks.append(torch.cuda.max_memory_allocated(device) - held)
            self.batch_size = fitting_batch(peaks[0], peaks[1], free)
        return self.batch_size

    def is_busy(self) -> bool:
        """Tell whether a GPU still works on logits that were given."""
        return self._last is not None and not self._last.query()

    def _forward(self, images: Tensor, valid: Tensor) -> Tensor:
        if self.compiled and self._copies is not None:
            torch.compiler.cudagraph_mark_step_begin()  # the last logits were read: their memory may be written again
        logits = self._call(images.contiguous(memory_format=torch.channels_last), valid)
        return logits.clone() if self.compiled and self._copies is not None else logits

    def _to_device(self, tensor: Tensor) -> Tensor:
        """Copy to the device; from page-locked memory on a stream of its own, while the GPU computes."""
        if self._copies is None:
            if self.device.torch_device.type == "mps" and tensor.dtype == torch.uint16:
                tensor = tensor.float()  # Metal has no such type
            return tensor.to(self.device.torch_device)
        with torch.cuda.stream(self._copies):
            copy = tensor.to(self.device.torch_device, non_blocking=True)
        current = torch.cuda.current_stream(self.device.torch_device)
        current.wait_stream(self._copies)
        copy.record_stream(current)
        return copy

    def _halve(self, size: int, error: BaseException) -> None:
        """Halve the batch, unless another lane did."""
        with self._lock:
            if self.batch_size < size:
                return
            if size == 1 or self.is_batch_fixed:
                what = "one tile" if size == 1 else f"the batch of {size} tiles"
                raise OptionError(
                    f"the device has not enough memory for {what}: choose a smaller `tile_size=`, or `device='cpu'`"
                ) from error
            self.batch_size = size // 2
        if self._copies is not None:
            torch.cuda.empty_cache()
        warnings.warn(
            f"out of memory with {size} tiles a batch, going on with {size // 2}: rare labels may differ from those of "
            f"a run that begins so; pass `batch_size={size // 2}`",
            GeoDeepLabWarning,
            stacklevel=2,
        )


def _slots(batch: TileBatch, start: int, size: int) -> tuple[Tensor, Tensor]:
    """Give `size` slots of a batch from one on: pixels and `valid`, filled up with empty slots past its end."""
    pixels, valid = batch.pixels[start : start + size], batch.valid[start : start + size]
    missing = size - len(pixels)
    if not missing:
        return pixels, valid
    pad = (0, 0) * 3 + (0, missing)
    return nn.functional.pad(pixels, pad), nn.functional.pad(valid, pad[2:])
