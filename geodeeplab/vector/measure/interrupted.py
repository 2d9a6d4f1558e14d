"""Areas and lengths on maps that tear or end within a layer (whole-world Mollweide, interrupted Homolosine).

No smooth function covers such a map, so every point goes through PROJ: slower by an order, and right wherever the map
is. The map is carried to a Lambert azimuthal equal-area plane about its middle, where rings have their ground area.
"""

import numpy as np
from numpy.typing import NDArray

from geodeeplab.vector.measure.ground import Bounds, Floats, Ground

LONGEST_PIECE_M = 4_000.0  # edges are cut into pieces of this length, each a parabola in the plane
SEARCH_POINTS = 65  # along both axes, where the middle is not on the Earth
STEP_M = 500.0  # for slopes
MOST_PIECES = 10_000  # of an edge around the Earth
POINTS_AT_ONCE = 200_000  # some 150 bytes each
ANTIPODE = 1e-12  # 1 + the cosine of the angle to the middle


class InterruptedMap:
    """A map whose points are transformed one by one.

    Raises:
        ValueError: nothing within the bounds lies on the Earth.
    """

    def __init__(self, ground: Ground, bounds: Bounds) -> None:
        self._ground = ground
        x, y = _middle(ground, bounds)
        centre = ground.directions(*ground.lonlat(x, y))[:, 0]
        east = np.cross([0.0, 0.0, 1.0] if abs(centre[2]) < 0.9 else [1.0, 0.0, 0.0], centre)
        east /= np.linalg.norm(east)
        self._axes = np.stack([east, np.cross(centre, east), centre])
        by_x, by_y = self._slopes(x, y)
        is_mirrored = np.dot(np.cross(by_x[:, 0], by_y[:, 0]), centre) < 0
        self._hand = -1.0 if is_mirrored else 1.0

    def metric(self, x: Floats, y: Floats) -> Floats:
        """Give E, 2F and G, (3, ...), at points; NaN where the map is not on the Earth."""
        by_x, by_y = self._slopes(x, y)
        return np.stack([(by_x * by_x).sum(axis=0), 2 * (by_x * by_y).sum(axis=0), (by_y * by_y).sum(axis=0)])

    def measure_arcs(self, points: Floats, offsets: NDArray[np.int64]) -> tuple[Floats, Floats]:
        """Give area integrals and lengths (A,) as `Ruler.measure_arcs` does."""
        areas, lengths = np.zeros((2, len(offsets) - 1))
        arcs = np.repeat(np.arange(len(areas)), np.diff(offsets))
        points = points[offsets[0] : offsets[-1]]
        counts = self._point_counts(points, arcs)
        ends = np.cumsum(counts)
        first = 0
        while first < len(points):  # one after the other, so that where batches end shows in no sum
            most = ends[first] - counts[first] + POINTS_AT_ONCE
            last = max(int(np.searchsorted(ends, most, side="right")), first + 1)
            part = slice(first, last + 1)  # with the vertex at which its last edge ends, if it is one
            dense, starts, vertex = _divide(points[part], counts[part], is_end=last == len(points))
            lon, lat = self._ground.lonlat(*dense.T)
            plane, positions = self._plane(lon, lat), self._ground.positions(lon, lat)
            arc = arcs[part][vertex]
            np.add.at(areas, arc, self._hand * _parabola_areas(*(plane[:, starts + i] for i in range(3))))
            np.add.at(lengths, arc, _curve_lengths(*(positions[:, starts + i] for i in range(3))))
            first = last
        return areas, lengths

    def _point_counts(self, points: Floats, arcs: NDArray[np.int64]) -> NDArray[np.int64]:
        """Give the points (V,) that each vertex and the edge after it take: two a piece, and one where an arc ends."""
        counts = np.ones(len(points), dtype=np.int64)
        has_edge = np.flatnonzero(arcs[1:] == arcs[:-1])
        with np.errstate(invalid="ignore"):  # ∞ − ∞
            chords = points[has_edge + 1] - points[has_edge]
        pieces = np.nan_to_num(np.hypot(*chords.T) * self._ground.unit_m / LONGEST_PIECE_M, posinf=0.0)
        counts[has_edge] = 2 * (1 + np.minimum(pieces, MOST_PIECES).astype(np.int64))
        return counts

    def _plane(self, lon: Floats, lat: Floats) -> Floats:
        """Give coordinates in the equal-area plane in metres, (2, N); NaN at the antipode of its middle."""
        x, y, z = self._axes @ self._ground.directions(lon, lat)
        scale = self._ground.authalic_radius_m * np.sqrt(2 / np.where(1 + z > ANTIPODE, 1 + z, np.nan))
        return np.stack([scale * x, scale * y])

    def _slopes(self, x: Floats, y: Floats) -> tuple[Floats, Floats]:
        """Give the derivatives of the position (3, ...) by x and y; one-sided where the map ends."""
        step = STEP_M / self._ground.unit_m
        here = self._ground.positions_of(x, y)
        slopes = []
        for dx, dy in ((step, 0.0), (0.0, step)):
            after = (self._ground.positions_of(x + dx, y + dy) - here) / step
            before = (here - self._ground.positions_of(x - dx, y - dy)) / step
            slopes.append(np.where(np.isnan(after), before, np.where(np.isnan(before), after, (before + after) / 2)))
        return slopes[0], slopes[1]


def _divide(
    points: Floats, counts: NDArray[np.int64], *, is_end: bool
) -> tuple[Floats, NDArray[np.int64], NDArray[np.int64]]:
    """Cut edges into pieces of two halves: all points, where pieces start among them, and the vertices before those.

    A piece runs from its start over the next point to the one after that, where the next piece starts. The edge after
    the last vertex is left out, but `is_end`, where there is none.
    """
    if not is_end:
        counts = np.append(counts[:-1], 1)
    chords = np.zeros_like(points)
    with np.errstate(invalid="ignore"):
        chords[:-1] = np.where(counts[:-1, None] > 1, points[1:] - points[:-1], 0.0)
    vertex = np.repeat(np.arange(len(points)), counts)
    step = np.arange(len(vertex)) - (np.cumsum(counts) - counts)[vertex]
    dense = points[vertex] + (step / counts[vertex])[:, None] * chords[vertex]
    starts = np.flatnonzero((counts[vertex] > 1) & (step % 2 == 0))
    return dense, starts, vertex[starts]


def _parabola_areas(start: Floats, middle: Floats, stop: Floats) -> Floats:
    """Integrate ½ (X dY − Y dX) along parabolas through three points (2, N) each: chords, and Archimedes' segments."""
    (x0, y0), (xm, ym), (x1, y1) = start, middle, stop
    chord = (x0 * (y1 - y0) - y0 * (x1 - x0)) / 2
    segment = 2 / 3 * ((xm - (x0 + x1) / 2) * (y1 - y0) - (ym - (y0 + y1) / 2) * (x1 - x0))
    areas: Floats = chord + segment
    return areas


def _curve_lengths(start: Floats, middle: Floats, stop: Floats) -> Floats:
    """Give the lengths of curves through three points (3, N) each, by Richardson's extrapolation of their chords."""
    fine = np.linalg.norm(middle - start, axis=0) + np.linalg.norm(stop - middle, axis=0)
    lengths: Floats = fine + (fine - np.linalg.norm(stop - start, axis=0)) / 3
    return lengths


def _middle(ground: Ground, bounds: Bounds) -> tuple[Floats, Floats]:
    """Give the point on the Earth that is nearest to the middle of the bounds, x (1,) and y (1,)."""
    left, bottom, right, top = bounds
    grid = np.meshgrid(np.linspace(left, right, SEARCH_POINTS), np.linspace(bottom, top, SEARCH_POINTS))
    x, y = (axis.ravel() for axis in grid)
    found = np.isfinite(ground.lonlat(x, y)[0])
    if not found.any():
        raise ValueError("the layer is outside its domain")
    nearest = np.hypot(x - (left + right) / 2, y - (bottom + top) / 2)[found].argmin()
    return x[found][nearest, None], y[found][nearest, None]
