"""Mutations of geometries, as people draw them and as they are damaged, and the formats they are written in."""

import json
import math
import sqlite3
import struct
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pyogrio

Geometry = dict[str, Any] | None
"""As in GeoJSON; None is a feature without one."""
Ring = list[list[float]]

CRS = "EPSG:32633"
WKB_TYPES = {"Point": 1, "LineString": 2, "Polygon": 3, "MultiPolygon": 6, "GeometryCollection": 7}
FORMATS = (".gpkg", ".geojson", ".fgb", ".parquet", ".shp")


def mutate_geometries(shapes: Sequence[Geometry], rng: np.random.Generator) -> tuple[list[Geometry], str]:
    """Mutate one to three of some polygons."""
    changed, told = list(shapes), []
    for _ in range(int(rng.choice([1, 1, 2, 3]))):
        which = int(rng.integers(len(changed)))
        names = list(MUTATIONS)
        name = names[int(rng.integers(len(names)))]
        shape = changed[which]
        rings = shape["coordinates"] if shape and shape["type"] == "Polygon" else None
        ring = rings[0] if rings else None
        if ring and isinstance(ring[0], list):
            changed[which] = MUTATIONS[name]([list(point) for point in ring], rng)
            told.append(f"{name} {which}")
    return changed, ", ".join(told) or "same"


def _polygon(*rings: Ring) -> Geometry:
    return {"type": "Polygon", "coordinates": list(rings)}


def _unclosed(ring: Ring, rng: np.random.Generator) -> Geometry:
    return _polygon(ring[:-1])


def _few_points(ring: Ring, rng: np.random.Generator) -> Geometry:
    return _polygon(ring[: int(rng.integers(4))])


def _no_rings(ring: Ring, rng: np.random.Generator) -> Geometry:
    return _polygon()


def _swap_points(ring: Ring, rng: np.random.Generator) -> Geometry:
    ring[1], ring[2] = ring[2], ring[1]
    return _polygon(ring)


def _swap_axes(ring: Ring, rng: np.random.Generator) -> Geometry:
    return _polygon([[point[1], point[0]] for point in ring])


def _odd_number(ring: Ring, rng: np.random.Generator) -> Geometry:
    ring[int(rng.integers(len(ring)))][int(rng.integers(2))] = float(
        rng.choice([math.nan, math.inf, -math.inf, 1e300, -1e300, 1e20])
    )
    return _polygon(ring)


def _spike(ring: Ring, rng: np.random.Generator) -> Geometry:
    return _polygon([ring[0], [ring[0][0] + 1e6, ring[0][1] + 1e6], *ring])


def _collapsed(ring: Ring, rng: np.random.Generator) -> Geometry:
    return _polygon([ring[0]] * len(ring))


def _hole_outside(ring: Ring, rng: np.random.Generator) -> Geometry:
    return _polygon(ring, [[point[0] + 500, point[1]] for point in ring])


def _hole_alike(ring: Ring, rng: np.random.Generator) -> Geometry:
    return _polygon(ring, ring)


def _hole_of_one_point(ring: Ring, rng: np.random.Generator) -> Geometry:
    return _polygon(ring, [ring[0]])


def _with_heights(ring: Ring, rng: np.random.Generator) -> Geometry:
    return _polygon([[*point, float(rng.choice([0.0, 7.5, math.nan]))] for point in ring])


def _collection(ring: Ring, rng: np.random.Generator) -> Geometry:
    parts: list[Geometry] = [{"type": "Point", "coordinates": ring[0]}, {"type": "LineString", "coordinates": ring}]
    parts += [_polygon(ring)] if rng.random() < 0.6 else []
    return {"type": "GeometryCollection", "geometries": parts if rng.random() < 0.8 else []}


def _line(ring: Ring, rng: np.random.Generator) -> Geometry:
    return {"type": "LineString", "coordinates": ring if rng.random() < 0.7 else ring[:1]}


def _point(ring: Ring, rng: np.random.Generator) -> Geometry:
    return {"type": "Point", "coordinates": ring[0]}


def _multi(ring: Ring, rng: np.random.Generator) -> Geometry:
    parts = [[ring], [ring]] if rng.random() < 0.5 else [[ring], []] if rng.random() < 0.5 else []
    return {"type": "MultiPolygon", "coordinates": parts}


def _nothing(ring: Ring, rng: np.random.Generator) -> Geometry:
    return None


MUTATIONS: dict[str, Callable[[Ring, np.random.Generator], Geometry]] = {
    "unclosed": _unclosed,
    "few points": _few_points,
    "no rings": _no_rings,
    "points swapped": _swap_points,
    "axes swapped": _swap_axes,
    "odd number": _odd_number,
    "spike": _spike,
    "collapsed": _collapsed,
    "hole outside": _hole_outside,
    "hole alike": _hole_alike,
    "hole of one point": _hole_of_one_point,
    "heights": _with_heights,
    "collection": _collection,
    "line": _line,
    "point": _point,
    "multi": _multi,
    "null": _nothing,
}


def to_wkb(shape: Geometry) -> bytes | None:
    """Write a geometry as well-known binary, however broken it is."""
    if shape is None:
        return None
    kind = str(shape["type"])
    if kind == "GeometryCollection":
        parts = [to_wkb(part) or b"" for part in shape["geometries"]]
        return struct.pack("<BII", 1, WKB_TYPES[kind], len(parts)) + b"".join(parts)
    points = _points_of(shape)
    has_z = bool(points) and len(points[0]) == 3
    head = struct.pack("<BI", 1, WKB_TYPES[kind] + 1000 * has_z)
    coordinates = shape["coordinates"]
    if kind == "Point":
        return head + struct.pack(f"<{len(coordinates)}d", *coordinates)
    if kind == "LineString":
        return head + _line_of(coordinates)
    if kind == "Polygon":
        return head + struct.pack("<I", len(coordinates)) + b"".join(map(_line_of, coordinates))
    polygons = [to_wkb({"type": "Polygon", "coordinates": rings}) or b"" for rings in coordinates]
    return head + struct.pack("<I", len(polygons)) + b"".join(polygons)


def _line_of(points: Ring) -> bytes:
    return struct.pack("<I", len(points)) + b"".join(struct.pack(f"<{len(one)}d", *one) for one in points)


def _points_of(shape: Geometry) -> Ring:
    """Give the points of a polygon or a line."""
    assert shape is not None
    coordinates = shape["coordinates"]
    if shape["type"] == "LineString":
        return list(coordinates)
    return [point for ring in coordinates for point in ring] if shape["type"] == "Polygon" else []


def write_layer(path: Path, shapes: Sequence[Geometry], classes: Sequence[str | None]) -> None:
    """Write geometries and their classes (field `cls`) in the format of the path's suffix, in UTM zone 33.

    Raises:
        Exception: the format or its writer does not take these; whatever pyogrio and pyarrow raise.
    """
    suffix = path.suffix
    if suffix == ".geojson":
        features = [
            {"type": "Feature", "properties": {"cls": name}, "geometry": shape}
            for name, shape in zip(classes, shapes, strict=True)
        ]
        crs = {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::32633"}}
        path.write_text(json.dumps({"type": "FeatureCollection", "crs": crs, "features": features}))
    elif suffix == ".parquet":
        _write_parquet(path, shapes, classes)
    else:
        driver = {".gpkg": "GPKG", ".fgb": "FlatGeobuf", ".shp": "ESRI Shapefile"}[suffix]
        options = {"SPATIAL_INDEX": "NO"} if suffix in (".fgb", ".gpkg") else {}
        pyogrio.raw.write(
            path,
            geometry=np.array([to_wkb(shape) for shape in shapes], dtype=object),
            field_data=[np.array(classes, dtype=object)],
            fields=["cls"],
            geometry_type="Polygon" if suffix == ".shp" else "Unknown",
            crs=CRS,
            driver=driver,
            **options,
        )


def _write_parquet(path: Path, shapes: Sequence[Geometry], classes: Sequence[str | None]) -> None:
    """Write GeoParquet 1.0 without the help of a geometry library, which would refuse what is broken."""
    column: dict[str, Any] = {"encoding": "WKB", "geometry_types": [], "crs": None}
    content = {"version": "1.0.0", "primary_column": "geometry", "columns": {"geometry": column}}
    from pyproj import CRS as Reference

    column["crs"] = json.loads(Reference(CRS).to_json())
    table = pa.table({"cls": pa.array(list(classes), pa.string()), "geometry": [to_wkb(shape) for shape in shapes]})
    pq.write_table(table.replace_schema_metadata({"geo": json.dumps(content)}), path)


def mutate_tables(content: bytes, rng: np.random.Generator, *, at: Path) -> tuple[bytes, str]:
    """Mutate the tables of a GeoPackage: values of other types, rows and tables that are gone."""
    at.write_bytes(content)
    with sqlite3.connect(at) as base:
        tables = [name for (name,) in base.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")]
        columns = [(t, row[1]) for t in tables for row in base.execute(f'PRAGMA table_info("{t}")')]
        for (trigger,) in base.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            base.execute(f'DROP TRIGGER "{trigger}"')
        table, column = columns[int(rng.integers(len(columns)))]
        values: tuple[object, ...] = (None, 0, -1, 2**62, 1e300, "", "x", "é\x00", b"\xff\x00", b"GP" + rng.bytes(30))
        what = str(rng.choice(["value", "value", "value", "text that is not UTF-8", "row", "table", "column"]))
        limit = (
            f'WHERE rowid IN (SELECT rowid FROM "{table}" LIMIT 1 OFFSET {int(rng.integers(4))})'
            if rng.random() < 0.5
            else ""
        )
        try:
            if what == "value":
                value = values[int(rng.integers(len(values)))]
                base.execute(f'UPDATE "{table}" SET "{column}" = ? {limit}', (value,))
            elif what == "row":
                base.execute(f'DELETE FROM "{table}" {limit}')
            elif what == "table":
                base.execute(f'DROP TABLE "{table}"')
            elif what == "column":
                base.execute(f'ALTER TABLE "{table}" RENAME COLUMN "{column}" TO "x"')
            else:
                base.execute(f'UPDATE "{table}" SET "{column}" = CAST(x\'ff00e9\' AS TEXT) {limit}')
        except sqlite3.Error as error:
            what = f"none ({error})"
    base.close()
    changed = at.read_bytes()
    at.unlink()
    return changed, f"{what} of {table}.{column}"
