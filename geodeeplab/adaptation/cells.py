"""Cells taken from tiles: those that polygons label, and a sample of all ground."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from rasterio.windows import Window

from geodeeplab.adaptation.samples import CELL, Cells, LabelledCells
from geodeeplab.adaptation.tiles import TileFeatures
from geodeeplab.raster import Aoi, Grid
from geodeeplab.tiling import Axis, Lattice, Shard, Tile
from geodeeplab.training.chip import IGNORE_INDEX
from geodeeplab.training.scenes.labelled_raster import LabelReader

MOST_OF_POLYGON = 400
"""Cells that are taken of a polygon in a tile, at most."""
MOST_TILES = 64
"""Tiles that are looked at of a label raster."""
BLOCK = 64
"""Pixels along each axis of the blocks that stand for polygons where labels are none: rasters, and the background."""


@dataclass(frozen=True, kw_only=True)
class SceneLabels:
    """The labels of a scene on the grid that the model sees."""

    number: int
    """The scene's."""
    reader: LabelReader
    """Class indices and polygons by windows."""
    grid: Grid
    """The grid."""
    labelled: Aoi | None = None
    """What was labelled; elsewhere labels are ignored."""

    def read(self, window: Window) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
        """Give class indices and numbers of polygons (H, W) of a window; blocks have numbers below −1."""
        labels = self.reader.read(window)
        if self.labelled is not None:
            labels[~self.labelled.mask(window, self.grid)] = IGNORE_INDEX
        polygons = self.reader.read_polygons(window)
        numbers = np.full(labels.shape, -1, dtype=np.int64) if polygons is None else polygons.astype(np.int64)
        rows = (np.arange(labels.shape[0]) + int(window.row_off)) // BLOCK
        cols = (np.arange(labels.shape[1]) + int(window.col_off)) // BLOCK
        blocks = (rows[:, None] * (self.grid.width // BLOCK + 1) + cols) * (IGNORE_INDEX + 1) + labels
        return labels, np.where(numbers < 0, -2 - blocks, numbers)


def labelled_cells(found: TileFeatures, labels: SceneLabels, lattice: Lattice, *, seed: int) -> LabelledCells:
    """Take the labelled cells of a tile's own ground; a cell whose pixels are of two classes is left out.

    Polygons have the numbers of `SceneLabels.read`.
    """
    covered = lattice.covered(found.tile)
    height, width = covered.shape
    here, polygons = labels.read(Window(covered.col_start, covered.row_start, width, height))
    size = lattice.tile_size + lattice.tile_size % CELL
    label = np.full((size, size), IGNORE_INDEX, dtype=np.int64)
    number = np.full((size, size), -1, dtype=np.int64)
    valid = found.valid[:height, :width]
    label[:height, :width], number[:height, :width] = np.where(valid, here, IGNORE_INDEX), polygons
    phases = [(slice(y, None, CELL), slice(x, None, CELL)) for y in range(CELL) for x in range(CELL)]
    parts = np.stack([label[phase] for phase in phases])  # (4, T/2, T/2)
    is_labelled = parts != IGNORE_INDEX
    first = is_labelled.argmax(axis=0)
    of_cell = np.take_along_axis(parts, first[None], axis=0)[0]
    is_mixed = (is_labelled & (parts != of_cell)).any(axis=0)
    of_polygon = np.take_along_axis(np.stack([number[phase] for phase in phases]), first[None], axis=0)[0]
    row, col = np.nonzero(is_labelled.any(axis=0) & ~is_mixed & _own(found.tile, lattice, of_cell.shape))
    rng = np.random.default_rng([seed, labels.number, found.tile.row, found.tile.col])
    kept = choose_cells(of_polygon[row, col], MOST_OF_POLYGON, rng)
    row, col = row[kept], col[kept]
    return LabelledCells(
        features=found.features[:, row, col].T,
        scene=np.full(len(row), labels.number, dtype=np.int64),
        row=found.tile.row_start + CELL * row,
        col=found.tile.col_start + CELL * col,
        label=of_cell[row, col],
        polygon=of_polygon[row, col],
    )


def ground_cells(found: TileFeatures, lattice: Lattice, *, count: int, scene: int, seed: int) -> Cells:
    """Draw cells with data from a tile's own ground, `count` at most."""
    height, width = lattice.covered(found.tile).shape
    valid = found.valid.copy()
    valid[height:], valid[:, width:] = False, False
    cells = valid[::CELL, ::CELL]
    row, col = np.nonzero(cells & _own(found.tile, lattice, cells.shape))
    rng = np.random.default_rng([seed + 1, scene, found.tile.row, found.tile.col])
    kept = np.sort(rng.permutation(len(row))[:count])
    row, col = row[kept], col[kept]
    return Cells(
        features=found.features[:, row, col].T,
        scene=np.full(len(row), scene, dtype=np.int64),
        row=found.tile.row_start + CELL * row,
        col=found.tile.col_start + CELL * col,
    )


def choose_cells(polygon: npt.NDArray[np.int64], most: int, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """Give the numbers of up to `most` cells of each polygon, ascending."""
    order = rng.permutation(len(polygon))
    order = order[np.argsort(polygon[order], kind="stable")]
    starts = np.flatnonzero(np.r_[True, np.diff(polygon[order]) != 0]) if len(order) else np.zeros(0, dtype=np.int64)
    rank = np.arange(len(order)) - np.repeat(starts, np.diff(np.r_[starts, len(order)]))
    return np.sort(order[rank < most])


def tiles_with_labels(labels: SceneLabels, lattice: Lattice) -> list[Tile]:
    """Give the tiles on whose own ground a polygon lies, or something is labelled in a raster: of those, 64 at most.

    The background of polygons is no reason to look at a tile.
    """
    boxes = labels.reader.boxes()
    if boxes is None:
        found = [lattice.tile(row, col) for row in range(lattice.rows.count) for col in range(lattice.cols.count)]
        found = [tile for tile in found if _has_label(tile, labels, lattice)]
        some = np.linspace(0, len(found) - 1, MOST_TILES if found else 0)
        return [found[number] for number in np.unique(some.round().astype(int))]
    near: set[tuple[int, int]] = set()
    height, width = lattice.shape
    inside = (boxes[:, 2] > 0) & (boxes[:, 0] < height) & (boxes[:, 3] > 0) & (boxes[:, 1] < width)
    for top, left, bottom, right in boxes[inside].tolist():
        rows = lattice.rows.touching(max(0, int(top)), min(height, int(bottom) + 1))
        cols = lattice.cols.touching(max(0, int(left)), min(width, int(right) + 1))
        near |= {(row, col) for row in rows for col in cols}
    return [tile for tile in (lattice.tile(*one) for one in sorted(near)) if _has_label(tile, labels, lattice)]


def _has_label(tile: Tile, labels: SceneLabels, lattice: Lattice) -> bool:
    (top, bottom), (left, right) = own_span(lattice.rows, tile.row), own_span(lattice.cols, tile.col)
    here, _ = labels.read(Window(left, top, right - left, bottom - top))
    return bool((here != IGNORE_INDEX).any())


def spread_tiles(lattice: Lattice, block: Shard, most: int) -> list[Tile]:
    """Choose tiles spread evenly over those that touch a block, always the same ones."""
    all_rows, all_cols = lattice.touching(block)
    rows, cols = len(all_rows), len(all_cols)
    if rows * cols <= most:
        return [lattice.tile(row, col) for row in all_rows for col in all_cols]
    down = max(1, min(rows, round((most * rows / cols) ** 0.5)))
    along = max(1, min(cols, most // down))
    return [
        lattice.tile(all_rows[int(row)], all_cols[int(col)])
        for row in np.unique(np.linspace(0, rows - 1, down + 2)[1:-1].round().astype(int))
        for col in np.unique(np.linspace(0, cols - 1, along + 2)[1:-1].round().astype(int))
    ]


def own_span(axis: Axis, index: int) -> tuple[int, int]:
    """Give the pixels (start, stop) along an axis whose nearest tile is this one: half of each overlap."""
    half = axis.overlap // 2
    start = axis.start(index) + (half if index else 0)
    stop = axis.length if index == axis.count - 1 else axis.start(index + 1) + half
    return start, min(stop, axis.length)


def _own(tile: Tile, lattice: Lattice, shape: Sequence[int]) -> npt.NDArray[np.bool_]:
    """Give the mask (h, w) of the cells that begin on a tile's own ground."""
    (top, bottom), (left, right) = own_span(lattice.rows, tile.row), own_span(lattice.cols, tile.col)
    row = tile.row_start + CELL * np.arange(shape[0])
    col = tile.col_start + CELL * np.arange(shape[1])
    return ((row >= top) & (row < bottom))[:, None] & ((col >= left) & (col < right))
