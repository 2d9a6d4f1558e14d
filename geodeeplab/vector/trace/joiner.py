"""Join traced blocks from top to bottom: complete arcs, and components that no longer touch the last row."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geodeeplab.vector.trace.arcs import ArcRoom, Bytes, ClosedFeatures, CornerBits, Ints, NewArcs, Pieces, grown
from geodeeplab.vector.trace.blocks import NO_WORDS, TracedBlock

MANY_POINTS = 1 << 20
"""Points of pieces that may be done with before the rest is gathered."""


_COLUMNS = {
    "class_of": np.int32,
    "first": np.int64,
    "confidence_sum": np.int64,
    "confidence_count": np.int64,
    "confidence_min": np.uint8,
    "head": np.int64,
    "tail": np.int64,
}
"""What is known of each open component, and its type. Lists are empty where they are -1."""


@dataclass(frozen=True, kw_only=True)
class _Side:
    """One side of a line between blocks, n pixels long."""

    components: Ints
    """(n,): components of the pixels."""
    ends: Ints
    """(n + 1,): the piece's end that reaches each corner from this side, -1 for none."""


@dataclass(frozen=True, kw_only=True)
class _Sides:
    """The left and the right side of a block."""

    first: _Side
    last: _Side


@dataclass(frozen=True, kw_only=True)
class _Seam:
    """A line between blocks."""

    along_row: bool
    """Whether it is a row of corners (`a` above, `b` below), else a column (`a` left, `b` right)."""
    line: int
    """That row or column."""
    start: int
    """The other coordinate of its first corner."""
    a: _Side
    b: _Side


class ArcJoiner:
    """Takes bands of blocks from the top of a scene; gives what they complete.

    Around the scene lies a pixel of nodata, so that no line is open at its edges.
    """

    def __init__(self, width: int, *, eight: bool = False, bits: CornerBits | None = None) -> None:
        """Take the width of the bands in pixels, the nodata around the scene included."""
        self._width, self._eight, self._bits = width, eight, bits
        self._pieces = Pieces()
        self._front = np.full(width, -1, np.int32)
        self._front_ends = np.full(width + 1, -1, np.int32)
        self._known = {name: np.empty(0, dtype) for name, dtype in _COLUMNS.items()}
        self._group = np.empty(0, np.int32)
        self._parent = np.empty(0, np.int32)
        self.next_of = np.empty(0, np.int64)
        """(2 · arcs,): the entry 2 · arc + side that follows in the list of a component, -1 at its end."""
        self.references = np.empty(0, np.uint8)
        """(arcs,): components that still want each arc."""
        self._free_arcs = np.empty(0, np.int32)
        self._next_gathering = MANY_POINTS

    def release(self, arcs: Ints) -> None:
        """Take back arcs that no one wants."""
        self._free_arcs = np.concatenate((self._free_arcs, arcs))

    def add_band(self, blocks: Sequence[TracedBlock]) -> tuple[NewArcs, ClosedFeatures]:
        """Join the blocks of a band, left to right, and the band to those above it."""
        from geodeeplab.vector.trace import kernels_frontier as fronts

        arcs = self._room_for_arcs(blocks)
        slots = self._number_slots(blocks)
        row, left_edge = blocks[0].first_row, blocks[0].first_col
        top_ends, bottom_ends, sides = self._take_lines(blocks, slots, arcs)
        for left, right, block in zip(sides[:-1], sides[1:], blocks[1:], strict=True):
            col = block.first_col
            seam = _Seam(along_row=False, line=col, start=row, a=left.last, b=right.first)
            top_ends[col - left_edge], bottom_ends[col - left_edge] = self._join(seam, arcs)
        top = np.concatenate([_shifted(block.top, slot) for block, slot in zip(blocks, slots, strict=True)])
        front = _Side(components=self._front, ends=self._front_ends)
        below = _Side(components=top, ends=top_ends)
        self._join(_Seam(along_row=True, line=row, start=left_edge, a=front, b=below), arcs)
        self._front = np.concatenate([_shifted(block.bottom, slot) for block, slot in zip(blocks, slots, strict=True)])
        self._front_ends = bottom_ends
        stop = row + blocks[0].shape[0]
        new = self._number_arcs(arcs, stop)
        closed = self._close(stop)
        self._gather_pieces()
        fronts.face_front(self._front_ends, self._front, self._pieces.sides)
        return new, closed

    def mark_open(self, cell: int, first_row: int, grid: Bytes) -> None:
        """Mark the cells of a grid that lines pass which are not complete; see the kernel."""
        from geodeeplab.vector.square.kernels_conflicts import mark_open

        pieces = self._pieces
        mark_open(self._front_ends, pieces.points, pieces.offsets, pieces.link, cell, first_row, grid)

    def _join(self, seam: "_Seam", arcs: ArcRoom) -> tuple[int, int]:
        """Join what lies on both sides of a line; give the ends of runs along it that are open at its two ends."""
        from geodeeplab.vector.trace import kernels_join as kernels

        known, pieces = self._known, self._pieces
        kernels.unite_along(
            seam.a.components, seam.b.components, self._eight, self._parent, self._group, known["class_of"],
            known["first"], known["confidence_sum"], known["confidence_count"], known["confidence_min"],
            known["head"], known["tail"], self.next_of,
        )  # fmt: skip
        counts = np.zeros(4, np.int64)
        kernels.join_line(
            seam.along_row, not seam.along_row, seam.line, seam.start, seam.a.components, seam.b.components,
            seam.a.ends, seam.b.ends, known["class_of"],
            NO_WORDS if self._bits is None else self._bits.words, 0 if self._bits is None else self._bits.first_row,
            *pieces.arrays(), pieces.count, *arcs.arrays(), arcs.count, counts,
        )  # fmt: skip
        pieces.count, arcs.count = int(counts[0]), int(counts[1])
        return int(counts[2]), int(counts[3])

    def _room_for_arcs(self, blocks: Sequence[TracedBlock]) -> ArcRoom:
        """Make room for the pieces and arcs of a band."""
        lines = sum(len(block.left) for block in blocks)
        runs = 2 * (self._width + 1) + sum(block.shape[0] + 1 for block in blocks)
        points = sum(len(block.points) for block in blocks) + 2 * runs
        self._pieces.make_room(points, lines + runs)
        open_points = int(self._pieces.offsets[self._pieces.count])
        return ArcRoom(points=points + open_points, arcs=lines + runs)

    def _number_slots(self, blocks: Sequence[TracedBlock]) -> list[int]:
        """Put the blocks' components behind the open ones; give where each block's begin."""
        slots = [len(self._group)]
        for block in blocks:
            slots.append(slots[-1] + len(block.components.first))
        parts = [block.components for block in blocks]
        new: dict[str, list[NDArray[Any]]] = {
            "class_of": [part.class_ids for part in parts],
            "first": [part.first for part in parts],
            "confidence_sum": [part.confidence_sum for part in parts],
            "confidence_count": [part.confidence_pixels for part in parts],
            "confidence_min": [part.confidence_min for part in parts],
        }
        for name, dtype in _COLUMNS.items():
            added = new[name] if name in new else [np.full(slots[-1] - slots[0], -1, dtype)]
            self._known[name] = np.concatenate((self._known[name], *added))
        groups = [part.groups + np.int32(slot) for part, slot in zip(parts, slots, strict=False)]
        self._parent, self._group = np.arange(slots[-1], dtype=np.int32), np.concatenate((self._group, *groups))
        return slots[:-1]

    def _take_lines(
        self, blocks: Sequence[TracedBlock], slots: Sequence[int], arcs: ArcRoom
    ) -> tuple[Ints, Ints, list["_Sides"]]:
        """Take the lines of all blocks; give the ends on the first and last row, and what is at the blocks' sides."""
        from geodeeplab.vector.trace import kernels_join as kernels

        top_ends, bottom_ends = np.full(self._width + 1, -1, np.int32), np.full(self._width + 1, -1, np.int32)
        sides, counts = [], np.zeros(2, np.int64)
        for block, slot in zip(blocks, slots, strict=True):
            (h, w), start = block.shape, block.first_col - blocks[0].first_col
            first, last = np.full(h + 1, -1, np.int32), np.full(h + 1, -1, np.int32)
            bounds = np.array([block.first_row, block.first_col, block.first_row + h, block.first_col + w])
            kernels.take_lines(
                block.points, block.offsets, block.left, block.right, block.kinds, slot, bounds,
                *self._pieces.arrays(), self._pieces.count, *arcs.arrays(), arcs.count,
                top_ends[start : start + w + 1], bottom_ends[start : start + w + 1], first, last, counts,
            )  # fmt: skip
            self._pieces.count, arcs.count = int(counts[0]), int(counts[1])
            sides.append(
                _Sides(
                    first=_Side(components=_shifted(block.left_side, slot), ends=first),
                    last=_Side(components=_shifted(block.right_side, slot), ends=last),
                )
            )
        return top_ends, bottom_ends, sides

    def _number_arcs(self, arcs: ArcRoom, stop: int) -> NewArcs:
        """Number the complete arcs, and put them on the lists of their components."""
        from geodeeplab.vector.trace import kernels_frontier as fronts

        n = arcs.count
        directions = np.empty((n, 2), np.uint8)
        fronts.canonicalise(arcs.points, arcs.offsets, arcs.sides, arcs.closed, directions, n)
        if len(self._free_arcs) < n:
            most = len(self.references)
            added = max(n - len(self._free_arcs), most // 2)
            self._free_arcs = np.concatenate((np.arange(most, most + added, dtype=np.int32), self._free_arcs))
            self.references = grown(self.references, most, most + added)
            self.next_of = grown(self.next_of, 2 * most, 2 * (most + added))
        ids, self._free_arcs = self._free_arcs[len(self._free_arcs) - n :], self._free_arcs[: len(self._free_arcs) - n]
        sides = arcs.sides[:n]
        fronts.attach_arcs(
            ids, sides, self._parent, self._known["head"], self._known["tail"], self.next_of, self.references
        )
        return NewArcs(
            ids=ids,
            points=arcs.points[: arcs.offsets[n]],
            offsets=arcs.offsets[: n + 1],
            sides=sides,
            class_ids=self._known["class_of"][sides],
            closed=arcs.closed[:n] != 0,
            directions=directions,
            stop=stop,
        )

    def _close(self, stop: int) -> ClosedFeatures:
        """Part the components that are complete from the others, which get new numbers."""
        from geodeeplab.vector.trace import kernels_frontier as fronts

        n = len(self._parent)
        kept, kept_group, group_of = (np.empty(n, np.int32) for _ in range(3))
        total = fronts.part_components(self._front, self._parent, self._group, kept, kept_group, group_of)
        closed = np.flatnonzero(group_of >= 0)
        closed = closed[np.argsort(group_of[closed], kind="stable")]
        groups = group_of[closed]
        known, stays = self._known, kept >= 0
        self._known = {name: array[stays] for name, array in known.items()}
        self._group = kept_group[:total].copy()
        return ClosedFeatures(
            offsets=np.append(np.flatnonzero(np.diff(groups, prepend=-1)), len(groups)).astype(np.int64),
            class_ids=known["class_of"][closed],
            first=known["first"][closed],
            confidence=np.column_stack(
                [known[name][closed] for name in ("confidence_sum", "confidence_count", "confidence_min")]
            ),
            heads=known["head"][closed],
            stop=stop,
        )

    def _gather_pieces(self) -> None:
        """Forget the pieces that are done with, where they are many, and make each open line one piece."""
        from geodeeplab.vector.trace import kernels_frontier as fronts

        pieces, ends = self._pieces, self._front_ends
        used = int(pieces.offsets[pieces.count])
        if used < self._next_gathering:
            return
        open_points = fronts.count_open_points(ends, pieces.offsets, pieces.link)
        gathered = Pieces()
        gathered.make_room(open_points, int(np.count_nonzero(ends >= 0)))
        gathered.count = fronts.gather_open(
            ends, pieces.points, pieces.offsets, pieces.link, pieces.far, pieces.turns,
            gathered.points, gathered.offsets, gathered.link, gathered.far, gathered.turns,
        )  # fmt: skip
        self._pieces = gathered
        self._next_gathering = 2 * int(gathered.offsets[gathered.count]) + MANY_POINTS


def _shifted(components: Ints, slot: int) -> Ints:
    """Give the components of a block's border as they are numbered among all."""
    return np.where(components >= 0, components + np.int32(slot), np.int32(-1))
