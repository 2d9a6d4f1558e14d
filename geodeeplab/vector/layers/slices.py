"""Cut batches of polygons into slices of bounded size."""

from collections.abc import Iterable, Iterator

import numpy as np

from geodeeplab.vector.layers.wkb import polygons_of_features, wkb_offsets
from geodeeplab.vector.trace.batch import PolygonBatch

SLICE_BYTES = 32 << 20
"""Geometry that a writer holds at a time, as WKB; a larger single feature is a slice of its own."""

SLICE_FEATURES = 1 << 16
"""Features that a writer holds at a time."""


def iter_slices(
    batches: Iterable[PolygonBatch], *, max_bytes: int = SLICE_BYTES, max_features: int = SLICE_FEATURES
) -> Iterator[PolygonBatch]:
    """Yield the features of all batches in their order, none empty, in slices within both limits.

    Only a single feature that is larger than `max_bytes` by itself makes a slice that is.
    """
    for batch in batches:
        offsets, start = wkb_offsets(batch), 0
        while start < len(batch):
            stop = int(np.searchsorted(offsets, offsets[start] + max_bytes, side="right")) - 1
            stop = min(max(stop, start + 1), start + max_features, len(batch))
            yield slice_batch(batch, start, stop)
            start = stop


def slice_batch(batch: PolygonBatch, start: int, stop: int) -> PolygonBatch:
    """Give the features from `start` to before `stop`; the arrays of values are views."""
    if (start, stop) == (0, len(batch)):
        return batch
    polygons = polygons_of_features(batch)[start : stop + 1]
    polygon_offsets = batch.polygon_offsets[polygons[0] : polygons[-1] + 1]
    ring_offsets = batch.ring_offsets[polygon_offsets[0] : polygon_offsets[-1] + 1]
    mean, least = batch.confidence_mean, batch.confidence_min
    return PolygonBatch(
        class_ids=batch.class_ids[start:stop],
        points=batch.points[ring_offsets[0] : ring_offsets[-1]],
        ring_offsets=ring_offsets - ring_offsets[0],
        polygon_offsets=polygon_offsets - polygon_offsets[0],
        feature_offsets=None if batch.feature_offsets is None else polygons - polygons[0],
        area_m2=batch.area_m2[start:stop],
        perimeter_m=batch.perimeter_m[start:stop],
        confidence_mean=None if mean is None else mean[start:stop],
        confidence_min=None if least is None else least[start:stop],
    )
