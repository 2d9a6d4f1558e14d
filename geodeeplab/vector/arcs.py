"""Arcs: the boundary between two components, each traced once."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True)
class Arcs:
    """A arcs with V vertices in all, in flat arrays.

    An arc runs from junction to junction (a lattice corner where three or four boundary edges meet), or is closed: then
    it starts and ends at its top-left vertex, the first column of the first row.
    """

    points: NDArray[np.int32]
    """(V, 2): column and row of pixel corners, end points included; a closed arc ends with its first point."""
    offsets: NDArray[np.int64]
    """(A + 1,): where arcs begin and end in `points`."""
    left: NDArray[np.int32]
    """(A,): component on the left, walking from first to last point with rows downwards; -1 for nodata and outside."""
    right: NDArray[np.int32]
    """(A,): likewise on the right."""


@dataclass(frozen=True, kw_only=True)
class CornerBits:
    """One bit for each lattice corner: whether an arc has a vertex there, or its end."""

    words: NDArray[np.uint64]
    """(rows, words): bit `col & 63` of `words[row - first_row, col >> 6]`."""
    first_row: int
    """Lattice row of the first row of `words`."""
