"""Arcs: the boundary between two components, each traced once."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]
Ints = NDArray[np.int32]
Longs = NDArray[np.int64]


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


@dataclass(kw_only=True)
class Pieces:
    """Parts of lines, see `kernels_join`."""

    points: Ints = field(default_factory=lambda: np.empty((0, 2), np.int32))
    offsets: Longs = field(default_factory=lambda: np.zeros(1, np.int64))
    link: Ints = field(default_factory=lambda: np.empty(0, np.int32))
    far: Ints = field(default_factory=lambda: np.empty(0, np.int32))
    turns: Bytes = field(default_factory=lambda: np.empty(0, np.uint8))
    sides: Ints = field(default_factory=lambda: np.empty((0, 2), np.int32))
    count: int = 0

    def make_room(self, points: int, pieces: int) -> None:
        """Make room for so many more."""
        total, used = self.count + pieces, int(self.offsets[self.count])
        self.points = grown(self.points, used, used + points)
        self.offsets = grown(self.offsets, self.count + 1, total + 1)
        self.sides = grown(self.sides, self.count, total)
        self.link, self.far = grown(self.link, 2 * self.count, 2 * total), grown(self.far, 2 * self.count, 2 * total)
        self.turns = grown(self.turns, 2 * self.count, 2 * total)

    def arrays(self) -> tuple[Ints, Longs, Ints, Ints, Bytes, Ints]:
        """Give the arrays in the order in which kernels take them."""
        return self.points, self.offsets, self.link, self.far, self.turns, self.sides


class ArcRoom:
    """Arcs of a band, with room for more."""

    def __init__(self, *, points: int, arcs: int) -> None:
        self.points, self.offsets = np.empty((points, 2), np.int32), np.zeros(arcs + 1, np.int64)
        self.sides, self.closed = np.empty((arcs, 2), np.int32), np.empty(arcs, np.uint8)
        self.count = 0

    def arrays(self) -> tuple[Ints, Longs, Ints, Bytes]:
        """Give the arrays in the order in which kernels take them."""
        return self.points, self.offsets, self.sides, self.closed


def grown(array: NDArray[Any], used: int, wanted: int) -> NDArray[Any]:
    """Give an array with room for `wanted` rows, of which the first `used` are those of `array`."""
    if len(array) >= wanted:
        return array
    grown = np.empty((max(wanted, used + used // 2), *array.shape[1:]), array.dtype)
    grown[:used] = array[:used]
    return grown


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
    class_ids: Ints
    """(A, 2): labels on the left and on the right, where there are some."""
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
            class_ids=np.concatenate([one.class_ids for one in arcs]),
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
