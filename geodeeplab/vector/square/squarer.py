"""Square the lines of some faces as they are completed; the outcome depends on the lines alone, not on their order.

Faces of square classes that share a line are a block. A block is fitted when all its faces are complete, and no line
near it is open any more; its new lines are decided on when all blocks near it are fitted, too. A new line is refused if
it is in the way of any other line, in whatever form that will be (`kernels_conflicts`), and all of a face are where its
area would change too much (`areas`). So nothing hangs on which block came first.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from geodeeplab.vector.generalise.arcs import Generalisation, Metric, generalise_arcs
from geodeeplab.vector.square.areas import face_rooms, lines_with_room, twice_areas
from geodeeplab.vector.square.blocks import BlockFinder, FittedLines, fit_blocks
from geodeeplab.vector.square.rule import SquareRule
from geodeeplab.vector.square.table import (
    DECIDED,
    FITTED,
    OTHER,
    WAITING,
    Lines,
    LineTable,
    empty_table,
    no_lines,
)
from geodeeplab.vector.trace.arcs import ClosedFeatures, CornerBits, NewArcs

CELL_PX = 32
"""Side of the cells by which lines are near each other."""
NEAR_PARTS = 64
"""New lines stay this part of a px from others, so that rounding of coordinates makes none of them meet."""

MarkOpen = Callable[[int, int, NDArray[np.uint8]], None]
"""Marks the cells of a grid that open lines pass: side of a cell, cell row of the grid's first row, the grid."""


class Squarer:
    """Holds the lines of square faces, and what is near them, until they are decided on."""

    def __init__(
        self, rule: SquareRule, bits: CornerBits, *, shape: tuple[int, int], subpixels: int, line_px: float
    ) -> None:
        """Take the rule, the vertices of all lines, the scene's shape, the unit, and how far other lines may move."""
        self._rule, self._bits, self._shape, self._subpixels = rule, bits, shape, subpixels
        self._margin = int(np.ceil(rule.most_px() + line_px)) + 2
        self._table = empty_table()
        self._finder = BlockFinder(rule)
        self._blocks = self._lone = 0

    def is_square(self, arcs: NewArcs) -> NDArray[np.bool_]:
        """Tell which arcs (A,) have a square face on a side."""
        sides = self._sides(arcs)
        return sides[:, 0] | sides[:, 1]

    def _sides(self, arcs: NewArcs) -> NDArray[np.bool_]:
        return self._rule.is_square(arcs.class_ids) & (arcs.sides >= 0)

    def add(self, arcs: NewArcs, points: NDArray[np.int32], offsets: NDArray[np.int64]) -> None:
        """Take the arcs that a band completed, and their generalised lines in subpixels."""
        n, wanted = len(arcs.ids), self._sides(arcs).sum(axis=1).astype(np.uint8)
        square = wanted > 0
        sizes = np.where(square, np.diff(arcs.offsets), 0)
        traced = Lines(
            points=arcs.points[np.repeat(square, np.diff(arcs.offsets))],
            offsets=np.concatenate((np.zeros(1, np.int64), np.cumsum(sizes))),
        )
        added = LineTable(
            ids=arcs.ids.copy(),
            states=np.where(square, WAITING, OTHER).astype(np.uint8),
            wanted=wanted,
            closed=arcs.closed.astype(np.uint8),
            directions=arcs.directions,
            blocks=np.full(n, -1, np.int64),
            units=-1 - self._lone - np.arange(n),
            faces=np.full((n, 2), -1, np.int64),
            changes=np.zeros(n, np.int64),
            rooms=np.zeros((n, 2, 2)),
            traced=traced,
            simple=Lines(points=points, offsets=offsets),
            new=no_lines(n),
        )
        self._lone += n
        self._table = self._table.extended(added)

    def close(self, closed: ClosedFeatures, next_of: NDArray[np.int64]) -> None:
        """Take the components that a band completed, and the list of arcs around each."""
        self._finder.close(closed, next_of)

    def settle(
        self, stop: int, mark_open: MarkOpen, queued: Sequence[NewArcs]
    ) -> tuple[NDArray[np.int32], Lines, NDArray[np.uint8]]:
        """Decide on what can be decided on: the lines near it are complete.

        Args:
            stop: lattice row up to which all is known.
            mark_open: marks what is not complete.
            queued: arcs that are, but are not added yet.

        Returns:
            The arcs that are decided on, their lines in subpixels, and their directions.
        """
        from geodeeplab.vector.square import kernels_conflicts as kernels

        first_row, grid = self._grid(stop)
        mark_open(CELL_PX, first_row, grid)
        for arcs in queued:
            kernels.mark_lines(arcs.points, arcs.offsets, np.ones(len(arcs.ids), np.uint8), CELL_PX, first_row, grid, 1)
        self._fit(stop, first_row, grid)
        waiting = grid.copy()
        self._mark(self._table.states == WAITING, first_row, waiting)
        decided = self._decide(stop, first_row, waiting)
        self._mark(self._table.states == FITTED, first_row, waiting)
        self._forget(stop, first_row, waiting)
        return decided

    def _grid(self, stop: int) -> tuple[int, NDArray[np.uint8]]:
        """Make a grid of cells from the first row of any line in question to the last known one."""
        points, last_row = self._table.simple.points, min(stop, self._shape[0]) // CELL_PX
        top = int(points[:, 1].min()) // self._subpixels if len(points) else self._shape[0]
        first_row = max(min((top - self._margin) // CELL_PX, last_row), 0)
        return first_row, np.zeros((last_row - first_row + 1, self._shape[1] // CELL_PX + 1), np.uint8)

    def _mark(self, which: NDArray[np.bool_], first_row: int, grid: NDArray[np.uint8]) -> None:
        from geodeeplab.vector.square import kernels_conflicts as kernels

        traced = self._table.traced
        kernels.mark_lines(traced.points, traced.offsets, which.astype(np.uint8), CELL_PX, first_row, grid, 1)

    def _is_clear(
        self, rows: NDArray[np.int64], owner: NDArray[np.int64], stop: int, first_row: int, grid: NDArray[np.uint8]
    ) -> NDArray[np.bool_]:
        """Tell for each owner (those of `rows` are sorted) whether no marked cell is near any line of its."""
        starts = np.flatnonzero(np.diff(owner, prepend=-1))
        lines = self._table.traced.take(rows)
        low = np.minimum.reduceat(np.minimum.reduceat(lines.points, lines.offsets[:-1]), starts) - self._margin
        high = np.maximum.reduceat(np.maximum.reduceat(lines.points, lines.offsets[:-1]), starts) + self._margin
        sums = np.zeros((grid.shape[0] + 1, grid.shape[1] + 1), np.int64)
        np.cumsum(np.cumsum(grid, axis=0, dtype=np.int64), axis=1, out=sums[1:, 1:])
        left, right = (np.clip(side[:, 0] // CELL_PX, 0, grid.shape[1] - 1) for side in (low, high))
        top, bottom = (np.clip(side[:, 1] // CELL_PX - first_row, 0, grid.shape[0] - 1) for side in (low, high))
        marked = sums[bottom + 1, right + 1] - sums[top, right + 1] - sums[bottom + 1, left] + sums[top, left]
        clear: NDArray[np.bool_] = (marked == 0) & ((high[:, 1] <= stop) | (stop >= self._shape[0]))
        return clear

    def _fit(self, stop: int, first_row: int, grid: NDArray[np.uint8]) -> None:
        """Fit the blocks that are complete, and near which nothing is open."""
        rows, sides, faces, owner = self._finder.complete(self._table)
        if not len(rows):
            return
        clear = self._is_clear(rows, owner, stop, first_row, grid)[np.cumsum(np.diff(owner, prepend=-1) != 0) - 1]
        self._finder.forget(faces[clear])
        rows, sides, faces, owner = rows[clear], sides[clear], faces[clear], owner[clear]
        if not len(rows):
            return
        lines = fit_blocks(
            self._table,
            rows,
            sides,
            faces,
            owner,
            rule=self._rule,
            shape=self._shape,
            subpixels=self._subpixels,
            simplify=self._simplify,
        )
        self._table = self._with_new(lines)

    def _with_new(self, lines: FittedLines) -> LineTable:
        """Give the table with the new form of the lines that were fitted."""
        table, n = self._table, len(lines.rows)
        points = np.rint(lines.points * self._subpixels).astype(np.int32)
        offsets = np.append(lines.offsets, lines.offsets[-1])  # the last has no points
        which = np.full(len(table), n)
        which[lines.rows] = np.arange(n)
        fitted = Lines(points=points, offsets=offsets).take(which)
        table.states[lines.rows] = FITTED
        table.blocks[lines.rows] = lines.blocks + self._blocks
        table.units[lines.rows] = np.where(lines.units >= 0, lines.units + self._lone, table.units[lines.rows])
        simple = table.simple.take(lines.rows)
        new = Lines(points=points, offsets=lines.offsets)
        table.faces[lines.rows] = lines.faces
        table.changes[lines.rows] = np.where(lines.units >= 0, twice_areas(new) - twice_areas(simple), 0)
        table.rooms[lines.rows] = face_rooms(lines.faces, table.traced.take(lines.rows), simple, self._subpixels)
        self._blocks += int(lines.blocks[-1]) + 1
        self._lone += n
        return replace(table, new=_choose(np.diff(fitted.offsets) > 0, fitted, table.new))

    def _simplify(self, lines: Lines) -> NDArray[np.uint8]:
        """Mark the vertices (V,) that stay where lines are simplified within the tolerance."""
        from geodeeplab.vector.square import kernels_conflicts as kernels
        from geodeeplab.vector.trace.arcs import Arcs

        none = np.zeros(len(lines.offsets) - 1, np.int32)
        arcs = Arcs(points=lines.points, offsets=lines.offsets, left=none, right=none)
        rule = Generalisation(tolerance=self._rule.tolerance_px)
        points, offsets = generalise_arcs(arcs, self._bits, rule, Metric.pixels(), none.astype(np.uint8))
        kept = np.empty(len(lines.points), np.uint8)
        kernels.mark_kept(lines.points, lines.offsets, points, offsets, kept)
        return kept

    def _decide(
        self, stop: int, first_row: int, grid: NDArray[np.uint8]
    ) -> tuple[NDArray[np.int32], Lines, NDArray[np.uint8]]:
        """Decide on the fitted blocks near which all others are fitted."""
        table = self._table
        rows = np.flatnonzero(table.states == FITTED)
        rows = rows[np.argsort(table.blocks[rows], kind="stable")]
        if len(rows):
            owner = table.blocks[rows]
            clear = self._is_clear(rows, owner, stop, first_row, grid)
            rows = rows[clear[np.cumsum(np.diff(owner, prepend=-1) != 0) - 1]]
        has_new = np.diff(table.new.offsets)[rows] > 0
        may = has_new & ~np.isin(table.units[rows], self._conflicts(rows[has_new]))
        taken = lines_with_room(table.faces[rows], table.changes[rows], table.rooms[rows], table.units[rows], may)
        table.states[rows] = DECIDED
        chosen = _choose(taken, table.new.take(rows), table.simple.take(rows))
        return table.ids[rows], chosen, table.directions[rows]

    def _conflicts(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Give the units of the new lines that are in the way of others."""
        from geodeeplab.vector.square import kernels_conflicts as kernels

        if not len(rows):
            return np.empty(0, np.int64)
        table, cell = self._table, CELL_PX * self._subpixels
        edges = np.concatenate((_edges(table.simple, is_new=False), _edges(table.new, is_new=True)))
        ends = np.concatenate((table.simple.take(rows).points, table.new.take(rows).points)) // cell
        box = np.array(
            [ends[:, 1].min() - 1, ends[:, 1].max() + 1, ends[:, 0].min() - 1, ends[:, 0].max() + 1], np.int64
        )
        starts = np.empty((box[1] - box[0] + 1) * (box[3] - box[2] + 1) + 1, np.int64)
        items = np.empty(0, np.int64)
        count = kernels.bucket_edges(edges, cell, box, starts, items)
        items = np.empty(count, np.int64)
        kernels.bucket_edges(edges, cell, box, starts, items)
        bad = np.zeros(len(table), np.uint8)
        kernels.find_conflicts(
            rows, edges, table.simple.points, table.simple.offsets, table.new.points, table.new.offsets, table.units,
            cell, max(self._subpixels // NEAR_PARTS, 1), box, starts, items, bad,
        )  # fmt: skip
        return np.unique(table.units[bad != 0])

    def _forget(self, stop: int, first_row: int, grid: NDArray[np.uint8]) -> None:
        """Forget the lines that are not near anything that is open, waiting or unknown."""
        from geodeeplab.vector.square import kernels_conflicts as kernels

        reach = -(-self._margin // CELL_PX)
        near = grid.astype(bool)
        near[max((stop - self._margin) // CELL_PX - first_row, 0) :] |= stop < self._shape[0]
        for axis in range(2):
            wide = near.copy()
            for step in range(1, reach + 1):
                ahead, behind = (np.s_[:, step:], np.s_[:, :-step]) if axis else (np.s_[step:], np.s_[:-step])
                wide[ahead] |= near[behind]
                wide[behind] |= near[ahead]
            near = wide
        found, simple = np.empty(len(self._table), np.uint8), self._table.simple
        kernels.find_lines(
            simple.points, simple.offsets, CELL_PX * self._subpixels, first_row, near.astype(np.uint8), found
        )
        keep = (found != 0) | (self._table.states == WAITING) | (self._table.states == FITTED)
        if not keep.all():
            self._table = self._table.take(np.flatnonzero(keep))


def _edges(lines: Lines, *, is_new: bool) -> NDArray[np.int64]:
    """Give the edges (E, 6) as `bucket_edges` takes them."""
    inner = np.ones(max(len(lines.points) - 1, 0), bool)
    ends = lines.offsets[1:-1]
    inner[ends[(ends > 0) & (ends < len(lines.points))] - 1] = False
    index = np.flatnonzero(inner)
    edges = np.empty((len(index), 6), np.int64)
    edges[:, :2], edges[:, 2:4] = lines.points[index], lines.points[index + 1]
    edges[:, 4] = np.searchsorted(lines.offsets, index, side="right") - 1
    edges[:, 5] = index if is_new else -1 - index
    return edges


def _choose(first: NDArray[np.bool_], one: Lines, other: Lines) -> Lines:
    """Give the lines of `one` where `first` (A,) says so, else those of `other`."""
    n = len(first)
    both = Lines(
        points=np.concatenate((one.points, other.points)),
        offsets=np.concatenate((one.offsets, one.offsets[-1] + other.offsets[1:])),
    )
    return both.take(np.where(first, 0, n) + np.arange(n))
