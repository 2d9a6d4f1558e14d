"""The CRS that polygons are written in, and the way there from that of a raster."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rasterio.crs import CRS

from geodeeplab.errors import OptionError
from geodeeplab.raster import Grid
from geodeeplab.raster.crs import crs_name, same_crs, to_crs, transformer
from geodeeplab.raster.projection import near_longitude
from geodeeplab.vector import OUTPUT_CRS, ToOutput

OUTLINE_POINTS = 33
"""Points along each axis of a raster of which its bounds in another CRS are taken."""
HALVINGS = 12
"""How often the way between two of them is halved to see whether it is torn."""

Points = NDArray[np.float64]
"""(N, 2)"""


def choose_output_crs(asked: str | None, crs: CRS | None, dst_path: Path) -> CRS | None:
    """Give the CRS of the output.

    Raises:
        OptionError: it is unknown, the raster has none, or the format cannot hold it.
    """
    only = OUTPUT_CRS.get(dst_path.suffix.lower())
    if asked is None and (only is None or crs is None):
        return crs
    wanted = to_crs(asked if asked is not None else only)
    if crs is None:
        raise OptionError(f"the raster has no CRS, so its polygons cannot be in {asked}: state its CRS first")
    return wanted


def way_to_output(grid: Grid, dst: CRS | None) -> ToOutput | None:
    """Give what maps points from a raster's CRS to another; None where they are the same.

    Longitudes run on past 180 degrees where the raster lies across the antimeridian, so that neighbours stay so.

    Raises:
        OptionError: nothing leads from one to the other.
    """
    if grid.crs is None or dst is None or same_crs(grid.crs, dst):
        return None
    way = transformer(
        grid.crs,
        dst,
        what="what is labelled",
        error=OptionError,
        advice=(
            "write .gpkg, .parquet or .fgb without an output CRS, or state the right one of the scene: "
            "gdal_edit.py -a_srs EPSG:CODE"
        ),
    )
    x, y = _points(grid, 3)[4]
    centre = float(way.transform(x, y)[0]) if dst.is_geographic else np.inf

    def move(points: Points) -> Points:
        xs, ys = way.transform(points[:, 0], points[:, 1])
        moved = np.column_stack((near_longitude(xs, centre) if np.isfinite(centre) else xs, ys))
        if not np.isfinite(moved).all():
            raise OptionError(
                f"part of what is labelled lies where {crs_name(dst)} is not defined: choose another output CRS, or "
                "write .gpkg, .parquet or .fgb in the scene's own"
            )
        return moved

    return move


def check_output_crs(grid: Grid, dst: CRS | None) -> None:
    """Check that a raster can be brought into the CRS of the output in one piece.

    Raises:
        OptionError: it lies in part where that is not defined, across the seam of a map of the world, or around a pole.
    """
    to_output = way_to_output(grid, dst)
    if to_output is None:
        return
    nodes = _points(grid, OUTLINE_POINTS).reshape(OUTLINE_POINTS, OUTLINE_POINTS, 2)
    starts = np.concatenate([nodes[:-1].reshape(-1, 2), nodes[:, :-1].reshape(-1, 2)])
    stops = np.concatenate([nodes[1:].reshape(-1, 2), nodes[:, 1:].reshape(-1, 2)])
    start, stop = to_output(starts), to_output(stops)
    whole = np.hypot(*(stop - start).T)
    for _ in range(HALVINGS):  # each time the half goes on in which there is more way to go
        middles = (starts + stops) / 2
        middle = to_output(middles)
        is_first = (np.hypot(*(middle - start).T) > np.hypot(*(stop - middle).T))[:, None]
        starts, stops = np.where(is_first, starts, middles), np.where(is_first, middles, stops)
        start, stop = np.where(is_first, start, middle), np.where(is_first, middle, stop)
    if (np.hypot(*(stop - start).T) > whole / 4).any():
        raise OptionError(
            f"what is labelled would be torn in {crs_name(dst)}, as it lies across the antimeridian or around a pole: "
            "choose another output CRS, or write .gpkg, .parquet or .fgb in the scene's own"
        )


def output_bounds(grid: Grid, to_output: ToOutput | None) -> tuple[float, float, float, float]:
    """Give the bounds of a grid in the CRS of the output: those of many points on it."""
    points = _points(grid, OUTLINE_POINTS)
    moved = points if to_output is None else to_output(points)
    (left, bottom), (right, top) = moved.min(axis=0), moved.max(axis=0)
    return float(left), float(bottom), float(right), float(top)


def _points(grid: Grid, count: int) -> Points:
    """Give (N, 2) points of a grid, `count` along each axis, from corner to corner, row by row."""
    side = np.linspace(0.0, 1.0, count)
    col, row = (axis.ravel() for axis in np.meshgrid(side * grid.width, side * grid.height))
    a, b, c, d, e, f = grid.transform[:6]
    return np.column_stack((a * col + b * row + c, d * col + e * row + f))
