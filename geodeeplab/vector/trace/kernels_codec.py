"""Kernels that keep arcs, and other numbers, as few bytes: differences, as integers of variable length.

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
MOST_BYTES_NUMBER = 10


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
def _get_arc(data: Bytes, at: int, arc: int, first: int, points: Ints, directions: Bytes) -> tuple[int, int]:
    """Read the arc at a place, its points from `first` on; give how many there are, and the place after it."""
    count, at = _get(data, at)
    directions[arc, 0], directions[arc, 1] = data[at] & 3, data[at] >> 2
    at += 1
    x, y = np.int64(0), np.int64(0)
    for q in range(first, first + count):
        value, at = _get(data, at)
        x += (value >> 1) ^ -(value & 1)
        value, at = _get(data, at)
        y += (value >> 1) ^ -(value & 1)
        points[q, 0], points[q, 1] = x, y
    return count, at


@compiled
def decode_arcs(data: Bytes, starts: Longs, which: Ints, offsets: Longs, points: Ints, directions: Bytes) -> None:
    """Read arcs: that at `starts[k]` to the place of `which[k]` in `points`, as `offsets` say."""
    for k in range(starts.size):
        arc = which[k]
        _get_arc(data, starts[k], arc, offsets[arc], points, directions)


@compiled
def read_arcs(data: Bytes, at: int, points: Ints, offsets: Longs, directions: Bytes) -> int:
    """Read as many arcs as there is room for, which lie one after the other; give the place after them.

    Args:
        data: what `encode_arcs` wrote.
        at: place of the first arc.
        points: (V, 2): is filled.
        offsets: (A + 1,): is filled.
        directions: (A, 2): is filled.
    """
    offsets[0] = 0
    for arc in range(directions.shape[0]):
        count, at = _get_arc(data, at, arc, offsets[arc], points, directions)
        offsets[arc + 1] = offsets[arc] + count
    return at


@compiled
def encode_numbers(numbers: Longs, out: Bytes) -> int:
    """Write numbers as differences from one to the next, `MOST_BYTES_NUMBER` each at most; give the bytes."""
    n, before = 0, np.int64(0)
    for k in range(numbers.size):
        step = numbers[k] - before
        n = _put(out, n, (step << 1) ^ (step >> 63))
        before = numbers[k]
    return n


@compiled
def read_numbers(data: Bytes, at: int, numbers: Longs) -> int:
    """Read as many numbers as there is room for; give the place after them."""
    value = np.int64(0)
    for k in range(numbers.size):
        step, at = _get(data, at)
        value += (step >> 1) ^ -(step & 1)
        numbers[k] = value
    return at


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
