"""The kernel that squares blocks one after the other; see `kernels_fit`."""

import numpy as np
from numpy.typing import NDArray

from geodeeplab.compiled import compiled
from geodeeplab.vector.square.kernels_fit import (
    block_runs,
    fit_runs,
    join_at_nodes,
    lean_of,
    main_angle,
    place_corners,
    place_nodes,
    share_offsets,
    swell_ring,
    to_frame,
)
from geodeeplab.vector.square.kernels_near import find_far, free_run, is_angular, worst_run
from geodeeplab.vector.square.kernels_refusals import (
    fix_nodes,
    pin_turned,
    refuse_changed,
    refuse_round,
    refuse_shifted,
)
from geodeeplab.vector.trace.kernels_sort import find, unite

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bytes = NDArray[np.uint8]
Corners = NDArray[np.int32]

ROUNDS = 16
"""Times that a block is placed anew at most; in the later half, what is too far away is refused, not eased."""


@compiled
def place_arc(
    xs: Floats, ys: Floats, arc: int, offsets: Ints, is_ring: bool, nodes: Ints, placed: Floats, run_offsets: Ints,
    kinds: Ints, lasts: Ints, lines: Floats, corners: Floats
) -> None:  # fmt: skip
    """Write an arc's new vertices, those of a ring so that its area stays."""
    first, stop = run_offsets[arc], run_offsets[arc + 1]
    place_corners(xs, ys, arc, is_ring, nodes, placed, run_offsets, lines, kinds, lasts, corners)
    if is_ring:
        swell_ring(xs, ys, offsets[arc], offsets[arc + 1], first, stop, kinds, lines, corners)
        place_corners(xs, ys, arc, is_ring, nodes, placed, run_offsets, lines, kinds, lasts, corners)


@compiled
def place_arcs(
    xs: Floats, ys: Floats, kept: Bytes, offsets: Ints, closed: Bytes, nodes: Ints, fixed: Bytes, placed: Floats,
    limit: float, run_offsets: Ints, kinds: Ints, firsts: Ints, lasts: Ints, lines: Floats, is_late: bool,
    refused: Bytes, corners: Floats
) -> bool:  # fmt: skip
    """Place all arcs; where one is too far away, ease or refuse it, and tell that another round is due."""
    again = False
    for arc in range(len(nodes)):
        first, stop, is_ring = run_offsets[arc], run_offsets[arc + 1], closed[arc] != 0
        if refused[arc]:
            continue
        if (stop - first < 3 and is_ring) or not is_angular(xs, ys, kinds, firsts, lasts, first, stop):
            refused[arc], again = 1, True
            continue
        if not is_ring and stop - first == 1 and fixed[nodes[arc, 0]] and fixed[nodes[arc, 1]]:
            refused[arc] = 1
            continue
        out = corners[first + arc :]
        place_arc(xs, ys, arc, offsets, is_ring, nodes, placed, run_offsets, kinds, lasts, lines, out)
        run = -1
        while True:
            run = find_far(xs, ys, firsts, lasts, first, stop - first, is_ring, out, limit, run + 1)
            if run < 0:
                break
            again = True
            worst = worst_run(xs, ys, kinds, firsts, lasts, first, stop - first, is_ring, run, lines)
            if worst < 0 or is_late:
                refused[arc] = 1
                break
            free_run(kept, firsts[first + worst], lasts[first + worst])
    return again


@compiled
def settle_block(
    xs: Floats, ys: Floats, kept: Bytes, offsets: Ints, closed: Bytes, nodes: Ints, movable: Bytes, node_xy: Floats,
    directions: Bytes, faces: Ints, n_faces: int, inverse: Floats, limit: float, refused: Bytes, fixed: Bytes,
    corners: Floats, corner_offsets: Ints
) -> None:  # fmt: skip
    """Place the new vertices of all arcs, and refuse those for which that cannot be; nodes are fixed until it holds."""
    n = len(xs)
    kinds, firsts, lasts = np.empty(n, np.int64), np.empty(n, np.int64), np.empty(n, np.int64)
    run_offsets = np.empty(len(nodes) + 1, np.int64)
    lines, weights, parent = np.empty((n, 3)), np.empty(n), np.empty(n, np.int32)
    ends, placed = np.empty((len(fixed), 2), np.int64), np.empty((len(fixed), 2))
    pinned = np.zeros(len(fixed), np.uint8)
    for turn in range(ROUNDS):
        block_runs(xs, ys, kept, offsets, closed, np.sqrt(limit), run_offsets, kinds, firsts, lasts)
        total = run_offsets[len(nodes)]
        for arc in range(len(nodes) + 1):
            corner_offsets[arc] = run_offsets[arc] + arc
        fix_nodes(nodes, movable, pinned, refused, fixed)
        fit_runs(xs, ys, kinds, firsts, lasts, total, lines, weights)
        join_at_nodes(nodes, run_offsets, kinds, refused, fixed, parent[:total], ends)
        share_offsets(nodes, node_xy, run_offsets, kinds, refused, fixed, parent, weights, lines)
        place_nodes(node_xy, fixed, ends, lines, placed)
        again = False
        for node in range(len(fixed)):
            if (placed[node, 0] - node_xy[node, 0]) ** 2 + (placed[node, 1] - node_xy[node, 1]) ** 2 > limit:
                pinned[node], again = 1, True
        again = again or place_arcs(
            xs, ys, kept, offsets, closed, nodes, fixed, placed, limit, run_offsets, kinds, firsts, lasts, lines,
            2 * turn >= ROUNDS, refused, corners
        )  # fmt: skip
        if again or refuse_changed(xs, ys, offsets, corners, corner_offsets, faces, n_faces, refused):
            continue
        if refuse_shifted(xs, ys, offsets, inverse, corners, corner_offsets, faces, refused):
            continue
        if not pin_turned(nodes, directions, inverse, corners, corner_offsets, fixed, pinned):
            return
    for arc in range(len(nodes)):
        refused[arc] = 1


@compiled
def number_units(nodes: Ints, refused: Bytes, fixed: Bytes, units: Ints) -> None:
    """Give each arc (A,) the least of the arcs that it moves together with, as they share nodes; -1 where refused."""
    parent = np.arange(len(nodes)).astype(np.int32)
    first = np.full(len(fixed), -1, np.int64)
    for arc in range(len(nodes)):
        for end in range(2):
            node = nodes[arc, end]
            if node >= 0 and not fixed[node] and not refused[arc]:
                if first[node] >= 0:
                    unite(parent, first[node], arc)
                else:
                    first[node] = arc
    for arc in range(len(nodes)):
        units[arc] = -1 if refused[arc] else find(parent, arc)


@compiled
def square_block(
    points: Floats, kept: Bytes, offsets: Ints, closed: Bytes, nodes: Ints, movable: Bytes, node_points: Floats,
    directions: Bytes, faces: Ints, n_faces: int, matrix: Floats, limit: float, refused: Bytes, units: Ints,
    out: Floats, out_offsets: Ints
) -> None:  # fmt: skip
    """Square one block. See `square_blocks`; points and nodes are in px from an origin of the block's own."""
    angle, least = main_angle(points, kept, offsets, matrix), np.sqrt(limit)
    n, n_nodes = len(points), len(movable)
    xs, ys = np.empty(n), np.empty(n)
    kinds, firsts, lasts = np.empty(n, np.int64), np.empty(n, np.int64), np.empty(n, np.int64)
    run_offsets = np.empty(len(closed) + 1, np.int64)
    stays = kept.copy()
    for turn in range(3):
        to_frame(points, matrix, angle, xs, ys)
        stays[:] = kept
        if turn == 2:
            refuse_round(xs, ys, stays, offsets, faces, n_faces, refused)
        else:
            block_runs(xs, ys, stays, offsets, closed, least, run_offsets, kinds, firsts, lasts)
            angle += lean_of(xs, ys, kinds, firsts, lasts, run_offsets[len(closed)])
    node_x, node_y = np.empty(n_nodes), np.empty(n_nodes)
    to_frame(node_points, matrix, angle, node_x, node_y)
    node_xy, fixed = np.empty((n_nodes, 2)), np.empty(n_nodes, np.uint8)
    node_xy[:, 0], node_xy[:, 1] = node_x, node_y
    c, s = np.cos(angle), np.sin(angle)
    det = matrix[0, 0] * matrix[1, 1] - matrix[0, 1] * matrix[1, 0]
    inverse = np.empty((2, 2))  # of the turned matrix
    for k in range(2):
        u, v = (c, s) if k == 0 else (-s, c)
        inverse[0, k] = (matrix[1, 1] * u - matrix[0, 1] * v) / det
        inverse[1, k] = (matrix[0, 0] * v - matrix[1, 0] * u) / det
    settle_block(
        xs, ys, stays, offsets, closed, nodes, movable, node_xy, directions, faces, n_faces, inverse, limit, refused,
        fixed, out, out_offsets
    )  # fmt: skip
    for k in range(out_offsets[len(closed)]):
        x, y = out[k, 0], out[k, 1]
        out[k, 0] = inverse[0, 0] * x + inverse[0, 1] * y
        out[k, 1] = inverse[1, 0] * x + inverse[1, 1] * y
    number_units(nodes, refused, fixed, units)


@compiled
def square_blocks(
    points: Corners, kept: Bytes, offsets: Ints, closed: Bytes, nodes: Ints, node_offsets: Ints, movable: Bytes,
    node_points: Corners, directions: Bytes, faces: Ints, face_counts: Ints, block_offsets: Ints, matrices: Floats,
    tolerance: float, refused: Bytes, units: Ints, out: Floats, out_offsets: Ints
) -> None:  # fmt: skip
    """Square blocks, each by itself: what comes out depends on the block alone, to the bit.

    Args:
        points: (V, 2) traced vertices of all arcs, as lattice corners.
        kept: (V,) 1 for those that simplification leaves.
        offsets: (A + 1,) where arcs begin in them.
        closed: (A,) whether an arc goes around without a node.
        nodes: (A, 2) nodes at both ends, counted within the block; -1 for a closed arc.
        node_offsets: (B + 1,) where the nodes of blocks begin.
        movable: (N,) whether arcs of the block alone end in the node.
        node_points: (N, 2) lattice corners.
        directions: (A, 2) see `NewArcs`.
        faces: (A, 2) faces on the left and right, counted within the block; -1 for others.
        face_counts: (B,) faces of each block.
        block_offsets: (B + 1,) where the arcs of blocks begin.
        matrices: (B, 2, 2) of the metric in which angles are right; of determinant ±1, so that lengths are px.
        tolerance: in px.
        refused: (A,) 1 for arcs that are to stay as they are; set for those that cannot be squared.
        units: (A,) written: a number that arcs share which move together; -1 for refused ones.
        out: (V + A, 2), written: the new vertices, in px.
        out_offsets: (A + 1,), written: where arcs begin in them.
    """
    total = 0
    for block in range(len(block_offsets) - 1):
        a, b = block_offsets[block], block_offsets[block + 1]
        p, q = offsets[a], offsets[b]
        u, v = node_offsets[block], node_offsets[block + 1]
        x0, y0 = points[p, 0], points[p, 1]
        local, local_nodes = np.empty((q - p, 2)), np.empty((v - u, 2))
        for k in range(q - p):
            local[k, 0], local[k, 1] = points[p + k, 0] - x0, points[p + k, 1] - y0
        for k in range(v - u):
            local_nodes[k, 0], local_nodes[k, 1] = node_points[u + k, 0] - x0, node_points[u + k, 1] - y0
        corners, corner_offsets = np.empty((q - p + b - a, 2)), np.empty(b - a + 1, np.int64)
        square_block(
            local, kept[p:q], offsets[a : b + 1] - p, closed[a:b], nodes[a:b], movable[u:v], local_nodes,
            directions[a:b], faces[a:b], face_counts[block], matrices[block], tolerance * tolerance, refused[a:b],
            units[a:b], corners, corner_offsets
        )  # fmt: skip
        for arc in range(b - a):
            out_offsets[a + arc] = total
            if units[a + arc] >= 0:
                units[a + arc] += a
                for k in range(corner_offsets[arc], corner_offsets[arc + 1]):
                    out[total, 0], out[total, 1] = corners[k, 0] + x0, corners[k, 1] + y0
                    total += 1
    out_offsets[len(closed)] = total
