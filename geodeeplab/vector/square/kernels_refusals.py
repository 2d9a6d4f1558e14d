"""Kernels that say what of a block is not squared, and which of its nodes stay where they are."""

import numpy as np
from numpy.typing import NDArray

from geodeeplab.compiled import compiled
from geodeeplab.vector.square.areas import MOST_CHANGE
from geodeeplab.vector.square.kernels_near import twice_area
from geodeeplab.vector.square.kernels_runs import aligned_lengths

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bytes = NDArray[np.uint8]

LEAST_SHARE = 0.6
"""So much of a face's outline has to run near its main directions."""
TURN = 2 * np.pi
LEAST_TURN = 0.05
"""Least angle between new edges that end in the same node."""
SHORT = 16
"""Lines of more px, along pixels, may shift what area they will."""
MOST_SHIFT = 1 / 8
"""A short line takes no more px² from one side for each px of its own. Around p pixels there are 4 p px at most, so
what lies between squared lines that are short keeps half of its area, of whatever class it is."""


@compiled
def fix_nodes(nodes: Ints, movable: Bytes, pinned: Bytes, refused: Bytes, fixed: Bytes) -> None:
    """Mark the nodes (N,) that stay: those that are not the block's alone, and the ends of refused arcs."""
    for node in range(len(fixed)):
        fixed[node] = 1 - movable[node] | pinned[node]
    for arc in range(len(nodes)):
        for end in range(2):
            if refused[arc] and nodes[arc, end] >= 0:
                fixed[nodes[arc, end]] = 1


@compiled
def refuse_round(xs: Floats, ys: Floats, kept: Bytes, offsets: Ints, faces: Ints, n_faces: int, refused: Bytes) -> None:
    """Refuse the arcs of which no face is angular."""
    near, total = np.zeros(n_faces), np.zeros(n_faces)
    for arc in range(len(faces)):
        a, b = offsets[arc], offsets[arc + 1]
        aligned, length = aligned_lengths(xs[a:b], ys[a:b], kept[a:b], b - a)
        for side in range(2):
            if faces[arc, side] >= 0:
                near[faces[arc, side]] += aligned
                total[faces[arc, side]] += length
    for arc in range(len(faces)):
        angular = False
        for side in range(2):
            face = faces[arc, side]
            angular = angular or (face >= 0 and near[face] >= LEAST_SHARE * total[face])
        if not angular:
            refused[arc] = 1


@compiled
def refuse_changed(
    xs: Floats, ys: Floats, offsets: Ints, corners: Floats, corner_offsets: Ints, faces: Ints, n_faces: int,
    refused: Bytes
) -> bool:  # fmt: skip
    """Refuse the arcs of faces whose area changes too much, and more than their neighbours'; tell if there are any.

    Of the neighbours, the area may be right without these arcs.
    """
    areas, changes = np.zeros(n_faces), np.zeros(n_faces)
    cx, cy = corners[:, 0], corners[:, 1]
    for arc in range(len(faces)):
        traced = twice_area(xs, ys, offsets[arc], offsets[arc + 1])
        change = 0.0 if refused[arc] else twice_area(cx, cy, corner_offsets[arc], corner_offsets[arc + 1]) - traced
        for side in range(2):
            face, sign = faces[arc, side], 1.0 if side == 0 else -1.0
            if face >= 0 and faces[arc, 0] != faces[arc, 1]:
                areas[face] += sign * traced
                changes[face] += sign * change
    shares, beside = np.zeros(n_faces), np.zeros(n_faces)
    for arc in range(len(faces)):
        for side in range(2):
            face = faces[arc, side]
            if face >= 0 and not refused[arc] and areas[face] != 0.0:
                shares[face] = abs(changes[face]) / abs(areas[face])
    for arc in range(len(faces)):
        left, right = faces[arc, 0], faces[arc, 1]
        if left >= 0 and right >= 0:
            beside[left], beside[right] = max(beside[left], shares[right]), max(beside[right], shares[left])
    found = False
    for arc in range(len(faces)):
        for side in range(2):
            face = faces[arc, side]
            if face >= 0 and not refused[arc] and shares[face] > MOST_CHANGE and shares[face] >= beside[face]:
                refused[arc] = 1
                found = True
    return found


@compiled
def refuse_shifted(
    xs: Floats, ys: Floats, offsets: Ints, inverse: Floats, corners: Floats, corner_offsets: Ints, faces: Ints,
    refused: Bytes
) -> bool:  # fmt: skip
    """Refuse the arcs beside other faces that take too much from one side; tell whether there are any.

    That is the area between both forms; from old nodes to new ones it is bounded by segments, which cancel out around
    a face.
    """
    found = False
    cx, cy = corners[:, 0], corners[:, 1]
    for arc in range(len(faces)):
        if refused[arc] or (faces[arc, 0] >= 0 and faces[arc, 1] >= 0):
            continue
        a, b, c, d = offsets[arc], offsets[arc + 1], corner_offsets[arc], corner_offsets[arc + 1]
        shift = twice_area(cx, cy, c, d) - twice_area(xs, ys, a, b)
        shift += xs[a] * cy[c] - cx[c] * ys[a] + cx[d - 1] * ys[b - 1] - xs[b - 1] * cy[d - 1]
        length = 0.0
        for k in range(a, b - 1):
            dx, dy = xs[k + 1] - xs[k], ys[k + 1] - ys[k]
            length += abs(inverse[0, 0] * dx + inverse[0, 1] * dy) + abs(inverse[1, 0] * dx + inverse[1, 1] * dy)
        if length <= SHORT and abs(shift) > 2.0 * MOST_SHIFT * length:
            refused[arc] = 1
            found = True
    return found


@compiled
def pin_turned(
    nodes: Ints, directions: Bytes, inverse: Floats, corners: Floats, corner_offsets: Ints, fixed: Bytes,
    pinned: Bytes
) -> bool:  # fmt: skip
    """Pin the nodes around which the new edges come in another order or too close; tell if there are any."""
    angles = np.full((len(fixed), 4), np.nan)
    for arc in range(len(nodes)):
        for end in range(2):
            node = nodes[arc, end]
            if node < 0 or fixed[node]:
                continue
            a = corner_offsets[arc] if end == 0 else corner_offsets[arc + 1] - 1
            b = a + 1 if end == 0 else a - 1
            dx, dy = corners[b, 0] - corners[a, 0], corners[b, 1] - corners[a, 1]
            code = directions[arc, 0] if end == 0 else (directions[arc, 1] + 2) % 4
            angles[node, code] = np.arctan2(
                inverse[1, 0] * dx + inverse[1, 1] * dy, inverse[0, 0] * dx + inverse[0, 1] * dy
            )
    found = False
    for node in range(len(fixed)):
        first, before, turned, least, count = 0.0, 0.0, 0.0, np.inf, 0
        for code in range(4):
            angle = angles[node, code]
            if np.isnan(angle):
                continue
            if count > 0:
                turn = (angle - before) % TURN
                turned, least = turned + turn, min(least, turn)
            else:
                first = angle
            before, count = angle, count + 1
        if count > 1:
            turn = (first - before) % TURN
            if turned + turn > 1.5 * TURN or min(least, turn) < LEAST_TURN:
                pinned[node] = 1
                found = True
    return found
