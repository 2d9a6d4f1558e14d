"""Kernels that compare two maps pixel by pixel; imported where they are used, as numba is slow to come."""

import numpy as np
from numpy.typing import NDArray

from geodeeplab.compiled import compiled

UNKNOWN = 255
SHIFTED = 1
"""Mark of a pixel whose change a shifted edge explains."""


@compiled
def mark_shifted(
    before: NDArray[np.uint8],
    after: NDArray[np.uint8],
    rows: NDArray[np.int64],
    cols: NDArray[np.int64],
    first: int,
    stop: int,
    marks: NDArray[np.uint8],
) -> None:
    """Mark the pixels whose change a shifted edge explains.

    Such a pixel went from a to b, and before there was some b, and afterwards some a, within reach.

    Args:
        before: (H, W) class indices, `UNKNOWN` without.
        after: (H, W) class indices of the same pixels.
        rows: (m,) offsets of the pixels within reach.
        cols: (m,) the same, of columns.
        first: row to begin with.
        stop: row before which to end.
        marks: (stop − first, W), written.
    """
    height, width = before.shape
    for row in range(first, stop):
        for col in range(width):
            a, b = before[row, col], after[row, col]
            marks[row - first, col] = 0
            if a == b or a == UNKNOWN or b == UNKNOWN:
                continue
            was, stayed = False, False
            for k in range(len(rows)):
                i, j = row + rows[k], col + cols[k]
                if 0 <= i < height and 0 <= j < width:
                    was = was or before[i, j] == b
                    stayed = stayed or after[i, j] == a
                    if was and stayed:
                        marks[row - first, col] = SHIFTED
                        break
