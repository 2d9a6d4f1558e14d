"""Blending the logits of overlapping tiles in a rolling band.

In every overlap the entering tile's logits count r and the leaving tile's 1 − r, along columns first, then along rows.
So the weights sum to one on every pixel, the scene's corners included, and nothing is left to normalise. What one tile
row hands to the next are the `overlap` rows they share: K × overlap × width × 4 bytes.
"""

from collections.abc import Sequence
from functools import partial

import numpy as np
import torch
from torch import Tensor

from geodeeplab.errors import OptionError
from geodeeplab.inference.memory import with_room
from geodeeplab.tiling import Lattice, Shard, Tile

BLENDS = ("hann", "linear", "none")


def ramp(overlap: int, blend: str, *, margin: int = 0) -> np.ndarray:
    """Give the weight of the entering tile over the overlap's pixels, float32 (overlap,), in [0, 1], never falling.

    Args:
        overlap: pixels shared.
        blend: `hann` (sin² of the distance), `linear`, or `none` (a step in the middle: a crop).
        margin: outer pixels of each tile that count nothing; the step replaces the ramp where they meet.

    Raises:
        OptionError: for an unknown blend or a negative margin.
    """
    if blend not in BLENDS or margin < 0:
        raise OptionError(f"blend is one of {', '.join(BLENDS)} with a margin from 0, not {blend!r} with {margin}")
    position = np.arange(overlap) + 0.5
    width = overlap - 2 * margin
    if blend == "none" or width <= 0:
        return (position > overlap / 2).astype(np.float32)
    share = np.clip((position - margin) / width, 0, 1)
    return (np.sin(share * np.pi / 2) ** 2 if blend == "hann" else share).astype(np.float32)


class RollingBand:
    """Blend the tiles of a shard, given from left to right and row by row, several of a row at a time.

    Products and sums are separate operations on purpose: a fused multiply-add rounds differently in the vectorised and
    the scalar part of a loop, and labels would depend on where a pixel lies in memory.
    """

    def __init__(
        self,
        lattice: Lattice,
        shard: Shard,
        *,
        num_classes: int,
        blend: str = "hann",
        margin: int = 0,
        skips_nan: bool = False,
        device: torch.device | str = "cpu",
    ) -> None:
        """Take the lattice, the shard to be covered, the number of classes, and how to blend.

        With `skips_nan`, a pixel of a tile whose logits are NaN has no weight: the other tiles alone decide there.
        """
        self._skips_nan = skips_nan
        self.lattice = lattice
        self.tile_rows, self.tile_cols = lattice.touching(shard)
        entering = torch.from_numpy(ramp(lattice.overlap, blend, margin=margin))
        self._enter, self._leave = entering.to(device), (1 - entering).to(device)
        first, last = lattice.cols.start(self.tile_cols[0]), lattice.cols.start(self.tile_cols[-1])
        self._origin = first
        width = last - first + lattice.tile_size
        self._make = partial(with_room, device=torch.device(device))
        self._below: Tensor = self._make(partial(torch.zeros, num_classes, lattice.overlap, width, device=device))
        self._right: Tensor | None = None

    def add(self, tiles: Sequence[Tile], logits: Tensor | None) -> Tensor | None:
        """Add tiles that follow each other in a row; give the final logits (n, K, h, w) of the spans that they own.

        The number of kernels depends neither on the number of tiles nor on that of classes. Law: nor do the bits.

        Args:
            tiles: n of them; the last one of the lattice's row comes alone, as it owns another width.
            logits: (n, K, T, T) float32, changed in place; None for tiles without valid pixels, which gives None, as
                every pixel that they share is invalid.
        """
        stride, overlap = self.lattice.cols.stride, self.lattice.overlap
        right, self._right = self._right, None
        if logits is None:
            return None
        first, entering = tiles[0], logits[..., :overlap]
        if right is not None and first.col != self.tile_cols[0]:
            self._mix(right, self._leave, entering[0], self._enter)
        is_last = first.col == self.lattice.cols.count - 1
        if not is_last:
            self._right = self._make(logits[-1, ..., stride:].clone)
        if len(tiles) > 1:
            self._mix(logits[:-1, ..., stride:], self._leave, entering[1:], self._enter)
        strip = logits if is_last else logits[..., :stride]
        width = strip.shape[3]
        start = first.col_start - self._origin
        below = self._below[..., start : start + len(tiles) * width].unflatten(2, (len(tiles), width)).movedim(2, 0)
        if first.row != self.tile_rows[0]:
            self._mix(below, self._leave[:, None], strip[:, :, :overlap], self._enter[:, None])
        below.copy_(strip[:, :, stride:])
        row_start, row_stop = self.lattice.rows.owned(first.row)
        col_start, col_stop = self.lattice.cols.owned(first.col)
        return strip[:, :, : row_stop - row_start, : col_stop - col_start]

    def _mix(self, leaving: Tensor, leave: Tensor, entering: Tensor, enter: Tensor) -> None:
        """Put what both tiles together have into `entering`; what `leaving` holds is lost."""
        if self._skips_nan:
            entering.copy_(self._make(partial(_mixed_numbers, leaving, leave, entering, enter)))
        else:
            entering.mul_(enter).add_(leaving.mul_(leave))  # no memory is taken, and little is moved


def _mixed_numbers(leaving: Tensor, leave: Tensor, entering: Tensor, enter: Tensor) -> Tensor:
    """Give the same, but of a tile alone where the other one has NaN."""
    mixed = leaving * leave + entering * enter
    return torch.where(mixed.isnan(), torch.where(leaving.isnan(), entering, leaving), mixed)
