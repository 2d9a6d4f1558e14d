"""Kernels that tell whether a whole segment, not its ends alone, is near a line."""

import numpy as np
from numpy.typing import NDArray

from geodeeplab.compiled import compiled

Floats = NDArray[np.float64]

EXACT = 1e-9
"""Shares of a segment's length that are less are none."""


@compiled
def near_span(
    px: float, py: float, qx: float, qy: float, ax: float, ay: float, bx: float, by: float, limit: float
) -> tuple[float, float]:
    """Give from where to where the segment p–q, as shares of its length, is within √limit of a–b; nowhere if reversed.

    What is near a–b is convex: two discs, and the rectangle between them.
    """
    dx, dy, ex, ey = qx - px, qy - py, bx - ax, by - ay
    fx, fy = px - ax, py - ay
    length, size = dx * dx + dy * dy, ex * ex + ey * ey
    low, high = np.inf, -np.inf
    for end in range(2):
        gx, gy = (fx, fy) if end == 0 else (px - bx, py - by)
        half = gx * dx + gy * dy
        under = half * half - length * (gx * gx + gy * gy - limit)
        if length > 0.0 and under >= 0.0:
            low, high = min(low, (-half - np.sqrt(under)) / length), max(high, (-half + np.sqrt(under)) / length)
    start, stop = -np.inf, np.inf
    for way in range(2):  # along a–b, across it
        at, step = (fx * ex + fy * ey, dx * ex + dy * ey) if way == 0 else (fx * ey - fy * ex, dx * ey - dy * ex)
        least, most = (0.0, size) if way == 0 else (-np.sqrt(limit * size), np.sqrt(limit * size))
        if step != 0.0:
            start = max(start, min((least - at) / step, (most - at) / step))
            stop = min(stop, max((least - at) / step, (most - at) / step))
        elif at < least or at > most:
            stop = -np.inf
    if size > 0.0 and start <= stop:
        low, high = min(low, start), max(high, stop)
    return max(low, 0.0), min(high, 1.0)


@compiled
def reach(
    px: float, py: float, qx: float, qy: float, xs: Floats, ys: Floats, first: int, last: int, limit: float,
    done: float
) -> float:  # fmt: skip
    """Give up to which share of its length p–q is near a line from vertex `first` to `last`, or was, up to `done`."""
    for k in range(first, last):
        if done >= 1.0 - EXACT:
            break
        low, high = near_span(px, py, qx, qy, xs[k], ys[k], xs[k + 1], ys[k + 1], limit)
        if low <= done + EXACT:
            done = max(done, high)
    return done
