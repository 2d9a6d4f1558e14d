"""Kernels that find arcs which could become the same straight line."""

import numpy as np
import numpy.typing as npt

from geodeeplab.compiled import compiled
from geodeeplab.vector.kernels_sort import first_at_least

Bytes = npt.NDArray[np.uint8]
Ints = npt.NDArray[np.int32]
Longs = npt.NDArray[np.int64]


@compiled
def fill_keys(points: Ints, offsets: Longs, beyond: int, keys: Longs) -> None:
    """Give both ends of each arc as numbers in raster order, (A, 2); -1 for those that are never straightened.

    That is an arc whose ends are the same corner, and one that leads `beyond` the box around its ends.
    """
    for k in range(offsets.size - 1):
        a, b = offsets[k], offsets[k + 1]
        x0, y0, x1, y1 = points[a, 0], points[a, 1], points[b - 1, 0], points[b - 1, 1]
        left, right, top, bottom = (
            min(x0, x1) - beyond,
            max(x0, x1) + beyond,
            min(y0, y1) - beyond,
            max(y0, y1) + beyond,
        )
        near = x0 != x1 or y0 != y1
        for q in range(a + 1, b - 1):
            x, y = points[q, 0], points[q, 1]
            if x < left or x > right or y < top or y > bottom:
                near = False
                break
        keys[k, 0] = (np.int64(y0) << 32) + x0 if near else -1
        keys[k, 1] = (np.int64(y1) << 32) + x1 if near else -1


@compiled
def mark_twins(keys: Longs, every: Longs, flags: Bytes, flag: int) -> None:
    """Flag the arcs whose ends are those of another.

    Args:
        keys: (A, 2) of the arcs.
        every: (N, 2) of all that come into question, these included, in the order of the first column.
        flags: (A,).
        flag: is added to those.
    """
    firsts = np.empty(every.shape[0], np.int64)
    for k in range(firsts.size):
        firsts[k] = every[k, 0]
    for k in range(flags.size):
        if keys[k, 0] < 0:
            continue
        at, same = first_at_least(firsts, keys[k, 0]), 0
        while at < firsts.size and firsts[at] == keys[k, 0]:
            same += every[at, 1] == keys[k, 1]
            at += 1
        if same > 1:
            flags[k] |= flag
