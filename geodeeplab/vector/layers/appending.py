"""Append the polygons of a scene to a layer of a GeoPackage: in one transaction, so it has all of them or none.

The polygons come in a GeoPackage of their own, the part. Rows, entries of the R-tree and what is known of the scene are
copied by SQLite itself; a process that is killed leaves SQLite's journal, by which whoever opens the file next takes
back what was begun.
"""

import json
import os
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

from rasterio.crs import CRS

from geodeeplab.atomic import sync_file, sync_folder
from geodeeplab.errors import OptionError, OutputError
from geodeeplab.raster.classes import CLASSES_TAG
from geodeeplab.raster.crs import crs_name, same_crs
from geodeeplab.raster.outputs.checks import output_errors
from geodeeplab.text import parse_json

WAIT_S = 20.0
"""For another program that holds the file."""
URI, GDAL_URI = "urn:geodeeplab:scene", "http://gdal.org"
"""`md_standard_uri` of the record of a scene, and of GDAL's metadata of a layer."""
PROVENANCE = ("GEODEEPLAB", "GEODEEPLAB_POLYGONS")
"""Metadata that differ between scenes, and so go into their records."""


@dataclass(frozen=True, kw_only=True)
class AppendTarget:
    """A layer that polygons of several scenes are in."""

    path: Path
    """The GeoPackage."""
    layer: str
    """Name of the layer."""
    column: str
    """Column with the names of the scenes."""
    scene: str
    """Name of the scene whose polygons are appended."""

    def record(self) -> dict[str, str] | None:
        """Give what is known of how the scene's polygons were made; None where they are not in the layer.

        Raises:
            OutputError: The file cannot be read.
        """
        return read_records(self.path).get((self.layer, self.scene))


def read_records(path: Path) -> dict[tuple[str, str], dict[str, str]]:
    """Read what is known of the scenes in a GeoPackage, by layer and scene; none where there is no file.

    Raises:
        OutputError: It is no GeoPackage, or cannot be read.
    """
    if not path.exists():
        return {}
    found: dict[tuple[str, str], dict[str, str]] = {}
    with _told(path), closing(_connect(path, mode="ro")) as database:
        if not _has_table(database, "main", "gpkg_contents"):
            raise sqlite3.DatabaseError("it has no table gpkg_contents")
        if not _has_table(database, "main", "gpkg_metadata_reference"):
            return {}
        rows = database.execute(
            "SELECT table_name, metadata FROM gpkg_metadata JOIN gpkg_metadata_reference ON id = md_file_id "
            "WHERE md_standard_uri = ?",
            (URI,),
        )
        for layer, text in rows:
            try:
                content = parse_json(text)
            except ValueError:
                continue
            if isinstance(content, dict) and isinstance(content.get("scene"), str):
                found[layer, content["scene"]] = {key: str(value) for key, value in content.items()}
    return found


def check_append(probe: Path, target: AppendTarget) -> None:
    """Check that polygons like those in a GeoPackage, which may have none, can be appended to a layer.

    Raises:
        OptionError: The layer has another CRS, type of geometries, columns or classes; or there is no such layer.
        OutputError: The file cannot be read.
    """
    if target.path.exists():
        with _told(target.path), closing(_connect(target.path, mode="ro")) as database:
            _attach(database, probe)
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
    with _told(part):
        _add_record(part, target)
    if not target.path.exists() and _become(part, target.path):
        return
    with _told(target.path), closing(_connect(target.path, mode="rw")) as database:
        _attach(database, part)
        database.execute("BEGIN IMMEDIATE")
        try:
            _check_alike(database, target)
            _remove_scene(database, target, replace=replace)
            _copy(database, target.layer)
            _copy_record(database, target.layer)
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


def _add_record(part: Path, target: AppendTarget) -> None:
    """Move what is known of the polygons of a part from the layer to a record of the scene, and index the column."""
    with closing(_connect(part, mode="rw")) as database:
        database.execute("BEGIN IMMEDIATE")
        reference = "FROM gpkg_metadata JOIN gpkg_metadata_reference ON id = md_file_id WHERE md_standard_uri = ?"
        if not database.execute(f"SELECT 1 {reference}", (URI,)).fetchone():
            record = {"scene": target.scene}
            for number, text in database.execute(f"SELECT id, metadata {reference}", (GDAL_URI,)).fetchall():
                rest, moved = _without_provenance(text)
                record |= moved
                database.execute("UPDATE gpkg_metadata SET metadata = ? WHERE id = ?", (rest, number))
            _insert_record(database, target.layer, json.dumps(record))
            index, table, column = map(_quoted, (f"idx_{target.layer}_{target.column}", target.layer, target.column))
            database.execute(f"CREATE INDEX IF NOT EXISTS {index} ON {table} ({column})")
        database.execute("COMMIT")


def _without_provenance(text: str) -> tuple[str, dict[str, str]]:
    """Take what differs between scenes out of GDAL's metadata."""
    root, moved = ET.fromstring(text), {}
    for parent in root.iter("Metadata"):
        for item in list(parent):
            if item.get("key") in PROVENANCE:
                moved[str(item.get("key"))] = item.text or ""
                parent.remove(item)
    return ET.tostring(root, encoding="unicode"), moved


def _insert_record(database: sqlite3.Connection, layer: str, record: str) -> None:
    added = database.execute(
        "INSERT INTO main.gpkg_metadata (md_scope, md_standard_uri, mime_type, metadata) "
        "VALUES ('dataset', ?, 'application/json', ?)",
        (URI, record),
    )
    database.execute(
        "INSERT INTO main.gpkg_metadata_reference (reference_scope, table_name, md_file_id) VALUES ('table', ?, ?)",
        (layer, added.lastrowid),
    )


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


def _remove_scene(database: sqlite3.Connection, target: AppendTarget, *, replace: bool) -> None:
    """Remove a scene that is there, if it is to be replaced.

    Raises:
        OptionError: It is not.
    """
    table, column = _quoted(target.layer), _quoted(target.column)
    records = [
        number
        for number, text in database.execute(
            "SELECT id, metadata FROM main.gpkg_metadata JOIN main.gpkg_metadata_reference ON id = md_file_id "
            "WHERE md_standard_uri = ? AND table_name = ?",
            (URI, target.layer),
        ).fetchall()
        if _scene_of(text) == target.scene
    ]
    there = database.execute(f"SELECT 1 FROM main.{table} WHERE {column} = ? LIMIT 1", (target.scene,)).fetchone()
    if not records and there is None:
        return
    if not replace:
        raise OptionError(already_there(target))
    database.execute(f"DELETE FROM main.{table} WHERE {column} = ?", (target.scene,))
    for number in records:
        database.execute("DELETE FROM main.gpkg_metadata_reference WHERE md_file_id = ?", (number,))
        database.execute("DELETE FROM main.gpkg_metadata WHERE id = ?", (number,))


def already_there(target: AppendTarget) -> str:
    """Say that the scene is in the layer."""
    return (
        f"layer '{target.layer}' of {target.path} has polygons of scene '{target.scene}' already: pass "
        "`overwrite=True` to replace them, or another name of the scene"
    )


def _copy(database: sqlite3.Connection, layer: str) -> None:
    """Copy the rows of the part and its entries of the R-tree, with numbers that go on after those that are there."""
    table, old, new = _quoted(layer), _geometry(database, "main", layer), _geometry(database, "part", layer)
    key, own_key = _key(database, "main", layer), _key(database, "part", layer)
    names = list(_columns(database, "part", layer))
    chosen = [_quoted(name) for name in names]
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
        database.execute(f"DROP TRIGGER main.{_quoted(name)}")
    listed = ", ".join(map(_quoted, names))
    database.execute(
        f"INSERT INTO main.{table} ({key}, {listed}) SELECT {own_key} + ?, {', '.join(chosen)} FROM part.{table} "
        f"ORDER BY {own_key}",
        (offset,),
    )
    trees = [f"rtree_{layer}_{one['column']}" for one in (old, new)]
    if _has_table(database, "main", trees[0]):
        database.execute(
            f"INSERT INTO main.{_quoted(trees[0])} SELECT id + ?, minx, maxx, miny, maxy FROM part.{_quoted(trees[1])}",
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


def _copy_record(database: sqlite3.Connection, layer: str) -> None:
    for (text,) in database.execute(
        "SELECT metadata FROM part.gpkg_metadata WHERE md_standard_uri = ?", (URI,)
    ).fetchall():
        _insert_record(database, layer, text)


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
    rows = database.execute(f"PRAGMA {schema}.table_info({_quoted(layer)})")
    return {name: str(kind).upper() for _, name, kind, _, _, is_key in rows if not is_key}


def _key(database: sqlite3.Connection, schema: str, layer: str) -> str:
    rows = database.execute(f"PRAGMA {schema}.table_info({_quoted(layer)})").fetchall()
    return _quoted(next(name for _, name, _, _, _, is_key in rows if is_key))


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


def _scene_of(text: str) -> str | None:
    try:
        content = parse_json(text)
    except ValueError:
        return None
    scene = content.get("scene") if isinstance(content, dict) else None
    return scene if isinstance(scene, str) else None


def _has_table(database: sqlite3.Connection, schema: str, name: str) -> bool:
    found = database.execute(f"SELECT 1 FROM {schema}.sqlite_master WHERE type = 'table' AND name = ?", (name,))
    return found.fetchone() is not None


def _connect(path: Path, *, mode: str) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode={mode}", uri=True, timeout=WAIT_S, isolation_level=None)


def _attach(database: sqlite3.Connection, part: Path) -> None:
    database.execute("ATTACH ? AS part", (f"{part.absolute().as_uri()}?mode=ro",))


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """Say in one line what SQLite has against a file."""
    try:
        yield
    except sqlite3.Error as error:
        is_held = "locked" in str(error) or "busy" in str(error)
        advice = "close it in the program that holds it" if is_held else "check that it is a GeoPackage, and the disk"
        raise OutputError(f"nothing is appended to {path} ({error}): {advice}, then run again") from error
