"""Blocks: square faces that share lines. Which are complete, and what the kernels need of them."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geodeeplab.vector.square.rule import SquareRule
from geodeeplab.vector.square.table import WAITING, Lines, LineTable, places_of
from geodeeplab.vector.trace.arcs import ClosedFeatures

MOST_VERTICES = 1 << 16
"""Lines of more traced vertices stay as they are: no building has them."""

Longs = NDArray[np.int64]
Simplify = Callable[[Lines], NDArray[np.uint8]]


class BlockFinder:
    """Puts complete faces together into blocks."""

    def __init__(self, rule: SquareRule) -> None:
        """Take what says which faces are square."""
        self._rule = rule
        self._entries, self._faces, self._next = np.empty(0, np.int64), np.empty(0, np.int64), 0

    def close(self, closed: ClosedFeatures, next_of: Longs) -> None:
        """Take the components that a band completed, and the list of arcs around each."""
        from geodeeplab.vector.trace.kernels_rings import list_entries

        heads = closed.heads[self._rule.is_square(closed.class_ids)]
        offsets = np.empty(len(heads) + 1, np.int64)
        entries = np.empty(list_entries(heads, next_of, np.empty(0, np.int64), offsets), np.int64)
        list_entries(heads, next_of, entries, offsets)
        self._entries = np.concatenate((self._entries, entries))
        self._faces = np.concatenate((self._faces, self._next + np.repeat(np.arange(len(heads)), np.diff(offsets))))
        self._next += len(heads)

    def forget(self, faces: Longs) -> None:
        """Forget faces that are fitted."""
        stays = ~np.isin(self._faces, faces)
        self._entries, self._faces = self._entries[stays], self._faces[stays]

    def complete(self, table: LineTable) -> tuple[Longs, Longs, Longs, Longs]:
        """Give the entries of complete blocks, by block: row in the table, side, face, and the block's number."""
        from geodeeplab.vector.square.kernels_blocks import unite_faces

        waiting = np.flatnonzero(table.states == WAITING)
        waiting = waiting[np.argsort(table.ids[waiting])]
        if not len(waiting) or not len(self._entries):
            return (np.empty(0, np.int64),) * 4
        ids = self._entries >> 1
        places = np.minimum(np.searchsorted(table.ids[waiting], ids), len(waiting) - 1)
        known = table.ids[waiting[places]] == ids
        rows = np.where(known, waiting[places], -1)
        faces, local = np.unique(self._faces, return_inverse=True)
        there = np.bincount(rows[known], minlength=len(table))
        whole = known & (there[rows] == table.wanted[rows])
        blocks = np.empty(len(faces), np.int32)
        unite_faces(rows, local.astype(np.int64), len(table), blocks)
        owner = blocks[local].astype(np.int64)
        lacking = np.bincount(owner, ~whole, minlength=len(faces)) > 0
        order = np.flatnonzero(~lacking[owner])
        order = order[np.argsort(owner[order], kind="stable")]
        return rows[order], self._entries[order] & 1, self._faces[order], owner[order]


@dataclass(frozen=True, kw_only=True)
class FittedLines:
    """The lines of fitted blocks."""

    rows: Longs
    """(A,): in the table, by block."""
    blocks: Longs
    """(A,): number of the block, from 0."""
    units: Longs
    """(A,): see `square_blocks`."""
    faces: Longs
    """(A, 2): on the left and right, as `BlockFinder` numbers them; -1 for those that are not of the block."""
    points: NDArray[np.float64]
    """(V, 2): new vertices, in px."""
    offsets: Longs
    """(A + 1,)."""


def fit_blocks(
    table: LineTable,
    rows: Longs,
    sides: Longs,
    faces: Longs,
    owner: Longs,
    *,
    rule: SquareRule,
    shape: tuple[int, int],
    subpixels: int,
    simplify: Simplify,
) -> FittedLines:
    """Fit blocks, given by their entries as `BlockFinder.complete` gives them."""
    from geodeeplab.vector.square.kernels_block import square_blocks

    known = np.unique(rows)
    every = table.traced.take(known)
    kept = simplify(every)
    owner = _part_blocks(every, kept, np.searchsorted(known, rows), faces, owner, rule)
    order = np.argsort(owner, kind="stable")
    rows, sides, faces, owner = rows[order], sides[order], faces[order], owner[order]
    pairs, first, line = np.unique(owner * len(table) + rows, return_index=True, return_inverse=True)
    lines = rows[first]  # one between two blocks comes twice
    traced = table.traced.take(lines)
    start = traced.points[traced.offsets[:-1]]
    order = np.lexsort((table.directions[lines, 0], start[:, 0], start[:, 1], owner[first]))
    lines, first, traced = lines[order], first[order], traced.take(order)  # in an order that the lines alone decide on
    place = np.empty(len(pairs), np.int64)
    place[order] = np.arange(len(pairs))
    place = place[line.ravel()]
    blocks = np.cumsum(np.diff(owner[first], prepend=-1) != 0) - 1
    number, counts = _within(np.unique(faces, return_inverse=True)[1], owner)
    its_faces = np.full((len(lines), 2), -1, np.int64)
    its_faces[place, sides] = number
    names = np.full((len(lines), 2), -1, np.int64)
    names[place, sides] = faces
    nodes, node_offsets, node_points, movable = _nodes(table, lines, traced, blocks, subpixels)
    corner = np.array([shape[1], shape[0]], np.int32)
    at_edge = np.logical_or.reduceat(
        ((traced.points <= 0) | (traced.points >= corner)).any(axis=1), traced.offsets[:-1]
    )
    is_between = (its_faces >= 0).sum(axis=1) < table.wanted[lines]
    refused = (at_edge | is_between | (np.diff(traced.offsets) > MOST_VERTICES)).astype(np.uint8)
    kept = kept[places_of(every.offsets, np.searchsorted(known, lines))[0]]
    starts = np.flatnonzero(np.diff(blocks, prepend=-1))
    block_offsets = np.append(starts, len(lines)).astype(np.int64)
    units = np.empty(len(lines), np.int64)
    out, out_offsets = np.empty((len(traced.points) + len(lines), 2)), np.empty(len(lines) + 1, np.int64)
    tolerance = max(rule.tolerance_px - 1 / subpixels, 0.0)  # points are rounded
    square_blocks(
        traced.points, kept, traced.offsets, table.closed[lines], nodes, node_offsets, movable,
        node_points, np.ascontiguousarray(table.directions[lines]), its_faces, counts, block_offsets,
        _matrices(rule, traced.points[traced.offsets[starts]]), tolerance, refused, units, out, out_offsets,
    )  # fmt: skip
    points = out[: out_offsets[-1]]
    return FittedLines(rows=lines, blocks=blocks, units=units, faces=names, points=points, offsets=out_offsets)


def _part_blocks(
    traced: Lines, kept: NDArray[np.uint8], lines: Longs, faces: Longs, owner: Longs, rule: SquareRule
) -> Longs:
    """Give each entry (its line, face and block) its block, parted where main directions of faces that touch differ."""
    from geodeeplab.vector.square.kernels_blocks import part_faces

    known, local = np.unique(faces, return_inverse=True)
    if len(known) == len(np.unique(owner)):
        return owner  # each block is one face
    parts = np.empty(len(known), np.int32)
    matrices = _matrices(rule, traced.points[traced.offsets[:-1]])
    part_faces(traced.points, kept, traced.offsets, matrices, lines, local.ravel(), parts)
    return parts[local.ravel()].astype(np.int64)


def _within(items: Longs, owner: Longs) -> tuple[Longs, Longs]:
    """Number items from 0 within each owner (sorted); give the numbers, and how many each owner has."""
    pairs, number = np.unique(np.stack((owner, items)), axis=1, return_inverse=True)
    owners, first, counts = np.unique(pairs[0], return_index=True, return_counts=True)
    return number.ravel() - first[np.searchsorted(owners, owner)], counts.astype(np.int64)


def _nodes(
    table: LineTable, lines: Longs, traced: Lines, blocks: Longs, subpixels: int
) -> tuple[Longs, Longs, NDArray[np.int32], NDArray[np.uint8]]:
    """Give the nodes at both ends of lines, counted within blocks, where blocks begin, their corners, which may move.

    Those may that lines of the block alone end in. All lines that end near the block are in the table.
    """
    ends = np.stack((traced.points[traced.offsets[:-1]], traced.points[traced.offsets[1:] - 1]), axis=1)
    is_open = table.closed[lines] == 0
    keys = _keys(ends[is_open]).ravel()
    pairs, number, counts = np.unique(
        np.stack((np.repeat(blocks[is_open], 2), keys)), axis=1, return_inverse=True, return_counts=True
    )
    n = int(blocks[-1]) + 1
    node_offsets = np.searchsorted(pairs[0], np.arange(n + 1)).astype(np.int64)
    nodes = np.full((len(lines), 2), -1, np.int64)
    nodes[is_open] = (number.ravel() - node_offsets[np.repeat(blocks[is_open], 2)]).reshape(-1, 2)
    simple, others = table.simple, table.closed == 0
    every = np.stack((simple.points[simple.offsets[:-1]], simple.points[simple.offsets[1:] - 1]), axis=1)[others]
    known, degrees = np.unique(_keys(every // subpixels).ravel(), return_counts=True)
    corners = np.stack((pairs[1] & 0xFFFFFFFF, pairs[1] >> 32), axis=1).astype(np.int32)
    movable = np.zeros(len(counts), np.uint8)
    if len(counts):
        movable[:] = degrees[np.searchsorted(known, pairs[1])] == counts
    return nodes, node_offsets, corners, movable


def _keys(corners: NDArray[np.int32]) -> Longs:
    """Give corners (..., 2) as one number each."""
    keys: Longs = (corners[..., 1].astype(np.int64) << 32) + corners[..., 0]
    return keys


def _matrices(rule: SquareRule, corners: NDArray[np.int32]) -> NDArray[np.float64]:
    """Give the metric (B, 2, 2) at corners, scaled so that areas are in px."""
    table, cell = rule.metric.matrices, rule.metric.cell_px
    row, col = (
        np.minimum(corners[:, 1] // cell, table.shape[0] - 1),
        np.minimum(corners[:, 0] // cell, table.shape[1] - 1),
    )
    found = table[row, col]
    matrices: NDArray[np.float64] = found / np.sqrt(np.abs(np.linalg.det(found)))[:, None, None]
    return matrices
