"""Files that may name other files: what a service lets them read.

A VRT, a STAC item or a few bytes in a vector file can name any file of the machine and any address, and GDAL opens it.
Within `local_files_only` a file is read only if it, and all that it names, is on disk within the folder of the file
that the caller named: judged by content before GDAL sees it, so that nothing is opened and nobody asked. Formats are
allowed by name; whatever is not known to name nothing else is refused.
"""

import glob
import json
import re
import sqlite3
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname
from xml.etree import ElementTree

import rasterio
from rasterio.errors import NotGeoreferencedWarning

from geodeeplab.errors import GeoDeepLabError, OptionError, SceneError
from geodeeplab.raster.decoding import GDAL_ERRORS

Refusal = type[SceneError] | type[OptionError]

TIFF_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
DRIVERS = dict.fromkeys(TIFF_MAGIC, "GTiff") | {
    b"\x89PNG\r\n": "PNG",
    b"\xff\xd8\xff": "JPEG",
    b"\0\0\0\x0cjP  ": "JP2OpenJPEG",
    b"\xff\x4f\xff\x51": "JP2OpenJPEG",
    b"RIFF": "WEBP",
}
"""GDAL's driver for rasters that name no other file, by their first bytes."""
VECTOR_MAGIC = (b"\x00\x00\x27\x0a", b"fgb\x03", b"PAR1")
SQLITE_MAGIC = b"SQLite format 3\0"
HEAD_BYTES = 4096
BLANKS = b"\xef\xbb\xbf \t\r\n"
"""What may stand before XML and JSON."""
DESCRIPTIONS = re.compile(rb"<\s*(VRT|GDAL_|OGR|WMS|WCS|GFS)", re.IGNORECASE)
"""XML by which GDAL is led elsewhere; it looks for some of it anywhere in the first bytes of a file."""
SIDECARS = (".ovr", ".msk", ".aux")

NAMING = ("sourcefilename", "sourcedataset", "dempath", "cutlineds")
"""Elements and attributes of a VRT that are the name of a dataset; GDAL ignores the case of all of them."""
FORBIDDEN = ("openoptions", "pixelfunctioncode", "vrtdataset", "gdal_wms", "processingsteps", "group", "cutline_ds")
"""Those that can name what is not seen here."""
NAMING_KEYS = ("OVERVIEW_FILE", "X_DATASET", "Y_DATASET", "RPC_DEM")
"""Metadata that name a dataset."""
FREE_TEXT = ("mdi", "description", "category", "unittype")
"""Elements of a VRT whose text GDAL hands on as it is."""
DEEPEST = 8
"""VRTs within VRTs that are followed."""

_STATE: ContextVar[Path | bool] = ContextVar("local_only", default=False)


@contextmanager
def local_files_only(is_on: bool = True) -> Iterator[None]:
    """Within a `with` statement, read files on disk only, and none outside the folder of those that are named.

    It holds for what is opened in this thread; whatever was opened may be opened again by others.
    """
    token = _STATE.set(_STATE.get() or is_on)
    try:
        yield
    finally:
        _STATE.reset(token)


@contextmanager
def within_folder(folder: Path | None) -> Iterator[None]:
    """Within a `with` statement and `local_files_only`, let files lie anywhere in this folder instead of their own."""
    token = _STATE.set(folder if folder is not None and _STATE.get() else _STATE.get())
    try:
        yield
    finally:
        _STATE.reset(token)


def is_local_only() -> bool:
    """Tell whether files are opened with caution."""
    return _STATE.get() is not False


def check_raster(path: str) -> str | None:
    """Check a raster that is about to be opened; gives the only driver that may open it, None for any.

    Raises:
        SceneError: within `local_files_only`, if it is no file on disk, is none of a format that can be trusted, or
            names anything outside of its folder.
    """
    return _Check(f"scene '{path}'", SceneError).raster(path, _root()) if is_local_only() else None


def check_vector(path: str, *, what: str) -> None:
    """Check a vector file that is about to be opened; see `check_raster`.

    Args:
        path: a file, as GDAL names it.
        what: how messages name it: "area of interest 'a.gpkg'".

    Raises:
        OptionError: see `check_raster`.
    """
    if is_local_only():
        _Check(what, OptionError).vector(path)


def check_document(path: str | None) -> Path | None:
    """Check a STAC document that is about to be read; gives the folder that its assets must lie in, None for any.

    Raises:
        SceneError: within `local_files_only`, if it is no file on disk.
    """
    if not is_local_only():
        return None
    if path is None:
        raise SceneError("a STAC item that is no file has no folder that its assets could lie in: give the item's path")
    return _Check(f"STAC item '{path}'", SceneError).file(path, None)[1]


def _root() -> Path | None:
    state = _STATE.get()
    return state if isinstance(state, Path) else None


class _Check:
    """The rules for one file that the caller named, and all that it names."""

    def __init__(self, what: str, error: Refusal) -> None:
        self._what, self._error = what, error

    def refused(self, why: str) -> SceneError | OptionError:
        return self._error(
            f"{self._what} cannot be opened with `local_only=True`, as {why}: give a file that holds its "
            "own pixels or shapes, or leave the option out if you trust it"
        )

    def file(self, path: str, within: Path | None) -> tuple[Path, Path]:
        """Give a file on disk with its links resolved, and the folder that it lies in.

        Raises:
            SceneError, OptionError: it is a URL, a name of GDAL's, or a link to elsewhere.
        """
        if path.lower().startswith("file://"):
            path = url2pathname(urlsplit(path).path)
        if path.startswith("/vsi") or "://" in path or "<" in path or not _is_there(Path(path)):
            if within is None and _is_missing(path):
                raise self._error(f"{self._what} does not exist: check the path")
            raise self.refused(f"'{_short(path)}' is no file on disk")
        folder = (Path(path).parent if within is None else within).resolve()
        real = Path(path).resolve()
        if not real.is_relative_to(folder):
            raise self.refused(f"'{_short(path)}' lies outside of {folder}")
        return real, folder

    def raster(self, path: str, within: Path | None, *, depth: int = 0) -> str:
        """Check a raster and all that it names; gives its driver."""
        archive = _archived(path)
        real, folder = self.file(path if archive is None else archive[0], within)
        if archive is not None:
            driver = self._member(real, archive[1])
            self._overviews(path, driver)
            return driver
        head = _head(real)
        self._sidecars(Path(path), folder, depth)
        if head.lstrip(BLANKS).startswith(b"<"):
            if depth > DEEPEST:
                raise self.refused("its VRTs name one another without end")
            self._vrt(real, Path(path).parent.resolve(), folder, depth)
            return "VRT"
        if DESCRIPTIONS.search(head) or ".gti." in real.name.lower():
            raise self.refused(f"'{_short(path)}' describes other rasters")
        if head.startswith(SQLITE_MAGIC):
            self._database(real)
            return "GPKG"
        known = next((driver for magic, driver in DRIVERS.items() if head.startswith(magic)), None)
        if known is not None:
            self._overviews(str(real), known)
            return known
        headers = [one for one in (Path(path).with_suffix(".hdr"), Path(f"{path}.hdr")) if _is_there(one)]
        for header in headers:
            self.file(str(header), folder)
        raw = "AAIGrid" if real.suffix.lower() == ".asc" else None
        raw = raw or next(("ENVI" if _head(one).startswith(b"ENVI") else "EHdr" for one in headers), None)
        if raw is None or depth > 0:
            raise self.refused(f"'{_short(path)}' is of a format that may name other files")
        return raw

    def vector(self, path: str) -> None:
        """Check a vector file."""
        real, folder = self.file(path, None)
        head = _head(real)
        text = head.lstrip(BLANKS)
        if DESCRIPTIONS.search(head):
            raise self.refused("it describes other files")
        if head.startswith(SQLITE_MAGIC):
            self._database(real)
        elif text.startswith((b"{", b"[")):
            self._geojson(real)
        elif head.startswith(b"PK\x03\x04"):
            self._zipped_shapes(real)
        elif text.startswith(b"<") and b"<kml" in head:
            self._markup(real)
        elif not head.startswith(VECTOR_MAGIC):
            raise self.refused("it is of a format that may name other files")
        for other in real.parent.glob(f"{glob.escape(real.stem)}.*") if real.suffix.lower() == ".shp" else ():
            self.file(str(other), folder)

    def _sidecars(self, path: Path, folder: Path, depth: int) -> None:
        """Check the files beside a raster in which GDAL looks for overviews, masks and metadata."""
        names = {f"{start}{suffix}".lower() for start in (path.name, path.stem) for suffix in (*SIDECARS, ".aux.xml")}
        for one in path.parent.iterdir():
            if one.name.lower() not in names or one.name == path.name:
                continue
            real, _ = self.file(str(one), folder)
            if one.suffix.lower() == ".xml":
                self._markup(real)
            elif not _head(real).startswith(TIFF_MAGIC) or depth > DEEPEST:
                raise self.refused(f"'{one.name}' beside it is no plain raster")
            else:
                self.raster(str(one), folder, depth=depth + 1)

    def _overviews(self, path: str, driver: str) -> None:
        """Check that a raster has its overviews in itself."""
        try:
            with warnings.catch_warnings(), rasterio.Env():
                warnings.simplefilter("ignore", NotGeoreferencedWarning)
                with rasterio.open(path, driver=driver) as src:
                    is_elsewhere = "OVERVIEW_FILE" in src.tags(ns="OVERVIEWS")
        except GDAL_ERRORS:
            return  # whoever opens it will say so
        if is_elsewhere:
            raise self.refused(f"'{_short(path)}' names another file for its overviews")

    def _markup(self, path: Path) -> ElementTree.Element:
        """Parse XML that names no other file."""
        content = path.read_bytes()
        declared = re.search(rb"<\?xml[^>]*encoding\s*=\s*[\"']([^\"']*)", content, re.IGNORECASE)
        if declared and declared[1].lower() not in (b"utf-8", b"us-ascii", b"iso-8859-1"):
            raise self.refused(f"'{path.name}' is XML in an odd encoding")
        if re.search(rb"<!(DOCTYPE|ENTITY)", content, re.IGNORECASE):
            raise self.refused(f"'{path.name}' has a DOCTYPE")
        try:
            root = ElementTree.fromstring(content)
        except ElementTree.ParseError as error:
            raise self.refused(f"'{path.name}' is no XML ({error})") from error
        for node in root.iter():
            if any(key.upper() in NAMING_KEYS for key in node.attrib.values()):
                raise self.refused(f"'{path.name}' names another file for its overviews, heights or positions")
        return root

    def _vrt(self, path: Path, beside: Path, folder: Path, depth: int) -> None:
        """Check a VRT; `beside` is the folder that its relative names are relative to."""
        root = self._markup(path)
        if root.tag.lower() != "vrtdataset":
            raise self.refused(f"'{path.name}' is {root.tag[:40]}, no plain VRT")
        for node in root.iter():
            attributes = {name.lower(): value for name, value in node.attrib.items()}
            is_beside = attributes.get("relativetovrt", "0").strip() not in ("", "0")
            for name, text in ((node.tag.lower(), node.text or ""), *attributes.items()):
                if (name in FORBIDDEN and node is not root) or (name == "pixelfunctionlanguage" and "ython" in text):
                    raise self.refused(f"'{path.name}' has {node.tag}")
                if name in NAMING:
                    named = text.strip()
                    if is_beside and not _names_something(named):
                        named = str(beside / named)
                    self.raster(named, folder, depth=depth + 1)
                elif name not in FREE_TEXT and (_names_something(text, is_crs="srs" in name) or _is_there(Path(text))):
                    raise self.refused(f"'{path.name}' names '{_short(text)}' in {node.tag}")

    def _database(self, path: Path) -> None:
        """Check that a GeoPackage or other SQLite file has no virtual tables but GDAL's own indices."""
        try:
            with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro&immutable=1", uri=True)) as database:
                statements = [sql for (sql,) in database.execute("SELECT sql FROM sqlite_master") if sql]
        except sqlite3.Error as error:
            raise self.refused(f"'{path.name}' is a damaged database ({error})") from error
        for sql in statements:
            found = re.search(r"CREATE\s+VIRTUAL\s+TABLE.*?USING\s+\W?(\w+)", str(sql), re.IGNORECASE | re.DOTALL)
            if found and not found[1].lower().startswith(("rtree", "fts")):
                raise self.refused(f"'{path.name}' has a virtual table ({found[1]})")

    def _geojson(self, path: Path) -> None:
        """Check that a GeoJSON file does not look its CRS up elsewhere."""

        def check(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
            for name, value in pairs:
                if name.lower() == "crs" and value is not None:
                    kind = {key.lower(): one for key, one in value.items()} if isinstance(value, dict) else {}
                    if str(kind.get("type", "")).lower() not in ("name", "epsg", "ogc"):
                        raise self.refused(f"'{path.name}' looks up its CRS elsewhere")
            return dict(pairs)

        try:
            json.loads(path.read_text(encoding="utf-8-sig"), object_pairs_hook=check)
        except GeoDeepLabError:
            raise
        except (ValueError, RecursionError) as error:
            raise self.refused(f"'{path.name}' is no JSON ({error})") from error

    def _zipped_shapes(self, path: Path) -> None:
        try:
            with zipfile.ZipFile(path) as archive:
                names = archive.namelist()
        except (zipfile.BadZipFile, OSError) as error:
            raise self.refused(f"'{path.name}' is no archive ({error})") from error
        odd = [name for name in names if Path(name).suffix.lower() in (".vrt", ".xml", ".gml", ".json", ".tab")]
        if odd or not any(name.lower().endswith(".shp") for name in names):
            raise self.refused(f"'{path.name}' holds more than shapefiles")

    def _member(self, archive: Path, member: str) -> str:
        """Check a raster in a zip archive, where no raster may name another; gives its driver."""
        try:
            with zipfile.ZipFile(archive) as opened, opened.open(member) as file:
                head, names = file.read(HEAD_BYTES), opened.namelist()
        except (KeyError, zipfile.BadZipFile, OSError, RuntimeError) as error:
            raise self.refused(f"'{member}' in '{archive.name}' cannot be read ({error})") from error
        beside = {f"{start}{suffix}" for start in (member, member.rpartition(".")[0]) for suffix in SIDECARS}
        beside = {name.lower() for name in (*beside, f"{member}.aux.xml")}
        known = next((driver for magic, driver in DRIVERS.items() if head.startswith(magic)), None)
        if known is None or DESCRIPTIONS.search(head) or any(name.lower() in beside for name in names):
            raise self.refused(f"'{member}' in '{archive.name}' is of a format that may name other files")
        return known


def _is_there(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def _is_missing(path: str) -> bool:
    """Tell whether a name is that of a plain file that is not there, as against a name of GDAL's."""
    return not path.startswith("/vsi") and re.search(r"[<>{}]|^\w{2,}:", path) is None and not Path(path).exists()


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(HEAD_BYTES)


def _archived(path: str) -> tuple[str, str] | None:
    """Take `/vsizip/folder/a.zip/b.tif` apart into the archive and the file in it."""
    if not path.lower().startswith("/vsizip/"):
        return None
    inner = path[len("/vsizip/") :]
    if inner.startswith("{"):
        archive, _, member = inner[1:].partition("}")
        return archive, member.lstrip("/")
    for end in re.finditer(r"\.zip/", inner, re.IGNORECASE):
        if _is_there(Path(inner[: end.end() - 1])):
            return inner[: end.end() - 1], inner[end.end() :]
    return None


def _names_something(text: str, *, is_crs: bool = False) -> bool:
    return re.search(r"://|/vsi|<\s*\w" + ("" if is_crs else r"|^\s*\w{2,}:"), text) is not None


def _short(text: str) -> str:
    return " ".join(text.split())[:120]
