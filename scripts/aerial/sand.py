"""Desert ground: sand, dunes, building lots with heaps of earth."""

from __future__ import annotations

import math

import numpy as np

from .buildings import Building, paint_plot
from .canvas import LAND, Canvas, jitter, linear
from .fields import paint_meadow
from .noise import fractal_noise, value_noise
from .palette import Palette


def paint_sand(canvas: Canvas, rng: np.random.Generator, palette: Palette) -> None:
    """Cover everything with sand: tints, dunes and mounds that catch the light, wind streaks, scrub."""
    shape = canvas.shape
    paint_meadow(
        canvas, rng, np.ones(shape, dtype=np.bool_), palette, label=LAND, colour=tuple(palette.soil), mottle=0.07
    )
    tint = np.clip(fractal_noise(rng, shape, 420, octaves=7, gain=0.72) * 0.5 + 0.4, 0, 1)[..., None]
    other = linear(jitter(rng, palette.soil, 0.10)) / linear(palette.soil)
    canvas.albedo[...] *= 1 + tint * (other - 1)
    relief = fractal_noise(rng, shape, 70, octaves=5, gain=0.55) * rng.uniform(0.8, 2.6)
    calm = np.clip(value_noise(rng, shape, 350) + 0.3, 0.1, 1.5)
    slope_y, slope_x = np.gradient(relief * calm)
    lit = 1 - (slope_x * canvas.sun.toward[0] + slope_y * canvas.sun.toward[1]) / canvas.sun.slope
    canvas.albedo[...] *= np.clip(lit, 0.5, 1.5)[..., None]
    damp = np.clip((fractal_noise(rng, shape, 200, octaves=6, gain=0.65) - rng.uniform(0.7, 1.8)) * 2, 0, 1)
    canvas.albedo[...] *= 1 - 0.22 * damp[..., None]
    _lots(canvas, rng, palette)


def _lots(canvas: Canvas, rng: np.random.Generator, palette: Palette) -> None:
    """Level building lots: another tint, wheel tracks, heaps of earth."""
    for _ in range(max(2, round(canvas.shape[0] * canvas.shape[1] / 330**2))):
        x, y, angle = rng.uniform(0, canvas.shape[1]), rng.uniform(0, canvas.shape[0]), rng.uniform(0, math.pi)
        lot = Building(
            x=x,
            y=y,
            angle=angle,
            half_length=rng.uniform(25, 110),
            half_width=rng.uniform(20, 60),
            eaves=0,
            roof="flat",
            colour=palette.soil,
        )
        paint_plot(canvas, rng, lot, jitter(rng, palette.soil, 0.08), LAND, fence=float(rng.choice([0.8, 1.0, 1.2])))
        heaps = rng.uniform(-0.8, 0.8, (int(rng.integers(0, 14)), 2)) * (lot.half_length, lot.half_width)
        for u, v in heaps:
            _heap(
                canvas,
                rng,
                x + u * math.cos(angle) - v * math.sin(angle),
                y + u * math.sin(angle) + v * math.cos(angle),
            )


def _heap(canvas: Canvas, rng: np.random.Generator, x: float, y: float) -> None:
    """Throw up a heap of earth with a sunny and a shady side."""
    radius = rng.uniform(2.5, 8)
    left, right = max(int(x - radius), 0), min(int(x + radius) + 2, canvas.shape[1])
    top, bottom = max(int(y - radius), 0), min(int(y + radius) + 2, canvas.shape[0])
    if left >= right or top >= bottom:
        return
    dx = (np.arange(left, right, dtype=np.float32)[None, :] - np.float32(x)) / np.float32(radius)
    dy = (np.arange(top, bottom, dtype=np.float32)[:, None] - np.float32(y)) / np.float32(radius)
    away = np.hypot(dx, dy)
    light = canvas.sun.shade(0.5 * dx, 0.5 * dy, np.sqrt(np.clip(1 - 0.25 * away**2, 0.1, 1)))
    window = (slice(top, bottom), slice(left, right))
    canvas.albedo[window] *= np.where(away < 1, light * np.float32(rng.uniform(0.85, 1.1)), 1)[..., None]
    canvas.height[window] = np.maximum(canvas.height[window], np.clip(1 - away, 0, 1) * radius * 0.4)
