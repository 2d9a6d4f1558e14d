"""A vector layer of classes: the polygons in a scene's CRS, and the class of each."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, Union

import numpy as np
import numpy.typing as npt
from rasterio.crs import CRS

from geodeeplab.errors import GeoDeepLabWarning, OptionError
from geodeeplab.raster.polygons.projecting import only_layer, project_polygons
from geodeeplab.raster.sources.remote import gdal_path

if TYPE_CHECKING:
    import geopandas as gpd

LayerLike: TypeAlias = Union[str, "PathLike[str]", "gpd.GeoDataFrame"]
"""What `read_polygon_layer` takes."""

IGNORED = 255
"""Class index of ground that has no class."""
SHOWN = 12
"""Values and fields that a message lists at most."""


@dataclass(frozen=True, kw_only=True, eq=False)
class PolygonLayer:
    """Polygons with a class each, in the order of the layer. It can be pickled, and equals only itself."""

    polygons: npt.NDArray[Any]
    """(n,) valid shapely polygons in `crs`; a feature of several parts has an entry for each of them."""
    class_index: npt.NDArray[np.uint8]
    """(n,) class index of each, from 0; 255 where its ground is to be ignored."""
    feature: npt.NDArray[np.int64]
    """(n,) which feature of the layer each is of, from 0; never decreases."""
    values: tuple[str, ...]
    """What the class field says, as text, for each class index; several values of one class are joined by ", "."""
    crs: CRS | None
    """CRS of the coordinates: that of the scene."""
    name: str
    """How messages name the layer."""
    mended: int
    """Polygons that crossed or touched themselves, and were repaired."""
    left_out: int
    """Points, lines and features without geometry, which cover no ground."""

    def __len__(self) -> int:
        return len(self.polygons)


def read_polygon_layer(
    src: LayerLike,
    *,
    crs: CRS | None,
    class_field: str | None,
    class_indices: Mapping[Any, int] | None = None,
    ignore: Sequence[Any] = (),
    layer: str | None = None,
) -> PolygonLayer:
    """Read the polygons of a vector layer in any CRS, with the class of each.

    Values of the class field are compared as text, so that 3, 3.0 and "3" are one.

    Args:
        src: any vector file that GDAL opens, or a URL of one; GeoParquet; or a GeoDataFrame.
        crs: CRS of the scene; without one the layer must have none either, and the coordinates are the scene's.
        class_field: the field with the class's name or number; None: all polygons are of class index 0.
        class_indices: class index of each value of the field; by default the values that occur, sorted, count up from
            0.
        ignore: values of the field whose ground is to be ignored: its class index is 255.
        layer: name of the layer; needed where there are several with geometries.

    Warns:
        GeoDeepLabWarning: polygons were repaired, or features without area are left out.

    Raises:
        OptionError: the file cannot be read, has no CRS (or has one where the scene has none), no polygon, several
            layers, no such field, or values without a class.
    """
    geometries, classes, src_crs, name = _read(src, class_field, layer)
    what = f"polygon layer '{name}'"
    parts, feature, mended, left_out = _parts(geometries, what=what)
    if (crs is None) != (src_crs is None):
        without = "the scene" if crs is None else what
        raise OptionError(
            f"{what} and the scene need a CRS, or both none, and {without} has none; if you know it: "
            f"{'gdal_edit.py' if crs is None else 'ogr2ogr'} -a_srs EPSG:CODE"
        )
    index, values = _indices(classes, class_indices, ignore, present=np.unique(feature), field=class_field, what=what)
    return PolygonLayer(
        polygons=parts if crs is None else project_polygons(parts, src_crs, crs, what=what),
        class_index=index[feature],
        feature=feature,
        values=values,
        crs=crs,
        name=name,
        mended=mended,
        left_out=left_out,
    )


def describe_layer(src: LayerLike, *, layer: str | None = None) -> tuple[list[str], CRS | None]:
    """Give the fields of a vector layer, and its CRS.

    Raises:
        OptionError: the file cannot be read, or has several layers.
    """
    if isinstance(src, str | PathLike) and Path(fspath(src)).suffix.lower() != ".parquet":
        fields, crs = _describe_file(fspath(src), layer)
    else:
        frame = _read_parquet(fspath(src)) if isinstance(src, str | PathLike) else src
        fields, crs = [str(one) for one in frame.columns if one != frame.geometry.name], frame.crs
    return fields, None if crs is None else CRS.from_user_input(crs)


def _describe_file(name: str, layer: str | None) -> tuple[list[str], str | None]:
    import pyogrio

    try:
        layer = layer or only_layer(pyogrio.list_layers(gdal_path(name)), what=f"polygon layer '{name}'")
        info = pyogrio.read_info(gdal_path(name), layer=layer)
    except (pyogrio.errors.DataSourceError, pyogrio.errors.DataLayerError) as error:
        raise _unreadable(name, error) from error
    return [str(field) for field in info["fields"]], info["crs"]


def _unreadable(name: str, error: Exception) -> OptionError:
    return OptionError(
        f"polygon layer '{name}' cannot be read ({' '.join(str(error).split())}): give a vector file with polygons"
    )


def _read(
    src: LayerLike, class_field: str | None, layer: str | None
) -> tuple[npt.NDArray[Any], npt.NDArray[Any], Any, str]:
    """Give the geometries, their classes (zeros without a field), the CRS and a name."""
    if isinstance(src, str | PathLike):
        name = fspath(src)
        if Path(name).suffix.lower() != ".parquet":
            return *_read_file(name, class_field, layer), name
        frame = _read_parquet(name)
    elif hasattr(src, "geometry") and hasattr(src, "columns"):
        name, frame = "GeoDataFrame", src
    else:
        raise OptionError(
            f"a polygon layer is a vector file or a GeoDataFrame, got {type(src).__name__}: pass one of these"
        )
    geometries = np.asarray(frame.geometry.array)
    if class_field is None:
        return geometries, np.zeros(len(geometries), dtype=np.int64), frame.crs, name
    _check_field(class_field, [str(one) for one in frame.columns if one != frame.geometry.name], name)
    return geometries, frame[class_field].to_numpy(), frame.crs, name


def _read_file(name: str, class_field: str | None, layer: str | None) -> tuple[npt.NDArray[Any], npt.NDArray[Any], Any]:
    import pyogrio
    import pyogrio.raw
    import shapely

    what = f"polygon layer '{name}'"
    try:
        layer = layer or only_layer(pyogrio.list_layers(gdal_path(name)), what=what)
        if class_field is not None:
            fields = [str(field) for field in pyogrio.read_info(gdal_path(name), layer=layer)["fields"]]
            _check_field(class_field, fields, name)
        columns = [] if class_field is None else [class_field]
        meta, _, wkb, data = pyogrio.raw.read(gdal_path(name), layer=layer, columns=columns, force_2d=True)
    except (pyogrio.errors.DataSourceError, pyogrio.errors.DataLayerError) as error:
        raise _unreadable(name, error) from error
    if wkb is None:
        raise OptionError(f"{what} has no geometries in layer '{layer}': give a layer with polygons")
    return shapely.from_wkb(wkb), data[0] if columns else np.zeros(len(wkb), dtype=np.int64), meta["crs"]


def _read_parquet(name: str) -> "gpd.GeoDataFrame":
    import geopandas as gpd

    try:
        return gpd.read_parquet(name)
    except (OSError, ValueError) as error:
        raise _unreadable(name, error) from error


def _check_field(field: str, fields: Sequence[str], name: str) -> None:
    if field not in fields:
        raise OptionError(
            f"polygon layer '{name}' has no field '{field}': choose the class field among {listed(fields)}"
        )


def _parts(geometries: npt.NDArray[Any], *, what: str) -> tuple[npt.NDArray[Any], npt.NDArray[np.int64], int, int]:
    """Give the polygons, valid and in two dimensions, the feature of each, how many were mended and left out.

    Raises:
        OptionError: there is none.
    """
    import shapely

    parts, feature = _areal_with_index(geometries)
    broken = ~shapely.is_valid(parts)
    mended = int(broken.sum())
    if mended:
        parts[broken] = shapely.make_valid(parts[broken], method="structure", keep_collapsed=False)
        parts, again = _areal_with_index(parts)
        feature = feature[again]
    left_out = len(geometries) - len(np.unique(feature))
    if len(parts) == 0:
        raise OptionError(f"{what} has no polygon among its {len(geometries)} features: give polygons")
    for count, happened in (
        (mended, "polygons that cross or touch themselves; they were repaired"),
        (left_out, "features without area (points, lines, empty), which are left out"),
    ):
        if count:
            warnings.warn(f"{what} has {count} {happened}", GeoDeepLabWarning, stacklevel=3)
    return shapely.force_2d(parts), feature, mended, left_out


def _areal_with_index(geometries: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], npt.NDArray[np.int64]]:
    """Give the polygons that geometries consist of, and which of the geometries each is of."""
    import shapely

    outer, of_outer = shapely.get_parts(geometries, return_index=True)
    parts, of_part = shapely.get_parts(outer, return_index=True)  # a collection may hold multipolygons
    areal = (shapely.get_type_id(parts) == shapely.GeometryType.POLYGON) & ~shapely.is_empty(parts)
    return parts[areal], of_outer[of_part][areal].astype(np.int64)


def _indices(
    classes: npt.NDArray[Any],
    class_indices: Mapping[Any, int] | None,
    ignore: Sequence[Any],
    *,
    present: npt.NDArray[np.int64],
    field: str | None,
    what: str,
) -> tuple[npt.NDArray[np.uint8], tuple[str, ...]]:
    """Give the class index of every feature, and the values of the field by class index."""
    if field is None:
        return np.zeros(len(classes), dtype=np.uint8), ("all",)
    texts = np.array([class_text(one) for one in classes.tolist()], dtype=object)
    ignored = {class_text(one) for one in ignore}
    found = sorted(set(texts[present]) - ignored, key=_by_number)
    table = {text: i for i, text in enumerate(found)} if class_indices is None else {
        class_text(value): index for value, index in class_indices.items()
    }  # fmt: skip
    unknown = [text for text in found if text not in table]
    if unknown or (class_indices is None and "" in found):
        raise OptionError(
            f"{what} has values in '{field}' that are no class: {listed(unknown or [''])}; the classes are "
            f"{listed(sorted((text for text in table if text), key=_by_number))}: map these values, or ignore them"
        )
    count = max(table.values(), default=-1) + 1
    if count > IGNORED or min(table.values(), default=0) < 0:
        raise OptionError(f"{what} has classes of index 0 to {IGNORED - 1}, not {count} of them: choose another field")
    table |= dict.fromkeys(ignored, IGNORED)
    index = np.full(len(texts), IGNORED, dtype=np.uint8)
    index[present] = [table[text] for text in texts[present]]
    values = tuple(", ".join(text for text, i in table.items() if i == index) for index in range(count))
    return index, values


def class_text(value: object) -> str:
    """Give a class's name or number as text: whole numbers without a point, nothing for null."""
    if value is None or (isinstance(value, float) and value != value):
        return ""
    if isinstance(value, bool | np.bool_):
        return str(bool(value)).lower()
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value).strip()


def listed(texts: Sequence[str]) -> str:
    """Write values down for a message, no more than fit."""
    shown = ", ".join("(no value)" if text == "" else f"'{text}'" for text in texts[:SHOWN])
    return f"{shown}, and {len(texts) - SHOWN} more" if len(texts) > SHOWN else shown or "none"


def _by_number(text: str) -> tuple[float, str]:
    """Sort numbers by size and before names."""
    try:
        return float(text), text
    except ValueError:
        return float("inf"), text
