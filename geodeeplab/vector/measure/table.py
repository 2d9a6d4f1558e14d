"""Areas and lengths on the ground as smooth functions of map coordinates, in tables that kernels read.

With P(x, y) the position on the ellipsoid, E = Px·Px, F = Px·Py, G = Py·Py are the metric of the map and
s = |Px × Py| its areal scale: a step (dx, dy) is √(E dx² + 2F dx dy + G dy²) long and a ring holds ∬ s dx dy = ∮ S dy,
where ∂S/∂x = s (Green). P is sampled through PROJ, once, and everything else follows from its Chebyshev series.

S belongs to the whole layer, zero on the line through its middle: every arc is integrated with the same S, so that the
parts of a ring add up to its area whatever the arcs. Its size there is at most half a layer's width times s, and so a
pixel's area loses as many digits as the layer is pixels wide: a pixel in a row of 50,000 keeps eleven of sixteen.
"""

from dataclasses import dataclass

import numpy as np

from geodeeplab.vector.measure.ground import Bounds, Floats, Ground
from geodeeplab.vector.measure.series import QUADRATIC, Series, metric_series, relative_error, widen

CELL_TOLERANCE = 1e-8  # relative error of metric and scale in a cell
MOST_CELLS_ON_AXIS = 1024
MOST_CELLS = 32_768  # 9 MB
CHECK_CELLS = 24  # along both axes
SMALLEST_LAYER_M = 1.0

_HERMITE = np.array([[1.0, 0, 0, 0], [0, 0, 1, 0], [-3, 3, -2, -1], [2, -2, 1, 1]])
"""From two values and two slopes to the coefficients of a cubic."""


@dataclass(frozen=True, kw_only=True)
class CellTable:
    """Local polynomials over a grid of cells, in coordinates counted in cells."""

    frame: Floats
    """(6,): x and y of the first cell's corner, cells per unit of x and of y, least and greatest y that there is."""
    coefficients: Floats
    """(rows, columns, 34). First 16: S, bicubic from the cell's corner, powers of x within those of y; S and its
    derivatives to (1, 1) are continuous, so that no cell shows. Then 6 each: E, 2F and G about the cell's middle (1, x,
    y, x², xy, y²)."""

    def metric(self, x: Floats, y: Floats) -> Floats:
        """Give E, 2F and G, (3, ...), at points of the layer."""
        rows, cols, _ = self.coefficients.shape
        u = (x - self.frame[0]) * self.frame[2]
        v = (np.clip(y, self.frame[4], self.frame[5]) - self.frame[1]) * self.frame[3]
        col, row = np.clip(u.astype(np.int64), 0, cols - 1), np.clip(v.astype(np.int64), 0, rows - 1)
        a, b = u - col - 0.5, v - row - 0.5
        powers = np.stack([np.ones_like(a), a, b, a * a, a * b, b * b], axis=-1)
        terms = self.coefficients[row, col, 16:].reshape(*a.shape, 3, 6)
        values: Floats = np.moveaxis(np.einsum("...mk,...k->...m", terms, powers), -1, 0)
        return values


def table_of(ground: Ground, bounds: Bounds) -> CellTable | None:
    """Give the table of a layer; None where its CRS tears or leaves its domain within the bounds."""
    bounds = widen(bounds, SMALLEST_LAYER_M / ground.unit_m)  # a layer may be a line, or a point
    series = metric_series(ground, bounds)
    if series is None:
        return None
    pole = np.pi / 2 / ground.unit if ground.is_geographic else np.inf
    return _tabulate(series, bounds, pole)


def _count_cells(series: Series, jets: Series, bounds: Bounds) -> tuple[int, int]:
    """Give how many rows and columns of cells are needed for quadratics to hold in them (the cubics of S then do)."""
    counts, error = (1, 1), _quadratic_error(series, jets, bounds, (1, 1))
    while error > CELL_TOLERANCE and counts[0] * counts[1] < MOST_CELLS:
        finer = [(2 * counts[0], counts[1]), (counts[0], 2 * counts[1])]
        errors = [_quadratic_error(series, jets, bounds, candidate) for candidate in finer]
        best = int(errors[1] < errors[0])
        if max(finer[best]) > MOST_CELLS_ON_AXIS:
            break
        counts, error = finer[best], errors[best]
    return counts


def _quadratic_error(series: Series, jets: Series, bounds: Bounds, counts: tuple[int, int]) -> float:
    """Give the error of quadratics at the corners of cells, the worst over some rows and columns of them."""
    rows, cols = (np.unique(np.linspace(0, count - 1, CHECK_CELLS).astype(np.int64)) for count in counts)
    step_x, step_y = (bounds[2] - bounds[0]) / counts[1], (bounds[3] - bounds[1]) / counts[0]
    x, y = bounds[0] + cols * step_x, bounds[1] + rows * step_y
    terms = jets.at(x + step_x / 2, y + step_y / 2).reshape(len(QUADRATIC), 4, len(y), len(x))
    worst = 0.0
    for right in (0, 1):
        for up in (0, 1):
            dx, dy = (right - 0.5) * step_x, (up - 0.5) * step_y
            guess = sum(
                factor * dx ** order[0] * dy ** order[1] * term
                for (order, factor), term in zip(QUADRATIC, terms, strict=True)
            )
            values = series.at(x + right * step_x, y + up * step_y)
            worst = max(worst, relative_error(guess - values, values))
    return worst


def _tabulate(series: Series, bounds: Bounds, pole: float) -> CellTable:
    """Write a series of s, E, 2F, G as local polynomials over the bounds."""
    jets = series.jets()
    rows, cols = _count_cells(series, jets, bounds)
    left, bottom, right, top = bounds
    step_x, step_y = (right - left) / cols, (top - bottom) / rows
    x, y = left + np.arange(cols + 1) * step_x, bottom + np.arange(rows + 1) * step_y
    coefficients = np.empty((rows, cols, 34))

    scale = Series(terms=series.terms[:1], box=series.box)
    potential = scale.integral_x((left + right) / 2)
    corners = np.empty((rows, cols, 4, 4))  # value below, above, slope below, above; across: left, right
    for by_x in (0, 1):
        for by_y in (0, 1):
            function = scale if by_x else potential
            values = function.derivative((0, by_y)).at(x, y)[0] * step_x**by_x * step_y**by_y
            for i in (0, 1):
                for j in (0, 1):
                    corners[:, :, 2 * by_y + i, 2 * by_x + j] = values[i : rows + i, j : cols + j]
    coefficients[:, :, :16] = (_HERMITE @ corners @ _HERMITE.T).reshape(rows, cols, 16)

    terms = jets.at(x[:-1] + step_x / 2, y[:-1] + step_y / 2).reshape(len(QUADRATIC), 4, rows, cols)
    for index, (order, factor) in enumerate(QUADRATIC):
        factor *= step_x ** order[0] * step_y ** order[1]
        coefficients[:, :, 16 + index :: 6] = factor * np.moveaxis(terms[index, 1:], 0, -1)
    frame = np.array([left, bottom, 1 / step_x, 1 / step_y, -pole, pole])
    return CellTable(frame=frame, coefficients=coefficients)
