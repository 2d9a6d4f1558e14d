"""Batches of polygons for tests, made with rasterio and shapely."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray
from rasterio.features import shapes

from geodeeplab.vector.trace.batch import PolygonBatch


def batch_of(
    geometries: Sequence[shapely.Geometry] | NDArray[np.object_],
    *,
    class_ids: Sequence[int] | NDArray[np.integer[Any]] | None = None,
    confidence: bool = False,
) -> PolygonBatch:
    """Give a batch of shapely's polygons, or of multipolygons; the measures are planar, the rest is made up."""
    array = shapely.orient_polygons(np.asarray(geometries, dtype=np.object_))
    _, points, (rings, polygons, *features) = shapely.to_ragged_array(array)
    count = len(array)
    return PolygonBatch(
        class_ids=np.asarray(range(1, count + 1) if class_ids is None else class_ids, dtype=np.int32),
        points=points,
        ring_offsets=rings.astype(np.int64),
        polygon_offsets=polygons.astype(np.int64),
        feature_offsets=features[0].astype(np.int64) if features else None,
        area_m2=shapely.area(array),
        perimeter_m=shapely.length(array),
        confidence_mean=np.linspace(50, 99.9, count, dtype=np.float32) if confidence else None,
        confidence_min=np.linspace(5, 50, count, dtype=np.float32) if confidence else None,
    )


def batch_of_labels(
    labels: NDArray[Any], *, transform: Affine | None = None, multi: bool = False, confidence: bool = False
) -> PolygonBatch:
    """Give the polygons of a label raster, or with `multi` one multipolygon for each class; 0 is nodata."""
    pairs = list(shapes(labels.astype(np.int32), mask=labels != 0, transform=transform or Affine.identity()))
    geometries = np.array([shapely.geometry.shape(geometry) for geometry, _ in pairs], dtype=np.object_)
    values = np.array([int(value) for _, value in pairs])
    if multi:
        order = np.argsort(values, kind="stable")
        values, owners = np.unique(values[order], return_inverse=True)
        geometries = shapely.multipolygons(geometries[order], indices=owners)
    return batch_of(geometries, class_ids=values, confidence=confidence)


def planar_measure(
    points: NDArray[np.float64], offsets: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Give the signed planar area and the length of each ring."""
    areas, lengths = [], []
    for start, stop in pairwise(offsets):
        x, y = (points[start:stop] - points[start]).T
        areas.append(0.5 * float((x[:-1] * y[1:] - x[1:] * y[:-1]).sum()))
        lengths.append(float(np.hypot(np.diff(x), np.diff(y)).sum()))
    return np.array(areas), np.array(lengths)
