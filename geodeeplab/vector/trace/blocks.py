"""Trace one block of a label raster by itself: what threads and other machines do, before blocks are joined."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geodeeplab.vector.trace.arcs import CornerBits

BLOCK_PIXELS = 1 << 20
"""Pixels of a block: enough that the cost of a block does not count, few enough that noise stays small in memory."""
NO_WORDS = np.zeros((0, 0), np.uint64)
NO_CONFIDENCE = np.zeros((0, 0), np.uint8)


@dataclass(frozen=True, kw_only=True)
class Components:
    """What is known of C components, or of their parts in a block."""

    class_ids: NDArray[np.int32]
    """(C,): label."""
    first: NDArray[np.int64]
    """(C,): first pixel in raster order, row · 2³¹ + col."""
    confidence_sum: NDArray[np.int64]
    """(C,): over the pixels that have a confidence."""
    confidence_pixels: NDArray[np.int64]
    """(C,): how many have."""
    confidence_min: NDArray[np.uint8]
    """(C,): the least, 255 where there is none."""
    groups: NDArray[np.int32]
    """(C,): for connectivity 8 a component of the same group, the same one for all of them; else itself."""


@dataclass(frozen=True, kw_only=True)
class TracedBlock:
    """A block: its components, the lines between them, and what is on its border."""

    first_row: int
    """Scene row of the first row."""
    first_col: int
    """Scene column of the first column."""
    shape: tuple[int, int]
    """Rows and columns."""
    components: Components
    """Numbered from 0 in the order of their first pixels."""
    points: NDArray[np.int32]
    """(V, 2): corners (col, row) of the lines, end points included."""
    offsets: NDArray[np.int64]
    """(L + 1,): where lines begin and end in `points`."""
    left: NDArray[np.int32]
    """(L,): component on the left, with rows downwards; -1 for nodata."""
    right: NDArray[np.int32]
    """(L,): likewise on the right."""
    kinds: NDArray[np.uint8]
    """(L, 2): kinds of the ends: a junction, loose on the border, or a closed line."""
    top: NDArray[np.int32]
    """(w,): components of the first row; -1 for nodata."""
    bottom: NDArray[np.int32]
    """(w,): of the last row."""
    left_side: NDArray[np.int32]
    """(h,): of the first column."""
    right_side: NDArray[np.int32]
    """(h,): of the last column."""


def trace_block(
    labels: NDArray[np.int32],
    *,
    first_row: int,
    first_col: int,
    nodata: int = 0,
    confidence: NDArray[np.uint8] = NO_CONFIDENCE,
    eight: bool = False,
    words: NDArray[np.uint64] | None = None,
) -> TracedBlock:
    """Trace a block; a pure function of its labels.

    Args:
        labels: (h, w).
        first_row: where the block lies in the scene, in pixels; -1 where a row of nodata was put around the scene.
        first_col: likewise.
        nodata: label that is no component.
        confidence: (h, w), 0–100 and 255 for none; empty where there is none.
        eight: group components that touch at corners.
        words: bits of `CornerBits` for the lattice rows of the block, (h + 1, ...), which are set.
    """
    from geodeeplab.vector.trace import kernels_trace as kernels

    h, w = labels.shape
    totals = np.zeros(4, np.int64)
    kernels.count_block(labels, nodata, totals)
    nodes, ends, turns, most = (int(total) for total in totals)
    lines = ends // 2 + turns // 4 + 1
    node_xy, node_link = np.empty((nodes, 2), np.int32), np.empty((nodes, 2), np.int32)
    node_far, node_kind = np.empty(nodes, np.int32), np.empty(nodes, np.uint8)
    parent, group = np.empty(most, np.int32), np.empty(most, np.int32)
    first, class_ids = np.empty(most, np.int64), np.empty(most, np.int32)
    confidence_sum, confidence_count, confidence_min = (
        np.empty(most, np.int64),
        np.empty(most, np.int64),
        np.empty(most, np.uint8),
    )
    above, bottom, top = np.empty(w, np.int32), np.empty(w, np.int32), np.empty(w, np.int32)
    left_side, right_side, down = np.empty(h, np.int32), np.empty(h, np.int32), np.empty(w + 1, np.int32)
    points, offsets = np.empty((nodes + turns // 4 + 1, 2), np.int32), np.empty(lines + 1, np.int64)
    left, right, kinds = np.empty(lines, np.int32), np.empty(lines, np.int32), np.empty((lines, 2), np.uint8)
    kernels.trace_block(
        labels, confidence, nodata, first_row, first_col, eight, NO_WORDS if words is None else words,
        node_xy, node_link, node_far, node_kind,
        parent, group, first, class_ids, confidence_sum, confidence_count, confidence_min, above, bottom, top,
        left_side, right_side, down, points, offsets, left, right, kinds, totals,
    )  # fmt: skip
    components, lines, vertices = (int(total) for total in totals[:3])
    number, groups = np.empty(components, np.int32), np.empty(components, np.int32)
    left, right = left[:lines].copy(), right[:lines].copy()
    n = kernels.number_components(
        parent, group, number, groups, components, first, class_ids, confidence_sum, confidence_count, confidence_min,
        left, right, top, bottom, left_side, right_side,
    )  # fmt: skip
    return TracedBlock(
        first_row=first_row,
        first_col=first_col,
        shape=(h, w),
        components=Components(
            class_ids=class_ids[:n].copy(),
            first=first[:n].copy(),
            confidence_sum=confidence_sum[:n].copy(),
            confidence_pixels=confidence_count[:n].copy(),
            confidence_min=confidence_min[:n].copy(),
            groups=groups[:n].copy(),
        ),
        points=points[:vertices].copy(),
        offsets=offsets[: lines + 1].copy(),
        left=left,
        right=right,
        kinds=kinds[:lines].copy(),
        top=top,
        bottom=bottom,
        left_side=left_side,
        right_side=right_side,
    )


def mark_vertices(block: TracedBlock, bits: CornerBits) -> None:
    """Set the bits of a block's corners, as `trace_block` would have."""
    from geodeeplab.vector.trace import kernels_trace as kernels

    kernels.mark_vertices(block.points, block.offsets, block.kinds, bits.words, bits.first_row)
