"""Points of a truth as the pixels that they lie in."""

from typing import Any

import numpy as np
import numpy.typing as npt

from geodeeplab.errors import OptionError
from geodeeplab.raster.grid import Grid
from geodeeplab.raster.polygons.class_text import class_texts
from geodeeplab.raster.polygons.projecting import project_points
from geodeeplab.raster.polygons.vector_file import Features


def are_points(geometries: npt.NDArray[Any]) -> bool:
    """Tell whether all geometries that are there are points, and some are."""
    import shapely

    kinds = shapely.get_type_id(geometries[~shapely.is_missing(geometries)])
    return len(kinds) > 0 and bool((kinds == shapely.GeometryType.POINT).all())


def as_pixels(features: Features, grid: Grid, *, what: str) -> tuple[Features, int]:
    """Replace points by the outlines of the pixels that they lie in, and leave out those whose value is null or blank.

    Args:
        features: with points.
        grid: the pixels.
        what: how messages name the layer.

    Returns:
        The features in the CRS of the grid, and how many were left out.

    Raises:
        OptionError: no point has a value and lies on the grid, or the points cannot be brought there.
    """
    import shapely

    named = class_texts(features.values) != ""
    named &= ~shapely.is_missing(features.geometries) & ~shapely.is_empty(features.geometries)
    points = shapely.get_coordinates(features.geometries[named])
    moved = points if grid.crs is None or features.crs is None else project_points(
        points, features.crs, grid.crs, what=what
    )  # fmt: skip
    inverse = ~grid.transform
    col = np.floor(inverse.a * moved[:, 0] + inverse.b * moved[:, 1] + inverse.c)
    row = np.floor(inverse.d * moved[:, 0] + inverse.e * moved[:, 1] + inverse.f)
    inside = (row >= 0) & (row < grid.height) & (col >= 0) & (col < grid.width)
    if not inside.any():
        raise OptionError(
            f"{what} has no point with a class on the labels' ground ({len(named)} points, {int(named.sum())} with a "
            "class): fill in the class field, or give the points of this place"
        )
    named[named] = inside
    row, col = row[inside], col[inside]
    corners = [grid.transform @ (col + right, row + down) for right, down in ((0, 0), (0, 1), (1, 1), (1, 0))]
    outlines = shapely.polygons(np.stack([np.column_stack(corner) for corner in corners], axis=1))
    return Features(
        geometries=outlines,
        notes=features.notes[named],
        values=features.values[named],
        crs=features.crs if grid.crs is None else grid.crs,
        has_stated_encoding=features.has_stated_encoding,
        may_state_encoding=features.may_state_encoding,
    ), int((~named).sum())
