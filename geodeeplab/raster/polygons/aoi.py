"""An area of interest: polygons in a scene's CRS, and which of its pixels lie within."""

import hashlib
import math
import warnings
from dataclasses import dataclass
from functools import cached_property, lru_cache
from os import PathLike, fspath
from typing import TYPE_CHECKING, Any, TypeAlias, Union

import numpy as np
import numpy.typing as npt
from rasterio.crs import CRS
from rasterio.windows import Window

from geodeeplab.errors import GeoDeepLabWarning, OptionError
from geodeeplab.raster.grid import Grid
from geodeeplab.raster.polygons.edges import Edges
from geodeeplab.raster.polygons.projecting import areal_parts, edge_ends, only_layer, project_polygons
from geodeeplab.raster.sources.remote import gdal_path

if TYPE_CHECKING:
    import geopandas as gpd
    import shapely

AoiLike: TypeAlias = Union[str, "PathLike[str]", "shapely.Geometry", "gpd.GeoDataFrame", "gpd.GeoSeries", "Aoi"]
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
        path: any vector file that GDAL opens, or a URL of one.
        crs: CRS of the scene.
        layer: name of the layer; needed where there are several with geometries.

    Warns:
        GeoDeepLabWarning: a polygon crossed itself and was repaired, or features that are no polygons are left out.

    Raises:
        OptionError: the file cannot be read, has no CRS, no polygon or several layers, or the scene has no CRS.
    """
    import pyogrio
    import pyogrio.raw
    import shapely

    name = fspath(path)
    try:
        layer = layer or only_layer(pyogrio.list_layers(gdal_path(name)), what=f"area of interest '{name}'")
        meta, _, wkb, _ = pyogrio.raw.read(gdal_path(name), layer=layer, columns=[], force_2d=True)
    except (pyogrio.errors.DataSourceError, pyogrio.errors.DataLayerError) as error:
        raise OptionError(
            f"area of interest '{name}' cannot be read ({' '.join(str(error).split())}): give a vector file with "
            "polygons"
        ) from error
    if wkb is None:
        raise OptionError(f"area of interest '{name}' has no geometries in layer '{layer}': give a layer with polygons")
    return _aoi_of(shapely.from_wkb(wkb), src_crs=meta["crs"], crs=crs, name=name)


def to_aoi(area: AoiLike, *, crs: CRS | None) -> Aoi:
    """Make an area of interest of what a caller has.

    Args:
        area: a vector file (see `read_aoi`), a GeoDataFrame or GeoSeries in any CRS, a shapely geometry in the CRS of
            the scene, or an area already made.
        crs: CRS of the scene.

    Warns:
        GeoDeepLabWarning: see `read_aoi`.

    Raises:
        OptionError: see `read_aoi`; or it is none of these.
    """
    if isinstance(area, str | PathLike):
        return read_aoi(area, crs=crs)
    import shapely

    if isinstance(area, Aoi):
        if area.crs != crs:
            raise OptionError(
                f"an area of interest in {area.crs} cannot be used in {crs}: make it for this scene's CRS"
            )
        return area
    if isinstance(area, shapely.Geometry):
        return _aoi_of(np.array([area], dtype=object), src_crs=crs, crs=crs, name="the geometry")
    geometry = getattr(area, "geometry", None)
    if geometry is None or not hasattr(geometry, "to_wkb"):
        raise OptionError(
            f"an area of interest is a vector file, a shapely geometry or a GeoDataFrame, got {type(area).__name__}: "
            "pass one of these"
        )
    return _aoi_of(np.asarray(geometry.array), src_crs=geometry.crs, crs=crs, name="the GeoDataFrame")


def _aoi_of(geometries: npt.NDArray[Any], *, src_crs: Any, crs: CRS | None, name: str) -> Aoi:  # noqa: ANN401 - any CRS
    """Bring geometries into the scene's CRS, as one normalised multipolygon."""
    import shapely

    if crs is None:
        raise OptionError(
            f"area of interest '{name}' needs a scene with a CRS, this one has none; if you know it: "
            "gdal_edit.py -a_srs EPSG:CODE"
        )
    if src_crs is None:
        raise OptionError(
            f"area of interest '{name}' has no CRS, so it has no place on the ground; if you know it: "
            "ogr2ogr -a_srs EPSG:CODE"
        )
    polygons = project_polygons(_polygons(geometries, name=name), src_crs, crs, what=f"area of interest '{name}'")
    whole = shapely.normalize(shapely.multipolygons(polygons))
    return Aoi(wkb=shapely.to_wkb(whole, byte_order=1), crs=crs)


def _polygons(geometries: npt.NDArray[Any], *, name: str) -> npt.NDArray[Any]:
    """Give the polygons among geometries, repaired, in two dimensions.

    Raises:
        OptionError: there are none.
    """
    import shapely

    there = geometries[~(shapely.is_missing(geometries) | shapely.is_empty(geometries))]
    areal, others = areal_parts(there)
    if len(areal) == 0:
        types = sorted({shapely.GeometryType(one).name.lower() for one in shapely.get_type_id(others)})
        found = ", ".join(types) or "nothing"
        raise OptionError(f"area of interest '{name}' has no polygon, only {found}: give polygons, e.g. buffer them")
    if len(others):
        warnings.warn(
            f"area of interest '{name}' has {len(others)} points or lines, which have no area and are left out",
            GeoDeepLabWarning,
            stacklevel=2,
        )
    broken = ~shapely.is_valid(areal)
    if broken.any():
        warnings.warn(
            f"area of interest '{name}' has {broken.sum()} polygons that cross or touch themselves; they were repaired",
            GeoDeepLabWarning,
            stacklevel=2,
        )
        areal, _ = areal_parts(shapely.make_valid(areal, method="structure", keep_collapsed=False))
    if len(areal) == 0:
        raise OptionError(f"area of interest '{name}' has polygons without area only: draw them again")
    return shapely.force_2d(areal)  # type: ignore[no-any-return]


@lru_cache(maxsize=4)
def _edges_on(aoi: Aoi, grid: Grid) -> Edges:
    """Prepare an area for a grid; the last few are kept."""
    if grid.crs != aoi.crs:
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
