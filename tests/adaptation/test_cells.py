"""Tiles that have labels."""

import numpy as np
from affine import Affine
from rasterio.windows import Window

from geodeeplab.adaptation.cells import SceneLabels, tiles_with_labels
from geodeeplab.raster import Grid
from geodeeplab.tiling import Lattice
from geodeeplab.training.chip import IGNORE_INDEX


class RasterOf:
    """A raster whose rows from `first` on are of class 0."""

    files = ()

    def __init__(self, first: int) -> None:
        self.first = first

    def read(self, window: Window) -> np.ndarray:
        rows = int(window.row_off) + np.arange(int(window.height))
        labels = np.where(rows >= self.first, 0, IGNORE_INDEX).astype(np.uint8)
        return np.repeat(labels[:, None], int(window.width), axis=1)

    def read_polygons(self, window: Window) -> None:
        return None

    def boxes(self) -> None:
        return None

    def close(self) -> None:
        """Do nothing."""


def test_a_raster_without_a_label_here_has_no_tile() -> None:
    lattice = Lattice(shape=(100, 80), tile_size=64, overlap=16)
    grid = Grid(shape=(100, 80), transform=Affine.identity(), crs=None)

    def tiles(first: int) -> list[tuple[int, int]]:
        labels = SceneLabels(number=0, reader=RasterOf(first), grid=grid)
        return [(tile.row, tile.col) for tile in tiles_with_labels(labels, lattice)]

    assert tiles(100) == []
    assert tiles(99) == [(row, col) for row in [lattice.rows.count - 1] for col in range(lattice.cols.count)]
