"""The way from the coordinates of a CRS to the surface of its ellipsoid."""

from typing import cast

import numpy as np
from numpy.typing import NDArray
from rasterio.crs import CRS

from geodeeplab.raster.crs import body_of

Floats = NDArray[np.float64]
Bounds = tuple[float, float, float, float]
"""Left, bottom, right, top."""

EARTH_RADIUS_M = 6_371_000.0  # a rough one, for the size of steps


class Ground:
    """The surface under a CRS: its ellipsoid, and where each point of the map lies on it.

    Heights and shifts to other datums are left aside: a compound or bound CRS is what is below.

    Raises:
        ValueError: the CRS does not lead to the ground; the message says why.
    """

    is_geographic: bool
    """Coordinates are longitude and latitude themselves, not those of a turned globe."""
    unit: float
    """Radians (geographic CRS, turned ones too) or metres (others) in a unit of the CRS."""
    semi_major_m: float
    """Half the long axis of the ellipsoid."""
    e2: float
    """The square of its eccentricity."""

    def __init__(self, crs: CRS) -> None:
        body = body_of(crs)
        if isinstance(body, str):
            raise ValueError(body)
        self._to_base = body.to_base
        self._base_unit = body.base.axis_info[0].unit_conversion_factor
        self.is_geographic = body.map.is_geographic and not body.map.type_name.startswith("Derived")
        self._is_angular = body.map.is_geographic
        self.unit = body.map.axis_info[0].unit_conversion_factor
        self.semi_major_m = body.geod.a
        self.e2 = body.geod.es

    @property
    def unit_m(self) -> float:
        """Metres in a unit of the CRS, roughly."""
        return self.unit * (EARTH_RADIUS_M if self._is_angular else 1.0)

    def lonlat(self, x: Floats, y: Floats) -> tuple[Floats, Floats]:
        """Give geodetic longitude and latitude in radians of points of the map; NaN outside the domain of the CRS."""
        lon, lat = self._to_base.transform(x, y)
        lost = ~(np.isfinite(lon) & np.isfinite(lat))
        return np.where(lost, np.nan, lon) * self._base_unit, np.where(lost, np.nan, lat) * self._base_unit

    def positions(self, lon: Floats, lat: Floats) -> Floats:
        """Give geocentric positions in metres, (3, ...); smooth at the poles and the antimeridian, too."""
        sine, cosine = np.sin(lat), np.cos(lat)
        normal = self.semi_major_m / np.sqrt(1 - self.e2 * sine**2)
        radius = normal * cosine
        return np.stack([radius * np.cos(lon), radius * np.sin(lon), normal * (1 - self.e2) * sine])

    def positions_of(self, x: Floats, y: Floats) -> Floats:
        """Give geocentric positions in metres, (3, ...), of points of the map; NaN outside its domain."""
        return self.positions(*self.lonlat(x, y))

    def directions(self, lon: Floats, lat: Floats) -> Floats:
        """Give unit vectors (3, ...) on the authalic sphere: areas there are areas on the ellipsoid.

        Snyder, Map Projections: A Working Manual (1987), eqs. 3-11 and 3-12.
        """
        sine = self._q(np.sin(lat)) / self._q(np.ones(1))
        cosine = np.sqrt(np.maximum(1 - sine**2, 0))
        return np.stack([cosine * np.cos(lon), cosine * np.sin(lon), sine])

    @property
    def authalic_radius_m(self) -> float:
        """Radius of the sphere with the area of the ellipsoid (Snyder, eq. 3-13)."""
        return float(self.semi_major_m * np.sqrt(self._q(np.ones(1))[0] / 2))

    def _q(self, sine: Floats) -> Floats:
        """Give q of Snyder's eq. 3-12: the area from the equator to a latitude, per radian and a² / 2."""
        if self.e2 <= 0:
            return 2 * sine
        eccentricity = np.sqrt(self.e2)
        return cast(
            Floats,
            (1 - self.e2) * (sine / (1 - self.e2 * sine**2) + np.arctanh(eccentricity * sine) / eccentricity),
        )
