"""Room for parts of lines, and for the arcs that they become."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]
Ints = NDArray[np.int32]
Longs = NDArray[np.int64]


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
