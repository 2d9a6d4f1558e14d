"""Trace the classes of a label raster into polygons."""

from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any, Literal, NamedTuple

import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray
from rasterio.features import shapes

BATCH_SIZE = 50_000
"""Polygons per batch: enough that the cost of a batch does not count, few enough to stay small in memory."""


@dataclass(frozen=True, kw_only=True)
class PolygonBatch:
    """Some of the polygons of a label raster."""

    class_ids: NDArray[np.int32]
    """Pixel value of each polygon, (N,)."""
    geometries: NDArray[np.object_]
    """Shapely geometries in CRS coordinates, (N,), all of one type: Polygon, or MultiPolygon for connectivity 8."""


def trace_polygons(
    bands: Iterable[NDArray[np.integer[Any]]],
    *,
    transform: Affine,
    connectivity: Literal[4, 8] = 4,
    nodata: int = 0,
) -> Iterator[PolygonBatch]:
    """Trace every connected component of equal labels into one polygon with its holes.

    Vertices are pixel corners, and a vertex stands only where the outline turns. Shells run anticlockwise in CRS
    coordinates, holes clockwise. With connectivity 8, pixels that touch at a corner are one component; as a polygon
    must not pinch itself off, its geometry is a MultiPolygon, of one part where no corner joins.

    Laws: the polygons rasterise back to exactly the labels; each is valid; they do not depend on how the raster is cut
    into bands.

    Args:
        bands: The rows of the label raster from the top, in arrays (n, width), integers of at most 32 bits.
        transform: From pixel corner to CRS, rotated, sheared and south-up too.
        connectivity: 4 or 8 neighbours.
        nodata: Label that gets no polygon.

    Yields:
        Batches; none for a raster that is all nodata.
    """
    # All rows at once, for now; the caller already hands over bands, as the tracer that needs no more will ask for.
    labels = np.concatenate(list(bands))
    if labels.dtype != np.uint8:
        labels = labels.astype(np.int32)
    traced = shapes(labels, mask=labels != nodata, connectivity=connectivity)
    while (flat := _flatten(islice(traced, BATCH_SIZE))).class_ids:
        pixel_geometries = shapely.from_ragged_array(
            shapely.GeometryType.POLYGON,
            np.frombuffer(flat.corners, dtype=np.float64).reshape(-1, 2),
            offsets=(np.array(flat.ring_stops), np.array(flat.polygon_stops)),
        )
        if connectivity == 8:
            pixel_geometries = _to_multipolygons(pixel_geometries)
        # Equal corners stay equal, bit for bit, in whichever ring: one formula for all of them.
        geometries = shapely.transform(pixel_geometries, lambda points: _apply(transform, points))
        yield PolygonBatch(
            class_ids=np.array(flat.class_ids, dtype=np.int32),
            geometries=shapely.orient_polygons(geometries),
        )


class _Flat(NamedTuple):
    """Polygons in flat arrays, the layout of GeoArrow: rings lie between two stops, and so do polygons."""

    class_ids: list[int]
    corners: "array[float]"
    """Column and row of each ring's corners, in turn."""
    ring_stops: list[int]
    """Where rings end in `corners` (in corners), after a 0."""
    polygon_stops: list[int]
    """Where polygons end in the rings, after a 0."""


def _flatten(traced: Iterable[tuple[dict[str, Any], float]]) -> _Flat:
    """Move GDAL's polygons into flat arrays one by one, as millions of tuples kept alive would keep Python busy."""
    flat = _Flat([], array("d"), [0], [0])
    for geometry, value in traced:
        for ring in geometry["coordinates"]:
            flat.corners.extend(chain.from_iterable(ring))
            flat.ring_stops.append(len(flat.corners) // 2)
        flat.polygon_stops.append(len(flat.ring_stops) - 1)
        flat.class_ids.append(int(value))
    return flat


def _to_multipolygons(polygons: NDArray[np.object_]) -> NDArray[np.object_]:
    """Turn polygons whose rings cross themselves at corners into valid multipolygons of the same area."""
    invalid = ~shapely.is_valid(polygons)
    polygons[invalid] = shapely.make_valid(polygons[invalid], method="linework")
    parts, owners = shapely.get_parts(polygons, return_index=True)
    multipolygons: NDArray[np.object_] = shapely.multipolygons(parts, indices=owners)
    return multipolygons


def _apply(transform: Affine, points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Map pixel corners (col, row), (N, 2), to CRS coordinates (x, y)."""
    col, row = points.T
    a, b, c, d, e, f = transform[:6]
    return np.column_stack((a * col + b * row + c, d * col + e * row + f))
