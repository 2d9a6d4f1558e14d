"""Lines that may still matter for those that are to be squared, in flat arrays."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int32]
Longs = NDArray[np.int64]

OTHER, WAITING, FITTED, DECIDED = 0, 1, 2, 3
"""A line of no square face; one whose faces are not complete; one that has its new form; one that is settled."""


@dataclass(frozen=True, kw_only=True)
class Lines:
    """The points of A lines."""

    points: Ints
    """(V, 2)."""
    offsets: Longs
    """(A + 1,)."""

    def take(self, rows: Longs) -> "Lines":
        """Give some of the lines, in the order of `rows`."""
        places, offsets = places_of(self.offsets, rows)
        return Lines(points=self.points[places], offsets=offsets)


def places_of(offsets: Longs, rows: Longs) -> tuple[Longs, Longs]:
    """Give where the points of some lines are, one line behind the other, and where each begins among these."""
    sizes = np.diff(offsets)[rows]
    begins = np.concatenate((np.zeros(1, np.int64), np.cumsum(sizes)))
    return np.repeat(offsets[rows] - begins[:-1], sizes) + np.arange(begins[-1]), begins


def joined(parts: Sequence[Lines]) -> Lines:
    """Give lines one behind the other."""
    sizes = np.concatenate([np.diff(part.offsets) for part in parts])
    return Lines(
        points=np.concatenate([part.points for part in parts]),
        offsets=np.concatenate((np.zeros(1, np.int64), np.cumsum(sizes))),
    )


def no_lines(count: int) -> Lines:
    """Give lines without points."""
    return Lines(points=np.empty((0, 2), np.int32), offsets=np.zeros(count + 1, np.int64))


@dataclass(frozen=True, kw_only=True)
class LineTable:
    """What is known of A lines; `states` is written to."""

    ids: Ints
    """(A,): the arcs; those of OTHER and DECIDED lines may be others by now."""
    states: NDArray[np.uint8]
    """(A,)."""
    wanted: NDArray[np.uint8]
    """(A,): how many square faces are on the line's sides."""
    closed: NDArray[np.uint8]
    """(A,): see `NewArcs`."""
    directions: NDArray[np.uint8]
    """(A, 2): see `NewArcs`."""
    blocks: Longs
    """(A,): number of the block, from FITTED on; -1 before."""
    units: Longs
    """(A,): lines of one number, from 0, take their new form together; others have one of their own, below 0."""
    faces: Longs
    """(A, 2): square faces on the left and right of a new form; -1 for none."""
    changes: Longs
    """(A,): twice the area from the old form to the new one, in square subpixels."""
    rooms: NDArray[np.float64]
    """(A, 2, 2): see `areas.face_rooms`."""
    traced: Lines
    """As traced, in px; without points for lines of no square face."""
    simple: Lines
    """As generalised, in subpixels."""
    new: Lines
    """Squared, in subpixels; without points where a line is not."""

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, rows: Longs) -> "LineTable":
        """Give some of the lines."""
        columns: dict[str, Any] = {item.name: getattr(self, item.name) for item in fields(self)}
        taken: dict[str, Any] = {
            name: value.take(rows) if isinstance(value, Lines) else value[rows] for name, value in columns.items()
        }
        return LineTable(**taken)

    def extended(self, other: "LineTable") -> "LineTable":
        """Give the lines of both."""
        columns: dict[str, Any] = {}
        for item in fields(self):
            one, two = getattr(self, item.name), getattr(other, item.name)
            columns[item.name] = joined([one, two]) if isinstance(one, Lines) else np.concatenate((one, two))
        return LineTable(**columns)


def empty_table() -> LineTable:
    """Give a table of no lines."""
    return LineTable(
        ids=np.empty(0, np.int32),
        states=np.empty(0, np.uint8),
        wanted=np.empty(0, np.uint8),
        closed=np.empty(0, np.uint8),
        directions=np.empty((0, 2), np.uint8),
        blocks=np.empty(0, np.int64),
        units=np.empty(0, np.int64),
        faces=np.empty((0, 2), np.int64),
        changes=np.empty(0, np.int64),
        rooms=np.empty((0, 2, 2)),
        traced=no_lines(0),
        simple=no_lines(0),
        new=no_lines(0),
    )
