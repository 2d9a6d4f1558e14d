"""Which files on this machine a run reads, so that none is overwritten: those it is given, and those behind them."""

import html
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from pathlib import Path
from urllib.parse import unquote

import rasterio

from geodeeplab.errors import OptionError
from geodeeplab.quiet import ignore_warnings
from geodeeplab.raster.outputs.commit import SIDECARS
from geodeeplab.text import decode_text, is_wide

FilePath = str | os.PathLike[str]
MOST_TEXT_BYTES = 256 << 20
"""Of a VRT or STAC item; what is larger is data."""

_HREF = re.compile(r'"href"\s*:\s*("(?:[^"\\]|\\.)*")')
_XML_TEXT = re.compile(r">([^<>]+)<")
_SEPARATORS = re.compile(r"://|[:,?&=\"'{}|]")
_VSI = re.compile(r"(?:/vsi[a-z0-9_]+/)+")


def check_not_inputs(outputs: Iterable[FilePath], inputs: Iterable[FilePath]) -> None:
    """Refuse an output that is an input, under whatever name, and one whose sidecar is.

    Inputs are told apart by what they are on the disk, so through `..`, links, hard links and `file://`, too. The
    sources of a VRT, the assets of a STAC item and the archive behind a `/vsizip/` path are inputs, however deep.

    Raises:
        OptionError: For the first of them.
    """
    taken: dict[tuple[int, int] | None, FilePath] = {}
    for output in outputs:
        for ending in ("", *SIDECARS):
            identity = identity_of(f"{os.fspath(output)}{ending}")
            if identity is not None:
                taken[identity] = output
    if not taken:  # what is not there is nobody's input, and inputs need not be looked into
        return
    for name in inputs:
        for file in iter_files(name):
            identity = identity_of(file)
            if identity in taken:
                output = taken[identity]
                through = "" if file == os.fspath(name) else f" (through {str(name)[:200]})"
                raise OptionError(
                    f"output {os.fspath(output)} is also an input{through}, which is never overwritten: "
                    "choose another output path"
                )


def paths_in(*values: object) -> list[FilePath]:
    """List the paths among what a function was given as scenes, labels, areas, models or whatever it reads.

    Of a STAC item that is no file this is its text; of an open scene, its files; of a DataArray, the file that it was
    opened from; of arrays, tables and networks, nothing.
    """
    found: list[FilePath] = []
    for value in values:
        if isinstance(value, str | os.PathLike):
            found.append(value)
        elif isinstance(value, Mapping):
            found.append(json.dumps(dict(value), default=str))
        elif isinstance(value, list | tuple):
            found += paths_in(*value)
        else:
            encoding = getattr(value, "encoding", None)
            opened_from = encoding.get("source") if isinstance(encoding, Mapping) else None
            held = [getattr(holder, "files", None) for holder in (value, getattr(value, "source", None))]
            found += [one for one in (opened_from,) if isinstance(one, str)]
            found += [file for files in held if isinstance(files, tuple) for file in files]
    return found


def iter_files(name: FilePath) -> Iterator[str]:
    """Yield the files on this machine that are read through a path, a URL or any of GDAL's names, each once.

    Which files a text file names is found in its text, not by what GDAL makes of it: rather too many than too few.
    """
    todo, seen = [(os.fspath(name), "")], set()
    while todo:
        text, folder = todo.pop()
        for path in _local(text, folder):
            real = os.path.realpath(path)
            if real in seen:
                continue
            seen.add(real)
            yield path
            todo += [(one, os.path.dirname(path)) for one in chain(_names_in(_head(path)), _files_of(path))]
        if not folder:  # a document itself, in place of its path; its own place is among its hrefs, if anywhere
            names = _names_in(text.lstrip())
            absolute = [path for one in names for path in _spellings(one) if os.path.isabs(path)]
            folders = {".", *map(os.path.dirname, absolute)}
            todo += [(one, place) for one in names for place in folders]


def identity_of(path: FilePath) -> tuple[int, int] | None:
    """Tell what a path leads to; None where that is no file."""
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return None
    return status.st_dev, status.st_ino


def _local(text: str, folder: str) -> Iterator[str]:
    """Yield the files that a text may mean: as it is, or a part of one of GDAL's names such as `vrt://a.tif?bands=1`."""
    for part in _spellings(text):
        plain = _VSI.sub("", part, count=1) if part.startswith("/vsi") else part
        for base in dict.fromkeys(("", folder)):
            path = os.path.join(base, plain)
            while plain and part.startswith("/vsi") and not os.path.isfile(path) and os.path.dirname(path) != path:
                path = os.path.dirname(path)  # a member of an archive
            if plain and os.path.isfile(path):
                yield path


def _spellings(text: str) -> dict[str, None]:
    """Give a text, and the parts of it that may be a path, as they are and decoded as in a URL."""
    if len(text) > 4096 or "\0" in text:
        return {}
    parts = [text, *_SEPARATORS.split(text)] if _SEPARATORS.search(text) else [text]
    return dict.fromkeys(one for raw in parts for one in (raw, unquote(raw, errors="surrogateescape")))


def _head(path: str) -> str:
    """Give the text of a file that may name others; "" of any other."""
    try:
        with open(path, "rb") as file:
            head = file.read(64)
            is_text = is_wide(head) or head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith((b"<", b"{"))
            if not is_text or os.path.getsize(path) > MOST_TEXT_BYTES:
                return ""
            content = head + file.read()
            return (decode_text(content) if is_wide(head) else content.decode(errors="surrogateescape")).lstrip(
                "\ufeff \t\r\n"
            )
    except (OSError, UnicodeDecodeError):
        return ""


def _names_in(text: str) -> list[str]:
    """List what stands in the elements of an XML document, or in the hrefs of a JSON document."""
    if text.startswith("<"):
        return list(dict.fromkeys(html.unescape(one).strip() for one in _XML_TEXT.findall(text)))
    if not text.startswith("{"):
        return []
    hrefs = []
    for quoted in dict.fromkeys(_HREF.findall(text)):
        try:
            hrefs.append(json.loads(quoted))
        except ValueError:
            continue
    return hrefs


def _files_of(path: str) -> list[str]:
    """List the files that GDAL says it opens a raster with."""
    try:
        with ignore_warnings(), rasterio.Env(), rasterio.open(path) as src:
            return [os.path.abspath(file) for file in src.files if Path(file).is_file()]
    except Exception:  # it is no raster, or a damaged one: whoever reads it says so
        return []
