"""The rows that one tile row finishes, on the device until they leave together."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from geodeeplab.inference.decision import Decision
from geodeeplab.inference.memory import host_tensor
from geodeeplab.tiling import Lattice, Shard, Tile


class Canvas:
    """The owned rows of one tile row, within a shard, one map an output."""

    def __init__(
        self, lattice: Lattice, shard: Shard, tile_row: int, decision: Decision, *, device: torch.device
    ) -> None:
        """Lay out the rows, all without data."""
        start, stop = lattice.rows.owned(tile_row)
        self.row_start = max(start, shard.row_start)
        self.shape = max(0, min(stop, shard.row_stop) - self.row_start), shard.col_stop - shard.col_start
        self._skip = self.row_start - start
        self._col_start = shard.col_start
        self._maps = {
            name: torch.full(
                self.shape if bands == 1 else (bands, *self.shape),
                decision.fill(name),
                dtype=getattr(torch, dtype),
                device=device,
            )
            for name, (dtype, bands) in decision.layers.items()
        }

    def paint(self, col_start: int, blocks: Mapping[str, Tensor]) -> None:
        """Put n neighbours' owned blocks (n, …, h, w), which begin at `col_start` in the scene, where they belong."""
        height, width = self.shape
        count, *_, cols_each = blocks["labels"].shape
        first = max(col_start, self._col_start)
        stop = min(col_start + count * cols_each, self._col_start + width)
        if stop <= first or not height:
            return
        rows, cols = slice(self._skip, self._skip + height), slice(first - col_start, stop - col_start)
        target = slice(first - self._col_start, stop - self._col_start)
        for name, pixels in blocks.items():
            side_by_side = pixels[..., rows, :].movedim(0, -2).flatten(-2)  # (…, h, n · w)
            self._maps[name][..., target] = side_by_side[..., cols]

    def to_host(self, lost: Sequence[tuple[Sequence[Tile], Tensor]] = ()) -> "OnTheWay":
        """Begin to copy the rows to the host, with flags (n,) of tiles that may have lost a pixel."""
        return OnTheWay(self._maps, lost)


class OnTheWay:
    """Maps that are being copied to the host; the device goes on working meanwhile."""

    def __init__(self, maps: Mapping[str, Tensor], lost: Sequence[tuple[Sequence[Tile], Tensor]] = ()) -> None:
        """Begin the copies."""
        self._maps, self._arrived = dict(maps), None
        self._tiles = [tile for tiles, _ in lost for tile in tiles]
        self._lost = torch.cat([flags for _, flags in lost]) if lost else torch.zeros(0, dtype=torch.bool)
        if any(pixels.is_cuda for pixels in maps.values()):
            self._maps = {name: _pinned(pixels) for name, pixels in maps.items()}
            self._lost = _pinned(self._lost) if lost else self._lost
            device = next(iter(maps.values())).device  # the thread's own may be another GPU, which would arrive at once
            self._arrived = torch.cuda.current_stream(device).record_event()

    def lost_tiles(self) -> list[Tile]:
        """Give the tiles that lost a pixel; after `wait`."""
        return [tile for tile, is_lost in zip(self._tiles, self._lost.tolist(), strict=True) if is_lost]

    def wait(self) -> dict[str, NDArray[Any]]:
        """Give the maps as arrays when they are there."""
        if self._arrived is not None:
            self._arrived.synchronize()
        return {name: pixels.cpu().numpy() for name, pixels in self._maps.items()}


def _pinned(tensor: Tensor) -> Tensor:
    """Begin to copy a tensor to page-locked memory."""
    return host_tensor(tuple(tensor.shape), tensor.dtype, pin=True).copy_(tensor, non_blocking=True)
