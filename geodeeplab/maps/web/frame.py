"""Where a map in the browser lies: Web Mercator around the scene, or the scene's own pixels where it has no CRS."""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from affine import Affine
from rasterio.crs import CRS

from geodeeplab.errors import SceneError
from geodeeplab.raster import Grid
from geodeeplab.raster.crs import to_crs, transformer
from geodeeplab.raster.projection import Points, apply_transform, near_longitude, pixel_steps

RADIUS_M = 6_378_137.0
"""Of the sphere of Web Mercator (EPSG:3857)."""
MAX_LATITUDE = 85.0
"""Where maps in browsers end."""
LONGITUDES = "OGC:CRS84"
OUTLINE_STEPS = 64


@dataclass(frozen=True, kw_only=True)
class Frame:
    """The ground of a map: all its pictures lie on one grid, all its points are in one plane.

    Points of the plane are (x, y), y upwards: metres of Web Mercator, which run on past 180 degrees of longitude where
    the ground does, or pixels (column, -row) of a scene without a CRS.
    """

    grid: Grid
    """The ground at full resolution: in Web Mercator, or the scene's own grid."""
    lon_0: float
    """Longitude in the middle."""

    @property
    def has_crs(self) -> bool:
        """Whether the map lies on the Earth."""
        return self.grid.crs is not None

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """Left, bottom, right, top in the plane."""
        return self.grid.bounds if self.has_crs else (0.0, -float(self.grid.height), float(self.grid.width), 0.0)

    @property
    def pixel(self) -> float:
        """Side of a full pixel in the plane."""
        return self.grid.res[0] if self.has_crs else 1.0

    def reduced(self, max_size: int) -> Grid:
        """Give the grid of pictures of at most `max_size` pixels along their longer side."""
        return reduced_grid(self.grid, max_size)

    def place(self, points: Points, crs: CRS | None, *, path: str) -> Points:
        """Bring points (2, n) in any CRS, or in that of a scene without one, into the plane; inf where there is no way.

        Raises:
            SceneError: they have a CRS and the scene has not, or the other way round.
        """
        if (crs is None) == self.has_crs:
            without = f"'{path}'" if crs is None else "the scene"
            raise SceneError(
                f"'{path}' and the scene need a CRS, or both none, and {without} has none; if you know it: "
                "gdal_edit.py or ogr2ogr -a_srs EPSG:CODE"
            )
        if crs is None:
            cols, rows = apply_transform(~self.grid.transform, points[0], points[1])
            return np.stack([cols, -rows])
        return to_mercator(to_longitudes(points, crs, centre=self.lon_0, path=path))


def reduced_grid(grid: Grid, max_size: int) -> Grid:
    """Give the grid of the same ground with at most `max_size` pixels along its longer side; never more than it has."""
    (height, width), step = grid.shape, max(1.0, max(grid.shape) / max_size)
    shape = max(1, round(height / step)), max(1, round(width / step))
    scale = Affine.scale(width / shape[1], height / shape[0])
    return Grid(shape=shape, transform=grid.transform @ scale, crs=grid.crs)


def frame_of_grid(grid: Grid, *, path: str) -> Frame:
    """Give the frame of a raster.

    Raises:
        SceneError: it has no place on the Earth, or lies beyond 85 degrees of latitude.
    """
    if grid.crs is None:
        return Frame(grid=grid, lon_0=0.0)
    along = np.linspace(0, 1, OUTLINE_STEPS + 1)
    inside = apply_transform(grid.transform, along[None] * grid.width, along[:, None] * grid.height).reshape(2, -1)
    middle = apply_transform(grid.transform, np.array([grid.width / 2]), np.array([grid.height / 2]))
    centre = float(to_longitudes(middle, grid.crs, centre=None, path=path)[0, 0])
    frame = _around(inside, grid.crs, centre=centre if math.isfinite(centre) else 0.0, path=path)
    (ax, ay), (bx, by) = pixel_steps(grid, frame.grid.crs, path=path)
    side = math.sqrt(abs(ax * by - ay * bx))
    return _at_resolution(frame, side) if math.isfinite(side) and side > 0 else frame


def frame_of_points(points: Points, crs: CRS | None, *, path: str) -> Frame:
    """Give the frame around points (2, n), where there is no raster; without a CRS y points upwards."""
    if crs is None:
        left, bottom, right, top = _box(points, path=path)
        shape = max(1, math.ceil(top - bottom)), max(1, math.ceil(right - left))
        return Frame(grid=Grid(shape=shape, transform=Affine(1, 0, left, 0, -1, top), crs=None), lon_0=0.0)
    centre = to_longitudes(points[:, :1], crs, centre=None, path=path)[0, 0]
    return _around(points, crs, centre=float(centre) if math.isfinite(centre) else 0.0, path=path)


def to_longitudes(points: Points, crs: CRS, *, centre: float | None, path: str) -> Points:
    """Give longitudes and latitudes (2, n) on WGS 84, longitudes within half a turn of a centre."""
    lons, lats = transformer(crs, LONGITUDES, what=f"'{path}'").transform(points[0], points[1])
    found = np.stack([np.asarray(lons, dtype=np.float64), np.asarray(lats, dtype=np.float64)])
    if centre is not None:
        found[0] = near_longitude(found[0], centre)
    return found


def to_mercator(degrees: Points) -> Points:
    """Give Web Mercator's x and y of longitudes and latitudes; beyond 85 degrees of latitude, those of 85 degrees."""
    lats = np.radians(np.clip(degrees[1], -MAX_LATITUDE, MAX_LATITUDE))
    return np.stack([RADIUS_M * np.radians(degrees[0]), RADIUS_M * np.arcsinh(np.tan(lats))])


def latitude_of(y: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Give the latitudes in degrees of Web Mercator's y."""
    found: npt.NDArray[np.float64] = np.degrees(np.arctan(np.sinh(y / RADIUS_M)))
    return found


def _around(points: Points, crs: CRS, *, centre: float, path: str) -> Frame:
    """Give a frame of some 4096 pixels around points."""
    degrees = to_longitudes(points, crs, centre=centre, path=path)
    if not (np.abs(degrees[1]) <= MAX_LATITUDE).any():
        raise SceneError(
            f"'{path}' lies beyond {MAX_LATITUDE:g} degrees of latitude, where maps in browsers end: open it in QGIS"
        )
    left, bottom, right, top = _box(to_mercator(degrees), path=path)
    side = max(right - left, top - bottom, 1e-3) / 4096
    shape = max(1, math.ceil((top - bottom) / side)), max(1, math.ceil((right - left) / side))
    grid = Grid(shape=shape, transform=Affine(side, 0, left, 0, -side, top), crs=_mercator_around(centre))
    return Frame(grid=grid, lon_0=centre)


def _at_resolution(frame: Frame, side: float) -> Frame:
    """Give the frame with pixels of another size."""
    left, bottom, right, top = frame.grid.bounds
    shape = max(1, math.ceil((top - bottom) / side - 1e-6)), max(1, math.ceil((right - left) / side - 1e-6))
    grid = Grid(shape=shape, transform=Affine(side, 0, left, 0, -side, top), crs=frame.grid.crs)
    return Frame(grid=grid, lon_0=frame.lon_0)


def _box(points: Points, *, path: str) -> tuple[float, float, float, float]:
    seen = points[:, np.isfinite(points).all(axis=0)]
    if not seen.size:
        raise SceneError(f"'{path}' has no place on a map: check its CRS")
    return float(seen[0].min()), float(seen[1].min()), float(seen[0].max()), float(seen[1].max())


def _mercator_around(lon_0: float) -> CRS:
    """Give Web Mercator whose seam lies opposite to a longitude; its coordinates are those of EPSG:3857, run on."""
    easting = RADIUS_M * math.radians(lon_0)
    return to_crs(f"+proj=webmerc +lon_0={lon_0!r} +x_0={easting!r} +datum=WGS84 +units=m +type=crs")
