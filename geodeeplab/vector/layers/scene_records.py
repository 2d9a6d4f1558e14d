"""What a GeoPackage knows of the scenes whose polygons are in its layers: a record in its metadata for each."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree as ET

from geodeeplab.errors import OptionError, OutputError
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
    with told_by_sqlite(path), closing(connect(path, mode="ro")) as database:
        if not has_table(database, "main", "gpkg_contents"):
            raise sqlite3.DatabaseError("it has no table gpkg_contents")
        if not has_table(database, "main", "gpkg_metadata_reference"):
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


def already_there(target: AppendTarget) -> str:
    """Say that the scene is in the layer."""
    return (
        f"layer '{target.layer}' of {target.path} has polygons of scene '{target.scene}' already: pass "
        "`overwrite=True` to replace them, or another name of the scene"
    )


def add_record(part: Path, target: AppendTarget) -> None:
    """Move what is known of the polygons of a part from the layer to a record of the scene, and index the column."""
    with closing(connect(part, mode="rw")) as database:
        database.execute("BEGIN IMMEDIATE")
        reference = "FROM gpkg_metadata JOIN gpkg_metadata_reference ON id = md_file_id WHERE md_standard_uri = ?"
        if not database.execute(f"SELECT 1 {reference}", (URI,)).fetchone():
            record = {"scene": target.scene}
            for number, text in database.execute(f"SELECT id, metadata {reference}", (GDAL_URI,)).fetchall():
                rest, moved = _without_provenance(text)
                record |= moved
                database.execute("UPDATE gpkg_metadata SET metadata = ? WHERE id = ?", (rest, number))
            _insert_record(database, target.layer, json.dumps(record))
            index, table, column = map(quoted, (f"idx_{target.layer}_{target.column}", target.layer, target.column))
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


def remove_scene(database: sqlite3.Connection, target: AppendTarget, *, replace: bool) -> None:
    """Remove a scene that is there, if it is to be replaced.

    Raises:
        OptionError: It is not.
    """
    table, column = quoted(target.layer), quoted(target.column)
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


def copy_record(database: sqlite3.Connection, layer: str) -> None:
    """Copy the record of the part."""
    for (text,) in database.execute(
        "SELECT metadata FROM part.gpkg_metadata WHERE md_standard_uri = ?", (URI,)
    ).fetchall():
        _insert_record(database, layer, text)


def _scene_of(text: str) -> str | None:
    try:
        content = parse_json(text)
    except ValueError:
        return None
    scene = content.get("scene") if isinstance(content, dict) else None
    return scene if isinstance(scene, str) else None


def has_table(database: sqlite3.Connection, schema: str, name: str) -> bool:
    """Tell whether there is a table."""
    found = database.execute(f"SELECT 1 FROM {schema}.sqlite_master WHERE type = 'table' AND name = ?", (name,))
    return found.fetchone() is not None


def connect(path: Path, *, mode: str) -> sqlite3.Connection:
    """Open a file that is there, `ro` or `rw`; transactions are the caller's."""
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode={mode}", uri=True, timeout=WAIT_S, isolation_level=None)


def attach(database: sqlite3.Connection, part: Path) -> None:
    """Lay a file beside the open one, to be read as `part`."""
    database.execute("ATTACH ? AS part", (f"{part.absolute().as_uri()}?mode=ro",))


def quoted(name: str) -> str:
    """Write a name into a statement."""
    return '"' + name.replace('"', '""') + '"'


@contextmanager
def told_by_sqlite(path: Path) -> Iterator[None]:
    """Say in one line what SQLite has against a file."""
    try:
        yield
    except sqlite3.Error as error:
        is_held = "locked" in str(error) or "busy" in str(error)
        advice = "close it in the program that holds it" if is_held else "check that it is a GeoPackage, and the disk"
        raise OutputError(f"nothing is appended to {path} ({error}): {advice}, then run again") from error
