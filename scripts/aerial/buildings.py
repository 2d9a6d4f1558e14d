"""Buildings: footprints, roofs with a sunny and a shady side, clutter."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from .canvas import BUILDING, ROAD, BoolArray, Canvas, Colour, linear
from .noise import FloatArray


@dataclass(frozen=True, kw_only=True)
class Building:
    """One rectangle with a roof; L-shapes are two of them."""

    x: float
    """Centre, pixels."""
    y: float
    """Centre, pixels."""
    angle: float
    """Direction of the ridge in radians."""
    half_length: float
    """Half the extent along the ridge in pixels."""
    half_width: float
    """Half the extent across the ridge in pixels."""
    eaves: float
    """Height of the walls in metres."""
    roof: str
    """"gable", "hip", "flat", "shed" (sheet metal)."""
    colour: Colour
    """Display colour of the roof."""
    pitch: float = 0.6
    """Slope of the roof in radians."""


@dataclass(frozen=True, kw_only=True)
class _Local:
    window: tuple[slice, slice]
    u: FloatArray
    v: FloatArray


def _local(canvas: Canvas, building: Building, grow: float) -> _Local | None:
    """Give the coordinates along and across the ridge in a window, or None where it leaves the canvas entirely."""
    height, width = canvas.shape
    reach = math.hypot(building.half_length, building.half_width) + grow + 1
    left, right = max(int(building.x - reach), 0), min(int(building.x + reach) + 2, width)
    top, bottom = max(int(building.y - reach), 0), min(int(building.y + reach) + 2, height)
    if left >= right or top >= bottom:
        return None
    dx = np.arange(left, right, dtype=np.float32)[None, :] + np.float32(0.5 - building.x)
    dy = np.arange(top, bottom, dtype=np.float32)[:, None] + np.float32(0.5 - building.y)
    cos, sin = np.float32(math.cos(building.angle)), np.float32(math.sin(building.angle))
    return _Local(window=(slice(top, bottom), slice(left, right)), u=dx * cos + dy * sin, v=dy * cos - dx * sin)


def _inside(local: _Local, building: Building, grow: float) -> BoolArray:
    return (np.abs(local.u) <= building.half_length + grow) & (np.abs(local.v) <= building.half_width + grow)


def is_free(canvas: Canvas, building: Building, gap: float = 1.5) -> bool:
    """Tell whether the footprint, grown by `gap` pixels, meets nothing that is taken."""
    local = _local(canvas, building, gap)
    return local is not None and not bool((canvas.taken[local.window] & _inside(local, building, gap)).any())


def paint_plot(
    canvas: Canvas,
    rng: np.random.Generator,
    plot: Building,
    colour: Colour,
    label: int,
    *,
    fence: float = 0.75,
    grain: float = 0.06,
) -> None:
    """Paint the rectangle of a plot, garden or yard, where nothing is taken; `fence` darkens its rim."""
    local = _local(canvas, plot, 0)
    if local is None:
        return
    where = _inside(local, plot, 0) & ~canvas.taken[local.window] & (canvas.labels[local.window] != ROAD)
    tone = 1 + grain * rng.standard_normal(local.u.shape, dtype=np.float32)
    rim = (np.abs(local.u) > plot.half_length - 1) | (np.abs(local.v) > plot.half_width - 1)
    tone = np.where(rim, tone * fence, tone)
    canvas.albedo[local.window][where] = (linear(colour) * tone[..., None])[where]
    canvas.labels[local.window][where] = label


def _roof(rng: np.random.Generator, local: _Local, building: Building, canvas: Canvas) -> tuple[FloatArray, FloatArray]:
    """Give tone and height, both like `local.u`, of a roof."""
    u, v, sun = local.u, local.v, canvas.sun
    cos, sin = math.cos(building.angle), math.sin(building.angle)
    if building.roof in ("gable", "hip", "shed"):
        pitch = 0.14 if building.roof == "shed" else building.pitch
        tilt, rise = math.sin(pitch), math.cos(pitch)
        right, left = sun.shade(-sin * tilt, cos * tilt, rise), sun.shade(sin * tilt, -cos * tilt, rise)
        tone = np.where(v > 0, right, left).astype(np.float32)
        to_ridge = building.half_width - np.abs(v)
        if building.roof == "hip":
            to_end = building.half_length - np.abs(u)
            fore, aft = sun.shade(cos * tilt, sin * tilt, rise), sun.shade(-cos * tilt, -sin * tilt, rise)
            tone = np.where(to_end < to_ridge, np.where(u > 0, fore, aft), tone).astype(np.float32)
            to_ridge = np.minimum(to_ridge, to_end)
        height = building.eaves + np.maximum(to_ridge, 0) * np.float32(math.tan(pitch))
        if building.roof == "shed":
            tone *= 1 + np.float32(0.04) * np.sign(np.sin(u * np.float32(2 * math.pi / rng.uniform(3.5, 7))))
        else:
            tone *= 1 + np.float32(0.10) * (np.abs(v) < 0.6)
        return tone, height.astype(np.float32)
    tone = np.ones_like(u)
    rim = (np.abs(u) > building.half_length - 1.1) | (np.abs(v) > building.half_width - 1.1)
    tone[rim] = rng.choice([0.8, 1.15, 1.25])
    height = np.full_like(u, building.eaves) + np.where(rim, np.float32(0.8), np.float32(0))
    for _ in range(rng.poisson(building.half_length * building.half_width / 45)):
        cu = rng.uniform(-0.8, 0.8) * building.half_length
        cv = rng.uniform(-0.8, 0.8) * building.half_width
        box = (np.abs(u - cu) < rng.uniform(0.7, 2.2)) & (np.abs(v - cv) < rng.uniform(0.7, 1.8))
        tone[box] *= rng.choice([0.7, 0.85, 1.2])
        height = np.where(box, height + np.float32(rng.uniform(1, 2.6)), height)
    return tone, height


def paint_building(canvas: Canvas, rng: np.random.Generator, building: Building) -> None:
    """Paint the roof, set height and label, and take the ground."""
    local = _local(canvas, building, 0)
    if local is None:
        return
    inside = _inside(local, building, 0)
    tone, height = _roof(rng, local, building, canvas)
    tone = tone * (1 + np.float32(0.035) * rng.standard_normal(tone.shape, dtype=np.float32))
    higher = inside & (height > canvas.height[local.window])
    canvas.albedo[local.window][higher] = (linear(building.colour) * tone[..., None])[higher]
    canvas.height[local.window][higher] = height[higher]
    canvas.labels[local.window][inside] = BUILDING
    canvas.taken[local.window][_inside(local, building, 0.6)] = True


def with_wing(rng: np.random.Generator, building: Building, share: float) -> list[Building]:
    """Give the building, with probability `share` together with a wing that makes it an L or a T."""
    if rng.random() > share:
        return [building]
    reach = building.half_width * rng.uniform(0.7, 1.2)
    at = rng.choice([-1.0, 0.0, 1.0]) * (building.half_length - building.half_width * 0.8)
    side = rng.choice([-1.0, 1.0])
    cos, sin = math.cos(building.angle), math.sin(building.angle)
    dv = side * reach
    wing = replace(
        building,
        x=building.x + at * cos - dv * sin,
        y=building.y + at * sin + dv * cos,
        angle=building.angle + math.pi / 2,
        half_length=building.half_width * 0.6 + reach * 0.5,
        half_width=building.half_width * rng.uniform(0.6, 0.85),
    )
    return [building, wing]


def place(canvas: Canvas, rng: np.random.Generator, parts: list[Building], gap: float = 1.5) -> bool:
    """Paint all parts if the ground is free for every one of them; tell whether it was."""
    if not all(is_free(canvas, part, gap) for part in parts):
        return False
    for part in parts:
        paint_building(canvas, rng, part)
    return True
