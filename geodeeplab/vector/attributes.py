"""Measure polygons on the ground."""

import warnings

import numpy as np
import pyproj
import shapely
from numpy.typing import NDArray
from pyproj.crs import ProjectedCRS
from pyproj.crs.coordinate_operation import LambertAzimuthalEqualAreaConversion
from rasterio.crs import CRS

from geodeeplab.errors import GeoDeepLabWarning

# Straight edges of a map bend on the ground. Up to SHORT_EDGE_M nobody sees it, up to LONG_EDGE_M a parabola through
# the middle of the edge is as good as the curve, and longer edges are cut into pieces first.
SHORT_EDGE_M = 50.0
LONG_EDGE_M = 5_000.0
EARTH_RADIUS_M = 6_371_000.0

_GAUSS_NODES, _GAUSS_WEIGHTS = np.polynomial.legendre.leggauss(4)


def area_m2(geometries: NDArray[np.object_], crs: CRS | None) -> NDArray[np.float64]:
    """Give the area of each polygon on the ellipsoid of its CRS, in square metres.

    The area is that of the geometry as written: edges are straight in CRS coordinates (a geodesic from end to end would
    be another line). Within 1e-6 of `pyproj.Geod.geometry_area_perimeter` with densified edges. Polygons across the
    antimeridian are right in every projected CRS, and in a geographic one when their longitudes run on past 180.

    - Geographic CRS: A = R² ∮ sin β dλ around each ring, β the authalic latitude, R the authalic radius (Snyder, Map
      Projections: A Working Manual, 1987, eqs. 3-11 to 3-13).
    - Projected CRS: the planar area in a Lambert azimuthal equal-area projection of the same datum, centred on the
      polygons.

    Args:
        geometries: Polygons and multipolygons, (N,).
        crs: Their CRS.

    Returns:
        The areas, (N,); NaN without CRS, in a CRS that has no place on the Earth (with a GeoDeepLabWarning), and for
        polygons outside the domain of their CRS.
    """
    unknown = np.full(len(geometries), np.nan)
    if crs is None or len(geometries) == 0:
        return unknown
    src = pyproj.CRS.from_wkt(crs.to_wkt(version="WKT2_2019"))
    if src.is_geographic and not src.type_name.startswith("Derived"):
        return _area_geographic(geometries, src)
    try:
        return _area_projected(geometries, src)
    except (pyproj.exceptions.ProjError, ValueError) as error:
        reason = str(error).splitlines()[0]
        warnings.warn(
            f"areas in m² are left empty, as CRS {src.name!r} does not lead to the ground ({reason})",
            GeoDeepLabWarning,
            stacklevel=2,
        )
        return unknown


def _area_geographic(geometries: NDArray[np.object_], crs: pyproj.CRS) -> NDArray[np.float64]:
    """Give areas for longitudes and latitudes: the line integral of the authalic latitude along straight edges."""
    rings = _Rings(geometries)
    lon, lat = (rings.points * crs.axis_info[0].unit_conversion_factor).T
    lat = np.clip(lat, -np.pi / 2, np.pi / 2)  # the outer half pixel of some global grids lies past the pole
    ellipsoid = crs.ellipsoid
    assert ellipsoid is not None, "a geographic CRS has an ellipsoid"
    flattening = 1 / ellipsoid.inverse_flattening if ellipsoid.inverse_flattening else 0.0
    eccentricity = np.sqrt(flattening * (2 - flattening))
    q = _authalic_q(lat, eccentricity)
    dlon, mean_q = lon[1:] - lon[:-1], (q[:-1] + q[1:]) / 2
    oblique = (dlon != 0) & (lat[1:] != lat[:-1])
    start, step = lat[:-1][oblique], (lat[1:] - lat[:-1])[oblique]
    mean_q[oblique] = sum(
        weight / 2 * _authalic_q(start + (node + 1) / 2 * step, eccentricity)
        for node, weight in zip(_GAUSS_NODES, _GAUSS_WEIGHTS, strict=True)
    )
    # Relative to the ring's first vertex, so that small rings keep their digits.
    return rings.sum_areas((mean_q - rings.firsts(q)[:-1]) * dlon * ellipsoid.semi_major_metre**2 / 2)


def _authalic_q(lat: NDArray[np.float64], eccentricity: float) -> NDArray[np.float64]:
    """Give q of Snyder's eq. 3-12: the area from the equator to a latitude (radians), per radian and a² / 2."""
    sine = np.sin(lat)
    if eccentricity == 0:
        return 2 * sine
    e_sine = eccentricity * sine
    q: NDArray[np.float64] = (1 - eccentricity**2) * (sine / (1 - e_sine**2) + np.arctanh(e_sine) / eccentricity)
    return q


def _area_projected(geometries: NDArray[np.object_], crs: pyproj.CRS) -> NDArray[np.float64]:
    """Give areas for map coordinates: the planar area in an equal-area projection around the polygons."""
    crs = _horizontal(crs)
    axis = crs.axis_info[0]
    unit_m = axis.unit_conversion_factor * (EARTH_RADIUS_M if crs.is_geographic else 1.0)
    geometries = geometries.copy()
    left, bottom, right, top = shapely.bounds(geometries).T
    wide = np.maximum(right - left, top - bottom) * unit_m > LONG_EDGE_M
    geometries[wide] = shapely.segmentize(geometries[wide], LONG_EDGE_M / unit_m)
    rings = _Rings(geometries)
    to_plane = _equal_area_plane(crs, rings.points)
    plane = _transform(to_plane, rings.points)
    origin = rings.firsts(plane)
    x, y = (plane - origin).T
    areas = (x[:-1] * y[1:] - x[1:] * y[:-1]) / 2
    chord = rings.points[1:] - rings.points[:-1]
    long = np.hypot(*chord.T) * unit_m > SHORT_EDGE_M
    long &= rings.is_edge
    middle = _transform(to_plane, (rings.points[:-1] + chord / 2)[long]) - origin[:-1][long]
    sag_x = middle[:, 0] - (x[:-1] + x[1:])[long] / 2
    sag_y = middle[:, 1] - (y[:-1] + y[1:])[long] / 2
    areas[long] += 2 / 3 * (sag_x * (y[1:] - y[:-1])[long] - sag_y * (x[1:] - x[:-1])[long])  # Archimedes' parabola
    return rings.sum_areas(areas)


def _horizontal(crs: pyproj.CRS) -> pyproj.CRS:
    """Strip a CRS of its heights and of its shift to another datum."""
    while crs.is_bound or crs.is_compound:
        crs = crs.source_crs if crs.is_bound and crs.source_crs else crs.sub_crs_list[0]
    return crs


def _equal_area_plane(crs: pyproj.CRS, points: NDArray[np.float64]) -> pyproj.Transformer:
    """Give the transformer to the equal-area plane centred on the point that is nearest to the middle of all.

    Raises:
        ValueError: The CRS has no datum, or that point is outside its domain.
    """
    base = crs.geodetic_crs
    if base is not None and base.type_name.startswith("Derived"):
        base = base.source_crs
    if base is None or base.is_geocentric:
        raise ValueError(f"it is a {crs.type_name}")
    middle = (points.min(axis=0) + points.max(axis=0)) / 2
    centre = points[np.hypot(*(points - middle).T).argmin()]
    to_base = pyproj.Transformer.from_crs(crs, base, always_xy=True)
    lon, lat = np.degrees(_transform(to_base, centre[None])[0] * base.axis_info[0].unit_conversion_factor)
    if not np.isfinite(lon + lat):
        raise ValueError("the polygons are outside its domain")
    conversion = LambertAzimuthalEqualAreaConversion(latitude_natural_origin=lat, longitude_natural_origin=lon)
    return pyproj.Transformer.from_crs(crs, ProjectedCRS(conversion=conversion, geodetic_crs=base), always_xy=True)


def _transform(transformer: pyproj.Transformer, points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Transform points (N, 2); NaN where that is impossible."""
    moved = np.column_stack(transformer.transform(points[:, 0], points[:, 1]))
    moved[~np.isfinite(moved).all(axis=1)] = np.nan
    return moved


class _Rings:
    """The rings of many polygons in flat arrays: P points, R rings, P - 1 steps from point to point."""

    def __init__(self, geometries: NDArray[np.object_]) -> None:
        parts, part_owner = shapely.get_parts(geometries, return_index=True)
        rings, ring_part = shapely.get_rings(parts, return_index=True)
        self.points, point_ring = shapely.get_coordinates(rings, return_index=True)
        self._count = len(geometries)
        self._owner = part_owner[ring_part]
        self._is_shell = np.diff(ring_part, prepend=-1) > 0  # get_rings gives a part's shell first
        self._starts = np.flatnonzero(np.diff(point_ring, prepend=-1))
        self._point_ring = point_ring
        self.is_edge = point_ring[1:] == point_ring[:-1]
        """Whether a step is an edge, (P - 1,); the others lead from one ring to the next."""

    def firsts(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Give each point the value of its ring's first point; (P, ...) to (P, ...)."""
        firsts: NDArray[np.float64] = values[self._starts[self._point_ring]]
        return firsts

    def sum_areas(self, steps: NDArray[np.float64]) -> NDArray[np.float64]:
        """Sum signed areas per step, (P - 1,), into areas per geometry: shells less holes, whatever the direction."""
        rings = np.abs(np.add.reduceat(np.where(self.is_edge, steps, 0.0), self._starts))
        signed = np.where(self._is_shell, rings, -rings)
        return np.bincount(self._owner, weights=signed, minlength=self._count).astype(np.float64)
