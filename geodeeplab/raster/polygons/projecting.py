"""Polygons on their way into a scene's CRS, where straight edges become curves; and points."""

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from rasterio.crs import CRS

from geodeeplab.errors import OptionError
from geodeeplab.raster.crs import same_crs, to_crs, to_pyproj, transformer

if TYPE_CHECKING:
    import pyproj

# A straight edge in one CRS is a curve in another. Edges are divided until the chords lie within this of the curve.
TOLERANCE_M = 0.05
METRES_PER_DEGREE = 111_320.0
MOST_DIVISIONS = 250_000
FARTHEST = 1e15
"""Coordinates beyond are no places in any unit."""


def project_polygons(polygons: npt.NDArray[Any], src_crs: Any, crs: CRS, *, what: str) -> npt.NDArray[Any]:  # noqa: ANN401
    """Bring polygons into a CRS; edges become curves there, which are followed to within `TOLERANCE_M`.

    Raises:
        OptionError: they lie where the CRS is not defined, or nothing leads to it.
    """
    import shapely

    _check_places(shapely.get_coordinates(polygons), what=what)
    if _is_same(src_crs, crs):
        return polygons
    way = _way(src_crs, crs, what=what)
    dst = to_pyproj(crs)
    factor = 1 / METRES_PER_DEGREE if dst.is_geographic else 1 / dst.axis_info[0].unit_conversion_factor
    divided = _divide(polygons, way, TOLERANCE_M * factor)
    points = shapely.get_coordinates(polygons if divided is None else divided)
    moved = np.column_stack(way.transform(points[:, 0], points[:, 1]))
    if divided is None or not np.isfinite(moved).all():
        raise OptionError(f"{what} reaches beyond where {dst.name} is defined: cut it to the surroundings of the scene")
    return shapely.set_coordinates(divided, moved)  # type: ignore[no-any-return]


def project_points(points: npt.NDArray[np.float64], src_crs: Any, crs: CRS, *, what: str) -> npt.NDArray[np.float64]:  # noqa: ANN401
    """Bring points (n, 2) into a CRS.

    Raises:
        OptionError: they lie where the CRS is not defined, or nothing leads to it.
    """
    _check_places(points, what=what)
    if _is_same(src_crs, crs):
        return points
    moved = np.column_stack(_way(src_crs, crs, what=what).transform(points[:, 0], points[:, 1]))
    if not np.isfinite(moved).all():
        raise OptionError(f"{what} has points beyond where {to_pyproj(crs).name} is defined: leave them out")
    return moved


def _check_places(points: npt.NDArray[np.float64], *, what: str) -> None:
    if not (np.abs(points) < FARTHEST).all():  # NaN too
        raise OptionError(f"{what} has coordinates that are no places (inf, NaN or 1e30): draw it again")


def _way(src_crs: Any, crs: CRS, *, what: str) -> "pyproj.Transformer":  # noqa: ANN401
    return transformer(
        src_crs,
        crs,
        what=what,
        error=OptionError,
        advice="give it in the CRS of the scene, or state the scene's: gdal_edit.py -a_srs EPSG:CODE",
    )


def _is_same(src_crs: Any, crs: CRS) -> bool:  # noqa: ANN401
    """Tell whether coordinates of a vector file are those of a scene."""
    try:
        return same_crs(to_crs(src_crs), crs)
    except OptionError:
        return False


def _divide(polygons: npt.NDArray[Any], transformer: "pyproj.Transformer", tolerance: float) -> npt.NDArray[Any] | None:
    """Add vertices to edges until, in the other CRS, no edge is off its true course by more than a tolerance.

    None where that takes too many: towards a pole or a rim of the CRS there is no end to it.
    """
    import shapely

    divided = polygons
    longest = total = math.inf
    most = MOST_DIVISIONS + 4 * len(edge_ends(polygons)[0])
    while True:
        start, stop = edge_ends(divided)
        lengths, bends = np.hypot(*(stop - start).T), _bends(start, stop, transformer)
        too_much = bends > tolerance
        if not too_much.any():
            return divided
        total = min(total, float(lengths.sum()))
        # A bend goes with the square of the length; a tenth less, as it may be sharper within the edge.
        wanted = 0.9 * float((lengths[too_much] * np.sqrt(tolerance / bends[too_much])).min())
        longest = max(wanted, min(longest, float(lengths.max())) / 64)
        if total / longest > most:
            return None
        divided = shapely.segmentize(polygons, longest)


def edge_ends(polygons: npt.NDArray[Any]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Give the ends (N, 2) of all edges of all rings."""
    import shapely

    points, ring = shapely.get_coordinates(shapely.get_rings(polygons), return_index=True)
    same = ring[:-1] == ring[1:]
    return points[:-1][same], points[1:][same]


def _bends(
    start: npt.NDArray[np.float64], stop: npt.NDArray[np.float64], transformer: "pyproj.Transformer"
) -> npt.NDArray[np.float64]:
    """Measure how far the points at the quarters of each edge come to lie off the straight line between its ends."""
    moved_start, moved_stop = (np.stack(transformer.transform(*ends.T)) for ends in (start, stop))
    worst = np.zeros(len(start))
    for share in (0.25, 0.5, 0.75):  # the middle alone would miss an S
        middle = np.stack(transformer.transform(*(start + share * (stop - start)).T))
        with np.errstate(invalid="ignore"):
            off = np.hypot(*(middle - (moved_start + share * (moved_stop - moved_start))))
        worst = np.maximum(worst, np.where(np.isfinite(off), off, 0.0))
    return worst
