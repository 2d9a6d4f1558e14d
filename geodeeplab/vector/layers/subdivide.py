"""Cut polygons with many vertices into several with fewer."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import shapely
from numpy.typing import NDArray

from geodeeplab.errors import OptionError
from geodeeplab.vector.layers.wkb import polygons_of_features
from geodeeplab.vector.trace.batch import PolygonBatch

MIN_VERTICES = 16
"""Fewer would cut round shapes to crumbs."""

MAX_CUTS = 128
"""Times that a box is halved at most: enough for any that float64 can hold."""

Measure = Callable[[NDArray[np.float64], NDArray[np.int64]], tuple[NDArray[np.float64], NDArray[np.float64]]]
"""From points (P, 2) and offsets of rings (R + 1,) to the signed ground area of each ring in m² (shells positive, holes
negative), and its length in m: both (R,)."""


def check_max_vertices(max_vertices: int | None) -> None:
    """Check the limit.

    Raises:
        OptionError: It is too small.
    """
    if max_vertices is not None and max_vertices < MIN_VERTICES:
        raise OptionError(
            f"polygons are cut to {MIN_VERTICES} vertices or more, not {max_vertices}: pass a larger limit"
        )


def subdivide(batch: PolygonBatch, *, max_vertices: int, measure: Measure | None) -> PolygonBatch:
    """Cut every feature with more than `max_vertices` points, closing ones counted, into features with no more.

    Cuts run along x or y, across the middle of the longer side of what they cut, and through no vertex; the parts of a
    polygon take its place. The others stay as they are, bit for bit.

    Laws: the parts are valid, do not overlap, and cover the whole, but for the rounding of the points where a cut meets
    a slanted edge. Where a cut ends on an edge, the polygon on the other side of that edge has no vertex: there the
    layer is no longer a coverage in the strict sense.

    Each part has the class and the confidence of the whole, and the area and the perimeter of itself as `measure` gives
    them, or unknown ones without it.
    """
    polygons = polygons_of_features(batch)
    counts = np.diff(batch.ring_offsets[batch.polygon_offsets[polygons]])
    too_large = counts > max_vertices
    if not too_large.any():
        return batch
    geometries = batch.geometries()
    is_multi = batch.feature_offsets is not None
    parts: list[NDArray[np.object_]] = []
    owners: list[NDArray[np.int64]] = []
    for i in np.flatnonzero(too_large):
        pieces = _cut(shapely.get_parts(geometries[i : i + 1]), max_vertices)
        parts.append(_pack(pieces, max_vertices) if is_multi else pieces)
        owners.append(np.full(len(parts[-1]), i))
    kept = np.flatnonzero(~too_large)
    owner = np.concatenate([kept, *owners])
    order = np.argsort(owner, kind="stable")
    return _rebuild(batch, np.concatenate([geometries[kept], *parts])[order], owner[order], too_large, measure)


def _cut(pieces: NDArray[np.object_], max_vertices: int) -> NDArray[np.object_]:
    """Cut polygons until each has at most `max_vertices` points.

    Clipping takes ring by ring and is linear. But where rings touch, it may leave a polygon whose interior falls apart;
    that is repaired in the end, on small pieces.
    """
    finished: list[NDArray[np.object_]] = []
    for _ in range(MAX_CUTS):
        too_large = shapely.get_num_coordinates(pieces) > max_vertices
        finished.append(pieces[~too_large])
        pieces = pieces[too_large]
        if not len(pieces):
            break
        pieces = _polygons([_clip(piece, box) for piece in pieces for box in _half_boxes(piece)])
    done = np.concatenate([*finished, pieces])
    is_valid = shapely.is_valid(done)
    repaired = _polygons(shapely.make_valid(done[~is_valid], method="structure"))
    oriented: NDArray[np.object_] = shapely.orient_polygons(np.concatenate([done[is_valid], repaired]))
    return oriented


def _clip(piece: shapely.Polygon, box: tuple[float, float, float, float]) -> shapely.Geometry:
    """Give the part of a polygon in a box, whose sides pass through none of its vertices."""
    try:
        return shapely.clip_by_rect(piece, *box)
    except shapely.errors.GEOSException:  # of some rings that touch it makes one of three points, and refuses it
        return shapely.intersection(shapely.make_valid(piece, method="structure"), shapely.box(*box))


def _polygons(geometries: Sequence[shapely.Geometry] | NDArray[np.object_]) -> NDArray[np.object_]:
    """Give the polygons among the parts of geometries, without empty ones."""
    parts = shapely.get_parts(np.asarray(geometries, dtype=np.object_))
    is_polygon = (shapely.get_type_id(parts) == shapely.GeometryType.POLYGON) & ~shapely.is_empty(parts)
    polygons: NDArray[np.object_] = parts[is_polygon]
    return polygons


def _half_boxes(piece: shapely.Polygon) -> tuple[tuple[float, float, float, float], tuple[float, float, float, float]]:
    """Give the bounds of two boxes that cover the piece and share a side across its middle, through no vertex."""
    west, south, east, north = piece.bounds
    axis = 0 if east - west >= north - south else 1
    values = shapely.get_coordinates(piece)[:, axis]
    at = (west + east) / 2 if axis == 0 else (south + north) / 2
    if np.any(values == at):
        at = (at + float(values[values > at].min())) / 2
    margin = max(east - west, north - south)
    west, south, east, north = west - margin, south - margin, east + margin, north + margin
    if axis == 0:
        return (west, south, at, north), (at, south, east, north)
    return (west, south, east, at), (west, at, east, north)


def _pack(pieces: NDArray[np.object_], max_vertices: int) -> NDArray[np.object_]:
    """Join pieces that follow each other into multipolygons of at most `max_vertices` points.

    Those along whose common cut a multipolygon would not be valid stay apart.
    """
    groups = np.empty(len(pieces), np.int64)
    group, points = 0, 0
    for i, count in enumerate(shapely.get_num_coordinates(pieces).tolist()):
        if points and points + count > max_vertices:
            group, points = group + 1, 0
        points += count
        groups[i] = group
    joined: NDArray[np.object_] = shapely.multipolygons(pieces, indices=groups)
    apart = ~shapely.is_valid(joined)[groups]
    if apart.any():
        groups = np.cumsum((np.diff(groups, prepend=-1) > 0) | apart) - 1
        joined = shapely.multipolygons(pieces, indices=groups)
    return joined


def _rebuild(
    batch: PolygonBatch,
    geometries: NDArray[np.object_],
    owner: NDArray[np.int64],
    is_cut: NDArray[np.bool_],
    measure: Measure | None,
) -> PolygonBatch:
    """Give a batch of new geometries that take the values of their owners, and measure those that were cut."""
    _, points, offsets = shapely.to_ragged_array(geometries)
    rings, polygons, *features = (levels.astype(np.int64) for levels in offsets)
    mean, least = batch.confidence_mean, batch.confidence_min
    rebuilt = PolygonBatch(
        class_ids=batch.class_ids[owner],
        points=points,
        ring_offsets=rings,
        polygon_offsets=polygons,
        feature_offsets=features[0] if features else None,
        area_m2=batch.area_m2[owner],
        perimeter_m=batch.perimeter_m[owner],
        confidence_mean=None if mean is None else mean[owner],
        confidence_min=None if least is None else least[owner],
    )
    areas = lengths = np.full(len(owner), np.nan)
    if measure is not None:
        starts = polygons[polygons_of_features(rebuilt)[:-1]]
        areas, lengths = (np.add.reduceat(values, starts) for values in measure(points, rings))
    cut = is_cut[owner]
    return replace(
        rebuilt,
        area_m2=np.where(cut, areas, rebuilt.area_m2),
        perimeter_m=np.where(cut, lengths, rebuilt.perimeter_m),
    )
