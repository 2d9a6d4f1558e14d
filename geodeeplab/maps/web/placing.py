"""Features brought into the plane of a map, with the class and the area of each."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import shapely

from geodeeplab.errors import OptionError
from geodeeplab.maps.web.features import Chunk, VectorLayer
from geodeeplab.maps.web.frame import Frame, to_longitudes
from geodeeplab.raster.polygons.class_text import class_text

NAMELESS = "(none)"
"""What a class is called that the field has no text for."""
AREA_FIELD = "area_m2"
"""Holds geodesic areas in layers that GeoDeepLab wrote."""
POLYGONAL = (3, 6)
"""Shapely's numbers of polygons and multipolygons."""
FARTHEST = 3e8
"""No coordinate in the plane of a map lies farther out."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Placed:
    """Polygons in the plane of a frame."""

    polygons: npt.NDArray[Any]
    """(n,) shapely polygons and multipolygons."""
    names: npt.NDArray[Any]
    """(n,) the class of each, as text."""
    areas: npt.NDArray[np.float64]
    """(n,) on the ground in square metres, or in pixels of a scene without a CRS."""
    columns: dict[str, npt.NDArray[Any]]
    """(n,) values of each field."""

    def __len__(self) -> int:
        return len(self.polygons)

    def take(self, chosen: npt.NDArray[Any]) -> "Placed":
        """Give some of them, by number or by mask."""
        columns = {name: values[chosen] for name, values in self.columns.items()}
        return Placed(
            polygons=self.polygons[chosen], names=self.names[chosen], areas=self.areas[chosen], columns=columns
        )

    def coarser(self, tolerance: float) -> "Placed":
        """Simplify them; edges that neighbours share stay shared."""
        polygons = shapely.coverage_simplify(self.polygons, tolerance)
        return Placed(polygons=polygons, names=self.names, areas=self.areas, columns=self.columns)


def join(parts: Sequence[Placed]) -> Placed:
    """Put parts of a layer together."""
    return Placed(
        polygons=np.concatenate([part.polygons for part in parts]),
        names=np.concatenate([part.names for part in parts]),
        areas=np.concatenate([part.areas for part in parts]),
        columns={name: np.concatenate([part.columns[name] for part in parts]) for name in parts[0].columns},
    )


def place(chunk: Chunk, layer: VectorLayer, frame: Frame, *, class_field: str | None) -> Placed:
    """Bring the polygons of a chunk into the plane of a frame; other features are left out.

    Raises:
        OptionError: there is no such field.
        SceneError: the layer has a CRS and the scene has none, or the other way round.
    """
    if class_field is not None and class_field not in chunk.columns:
        fields = ", ".join(chunk.columns) or "none"
        raise OptionError(f"polygon layer '{layer.name}' has no field '{class_field}': choose one of {fields}")
    is_polygon = np.isin(shapely.get_type_id(chunk.geometries), POLYGONAL) & ~shapely.is_empty(chunk.geometries)
    geometries = shapely.force_2d(chunk.geometries[is_polygon])
    columns = {name: np.asarray(values)[is_polygon] for name, values in chunk.columns.items()}
    points = shapely.get_coordinates(geometries).T
    placed = frame.place(points, layer.crs, path=layer.name)
    is_there = np.isfinite(placed).all(axis=0) & (np.abs(placed) < FARTHEST).all(axis=0)
    polygons = shapely.set_coordinates(geometries.copy(), np.where(is_there, placed, 0.0).T)
    names = np.full(len(geometries), layer.name, dtype=object)
    if class_field is not None:
        names[:] = [class_text(one) or NAMELESS for one in columns[class_field].tolist()]
    found = Placed(polygons=polygons, names=names, areas=_areas(geometries, columns, layer, frame), columns=columns)
    if is_there.all():
        return found
    owner = np.repeat(np.arange(len(geometries)), shapely.get_num_coordinates(geometries))
    return found.take(np.setdiff1d(np.arange(len(geometries)), owner[~is_there]))


def _areas(
    geometries: npt.NDArray[Any], columns: dict[str, npt.NDArray[Any]], layer: VectorLayer, frame: Frame
) -> npt.NDArray[np.float64]:
    """Take the areas that the layer states, or measure them on WGS 84."""
    if layer.crs is None:
        found: npt.NDArray[np.float64] = shapely.area(geometries) / frame.grid.pixel_area
        return found
    stated = columns.get(AREA_FIELD)
    if stated is not None and stated.dtype.kind == "f" and np.isfinite(stated).all():
        return stated.astype(np.float64)
    import pyproj

    degrees = to_longitudes(shapely.get_coordinates(geometries).T, layer.crs, centre=frame.lon_0, path=layer.name)
    degrees = np.where(np.isfinite(degrees), degrees, 0.0)
    geod = pyproj.Geod(ellps="WGS84")
    turned = shapely.set_coordinates(geometries.copy(), degrees.T)
    return np.array([abs(geod.geometry_area_perimeter(one)[0]) for one in shapely.orient_polygons(turned)])
