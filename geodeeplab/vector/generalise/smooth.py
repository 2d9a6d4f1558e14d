"""Corner cutting of one simplified line, compiled with numba.

Chaikin, G. M. (1974): An algorithm for high-speed curve generation. Computer Graphics and Image Processing 3, 346–349:
its limit is the quadratic Bézier curve that is drawn here.
"""

import numpy as np
from numpy.typing import NDArray

from geodeeplab.compiled import compiled
from geodeeplab.vector.generalise.bits import square_distance, triangle_bits, triangle_own

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Words = NDArray[np.uint64]

SCALE = 8
"""Corners are cut at multiples of 1/8 of a segment; their coordinates are exact in 1/8 px."""
FLAT = 0.1
"""px from its curve up to which a corner may stay, and a piece may be from the curve."""
SHARP = 6.0
"""A corner between two sides of so many tolerances is taken for one on the ground, and stays."""
MOST_POINTS = 5
"""Points that take the place of one vertex at most."""


@compiled
def cut_corner(ax: int, ay: int, vx: int, vy: int, bx: int, by: int, eighths: int, curve: Floats) -> int:
    """Write the curve that takes the place of v in a–v–b, and give how many points it has; 0 where v may stay.

    All coordinates are multiples of 1/128 px, so exact.

    Args:
        ax: column of the neighbour before.
        ay: row of the neighbour before.
        vx: column of the vertex.
        vy: row of the vertex.
        bx: column of the neighbour after.
        by: row of the neighbour after.
        eighths: the curve begins and ends so many eighths of the segments from v.
        curve: (MOST_POINTS, 2), written.
    """
    px, py = (ax - vx) * eighths / SCALE, (ay - vy) * eighths / SCALE
    qx, qy = (bx - vx) * eighths / SCALE, (by - vy) * eighths / SCALE
    bend = np.sqrt((px + qx) ** 2 + (py + qy) ** 2)
    if bend <= 4.0 * FLAT:  # the curve's middle is bend / 4 from v
        return 0
    pieces = 2 if bend <= 16.0 * FLAT else 4  # n chords are bend / 4n² from the curve
    for k in range(pieces + 1):
        t = k / pieces
        curve[k, 0] = vx + (1.0 - t) * (1.0 - t) * px + t * t * qx
        curve[k, 1] = vy + (1.0 - t) * (1.0 - t) * py + t * t * qy
    return pieces + 1


@compiled
def is_clear(xs: Ints, ys: Ints, a: int, v: int, b: int, eighths: int, words: Words, first_row: int) -> bool:
    """Tell whether the closed triangle that is cut off at v holds no corner but the line's own from `a` to `b`."""
    vx, vy = xs[v] * SCALE, ys[v] * SCALE
    px, py = vx + (xs[a] - xs[v]) * eighths, vy + (ys[a] - ys[v]) * eighths
    qx, qy = vx + (xs[b] - xs[v]) * eighths, vy + (ys[b] - ys[v]) * eighths
    found = triangle_bits(words, first_row, SCALE, px, py, vx, vy, qx, qy)
    return found == 1 or found == triangle_own(xs, ys, a, b, SCALE, px, py, vx, vy, qx, qy)


@compiled
def curve_is_near(
    xs: Ints, ys: Ints, a: int, v: int, b: int, curve: Floats, points: int, forms: Floats, cell: int, limit: float
) -> bool:  # fmt: skip
    """Tell whether the curve at v is within √`limit` of every original vertex that was near what it cuts away.

    Those are the vertices from `a` to `b` that are nearer to the part cut off than to the rest of a–v–b. The vertices
    near the other end of each segment are the concern of the corner there.
    """
    for k in range(a + 1, b):
        side, cut = (a, 0) if k < v else (b, points - 1)
        away, gone = -1.0, 0.0
        if k != v:
            away = square_distance(
                forms, cell, xs[k], ys[k], float(xs[side]), float(ys[side]), curve[cut, 0], curve[cut, 1]
            )
            gone = square_distance(forms, cell, xs[k], ys[k], curve[cut, 0], curve[cut, 1], float(xs[v]), float(ys[v]))
        if k != v and away <= gone:
            continue
        is_far, piece = True, 0
        while is_far and piece < points - 1:
            away = square_distance(
                forms, cell, xs[k], ys[k], curve[piece, 0], curve[piece, 1], curve[piece + 1, 0], curve[piece + 1, 1]
            )
            is_far = away > limit
            piece += 1
        if is_far:
            return False
    return True


@compiled
def add_point(out: Floats, size: int, start: int, x: float, y: float) -> int:
    """Append a point to the line that begins at `start`, unless it is there already; give the new size."""
    if size > start and out[size - 1, 0] == x and out[size - 1, 1] == y:
        return size
    out[size, 0], out[size, 1] = x, y
    return size + 1


@compiled
def is_sharp(
    xs: Ints, ys: Ints, a: int, v: int, b: int, forms: Floats, cell: int, limit: float
) -> bool:  # fmt: skip
    """Tell whether a–v–b is a corner on the ground: it turns by 60° or more, between sides of SHARP tolerances."""
    row, col = min(ys[v] // cell, forms.shape[0] - 1), min(xs[v] // cell, forms.shape[1] - 1)
    g11, g12, g22 = forms[row, col, 0], forms[row, col, 1], forms[row, col, 2]
    dx, dy, ex, ey = float(xs[a] - xs[v]), float(ys[a] - ys[v]), float(xs[b] - xs[v]), float(ys[b] - ys[v])
    before = g11 * dx * dx + 2.0 * g12 * dx * dy + g22 * dy * dy
    after = g11 * ex * ex + 2.0 * g12 * ex * ey + g22 * ey * ey
    along = g11 * dx * ex + g12 * (dx * ey + dy * ex) + g22 * dy * ey
    if min(before, after) < SHARP * SHARP * limit:
        return False
    return bool(along >= 0.0 or 4.0 * along * along <= before * after)


@compiled
def most_eighths(xs: Ints, ys: Ints, chain: Ints, count: int) -> int:
    """Give where cuts begin at most: the middle, but a quarter on a ring that would lose 1/16 of its area or more.

    A full cut takes a twelfth of the triangle a, v, b: a sixth of a square.
    """
    area, cut = 0, 0
    ox, oy = xs[chain[0]], ys[chain[0]]
    if ox != xs[chain[count - 1]] or oy != ys[chain[count - 1]]:
        return SCALE // 2
    for place in range(count - 1):
        a, v = chain[place - 1] if place > 0 else chain[count - 2], chain[place]
        b = chain[place + 1]
        area += (xs[v] - ox) * (ys[b] - oy) - (ys[v] - oy) * (xs[b] - ox)
        cut += (xs[v] - xs[a]) * (ys[b] - ys[v]) - (ys[v] - ys[a]) * (xs[b] - xs[v])
    return SCALE // 4 if abs(cut) * 4 >= abs(area) * 3 else SCALE // 2


@compiled
def smooth_corner(
    xs: Ints, ys: Ints, a: int, v: int, b: int, eighths: int, words: Words, first_row: int, forms: Floats, cell: int,
    limit: float, curve: Floats
) -> int:  # fmt: skip
    """Write the largest curve up to `eighths` that may take the place of v, and give how many points it has, or 0."""
    if is_sharp(xs, ys, a, v, b, forms, cell, limit):
        return 0
    while eighths > 0:
        points = cut_corner(xs[a], ys[a], xs[v], ys[v], xs[b], ys[b], eighths, curve)
        if points == 0 or (
            is_clear(xs, ys, a, v, b, eighths, words, first_row)
            and curve_is_near(xs, ys, a, v, b, curve, points, forms, cell, limit)
        ):
            return points
        eighths //= 2
    return 0


@compiled
def smooth_line(
    xs: Ints, ys: Ints, chain: Ints, count: int, is_free: bool, words: Words, first_row: int, forms: Floats, cell: int,
    limit: float, curve: Floats, ending: Floats, out: Floats, start: int
) -> int:  # fmt: skip
    """Write one line with its corners cut, and give where it ends in `out`.

    Args:
        xs: columns of the original vertices; if `is_free`, as far as chain[1] for a second time.
        ys: rows, likewise.
        chain: (at least count,) indices of the vertices that stay.
        count: how many stay.
        is_free: the line is a ring without a junction: it is cut where it starts, too.
        words: see `CornerBits`.
        first_row: see `CornerBits`.
        forms: (R, C, 4), see `square_distance`.
        cell: side of a cell of `forms` in px.
        limit: the tolerance squared.
        curve: (MOST_POINTS, 2), scratch.
        ending: (MOST_POINTS, 2), scratch.
        out: written from `start` on; room for MOST_POINTS a vertex.
        start: where the line begins in `out`.
    """
    last, eighths = chain[count - 1], most_eighths(xs, ys, chain, count)
    size, closing = start, 0
    for place in range(count - 1):
        a, v, b, points = last, chain[place], chain[place + 1], 0
        if place > 0:
            a = chain[place - 1]
        elif is_free:
            a, v, b = chain[count - 2], last, last + b
        if place > 0 or is_free:
            points = smooth_corner(xs, ys, a, v, b, eighths, words, first_row, forms, cell, limit, curve)
        if points == 0:
            size = add_point(out, size, start, float(xs[v]), float(ys[v]))
        elif place == 0:  # the ring begins where its first curve ends
            closing = points
            for k in range(points):
                ending[k, 0], ending[k, 1] = curve[k, 0], curve[k, 1]
            size = add_point(out, size, start, curve[points - 1, 0], curve[points - 1, 1])
        else:
            for k in range(points):
                size = add_point(out, size, start, curve[k, 0], curve[k, 1])
    for k in range(closing):
        size = add_point(out, size, start, ending[k, 0], ending[k, 1])
    if closing == 0:
        size = add_point(out, size, start, float(xs[last]), float(ys[last]))
    return size
