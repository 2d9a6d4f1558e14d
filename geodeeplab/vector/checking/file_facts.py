"""Faults of a layer as a whole: its CRS, and what its file says of itself."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rasterio.crs import CRS

from geodeeplab.errors import OptionError
from geodeeplab.raster.crs import crs_name, same_crs, to_crs, to_pyproj, transformer
from geodeeplab.vector.checking.faults import NOBODY, Faults, list_faults

FARTHEST_DEGREES = 540.0
"""Of longitude: results across the antimeridian run on past 180."""
ABOUT = 1e-6
"""Share of a layer's extent within which a stated extent is right."""


def iter_layer_faults(
    *, crs: CRS | None, wanted: CRS | None, bounds: NDArray[np.float64], path: Path | None, layer: str | None
) -> Iterator[Faults]:
    """Find what is wrong with a layer as a whole.

    Args:
        crs: of the layer.
        wanted: that it is to have; None for any.
        bounds: (4,) least x and y, greatest x and y of its geometries; NaN where there are none.
        path: its file, if it is one on the disk.
        layer: its name there.
    """
    if crs is None:
        yield _of_layer("no CRS")
    elif wanted is not None and not same_crs(crs, wanted):
        yield _of_layer("other CRS", f"{crs_name(crs)}, not {crs_name(wanted)}")
    if crs is not None and np.isfinite(bounds).all():
        away = _far_from(crs, bounds)
        if away:
            yield _of_layer("outside the CRS", away)
    if path is not None and path.suffix.lower() == ".gpkg" and layer is not None:
        yield from (_of_layer(kind, note) for kind, note in _of_geopackage(path, layer, bounds))


def _far_from(crs: CRS, bounds: NDArray[np.float64]) -> str:
    """Say that the layer lies outside of where its CRS is meant for; "" where it meets that, or nobody knows."""
    known = to_pyproj(crs)
    left, bottom, right, top = bounds.tolist()
    if known.is_geographic:
        too_far = max(abs(left), abs(right)) > FARTHEST_DEGREES or max(abs(bottom), abs(top)) > 90 + ABOUT
        return f"{bounds.round(3).tolist()} are no degrees" if too_far else ""
    area = known.area_of_use
    if area is None:
        return ""
    try:
        way = transformer(crs, to_crs("OGC:CRS84"), what="the layer", error=OptionError, advice="")
        west, south, east, north = way.transform_bounds(left, bottom, right, top)
    except OptionError:
        return ""
    except Exception as error:  # PROJ's own
        return " ".join(str(error).split())
    if not np.isfinite([west, south, east, north]).all():
        return "its coordinates have no longitude and latitude"
    apart = north < area.south or south > area.north
    if west <= east and area.west <= area.east:
        apart |= east < area.west or west > area.east
    return f"it lies at {(west + east) / 2:.2f}° {(south + north) / 2:.2f}°, not in: {area.name}" if apart else ""


def _of_geopackage(path: Path, layer: str, bounds: NDArray[np.float64]) -> Iterator[tuple[str, str]]:
    """Compare what a GeoPackage says of a layer with the layer."""
    from geodeeplab.raster.polygons.vector_file import reading

    with reading(f"'{path}'"), closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as database:
        stated = database.execute(
            "SELECT min_x, min_y, max_x, max_y FROM gpkg_contents WHERE table_name = ?", (layer,)
        ).fetchone()
        column = database.execute(
            "SELECT column_name FROM gpkg_geometry_columns WHERE table_name = ?", (layer,)
        ).fetchone()
        index = None
        if column is not None:
            name = f"rtree_{layer}_{column[0]}"
            exists = database.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (name,)).fetchone()
            if exists:
                index = database.execute(
                    f"SELECT count(*), min(minx), min(miny), max(maxx), max(maxy) FROM {_quoted(name)}"
                ).fetchone()
                held = _count(database, layer, column[0])
    if stated is not None and None not in stated and np.isfinite(bounds).all():
        slack = ABOUT * max(float(np.ptp(bounds[[0, 2]])), float(np.ptp(bounds[[1, 3]])))
        if np.abs(np.array(stated, dtype=np.float64) - bounds).max() > slack:
            yield "stale extent", f"stated {list(stated)}, found {bounds.tolist()}"
    if index is not None:
        if index[0] != held:
            yield "stale index", f"{index[0]} entries for {held} geometries"
        elif index[0] and np.isfinite(bounds).all():
            # R-trees round outwards to 32 bits
            sides, slack = np.array(index[1:], dtype=np.float64), 1e-6 * np.abs(bounds).max()
            if np.abs(sides - bounds).max() > slack:
                yield "stale index", f"its entries reach {sides.tolist()}, the polygons {bounds.tolist()}"


def _count(database: sqlite3.Connection, layer: str, column: str) -> int:
    """Count geometries that an R-tree holds: neither null nor, by the flag in their header, empty."""
    (count,) = database.execute(
        f"SELECT count(*) FROM {_quoted(layer)} WHERE {_quoted(column)} IS NOT NULL "
        f"AND substr(hex(substr({_quoted(column)}, 4, 1)), 1, 1) NOT IN ('1', '3', '5', '7', '9', 'B', 'D', 'F')"
    ).fetchone()
    return int(count)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _of_layer(kind: str, note: str = "") -> Faults:
    return list_faults(kind, np.array([NOBODY]), note=note)
