"""What a file is and where it lies, as far as `local_files_only` has to know it before GDAL opens anything."""

import re
import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit
from xml.etree import ElementTree

from geodeeplab.errors import OptionError, SceneError

Refusal = type[SceneError] | type[OptionError]

SQLITE_MAGIC = b"SQLite format 3\0"
HEAD_BYTES = 4096
BLANKS = b"\xef\xbb\xbf \t\r\n"
"""What may stand before XML and JSON."""
DESCRIPTIONS = re.compile(rb"<\s*(VRT|GDAL_|OGR|WMS|WCS|GFS)", re.IGNORECASE)
"""XML by which GDAL is led elsewhere; it looks for some of it anywhere in the first bytes of a file."""
NAMING_KEYS = ("OVERVIEW_FILE", "X_DATASET", "Y_DATASET", "RPC_DEM")
"""Metadata that name a dataset."""


class LocalFiles:
    """The files that one file, which the caller named, leads to."""

    def __init__(self, what: str, error: Refusal) -> None:
        """Begin with none.

        Args:
            what: how messages name the caller's file: "scene 'a.tif'".
            error: what a refusal is.
        """
        self._what, self._error = what, error

    def refused(self, why: str) -> SceneError | OptionError:
        """Give the error that says why a file is not opened."""
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
            from urllib.request import url2pathname

            path = url2pathname(urlsplit(path).path)
        if path.startswith("/vsi") or "://" in path or "<" in path or not is_there(Path(path)):
            if within is None and _is_missing(path):
                raise self._error(f"{self._what} does not exist: check the path")
            raise self.refused(f"'{short(path)}' is no file on disk")
        folder = (Path(path).parent if within is None else within).resolve()
        real = Path(path).resolve()
        if not real.is_relative_to(folder):
            raise self.refused(f"'{short(path)}' lies outside of {folder}")
        return real, folder

    def markup(self, path: Path) -> ElementTree.Element:
        """Parse XML that names no other file.

        Raises:
            SceneError, OptionError: it does, or is no plain XML.
        """
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

    def check_database(self, path: Path) -> None:
        """Check that a GeoPackage or other SQLite file has no virtual tables but GDAL's own indices.

        Raises:
            SceneError, OptionError: it has, or is damaged.
        """
        try:
            with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro&immutable=1", uri=True)) as database:
                statements = [sql for (sql,) in database.execute("SELECT sql FROM sqlite_master") if sql]
        except sqlite3.Error as error:
            raise self.refused(f"'{path.name}' is a damaged database ({error})") from error
        for sql in statements:
            found = re.search(r"CREATE\s+VIRTUAL\s+TABLE.*?USING\s+\W?(\w+)", str(sql), re.IGNORECASE | re.DOTALL)
            if found and not found[1].lower().startswith(("rtree", "fts")):
                raise self.refused(f"'{path.name}' has a virtual table ({found[1]})")


def _is_missing(path: str) -> bool:
    """Tell whether a name is that of a plain file that is not there, as against a name of GDAL's."""
    return not path.startswith("/vsi") and re.search(r"[<>{}]|^\w{2,}:", path) is None and not Path(path).exists()


def is_there(path: Path) -> bool:
    """Tell whether a path is a file, whatever it holds."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def read_head(path: Path) -> bytes:
    """Read the first bytes of a file."""
    with path.open("rb") as file:
        return file.read(HEAD_BYTES)


def short(text: str) -> str:
    """Write what a file names in one short line."""
    return " ".join(text.split())[:120]
