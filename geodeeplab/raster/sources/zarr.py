"""Zarr stores as scenes, opened by xarray: GeoZarr and EOPF products, and whatever names its coordinate system."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from geodeeplab.errors import OptionError, SceneError
from geodeeplab.quiet import ignore_warnings
from geodeeplab.raster.sources.dataset import from_dataset
from geodeeplab.raster.sources.local_only import is_local_only
from geodeeplab.raster.sources.source import Source

if TYPE_CHECKING:
    import xarray as xr

MARKS = ("zarr.json", ".zgroup", ".zmetadata")
"""What lies in a group of a store, of format 3 or 2."""


def is_zarr(path: str | os.PathLike[str]) -> bool:
    """Tell whether a path is a group of a Zarr store, or a URL is called like one."""
    text = os.fspath(path)
    if "://" in text:
        return text.split("?")[0].rstrip("/").lower().endswith(".zarr")
    return any(Path(text, mark).is_file() for mark in MARKS)


def open_zarr(path: str | os.PathLike[str]) -> Source:
    """Open a group of a Zarr store as a source that is read by windows; see `from_dataset` for what it may hold.

    Its variables are taken in the order of their names: stores keep no order.

    Raises:
        SceneError: it cannot be opened, holds no rasters on one grid, or states no CRS; within `local_files_only`.
        OptionError: if xarray or zarr is not installed.
    """
    text = os.fspath(path)
    if is_local_only():
        raise SceneError(f"scene '{text}' is a Zarr store, which is not read with local_only: convert it to a GeoTIFF")
    data = _open(text)
    if not data.data_vars:
        raise SceneError(f"scene '{text}' has no variables of its own: give one of its groups ({_groups(text)})")
    source = from_dataset(data[sorted(data.data_vars, key=str)], path=text)
    if source.grid.crs is None:
        raise SceneError(
            f"scene '{text}' has no CRS, and a Zarr store needs one: write it with rio.write_crs(), or as the "
            "attribute proj:code, such as EPSG:32633"
        )
    return source


def _open(path: str) -> "xr.Dataset":
    """Open a group without decoding values: nodata, scale and offset are the model's matter."""
    try:
        import xarray as xr
        import zarr  # noqa: F401  (xarray reads with it)
    except ImportError as error:
        raise OptionError("a Zarr store is read by xarray and zarr: pip install 'geodeeplab[zarr]'") from error
    try:
        with ignore_warnings():  # of metadata that are not consolidated, and of types that no scene has
            return xr.open_dataset(path, engine="zarr", chunks=None, mask_and_scale=False, decode_times=False)
    except Exception as error:  # xarray's, zarr's or fsspec's
        reason = " ".join(str(error).split())[:200]
        raise SceneError(
            f"scene '{path}' is no Zarr store that xarray can open ({type(error).__name__}: {reason}): "
            "give the path of a group"
        ) from error


def _groups(path: str) -> str:
    """List some groups below one that have arrays, as far as they lie on this machine."""
    root = Path(path)
    arrays = [mark.parent for mark in root.rglob(".zarray")]
    arrays += [mark.parent for mark in root.rglob("zarr.json") if b'"array"' in mark.read_bytes()]
    names = sorted({str(one.parent.relative_to(root)) for one in arrays if one != root})
    return ", ".join(names[:5]) or "it seems to have none"
