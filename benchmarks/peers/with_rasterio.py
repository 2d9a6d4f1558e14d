"""A plain loop: read a batch of windows with rasterio, forward, argmax, write the middle of each tile.

The last tile of a row and of a column is moved inwards, so that every window is whole; a scene smaller than a tile is
reflected to its size.
"""

import sys
from collections.abc import Callable
from itertools import product
from pathlib import Path

import numpy as np
import rasterio
import torch
from rasterio.windows import Window

sys.path.insert(0, str(Path(__file__).parents[1]))
from peer_lattices import inward_starts, kept
from peer_run import RawModel, Settings, Starts, output_profile, run


def load(settings: Settings) -> Callable[[], Starts]:
    """Load the model; the work is the loop."""
    model = RawModel(settings)
    size = settings.tile_size

    def work() -> Starts:
        with rasterio.open(settings.scene) as src:
            rows = inward_starts(src.height, size, settings.overlap)
            cols = inward_starts(src.width, size, settings.overlap)
            with rasterio.open(settings.output, "w", **output_profile(src.profile)) as dst:
                tiles = list(product(range(len(rows)), range(len(cols))))
                for first in range(0, len(tiles), settings.batch_size):
                    batch = tiles[first : first + settings.batch_size]
                    pixels = np.stack([read_tile(src, rows[i], cols[j], size) for i, j in batch])
                    labels = model(torch.from_numpy(pixels)).argmax(1).to(torch.uint8).numpy() + 1
                    for (i, j), tile in zip(batch, labels, strict=True):
                        top, bottom = kept(rows, i, size, src.height)
                        left, right = kept(cols, j, size, src.width)
                        middle = tile[top - rows[i] : bottom - rows[i], left - cols[j] : right - cols[j]]
                        dst.write(middle, 1, window=Window(left, top, right - left, bottom - top))
        return rows, cols

    return work


def read_tile(src: rasterio.DatasetReader, row: int, col: int, size: int) -> np.ndarray:
    """Read a tile (C, size, size), reflected where the scene is smaller."""
    pixels = src.read([1, 2, 3], window=Window(col, row, min(size, src.width), min(size, src.height)))
    missing = [(0, 0), (0, size - pixels.shape[1]), (0, size - pixels.shape[2])]
    return np.pad(pixels, missing, mode="reflect") if any(after for _, after in missing) else pixels


if __name__ == "__main__":
    run(load)
