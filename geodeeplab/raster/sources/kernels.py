"""Resampling kernels compiled with numba; imported where they are used, as numba takes a while to import.

Every sum is taken in float64 and in an order that is fixed for the pixel, so that a pixel has the same bits in
whatever window it is computed. No kernel runs in several threads; none holds the GIL.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from geodeeplab.compiled import compiled

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


@compiled
def sum_weights(
    valid: Bools, row_first: Ints, row_count: Ints, row_weights: Floats, col_first: Ints, col_count: Ints,
    col_weights: Floats, out: Floats
) -> None:  # fmt: skip
    """Sum the weights of the valid pixels under each pixel of `out`.

    Args:
        valid: (H, W) of the source.
        row_first: (h,) first row of the source that counts for each row of `out`.
        row_count: (h,) how many rows count.
        row_weights: (h, most rows) their weights.
        col_first: (w,) the same for columns.
        col_count: (w,) the same for columns.
        col_weights: (w, most columns) the same for columns.
        out: (h, w), written.
    """
    column = np.empty(valid.shape[1], np.float64)
    for i in range(out.shape[0]):
        column[:] = 0.0
        for t in range(row_count[i]):
            row, weight = row_first[i] + t, row_weights[i, t]
            for c in range(valid.shape[1]):
                column[c] += weight if valid[row, c] else 0.0
        for j in range(out.shape[1]):
            total = 0.0
            for t in range(col_count[j]):
                total += col_weights[j, t] * column[col_first[j] + t]
            out[i, j] = total


@compiled
def weighted_mean(
    array: npt.NDArray[Any], valid: Bools, all_valid: bool, row_first: Ints, row_count: Ints, row_weights: Floats,
    col_first: Ints, col_count: Ints, col_weights: Floats, weights: Floats, rounds: bool, out: npt.NDArray[Any]
) -> None:  # fmt: skip
    """Average the valid pixels under each pixel of `out` where their weights are not 0; leave the rest untouched.

    Args:
        array: (C, H, W) pixels of the source.
        valid: (H, W) of the source.
        all_valid: True where `valid` is True everywhere: the same bits, sooner.
        row_first: see `sum_weights`, as the next five.
        row_count: (h,).
        row_weights: (h, most rows).
        col_first: (w,).
        col_count: (w,).
        col_weights: (w, most columns).
        weights: (h, w), what `sum_weights` gave.
        rounds: round to whole numbers, half to even.
        out: (C, h, w), written.
    """
    column = np.empty(array.shape[2], np.float64)
    for i in range(out.shape[1]):
        for channel in range(array.shape[0]):
            column[:] = 0.0
            for t in range(row_count[i]):
                row, weight = row_first[i] + t, row_weights[i, t]
                if all_valid:
                    for c in range(array.shape[2]):
                        column[c] += weight * np.float64(array[channel, row, c])
                else:
                    for c in range(array.shape[2]):
                        column[c] += weight * np.float64(array[channel, row, c]) if valid[row, c] else 0.0
            for j in range(out.shape[2]):
                if weights[i, j] > 0.0:
                    total = 0.0
                    for t in range(col_count[j]):
                        total += col_weights[j, t] * column[col_first[j] + t]
                    mean = total / weights[i, j]
                    out[channel, i, j] = np.rint(mean) if rounds else mean


@compiled
def interpolate_nodes(
    nodes: Floats, cell: int, row_start: int, col_start: int, quantum: float, out: Floats
) -> None:  # fmt: skip
    """Interpolate positions that are known at the corners of square cells, bilinearly, at the centres of pixels.

    Args:
        nodes: (2, rows, columns): x and y at every `cell`-th pixel corner.
        cell: pixels along the side of a cell.
        row_start: row of the first pixel, counted from the first node.
        col_start: column of the first pixel, counted from the first node.
        quantum: round to multiples of this.
        out: (2, h, w), written.
    """
    for axis in range(2):
        for i in range(out.shape[1]):
            row = (row_start + i) // cell
            down = (row_start + i - row * cell + 0.5) / cell
            for j in range(out.shape[2]):
                col = (col_start + j) // cell
                right = (col_start + j - col * cell + 0.5) / cell
                upper = nodes[axis, row, col] * (1.0 - right) + nodes[axis, row, col + 1] * right
                lower = nodes[axis, row + 1, col] * (1.0 - right) + nodes[axis, row + 1, col + 1] * right
                out[axis, i, j] = np.rint((upper * (1.0 - down) + lower * down) / quantum) * quantum


@compiled
def sample_nearest(
    array: npt.NDArray[Any], valid: Bools, row_off: int, col_off: int, positions: Floats, out: npt.NDArray[Any],
    out_valid: Bools
) -> None:  # fmt: skip
    """Copy the pixel that each position lies in, where that is valid; leave the rest untouched.

    Args:
        array: (C, H, W) pixels of a window of the source.
        valid: (H, W) of it.
        row_off: first row of the window in the source.
        col_off: first column of the window in the source.
        positions: (2, h, w): x (column) and y (row) in the source, 0 at its outer corner; NaN or inf: nowhere.
        out: (C, h, w), written.
        out_valid: (h, w), all False; True is written where a pixel was copied.
    """
    height, width = valid.shape
    for i in range(out_valid.shape[0]):
        for j in range(out_valid.shape[1]):
            x, y = positions[0, i, j] - col_off, positions[1, i, j] - row_off
            if x >= 0.0 and y >= 0.0 and x < width and y < height:
                row, col = int(y), int(x)
                if valid[row, col]:
                    out_valid[i, j] = True
                    for channel in range(array.shape[0]):
                        out[channel, i, j] = array[channel, row, col]


@compiled
def sample_bilinear(
    array: npt.NDArray[Any], valid: Bools, row_off: int, col_off: int, positions: Floats, rounds: bool,
    out: npt.NDArray[Any], out_valid: Bools
) -> None:  # fmt: skip
    """Interpolate between the valid ones of the four pixels around each position, where it lies in a valid pixel.

    Args:
        array: see `sample_nearest`, as all but `rounds`. The window must hold the four pixels, as far as they exist.
        valid: (H, W).
        row_off: row.
        col_off: column.
        positions: (2, h, w).
        rounds: round to whole numbers, half to even.
        out: (C, h, w), written.
        out_valid: (h, w), written.
    """
    height, width = valid.shape
    for i in range(out_valid.shape[0]):
        for j in range(out_valid.shape[1]):
            x, y = positions[0, i, j] - col_off, positions[1, i, j] - row_off
            if not (x >= 0.0 and y >= 0.0 and x < width and y < height) or not valid[int(y), int(x)]:
                continue
            out_valid[i, j] = True
            top, left = int(np.floor(y - 0.5)), int(np.floor(x - 0.5))
            down, right = y - 0.5 - top, x - 0.5 - left
            above, below = top >= 0, top + 1 < height and down > 0.0
            before, after = left >= 0, left + 1 < width and right > 0.0
            w00 = (1.0 - down) * (1.0 - right) if above and before and valid[top, left] else 0.0
            w01 = (1.0 - down) * right if above and after and valid[top, left + 1] else 0.0
            w10 = down * (1.0 - right) if below and before and valid[top + 1, left] else 0.0
            w11 = down * right if below and after and valid[top + 1, left + 1] else 0.0
            weight = w00 + w01 + w10 + w11
            for channel in range(array.shape[0]):
                total = 0.0
                if w00 > 0.0:
                    total += w00 * np.float64(array[channel, top, left])
                if w01 > 0.0:
                    total += w01 * np.float64(array[channel, top, left + 1])
                if w10 > 0.0:
                    total += w10 * np.float64(array[channel, top + 1, left])
                if w11 > 0.0:
                    total += w11 * np.float64(array[channel, top + 1, left + 1])
                mean = total / weight
                out[channel, i, j] = np.rint(mean) if rounds else mean
