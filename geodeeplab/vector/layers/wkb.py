"""Pack polygons into Well-Known Binary (OGC 06-103r4, section 8), all of a batch in one buffer."""

import numpy as np
from numpy.typing import NDArray

from geodeeplab.vector.trace.batch import PolygonBatch

HEADER_BYTES = 9
"""Byte order, type and count: what a polygon or a multipolygon begins with."""


def wkb_of(batch: PolygonBatch) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Give the WKB of all geometries of a batch in one buffer, and where each begins and ends.

    Law: the bytes are those of `shapely.to_wkb(batch.geometries(), byte_order=1)`, joined.

    Returns:
        The buffer, and offsets (N + 1,) in it.
    """
    from geodeeplab.vector.layers.kernels_wkb import fill_wkb

    offsets = wkb_offsets(batch)
    out = np.empty(offsets[-1], np.uint8)
    points = np.ascontiguousarray(batch.points, dtype="<f8")
    fill_wkb(
        points.reshape(-1).view(np.uint8),
        batch.ring_offsets,
        batch.polygon_offsets,
        polygons_of_features(batch),
        batch.feature_offsets is not None,
        out,
    )
    return out, offsets


def wkb_offsets(batch: PolygonBatch) -> NDArray[np.int64]:
    """Give where the WKB of each feature begins and ends, (N + 1,), when all follow each other.

    A polygon has 9 bytes, each ring 4, each point 16, a multipolygon 9 more: all of them counted by the offsets.
    """
    polygons = polygons_of_features(batch)
    rings = batch.polygon_offsets[polygons]
    points = batch.ring_offsets[rings]
    offsets: NDArray[np.int64] = HEADER_BYTES * polygons + 4 * rings + 16 * points
    if batch.feature_offsets is not None:
        offsets += HEADER_BYTES * np.arange(len(batch) + 1)
    offsets -= offsets[0]
    return offsets


def polygons_of_features(batch: PolygonBatch) -> NDArray[np.int64]:
    """Give where features begin and end in the polygons, (N + 1,), for polygons as for multipolygons."""
    if batch.feature_offsets is not None:
        return batch.feature_offsets
    return np.arange(len(batch) + 1, dtype=np.int64)
