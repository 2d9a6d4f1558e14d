"""Measure arcs and pixels on the ground, in any CRS."""

import warnings

import numpy as np
from numpy.typing import NDArray
from rasterio.crs import CRS

from geodeeplab.errors import GeoDeepLabWarning, OptionError
from geodeeplab.raster.grid import Grid
from geodeeplab.raster.projection import apply_transform
from geodeeplab.vector.measure.ground import Bounds, Floats, Ground
from geodeeplab.vector.measure.interrupted import InterruptedMap
from geodeeplab.vector.measure.table import CellTable, table_of

# Gauss-Legendre nodes along a row whose pixels differ in area.
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(12)


class Ruler:
    """Measures arcs of one layer on the ellipsoid of its CRS.

    Edges are straight in CRS coordinates (a geodesic from end to end would be another line). Areas and lengths are
    within 1e-7 of `pyproj.Geod.geometry_area_perimeter` of densified edges, of a single pixel as well as of the whole
    Earth, and within 1e-5 on maps of half the Earth from space. Longitudes may run on past 180, and rings may hold a
    pole in projected CRSs.

    Laws:

    - An arc's measures depend on the arc, `crs` and `bounds` alone. All arcs of a layer are measured with one ruler, or
      with rulers made from the same `crs` and `bounds`, which are equal.
    - The area integrals of the arcs around a ring, those that run against it taken negative, add up to the ring's
      area on the ground, whichever arcs it is made of: positive if it runs anticlockwise in (x, y).

    Set-up takes milliseconds, a tenth of a second for continents. A vertex then takes 20 to 30 ns, up to 100 in layers
    of the whole world, and microseconds where the map tears or ends within the bounds (the whole world in Mollweide's
    projection).

    Args:
        crs: of the coordinates; None when nobody stated it.
        bounds: left, bottom, right, top around everything that will be measured, in CRS units.
    """

    known: bool
    """Whether there are measures; else they are NaN: without CRS, or in one that has no place on the Earth (the
    constructor then gives a GeoDeepLabWarning)."""

    def __init__(self, crs: CRS | None, bounds: Bounds) -> None:
        self._map: CellTable | InterruptedMap | None = None
        if crs is not None:
            try:
                self._map = _open_map(crs, bounds)
            except ValueError as error:
                warnings.warn(
                    "areas in m² and perimeters in m are left empty, as the CRS of the polygons does not lead to the "
                    f"ground ({error}): lines are in its own units, and classes are counted in pixels",
                    GeoDeepLabWarning,
                    stacklevel=2,
                )
        self.known = self._map is not None

    def measure_arcs(self, points: Floats, offsets: NDArray[np.int64]) -> tuple[Floats, Floats]:
        """Integrate areas and lengths along arcs; safe in several threads at once, and without the GIL.

        Args:
            points: (V, 2) x and y in the CRS.
            offsets: (A + 1,) where arcs begin and end in `points`.

        Returns:
            Each arc's share of the area to its left in m², and its length in m, both (A,). NaN for arcs with a point
            that is not finite, outside the domain of the CRS, or far outside `bounds`.
        """
        areas, lengths = np.full((2, len(offsets) - 1), np.nan)
        if isinstance(self._map, InterruptedMap):
            return self._map.measure_arcs(points, offsets)
        if self._map is not None:
            from geodeeplab.vector.measure.kernels import measure_arcs

            points = np.ascontiguousarray(points, dtype=np.float64)
            offsets = np.ascontiguousarray(offsets, dtype=np.int64)
            measure_arcs(points, offsets, self._map.frame, self._map.coefficients, areas, lengths)
        return areas, lengths


def metric_table(grid: Grid, cell_px: int = 256) -> Floats:
    """Give what steps over the pixels of a grid are on the ground, for tolerances in metres.

    Args:
        grid: its CRS may have any unit, and any scale.
        cell_px: the measure is taken at the middle of cells of so many pixels, from the first pixel on.

    Returns:
        (R, C, 2, 2): M such that |M @ (dcol, drow)| is the length in metres of a small step in that cell. M itself is
        the step turned upright with the map (of all such matrices the one that turns the map least).

    Raises:
        OptionError: the grid has no CRS, or one that does not lead to the ground.
    """
    ground = _open_grid(grid, wanted := "a tolerance in metres")
    cols, rows = (np.arange(0, size, cell_px) for size in (grid.width, grid.height))
    col = (cols + np.minimum(cols + cell_px, grid.width)) / 2
    row = (rows + np.minimum(rows + cell_px, grid.height)) / 2
    x, y = apply_transform(grid.transform, *np.meshgrid(col, row))
    metric = ground.metric(x, y)
    known = np.isfinite(metric).all(axis=0)
    if not known.any():
        raise _off_the_ground(grid, "its cells are outside its domain", wanted)
    metric = np.where(known, metric, metric[:, known].mean(axis=1)[:, None, None])  # nobody has polygons off the map
    # The symmetric square root of a positive 2 × 2 matrix: (A + √det I) / √(trace + 2 √det).
    root = np.sqrt(np.maximum(metric[0] * metric[2] - metric[1] ** 2 / 4, 0))
    matrices = np.stack([metric[0] + root, metric[1] / 2, metric[1] / 2, metric[2] + root], axis=-1)
    matrices /= np.sqrt(metric[0] + metric[2] + 2 * root)[..., None]
    t = grid.transform
    turned: Floats = matrices.reshape(*x.shape, 2, 2) @ np.array([[t.a, t.b], [t.d, t.e]])
    return turned


def row_areas(grid: Grid) -> Floats:
    """Give the ground area of a pixel in each row, in m², (H,).

    It is that of the row's middle line, and the mean along it where it differs (rows that are no parallels).

    Raises:
        OptionError: the grid has no CRS, or one that does not lead to the ground.
    """
    ground = _open_grid(grid, wanted := "a minimum area in m²")
    areas = np.empty(grid.height)
    col = (_NODES + 1) / 2 * grid.width
    for start in range(0, grid.height, 4096):
        row = np.arange(start, min(start + 4096, grid.height)) + 0.5
        e, f2, g = ground.metric(*apply_transform(grid.transform, *np.meshgrid(col, row)))
        scale = np.sqrt(np.maximum(e * g - f2**2 / 4, 0))
        weights = np.where(np.isfinite(scale), _WEIGHTS, 0)
        with np.errstate(invalid="ignore"):
            areas[start : start + len(row)] = np.nansum(scale * weights, axis=1) / weights.sum(axis=1)
    known = np.flatnonzero(np.isfinite(areas))
    if len(known) == 0:
        raise _off_the_ground(grid, "its rows are outside its domain", wanted)
    return np.interp(np.arange(grid.height), known, areas[known]) * grid.pixel_area


def _open_map(crs: CRS, bounds: Bounds) -> CellTable | InterruptedMap:
    """Give the way to measure in a CRS.

    Raises:
        ValueError: there is none; the message says why.
    """
    ground = Ground(crs)
    return table_of(ground, bounds) or InterruptedMap(ground, bounds)


def _open_grid(grid: Grid, wanted: str) -> CellTable | InterruptedMap:
    if grid.crs is None:
        raise OptionError(f"{wanted} needs a CRS, and the raster has none: give it in pixels")
    try:
        return _open_map(grid.crs, grid.bounds)
    except ValueError as error:
        raise _off_the_ground(grid, str(error), wanted) from error


def _off_the_ground(grid: Grid, reason: str, wanted: str) -> OptionError:
    return OptionError(
        f"{wanted} needs a CRS that leads to the ground, and {grid.crs} does not ({reason}): give it in pixels"
    )
