"""Square chips cut from a labelled scene: side by side or overlapping, as they lie or turned."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from affine import Affine
from rasterio.windows import Window

from geodeeplab.errors import OptionError
from geodeeplab.raster import Grid
from geodeeplab.training.chip import IGNORE_INDEX
from geodeeplab.training.scenes.labelled import LabelledScene


@dataclass(frozen=True, kw_only=True)
class ChipLattice:
    """Where chips lie in a scene: with their first corner at multiples of the stride, each turned by every angle."""

    tile_size: int = 512
    """Height and width in pixels."""
    stride: int | None = None
    """Step from one to the next; None for the tile size: side by side."""
    rotation: float = 0.0
    """Degrees by which every chip is turned again and again, about its centre, until it has turned once; 0 for none."""

    def __post_init__(self) -> None:
        """Check the numbers.

        Raises:
            OptionError: if one is out of its range.
        """
        if self.tile_size < 1:
            raise OptionError(f"`tile_size=` is at least 1 pixel, not {self.tile_size}: give e.g. 256")
        if not 1 <= self.step <= self.tile_size:
            raise OptionError(
                f"`stride=` is 1 to `tile_size=` ({self.tile_size}), not {self.stride}: ground would be missed"
            )
        if not (0 <= self.rotation < 360):
            raise OptionError(f"rotation is 0 (none) or degrees up to 360, not {self.rotation:g}: give e.g. 90")

    @property
    def step(self) -> int:
        """The stride in pixels."""
        return self.tile_size if self.stride is None else self.stride

    @property
    def angles(self) -> list[float]:
        """Degrees, counter-clockwise as the scene is drawn: 0 and all multiples of the rotation below 360."""
        if self.rotation == 0:
            return [0.0]
        return [angle for k in range(int(360 // self.rotation) + 1) if (angle := k * self.rotation) < 360]

    def corners(self, shape: tuple[int, int]) -> list[tuple[int, int]]:
        """List (row, col) of the first pixel of each chip of a scene, row by row; the last ones may reach beyond it.

        Law: with the stride of a tile size, the chips partition the scene.
        """
        rows, cols = (range(0, _last(length, self.tile_size, self.step) + 1, self.step) for length in shape)
        return [(row, col) for row in rows for col in cols]


@dataclass(frozen=True, kw_only=True)
class CutChip:
    """A chip as it is written to files."""

    array: npt.NDArray[Any]
    """(C, S, S), as stored in the scene; 0 outside of it."""
    valid: npt.NDArray[np.bool_]
    """(S, S), True where valid; False outside of the scene."""
    labels: npt.NDArray[np.uint8]
    """(S, S) class indices, `IGNORE_INDEX` where nothing is labelled or valid."""
    grid: Grid
    """Its pixels on the ground."""


def iter_chips(scene: LabelledScene, lattice: ChipLattice, corner: tuple[int, int]) -> Iterator[CutChip]:
    """Cut the chip at a corner, once for each angle.

    Turned by quarters, chips have the pixels of the scene. By other angles they are interpolated: bilinear between
    valid pixels, labels by nearest.

    Raises:
        SceneError: a file is damaged.
    """
    size = lattice.tile_size
    row, col = corner
    straight: CutChip | None = None
    for angle in lattice.angles:
        if angle % 90:
            yield _cut_turned(scene, row + size / 2, col + size / 2, size, angle)
            continue
        straight = straight or _cut(scene, row, col, size)
        yield _quarter(straight, int(angle // 90))


def _last(length: int, size: int, step: int) -> int:
    """Give where the last chip along an axis begins: the first one that reaches the end."""
    return max(0, -(-(length - size) // step)) * step


def _cut(scene: LabelledScene, row: int, col: int, size: int) -> CutChip:
    """Cut a chip as it lies."""
    dtype = np.result_type(*(band.dtype for band in scene.bands))
    array = np.zeros((len(scene.bands), size, size), dtype=dtype)
    valid = np.zeros((size, size), dtype=np.bool_)
    labels = np.full((size, size), IGNORE_INDEX, dtype=np.uint8)
    top, left = max(row, 0), max(col, 0)
    height = min(row + size, scene.grid.height) - top
    width = min(col + size, scene.grid.width) - left
    if height > 0 and width > 0:
        pixels = scene.read(Window(left, top, width, height))
        at = slice(top - row, top - row + height), slice(left - col, left - col + width)
        array[:, at[0], at[1]], valid[at] = pixels.array, pixels.valid
        labels[at] = np.where(pixels.valid, pixels.labels, np.uint8(IGNORE_INDEX))
    return CutChip(array=array, valid=valid, labels=labels, grid=scene.grid.crop(Window(col, row, size, size)))


def _quarter(chip: CutChip, quarters: int) -> CutChip:
    """Turn a chip by quarters, to the pixel."""
    if quarters == 0:
        return chip
    size = chip.grid.width
    return CutChip(
        array=np.rot90(chip.array, quarters, axes=(1, 2)),
        valid=np.rot90(chip.valid, quarters),
        labels=np.rot90(chip.labels, quarters),
        grid=_turned_grid(chip.grid, size / 2, size / 2, size, 90.0 * quarters),
    )


def _cut_turned(scene: LabelledScene, row: float, col: float, size: int, angle: float) -> CutChip:
    """Cut a chip about a centre, turned by any angle."""
    from geodeeplab.raster.sources.kernels import sample_bilinear, sample_nearest

    reach = int(np.ceil(size * 0.5**0.5)) + 1  # half the diagonal
    top, left = int(row) - reach, int(col) - reach
    around = _cut(scene, top, left, 2 * reach + 1)
    grid = _turned_grid(scene.grid, row, col, size, angle)
    offset = np.arange(size) + 0.5 - size / 2
    x, y = np.meshgrid(offset, offset)
    turn = Affine.rotation(angle)  # rows run down: what lies clockwise in the scene comes up
    positions = np.stack([turn.a * x + turn.b * y + col, turn.d * x + turn.e * y + row])
    array = np.zeros((len(around.array), size, size), dtype=around.array.dtype)
    labels = np.full((1, size, size), IGNORE_INDEX, dtype=np.uint8)
    valid, labelled = np.zeros((size, size), dtype=np.bool_), np.zeros((size, size), dtype=np.bool_)
    sample_bilinear(around.array, around.valid, top, left, positions, array.dtype.kind in "iu", array, valid)
    sample_nearest(around.labels[None], around.valid, top, left, positions, labels, labelled)
    return CutChip(array=array, valid=valid, labels=labels[0], grid=grid)


def _turned_grid(grid: Grid, row: float, col: float, size: int, angle: float) -> Grid:
    """Give the grid of a square of pixels about a centre, turned counter-clockwise as a picture is seen."""
    turned = Affine.translation(col, row) @ Affine.rotation(angle) @ Affine.translation(-size / 2, -size / 2)
    return Grid(shape=(size, size), transform=grid.transform @ turned, crs=grid.crs)
