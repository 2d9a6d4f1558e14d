"""The line integrals along arcs, compiled with numba; imported where it is used, as numba takes a while to import."""

import numpy as np
from numpy.typing import NDArray

from geodeeplab.compiled import compiled

# An edge that spans no more than this of a cell has the length that its middle says.
SHORT = 1.0 / 8.0
# Longer ones are taken in pieces of at most half a cell along either axis.
PIECES = 2.0
# Gauss-Legendre with two nodes: half their distance, in edges or pieces.
GAUSS = 0.5 / np.sqrt(3.0)
# A point may lie this far outside the cells: in layers, and at most one cell.
SLACK = 1.0 / 16.0


@compiled
def _potential(table: NDArray[np.float64], u: float, v: float) -> float:
    """Give F at a position in cells; bicubic in each cell, continuous with its slope from cell to cell."""
    row = min(max(int(v), 0), table.shape[0] - 1)
    col = min(max(int(u), 0), table.shape[1] - 1)
    a, b = u - col, v - row
    c = table[row, col]
    row_0 = c[0] + a * (c[1] + a * (c[2] + a * c[3]))
    row_1 = c[4] + a * (c[5] + a * (c[6] + a * c[7]))
    row_2 = c[8] + a * (c[9] + a * (c[10] + a * c[11]))
    row_3 = c[12] + a * (c[13] + a * (c[14] + a * c[15]))
    return float(row_0 + b * (row_1 + b * (row_2 + b * row_3)))


@compiled
def _squared_length(table: NDArray[np.float64], u: float, v: float, dx: float, dy: float) -> float:
    """Give the squared length on the ground of a short step at a position in cells."""
    row = min(max(int(v), 0), table.shape[0] - 1)
    col = min(max(int(u), 0), table.shape[1] - 1)
    a, b = u - col - 0.5, v - row - 0.5
    c = table[row, col]
    squared = 0.0
    if dx != 0.0:
        squared += (c[16] + a * (c[17] + a * c[19]) + b * (c[18] + a * c[20] + b * c[21])) * dx * dx
        if dy != 0.0:
            squared += (c[22] + a * (c[23] + a * c[25]) + b * (c[24] + a * c[26] + b * c[27])) * dx * dy
    if dy != 0.0:
        squared += (c[28] + a * (c[29] + a * c[31]) + b * (c[30] + a * c[32] + b * c[33])) * dy * dy
    return max(squared, 0.0)


@compiled
def measure_arcs(
    points: NDArray[np.float64], offsets: NDArray[np.int64], frame: NDArray[np.float64], table: NDArray[np.float64],
    areas: NDArray[np.float64], lengths: NDArray[np.float64]
) -> None:  # fmt: skip
    """Integrate F dy and the length along each arc, whose edges are straight in CRS coordinates.

    Args:
        points: (V, 2) x and y.
        offsets: (A + 1,) where arcs begin and end in `points`.
        frame: (6,) x and y of the first cell's corner, cells per unit of x and of y, least and greatest y: points
            beyond these two are taken there.
        table: (rows, columns, 34), see `measure_table.CellTable`.
        areas: (A,), written; NaN for an arc with a point that is not finite or not in the table.
        lengths: (A,), written; likewise.
    """
    rows, cols = table.shape[0], table.shape[1]
    slack_u, slack_v = min(1.0, cols * SLACK), min(1.0, rows * SLACK)
    for arc in range(offsets.shape[0] - 1):
        area = length = 0.0
        x = y = u = v = 0.0
        for vertex in range(offsets[arc], offsets[arc + 1]):
            next_x = points[vertex, 0]
            next_y = min(max(points[vertex, 1], frame[4]), frame[5])
            next_u, next_v = (next_x - frame[0]) * frame[2], (next_y - frame[1]) * frame[3]
            # Written so that NaN is outside too.
            if not (-slack_u <= next_u <= cols + slack_u and -slack_v <= next_v <= rows + slack_v):
                area = length = np.nan
                break
            if vertex > offsets[arc]:
                dx, dy, du, dv = next_x - x, next_y - y, next_u - u, next_v - v
                span = max(abs(du), abs(dv))
                if span <= SHORT:
                    middle_u, middle_v = u + 0.5 * du, v + 0.5 * dv
                    length += np.sqrt(_squared_length(table, middle_u, middle_v, dx, dy))
                    if dy != 0.0:
                        gauss_u, gauss_v = GAUSS * du, GAUSS * dv
                        area += 0.5 * dy * (
                            _potential(table, middle_u - gauss_u, middle_v - gauss_v)
                            + _potential(table, middle_u + gauss_u, middle_v + gauss_v)
                        )  # fmt: skip
                else:
                    pieces = 1 + int(PIECES * span)
                    sum_length = sum_area = 0.0
                    for node in range(2 * pieces):
                        along = (node // 2 + 0.5 + (GAUSS if node & 1 else -GAUSS)) / pieces
                        node_u, node_v = u + along * du, v + along * dv
                        sum_length += np.sqrt(_squared_length(table, node_u, node_v, dx, dy))
                        if dy != 0.0:
                            sum_area += _potential(table, node_u, node_v)
                    length += 0.5 * sum_length / pieces
                    area += 0.5 * dy * sum_area / pieces
            x, y, u, v = next_x, next_y, next_u, next_v
        areas[arc], lengths[arc] = area, length
