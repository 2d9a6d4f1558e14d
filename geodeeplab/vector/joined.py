"""What joining a band of blocks completes."""

from collections.abc import Sequence
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
    confidence: Longs
    """(C, 3): sum, pixels that have one, minimum."""
    heads: Longs
    """(C,): the list of arcs, see `ArcJoiner.next_of`."""
    stop: int
    """Lattice row up to which all was known when they closed."""


def as_one(parts: Sequence[tuple[NewArcs, ClosedFeatures]]) -> tuple[NewArcs, ClosedFeatures]:
    """Put together what bands one below the other completed, as if the last had completed it all."""
    if len(parts) == 1:
        return parts[0]
    arcs, closed = [one for one, _ in parts], [one for _, one in parts]
    return (
        NewArcs(
            ids=np.concatenate([one.ids for one in arcs]),
            points=np.concatenate([one.points for one in arcs]),
            offsets=_stacked([one.offsets for one in arcs]),
            sides=np.concatenate([one.sides for one in arcs]),
            closed=np.concatenate([one.closed for one in arcs]),
            directions=np.concatenate([one.directions for one in arcs]),
            stop=arcs[-1].stop,
        ),
        ClosedFeatures(
            offsets=_stacked([one.offsets for one in closed]),
            class_ids=np.concatenate([one.class_ids for one in closed]),
            first=np.concatenate([one.first for one in closed]),
            confidence=np.concatenate([one.confidence for one in closed]),
            heads=np.concatenate([one.heads for one in closed]),
            stop=closed[-1].stop,
        ),
    )


def _stacked(offsets: Sequence[Longs]) -> Longs:
    """Give the offsets of lists one behind the other."""
    sizes = np.concatenate([np.diff(one) for one in offsets])
    return np.concatenate((np.zeros(1, np.int64), np.cumsum(sizes)))
