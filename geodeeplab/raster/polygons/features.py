"""The features of a vector layer, whatever it is given as: files, frames, geometries, lists and mappings of them."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, Union

import numpy as np
from rasterio.crs import CRS

from geodeeplab.errors import OptionError
from geodeeplab.raster.crs import to_crs
from geodeeplab.raster.polygons.vector_file import Features, check_field, describe_file, read_file, reading
from geodeeplab.raster.sources.remote import public_name

if TYPE_CHECKING:
    import geopandas as gpd
    import shapely

LayerLike: TypeAlias = Union[
    str, "PathLike[str]", "gpd.GeoDataFrame", "gpd.GeoSeries", "shapely.Geometry", Mapping[str, Any], Sequence[Any]
]
"""What a vector layer is given as: a file or URL, a GeoDataFrame, a GeoSeries, a geometry, a mapping as GeoJSON has it
or an object with such a `__geo_interface__`, or a sequence of those. Geometries are in the CRS of the scene."""

VECTOR_SUFFIXES = (
    ".gpkg", ".geojson", ".json", ".geojsonl", ".geojsons", ".geojsonseq", ".ndjson", ".jsonl", ".topojson", ".shp",
    ".fgb", ".parquet", ".geoparquet", ".gdb", ".kml", ".kmz", ".gml", ".sqlite", ".csv", ".dxf", ".tab", ".mif",
    ".zip", ".shz",
)  # fmt: skip
GEOJSON_KEYS = {"coordinates", "geometry", "geometries", "features"}
GIVE = "give a vector file, a GeoDataFrame, a shapely geometry or several"


def is_vector(src: object) -> bool:
    """Tell a vector layer from a raster, so that nothing has to be opened for it.

    A file is told by its suffix, anything else by whether it is or has geometries; a table without any is a layer, too,
    for `read_features` to refuse.
    """
    if isinstance(src, str | PathLike):
        return Path(fspath(src)).suffix.lower() in VECTOR_SUFFIXES
    if isinstance(src, Mapping):
        return bool(GEOJSON_KEYS & set(src)) and "assets" not in src  # a STAC item is a raster
    if isinstance(src, list | tuple):
        return bool(src) and all(one is None or _is_geometry(one) for one in src)
    if str(getattr(src, "dtype", "")) in ("geometry", "object"):  # arrays and columns of geometries
        return True
    return _is_geometry(src) or hasattr(src, "columns") or (hasattr(src, "geometry") and not hasattr(src, "assets"))


def describe_layer(
    src: Any,  # noqa: ANN401 - a LayerLike
    *,
    layer: str | None = None,
    encoding: str | None = None,
) -> tuple[list[str], CRS | None]:
    """Give the fields of a vector layer, and its CRS; None where nothing says it.

    Raises:
        OptionError: it cannot be read, or has several layers.
    """
    what = f"polygon layer '{layer_name(src)}'"
    fields, crs = _describe(src, layer, encoding, what=what)
    return fields, None if crs is None else to_crs(crs)


def read_features(
    src: Any,  # noqa: ANN401 - a LayerLike
    *,
    field: str | None,
    crs: Any,  # noqa: ANN401 - any CRS
    layer: str | None = None,
    encoding: str | None = None,
    what: str,
) -> Features:
    """Read the features of a vector layer.

    Args:
        src: the layer.
        field: the field whose values are wanted.
        crs: CRS of geometries that come without one: that of the scene.
        layer: name of the layer, where a file has several.
        encoding: of the text in a file that does not say it, or says it wrongly.
        what: how messages name the layer.

    Raises:
        OptionError: it cannot be read, has no such field, or several layers.
    """
    if isinstance(src, str | PathLike):
        return read_file(fspath(src), field=field, layer=layer, encoding=encoding, what=what)
    if hasattr(src, "columns"):
        geometry = _geometry_of(src, what=what)
        check_field(field, [str(one) for one in src.columns if one != geometry.name], what=what)
        values = None if field is None else src[field]
        if getattr(values, "ndim", 1) != 1:
            raise OptionError(f"{what} has several columns '{field}': rename all but one")
        return _of_geometries(geometry, geometry.crs, values=values)
    if hasattr(src, "crs") and hasattr(src, "geometry"):
        check_field(field, [], what=what)
        return _of_geometries(src.geometry, src.crs)
    plain = _as_geojson(src, what=what)
    if plain is not None:
        found = read_file(plain, field=field, layer=None, encoding=None, what=what)
        return found if _crs_member(src) else replace(found, crs=crs)
    check_field(field, [], what=what)
    return _of_geometries([src] if _is_geometry(src) else list(src), crs)


def layer_name(src: object) -> str:
    """Give the name of a layer for messages."""
    if isinstance(src, str | PathLike):
        return public_name(fspath(src))
    return type(src).__name__ if hasattr(src, "columns") or hasattr(src, "geometry") else "the geometries"


def _describe(
    src: Any,  # noqa: ANN401 - a LayerLike
    layer: str | None,
    encoding: str | None,
    *,
    what: str,
) -> tuple[list[str], Any]:
    """Give the fields and the CRS, as the layer has it."""
    if isinstance(src, str | PathLike):
        return describe_file(fspath(src), layer=layer, encoding=encoding, what=what)
    if hasattr(src, "columns"):
        geometry = _geometry_of(src, what=what)
        return [str(one) for one in src.columns if one != geometry.name], geometry.crs
    if hasattr(src, "crs") and hasattr(src, "geometry"):
        return [], src.crs
    plain = _as_geojson(src, what=what)
    if plain is None:
        return [], None
    fields, crs = describe_file(plain, layer=None, encoding=None, what=what)
    return fields, crs if _crs_member(src) else None


def _of_geometries(geometries: Any, crs: Any, *, values: Any = None) -> Features:  # noqa: ANN401 - columns of frames
    array = np.empty(len(geometries), dtype=object)
    array[:] = [None if _is_missing(one) else one for one in geometries]
    zeros = np.zeros(len(array), dtype=np.int64)
    return Features(
        geometries=array,
        notes=np.full(len(array), "", dtype=object),
        values=zeros if values is None else np.asarray(values.to_numpy()),
        crs=crs,
    )


def _geometry_of(frame: Any, *, what: str) -> Any:  # noqa: ANN401 - frames and their columns
    """Give the geometries of a table.

    Raises:
        OptionError: it has none.
    """
    try:
        geometry = frame.geometry
    except AttributeError:  # geopandas' own words for a frame whose geometry is not set
        geometry = None
    if not hasattr(geometry, "crs") or not hasattr(geometry, "name"):
        raise OptionError(
            f"{what} is a table without geometry: make it one with, e.g. "
            "geopandas.GeoDataFrame(table, geometry=..., crs=...)"
        )
    return geometry


def _is_geometry(src: object) -> bool:
    """Tell one geometry or feature: shapely's, a mapping as GeoJSON has it, or an object that gives one."""
    if isinstance(src, Mapping):
        return is_vector(src)
    return hasattr(src, "__geo_interface__") and not hasattr(src, "columns") and not hasattr(src, "assets")


def _is_missing(one: object) -> bool:
    return one is None or isinstance(one, float)  # pandas' way to say null


def _as_geojson(src: Any, *, what: str) -> bytes | None:  # noqa: ANN401 - a LayerLike
    """Write mappings and objects that give one as GeoJSON, whose one reader GDAL has; None for geometries of shapely.

    Raises:
        OptionError: it is no layer.
    """
    import shapely

    members = [src] if _is_geometry(src) else src
    if not isinstance(members, Iterable) or isinstance(members, bytes):
        raise OptionError(f"{what} is {_an(type(src).__name__)}: {GIVE}")
    members = list(members)
    if all(_is_missing(one) or isinstance(one, shapely.Geometry) for one in members):
        return None
    if not all(_is_missing(one) or _is_geometry(one) for one in members):
        other = next(one for one in members if not _is_missing(one) and not _is_geometry(one))
        raise OptionError(f"{what} holds {_an(type(other).__name__)}: {GIVE}")
    with reading(what):
        features = [feature for one in members for feature in _features_of(one)]
        collection = {"type": "FeatureCollection", "features": features} | _crs_member(src)
        return json.dumps(collection, default=_plain).encode()


def _features_of(one: Any) -> list[Any]:  # noqa: ANN401 - a mapping or an object that gives one
    content = _mapping(one)
    if content.get("type") == "FeatureCollection" or "features" in content:
        return [feature for item in content["features"] for feature in _features_of(item)]
    if content.get("type") == "Feature" or "geometry" in content:
        geometry, properties = content.get("geometry"), content.get("properties")
        return [
            {
                "type": "Feature",
                "properties": dict(properties or {}),
                "geometry": None if geometry is None else _mapping(geometry),
            }
        ]
    return [{"type": "Feature", "properties": {}, "geometry": content or None}]


def _mapping(one: Any) -> Mapping[str, Any]:  # noqa: ANN401 - a mapping or an object that gives one
    if _is_missing(one):
        return {}
    return one if isinstance(one, Mapping) else dict(one.__geo_interface__)


def _crs_member(src: Any) -> dict[str, Any]:  # noqa: ANN401 - a LayerLike
    """Give the member of the first mapping that says a CRS, as GeoJSON had it before 2016."""
    for one in [src] if _is_geometry(src) else src:
        if isinstance(one, Mapping) and one.get("crs"):
            return {"crs": one["crs"]}
    return {}


def _plain(value: Any) -> Any:  # noqa: ANN401 - what JSON does not know
    return value.tolist() if hasattr(value, "tolist") else str(value)


def _an(name: str) -> str:
    return f"an {name}" if name[:1].lower() in "aeiou" else f"a {name}"
