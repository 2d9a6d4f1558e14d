"""The geometry of a chip: a square of a scene, zoomed, turned and mirrored, read through its bounding window."""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from rasterio.windows import Window

from geodeeplab.training.augmentation import Augmentation
from geodeeplab.training.chip import IGNORE_INDEX, Chip
from geodeeplab.training.sampling.separation import Separation
from geodeeplab.training.scenes.held import HeldScene

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Crop:
    """Where a chip lies in its scene."""

    row: float
    """Row of its centre, in pixels of the scene."""
    col: float
    """Column of its centre."""
    zoom: float = 1.0
    """Pixels of the chip on one of the scene, along each axis."""
    angle: float = 0.0
    """By which it is turned, in radians."""
    is_mirrored: bool = False
    """Whether its columns run the other way."""

    def axes(self) -> tuple[tuple[float, float], tuple[float, float]]:
        """Give what one column and one row of the chip is in the scene, as (x, y) in pixels."""
        cos, sin = math.cos(self.angle) / self.zoom, math.sin(self.angle) / self.zoom
        return (-cos, -sin) if self.is_mirrored else (cos, sin), (-sin, cos)

    def reach(self, chip_size: int) -> float:
        """Give how far the chip reaches from its centre along rows and columns of the scene, in pixels."""
        return chip_size / 2 / self.zoom * (abs(math.cos(self.angle)) + abs(math.sin(self.angle)))


def draw_geometry(augmentation: Augmentation | None, rng: np.random.Generator) -> tuple[float, float, bool]:
    """Draw zoom, angle and whether to mirror; the same count of random numbers each time."""
    zoom, quarter, turn, angle, mirror = rng.random(5)
    if augmentation is None:
        return 1.0, 0.0, False
    low, high = (math.log(one) for one in augmentation.scale)
    turned = math.pi / 2 * (angle - 0.5) if turn < augmentation.rotation_share else 0.0
    quarters = int(4 * quarter) if augmentation.flips else 0
    return math.exp(low + zoom * (high - low)), turned + quarters * math.pi / 2, augmentation.flips and mirror < 0.5


def read_crop(
    scene: HeldScene, crop: Crop, *, chip_size: int, readable: "CellMask", separation: Separation | None = None
) -> Chip:
    """Read a chip.

    Pixels are interpolated between the valid ones of the four around each place, and are valid where the place's own
    pixel is; labels are those of that pixel. What lies outside of the scene, or is not readable, is invalid and has no
    part in any other pixel.

    Args:
        scene: where from.
        crop: where it lies.
        chip_size: its height and width.
        readable: the cells that may be read.
        separation: whose boundaries are a target, drawn anew at the chip's pixels; None for no such target.

    Raises:
        SceneError: a file is damaged.
    """
    from geodeeplab.raster.sources.kernels import sample_bilinear, sample_nearest

    pixels = np.zeros((len(scene.bands), chip_size, chip_size), dtype=np.float32)
    valid = np.zeros((chip_size, chip_size), dtype=np.bool_)
    labels = np.full((1, chip_size, chip_size), IGNORE_INDEX, dtype=np.uint8)
    objects: npt.NDArray[np.int32] | None = None
    window = _window(crop, chip_size, scene.grid.shape)
    if window is not None:
        src = scene.read(window)
        src_valid = src.valid & readable.of(window)
        top, left, positions = window.row_off, window.col_off, _positions(crop, chip_size)
        array = np.ascontiguousarray(src.array)
        sample_bilinear(array, src_valid, top, left, positions, False, pixels, valid)
        there = np.zeros_like(valid)
        sample_nearest(np.ascontiguousarray(src.labels)[None], src_valid, top, left, positions, labels, there)
        there_are = None if separation is None else scene.read_objects(window)
        if there_are is not None:
            sampled = np.full((1, chip_size, chip_size), -1, dtype=np.int32)
            sample_nearest(there_are[None], src_valid, top, left, positions, sampled, np.zeros_like(valid))
            objects = sampled[0]
        if not scene.gain.is_identity:
            pixels = np.where(valid, scene.gain.apply(pixels), np.float32(0))
    return _chip(pixels, valid, labels[0], objects, separation)


def read_square(
    scene: HeldScene,
    row: int,
    col: int,
    *,
    chip_size: int,
    readable: "CellMask",
    separation: Separation | None = None,
) -> Chip:
    """Read a chip as it lies in the scene, its first pixel at (row, col); it may reach beyond the scene."""
    pixels = np.zeros((len(scene.bands), chip_size, chip_size), dtype=np.float32)
    valid = np.zeros((chip_size, chip_size), dtype=np.bool_)
    labels = np.full((chip_size, chip_size), IGNORE_INDEX, dtype=np.uint8)
    objects: npt.NDArray[np.int32] | None = None
    height, width = scene.grid.shape
    top, bottom = max(0, row), min(height, row + chip_size)
    left, right = max(0, col), min(width, col + chip_size)
    if top < bottom and left < right:
        window = Window(left, top, right - left, bottom - top)
        src = scene.read(window)
        at = slice(top - row, bottom - row), slice(left - col, right - col)
        valid[at] = src.valid & readable.of(window)
        pixels[:, at[0], at[1]] = scene.gain.apply(src.array.astype(np.float32))
        pixels[:, ~valid] = 0
        labels[at] = np.where(valid[at], src.labels, np.uint8(IGNORE_INDEX))
        there_are = None if separation is None else scene.read_objects(window)
        if there_are is not None:
            objects = np.full((chip_size, chip_size), -1, dtype=np.int32)
            objects[at] = there_are
    return _chip(pixels, valid, labels, objects, separation)


def _chip(
    pixels: npt.NDArray[np.float32],
    valid: Mask,
    labels: npt.NDArray[np.uint8],
    objects: npt.NDArray[np.int32] | None,
    separation: Separation | None,
) -> Chip:
    """Put a chip together, with the boundaries of its objects if they are a target."""
    return Chip(
        pixels=torch.from_numpy(pixels),
        valid=torch.from_numpy(valid),
        labels=torch.from_numpy(labels),
        boundary=None if separation is None else torch.from_numpy(separation.target(labels, objects)),
    )


class CellMask:
    """Which cells of a scene may be read, by the pixel."""

    def __init__(self, cells: Mask, cell: int) -> None:
        """Take a map (rows, cols) of cells, True where they may be, and the size of a cell."""
        self._cells, self._cell = cells, cell

    def of(self, window: Window) -> Mask:
        """Give (H, W) for the pixels of a window."""
        rows = np.arange(window.row_off, window.row_off + window.height) // self._cell
        cols = np.arange(window.col_off, window.col_off + window.width) // self._cell
        part = self._cells[rows[0] : rows[-1] + 1, cols[0] : cols[-1] + 1]
        pixels: Mask = part.take(rows - rows[0], axis=0).take(cols - cols[0], axis=1)
        return pixels


def _positions(crop: Crop, chip_size: int) -> npt.NDArray[np.float64]:
    """Give (2, S, S): x (column) and y (row) in the scene of the centres of the chip's pixels."""
    (ax, ay), (bx, by) = crop.axes()
    offset = np.arange(chip_size) + 0.5 - chip_size / 2
    positions = np.empty((2, chip_size, chip_size))
    np.add.outer(bx * offset, ax * offset + crop.col, out=positions[0])
    np.add.outer(by * offset, ay * offset + crop.row, out=positions[1])
    return positions


def _window(crop: Crop, chip_size: int, shape: tuple[int, int]) -> Window | None:
    """Give the window that holds all pixels of a scene that a chip is made of; None if there are none."""
    reach = crop.reach(chip_size) + 1
    top, left = max(0, math.floor(crop.row - reach)), max(0, math.floor(crop.col - reach))
    bottom, right = min(shape[0], math.ceil(crop.row + reach)), min(shape[1], math.ceil(crop.col + reach))
    return Window(left, top, right - left, bottom - top) if top < bottom and left < right else None
