"""Append the polygons of a scene to a layer of a GeoPackage: in one transaction, so it has all of them or none.

The polygons come in a GeoPackage of their own, the part. Rows, entries of the R-tree and what is known of the scene are
copied by SQLite itself; a process that is killed leaves SQLite's journal, by which whoever opens the file next takes
back what was begun.
"""

import os
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

from rasterio.crs import CRS

from geodeeplab.atomic import sync_file, sync_folder
from geodeeplab.errors import OptionError
from geodeeplab.raster.classes import CLASSES_TAG
from geodeeplab.raster.crs import crs_name, same_crs
from geodeeplab.raster.outputs.checks import output_errors
from geodeeplab.text import parse_json
from geodeeplab.vector.layers.scene_records import (
    GDAL_URI,
    AppendTarget,
    add_record,
    attach,
    connect,
    copy_record,
    has_table,
    quoted,
    remove_scene,
    told_by_sqlite,
)


def check_append(probe: Path, target: AppendTarget) -> None:
    """Check that polygons like those in a GeoPackage, which may have none, can be appended to a layer.

    Raises:
        OptionError: The layer has another CRS, type of geometries, columns or classes; or there is no such layer.
        OutputError: The file cannot be read.
    """
    if target.path.exists():
        with told_by_sqlite(target.path), closing(connect(target.path, mode="ro")) as database:
            attach(database, probe)
            _check_alike(database, target)


def append_part(part: Path, target: AppendTarget, *, replace: bool) -> None:
    """Append a part to a layer, or make the layer of it where there is none; then the part is gone.

    Args:
        part: A GeoPackage that `write_polygons` wrote, with the layer and the column of the target.
        target: The layer.
        replace: Whether polygons of the scene that are there are replaced.

    Raises:
        OptionError: See `check_append`; or polygons of the scene are there.
        OutputError: The file is held by another program, or cannot be written; it is as it was, and the part stays.
    """
    with told_by_sqlite(part):
        add_record(part, target)
    if not target.path.exists() and _become(part, target.path):
        return
    with told_by_sqlite(target.path), closing(connect(target.path, mode="rw")) as database:
        attach(database, part)
        database.execute("BEGIN IMMEDIATE")
        try:
            _check_alike(database, target)
            remove_scene(database, target, replace=replace)
            _copy(database, target.layer)
            copy_record(database, target.layer)
            database.execute("COMMIT")
        except BaseException:
            database.execute("ROLLBACK")
            raise
    part.unlink()


def _become(part: Path, target: Path) -> bool:
    """Give a part the name of the target; False where somebody else has made that in the meantime."""
    with output_errors(target):
        sync_file(part)
        try:
            os.link(part, target)
        except FileExistsError:
            return False
        except OSError:  # a disk without links
            part.rename(target)
        part.unlink(missing_ok=True)
        sync_folder(target.parent)
    return True


def _check_alike(database: sqlite3.Connection, target: AppendTarget) -> None:
    """Compare the layer with that of the part: what is in `main` with what is in `part`.

    Raises:
        OptionError: They differ.
    """
    name, path = target.layer, target.path
    layers = [one for (one,) in database.execute("SELECT table_name FROM main.gpkg_geometry_columns")]
    if name not in layers:
        there = ", ".join(map(repr, layers)) or "none"
        raise OptionError(f"{path} has no layer '{name}', only {there}: choose one with `layer_name=`, or another file")
    old, new = _geometry(database, "main", name), _geometry(database, "part", name)
    if not same_crs(_crs(old), _crs(new)):
        raise OptionError(
            f"layer '{name}' of {path} is in {crs_name(_crs(old))}, these polygons are in {crs_name(_crs(new))}: pass "
            "`out_crs=` with the layer's, or choose another layer"
        )
    if old["type"] not in (new["type"], "GEOMETRY"):
        raise OptionError(
            f"layer '{name}' of {path} holds {old['type']}, these polygons are {new['type']}: give the same "
            "`connectivity=`, or choose another layer"
        )
    columns, wanted = _columns(database, "main", name), _columns(database, "part", name)
    lacking = [f"{key} ({kind})" for key, kind in wanted.items() if columns.get(key) != kind]
    if lacking:
        raise OptionError(
            f"layer '{name}' of {path} lacks the columns {', '.join(lacking)}: it is of another program or run; choose "
            "another layer"
        )
    before, now = _classes(database, "main", name), _classes(database, "part", name)
    if before != now:
        raise OptionError(
            f"layer '{name}' of {path} has the classes {before or 'of nobody knows'}, these polygons have {now}: "
            "choose another layer"
        )


def _copy(database: sqlite3.Connection, layer: str) -> None:
    """Copy the rows of the part and its entries of the R-tree, with numbers that go on after those that are there."""
    table, old, new = quoted(layer), _geometry(database, "main", layer), _geometry(database, "part", layer)
    key, own_key = _key(database, "main", layer), _key(database, "part", layer)
    names = list(_columns(database, "part", layer))
    chosen = [quoted(name) for name in names]
    if old["srs_id"] != new["srs_id"]:
        database.create_function("in_srs", 1, _Renumbered(old["srs_id"]), deterministic=True)
        chosen = [f"in_srs({one})" if name == new["column"] else one for name, one in zip(names, chosen, strict=True)]
    largest = (
        f"SELECT max(coalesce((SELECT max({key}) FROM main.{table}), 0), "
        "coalesce((SELECT seq FROM main.sqlite_sequence WHERE name = ?), 0))"
    )
    (offset,) = database.execute(largest, (layer,)).fetchone()
    triggers = [
        (name, sql)
        for name, sql in database.execute(
            "SELECT name, sql FROM main.sqlite_master WHERE type = 'trigger' AND tbl_name = ?", (layer,)
        ).fetchall()
        if "AFTER INSERT" in sql.upper() and "ST_" in sql.upper()  # functions that only GDAL has
    ]
    for name, _ in triggers:
        database.execute(f"DROP TRIGGER main.{quoted(name)}")
    listed = ", ".join(map(quoted, names))
    database.execute(
        f"INSERT INTO main.{table} ({key}, {listed}) SELECT {own_key} + ?, {', '.join(chosen)} FROM part.{table} "
        f"ORDER BY {own_key}",
        (offset,),
    )
    trees = [f"rtree_{layer}_{one['column']}" for one in (old, new)]
    if has_table(database, "main", trees[0]):
        database.execute(
            f"INSERT INTO main.{quoted(trees[0])} SELECT id + ?, minx, maxx, miny, maxy FROM part.{quoted(trees[1])}",
            (offset,),
        )
    for _, sql in triggers:
        database.execute(sql)
    bounds = database.execute(
        "SELECT min_x, min_y, max_x, max_y FROM part.gpkg_contents WHERE table_name = ?", (layer,)
    ).fetchone()
    database.execute(
        "UPDATE main.gpkg_contents SET last_change = strftime('%Y-%m-%dT%H:%M:%fZ', 'now'), "
        "min_x = coalesce(min(min_x, ?1), min_x, ?1), min_y = coalesce(min(min_y, ?2), min_y, ?2), "
        "max_x = coalesce(max(max_x, ?3), max_x, ?3), max_y = coalesce(max(max_y, ?4), max_y, ?4) "
        "WHERE table_name = ?5",
        (*bounds, layer),
    )


class _Renumbered:
    """Puts the number of a CRS, of this file, into the head of a geometry (GeoPackage 1.3, 2.1.3)."""

    def __init__(self, srs_id: int) -> None:
        self._srs_id = srs_id

    def __call__(self, blob: bytes | None) -> bytes | None:
        if blob is None:
            return None
        order = "little" if blob[3] & 1 else "big"
        return blob[:4] + self._srs_id.to_bytes(4, order, signed=True) + blob[8:]  # type: ignore[arg-type]


def _geometry(database: sqlite3.Connection, schema: str, layer: str) -> dict[str, Any]:
    found = database.execute(
        f"SELECT column_name, geometry_type_name, c.srs_id, organization, organization_coordsys_id, definition "
        f"FROM {schema}.gpkg_geometry_columns c LEFT JOIN {schema}.gpkg_spatial_ref_sys s ON c.srs_id = s.srs_id "
        "WHERE table_name = ?",
        (layer,),
    ).fetchone()
    keys = ("column", "type", "srs_id", "organization", "code", "definition")
    return dict(zip(keys, found, strict=True))


def _crs(geometry: Mapping[str, Any]) -> CRS | None:
    """Give the CRS of a layer; None where it is undefined."""
    if str(geometry["organization"]).upper() == "EPSG":
        return CRS.from_epsg(int(geometry["code"]))
    definition = str(geometry["definition"])
    is_undefined = geometry["srs_id"] in (-1, 0) or definition == "undefined" or "Undefined SRS" in definition
    return None if is_undefined else CRS.from_user_input(definition)


def _columns(database: sqlite3.Connection, schema: str, layer: str) -> dict[str, str]:
    rows = database.execute(f"PRAGMA {schema}.table_info({quoted(layer)})")
    return {name: str(kind).upper() for _, name, kind, _, _, is_key in rows if not is_key}


def _key(database: sqlite3.Connection, schema: str, layer: str) -> str:
    rows = database.execute(f"PRAGMA {schema}.table_info({quoted(layer)})").fetchall()
    return quoted(next(name for _, name, _, _, _, is_key in rows if is_key))


def _classes(database: sqlite3.Connection, schema: str, layer: str) -> str:
    """Give ids and names of the classes of a layer, as its metadata says."""
    rows = database.execute(
        f"SELECT metadata FROM {schema}.gpkg_metadata JOIN {schema}.gpkg_metadata_reference ON id = md_file_id "
        "WHERE md_standard_uri = ? AND table_name = ?",
        (GDAL_URI, layer),
    )
    texts = [
        item.text or ""
        for (text,) in rows
        for item in ET.fromstring(text).iter("MDI")
        if item.get("key") == CLASSES_TAG
    ]
    return ", ".join(f"{item['id']} {item['name']}" for text in texts for item in parse_json(text))
