"""Faults of polygons by themselves."""

import re
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geodeeplab.vector.checking.faults import Faults, list_faults

_PLACE = re.compile(r"^(?P<reason>[^\[]*)(?:\[(?P<x>\S+) (?P<y>\S+)[^\]]*\])?")
"""As GEOS says why a polygon is invalid, and where."""


def iter_shape_faults(
    geometries: NDArray[Any],
    fids: NDArray[np.int64],
    notes: NDArray[Any],
    *,
    spike_degrees: float,
    min_area: float,
) -> Iterator[Faults]:
    """Find what is wrong with each of n geometries.

    Args:
        geometries: (n,) of shapely; None where there is none.
        fids: (n,) their features' numbers.
        notes: (n,) what was done to read each, see `read_wkb`; "" for nothing.
        spike_degrees: a vertex whose two edges enclose a smaller angle is a spike.
        min_area: in square units of the CRS.
    """
    import shapely

    unread = notes != ""
    yield list_faults("invalid", fids[unread], note=notes[unread])
    missing = shapely.is_missing(geometries) & ~unread
    yield list_faults("no geometry", fids[missing])
    empty = shapely.is_empty(geometries) & ~unread
    yield list_faults("empty geometry", fids[empty])
    kinds = shapely.get_type_id(geometries)
    is_area = (kinds == shapely.GeometryType.POLYGON) | (kinds == shapely.GeometryType.MULTIPOLYGON)
    other = ~is_area & ~missing & ~empty & ~unread
    names = np.array([one.geom_type.lower() for one in geometries[other]], dtype=object)
    yield list_faults("no polygon", fids[other], point=_any_point(geometries[other]), note=names)
    left = is_area & ~empty & ~unread
    finite = left.copy()
    finite[left] = has_finite_points(geometries[left])
    yield list_faults("not finite", fids[left & ~finite])
    geometries, fids = geometries[finite], fids[finite]
    valid = shapely.is_valid(geometries)
    yield _invalid(geometries[~valid], fids[~valid])
    geometries, fids = geometries[valid], fids[valid]
    yield _spikes(geometries, fids, spike_degrees)
    area = shapely.area(geometries)
    small = area < min_area
    yield list_faults("small area", fids[small], point=_any_point(geometries[small]), size=area[small])


def has_finite_points(geometries: NDArray[Any]) -> NDArray[np.bool_]:
    """Tell (n,) geometries of which no coordinate is NaN or infinite."""
    import shapely

    points, owner = shapely.get_coordinates(geometries, return_index=True)
    finite = np.ones(len(geometries), dtype=np.bool_)
    finite[owner[~np.isfinite(points).all(axis=1)]] = False
    return finite


def _invalid(geometries: NDArray[Any], fids: NDArray[np.int64]) -> Faults:
    import shapely

    said = [_PLACE.match(one) for one in shapely.is_valid_reason(geometries)]
    reasons = np.array([one["reason"].strip().lower() if one else "" for one in said], dtype=object)
    points = [(float(one["x"]), float(one["y"])) if one and one["x"] else (np.nan, np.nan) for one in said]
    return list_faults("invalid", fids, point=np.array(points).reshape(-1, 2), note=reasons)


def _spikes(geometries: NDArray[Any], fids: NDArray[np.int64], spike_degrees: float) -> Faults:
    """Find the sharpest vertex of each polygon that has one sharper than so many degrees."""
    import shapely

    parts, part_owner = shapely.get_parts(geometries, return_index=True)
    rings, part = shapely.get_rings(parts, return_index=True)
    owner = part_owner[part]
    points, ring = shapely.get_coordinates(rings, return_index=True)
    fresh = np.ones(len(points), dtype=np.bool_)  # not a point that repeats the one before it
    fresh[1:] = (points[1:] != points[:-1]).any(axis=1) | (ring[1:] != ring[:-1])
    points, ring = points[fresh], ring[fresh]
    starts = np.flatnonzero(np.diff(ring, prepend=-1))
    stops = np.append(starts, len(points))[1:]
    before = np.arange(-1, len(points) - 1)
    before[starts] = stops - 2  # the last is the first again
    after = np.arange(1, len(points) + 1)
    after[stops - 1] = starts + 1
    back, on = points[before] - points, points[after] - points
    cosine = (back * on).sum(axis=1)
    sine = np.abs(back[:, 0] * on[:, 1] - back[:, 1] * on[:, 0])
    degrees = np.degrees(np.arctan2(sine, cosine))
    degrees[stops - 1] = np.inf  # once is enough
    sharp = np.flatnonzero(degrees < spike_degrees)
    features = owner[ring[sharp]]
    order = np.lexsort((degrees[sharp], features))
    first = order[np.diff(features[order], prepend=-1) != 0]
    chosen = sharp[first]
    return list_faults("spike", fids[features[first]], point=points[chosen], size=degrees[chosen])


def _any_point(geometries: NDArray[Any]) -> NDArray[np.float64]:
    import shapely

    points: NDArray[np.float64] = shapely.get_coordinates(shapely.point_on_surface(geometries))
    return points
