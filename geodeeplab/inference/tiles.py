"""Reading a shard's tiles in batches of one fixed shape."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from rasterio.windows import Window
from torch import Tensor

from geodeeplab.inference.memory import host_tensor
from geodeeplab.raster import Pixels, RowReader, Scene
from geodeeplab.tiling import Lattice, Shard, Tile

TORCH_DTYPES = {"uint8", "int8", "uint16", "int16", "int32", "float32"}
"""What travels to the device as it is; everything else goes as float32."""

Wanted = Callable[[Window], NDArray[np.bool_]]
"""From a window within the scene to (H, W), True where labels are wanted, as in an area of interest."""


@dataclass(frozen=True, kw_only=True)
class TileBatch:
    """Tiles in the lattice's order. Those without a pixel to label have no slot and are not forwarded."""

    tiles: tuple[tuple[Tile, int | None], ...]
    """Each tile with its slot in the tensors, or None."""
    pixels: Tensor
    """(B, C, T, T) on the host; slots that no tile fills are 0."""
    valid: Tensor
    """(B, T, T) bool, True where there is data."""
    wanted: Tensor
    """(B, T, T) bool, True where there is data and a label is wanted; `valid` itself where one is wanted everywhere."""

    @property
    def filled(self) -> int:
        """Number of slots that a tile fills, the first ones."""
        return sum(slot is not None for _, slot in self.tiles)


def iter_batches(
    scene: Scene,
    lattice: Lattice,
    shard: Shard,
    *,
    batch_size: int,
    wanted: Wanted | None = None,
    pin: bool = False,
) -> Iterator[TileBatch]:
    """Yield all tiles that touch a shard, row by row, from left to right, in batches of `batch_size` slots.

    The last batch keeps that shape: with a fixed batch shape a tile's logits do not depend on its neighbours.

    Args:
        scene: the scene, open.
        lattice: the tiles.
        shard: the block of output that they are for.
        batch_size: slots of a batch.
        wanted: where labels are wanted; by default everywhere. Rows of tiles that are nowhere wanted are not read.
        pin: lay batches into page-locked memory, from which a GPU copies while it computes.
    """
    size, (tile_rows, tile_cols) = lattice.tile_size, lattice.touching(shard)
    reader = RowReader(
        scene,
        col_start=lattice.cols.start(tile_cols[0]),
        col_stop=lattice.cols.start(tile_cols[-1]) + size,
        ahead_to=min(lattice.rows.start(tile_rows[-1]) + size, scene.shape[0]),
    )
    with reader:
        batch = _Batch(scene, size, batch_size, wanted=wanted, pin=pin)
        for row in tile_rows:
            for col in tile_cols:
                batch.add(lattice.tile(row, col), reader)
                if batch.filled == batch_size:
                    yield batch.finish()
                    batch = _Batch(scene, size, batch_size, wanted=wanted, pin=pin)
        if batch.tiles:
            yield batch.finish()


def iter_neighbours(
    tiles: Sequence[tuple[Tile, int | None]], *, alone: int
) -> Iterator[tuple[list[Tile], slice | None]]:
    """Yield the tiles of a batch in parts that are blended at once: neighbours in a row, with their slots.

    Args:
        tiles: those of a `TileBatch`; where there is no slot, the part has none.
        alone: a column of the lattice whose tiles are parts of their own.
    """
    part: list[Tile] = []
    first: int | None = None
    for tile, slot in tiles:
        follows = bool(part) and (tile.row, tile.col) == (part[-1].row, part[-1].col + 1)
        if part and not (follows and tile.col != alone and (slot is None) == (first is None)):
            yield part, None if first is None else slice(first, first + len(part))
            part = []
        first = first if part else slot
        part.append(tile)
    if part:
        yield part, None if first is None else slice(first, first + len(part))


def device_dtype(dtype: np.dtype) -> np.dtype:
    """Give the dtype in which pixels travel to the device: their own if torch converts it, else float32."""
    return dtype if dtype.name in TORCH_DTYPES else np.dtype("float32")


class _Batch:
    """A batch that is being filled: tiles are cut straight into its slots."""

    def __init__(self, scene: Scene, size: int, slots: int, *, wanted: Wanted | None, pin: bool) -> None:
        dtype = getattr(torch, device_dtype(scene.dtype).name)
        self._wanted_where = wanted
        self.tiles: list[tuple[Tile, int | None]] = []
        self.filled = 0
        self._size, self._shape = size, scene.shape
        self._pixels = host_tensor((slots, len(scene.bands), size, size), dtype, pin=pin)
        self._valid = host_tensor((slots, size, size), torch.bool, pin=pin)
        self._wanted = self._valid if wanted is None else host_tensor((slots, size, size), torch.bool, pin=pin)

    def add(self, tile: Tile, reader: RowReader) -> None:
        """Read a tile into the next slot, if it has a pixel to label; else the next one will be read there."""
        here = None if self._wanted_where is None else self._wanted_in(tile, self._wanted_where)
        if here is None or here.any():
            slot = Pixels(array=self._pixels.numpy()[self.filled], valid=self._valid.numpy()[self.filled])
            reader.read_into(slot, tile.row_start, tile.col_start)
            if here is not None:
                np.logical_and(here, slot.valid, out=self._wanted.numpy()[self.filled])
            if self._wanted.numpy()[self.filled].any():
                self.tiles.append((tile, self.filled))
                self.filled += 1
                return
        self.tiles.append((tile, None))

    def finish(self) -> TileBatch:
        """Give the batch, its empty slots filled with 0."""
        if self.filled < len(self._pixels):
            for tensor in (self._pixels, self._valid, self._wanted):
                tensor[self.filled :].zero_()
        return TileBatch(tiles=tuple(self.tiles), pixels=self._pixels, valid=self._valid, wanted=self._wanted)

    def _wanted_in(self, tile: Tile, wanted: Wanted) -> NDArray[np.bool_]:
        """Give (T, T), False past the scene's edges."""
        height = min(self._size, self._shape[0] - tile.row_start)
        width = min(self._size, self._shape[1] - tile.col_start)
        here = np.zeros((self._size, self._size), bool)
        here[:height, :width] = wanted(Window(tile.col_start, tile.row_start, width, height))
        return here
