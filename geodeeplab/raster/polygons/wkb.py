"""Geometries from WKB, also from what GEOS refuses: rings that are not closed or too short, and patches of surfaces."""

import struct
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

POINT, LINE, POLYGON, TRIANGLE = 1, 2, 3, 17
COLLECTIONS = (4, 5, 6, 7, 15, 16)
"""Multi-geometries, collections, polyhedral surfaces and TINs."""
DEEPEST = 32
"""Collections within collections, as GDAL reads them at most."""

UNREADABLE = "cannot be read"
NOT_CLOSED = "ring not closed or too short"

Ring = npt.NDArray[np.float64]


@np.errstate(invalid="ignore")  # of NaN among coordinates, which is looked for later
def read_wkb(wkb: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Read geometries.

    Returns:
        The geometries, None where there is none; and for each, what had to be done to read it, "" for nothing.
    """
    import shapely

    geometries = shapely.from_wkb(wkb, on_invalid="ignore")
    notes = np.full(len(wkb), "", dtype=object)
    for i in np.flatnonzero(shapely.is_missing(geometries)):
        if wkb[i] is not None:
            geometries[i] = _polygons(bytes(wkb[i]))
            notes[i] = UNREADABLE if geometries[i] is None else NOT_CLOSED
    return geometries, notes


def _polygons(data: bytes) -> Any:  # noqa: ANN401 - a shapely geometry
    """Read the polygons of a geometry, ring by ring: open rings are closed, those of less than three points go."""
    import shapely

    try:
        polygons = []
        for rings in _iter_polygons(data):
            shell, *holes = [_closed(ring) for ring in rings] or [None]
            if shell is not None:
                polygons.append(shapely.Polygon(shell, [hole for hole in holes if hole is not None]))
        return shapely.MultiPolygon(polygons)
    except (ValueError, struct.error, shapely.errors.GEOSException):  # of GEOS: a ring that begins with NaN
        return None


def _closed(ring: Ring) -> Ring | None:
    """Close a ring; None where it has less than three points."""
    if len(ring) and not np.array_equal(ring[0], ring[-1]):
        ring = np.concatenate([ring, ring[:1]])
    return ring if len(ring) >= 4 else None


def _iter_polygons(data: bytes) -> Iterator[list[Ring]]:
    """Give the rings (N, 2) of every polygon.

    Format: OGC 06-103r4, 8.2.3, with the codes of ISO 19125 (Z + 1000, M + 2000) and of PostGIS (flags).

    Raises:
        ValueError, struct.error: it is damaged, or has curves.
    """
    offset = 0

    def take(form: str) -> int:
        nonlocal offset
        (value,) = struct.unpack_from(form, data, offset)
        offset += struct.calcsize(form)
        return int(value)

    def points(order: str, count: int, dimensions: int) -> Ring:
        nonlocal offset
        found = np.frombuffer(data, dtype=f"{order}f8", count=count * dimensions, offset=offset)
        offset += found.nbytes
        return found.reshape(count, dimensions)[:, :2].astype(np.float64)

    def one(depth: int) -> Iterator[list[Ring]]:
        order = "<" if take("B") == 1 else ">"
        code = take(f"{order}I")
        if code & 0x20000000:
            take(f"{order}I")  # SRID
        kind, iso = code & 0xFFFF, (code & 0xFFFF) // 1000
        dimensions = 2 + (iso in (1, 3) or bool(code & 0x80000000)) + (iso in (2, 3) or bool(code & 0x40000000))
        kind %= 1000
        if kind == POINT:
            points(order, 1, dimensions)
        elif kind == LINE:
            points(order, take(f"{order}I"), dimensions)
        elif kind in (POLYGON, TRIANGLE):
            yield [points(order, take(f"{order}I"), dimensions) for _ in range(take(f"{order}I"))]
        elif kind in COLLECTIONS and depth < DEEPEST:
            for _ in range(take(f"{order}I")):
                yield from one(depth + 1)
        else:
            raise ValueError(f"WKB of type {kind}")

    return one(0)
