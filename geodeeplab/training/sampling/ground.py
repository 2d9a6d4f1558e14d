"""Where the cells of scenes lie on the ground that scenes share."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from affine import Affine
from rasterio.crs import CRS

from geodeeplab.raster import Grid
from geodeeplab.raster.projection import apply_transform, near_longitude, projection

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Ground:
    """A plane that several scenes lie on, measured in pixels of the first of them."""

    plane: int
    """Its number: things on different planes have no distance."""
    grid: Grid
    """The first scene's: its pixel coordinates are those of the plane."""


@dataclass(frozen=True, kw_only=True)
class CellPlaces:
    """Where the cells of a scene lie."""

    plane: int
    """On which ground."""
    centre: Floats
    """(2, rows, cols) x and y; not finite where the ground's CRS is not defined."""
    low: Floats
    """(2, rows, cols) least x and y of a cell."""
    high: Floats
    """(2, rows, cols) greatest x and y of a cell."""


def grounds_of(grids: Sequence[Grid]) -> list[Ground]:
    """Give the ground of each scene: one that all with a CRS share, and one of its own for each without."""
    first = next((number for number, grid in enumerate(grids) if grid.crs is not None), None)
    grounds = []
    for number, grid in enumerate(grids):
        whose = number if first is None or grid.crs is None else first
        own = grids[whose] if grids[whose].crs is not None else _pixel_grid(grids[whose])
        grounds.append(Ground(plane=whose, grid=own))
    return grounds


def place_cells(grid: Grid, ground: Ground, *, cell: int) -> CellPlaces:
    """Give where the cells of a scene lie on a ground.

    Args:
        grid: the scene's; without a CRS its pixels are those of the ground.
        ground: see `grounds_of`.
        cell: height and width of a cell in pixels; the last ones may be cut off.
    """
    rows, cols = (
        np.minimum(np.arange(0, length + cell, cell), length).astype(np.float64) for length in (grid.height, grid.width)
    )
    rows, cols = (np.unique(one) for one in (rows, cols))
    corners = to_ground(grid, ground, cols[None, :], rows[:, None])
    four = np.stack([corners[:, :-1, :-1], corners[:, :-1, 1:], corners[:, 1:, :-1], corners[:, 1:, 1:]])
    middle = to_ground(grid, ground, (cols[:-1] + cols[1:])[None, :] / 2, (rows[:-1] + rows[1:])[:, None] / 2)
    return CellPlaces(plane=ground.plane, centre=middle, low=four.min(axis=0), high=four.max(axis=0))


def to_ground(grid: Grid, ground: Ground, cols: Floats, rows: Floats) -> Floats:
    """Give (2, ...) the places on the ground of positions in a scene, in pixels; broadcast against each other."""
    if grid.crs is None or grid == ground.grid:
        return np.stack(np.broadcast_arrays(cols, rows)).astype(np.float64)
    points = projection(grid.crs, ground.grid.crs, path="scene")(apply_transform(grid.transform, cols, rows))
    if _is_geographic(ground.grid.crs):
        left, _, right, _ = ground.grid.bounds
        points[0] = near_longitude(points[0], (left + right) / 2)
    with np.errstate(invalid="ignore"):  # inf - inf, where the CRS is not defined
        return apply_transform(~ground.grid.transform, points[0], points[1])


def _pixel_grid(grid: Grid) -> Grid:
    return Grid(shape=grid.shape, transform=Affine.identity(), crs=None)


def _is_geographic(crs: CRS | None) -> bool:
    return crs is not None and bool(crs.is_geographic)
