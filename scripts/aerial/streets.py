"""Street networks of settlements, and the plots beside them."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from .canvas import BoolArray
from .lines import Points, keep_runs, sample, walk


def street_grid(
    rng: np.random.Generator,
    *,
    centre: tuple[float, float],
    radius: tuple[float, float],
    angle: float,
    block: tuple[float, float],
    warp: float,
    gaps: float,
) -> list[Points]:
    """Lay out a warped grid of streets within an ellipse.

    Args:
        rng: Randomness.
        centre: (x, y) of the settlement.
        radius: Half axes of the ellipse in pixels, along and across `angle`.
        angle: Direction of the long streets in radians.
        block: Distance of the cross streets, and of the long streets, in pixels.
        warp: Sideways excursion of the streets in pixels.
        gaps: Share of the stretches between two crossings that is left out.

    Returns:
        Lines (N, 2), the long streets first.
    """
    phases = rng.uniform(0, 2 * math.pi, 4)
    waves = 2 * math.pi / rng.uniform(2.2, 4.0, 4) / np.array([radius[0], radius[1], radius[0], radius[1]]) / 0.5
    rim = rng.uniform(0, 2 * math.pi, 2)

    def bend(u: np.ndarray, v: np.ndarray) -> Points:
        shift_v = warp * (np.sin(waves[0] * u + phases[0]) + 0.5 * np.sin(waves[1] * v + phases[1]))
        shift_u = warp * 0.6 * np.sin(waves[2] * v + phases[2] + waves[3] * u * 0.3)
        x, y = u + shift_u, v + shift_v
        return np.stack(
            [
                centre[0] + x * math.cos(angle) - y * math.sin(angle),
                centre[1] + x * math.sin(angle) + y * math.cos(angle),
            ],
            axis=1,
        )

    def within(u: np.ndarray, v: np.ndarray) -> BoolArray:
        turn = np.arctan2(v / radius[1], u / radius[0])
        limit = 1 + 0.14 * np.sin(3 * turn + rim[0]) + 0.10 * np.sin(5 * turn + rim[1])
        return np.asarray(np.hypot(u / radius[0], v / radius[1]) < limit)

    lines: list[Points] = []
    for long in (True, False):
        reach, across = (radius[0], radius[1]) if long else (radius[1], radius[0])
        step, other = (block[1], block[0]) if long else (block[0], block[1])
        for position in np.arange(-round(across * 1.2 / step), round(across * 1.2 / step) + 1) * step:
            run = np.arange(-reach * 1.25, reach * 1.25, 7.0)
            still = np.full_like(run, position)
            u, v = (run, still) if long else (still, run)
            stretch = np.floor(run / other).astype(int)
            open_stretch = rng.random(int(np.ptp(stretch)) + 1) >= (gaps * 0.5 if long else gaps)
            keep = within(u, v) & open_stretch[stretch - stretch.min()]
            lines.extend(keep_runs(bend(u, v), keep))
    return lines


def clear_of(lines: list[Points], barred: BoolArray) -> list[Points]:
    """Cut lines where they enter `barred`, (H, W)."""
    kept: list[Points] = []
    for points in lines:
        kept.extend(keep_runs(points, ~sample(barred, points).astype(bool)))
    return kept


def plots_beside(
    rng: np.random.Generator, lines: list[Points], *, spacing: tuple[float, float], setback: float
) -> Iterator[tuple[float, float, float, int, float]]:
    """Give (x, y, heading, side, frontage) of plots on both sides, `setback` pixels off the street's axis."""
    for points in lines:
        for side in (-1, 1):
            gap = rng.uniform(*spacing)
            for x, y, heading in walk(points, gap, rng.uniform(0.3, 0.8) * gap):
                yield x - side * setback * math.sin(heading), y + side * setback * math.cos(heading), heading, side, gap
