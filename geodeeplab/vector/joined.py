"""What joining a band of blocks completes."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]
Ints = NDArray[np.int32]
Longs = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class NewArcs:
    """The arcs that a band completed."""

    ids: Ints
    """(A,): as the lists of components name them."""
    points: Ints
    """(V, 2): corners (col, row)."""
    offsets: Longs
    """(A + 1,)."""
    sides: Ints
    """(A, 2): left and right; only whether it is -1 (nodata) matters."""
    closed: NDArray[np.bool_]
    """(A,): whether it goes around without a junction."""
    directions: Bytes
    """(A, 2): of the first and the last edge."""
    stop: int
    """Lattice row up to which all is known."""


@dataclass(frozen=True, kw_only=True)
class ClosedFeatures:
    """Components that are complete, F features of C components in all (one each but for connectivity 8)."""

    offsets: Longs
    """(F + 1,): where features begin among the components."""
    class_ids: Ints
    """(C,): label."""
    first: Longs
    """(C,): first pixel, row · 2³¹ + col."""
    pixels: Longs
    """(C,): how many."""
    confidence: Longs
    """(C, 3): sum, pixels that have one, minimum."""
    heads: Longs
    """(C,): the list of arcs, see `ArcJoiner.next_of`."""
    stop: int
    """Lattice row up to which all was known when they closed."""
