"""A slow tracer that is easy to check by eye: what the fast one must agree with."""

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from geodeeplab.vector.trace.arcs import Arcs, CornerBits

Corner = tuple[int, int]
Step = tuple[int, int]

STEPS: tuple[Step, ...] = ((1, 0), (0, 1), (-1, 0), (0, -1))
"""Right, down, left, up as (columns, rows); two steps are opposite if their places differ by 2."""
LEFT_PIXEL = {(1, 0): (0, -1), (0, 1): (0, 0), (-1, 0): (-1, 0), (0, -1): (-1, -1)}
"""Column and row, from the corner where a step begins, of the pixel on its left, rows going downwards."""
RIGHT_PIXEL = {(1, 0): (0, 0), (0, 1): (-1, 0), (-1, 0): (-1, -1), (0, -1): (0, -1)}


def label_components(labels: NDArray[np.integer], *, nodata: int = 0) -> NDArray[np.int32]:
    """Number the 4-connected components of equal labels by their first pixel in raster order; nodata is -1."""
    components = np.full(labels.shape, -1, np.int32)
    count = 0
    for start in np.argwhere(labels != nodata).tolist():
        if components[tuple(start)] >= 0:
            continue
        components[tuple(start)] = count
        waiting = [tuple(start)]
        while waiting:
            row, col = waiting.pop()
            for near in ((row, col + 1), (row + 1, col), (row, col - 1), (row - 1, col)):
                inside = 0 <= near[0] < labels.shape[0] and 0 <= near[1] < labels.shape[1]
                if inside and components[near] < 0 and labels[near] == labels[row, col]:
                    components[near] = count
                    waiting.append(near)
        count += 1
    return components


class Lattice:
    """The boundary edges of a labelled raster, asked corner by corner; corners are (col, row)."""

    def __init__(self, components: NDArray[np.int32]) -> None:
        self.padded = np.pad(components, 1, constant_values=-1)

    def sides(self, corner: Corner, step: Step) -> tuple[int, int]:
        """Give the components on the left and right of a step from a corner."""
        left, right = (
            int(self.padded[corner[1] + 1 + pixel[1], corner[0] + 1 + pixel[0]])
            for pixel in (LEFT_PIXEL[step], RIGHT_PIXEL[step])
        )
        return left, right

    def exits(self, corner: Corner) -> list[Step]:
        """List the steps along boundary edges from a corner."""
        rows, cols = self.padded.shape
        on_lattice = [
            step for step in STEPS if 0 <= corner[0] + step[0] <= cols - 2 and 0 <= corner[1] + step[1] <= rows - 2
        ]
        return [step for step in on_lattice if self.sides(corner, step)[0] != self.sides(corner, step)[1]]

    def corners(self) -> list[Corner]:
        """List all corners in raster order."""
        rows, cols = self.padded.shape
        return [(col, row) for row in range(rows - 1) for col in range(cols - 1)]


def walk(lattice: Lattice, start: Corner, step: Step, used: set[tuple[Corner, Step]]) -> list[Corner]:
    """Follow the boundary to the next junction, or back to the start; give its vertices and both ends."""
    vertices, corner = [start], start
    while True:
        used.add((corner, step))
        corner = (corner[0] + step[0], corner[1] + step[1])
        back = (-step[0], -step[1])
        used.add((corner, back))
        exits = lattice.exits(corner)
        if corner == start or len(exits) > 2:
            return [*vertices, corner]
        (onward,) = (exit for exit in exits if exit != back)
        if onward != step:
            vertices.append(corner)
        step = onward


def trace_arcs(labels: NDArray[np.integer], *, nodata: int = 0) -> tuple[Arcs, CornerBits]:
    """Trace a label raster.

    First the arcs between junctions by their first end in raster order, then by their first step (right, down, left,
    up); then the closed ones by their start, each beginning with a step to the right. Components are numbered as in
    `label_components`.
    """
    lattice = Lattice(label_components(labels, nodata=nodata))
    used: set[tuple[Corner, Step]] = set()
    lines: list[list[Corner]] = []
    sides: list[tuple[int, int]] = []
    for least, most in ((3, 4), (2, 2)):
        for corner in lattice.corners():
            exits = lattice.exits(corner)
            for step in exits if least <= len(exits) <= most else []:
                if (corner, step) not in used:
                    lines.append(walk(lattice, corner, step, used))
                    sides.append(lattice.sides(corner, step))
    arcs = arcs_of(lines, sides)
    height, width = labels.shape
    return arcs, bits_of(arcs, height=height, width=width)


def arcs_of(lines: list[list[Corner]], sides: list[tuple[int, int]] | None = None) -> Arcs:
    """Pack lines of corners; the sides are -1 where they are not given."""
    pairs = np.array(sides if sides else [(-1, -1)] * len(lines), np.int32).reshape(-1, 2)
    return Arcs(
        points=np.array([corner for line in lines for corner in line], np.int32).reshape(-1, 2),
        offsets=np.cumsum([0, *(len(line) for line in lines)], dtype=np.int64),
        left=np.ascontiguousarray(pairs[:, 0]),
        right=np.ascontiguousarray(pairs[:, 1]),
    )


def lines_of(arcs: Arcs) -> list[list[Corner]]:
    """Unpack the vertices of each arc."""
    ends = arcs.offsets.tolist()
    return [[(col, row) for col, row in arcs.points[a:b].tolist()] for a, b in pairwise(ends)]


def bits_of(arcs: Arcs, *, height: int, width: int) -> CornerBits:
    """Set a bit for each vertex and end of the arcs of a raster of this shape."""
    flags = np.zeros((height + 1, 64 * ((width + 1 + 63) // 64)), np.uint8)
    flags[arcs.points[:, 1], arcs.points[:, 0]] = 1
    return CornerBits(words=np.packbits(flags, axis=1, bitorder="little").view("<u8").astype(np.uint64), first_row=0)


def normal_form(arcs: Arcs) -> list[tuple[tuple[Corner, ...], int, int]]:
    """List arcs as (vertices, left, right), sorted, each in the direction of `trace_arcs`, to compare two tracers."""

    def forward(line: list[Corner]) -> tuple[int, int, int]:
        (col, row), (next_col, next_row) = line[:2]
        step = (int(np.sign(next_col - col)), int(np.sign(next_row - row)))
        return row, col, STEPS.index(step)

    found = []
    for line, left, right in zip(lines_of(arcs), arcs.left.tolist(), arcs.right.tolist(), strict=True):
        if forward(line) <= forward(line[::-1]):
            found.append((tuple(line), left, right))
        else:
            found.append((tuple(line[::-1]), right, left))
    return sorted(found)
