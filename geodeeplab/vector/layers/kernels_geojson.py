"""Kernel that writes coordinates as JSON, compiled with numba; imported where it is used."""

import numpy as np
from numpy.typing import NDArray

from geodeeplab.compiled import compiled

Bytes = NDArray[np.uint8]
Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

DECIMALS = 9
"""Digits behind the point of a degree: a tenth of a millimetre, below any pixel, so lines stay apart."""
SCALE = 10**DECIMALS

MAX_NUMBER_BYTES = 11 + DECIMALS
"""Characters of a number below 1e9 in size: sign, nine digits, point, decimals."""

COMMA, MINUS, POINT, ZERO, OPEN, CLOSE = 44, 45, 46, 48, 91, 93
"""Characters in ASCII."""


@compiled
def _put_number(out: Bytes, at: int, value: float) -> int:
    """Write a number below 1e9 in size, rounded, without needless zeros; give the place after it."""
    scaled = np.int64(np.rint(value * SCALE))
    if scaled < 0:
        out[at] = MINUS
        at += 1
        scaled = -scaled
    whole, rest = scaled // SCALE, scaled % SCALE
    digits, above = 1, np.int64(10)
    while whole >= above:
        digits += 1
        above *= 10
    for i in range(digits):
        out[at + digits - 1 - i] = ZERO + whole % 10
        whole //= 10
    at += digits
    if rest == 0:
        return at
    out[at] = POINT
    count = DECIMALS
    while rest % 10 == 0:
        rest //= 10
        count -= 1
    for i in range(count):
        out[at + count - i] = ZERO + rest % 10
        rest //= 10
    return at + count + 1


@compiled
def format_coordinates(
    points: Floats, ring_offsets: Ints, polygon_offsets: Ints, feature_offsets: Ints, is_multi: bool, out: Bytes,
    ends: Ints
) -> None:  # fmt: skip
    """Write the value of `coordinates` of each feature, one after the other.

    Args:
        points: (P, 2) longitudes and latitudes.
        ring_offsets: (R + 1,) in points.
        polygon_offsets: (G + 1,) in rings.
        feature_offsets: (N + 1,) in polygons; steps of one for polygons.
        is_multi: write multipolygons, also where they have one part.
        out: long enough, written: `text_bytes` gives how long.
        ends: (N,) where each feature ends in `out`, written.
    """
    at = 0
    for feature in range(ends.size):
        if is_multi:
            out[at] = OPEN
            at += 1
        for polygon in range(feature_offsets[feature], feature_offsets[feature + 1]):
            out[at] = OPEN
            at += 1
            for ring in range(polygon_offsets[polygon], polygon_offsets[polygon + 1]):
                out[at] = OPEN
                at += 1
                for point in range(ring_offsets[ring], ring_offsets[ring + 1]):
                    out[at] = OPEN
                    at = _put_number(out, at + 1, points[point, 0])
                    out[at] = COMMA
                    at = _put_number(out, at + 1, points[point, 1])
                    out[at] = CLOSE
                    out[at + 1] = COMMA
                    at += 2
                out[at - 1] = CLOSE  # in place of the last comma
                out[at] = COMMA
                at += 1
            out[at - 1] = CLOSE
            out[at] = COMMA
            at += 1
        if is_multi:
            out[at - 1] = CLOSE
        else:
            at -= 1  # no comma after the only polygon
        ends[feature] = at


def text_bytes(*, points: int, rings: int, polygons: int, features: int) -> int:
    """Give how long the text of `format_coordinates` is at most: brackets and a comma around everything."""
    return (2 * MAX_NUMBER_BYTES + 4) * points + 3 * (rings + polygons + features)
