"""Cut polygons at the antimeridian, as RFC 7946 wants them."""

from collections.abc import Iterator
from functools import partial
from itertools import pairwise

import numpy as np
import shapely

from geodeeplab.vector.layers.slices import slice_batch
from geodeeplab.vector.layers.wkb import polygons_of_features
from geodeeplab.vector.trace.batch import PolygonBatch


def split_at_antimeridian(batch: PolygonBatch) -> Iterator[PolygonBatch]:
    """Yield the features in their order, their longitudes all within ±180.

    A feature beyond, whose longitudes run on past 180 or -180, comes as a multipolygon of its parts on either side;
    the others stay as they are.

    Args:
        batch: Polygons in longitudes and latitudes, in degrees.
    """
    if len(batch) == 0 or np.abs(batch.points[:, 0]).max() <= 180:
        yield batch
        return
    starts = batch.ring_offsets[batch.polygon_offsets[polygons_of_features(batch)[:-1]]]
    is_beyond = np.maximum.reduceat(np.abs(batch.points[:, 0]), starts) > 180
    runs = [0, *(np.flatnonzero(np.diff(is_beyond)) + 1).tolist(), len(batch)]
    for start, stop in pairwise(runs):
        run = slice_batch(batch, start, stop)
        yield _wrap(run) if is_beyond[start] else run


def _wrap(batch: PolygonBatch) -> PolygonBatch:
    """Cut features at odd multiples of 180 degrees, and shift the parts to within ±180."""
    geometries = batch.geometries()
    west, _, east, _ = shapely.total_bounds(geometries)
    parts, owners = [], []
    for turn in range(int(np.floor((west + 180) / 360)), int(np.ceil((east - 180) / 360)) + 1):
        world = shapely.box(360 * turn - 180, -91, 360 * turn + 180, 91)
        clipped, owner = shapely.get_parts(shapely.intersection(geometries, world), return_index=True)
        is_polygon = (shapely.get_type_id(clipped) == shapely.GeometryType.POLYGON) & ~shapely.is_empty(clipped)
        parts.append(shapely.transform(clipped[is_polygon], partial(np.add, (-360.0 * turn, 0.0))))
        owners.append(owner[is_polygon])
    owner, part = np.concatenate(owners), np.concatenate(parts)
    order = np.argsort(owner, kind="stable")
    multipolygons = shapely.multipolygons(shapely.orient_polygons(part[order]), indices=owner[order])
    _, points, (rings, polygons, features) = shapely.to_ragged_array(multipolygons)
    return PolygonBatch(
        class_ids=batch.class_ids,
        points=points,
        ring_offsets=rings.astype(np.int64),
        polygon_offsets=polygons.astype(np.int64),
        feature_offsets=features.astype(np.int64),
        area_m2=batch.area_m2,
        perimeter_m=batch.perimeter_m,
        confidence_mean=batch.confidence_mean,
        confidence_min=batch.confidence_min,
    )
