"""Rasters that may name other files: VRTs, what lies beside a raster, and archives; see `local_files_only`."""

import re
import zipfile
from pathlib import Path

import rasterio
from rasterio.errors import NotGeoreferencedWarning

from geodeeplab.quiet import ignore_warnings
from geodeeplab.raster.decoding import GDAL_ERRORS
from geodeeplab.raster.sources.local_files import (
    BLANKS,
    DESCRIPTIONS,
    HEAD_BYTES,
    SQLITE_MAGIC,
    LocalFiles,
    is_there,
    read_head,
    short,
)

TIFF_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
DRIVERS = dict.fromkeys(TIFF_MAGIC, "GTiff") | {
    b"\x89PNG\r\n": "PNG",
    b"\xff\xd8\xff": "JPEG",
    b"\0\0\0\x0cjP  ": "JP2OpenJPEG",
    b"\xff\x4f\xff\x51": "JP2OpenJPEG",
    b"RIFF": "WEBP",
}
"""GDAL's driver for rasters that name no other file, by their first bytes."""
SIDECARS = (".ovr", ".msk", ".aux")

NAMING = ("sourcefilename", "sourcedataset", "dempath", "cutlineds")
"""Elements and attributes of a VRT that are the name of a dataset; GDAL ignores the case of all of them."""
FORBIDDEN = ("openoptions", "pixelfunctioncode", "vrtdataset", "gdal_wms", "processingsteps", "group", "cutline_ds")
"""Those that can name what is not seen here."""
FREE_TEXT = ("mdi", "description", "category", "unittype")
"""Elements of a VRT whose text GDAL hands on as it is."""
DEEPEST = 8
"""VRTs within VRTs that are followed."""


def check_local_raster(files: LocalFiles, path: str, within: Path | None, *, depth: int = 0) -> str:
    """Check a raster and all that it names; gives its driver.

    Args:
        files: of the file that the caller named.
        path: of the raster.
        within: folder that it must lie in; None for its own.
        depth: of rasters that name rasters.

    Raises:
        SceneError: it is no file on disk in that folder, names another, or may do so.
    """
    archive = _archived(path)
    real, folder = files.file(path if archive is None else archive[0], within)
    if archive is not None:
        driver = _member(files, real, archive[1])
        _overviews(files, path, driver)
        return driver
    head = read_head(real)
    _sidecars(files, Path(path), folder, depth)
    if head.lstrip(BLANKS).startswith(b"<"):
        if depth > DEEPEST:
            raise files.refused("its VRTs name one another without end")
        _vrt(files, real, Path(path).parent.resolve(), folder, depth)
        return "VRT"
    if DESCRIPTIONS.search(head) or ".gti." in real.name.lower():
        raise files.refused(f"'{short(path)}' describes other rasters")
    if head.startswith(SQLITE_MAGIC):
        files.check_database(real)
        return "GPKG"
    known = next((driver for magic, driver in DRIVERS.items() if head.startswith(magic)), None)
    if known is not None:
        _overviews(files, str(real), known)
        return known
    headers = [one for one in (Path(path).with_suffix(".hdr"), Path(f"{path}.hdr")) if is_there(one)]
    for header in headers:
        files.file(str(header), folder)
    raw = "AAIGrid" if real.suffix.lower() == ".asc" else None
    raw = raw or next(("ENVI" if read_head(one).startswith(b"ENVI") else "EHdr" for one in headers), None)
    if raw is None or depth > 0:
        raise files.refused(f"'{short(path)}' is of a format that may name other files")
    return raw


def _sidecars(files: LocalFiles, path: Path, folder: Path, depth: int) -> None:
    """Check the files beside a raster in which GDAL looks for overviews, masks and metadata."""
    names = {f"{start}{suffix}".lower() for start in (path.name, path.stem) for suffix in (*SIDECARS, ".aux.xml")}
    for one in path.parent.iterdir():
        if one.name.lower() not in names or one.name == path.name:
            continue
        real, _ = files.file(str(one), folder)
        if one.suffix.lower() == ".xml":
            files.markup(real)
        elif not read_head(real).startswith(TIFF_MAGIC) or depth > DEEPEST:
            raise files.refused(f"'{one.name}' beside it is no plain raster")
        else:
            check_local_raster(files, str(one), folder, depth=depth + 1)


def _overviews(files: LocalFiles, path: str, driver: str) -> None:
    """Check that a raster has its overviews in itself."""
    try:
        quiet = ignore_warnings(NotGeoreferencedWarning)
        with quiet, rasterio.Env(), rasterio.open(path, driver=driver) as src:
            is_elsewhere = "OVERVIEW_FILE" in src.tags(ns="OVERVIEWS")
    except GDAL_ERRORS:
        return  # whoever opens it will say so
    if is_elsewhere:
        raise files.refused(f"'{short(path)}' names another file for its overviews")


def _vrt(files: LocalFiles, path: Path, beside: Path, folder: Path, depth: int) -> None:
    """Check a VRT; `beside` is the folder that its relative names are relative to."""
    root = files.markup(path)
    if root.tag.lower() != "vrtdataset":
        raise files.refused(f"'{path.name}' is {root.tag[:40]}, no plain VRT")
    for node in root.iter():
        attributes = {name.lower(): value for name, value in node.attrib.items()}
        is_beside = attributes.get("relativetovrt", "0").strip() not in ("", "0")
        for name, text in ((node.tag.lower(), node.text or ""), *attributes.items()):
            if (name in FORBIDDEN and node is not root) or (name == "pixelfunctionlanguage" and "ython" in text):
                raise files.refused(f"'{path.name}' has {node.tag}")
            if name in NAMING:
                named = text.strip()
                if is_beside and not _names_something(named):
                    named = str(beside / named)
                check_local_raster(files, named, folder, depth=depth + 1)
            elif name not in FREE_TEXT and (_names_something(text, is_crs="srs" in name) or is_there(Path(text))):
                raise files.refused(f"'{path.name}' names '{short(text)}' in {node.tag}")


def _member(files: LocalFiles, archive: Path, member: str) -> str:
    """Check a raster in a zip archive, where no raster may name another; gives its driver."""
    try:
        with zipfile.ZipFile(archive) as opened, opened.open(member) as file:
            head, names = file.read(HEAD_BYTES), opened.namelist()
    except (KeyError, zipfile.BadZipFile, OSError, RuntimeError) as error:
        raise files.refused(f"'{member}' in '{archive.name}' cannot be read ({error})") from error
    beside = {f"{start}{suffix}" for start in (member, member.rpartition(".")[0]) for suffix in SIDECARS}
    beside = {name.lower() for name in (*beside, f"{member}.aux.xml")}
    known = next((driver for magic, driver in DRIVERS.items() if head.startswith(magic)), None)
    if known is None or DESCRIPTIONS.search(head) or any(name.lower() in beside for name in names):
        raise files.refused(f"'{member}' in '{archive.name}' is of a format that may name other files")
    return known


def _archived(path: str) -> tuple[str, str] | None:
    """Take `/vsizip/folder/a.zip/b.tif` apart into the archive and the file in it."""
    if not path.lower().startswith("/vsizip/"):
        return None
    inner = path[len("/vsizip/") :]
    if inner.startswith("{"):
        archive, _, member = inner[1:].partition("}")
        return archive, member.lstrip("/")
    for end in re.finditer(r"\.zip/", inner, re.IGNORECASE):
        if is_there(Path(inner[: end.end() - 1])):
            return inner[: end.end() - 1], inner[end.end() :]
    return None


def _names_something(text: str, *, is_crs: bool = False) -> bool:
    return re.search(r"://|/vsi|<\s*\w" + ("" if is_crs else r"|^\s*\w{2,}:"), text) is not None
