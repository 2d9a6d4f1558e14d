"""An area of interest: polygons in a scene's CRS, and which of its pixels lie within."""

import hashlib
import math
from dataclasses import dataclass
from functools import cached_property, lru_cache
from os import PathLike
from typing import TYPE_CHECKING, Any, TypeAlias, Union

import numpy as np
import numpy.typing as npt
from rasterio.crs import CRS
from rasterio.windows import Window

from geodeeplab.errors import OptionError
from geodeeplab.raster.crs import same_crs
from geodeeplab.raster.grid import Grid
from geodeeplab.raster.polygons.areas import to_areas
from geodeeplab.raster.polygons.edges import Edges
from geodeeplab.raster.polygons.features import LayerLike, layer_name, read_features
from geodeeplab.raster.polygons.projecting import edge_ends, project_polygons

if TYPE_CHECKING:
    import shapely

AoiLike: TypeAlias = Union[LayerLike, "Aoi"]
"""What `to_aoi` takes."""


@dataclass(frozen=True, eq=False)
class Aoi:
    """Polygons in a scene's CRS. Two with the same `fingerprint` are equal; one can be pickled.

    Law: whether a pixel lies within depends on nothing but the polygons and the grid: not on the window it is asked
    with, nor on the order of the polygons or their vertices, to the bit.
    """

    wkb: bytes
    """The polygons, normalised, as one multipolygon."""
    crs: CRS
    """CRS of the coordinates: that of the scene."""

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the polygons and their CRS."""
        return hashlib.sha256(self.wkb + self.crs.to_wkt().encode()).hexdigest()

    @property
    def geometry(self) -> "shapely.MultiPolygon":
        """The polygons."""
        import shapely

        return shapely.from_wkb(self.wkb)

    def window(self, grid: Grid) -> Window | None:
        """Give the smallest window of a grid that holds all pixels within the area's bounds; None outside of it.

        Raises:
            OptionError: the grid is in another CRS.
        """
        edges = _edges_on(self, grid)
        left, top, right, bottom = edges.bounds
        # centres at col + 0.5; those on an edge may count
        col_start, row_start = max(0, math.ceil(left - 0.5)), max(0, math.ceil(top - 0.5))
        col_stop, row_stop = min(grid.width, math.floor(right + 0.5)), min(grid.height, math.floor(bottom + 0.5))
        if col_start >= col_stop or row_start >= row_stop:
            return None
        return Window(col_start, row_start, col_stop - col_start, row_stop - row_start)

    def mask(self, window: Window, grid: Grid) -> npt.NDArray[np.bool_]:
        """Tell which pixels of a window of a grid have their centre within the area: (H, W), True within.

        A centre on an edge belongs to the polygon on the right of it (along a row, below it along a column), so that
        polygons that share an edge share out the pixels. The window lies within the grid.

        Raises:
            OptionError: the grid is in another CRS.
        """
        return _edges_on(self, grid).mask(window)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Aoi) and self.fingerprint == other.fingerprint

    def __hash__(self) -> int:
        return hash(self.fingerprint)

    def __getstate__(self) -> dict[str, Any]:
        return {"wkb": self.wkb, "crs": self.crs.to_wkt()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(wkb=state["wkb"], crs=CRS.from_wkt(state["crs"]))


def read_aoi(path: str | PathLike[str], *, crs: CRS | None, layer: str | None = None) -> Aoi:
    """Read an area of interest from a vector file in any CRS; all its polygons together are the area.

    Args:
        path: any vector file that GDAL opens, GeoParquet, or a URL of one.
        crs: CRS of the scene.
        layer: name of the layer; needed where there are several with geometries.

    Warns:
        GeoDeepLabWarning: geometries were repaired or left out, see `to_areas`.

    Raises:
        OptionError: the file cannot be read, has no CRS, no polygon or several layers, or the scene has no CRS.
    """
    return _read(path, crs=crs, layer=layer)


def to_aoi(area: AoiLike, *, crs: CRS | None) -> Aoi:
    """Make an area of interest of what a caller has.

    Args:
        area: a vector file (see `read_aoi`), a GeoDataFrame or GeoSeries in any CRS, one geometry or several in the CRS
            of the scene (see `LayerLike`), or an area already made.
        crs: CRS of the scene.

    Warns:
        GeoDeepLabWarning: see `read_aoi`.

    Raises:
        OptionError: see `read_aoi`; or it is none of these.
    """
    if not isinstance(area, Aoi):
        return _read(area, crs=crs)
    if not same_crs(area.crs, crs):
        raise OptionError(f"an area of interest in {area.crs} cannot be used in {crs}: make it for this scene's CRS")
    return area


def _read(area: LayerLike, *, crs: CRS | None, layer: str | None = None) -> Aoi:
    """Read polygons and bring them into the scene's CRS, as one normalised multipolygon."""
    import shapely

    what = f"area of interest '{layer_name(area)}'"
    found = read_features(area, field=None, crs=crs, layer=layer, what=what)
    if crs is None:
        raise OptionError(
            f"{what} needs a scene with a CRS, this one has none; if you know it: gdal_edit.py -a_srs EPSG:CODE"
        )
    if found.crs is None:
        raise OptionError(
            f"{what} has no CRS, so it has no place on the ground; if you know it: ogr2ogr -a_srs EPSG:CODE"
        )
    areas = to_areas(found.geometries, found.notes, what=what)
    polygons = project_polygons(areas.polygons, found.crs, crs, what=what)
    whole = shapely.normalize(shapely.multipolygons(polygons))
    return Aoi(wkb=shapely.to_wkb(whole, byte_order=1), crs=crs)


@lru_cache(maxsize=4)
def _edges_on(aoi: Aoi, grid: Grid) -> Edges:
    """Prepare an area for a grid; the last few are kept."""
    if not same_crs(grid.crs, aoi.crs):
        raise OptionError(
            f"an area of interest in {aoi.crs} cannot be used on a grid in {grid.crs}: make it for that CRS"
        )
    import shapely

    inverse = ~grid.transform
    start, stop = (
        np.column_stack([inverse.a * x + inverse.b * y + inverse.c, inverse.d * x + inverse.e * y + inverse.f])
        for x, y in (ends.T for ends in edge_ends(shapely.get_parts(aoi.geometry)))
    )
    return Edges(start, stop, height=grid.height)
