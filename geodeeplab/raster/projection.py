"""Going from one CRS to another, and the grid that rasters of several CRSs or resolutions can share."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from affine import Affine
from rasterio.crs import CRS
from rasterio.windows import Window

from geodeeplab.errors import OptionError, SceneError
from geodeeplab.raster.crs import crs_name, same_crs, transformer
from geodeeplab.raster.grid import Grid

Points = npt.NDArray[np.float64]
"""(2, ...): x and y."""

OUTLINE_STEPS = 32  # points along one side of a grid's outline
INTERIOR_STEPS = 256  # the same along both axes, where a part of a grid cannot be projected
PIXEL_SLACK = 1e-6  # pixels by which an outline may pass a pixel's edge without taking in one more
SIZE_TOLERANCE = 1e-9  # relative difference of pixel sizes that count as the same


@dataclass(frozen=True, kw_only=True)
class CommonGrid:
    """A grid that covers others."""

    grid: Grid
    """North-up; only as large as it must be."""
    windows: tuple[Window, ...]
    """The part of it that each of the others needs, in their order."""


def projection(src_crs: CRS | None, dst_crs: CRS | None, *, path: str) -> Callable[[Points], Points]:
    """Give the function that takes points from one CRS to another; inf where there is no way.

    A point's result depends on nothing but the point. Two rasters without CRS share their coordinates.

    Raises:
        SceneError: one CRS is missing, or nothing leads from one to the other.
    """
    if same_crs(src_crs, dst_crs):
        return np.copy
    if src_crs is None or dst_crs is None:
        raise SceneError(
            f"scene '{path}' cannot be brought into another CRS as one of the two is missing; "
            "if you know it: gdal_edit.py -a_srs EPSG:CODE"
        )
    way = transformer(src_crs, dst_crs, what=f"scene '{path}'")

    def project(points: Points) -> Points:
        return np.stack(way.transform(points[0], points[1]))

    return project


def apply_transform(transform: Affine, x: npt.NDArray[np.float64], y: npt.NDArray[np.float64]) -> Points:
    """Give the images of points, x and y broadcast against each other."""
    return np.stack(np.broadcast_arrays(transform.a * x + transform.b * y + transform.c,
                                        transform.d * x + transform.e * y + transform.f))  # fmt: skip


def near_longitude(lons: npt.NDArray[np.float64], centre: float) -> npt.NDArray[np.float64]:
    """Add the full turns that bring longitudes within 180 degrees of a centre, as grids run on past 180."""
    is_far = np.isfinite(lons) & (np.abs(lons - centre) > 180 + 1e-6)
    turns: npt.NDArray[np.float64] = np.rint(np.where(is_far, centre - lons, 0) / 360)
    return lons + 360 * turns


def pixel_steps(grid: Grid, crs: CRS | None, *, path: str) -> tuple[tuple[float, float], tuple[float, float]]:
    """Give what one step along a grid's columns and one along its rows is in another CRS, as (x, y), at its centre.

    Where the centre cannot be projected it is the nearest point that can.

    Raises:
        SceneError: no point of the grid can be projected.
    """
    project = projection(grid.crs, crs, path=path)
    for count in (1, 33):  # points along each axis; an odd number has the centre among them
        cols, rows = np.meshgrid(_centres(grid.width, count), _centres(grid.height, count))
        ends = [
            project(apply_transform(grid.transform, cols + dx, rows + dy))
            for dx, dy in ((-0.5, 0), (0.5, 0), (0, -0.5), (0, 0.5))
        ]
        distance = np.hypot(cols - grid.width / 2, rows - grid.height / 2)
        distance[~np.isfinite(np.stack(ends)).all(axis=(0, 1))] = np.inf
        row, col = divmod(int(distance.argmin()), count)
        if math.isfinite(distance[row, col]):
            west, east, north, south = (end[:, row, col].tolist() for end in ends)
            return (east[0] - west[0], east[1] - west[1]), (south[0] - north[0], south[1] - north[1])
    raise SceneError(f"scene '{path}' lies outside of where {crs_name(crs)} is defined: choose another CRS")


def common_grid(
    grids: Sequence[Grid], crs: CRS | None, *, paths: Sequence[str], gsd_m: float | None = None
) -> CommonGrid:
    """Give a north-up grid in a CRS that covers all of some grids.

    Its pixels are those of the grid that has the finest there, square unless that grid is itself in this CRS, or
    `gsd_m` metres. They coincide with the pixels of the first grid whose pixels they can coincide with; without one
    their edges are multiples of the pixel size, so that grids made one by one fit together.

    Args:
        grids: at least one.
        crs: None only where none of the grids has one.
        paths: names of the grids, for messages.
        gsd_m: pixel size in metres on the ground.

    Raises:
        SceneError: a grid has no CRS or lies where the CRS is not defined, or nothing says what a metre is.
        OptionError: the pixel size is not positive.
    """
    outlines = [_outline(grid, crs, path=path) for grid, path in zip(grids, paths, strict=True)]
    if crs is not None and crs.is_geographic:
        centre = _centre_longitude(grids[0], crs, outlines[0], path=paths[0])
        outlines = [np.stack([near_longitude(lons, centre), lats]) for lons, lats in outlines]
    sizes = [_pixel_size(grid, crs, path=path) for grid, path in zip(grids, paths, strict=True)]
    x_size, y_size = min(sizes, key=lambda size: size[0] * size[1])
    if gsd_m is not None:
        x_size, y_size = _size_in_crs(gsd_m, crs, centre=outlines[0].mean(axis=1), guess=(x_size, y_size))
    x_anchor, y_anchor = _anchor(grids, crs, (x_size, y_size))
    boxes = []
    for xs, ys in outlines:
        cols, rows = (xs - x_anchor) / x_size, (y_anchor - ys) / y_size
        first = math.floor(cols.min() + PIXEL_SLACK), math.floor(rows.min() + PIXEL_SLACK)
        stop = math.ceil(cols.max() - PIXEL_SLACK), math.ceil(rows.max() - PIXEL_SLACK)
        boxes.append((*first, max(stop[0], first[0] + 1), max(stop[1], first[1] + 1)))
    col, row = min(box[0] for box in boxes), min(box[1] for box in boxes)
    transform = Affine(x_size, 0, x_anchor + col * x_size, 0, -y_size, y_anchor - row * y_size)
    shape = max(box[3] for box in boxes) - row, max(box[2] for box in boxes) - col
    windows = tuple(Window(box[0] - col, box[1] - row, box[2] - box[0], box[3] - box[1]) for box in boxes)
    return CommonGrid(grid=Grid(shape=shape, transform=transform, crs=crs), windows=windows)


def is_north_up(grid: Grid) -> bool:
    """Tell whether rows and columns run along y and x (south-up as well), to a millionth of a pixel over the grid."""
    t = grid.transform
    skew = abs(t.b) * grid.height / abs(t.a or 1), abs(t.d) * grid.width / abs(t.e or 1)
    return max(skew) < PIXEL_SLACK and t.a > 0


def _centres(length: int, count: int) -> npt.NDArray[np.float64]:
    """Give points spread over an axis, from the first pixel's centre to the last one's if there are several."""
    return np.linspace(0.5, length - 0.5, count) if count > 1 else np.array([length / 2])


def _outline(grid: Grid, crs: CRS | None, *, path: str) -> Points:
    """Give points (2, n) along the edge of a grid in a CRS; from within it too, where not all of the edge is there."""
    if same_crs(grid.crs, crs):
        left, bottom, right, top = grid.bounds
        return np.array([[left, right], [bottom, top]])
    project = projection(grid.crs, crs, path=path)
    along = np.linspace(0, 1, OUTLINE_STEPS + 1)
    zeros, ones = np.zeros_like(along), np.ones_like(along)
    cols, rows = np.concatenate([along, along, zeros, ones]), np.concatenate([zeros, ones, along, along])
    points = project(apply_transform(grid.transform, cols * grid.width, rows * grid.height))
    if not np.isfinite(points).all():
        inner = np.linspace(0, 1, INTERIOR_STEPS + 1)
        points = project(apply_transform(grid.transform, inner[None] * grid.width, inner[:, None] * grid.height))
        points = points[:, np.isfinite(points).all(axis=0)]
    if points.size == 0:
        raise SceneError(f"scene '{path}' lies outside of where {crs_name(crs)} is defined: choose another CRS")
    return points


def _centre_longitude(grid: Grid, crs: CRS, outline: Points, *, path: str) -> float:
    """Give the longitude in the middle of a grid, or one on its outline if the middle cannot be projected."""
    middle = apply_transform(grid.transform, np.array(grid.width / 2), np.array(grid.height / 2))
    lon = float(projection(grid.crs, crs, path=path)(middle)[0])
    return lon if math.isfinite(lon) else float(outline[0, 0])


def _pixel_size(grid: Grid, crs: CRS | None, *, path: str) -> tuple[float, float]:
    """Give the size (x, y) in a CRS of square pixels as large as those of a grid, or of its own if they lie there."""
    if same_crs(grid.crs, crs) and is_north_up(grid):
        return grid.res
    (ax, ay), (bx, by) = pixel_steps(grid, crs, path=path)
    side = math.sqrt(abs(ax * by - ay * bx))
    return side, side


def _size_in_crs(
    gsd_m: float, crs: CRS | None, *, centre: npt.NDArray[np.float64], guess: tuple[float, float]
) -> tuple[float, float]:
    """Give the pixel size (x, y) in units of a CRS that is so many metres on the ground at a place."""
    if not gsd_m > 0:
        raise OptionError(f"a pixel size is a positive number of metres, got {gsd_m:g}: give e.g. 0.5")
    x_unit, y_unit = (1.0, 1.0) if crs is not None and crs.is_projected else guess
    one = Grid(shape=(1, 1), transform=Affine(x_unit, 0, centre[0], 0, -y_unit, centre[1]), crs=crs).gsd_m
    if one is None:
        raise SceneError(
            f"a pixel size of {gsd_m:g} m says nothing in the CRS {crs_name(crs)}: leave it out, or choose another CRS"
        )
    if crs is not None and crs.is_projected:
        side = gsd_m / math.sqrt(one[0] * one[1])
        return side, side
    return gsd_m / one[0] * x_unit, gsd_m / one[1] * y_unit


def _anchor(grids: Sequence[Grid], crs: CRS | None, size: tuple[float, float]) -> tuple[float, float]:
    """Give a corner (x, y) that pixels shall have: of the first grid with such pixels, else the origin of the CRS."""
    for grid in grids:
        same_size = all(math.isclose(a, b, rel_tol=SIZE_TOLERANCE) for a, b in zip(grid.res, size, strict=True))
        if same_crs(grid.crs, crs) and is_north_up(grid) and same_size:
            return grid.bounds[0], grid.bounds[3]
    return 0.0, 0.0
