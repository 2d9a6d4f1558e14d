"""Files that may name other files: what a service lets them read.

A VRT, a STAC item or a few bytes in a vector file can name any file of the machine and any address, and GDAL opens it.
Within `local_files_only` a file is read only if it, and all that it names, is on disk within the folder of the file
that the caller named: judged by content before GDAL sees it, so that nothing is opened and nobody asked. Formats are
allowed by name; whatever is not known to name nothing else is refused.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

from geodeeplab.errors import OptionError, SceneError
from geodeeplab.raster.sources.local_files import LocalFiles
from geodeeplab.raster.sources.local_rasters import check_local_raster
from geodeeplab.raster.sources.local_vectors import check_local_vector

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
    return check_local_raster(LocalFiles(f"scene '{path}'", SceneError), path, _root()) if is_local_only() else None


def check_vector(path: str, *, what: str) -> None:
    """Check a vector file that is about to be opened; see `check_raster`.

    Args:
        path: a file, as GDAL names it.
        what: how messages name it: "area of interest 'a.gpkg'".

    Raises:
        OptionError: see `check_raster`.
    """
    if is_local_only():
        check_local_vector(LocalFiles(what, OptionError), path)


def check_document(path: str | None) -> Path | None:
    """Check a STAC document that is about to be read; gives the folder that its assets must lie in, None for any.

    Raises:
        SceneError: within `local_files_only`, if it is no file on disk.
    """
    if not is_local_only():
        return None
    if path is None:
        raise SceneError("a STAC item that is no file has no folder that its assets could lie in: give the item's path")
    return LocalFiles(f"STAC item '{path}'", SceneError).file(path, None)[1]


def _root() -> Path | None:
    state = _STATE.get()
    return state if isinstance(state, Path) else None
