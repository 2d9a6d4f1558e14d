"""An index of a labelled scene: what lies in each of its cells, from one pass over it."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from rasterio.windows import Window

from geodeeplab.raster import Grid
from geodeeplab.training.scenes.held import HeldScene
from geodeeplab.training.scenes.labelled import LabelledPixels

Floats = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]

PART_SIDE = 256
"""Pixels along each axis of the parts that are looked at in one go, about."""
READ_COLS = 8192
"""Columns of the windows that are read."""
MOST_CELLS = 250_000
"""Of one scene; beyond it cells grow. 3 bands and 8 classes take about 180 bytes each."""
CELLS_PER_CHIP = 16
"""Along one axis, in scenes of ordinary size."""
LEAST_CELL = 4
SAMPLES = 200_000
"""Pixels of a scene that percentiles are taken from, at most about."""


@dataclass(frozen=True, kw_only=True)
class CellIndex:
    """What lies in the cells of a scene: squares of `cell` pixels from its corner, the last ones cut off at its edges.

    Sums are over valid pixels, in the numbers of the first scene.
    """

    cell: int
    """Height and width of a cell in pixels."""
    labelled: Counts
    """(K, rows, cols) valid pixels of each class."""
    valid: Counts
    """(rows, cols) valid pixels."""
    mean: Floats
    """(C, rows, cols), 0 where nothing is valid."""
    squares: Floats
    """(C, rows, cols) sums of the squared differences from the mean of the cell."""
    low: Floats
    """(C, rows, cols) least value; infinite where nothing is valid."""
    high: Floats
    """(C, rows, cols) greatest value."""
    samples: npt.NDArray[np.float32]
    """(n, C) pixels on a regular lattice."""
    sample_cells: npt.NDArray[np.int64]
    """(n,) the cell that each lies in, counted row by row."""

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, cols)."""
        rows, cols = self.valid.shape
        return rows, cols


def cell_size(chip_size: int, grid: Grid) -> int:
    """Give the size of cells: a sixteenth of a chip, doubled until a scene has no more than `MOST_CELLS`."""
    cell = max(LEAST_CELL, chip_size // CELLS_PER_CHIP)
    while -(-grid.height // cell) * -(-grid.width // cell) > MOST_CELLS:
        cell *= 2
    return cell


def index_scene(scene: HeldScene, *, cell: int, num_classes: int) -> CellIndex:
    """Read all of a scene once.

    Raises:
        SceneError: a file is damaged.
    """
    height, width = scene.grid.shape
    shape = -(-height // cell), -(-width // cell)
    bands = len(scene.bands)
    index = CellIndex(
        cell=cell,
        labelled=np.zeros((num_classes, *shape), dtype=np.int64),
        valid=np.zeros(shape, dtype=np.int64),
        mean=np.zeros((bands, *shape)),
        squares=np.zeros((bands, *shape)),
        low=np.full((bands, *shape), np.inf),
        high=np.full((bands, *shape), -np.inf),
        samples=np.empty((0, bands), dtype=np.float32),
        sample_cells=np.empty(0, dtype=np.int64),
    )
    step = max(1, int((height * width / SAMPLES) ** 0.5))
    samples, places = [index.samples], [index.sample_cells]
    for window, pixels in _iter_parts(scene, cell):
        array = scene.gain.apply(pixels.array.astype(np.float32))
        _fill(index, window, array, pixels)
        rows, cols = (slice(-start % step, None, step) for start in (window.row_off, window.col_off))
        row, col = np.nonzero(pixels.valid[rows, cols])
        samples.append(array[:, rows, cols][:, row, col].T)
        row, col = row * step + rows.start + window.row_off, col * step + cols.start + window.col_off
        places.append(row // cell * shape[1] + col // cell)
    return CellIndex(**{**index.__dict__, "samples": np.concatenate(samples), "sample_cells": np.concatenate(places)})


def _iter_parts(scene: HeldScene, cell: int) -> Iterator[tuple[Window, LabelledPixels]]:
    """Read a scene in windows of whole cells, and yield them in parts that fit into a processor's cache."""
    side = -(-PART_SIDE // cell) * cell
    for window in _iter_windows(Window(0, 0, scene.grid.width, scene.grid.height), side, max(1, READ_COLS // side)):
        pixels = scene.read(window)
        for part in _iter_windows(window, side, 1):
            rows, cols = Window(
                part.col_off - window.col_off, part.row_off - window.row_off, part.width, part.height
            ).toslices()
            yield (
                part,
                LabelledPixels(
                    array=pixels.array[:, rows, cols], valid=pixels.valid[rows, cols], labels=pixels.labels[rows, cols]
                ),
            )


def _iter_windows(whole: Window, side: int, squares: int) -> Iterator[Window]:
    """Cut a window into rows of squares, some of them in each window."""
    for row in range(0, whole.height, side):
        for col in range(0, whole.width, side * squares):
            yield Window(
                whole.col_off + col,
                whole.row_off + row,
                min(side * squares, whole.width - col),
                min(side, whole.height - row),
            )


def _fill(index: CellIndex, window: Window, array: npt.NDArray[np.float32], pixels: LabelledPixels) -> None:
    """Enter what lies in a window of whole cells."""
    cell = index.cell
    at = (
        slice(window.row_off // cell, window.row_off // cell - (-window.height // cell)),
        slice(window.col_off // cell, window.col_off // cell - (-window.width // cell)),
    )
    starts = np.arange(0, window.height, cell), np.arange(0, window.width, cell)

    def sums(values: npt.NDArray[Any], how: np.ufunc = np.add) -> npt.NDArray[Any]:
        reduced: npt.NDArray[Any] = how.reduceat(how.reduceat(values, starts[1], axis=-1), starts[0], axis=-2)
        return reduced

    valid = pixels.valid
    count = sums(valid.astype(np.int64))
    index.valid[at] = count
    for number, plane in enumerate(index.labelled):
        plane[at] = sums((valid & (pixels.labels == number)).astype(np.int64))
    for band, values in enumerate(array.astype(np.float64)):
        mean = np.divide(sums(np.where(valid, values, 0.0)), count, out=np.zeros(count.shape), where=count > 0)
        wide = mean.repeat(cell, axis=0)[: window.height].repeat(cell, axis=1)[:, : window.width]
        index.mean[band][at] = mean
        index.squares[band][at] = sums(np.where(valid, (values - wide) ** 2, 0.0))
        index.low[band][at] = sums(np.where(valid, values, np.inf), np.minimum)
        index.high[band][at] = sums(np.where(valid, values, -np.inf), np.maximum)


@dataclass(frozen=True, kw_only=True)
class BandStatistics:
    """Statistics of the bands over chosen cells of all scenes."""

    mean: Floats
    """(C,)."""
    std: Floats
    """(C,), of the population; 1 where a band is constant."""
    low: Floats
    """(C,) least value."""
    high: Floats
    """(C,) greatest value."""
    display: Floats
    """(C, 2) percentiles 2 and 98."""


def band_statistics(indices: list[CellIndex], chosen: list[npt.NDArray[np.bool_]]) -> BandStatistics | None:
    """Join the cells' statistics, exactly; None where no chosen cell has a valid pixel.

    Sums of squares are joined by their differences from the means (Chan, Golub & LeVeque 1983, eq. 2.1), as squares of
    the values themselves would lose all digits of a small spread about a large mean.
    """
    there = [keep & (index.valid > 0) for index, keep in zip(indices, chosen, strict=True)]
    if not any(one.any() for one in there):
        return None
    pairs = list(zip(indices, there, strict=True))
    counts = np.concatenate([index.valid[keep] for index, keep in pairs]).astype(np.float64)
    means = np.concatenate([index.mean[:, keep] for index, keep in pairs], axis=1)
    squares = np.concatenate([index.squares[:, keep] for index, keep in pairs], axis=1)
    mean = (means * counts).sum(axis=1) / counts.sum()
    spread = (squares.sum(axis=1) + (counts * (means - mean[:, None]) ** 2).sum(axis=1)) / counts.sum()
    low = np.concatenate([index.low[:, keep] for index, keep in pairs], axis=1).min(axis=1)
    high = np.concatenate([index.high[:, keep] for index, keep in pairs], axis=1).max(axis=1)
    samples = np.concatenate([index.samples[keep.reshape(-1)[index.sample_cells]] for index, keep in pairs])
    display = np.stack([low, high]) if not len(samples) else np.percentile(samples, [2, 98], axis=0)
    std = np.where(spread > 0, np.sqrt(spread), 1.0)
    return BandStatistics(mean=mean, std=std, low=low, high=high, display=display.T)
