"""Compression that changes pixels: harmless to a picture, not to a class number."""

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import rasterio
from rasterio import DatasetReader
from rasterio.errors import NotGeoreferencedWarning

from geodeeplab.quiet import ignore_warnings
from geodeeplab.raster.decoding import GDAL_ERRORS
from geodeeplab.raster.sources.remote import gdal_path, is_remote, remote_env

LOSSY_DRIVERS = {
    "JPEG": "JPEG",
    "ECW": "ECW",
    "MrSID": "MrSID",
    "JP2MrSID": "JPEG 2000",
    "HEIF": "HEIF",
    "AVIF": "AVIF",
}
"""Formats that know no other compression, by GDAL's name of the driver."""
TILES_LOOKED_AT = 2000
"""Tiles of a tile database whose first bytes are read."""


def lossy_compression(paths: Sequence[str]) -> str | None:
    """Name the compression with loss of the first of some raster files that has one; None if none is known to.

    Args:
        paths: files as GDAL names them, those that a VRT refers to among them; others than rasters are passed over.
    """
    for path in paths:
        if Path(path).suffix.lower() in (".xml", ".json", ".vrt", ".ovr", ".msk"):
            continue
        try:
            quiet = ignore_warnings(NotGeoreferencedWarning)
            with quiet, remote_env() if is_remote(path) else rasterio.Env(), rasterio.open(gdal_path(path)) as src:
                found = _compression(src, path)
        except GDAL_ERRORS:
            continue
        if found is not None:
            return found
    return None


def _compression(src: DatasetReader, path: str) -> str | None:
    """Name the compression with loss of an open file; None where it has none, or does not say."""
    if src.driver in LOSSY_DRIVERS:
        return LOSSY_DRIVERS[src.driver]
    if src.driver in ("GPKG", "MBTiles"):
        return _tile_compression(path)
    facts = src.tags(ns="IMAGE_STRUCTURE") | (src.tags(1, ns="IMAGE_STRUCTURE") if src.count else {})
    name = str(facts.get("COMPRESSION", src.driver))
    if "JPEG" in name and name != "JPEG2000":
        return "JPEG"
    if str(facts.get("COMPRESSION_REVERSIBILITY", "")).upper() == "LOSSY":
        return {"JPEG2000": "JPEG 2000", "JP2OpenJPEG": "JPEG 2000", "WEBP": "WebP"}.get(name, name)
    if float(facts.get("MAX_Z_ERROR", 0) or 0) > 0:
        return f"LERC to within {float(facts['MAX_Z_ERROR']):g}"
    return None


def _tile_compression(path: str) -> str | None:
    """Name the compression with loss of a database of tiles (GeoPackage, MBTiles) by the first bytes of its tiles."""
    try:
        with closing(sqlite3.connect(f"{Path(path).resolve().as_uri()}?mode=ro", uri=True)) as database:
            names = {name for (name,) in database.execute("SELECT name FROM sqlite_master")}
            tables = ["tiles"] if "tiles" in names else []
            if "gpkg_contents" in names:
                query = "SELECT table_name FROM gpkg_contents WHERE data_type = 'tiles'"
                tables = [name for (name,) in database.execute(query) if name in names]
            for table in tables:
                quoted = table.replace('"', '""')
                heads = "SELECT substr(tile_data, 1, 16), instr(tile_data, X'56503820')"  # "VP8 "
                query = f'{heads} FROM "{quoted}" LIMIT {TILES_LOOKED_AT}'
                for head, lossy_chunk in database.execute(query):
                    if head[:2] == b"\xff\xd8":
                        return "JPEG tiles"
                    if head[8:16] == b"WEBPVP8 " or (head[8:16] == b"WEBPVP8X" and lossy_chunk):
                        return "WebP tiles"
    except (sqlite3.Error, ValueError, TypeError):
        pass  # no file of its own, or a damaged one, of which GDAL speaks
    return None
