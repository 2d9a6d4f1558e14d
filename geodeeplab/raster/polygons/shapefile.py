"""What the files of a shapefile say of themselves."""

import struct
import zipfile
from pathlib import Path

from geodeeplab.errors import OptionError

ANSI_LANGUAGE = (0x00, 0x57)
"""Bytes 29 of a dBASE file that say nothing of its code page: none, and whatever Windows had."""
SHAPES_CODE = 9994
"""The first four bytes of a .shp file."""


def check_whole(name: str, *, what: str) -> None:
    """Refuse shapes on disk that are cut off: GDAL gives features without geometry for those that are gone.

    Format: ESRI Shapefile Technical Description (1998), the main file header.

    Raises:
        OptionError: the .shp file is shorter than its header says.
    """
    path = Path(name)
    if path.suffix.lower() != ".shp" or not path.is_file():
        return
    with path.open("rb") as file:
        head = file.read(28)
    if len(head) < 28:
        return  # no shapefile at all, which GDAL says
    code, words = struct.unpack(">i20xi", head)
    size = path.stat().st_size
    if code == SHAPES_CODE and 2 * words > size:
        raise OptionError(f"{what} is cut off: it has {size} bytes of {2 * words}; copy it again")


def says_encoding(path: Path) -> bool:
    """Tell whether a shapefile says in which encoding its text is: beside it, or in the table's head."""
    try:
        if path.suffix.lower() in (".zip", ".shz"):
            with zipfile.ZipFile(path) as archive:
                names = {Path(name).suffix.lower(): name for name in archive.namelist()}
                head = archive.open(names[".dbf"]).read(30) if ".dbf" in names else b""
                return ".shp" not in names or ".cpg" in names or head[29] not in ANSI_LANGUAGE
        beside = [one for one in path.parent.iterdir() if one.stem == path.stem]
        if any(one.suffix.lower() == ".cpg" for one in beside):
            return True
        tables = [one for one in beside if one.suffix.lower() == ".dbf"]
        if not tables:
            return True
        with tables[0].open("rb") as file:
            return file.read(30)[29] not in ANSI_LANGUAGE
    except (OSError, IndexError, zipfile.BadZipFile):
        return True  # remote, or a folder of something else
