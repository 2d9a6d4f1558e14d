"""Batches of finished polygons, as they go from the tracer to a writer."""

from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True)
class PolygonBatch:
    """N polygons, or N multipolygons for connectivity 8, in flat arrays (the layout of GeoArrow)."""

    class_ids: NDArray[np.int32]
    """(N,): pixel value of each."""
    points: NDArray[np.float64]
    """(P, 2): x and y in the CRS of the output. Rings end with their first point; shells run anticlockwise."""
    ring_offsets: NDArray[np.int64]
    """(R + 1,): where rings begin and end in `points`."""
    polygon_offsets: NDArray[np.int64]
    """(G + 1,): where polygons begin and end in the rings; the first ring of each is its shell."""
    feature_offsets: NDArray[np.int64] | None = None
    """(N + 1,): where multipolygons begin and end in the polygons; None where each feature is one polygon."""
    area_m2: NDArray[np.float64]
    """(N,): ground area in square metres, NaN where it is unknown."""
    perimeter_m: NDArray[np.float64]
    """(N,): length of all rings on the ground in metres, NaN where it is unknown."""
    confidence_mean: NDArray[np.float32] | None = None
    """(N,): mean confidence of the pixels, 0–100; None where there is no confidence."""
    confidence_min: NDArray[np.float32] | None = None
    """(N,): likewise the least."""

    def __len__(self) -> int:
        return len(self.class_ids)

    def geometries(self) -> NDArray[np.object_]:
        """Give the geometries as shapely's, (N,)."""
        offsets = (self.ring_offsets, self.polygon_offsets)
        kind = shapely.GeometryType.POLYGON
        if self.feature_offsets is not None:
            offsets, kind = (*offsets, self.feature_offsets), shapely.GeometryType.MULTIPOLYGON  # type: ignore[assignment]
        made: NDArray[np.object_] = shapely.from_ragged_array(kind, self.points, offsets=offsets)
        return made
