"""The kernel that unites faces into blocks."""

import numpy as np
from numpy.typing import NDArray

from geodeeplab.compiled import compiled
from geodeeplab.vector.trace.kernels_sort import find, unite

Ints = NDArray[np.int64]


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
