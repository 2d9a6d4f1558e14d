"""Kernel that packs flat arrays into WKB, compiled with numba; imported where it is used."""

import numpy as np
from numpy.typing import NDArray

from geodeeplab.compiled import compiled

Bytes = NDArray[np.uint8]
Ints = NDArray[np.int64]

POLYGON, MULTIPOLYGON = 3, 6


@compiled
def _put_uint32(out: Bytes, at: int, value: int) -> int:
    """Write an unsigned integer, lowest byte first; give the place after it."""
    for i in range(4):
        out[at + i] = (value >> (8 * i)) & 255
    return at + 4


@compiled
def fill_wkb(
    point_bytes: Bytes, ring_offsets: Ints, polygon_offsets: Ints, feature_offsets: Ints, is_multi: bool,
    out: Bytes
) -> None:  # fmt: skip
    """Write features one after the other, in little-endian order.

    Args:
        point_bytes: (16 P,) bytes of the points: x and y as float64, little-endian.
        ring_offsets: (R + 1,) in points.
        polygon_offsets: (G + 1,) in rings.
        feature_offsets: (N + 1,) in polygons; steps of one for polygons.
        is_multi: write multipolygons, also where they have one part.
        out: as long as all features together, written.
    """
    at = 0
    for feature in range(feature_offsets.size - 1):
        first_polygon, end_polygon = feature_offsets[feature], feature_offsets[feature + 1]
        if is_multi:
            out[at] = 1
            at = _put_uint32(out, at + 1, MULTIPOLYGON)
            at = _put_uint32(out, at, end_polygon - first_polygon)
        for polygon in range(first_polygon, end_polygon):
            first_ring, end_ring = polygon_offsets[polygon], polygon_offsets[polygon + 1]
            out[at] = 1
            at = _put_uint32(out, at + 1, POLYGON)
            at = _put_uint32(out, at, end_ring - first_ring)
            for ring in range(first_ring, end_ring):
                start, stop = ring_offsets[ring], ring_offsets[ring + 1]
                at = _put_uint32(out, at, stop - start)
                for i in range(16 * start, 16 * stop):
                    out[at] = point_bytes[i]
                    at += 1
