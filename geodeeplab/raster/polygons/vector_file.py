"""The features of a vector file: whatever GDAL opens, and GeoParquet."""

import codecs
import re
import shutil
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from geodeeplab.errors import GeoDeepLabError, OptionError
from geodeeplab.quiet import ignore_warnings
from geodeeplab.raster.polygons.class_text import ENCODING_OPTIONS, listed
from geodeeplab.raster.polygons.pyogrio_options import errors_raised_only
from geodeeplab.raster.polygons.shapefile import check_whole, says_encoding
from geodeeplab.raster.polygons.wkb import read_wkb
from geodeeplab.raster.sources.local_only import check_vector
from geodeeplab.raster.sources.remote import gdal_path
from geodeeplab.text import decode_text, is_wide, parse_json

PARQUET_SUFFIXES = (".parquet", ".geoparquet")
TEXT_SUFFIXES = (
    ".geojson", ".json", ".geojsonl", ".geojsons", ".geojsonseq", ".ndjson", ".jsonl", ".topojson", ".csv", ".kml",
    ".gml",
)  # fmt: skip
SHAPEFILE_SUFFIXES = (".shp", ".dbf", ".shz", ".zip")
ARCHIVED_SUFFIXES = (".shp", ".gpkg", ".geojson", ".fgb", ".kml", ".gml", ".tab", ".mif")
HEAD_BYTES = 4096
"""Within these, GeoJSON says what it is."""
CSV_OPTIONS = {
    "GEOM_POSSIBLE_NAMES": "WKT,wkt,geometry,geom,the_geom,wkt_geom,wkt_geometry,wkb_geometry,shape,geometrie",
    "KEEP_GEOM_COLUMNS": "NO",
}


@dataclass(frozen=True, kw_only=True, eq=False)
class Features:
    """Features as they were read."""

    geometries: npt.NDArray[Any]
    """(n,) shapely geometries of any kind; None where there is none."""
    notes: npt.NDArray[Any]
    """(n,) what had to be done to read each, see `read_wkb`."""
    values: npt.NDArray[Any]
    """(n,) values of the field asked for; zeros without one."""
    crs: Any
    """CRS of the coordinates, as `pyproj.CRS.from_user_input` takes it; None where nothing says it."""
    has_stated_encoding: bool = True
    """Whether the file, or the caller, says in which encoding its text is."""
    may_state_encoding: bool = False
    """Whether the caller can say it, and did not."""


def describe_file(src: str | bytes, *, layer: str | None, encoding: str | None, what: str) -> tuple[list[str], Any]:
    """Give the fields of a vector file, or of a GeoJSON text, and its CRS.

    Raises:
        OptionError: it cannot be read, or has several layers.
    """
    with reading(what, encoding):
        if isinstance(src, str):
            check_vector(src, what=what)
            check_whole(src, what=what)
        if _is_parquet(src):
            _, column, fields, crs = parquet_geometry(str(src))
            return [field for field in fields if field != column], crs
        with errors_raised_only(), _utf8(src, encoding) as path:
            _, info = _open_layer(path, layer, encoding, what=what)
            return [str(field) for field in info["fields"]], None if _has_no_crs(src) else info["crs"]


def read_file(src: str | bytes, *, field: str | None, layer: str | None, encoding: str | None, what: str) -> Features:
    """Read a vector file, or a GeoJSON text.

    Raises:
        OptionError: it cannot be read, has no such field, or several layers.
    """
    import pyogrio.raw

    with reading(what, encoding):
        if isinstance(src, str):
            check_vector(src, what=what)
            check_whole(src, what=what)
        if _is_parquet(src):
            return _read_parquet(str(src), field, what=what)
        with errors_raised_only(), _utf8(src, encoding) as path:
            if field is None:
                encoding = "latin-1"  # no text is wanted, and the names of fields are read whatever they are in
            chosen, info = _open_layer(path, layer, encoding, what=what)
            check_field(field, [str(one) for one in info["fields"]], what=what)
            columns = [] if field is None else [field]
            meta, _, wkb, data = pyogrio.raw.read(
                path, layer=chosen, columns=columns, force_2d=True, encoding=encoding, **_options(path)
            )
    if wkb is None:
        raise OptionError(f"{what} has no geometries in layer '{chosen}': give a layer with polygons")
    values = data[0] if columns else np.zeros(len(wkb), dtype=np.int64)
    if columns and meta["ogr_subtypes"][0] == "OFSTBoolean" and values.dtype.kind == "f":  # because of nulls
        values = np.array([None if one != one else bool(one) for one in values.tolist()], dtype=object)
    geometries, notes = read_wkb(wkb)
    is_shapefile = isinstance(src, str) and Path(src).suffix.lower() in SHAPEFILE_SUFFIXES
    return Features(
        geometries=geometries,
        notes=notes,
        values=values,
        crs=None if _has_no_crs(src) else meta["crs"],
        has_stated_encoding=encoding is not None or not is_shapefile or says_encoding(Path(str(src))),
        may_state_encoding=encoding is None and is_shapefile,
    )


def check_field(field: str | None, fields: Sequence[str], *, what: str) -> None:
    """Check that a field is there.

    Raises:
        OptionError: it is not.
    """
    if field is not None and field not in fields:
        raise OptionError(f"{what} has no field '{field}': choose the class field among {listed(fields)}")


@contextmanager
def reading(what: str, encoding: str | None = None) -> Iterator[None]:
    """Turn whatever readers raise about a damaged or foreign file into one line; silence what they print.

    Raises:
        OptionError: something was raised.
    """
    try:
        if encoding is not None:
            codecs.lookup(encoding)
        with ignore_warnings():  # of rings and nulls, which are counted later
            yield
    except GeoDeepLabError:
        raise
    except UnicodeDecodeError as error:
        raise OptionError(
            f"{what} has text that is not {error.encoding} ({error.reason}): give the encoding it is in, e.g. cp1252 "
            f"({ENCODING_OPTIONS})"
        ) from error
    except UnicodeEncodeError as error:
        raise OptionError(f"{what} has a name that is not UTF-8, which GDAL cannot open: rename it") from error
    except LookupError as error:
        if "unknown encoding" in str(error):
            raise OptionError(f"'{encoding}' is no encoding: give e.g. utf-8, cp1252 or cp1251") from error
        raise _unreadable(what, error) from error
    except Exception as error:  # GDAL, GEOS, Arrow and JSON have families of their own each
        raise _unreadable(what, error) from error


def only_layer(layers: npt.NDArray[Any], *, what: str) -> str:
    """Give the name of the one layer with geometries of a vector file, from pyogrio's list of layers.

    Raises:
        OptionError: there is none, or several.
    """
    spatial = [str(layer) for layer, geometry_type in layers if geometry_type is not None]
    if len(spatial) != 1:
        raise OptionError(
            f"{what} has {len(spatial)} layers with geometries ({', '.join(spatial) or 'none'}): "
            "give a file with one, or name the layer"
        )
    return spatial[0]


def _unreadable(what: str, error: Exception) -> OptionError:
    reason = " ".join(str(error).split()) or type(error).__name__
    return OptionError(f"{what} cannot be read ({reason}): give a vector file with polygons")


def _open_layer(
    path: str | bytes, layer: str | None, encoding: str | None, *, what: str
) -> tuple[str | int, dict[str, Any]]:
    """Choose the layer, and describe it."""
    import pyogrio

    options = _options(path)
    chosen: str | int
    if isinstance(path, bytes):
        chosen = 0
    elif layer is None and options:  # as GDAL lists a table, it has no geometries
        chosen = 0
        if pyogrio.read_info(path, encoding=encoding, **options)["geometry_type"] is None:
            raise OptionError(f"{what} has 0 layers with geometries (none): give a column of WKT named WKT or geometry")
    else:
        chosen = layer or only_layer(pyogrio.list_layers(path), what=what)
    return chosen, pyogrio.read_info(path, layer=chosen, encoding=encoding, **options)


def _options(path: str | bytes) -> dict[str, str]:
    return CSV_OPTIONS if isinstance(path, str) and path.lower().endswith(".csv") else {}


def _has_no_crs(src: str | bytes) -> bool:
    """Tell GeoJSON that says before its features that its coordinates are of no CRS, which GDAL takes for degrees.

    Format: https://geojson.org/geojson-spec.html (2008), section 3: `"crs": null`.
    """
    if isinstance(src, str):
        if Path(src).suffix.lower() not in (".geojson", ".json") or not Path(src).is_file():
            return False
        with open(src, "rb") as file:
            src = file.read(HEAD_BYTES)
    return re.search(rb'"crs"\s*:\s*null', src[:HEAD_BYTES].partition(b'"features"')[0]) is not None


def _is_parquet(src: str | bytes) -> bool:
    return isinstance(src, str) and Path(src).suffix.lower() in PARQUET_SUFFIXES


def parquet_geometry(name: str) -> tuple[str, str, list[str], Any]:
    """Give encoding and name of the geometries, all columns, and the CRS (None: unknown).

    Format: https://geoparquet.org/releases/v1.1.0
    """
    import pyarrow.parquet as pq

    if "://" in name or Path(name).is_dir():
        frame = _parquet_frame(name)
        return "", frame.geometry.name, [str(one) for one in frame.columns], frame.crs
    schema = pq.read_schema(name)
    stated = (schema.metadata or {}).get(b"geo")
    if stated is None:
        raise ValueError("a Parquet file without the metadata of GeoParquet")
    content = parse_json(stated)
    column = content["primary_column"]
    about = content["columns"][column]
    return about["encoding"], column, list(schema.names), about.get("crs", "OGC:CRS84")


def _read_parquet(name: str, field: str | None, *, what: str) -> Features:
    import pyarrow.parquet as pq

    encoding, column, fields, crs = parquet_geometry(name)
    check_field(field, [one for one in fields if one != column], what=what)
    if encoding == "WKB":
        table = pq.read_table(name, columns=[column] if field is None else [column, field])
        geometries, notes = read_wkb(np.array(table[column].to_pylist(), dtype=object))
        values = None if field is None else table[field].to_pandas().to_numpy()
    else:
        frame = _parquet_frame(name)
        geometries = np.asarray(frame.geometry.array)
        notes = np.full(len(geometries), "", dtype=object)
        values = None if field is None else frame[field].to_numpy()
    return Features(
        geometries=geometries,
        notes=notes,
        values=np.zeros(len(geometries), dtype=np.int64) if values is None else values,
        crs=crs,
    )


def _parquet_frame(name: str) -> Any:  # noqa: ANN401 - a GeoDataFrame
    import geopandas as gpd

    return gpd.read_parquet(name)


@contextmanager
def _utf8(src: str | bytes, encoding: str | None) -> Iterator[str | bytes]:
    """Give GDAL's name of a file; a text in UTF-16 or UTF-32, which GDAL does not read, is lent as UTF-8."""
    path = src if isinstance(src, bytes) else _in_archive(gdal_path(src))
    if isinstance(path, bytes) or Path(path).suffix.lower() not in TEXT_SUFFIXES or not Path(path).is_file():
        yield path
        return
    with open(path, "rb") as file:
        is_foreign = is_wide(file.read(64)) or (encoding or "").lower().replace("_", "-").startswith(
            ("utf-16", "utf-32")
        )
    if not is_foreign:
        yield path
        return
    text = decode_text(Path(path).read_bytes(), encoding=encoding)
    text = re.sub(r"^(<\?xml[^>]*?)\s+encoding=[\"'][^\"']*[\"']", r"\1", text)
    with tempfile.TemporaryDirectory(prefix="geodeeplab-") as folder:
        copy = Path(folder) / Path(path).name
        copy.write_text(text, encoding="utf-8")
        for suffix in (".prj", ".csvt"):
            if Path(path).with_suffix(suffix).is_file():
                shutil.copy(Path(path).with_suffix(suffix), folder)
        yield str(copy)


def _in_archive(path: str) -> str:
    """Give GDAL's name of the only vector file of a ZIP archive if it lies in a folder, where GDAL does not look."""
    if Path(path).suffix.lower() != ".zip" or not zipfile.is_zipfile(path):
        return path
    with zipfile.ZipFile(path) as archive:
        names = [name for name in archive.namelist() if not name.startswith("__MACOSX/")]
    inside = [name for name in names if Path(name).suffix.lower() in ARCHIVED_SUFFIXES]
    return f"/vsizip/{path}/{inside[0]}" if len(inside) == 1 and "/" in inside[0] else path
