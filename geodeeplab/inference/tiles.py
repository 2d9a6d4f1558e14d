"""Reading a shard's tiles in batches of one fixed shape."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from geodeeplab.raster import RowReader, Scene
from geodeeplab.tiling import Lattice, Shard, Tile

TORCH_DTYPES = {"uint8", "int8", "int16", "int32", "float32"}
"""What travels to the device as it is; everything else goes as float32."""


@dataclass(frozen=True, kw_only=True)
class TileBatch:
    """Tiles in the lattice's order. Those without a valid pixel have no slot and are not forwarded."""

    tiles: tuple[tuple[Tile, int | None], ...]
    """Each tile with its slot in the arrays, or None."""
    pixels: np.ndarray
    """(B, C, T, T); slots that no tile fills are 0. B = 0 where every tile is empty."""
    valid: np.ndarray
    """(B, T, T) bool, True where there is data."""


def iter_batches(scene: Scene, lattice: Lattice, shard: Shard, *, batch_size: int) -> Iterator[TileBatch]:
    """Yield all tiles that touch a shard, row by row, from left to right, in batches of `batch_size` slots.

    The last batch keeps that shape: with a fixed batch shape a tile's logits do not depend on its neighbours.
    """
    size, dtype = lattice.tile_size, device_dtype(scene.dtype)
    tile_rows, tile_cols = lattice.touching(shard)
    reader = RowReader(
        scene,
        col_start=lattice.cols.start(tile_cols[0]),
        col_stop=lattice.cols.start(tile_cols[-1]) + size,
    )
    tiles: list[tuple[Tile, int | None]] = []
    pixels, valid = _empty_batch(batch_size, len(scene.bands), size, dtype)
    filled = 0
    for row in tile_rows:
        for col in tile_cols:
            tile = lattice.tile(row, col)
            read = reader.read(tile.row_start, tile.row_start + size, tile.col_start, tile.col_start + size)
            if not read.valid.any():
                tiles.append((tile, None))
                continue
            pixels[filled], valid[filled] = read.array, read.valid
            tiles.append((tile, filled))
            filled += 1
            if filled == batch_size:
                yield TileBatch(tiles=tuple(tiles), pixels=pixels, valid=valid)
                tiles, filled = [], 0
                pixels, valid = _empty_batch(batch_size, len(scene.bands), size, dtype)
    if tiles:
        yield TileBatch(
            tiles=tuple(tiles), pixels=pixels if filled else pixels[:0], valid=valid if filled else valid[:0]
        )


def device_dtype(dtype: np.dtype) -> np.dtype:
    """Give the dtype in which pixels travel to the device: their own if torch computes with it, else float32."""
    return dtype if dtype.name in TORCH_DTYPES else np.dtype("float32")


def _empty_batch(batch_size: int, channels: int, size: int, dtype: np.dtype) -> tuple[np.ndarray, np.ndarray]:
    return np.zeros((batch_size, channels, size, size), dtype), np.zeros((batch_size, size, size), bool)
