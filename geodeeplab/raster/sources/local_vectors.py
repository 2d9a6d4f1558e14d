"""Vector files that may name other files; see `local_files_only`."""

import glob
import json
import zipfile
from pathlib import Path
from typing import Any

from geodeeplab.errors import GeoDeepLabError
from geodeeplab.raster.sources.local_files import BLANKS, DESCRIPTIONS, SQLITE_MAGIC, LocalFiles, read_head

VECTOR_MAGIC = (b"\x00\x00\x27\x0a", b"fgb\x03", b"PAR1")
"""First bytes of formats that name no other file: shapefile, FlatGeobuf, GeoParquet."""


def check_local_vector(files: LocalFiles, path: str) -> None:
    """Check a vector file.

    Args:
        files: of the file that the caller named.
        path: that file.

    Raises:
        OptionError: it is no file on disk, names another, or may do so.
    """
    real, folder = files.file(path, None)
    head = read_head(real)
    text = head.lstrip(BLANKS)
    if DESCRIPTIONS.search(head):
        raise files.refused("it describes other files")
    if head.startswith(SQLITE_MAGIC):
        files.check_database(real)
    elif text.startswith((b"{", b"[")):
        _geojson(files, real)
    elif head.startswith(b"PK\x03\x04"):
        _zipped_shapes(files, real)
    elif text.startswith(b"<") and b"<kml" in head:
        files.markup(real)
    elif not head.startswith(VECTOR_MAGIC):
        raise files.refused("it is of a format that may name other files")
    for other in real.parent.glob(f"{glob.escape(real.stem)}.*") if real.suffix.lower() == ".shp" else ():
        files.file(str(other), folder)


def _geojson(files: LocalFiles, path: Path) -> None:
    """Check that a GeoJSON file does not look its CRS up elsewhere."""

    def check(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        for name, value in pairs:
            if name.lower() == "crs" and value is not None:
                kind = {key.lower(): one for key, one in value.items()} if isinstance(value, dict) else {}
                if str(kind.get("type", "")).lower() not in ("name", "epsg", "ogc"):
                    raise files.refused(f"'{path.name}' looks up its CRS elsewhere")
        return dict(pairs)

    try:
        json.loads(path.read_text(encoding="utf-8-sig"), object_pairs_hook=check)
    except GeoDeepLabError:
        raise
    except (ValueError, RecursionError) as error:
        raise files.refused(f"'{path.name}' is no JSON ({error})") from error


def _zipped_shapes(files: LocalFiles, path: Path) -> None:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError) as error:
        raise files.refused(f"'{path.name}' is no archive ({error})") from error
    odd = [name for name in names if Path(name).suffix.lower() in (".vrt", ".xml", ".gml", ".json", ".tab")]
    if odd or not any(name.lower().endswith(".shp") for name in names):
        raise files.refused(f"'{path.name}' holds more than shapefiles")
