"""Kernels that unite faces into blocks, and part blocks by the directions of their faces."""

import numpy as np
from numpy.typing import NDArray

from geodeeplab.compiled import compiled
from geodeeplab.vector.square.kernels_fit import to_frame
from geodeeplab.vector.square.kernels_runs import BINS, add_angles, peak_angle
from geodeeplab.vector.trace.kernels_sort import find, unite

Ints = NDArray[np.int64]

ALIKE = np.pi / 30.0
"""Faces that touch have their main directions in common if these differ by 6° at most."""


@compiled
def unite_faces(rows: Ints, faces: Ints, count: int, blocks: NDArray[np.int32]) -> None:
    """Unite the faces that share a line; give each (F,) the least of those with which it is united.

    Args:
        rows: (E,): line of each entry, below `count`; -1 for one that is not known.
        faces: (E,): its face.
        count: of lines.
        blocks: (F,): is filled.
    """
    first = np.full(count, -1, np.int64)
    for face in range(blocks.size):
        blocks[face] = face
    for k in range(rows.size):
        if rows[k] >= 0:
            if first[rows[k]] >= 0:
                unite(blocks, first[rows[k]], faces[k])
            else:
                first[rows[k]] = faces[k]
    for face in range(blocks.size):
        blocks[face] = find(blocks, face)


@compiled
def part_faces(
    points: NDArray[np.int32], kept: NDArray[np.uint8], offsets: Ints, matrices: NDArray[np.float64], lines: Ints,
    faces: Ints, parts: NDArray[np.int32]
) -> None:  # fmt: skip
    """Unite the faces that share a line and have about the same main direction; give each (F,) the least of those.

    Args:
        points: (V, 2) traced vertices.
        kept: (V,) 1 for those that simplification leaves.
        offsets: (A + 1,) where lines begin in them.
        matrices: (A, 2, 2) see `square_blocks`.
        lines: (E,) line of each entry.
        faces: (E,) its face.
        parts: (F,) is filled.
    """
    bins = np.zeros((parts.size, BINS))
    for k in range(lines.size):
        a, b = offsets[lines[k]], offsets[lines[k] + 1]
        local, xs, ys = np.empty((b - a, 2)), np.empty(b - a), np.empty(b - a)
        for q in range(b - a):
            local[q, 0], local[q, 1] = points[a + q, 0] - points[a, 0], points[a + q, 1] - points[a, 1]
        to_frame(local, matrices[lines[k]], 0.0, xs, ys)
        add_angles(xs, ys, kept[a:b], b - a, bins[faces[k]])
    first, angles = np.full(offsets.size, -1, np.int64), np.empty(parts.size)
    for face in range(parts.size):
        parts[face], angles[face] = face, peak_angle(bins[face])
    for k in range(lines.size):
        if first[lines[k]] >= 0:
            away = abs(angles[first[lines[k]]] - angles[faces[k]])
            if min(away, np.pi / 2.0 - away) <= ALIKE:
                unite(parts, first[lines[k]], faces[k])
        else:
            first[lines[k]] = faces[k]
    for face in range(parts.size):
        parts[face] = find(parts, face)
