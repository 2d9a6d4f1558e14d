"""The grid of a raster: its shape, where it lies, how large its pixels are."""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from affine import Affine
from rasterio.crs import CRS
from rasterio.windows import Window

from geodeeplab.errors import SceneError
from geodeeplab.raster.crs import body_of

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
        length on the ellipsoid of the CRS of one pixel step at the centre of the grid.
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
    body = body_of(grid.crs)
    if isinstance(body, str):  # an engineering CRS
        return None
    col, row = grid.width / 2, grid.height / 2
    points = [(col - 0.5, row), (col + 0.5, row), (col, row - 0.5), (col, row + 0.5)]
    xs, ys = zip(*(grid.transform @ point for point in points), strict=True)
    lons, lats = (np.asarray(one) * body.degrees for one in body.to_base.transform(xs, ys))
    if not (np.isfinite(lons).all() and (np.abs(lats) <= 90).all()):
        return None
    _, _, steps = body.geod.inv(lons[::2], lats[::2], lons[1::2], lats[1::2])
    x_step, y_step = steps.tolist()
    return (x_step, y_step) if 0 < x_step < math.inf and 0 < y_step < math.inf else None
