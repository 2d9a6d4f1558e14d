"""Kernels that draw label rasters: a pixel depends on its row, its column and the seed, not on which rows are drawn.

Noise is value noise: random knots on a lattice, joined by cubic B-splines, several octaves of it summed. Knots come
from a hash of their place, so that no table has to be as large as the raster.
"""

import math

import numpy as np
from numpy.typing import NDArray

from geodeeplab.compiled import compiled

Floats = NDArray[np.float32]
Labels = NDArray[np.uint8]


@compiled
def hash_place(row: int, col: int, seed: int) -> int:
    """Give 62 random bits for a place, by SplitMix64's finaliser."""
    mixed = (
        np.uint64(row) * np.uint64(0x9E3779B97F4A7C15)
        + np.uint64(col) * np.uint64(0xC2B2AE3D27D4EB4F)
        + np.uint64(seed) * np.uint64(0xD6E8FEB86659FD93)
    )
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return int(np.int64((mixed ^ (mixed >> np.uint64(31))) >> np.uint64(2)))


@compiled
def add_octave(field: Floats, first_row: int, cell: int, weight: float, seed: int) -> None:
    """Add noise with features of about `cell` pixels and a standard deviation of about `weight` to a field (n, W)."""
    height, width = field.shape
    scale = np.float32(
        weight * 3.6 / 2.0**61
    )  # knots are uniform in ±2^61; a B-spline keeps 0.277 of that as deviation
    shift = hash_place(0, 0, seed)
    row_shift, col_shift = shift % cell, (shift // 65536) % cell
    taps = np.empty((cell, 4), np.float32)
    for phase in range(cell):
        t = (phase + 0.5) / cell
        taps[phase, 0] = (1 - t) ** 3 / 6
        taps[phase, 1] = (3 * t**3 - 6 * t**2 + 4) / 6
        taps[phase, 2] = (-3 * t**3 + 3 * t**2 + 3 * t + 1) / 6
        taps[phase, 3] = t**3 / 6
    count = (width + col_shift) // cell + 1
    knots = np.empty((4, count + 3), np.float32)
    line = np.empty(count + 3, np.float32)
    held = -1
    for i in range(height):
        row = first_row + i + row_shift
        knot_row, phase = row // cell, row % cell
        if knot_row != held:
            held = knot_row
            for k in range(4):
                for j in range(count + 3):
                    knots[k, j] = np.float32(hash_place(knot_row + k, j, seed) - 2**61) * scale
        for j in range(count + 3):
            line[j] = (
                taps[phase, 0] * knots[0, j]
                + taps[phase, 1] * knots[1, j]
                + taps[phase, 2] * knots[2, j]
                + taps[phase, 3] * knots[3, j]
            )
        for j in range(count):
            start = j * cell - col_shift
            for col in range(max(start, 0), min(start + cell, width)):
                tap = col - start
                field[i, col] += (
                    taps[tap, 0] * line[j]
                    + taps[tap, 1] * line[j + 1]
                    + taps[tap, 2] * line[j + 2]
                    + taps[tap, 3] * line[j + 3]
                )


@compiled
def classify(first: Floats, second: Floats, seeds: Floats, out: Labels) -> None:
    """Give each pixel the number, from 1, of the nearest of the seeds (K, 2) in the plane of two fields."""
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            nearest, best = 0, np.float32(np.inf)
            for k in range(seeds.shape[0]):
                x, y = first[i, j] - seeds[k, 0], second[i, j] - seeds[k, 1]
                distance = x * x + y * y
                if distance < best:
                    nearest, best = k, distance
            out[i, j] = nearest + 1


@compiled
def draw_buildings(out: Labels, first_row: int, cell: int, label: int, seed: int) -> None:
    """Draw one rectangle of any direction into some of the squares of `cell` pixels, in quarters of 16 × 16 squares."""
    height, width = out.shape
    for cell_row in range(first_row // cell, (first_row + height - 1) // cell + 1):
        for cell_col in range((width - 1) // cell + 1):
            if hash_place(cell_row // 16, cell_col // 16, seed + 1) % 4:
                continue
            bits = hash_place(cell_row, cell_col, seed)
            if bits % 4 == 0:
                continue
            # The direction changes from quarter to quarter, as streets do; half the diagonal stays below half the cell.
            angle = (hash_place(cell_row // 4, cell_col // 4, seed + 2) % 90) * math.pi / 180
            cosine, sine = math.cos(angle), math.sin(angle)
            half_length = cell * (0.12 + 0.0022 * ((bits >> 8) % 100))
            half_width = cell * (0.08 + 0.0020 * ((bits >> 16) % 100))
            middle_row, middle_col = (cell_row + 0.5) * cell, (cell_col + 0.5) * cell
            for row in range(max(cell_row * cell, first_row), min((cell_row + 1) * cell, first_row + height)):
                for col in range(cell_col * cell, min((cell_col + 1) * cell, width)):
                    y, x = row + 0.5 - middle_row, col + 0.5 - middle_col
                    along, across = cosine * x + sine * y, cosine * y - sine * x
                    if abs(along) < half_length and abs(across) < half_width:
                        out[row - first_row, col] = label


@compiled
def speckle(out: Labels, first_row: int, share: float, classes: int, seed: int) -> None:
    """Give a share of the pixels any class, 1 to `classes`."""
    limit = np.int64(share * 2.0**62)
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            bits = hash_place(first_row + i, j, seed)
            if bits < limit:
                out[i, j] = 1 + hash_place(first_row + i, j, seed + 1) % classes


@compiled
def draw_between(out: Labels, field: Floats, low: float, high: float, label: int) -> None:
    """Give pixels a label where a field lies between two values."""
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            if low < field[i, j] < high:
                out[i, j] = label


@compiled
def wind_spiral(out: Labels, first_row: int, middle_row: float, middle_col: float, pitch: float) -> None:
    """Wind two arms, 1 and 2, around a point, each half of `pitch` pixels wide."""
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            y, x = first_row + i + 0.5 - middle_row, j + 0.5 - middle_col
            turns = math.sqrt(x * x + y * y) / pitch - math.atan2(y, x) / (2 * math.pi)
            out[i, j] = 1 + np.int64(math.floor(2 * turns)) % 2
