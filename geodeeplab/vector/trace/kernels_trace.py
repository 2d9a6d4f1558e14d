"""Kernels that trace one block of a label raster: its components, and the boundary lines between them.

Corners of the block's border lines are left to `kernels_join`: a line that reaches one has a loose end there.
"""

import numpy as np
import numpy.typing as npt

from geodeeplab.compiled import compiled
from geodeeplab.vector.trace.kernels_sort import find, unite

Labels = npt.NDArray[np.int32]
Bytes = npt.NDArray[np.uint8]
Ints = npt.NDArray[np.int32]
Longs = npt.NDArray[np.int64]
Words = npt.NDArray[np.uint64]

JUNCTION, LOOSE, VERTEX = 1, 2, 0
"""Kinds of nodes: an end at a junction, an end on the block's border, and a corner where a line turns."""
UP, DOWN, LEFT, RIGHT = 1, 2, 4, 8
"""Bits of the boundary edges that meet in a corner."""


@compiled
def count_block(labels: Labels, nodata: int, totals: Longs) -> None:
    """Count what a block can have at most: nodes, line ends, turns and components before they are united.

    Arrays and numbers:
        labels: (h, w).
        nodata: label that is no component.
        totals: (4,) is filled with the four numbers.
    """
    h, w = labels.shape
    ends, turns, components = 0, 0, 0
    for j in range(w):
        differs = j > 0 and labels[0, j] != labels[0, j - 1]
        ends += differs
        components += (differs or j == 0) and labels[0, j] != nodata
        ends += j > 0 and labels[h - 1, j] != labels[h - 1, j - 1]
    for i in range(1, h):
        ends += labels[i - 1, 0] != labels[i, 0]
        ends += labels[i - 1, w - 1] != labels[i, w - 1]
        components += labels[i - 1, 0] != labels[i, 0] and labels[i, 0] != nodata
        for j in range(1, w):
            nw, ne, sw, se = labels[i - 1, j - 1], labels[i - 1, j], labels[i, j - 1], labels[i, j]
            components += se != sw and se != ne and se != nodata
            up, down, left, right = nw != ne, sw != se, nw != sw, ne != se
            degree = int(up) + int(down) + int(left) + int(right)
            if degree > 2:
                ends += degree
            elif degree == 2 and up != down:
                turns += 1
    totals[0], totals[1], totals[2], totals[3] = ends + turns, ends, turns, components


@compiled
def trace_block(
    labels: Labels, confidence: Bytes, nodata: int, first_row: int, first_col: int, eight: bool, words: Words,
    node_xy: Ints, node_link: Ints, node_far: Ints, node_kind: Bytes,
    parent: Ints, group: Ints, first: Longs, class_of: Ints, confidence_sum: Longs, confidence_count: Longs,
    confidence_min: Bytes, above: Ints, below: Ints, top: Ints, left_side: Ints, right_side: Ints, down: Ints,
    points: Ints, offsets: Longs, left: Ints, right: Ints, kinds: Bytes, totals: Longs
) -> None:  # fmt: skip
    """Trace a block; all arrays but the first two are filled, with the room that `count_block` asks for.

    Arrays and numbers:
        labels: (h, w).
        confidence: (h, w), 255 for none, or (0, 0).
        nodata: label that is no component.
        first_row, first_col: where the block lies in the scene, in pixels.
        eight: whether components that touch at corners are grouped.
        words: (h + 1, ...) of `CornerBits` for the block's rows, or (0, 0).
        node_xy, node_link, node_far, node_kind: (nodes, 2), (nodes, 2), (nodes,), (nodes,): work space. Links lead to
            the neighbours on the line, -1 for none; an end of an unfinished line knows the other end.
        parent, group, first, class_of, confidence_sum, confidence_count, confidence_min: (components,): the forest of
            components, that of their groups; and, at the roots, first pixel (row · 2³¹ + col), label, confidence.
        above, below: (w,): work space; `below` ends as the components of the bottom row, -1 for nodata.
        top: (w,): components of the top row. left_side, right_side: (h,): likewise of the first and last column.
        down: (w + 1,): work space.
        points, offsets, left, right, kinds: lines: corners (col, row) in the scene; (lines + 1,); component on either
            side; (lines, 2) kinds of the two ends, VERTEX for a closed line.
        totals: (3,): components, lines, points.
    """
    h, w = labels.shape
    n_nodes, n_comps, n_lines, n_points = 0, 0, 0, 0
    with_confidence, with_bits = confidence.size > 0, words.size > 0
    offsets[0] = 0
    for j in range(w + 1):
        down[j] = -1
    for i in range(h):
        current = -1  # the node at the end of the line that runs along this row of corners
        if i > 0 and labels[i - 1, 0] != labels[i, 0]:
            current = n_nodes
            n_nodes = _add_node(node_xy, node_link, node_far, node_kind, n_nodes, first_col, first_row + i, LOOSE)
        for j in range(w):
            se = labels[i, j]
            sw = labels[i, j - 1] if j > 0 else nodata
            ne = labels[i - 1, j] if i > 0 else nodata
            # The component of this pixel.
            component = -1
            if se != nodata:
                if j > 0 and sw == se:
                    component = below[j - 1]
                    if i > 0 and ne == se and labels[i - 1, j - 1] != se and above[j] != component:
                        unite(group, above[j], component)
                        component = int(unite(parent, above[j], component))
                elif i > 0 and ne == se:
                    component = above[j]
                else:
                    component = n_comps
                    parent[component] = component
                    group[component] = component
                    first[component] = (np.int64(first_row + i) << 31) | (first_col + j)
                    class_of[component] = se
                    confidence_sum[component] = 0
                    confidence_count[component] = 0
                    confidence_min[component] = 255
                    n_comps += 1
                if with_confidence and confidence[i, j] != 255:
                    value = confidence[i, j]
                    confidence_sum[component] += value
                    confidence_count[component] += 1
                    if value < confidence_min[component]:
                        confidence_min[component] = value
            below[j] = component
            if j == 0:
                left_side[i] = component
            if j == w - 1:
                right_side[i] = component
            if i == 0:
                top[j] = component
                if j > 0 and sw != se:
                    down[j] = n_nodes
                    n_nodes = _add_node(
                        node_xy, node_link, node_far, node_kind, n_nodes, first_col + j, first_row, LOOSE
                    )
                continue
            if j == 0:
                continue
            # The corner at the top left of this pixel.
            nw = labels[i - 1, j - 1]
            edges = 0
            if nw != ne:
                edges += UP
            if sw != se:
                edges += DOWN
            if nw != sw:
                edges += LEFT
            if ne != se:
                edges += RIGHT
            if edges == 0 or edges == UP + DOWN or edges == LEFT + RIGHT:
                continue
            x, y = first_col + j, first_row + i
            if with_bits:
                words[i, x >> 6] |= np.uint64(1) << np.uint64(x & 63)
            if edges == UP + LEFT:
                v = n_nodes
                n_nodes = _add_node(node_xy, node_link, node_far, node_kind, n_nodes, x, y, VERTEX)
                a, b = down[j], current
                far_a, far_b = node_far[a], node_far[b]
                _tie(node_link, a, v)
                _tie(node_link, v, b)
                down[j], current = -1, -1
                if far_a == b:
                    n_points = _walk(node_xy, node_link, a, True, points, n_points)
                    n_lines = _add_line(
                        offsets, left, right, kinds, n_lines, n_points, above[j], above[j - 1], VERTEX, VERTEX
                    )
                    # The walk from `a` began along its first link; which side is left shows in the shoelace sign.
                    _settle_sides(points, offsets, left, right, n_lines - 1, above[j - 1])
                else:
                    node_far[far_a] = far_b
                    node_far[far_b] = far_a
                    if node_kind[far_a] != VERTEX and node_kind[far_b] != VERTEX:
                        n_points = _walk(node_xy, node_link, far_a, False, points, n_points)
                        n_lines = _add_line(
                            offsets, left, right, kinds, n_lines, n_points, above[j], above[j - 1],
                            node_kind[far_a], node_kind[far_b]
                        )  # fmt: skip
            elif edges == UP + RIGHT:
                v = n_nodes
                n_nodes = _add_node(node_xy, node_link, node_far, node_kind, n_nodes, x, y, VERTEX)
                _extend(node_link, node_far, down[j], v)
                down[j], current = -1, v
            elif edges == DOWN + LEFT:
                v = n_nodes
                n_nodes = _add_node(node_xy, node_link, node_far, node_kind, n_nodes, x, y, VERTEX)
                _extend(node_link, node_far, current, v)
                down[j], current = v, -1
            elif edges == DOWN + RIGHT:
                down[j] = current = n_nodes
                n_nodes = _add_node(node_xy, node_link, node_far, node_kind, n_nodes, x, y, VERTEX)
            else:
                if edges & UP:
                    v = n_nodes
                    n_nodes = _add_node(node_xy, node_link, node_far, node_kind, n_nodes, x, y, JUNCTION)
                    _extend(node_link, node_far, down[j], v)
                    far = node_far[v]
                    if node_kind[far] != VERTEX:
                        n_points = _walk(node_xy, node_link, far, False, points, n_points)
                        n_lines = _add_line(
                            offsets, left, right, kinds, n_lines, n_points, above[j], above[j - 1],
                            node_kind[far], JUNCTION
                        )  # fmt: skip
                    down[j] = -1
                if edges & LEFT:
                    v = n_nodes
                    n_nodes = _add_node(node_xy, node_link, node_far, node_kind, n_nodes, x, y, JUNCTION)
                    _extend(node_link, node_far, current, v)
                    far = node_far[v]
                    if node_kind[far] != VERTEX:
                        n_points = _walk(node_xy, node_link, far, False, points, n_points)
                        n_lines = _add_line(
                            offsets, left, right, kinds, n_lines, n_points, above[j - 1], below[j - 1],
                            node_kind[far], JUNCTION
                        )  # fmt: skip
                    current = -1
                if edges & DOWN:
                    down[j] = n_nodes
                    n_nodes = _add_node(node_xy, node_link, node_far, node_kind, n_nodes, x, y, JUNCTION)
                if edges & RIGHT:
                    current = n_nodes
                    n_nodes = _add_node(node_xy, node_link, node_far, node_kind, n_nodes, x, y, JUNCTION)
                if eight:
                    if nw == se and se != nodata:
                        unite(group, above[j - 1], below[j])
                    if ne == sw and ne != nodata:
                        unite(group, above[j], below[j - 1])
        if current >= 0:
            v = n_nodes
            n_nodes = _add_node(node_xy, node_link, node_far, node_kind, n_nodes, first_col + w, first_row + i, LOOSE)
            _extend(node_link, node_far, current, v)
            far = node_far[v]
            if node_kind[far] != VERTEX:
                n_points = _walk(node_xy, node_link, far, False, points, n_points)
                n_lines = _add_line(
                    offsets, left, right, kinds, n_lines, n_points, above[w - 1], below[w - 1], node_kind[far], LOOSE
                )
        if i < h - 1:
            for j in range(w):
                above[j] = below[j]
    for j in range(1, w):
        if down[j] >= 0:
            v = n_nodes
            n_nodes = _add_node(node_xy, node_link, node_far, node_kind, n_nodes, first_col + j, first_row + h, LOOSE)
            _extend(node_link, node_far, down[j], v)
            far = node_far[v]
            if node_kind[far] != VERTEX:
                n_points = _walk(node_xy, node_link, far, False, points, n_points)
                n_lines = _add_line(
                    offsets, left, right, kinds, n_lines, n_points, below[j], below[j - 1], node_kind[far], LOOSE
                )
    totals[0], totals[1], totals[2] = n_comps, n_lines, n_points


@compiled
def number_components(
    parent: Ints, group: Ints, number: Ints, group_number: Ints, n: int, first: Longs, class_of: Ints,
    confidence_sum: Longs, confidence_count: Longs, confidence_min: Bytes, lines_left: Ints, lines_right: Ints,
    top: Ints, bottom: Ints, left_side: Ints, right_side: Ints
) -> int:  # fmt: skip
    """Number the components of a block from 0 in the order of their first pixels, everywhere; give how many there are.

    The statistics move to the front of their arrays; `group_number` is filled with the first component of each one's
    group.
    """
    total = 0
    for item in range(n):
        root = find(parent, item)
        if root == item:
            number[item] = total
            first[total], class_of[total] = first[item], class_of[item]
            confidence_sum[total], confidence_count[total], confidence_min[total] = (
                confidence_sum[item],
                confidence_count[item],
                confidence_min[item],
            )
            total += 1
        else:
            its_number = number[root]  # roots come first
            number[item] = its_number
            confidence_sum[its_number] += confidence_sum[item]
            confidence_count[its_number] += confidence_count[item]
            confidence_min[its_number] = min(confidence_min[its_number], confidence_min[item])
    for item in range(n):
        if parent[item] == item:
            group_number[number[item]] = number[find(group, item)]  # the least of a group is the root of its component
    for array in (lines_left, lines_right, top, bottom, left_side, right_side):
        for k in range(array.size):
            if array[k] >= 0:
                array[k] = number[array[k]]
    return total


@compiled
def mark_vertices(points: Ints, offsets: Longs, kinds: Bytes, words: Words, words_row: int) -> None:
    """Set the bits of a traced block's corners as `trace_block` does.

    Arrays and numbers:
        points, offsets, kinds: the block's lines.
        words, words_row: `CornerBits`.
    """
    for line in range(kinds.shape[0]):
        a = offsets[line] + (kinds[line, 0] == LOOSE)
        b = offsets[line + 1] - (kinds[line, 1] == LOOSE)
        for q in range(a, b):
            x, y = points[q, 0], points[q, 1]
            words[y - words_row, x >> 6] |= np.uint64(1) << np.uint64(x & 63)


@compiled
def _add_node(xy: Ints, link: Ints, far: Ints, kind: Bytes, n: int, x: int, y: int, its_kind: int) -> int:
    """Add a node that is a line of its own; give the number of nodes."""
    xy[n, 0], xy[n, 1] = x, y
    link[n, 0], link[n, 1] = -1, -1
    far[n] = n
    kind[n] = its_kind
    return n + 1


@compiled
def _tie(link: Ints, a: int, b: int) -> None:
    """Make two nodes neighbours on a line."""
    link[a, 0 if link[a, 0] < 0 else 1] = b
    link[b, 0 if link[b, 0] < 0 else 1] = a


@compiled
def _extend(link: Ints, far: Ints, end: int, new: int) -> None:
    """Make a new node the end of the line that ends in `end`."""
    _tie(link, end, new)
    start = far[end]
    far[new] = start
    far[start] = new


@compiled
def _walk(xy: Ints, link: Ints, start: int, closed: bool, points: Ints, n: int) -> int:
    """Append the nodes of a line from one end, or around a closed line; give the number of points."""
    before, node = -1, start
    while True:
        points[n, 0], points[n, 1] = xy[node, 0], xy[node, 1]
        n += 1
        after = link[node, 0] if link[node, 0] != before else link[node, 1]
        before, node = node, after
        if node == start or node < 0:
            break
    if closed:
        points[n, 0], points[n, 1] = xy[start, 0], xy[start, 1]
        n += 1
    return n


@compiled
def _add_line(
    offsets: Longs, left: Ints, right: Ints, kinds: Bytes, n: int, n_points: int, its_left: int, its_right: int,
    start_kind: int, end_kind: int
) -> int:  # fmt: skip
    """Add the line whose points were appended last; give the number of lines."""
    offsets[n + 1] = n_points
    left[n], right[n] = its_left, its_right
    kinds[n, 0], kinds[n, 1] = start_kind, end_kind
    return n + 1


@compiled
def _settle_sides(points: Ints, offsets: Longs, left: Ints, right: Ints, line: int, inner: int) -> None:
    """Put the component inside a closed line on its left or right, by the line's direction."""
    twice_area = np.int64(0)
    for k in range(offsets[line], offsets[line + 1] - 1):
        twice_area += np.int64(points[k, 0]) * points[k + 1, 1] - np.int64(points[k + 1, 0]) * points[k, 1]
    outer = right[line] if left[line] == inner else left[line]
    if twice_area > 0:  # clockwise, as rows go downwards: the inside is on the right
        left[line], right[line] = outer, inner
    else:
        left[line], right[line] = inner, outer
