"""Exact questions about lattice corners and the lines between them, compiled with numba.

Coordinates and orientations are int64 and never rounded: products stay below 2⁶³ for scenes of up to 10⁸ pixels a side.
"""

import numpy as np
from numpy.typing import NDArray

from geodeeplab.compiled import compiled

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Words = NDArray[np.uint64]

MOST = 1 << 62


@compiled
def row_bits(words: Words, row: int, first: int, last: int) -> int:
    """Count the bits of one row of `words` from column `first` to `last`, both included."""
    full = np.uint64(0xFFFFFFFFFFFFFFFF)
    total = 0
    for index in range(first >> 6, (last >> 6) + 1):
        word = words[row, index]
        if index == first >> 6:
            word &= full << np.uint64(first & 63)
        if index == last >> 6:
            word &= full >> np.uint64(63 - (last & 63))
        if word != np.uint64(0):
            word -= (word >> np.uint64(1)) & np.uint64(0x5555555555555555)
            word = (word & np.uint64(0x3333333333333333)) + ((word >> np.uint64(2)) & np.uint64(0x3333333333333333))
            word = (word + (word >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
            total += int((word * np.uint64(0x0101010101010101)) >> np.uint64(56))
    return total


@compiled
def floor_ratio(above: int, below: int) -> int:
    """Give floor(above / below) for below > 0, exactly: the division of floats is faster, its error is put right."""
    floor = int(np.floor(float(above) / float(below)))
    rest = above - floor * below
    if rest < 0:
        floor -= 1
    elif rest >= below:
        floor += 1
    return floor


@compiled
def triangle_bits(
    words: Words, first_row: int, scale: int, ax: int, ay: int, bx: int, by: int, cx: int, cy: int
) -> int:  # fmt: skip
    """Count the bits in the closed triangle a, b, c, whose coordinates are in 1/`scale` px; it may be a segment.

    Row by row: the three sides bound the columns, each bound rounded inwards.
    """
    total = 0
    top = -floor_ratio(-min(ay, by, cy), scale)
    bottom = floor_ratio(max(ay, by, cy), scale)
    for row in range(top, bottom + 1):
        y = row * scale
        first, last = MOST, -MOST
        x0, y0, x1, y1 = ax, ay, bx, by
        for side in range(3):
            if y0 > y1:
                x0, y0, x1, y1 = x1, y1, x0, y0
            if y0 <= y <= y1:
                if y0 == y1:
                    first = min(first, -floor_ratio(-min(x0, x1), scale))
                    last = max(last, floor_ratio(max(x0, x1), scale))
                else:
                    below = (y1 - y0) * scale
                    above = x0 * (y1 - y0) + (x1 - x0) * (y - y0)
                    floor = floor_ratio(above, below)
                    last = max(last, floor)
                    first = min(first, floor if floor * below == above else floor + 1)
            x0, y0, x1, y1 = (bx, by, cx, cy) if side == 0 else (cx, cy, ax, ay)
        if first <= last:
            total += row_bits(words, row - first_row, first, last)
    return total


@compiled
def triangle_own(
    xs: Ints, ys: Ints, first: int, last: int, scale: int, ax: int, ay: int, bx: int, by: int, cx: int, cy: int
) -> int:  # fmt: skip
    """Count the vertices from `first` to `last`, both included, in the closed triangle (in 1/`scale` px)."""
    turn = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
    if turn < 0:
        bx, by, cx, cy = cx, cy, bx, by
    total = 0
    for k in range(first, last + 1):
        x, y = xs[k] * scale, ys[k] * scale
        inside = (
            (bx - ax) * (y - ay) >= (by - ay) * (x - ax)
            and (cx - bx) * (y - by) >= (cy - by) * (x - bx)
            and (ax - cx) * (y - cy) >= (ay - cy) * (x - cx)
        )
        if inside and turn == 0:  # a segment: on its line, and within its box
            inside = min(ax, bx, cx) <= x <= max(ax, bx, cx) and min(ay, by, cy) <= y <= max(ay, by, cy)
        if inside:
            total += 1
    return total


@compiled
def square_distance(forms: Floats, cell: int, x: int, y: int, ax: float, ay: float, bx: float, by: float) -> float:
    """Give the squared distance of the corner (x, y) from the segment a–b, in the metric where the corner lies.

    Args:
        forms: (R, C, 4): g₁₁, g₁₂, g₂₂ of MᵀM and its determinant, for each cell.
        cell: side of a cell in px.
        x: column of the corner.
        y: row of the corner.
        ax: the segment's first end, need not be a corner, as the next three.
        ay: its row.
        bx: the segment's last end.
        by: its row.
    """
    row, col = 0, 0
    if forms.shape[0] > 1:
        row = min(y // cell, forms.shape[0] - 1)
    if forms.shape[1] > 1:
        col = min(x // cell, forms.shape[1] - 1)
    g11, g12, g22 = forms[row, col, 0], forms[row, col, 1], forms[row, col, 2]
    dx, dy, ex, ey = x - ax, y - ay, bx - ax, by - ay
    length = g11 * ex * ex + 2.0 * g12 * ex * ey + g22 * ey * ey
    along = g11 * dx * ex + g12 * (dx * ey + dy * ex) + g22 * dy * ey
    if along >= length:
        dx, dy = x - bx, y - by
    elif along > 0.0:
        cross = ex * dy - ey * dx
        return float(forms[row, col, 3] * cross * cross / length)
    return float(g11 * dx * dx + 2.0 * g12 * dx * dy + g22 * dy * dy)


@compiled
def is_near(xs: Ints, ys: Ints, first: int, last: int, forms: Floats, cell: int, limit: float) -> bool:
    """Tell whether all vertices between `first` and `last` lie within √`limit` of the segment that joins these two."""
    ax, ay, bx, by = float(xs[first]), float(ys[first]), float(xs[last]), float(ys[last])
    for k in range(first + 1, last):
        if square_distance(forms, cell, xs[k], ys[k], ax, ay, bx, by) > limit:
            return False
    return True
