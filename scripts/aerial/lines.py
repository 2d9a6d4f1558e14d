"""Polylines: how they wander, and the field of distances around them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from .canvas import BoolArray
from .noise import FloatArray

Points = NDArray[np.float64]
FAR = 1e6


@dataclass(frozen=True, kw_only=True)
class LineField:
    """For every pixel, where the nearest line runs."""

    distance: FloatArray
    """Distance to the nearest line in pixels, (H, W); `FAR` beyond the reach it was traced with."""
    along: FloatArray
    """Arc length of the nearest point on its line in pixels, (H, W)."""
    offset: FloatArray
    """Signed distance, positive to the right of the line, (H, W)."""


def empty_field(shape: tuple[int, int]) -> LineField:
    """Give a field without lines."""
    return LineField(
        distance=np.full(shape, FAR, dtype=np.float32),
        along=np.zeros(shape, dtype=np.float32),
        offset=np.full(shape, FAR, dtype=np.float32),
    )


def trace_line(field: LineField, points: Points, reach: float) -> None:
    """Add a polyline, points (N, 2) as x, y, to the field, exact up to `reach` pixels away from it."""
    height, width = field.distance.shape
    arc = 0.0
    for start, stop in pairwise(points):
        step = stop - start
        length = math.hypot(*step)
        if length < 1e-6:
            continue
        low = np.floor(np.minimum(start, stop) - reach).astype(int)
        high = np.ceil(np.maximum(start, stop) + reach).astype(int) + 1
        left, top, right, bottom = max(low[0], 0), max(low[1], 0), min(high[0], width), min(high[1], height)
        if left < right and top < bottom:
            window = (slice(top, bottom), slice(left, right))
            x = np.arange(left, right, dtype=np.float32)[None, :] + np.float32(0.5 - start[0])
            y = np.arange(top, bottom, dtype=np.float32)[:, None] + np.float32(0.5 - start[1])
            ux, uy = np.float32(step[0] / length), np.float32(step[1] / length)
            position = np.clip(x * ux + y * uy, 0, np.float32(length))
            side = y * ux - x * uy
            distance = np.hypot(x - position * ux, y - position * uy)
            nearer = distance < field.distance[window]
            field.distance[window][nearer] = distance[nearer]
            field.along[window][nearer] = position[nearer] + np.float32(arc)
            field.offset[window][nearer] = np.copysign(distance, side)[nearer]
        arc += length


def wander(
    rng: np.random.Generator,
    shape: tuple[int, int],
    *,
    through: tuple[float, float],
    angle: float,
    bend: float,
    wavelength: float,
    step: float = 14.0,
    meander: float = 0.0,
) -> Points:
    """Lead a line across the whole canvas, (N, 2).

    Args:
        rng: Randomness.
        shape: (height, width) of the canvas.
        through: Point (x, y) near which the line passes.
        angle: Main direction in radians.
        bend: Standard deviation of the sideways excursion in pixels.
        wavelength: Typical length of one bend in pixels.
        step: Distance of the points in pixels.
        meander: How far the line also swings back and forth along itself, as a share of `bend`.
    """
    reach = math.hypot(*shape) * 1.1
    u = np.arange(-reach, reach, step)
    sideways, back = np.zeros_like(u), np.zeros_like(u)
    for scale, weight in ((1.0, 1.0), (0.47, 0.45), (0.23, 0.16)):
        phase, phase_back = rng.uniform(0, 2 * math.pi, 2)
        wave = 2 * math.pi / (wavelength * scale * rng.uniform(0.85, 1.2))
        sideways += weight * np.sin(wave * u + phase)
        back += weight * np.sin(2 * wave * u + phase_back)
    middle = np.argmin(np.abs(u))
    sideways -= sideways[middle] * 0.8
    along = u + meander * bend * back
    x = through[0] + along * math.cos(angle) - bend * sideways * math.sin(angle)
    y = through[1] + along * math.sin(angle) + bend * sideways * math.cos(angle)
    return np.stack([x, y], axis=1)


def circle(x: float, y: float, radius: float) -> Points:
    """Give a closed ring of points, (N, 2)."""
    turn = np.linspace(0, 2 * math.pi, max(12, int(radius * 1.2)))
    return np.stack([x + radius * np.cos(turn), y + radius * np.sin(turn)], axis=1)


def keep_runs(points: Points, keep: BoolArray, least: int = 3) -> Iterator[Points]:
    """Cut a line where `keep`, (N,), is False; pieces of fewer than `least` points are left out."""
    run: list[int] = []
    for index, kept in enumerate([*keep.tolist(), False]):
        if kept:
            run.append(index)
            continue
        if len(run) >= least:
            yield points[run]
        run = []


def sample(array: NDArray[np.generic], points: Points) -> NDArray[np.generic]:
    """Look up an (H, W) array at points (N, 2), clamped to its edge."""
    height, width = array.shape
    col = np.clip(points[:, 0].astype(int), 0, width - 1)
    row = np.clip(points[:, 1].astype(int), 0, height - 1)
    return np.asarray(array[row, col])


def walk(points: Points, spacing: float, start: float = 0.0) -> Iterator[tuple[float, float, float]]:
    """Give (x, y, heading) every `spacing` pixels along a line."""
    steps = np.diff(points, axis=0)
    lengths = np.hypot(steps[:, 0], steps[:, 1])
    arc = np.concatenate([[0.0], np.cumsum(lengths)])
    for position in np.arange(start, arc[-1], spacing):
        index = min(int(np.searchsorted(arc, position, side="right")) - 1, len(steps) - 1)
        share = (position - arc[index]) / max(lengths[index], 1e-6)
        x, y = points[index] + share * steps[index]
        yield float(x), float(y), math.atan2(steps[index, 1], steps[index, 0])
