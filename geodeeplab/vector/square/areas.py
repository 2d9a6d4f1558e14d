"""How new lines change the areas of faces, in integers: the outcome does not depend on the order of lines."""

import numpy as np
from numpy.typing import NDArray

from geodeeplab.vector.square.table import Lines

MOST_CHANGE = 0.01
"""The area of a face of which any line is new differs by no more than this share from its pixels'."""

Longs = NDArray[np.int64]
Floats = NDArray[np.float64]


def twice_areas(lines: Lines) -> Longs:
    """Give twice the area (A,) beside each line, modulo 2⁶⁴; around a face these add up to the area of it."""
    points = lines.points.astype(np.int64)
    sums = np.zeros(len(points) + 1, np.int64)
    np.cumsum(points[:-1, 0] * points[1:, 1] - points[1:, 0] * points[:-1, 1], out=sums[1 : max(len(points), 1)])
    first = lines.offsets[:-1]
    found: Longs = sums[np.maximum(lines.offsets[1:] - 1, first)] - sums[first]
    return found


def face_rooms(faces: Longs, traced: Lines, simple: Lines, subpixels: int) -> Floats:
    """Give between which bounds the changes of a face's lines may add up.

    Args:
        faces: (A, 2) on the left and right of lines; -1 for those not in question. All lines of a face are given.
        traced: in px.
        simple: generalised, in subpixels.
        subpixels: in a px.

    Returns:
        (A, 2, 2): least and most of twice the change for the faces on both sides, in square subpixels.
    """
    areas, unit = twice_areas(traced), subpixels * subpixels
    names, local = np.unique(faces, return_inverse=True)
    local = local.reshape(-1, 2)
    whole = MOST_CHANGE * float(unit) * np.abs(_sums(areas, local, len(names)).astype(np.float64))
    begun = _sums(twice_areas(simple) - areas * unit, local, len(names)).astype(np.float64)
    rooms = np.stack((-whole - begun, whole - begun), axis=1)
    rooms[names < 0] = -np.inf, np.inf
    found: Floats = rooms[local]
    return found


def lines_with_room(
    faces: Longs, changes: Longs, rooms: Floats, units: Longs, may: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Tell which lines (A,) take their new form: all that may, but those of faces whose area would change too much.

    Where a line of a face may not, or is shared with a face that reverts, the sum is another one; so this is repeated
    until all areas are right. Lines of one unit revert together.

    Args:
        faces: (A, 2) on the left and right.
        changes: (A,) twice the area from the old to the new form, in square subpixels.
        rooms: (A, 2, 2) see `face_rooms`.
        units: (A,).
        may: (A,).
    """
    names, local = np.unique(faces, return_inverse=True)
    local = local.reshape(-1, 2)
    least, most = np.empty(len(names)), np.empty(len(names))
    least[local], most[local] = rooms[..., 0], rooms[..., 1]
    taken = may.copy()
    while True:
        sums = _sums(np.where(taken, changes, 0), local, len(names))
        out = taken & ((sums < least) | (sums > most))[local].any(axis=1)
        if not out.any():
            return taken
        taken &= ~np.isin(units, units[out])


def _sums(values: Longs, faces: Longs, count: int) -> Longs:
    """Add up what lines (A,) give the faces on their left, less what they give those on their right."""
    sums = np.zeros(count, np.int64)
    np.add.at(sums, faces[:, 0], values)
    np.subtract.at(sums, faces[:, 1], values)
    return sums
