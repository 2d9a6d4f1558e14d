"""Opening a raster file: what is refused, with the command that would fix it, and what is warned about."""

import math
import os
import shlex
import threading
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import rasterio
from rasterio import DatasetReader
from rasterio.errors import NotGeoreferencedWarning

from geodeeplab.errors import GeoDeepLabWarning, SceneError
from geodeeplab.quiet import ignore_warnings
from geodeeplab.raster.bands import Band
from geodeeplab.raster.crs import body_of, check_database, crs_name
from geodeeplab.raster.decoding import GDAL_ERRORS, decoding_env
from geodeeplab.raster.grid import Grid
from geodeeplab.raster.sources.local_only import check_raster

SMALLEST_STEP = 2.0**-42
"""Pixels smaller than this share of their coordinates cannot be told apart."""
MOST_LONGITUDE = 720.0
"""Degrees: grids may run on past 180."""
MOST_TURNS = 4
"""Grids in other coordinates are no longer than so many times around the Earth: no map is, but PROJ takes some on."""
READ_AHEAD_BYTES = 64 << 20
"""Of a file that is asked for before it is needed."""
PLACES_LOOKED_AT = (3, 33)
"""Points along each axis that are looked for on the ground, one after the other."""


def open_dataset(path: str) -> DatasetReader:
    """Open a raster that can be a scene: real-number pixels on a grid.

    Returns:
        The open `rasterio.DatasetReader`; the caller closes it.

    Raises:
        SceneError: it is missing, is no raster, holds complex numbers or is placed by GCPs, RPCs or geolocation arrays
            only; or it may not be opened, see `local_only`.
    """
    with ignore_warnings(NotGeoreferencedWarning):  # `warn_if_not_georeferenced` says it in our words
        check_database()
        driver = check_raster(path)
        with opening(path), decoding_env(path):
            src = rasterio.open(path, driver=driver)
            try:
                _refuse_subdatasets(src, path)
                _refuse_complex(src, path)
                _refuse_without_grid(src, path)
            except BaseException:
                src.close()
                raise
    return src


@contextmanager
def opening(path: str) -> Iterator[None]:
    """Turn whatever GDAL says of a file that is opened, or asked what it is, into one line.

    Raises:
        SceneError: GDAL raised something.
    """
    try:
        yield
    except GDAL_ERRORS as error:
        raise _not_opened(path, error) from error


def root_cause(error: BaseException) -> str:
    """Give the message of the first error in a chain in one line: GDAL's own words instead of rasterio's."""
    while error.__cause__ is not None:
        error = error.__cause__
    return " ".join(str(error).split()).rstrip(".")


def refuse_palette(bands: Iterable[Band], path: str) -> None:
    """Refuse bands of palette indices, which no image model can read.

    Raises:
        SceneError: one of the bands has a palette.
    """
    for band in bands:
        if band.colorinterp == "palette":
            command = f"gdal_translate -expand rgb {_source_and_target(path, 'rgb')}"
            raise SceneError(
                f"scene '{path}' has a palette, band {band.number} holds colour indices; expand it: {command}"
            )


def warn_if_not_georeferenced(grid: Grid, path: str, *, stacklevel: int) -> None:
    """Warn once when the CRS or the transform of a scene is missing; the work can go on in pixels."""
    if grid.crs is None:
        message = (
            f"scene '{path}' has no CRS, so outputs have none either and nothing can be measured in metres; "
            f"if you know it: gdal_edit.py -a_srs EPSG:CODE {shlex.quote(path)}"
        )
    elif grid.transform.is_identity:
        message = (
            f"scene '{path}' has a CRS but no transform, so coordinates are pixels; "
            f"if you know its bounds: gdal_edit.py -a_ullr LEFT TOP RIGHT BOTTOM {shlex.quote(path)}"
        )
    else:
        return
    warnings.warn(message, GeoDeepLabWarning, stacklevel=stacklevel + 1)


def check_place(grid: Grid, path: str) -> None:
    """Refuse a grid whose coordinates are no places in its CRS; one without CRS or transform is in pixels.

    Rasters of the whole Earth may reach past the poles by a pixel, and past 180 degrees.

    Raises:
        SceneError: they are not.
    """
    if grid.crs is None or grid.transform.is_identity:
        return
    left, bottom, right, top = grid.bounds
    advice = "state the right CRS (gdal_edit.py -a_srs EPSG:CODE) or bounds (-a_ullr LEFT TOP RIGHT BOTTOM)"
    if max(map(abs, grid.bounds)) * SMALLEST_STEP > min(grid.res):
        raise SceneError(
            f"scene '{path}' has pixels of {min(grid.res):g} at coordinates of {max(map(abs, grid.bounds)):.3g}, which "
            f"are no places: {advice}"
        )
    body = body_of(grid.crs)
    if isinstance(body, str):
        return
    if body.map.is_geographic and not body.map.type_name.startswith("Derived"):
        unit = body.degrees
        if max(-bottom, top) * unit > 90 + grid.res[1] * unit + 1e-6 or max(-left, right) * unit > MOST_LONGITUDE:
            raise SceneError(
                f"scene '{path}' lies at longitudes {left:.6g} to {right:.6g} and latitudes {bottom:.6g} to {top:.6g}, "
                f"which there are not: {advice}"
            )
        return
    unit, longest = body.map.axis_info[0].unit_conversion_factor, max(right - left, top - bottom)
    turns = longest * unit / (2 * math.pi * (1 if body.map.is_geographic else body.geod.a))
    if turns > MOST_TURNS:
        raise SceneError(
            f"scene '{path}' reaches {turns:.3g} times around the Earth in {crs_name(grid.crs)}, with pixels of "
            f"{grid.res[0]:g} × {grid.res[1]:g}: {advice}"
        )
    for count in PLACES_LOOKED_AT:
        cols, rows = (np.linspace(0, length, count) for length in (grid.width, grid.height))
        t = grid.transform
        x, y = (a * cols[None] + b * rows[:, None] + c for a, b, c in (t[:3], t[3:6]))
        if np.isfinite(body.to_base.transform(x, y)).any():
            return
    raise SceneError(f"scene '{path}' lies outside of where {crs_name(grid.crs)} is defined: {advice}")


def check_is_there(path: str) -> None:
    """Check that what can only be a file on disk is one, or a folder.

    Raises:
        SceneError: if there is nothing.
    """
    if _is_local(path) and not os.path.exists(path):  # which takes any name
        raise SceneError(f"scene '{path}' does not exist: check the path")


def read_ahead(paths: Iterable[str]) -> threading.Thread:
    """Read the beginnings of local files in a thread, so that they are in the system's memory when they are needed.

    What is no file, or cannot be read, is passed over. The thread ends with the process, and need not be waited for.
    """

    def read() -> None:
        for path in paths:
            if _is_local(path) and os.path.isfile(path):
                with suppress(OSError), open(path, "rb", buffering=0) as file:
                    for _ in range(READ_AHEAD_BYTES >> 20):
                        if not file.read(1 << 20):
                            break

    thread = threading.Thread(target=read, name="read ahead", daemon=True)
    thread.start()
    return thread


def _is_local(path: str) -> bool:
    # no URL, no DRIVER:file:part, no XML; C:\\ is local
    return not path.startswith("/vsi") and ":" not in path[2:] and "<" not in path


def _not_opened(path: str, error: BaseException) -> SceneError:
    try:
        check_is_there(path)
    except SceneError as missing:
        return missing
    if _is_local(path) and Path(path).is_dir():
        return SceneError(f"scene '{path}' is a folder: give a raster file in it")
    return SceneError(
        f"scene '{path}' is no raster that GDAL can open ({root_cause(error)}): give a whole raster file; "
        f"gdalinfo {shlex.quote(path)} tells more"
    )


def _refuse_subdatasets(src: DatasetReader, path: str) -> None:
    if src.count == 0:
        parts = ", ".join(src.subdatasets[:3]) or "none"
        raise SceneError(f"scene '{path}' has no bands of its own: give one of its subdatasets ({parts})")


def _refuse_complex(src: DatasetReader, path: str) -> None:
    for number, dtype in enumerate(src.dtypes, start=1):
        if dtype.startswith("complex"):
            command = f"gdal_translate DERIVED_SUBDATASET:AMPLITUDE:{_source_and_target(path, 'amplitude')}"
            raise SceneError(
                f"scene '{path}' has complex pixels (band {number}: {dtype}), only real numbers can be read; "
                f"write its amplitude: {command}"
            )


def _refuse_without_grid(src: DatasetReader, path: str) -> None:
    if not src.transform.is_identity:
        return
    for option, what, is_there in (
        ("-tps", f"{len(src.gcps[0])} ground control points", bool(src.gcps[0])),
        ("-rpc", "RPCs", bool(src.tags(ns="RPC"))),
        ("-geoloc", "geolocation arrays", bool(src.tags(ns="GEOLOCATION"))),
    ):
        if is_there:
            command = f"gdalwarp {option} {_source_and_target(path, 'warped')}"
            raise SceneError(f"scene '{path}' is placed by {what} only and has no grid; warp it first: {command}")


def _source_and_target(path: str, suffix: str) -> str:
    """Give the file and a name for the file made of it, quoted for a shell."""
    return f"{shlex.quote(path)} {shlex.quote(f'{Path(path).stem}_{suffix}.tif')}"
