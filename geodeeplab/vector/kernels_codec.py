"""Kernels that keep arcs as few bytes: differences between points, as integers of variable length.

An arc is its number of points, the directions of its first and last edge (two bits each), its first point, and the
steps from point to point. Each number is a varint, seven bits a byte, low ones first; signed ones have their sign in
bit 0.
"""

import numpy as np
import numpy.typing as npt

from geodeeplab.compiled import compiled

Bytes = npt.NDArray[np.uint8]
Ints = npt.NDArray[np.int32]
Longs = npt.NDArray[np.int64]

MOST_BYTES_HEAD = 6
MOST_BYTES_POINT = 10


@compiled
def encode_arcs(points: Ints, offsets: Longs, directions: Bytes, out: Bytes, starts: Longs) -> int:
    """Write arcs one after the other; give the number of bytes.

    Args:
        points: (V, 2).
        offsets: (A + 1,).
        directions: (A, 2).
        out: room for `MOST_BYTES_HEAD` an arc and `MOST_BYTES_POINT` a point.
        starts: (A,): is filled with the place of each arc.
    """
    n = 0
    for k in range(offsets.size - 1):
        starts[k] = n
        a, b = offsets[k], offsets[k + 1]
        n = _put(out, n, b - a)
        out[n] = directions[k, 0] | (directions[k, 1] << 2)
        n += 1
        x, y = np.int64(0), np.int64(0)
        for q in range(a, b):
            dx, dy = points[q, 0] - x, points[q, 1] - y
            n = _put(out, n, (dx << 1) ^ (dx >> 63))
            n = _put(out, n, (dy << 1) ^ (dy >> 63))
            x, y = np.int64(points[q, 0]), np.int64(points[q, 1])
    return n


@compiled
def count_points(data: Bytes, starts: Longs, which: Ints, offsets: Longs) -> None:
    """Read how many points arcs have: `offsets[which[k] + 1]` of the arc at `starts[k]`."""
    for k in range(starts.size):
        value, _ = _get(data, starts[k])
        offsets[which[k] + 1] = value


@compiled
def decode_arcs(data: Bytes, starts: Longs, which: Ints, offsets: Longs, points: Ints, directions: Bytes) -> None:
    """Read arcs: that at `starts[k]` to the place of `which[k]` in `points`, as `offsets` say."""
    for k in range(starts.size):
        arc = which[k]
        count, at = _get(data, starts[k])
        directions[arc, 0], directions[arc, 1] = data[at] & 3, data[at] >> 2
        at += 1
        x, y = np.int64(0), np.int64(0)
        first = offsets[arc]
        for q in range(first, first + count):
            value, at = _get(data, at)
            x += (value >> 1) ^ -(value & 1)
            value, at = _get(data, at)
            y += (value >> 1) ^ -(value & 1)
            points[q, 0], points[q, 1] = x, y


@compiled
def _put(out: Bytes, at: int, value: int) -> int:
    while value >= 128:
        out[at] = (value & 127) | 128
        value >>= 7
        at += 1
    out[at] = value
    return at + 1


@compiled
def _get(data: Bytes, at: int) -> tuple[int, int]:
    value, shift = np.int64(0), np.int64(0)
    while data[at] >= 128:
        value |= np.int64(data[at] & 127) << shift
        shift += 7
        at += 1
    return int(value | (np.int64(data[at]) << shift)), at + 1
