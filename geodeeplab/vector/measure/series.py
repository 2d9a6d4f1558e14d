"""Chebyshev series of the metric of a map over a box."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.polynomial import chebyshev
from numpy.typing import NDArray

from geodeeplab.vector.measure.ground import Bounds, Floats, Ground

Reals = NDArray[np.floating[Any]]
Derivative = tuple[int, int]
"""How often by x and by y."""

SERIES_LENGTHS = (8, 12, 16, 24, 32, 48, 64, 96)
SERIES_TOLERANCE = 1e-9  # relative change of metric and scale at which no more terms are taken
SERIES_ACCEPTED = 1e-7  # the same with which a CRS still counts as smooth: some of PROJ's inverses stop early
SMALLEST_BOX_M = 50_000.0  # the series is taken over no less, as PROJ's last digits are noise
NEGLIGIBLE = 1e-12  # terms, relative to the first ones
CHECK_POINTS = 17
AGREEMENT = 1e-6  # of positions, relative to the size of the box
FLOOR = 1e-6  # of the largest value: near a pole the metric is nearly zero

QUADRATIC: tuple[tuple[Derivative, float], ...] = (
    ((0, 0), 1.0), ((1, 0), 1.0), ((0, 1), 1.0), ((2, 0), 0.5), ((1, 1), 1.0), ((0, 2), 0.5)
)  # fmt: skip
"""The derivatives of a quadratic's coefficients, and their factors."""


@dataclass(frozen=True, kw_only=True)
class Series:
    """Functions over a box as products of Chebyshev polynomials."""

    terms: Floats
    """(functions, terms in y, terms in x)."""
    box: Bounds
    """Where they hold."""

    @classmethod
    def through(cls, values: Floats, box: Bounds) -> "Series":
        """Give the series through values (functions, n, m) at the Chebyshev points of a box, see `chebyshev_points`."""
        return cls(terms=_apply(_to_terms(values.shape[1]), values, _to_terms(values.shape[2])), box=box)

    def at(self, x: Reals, y: Reals) -> Floats:
        """Give the functions at all pairs of x (m,) and y (n,), (functions, n, m)."""
        left, bottom, right, top = self.box
        in_x = chebyshev.chebvander((2 * x - left - right) / (right - left), self.terms.shape[2] - 1)
        in_y = chebyshev.chebvander((2 * y - bottom - top) / (top - bottom), self.terms.shape[1] - 1)
        return _apply(in_y, self.terms, in_x)

    def trimmed(self) -> "Series":
        """Give the series of s, E, 2F, G without the highest terms that are zero or noise."""
        size = np.abs(self.terms).max(axis=(1, 2))
        size[2] = np.sqrt(size[1] * size[3])
        matters = (np.abs(self.terms) > NEGLIGIBLE * size[:, None, None]).any(axis=0)
        rows, cols = (np.flatnonzero(matters.any(axis=axis))[-1] + 1 for axis in (1, 0))
        return Series(terms=self.terms[:, :rows, :cols], box=self.box)

    def derivative(self, order: Derivative) -> "Series":
        """Give a derivative of the functions."""
        left, bottom, right, top = self.box
        terms = chebyshev.chebder(self.terms, order[0], scl=2 / (right - left), axis=2)
        terms = chebyshev.chebder(terms, order[1], scl=2 / (top - bottom), axis=1)
        return Series(terms=np.asarray(terms, dtype=np.float64), box=self.box)

    def jets(self) -> "Series":
        """Give the derivatives that make quadratics, one after the other: (6 · functions, ...)."""
        terms = np.zeros((len(QUADRATIC), *self.terms.shape))
        for jet, (order, _) in zip(terms, QUADRATIC, strict=True):
            derivative = self.derivative(order).terms
            jet[:, : derivative.shape[1], : derivative.shape[2]] = derivative
        return Series(terms=terms.reshape(-1, *self.terms.shape[1:]), box=self.box)

    def integral_x(self, start: float) -> "Series":
        """Give the integrals along x, zero at `start`."""
        left, _, right, _ = self.box
        half = (right - left) / 2
        start = (start - (left + right) / 2) / half
        terms = chebyshev.chebint(self.terms, lbnd=start, scl=half, axis=2)
        return Series(terms=np.asarray(terms, dtype=np.float64), box=self.box)


def chebyshev_points(start: float, stop: float, count: int) -> Floats:
    """Give the Chebyshev points of an interval."""
    return np.asarray((start + stop) / 2 + (stop - start) / 2 * chebyshev.chebpts1(count), dtype=np.float64)


def _apply(in_y: Reals, values: Floats, in_x: Reals) -> Floats:
    """Give in_y @ values @ in_x.T without BLAS, whose threads would wait for each other on a busy machine."""
    product: Floats = np.einsum("yi,fij->fyj", in_y, values)
    product = np.einsum("fyj,jx->fyx", product, np.ascontiguousarray(in_x.T))
    return product


def _to_terms(count: int) -> Floats:
    """Give the matrix from values at the Chebyshev points to the terms of their series."""
    matrix = chebyshev.chebvander(chebyshev.chebpts1(count), count - 1).T * (2 / count)
    matrix[0] /= 2
    return matrix.astype(np.float64)


def metric_series(ground: Ground, bounds: Bounds) -> Series | None:
    """Give s, E, 2F and G over the bounds; None where the CRS tears or leaves its domain within them."""
    widened = widen(bounds, SMALLEST_BOX_M / ground.unit_m)
    if ground.is_geographic:
        series = _converge(_sample_geographic(ground), widened)
        assert series is not None, "the formulas are smooth"
        return series.trimmed()
    for box in (widened, bounds):
        series = _converge(_sample_map(ground), box)
        if series is not None and _agrees(series, ground):
            return Series(terms=series.terms[:4], box=box).trimmed()
    return None


def widen(bounds: Bounds, smallest: float) -> Bounds:
    """Give bounds about the same middle, no side shorter than `smallest`."""
    left, bottom, right, top = bounds
    wider, higher = (max(smallest - size, 0) / 2 for size in (right - left, top - bottom))
    return left - wider, bottom - higher, right + wider, top + higher


Sampler = Callable[[Bounds, int], Series | None]
"""Gives the series of s, E, 2F, G (and P) over a box, so many terms long; None where that is impossible."""


def _sample_geographic(ground: Ground) -> Sampler:
    """Sample longitudes and latitudes: closed forms of the latitude alone, analytic beyond the poles too."""

    def sample(box: Bounds, count: int) -> Series:
        lat = chebyshev_points(box[1], box[3], count) * ground.unit
        root = np.sqrt(1 - ground.e2 * np.sin(lat) ** 2)
        east = ground.unit * ground.semi_major_m * np.cos(lat) / root
        north = ground.unit * ground.semi_major_m * (1 - ground.e2) / root**3
        values = np.stack([east * north, east**2, np.zeros_like(lat), north**2])
        return Series.through(values[:, :, None], box)

    return sample


def _sample_map(ground: Ground) -> Sampler:
    """Sample any map: positions on the ellipsoid through PROJ, whose series is differentiated."""

    def sample(box: Bounds, count: int) -> Series | None:
        x, y = chebyshev_points(box[0], box[2], count), chebyshev_points(box[1], box[3], count)
        positions = ground.positions_of(*np.meshgrid(x, y))
        if not np.isfinite(positions).all():
            return None
        series = Series.through(positions, box)
        by_x, by_y = series.derivative((1, 0)).at(x, y), series.derivative((0, 1)).at(x, y)
        scale = np.linalg.norm(np.cross(by_x, by_y, axis=0), axis=0)
        metric = [(by_x * by_x).sum(axis=0), 2 * (by_x * by_y).sum(axis=0), (by_y * by_y).sum(axis=0)]
        return Series.through(np.stack([scale, *metric, *positions]), box)

    return sample


def _agrees(series: Series, ground: Ground) -> bool:
    """Tell whether a series gives the positions up to the edge of its box, where a map may end or tear."""
    x, y = _check_points(series.box)
    positions = series.at(x, y)[4:]
    tolerance = AGREEMENT * max(np.ptp(positions, axis=(1, 2)).max(), 1.0)
    return bool((np.abs(ground.positions_of(*np.meshgrid(x, y)) - positions) <= tolerance).all())


def _check_points(box: Bounds) -> tuple[Floats, Floats]:
    return np.linspace(box[0], box[2], CHECK_POINTS), np.linspace(box[1], box[3], CHECK_POINTS)


def relative_error(difference: Floats, values: Floats) -> float:
    """Give the largest difference of s, E, 2F, G (4, ...) in relation to their size."""
    size = np.abs(values)
    size[2] = np.sqrt(size[1] * size[3])
    size += FLOOR * size.max(axis=tuple(range(1, size.ndim)), keepdims=True)
    return float((np.abs(difference) / size).max())


def _converge(sample: Sampler, box: Bounds) -> Series | None:
    """Give the series at which more terms change nothing; None if there is none."""
    x, y = _check_points(box)
    best, least = None, SERIES_ACCEPTED
    before = None
    for count in SERIES_LENGTHS:
        series = sample(box, count)
        if series is None:
            return None
        values = series.at(x, y)[:4]
        if before is not None and (change := relative_error(values - before, values)) < least:
            best, least = series, change
            if change < SERIES_TOLERANCE:
                break
        before = values
    return best
