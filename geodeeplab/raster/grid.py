"""The grid of a raster: its shape, where it lies, how large its pixels are."""

import math
from dataclasses import dataclass
from functools import cached_property

from affine import Affine
from rasterio.crs import CRS
from rasterio.warp import transform as transform_points
from rasterio.windows import Window

from geodeeplab.errors import SceneError
from geodeeplab.raster.decoding import GDAL_ERRORS

WGS84_SEMI_MAJOR_M = 6_378_137.0
WGS84_ECCENTRICITY_SQUARED = 0.006_694_379_990_14

# A projected CRS counts as true metres while its scale stays within this of the ground: UTM and national grids do,
# Web Mercator leaves it 18 degrees from the equator.
TRUE_SCALE_TOLERANCE = 0.05


@dataclass(frozen=True, kw_only=True)
class Grid:
    """The pixels of a raster and their place on the ground; rotated, sheared and south-up grids included.

    Raises:
        SceneError: when the shape is empty or the transform maps the pixels onto a line.
    """

    shape: tuple[int, int]
    """(height, width) in pixels, both at least 1."""
    transform: Affine
    """From pixel corner (col, row) to CRS coordinates (x, y)."""
    crs: CRS | None
    """The coordinate reference system; None when nobody stated it (it is never guessed)."""

    def __post_init__(self) -> None:
        if min(self.shape) < 1:
            raise SceneError(f"a grid has at least 1 x 1 pixels, got {self.shape}: check the raster or the window")
        if self.transform.determinant == 0 or not all(map(math.isfinite, self.transform[:6])):
            raise SceneError(
                f"a transform must give pixels an area, got {tuple(self.transform[:6])}: "
                "georeference the raster again, e.g. with gdal_translate -a_ullr"
            )

    @property
    def height(self) -> int:
        """Rows of pixels."""
        return self.shape[0]

    @property
    def width(self) -> int:
        """Columns of pixels."""
        return self.shape[1]

    @property
    def res(self) -> tuple[float, float]:
        """Pixel size (x, y), positive, in CRS units; of a rotated grid along its own columns and rows."""
        t = self.transform
        return math.hypot(t.a, t.d), math.hypot(t.b, t.e)

    @property
    def pixel_area(self) -> float:
        """Area of one pixel in square CRS units (the determinant, so right for sheared grids too)."""
        return float(abs(self.transform.determinant))

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """Left, bottom, right, top in CRS units: the box around all four corners, left ≤ right, bottom ≤ top."""
        corners = [self.transform @ (col, row) for col in (0, self.width) for row in (0, self.height)]
        xs, ys = zip(*corners, strict=True)
        return min(xs), min(ys), max(xs), max(ys)

    @cached_property
    def gsd_m(self) -> tuple[float, float] | None:
        """Pixel size (x, y) on the ground in metres; None when the CRS does not say.

        Of a projected CRS `res` in metres; where its scale is far from the ground's (Web Mercator) and for degrees, the
        length on the WGS 84 ellipsoid of one pixel step at the centre of the grid.
        """
        if self.crs is None:
            return None
        ground = _ground_steps(self)
        if not self.crs.is_projected:
            return ground
        nominal = tuple(step * self.crs.linear_units_factor[1] for step in self.res)
        if ground is not None and any(
            abs(n / g - 1) > TRUE_SCALE_TOLERANCE for n, g in zip(nominal, ground, strict=True)
        ):
            return ground
        return nominal[0], nominal[1]

    def crop(self, window: Window) -> "Grid":
        """Give the grid of a window of this one (integer offsets, may lie outside)."""
        return Grid(
            shape=(int(window.height), int(window.width)),
            transform=self.transform @ Affine.translation(window.col_off, window.row_off),
            crs=self.crs,
        )


def _ground_steps(grid: Grid) -> tuple[float, float] | None:
    """Measure one step along the columns and one along the rows at the grid's centre, in metres; None if impossible."""
    col, row = grid.width / 2, grid.height / 2
    points = [(col - 0.5, row), (col + 0.5, row), (col, row - 0.5), (col, row + 0.5)]
    xs, ys = zip(*(grid.transform @ point for point in points), strict=True)
    try:
        lons, lats = transform_points(grid.crs, CRS.from_epsg(4326), xs, ys)
    except GDAL_ERRORS:  # an engineering CRS, or one of another planet
        return None
    x_step = _ellipsoid_distance_m(lons[0], lats[0], lons[1], lats[1])
    y_step = _ellipsoid_distance_m(lons[2], lats[2], lons[3], lats[3])
    return (x_step, y_step) if 0 < x_step < math.inf and 0 < y_step < math.inf else None


def _ellipsoid_distance_m(lon1: float, lat1: float, lon2: float, lat2: float) -> float:
    """Give the distance in metres of two points that are near each other, in degrees, on the WGS 84 ellipsoid."""
    lat = math.radians((lat1 + lat2) / 2)
    dlon = math.radians((lon2 - lon1 + 180) % 360 - 180)  # the short way over the antimeridian
    root = math.sqrt(1 - WGS84_ECCENTRICITY_SQUARED * math.sin(lat) ** 2)
    east = dlon * math.cos(lat) * WGS84_SEMI_MAJOR_M / root
    north = math.radians(lat2 - lat1) * WGS84_SEMI_MAJOR_M * (1 - WGS84_ECCENTRICITY_SQUARED) / root**3
    return math.hypot(east, north)
