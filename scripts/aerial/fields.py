"""Farmland: districts of parcels, each with a crop, rows and wheel tracks."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .canvas import BoolArray, Canvas, linear
from .noise import FloatArray, fractal_noise, streaks, value_noise
from .palette import Palette


@dataclass(frozen=True, kw_only=True)
class Parcels:
    """A partition of the land into fields."""

    field_id: NDArray[np.int32]
    """Which field, (H, W), from 0."""
    along: FloatArray
    """Coordinate along the rows in pixels, (H, W)."""
    across: FloatArray
    """Coordinate across the rows in pixels, (H, W)."""
    edge: FloatArray
    """Distance to the field's edge in pixels, (H, W)."""
    lane: FloatArray
    """Distance in pixels to the nearest boundary along which a farm track runs, (H, W)."""
    count: int
    """Number of fields."""


def _cuts(rng: np.random.Generator, low: float, high: float, least: float, most: float) -> FloatArray:
    sizes = rng.uniform(least, most, int((high - low) / least) + 2)
    cuts = low - rng.uniform(0, most) + np.concatenate([[0.0], np.cumsum(sizes)])
    return cuts.astype(np.float32)


def lay_parcels(rng: np.random.Generator, shape: tuple[int, int], *, scale: float = 1.0) -> Parcels:
    """Divide the land into districts with a direction each, these into columns, these into fields.

    Args:
        rng: Randomness.
        shape: (height, width).
        scale: Size of the fields; 1 is about 100 m x 220 m.
    """
    height, width = shape
    bend_x, bend_y = value_noise(rng, shape, 420) * 16, value_noise(rng, shape, 420) * 16
    x = np.arange(width, dtype=np.float32)[None, :] + bend_x
    y = np.arange(height, dtype=np.float32)[:, None] + bend_y
    number = max(1, round(height * width / 800**2))
    seeds = rng.uniform(-0.05, 1.05, (number, 2)) * (width, height)
    district = np.zeros(shape, dtype=np.int16)
    best = np.full(shape, np.inf, dtype=np.float32)
    for index, (seed_x, seed_y) in enumerate(seeds.astype(np.float32)):
        distance = (x - seed_x) ** 2 + (y - seed_y) ** 2
        district[distance < best] = index
        np.minimum(best, distance, out=best)
    field_id, edge = np.zeros(shape, dtype=np.int32), np.zeros(shape, dtype=np.float32)
    lane = np.full(shape, 1e6, dtype=np.float32)
    along, across = np.zeros(shape, dtype=np.float32), np.zeros(shape, dtype=np.float32)
    base, count = rng.uniform(0, math.pi), 0
    for index in range(number):
        inside = np.nonzero(district == index)
        if not inside[0].size:
            continue
        angle = base + rng.normal(0, 0.2) + (math.pi / 2 if rng.random() < 0.3 else 0.0)
        px, py = x[inside] - seeds[index, 0].astype(np.float32), y[inside] - seeds[index, 1].astype(np.float32)
        u = px * np.float32(math.cos(angle)) + py * np.float32(math.sin(angle))
        v = py * np.float32(math.cos(angle)) - px * np.float32(math.sin(angle))
        columns = _cuts(rng, u.min(), u.max(), 140 * scale, 320 * scale)
        tracked = columns[rng.random(len(columns)) < 0.45]
        if tracked.size:
            lane[inside] = np.abs(u[:, None] - tracked).min(axis=1)
        column = np.clip(np.searchsorted(columns, u) - 1, 0, len(columns) - 2)
        ids, edges = np.zeros(u.shape, dtype=np.int32), np.zeros(u.shape, dtype=np.float32)
        order = np.argsort(column, kind="stable")
        bounds = np.searchsorted(column[order], np.arange(len(columns)))
        for k in range(len(columns) - 1):
            members = order[bounds[k] : bounds[k + 1]]
            if not members.size:
                continue
            rows = _cuts(rng, v[members].min(), v[members].max(), 50 * scale, 190 * scale)
            row = np.clip(np.searchsorted(rows, v[members]) - 1, 0, len(rows) - 2)
            ids[members] = count + row
            count += len(rows) - 1
            side = np.minimum(v[members] - rows[row], rows[row + 1] - v[members])
            end = np.minimum(u[members] - columns[k], columns[k + 1] - u[members])
            edges[members] = np.minimum(side, end)
        field_id[inside], edge[inside], along[inside], across[inside] = ids, edges, u, v
    return Parcels(field_id=field_id, along=along, across=across, edge=edge, lane=lane, count=count)


def paint_fields(canvas: Canvas, rng: np.random.Generator, parcels: Parcels, palette: Palette) -> None:
    """Cover the whole canvas with crops, bare soil and stubble, with rows, tramlines and headlands."""
    shape = canvas.shape
    crop = rng.integers(0, len(palette.crops), parcels.count)
    gain = rng.normal(1, 0.06, (parcels.count, 1)) + rng.normal(0, 0.02, (parcels.count, 3))
    colours = np.stack([linear(c.colour) for c in palette.crops])[crop] * gain
    pick = parcels.field_id
    rows = np.array([c.rows for c in palette.crops], dtype=np.float32)[crop][pick]
    mottle = np.array([c.mottle for c in palette.crops], dtype=np.float32)[crop][pick]
    grain = np.array([c.grain for c in palette.crops], dtype=np.float32)[crop][pick]
    tracks = (np.array([c.tramlines for c in palette.crops])[crop] & (rng.random(parcels.count) < 0.8))[pick]
    turned = (rng.random(parcels.count) < 0.5)[pick]
    headland = parcels.edge < 13
    across = np.where(turned ^ (headland & (parcels.edge > 2)), parcels.along, parcels.across)
    offset = rng.integers(0, 4096, parcels.count)[pick]
    streak = streaks(rng)[(np.floor(across * 1.3).astype(np.int32) + offset) % 4096]
    soil = fractal_noise(rng, shape, 140, octaves=5, gain=0.6)
    tone = 1 + rows * streak + mottle * soil + grain * rng.standard_normal(shape, dtype=np.float32)
    spacing = rng.choice([18.0, 21.0, 24.0, 27.0, 36.0], parcels.count).astype(np.float32)[pick]
    phase = np.abs(np.mod(across, spacing) - spacing / 2)
    ruts = tracks & ~headland & (np.abs(phase - 1.2) < 0.62)
    tone[ruts] *= rng.uniform(0.80, 0.92)
    tone[headland] *= 0.97
    canvas.albedo[...] = colours.astype(np.float32)[pick] * np.clip(tone, 0.3, 2)[..., None]
    canvas.labels[...] = np.array([c.label for c in palette.crops], dtype=np.uint8)[crop][pick]
    margin = parcels.edge < 1.3
    canvas.albedo[margin] = linear(palette.grass) * (0.85 + 0.08 * rng.standard_normal((int(margin.sum()), 1)))


def paint_meadow(
    canvas: Canvas,
    rng: np.random.Generator,
    where: BoolArray,
    palette: Palette,
    *,
    label: int,
    colour: tuple[float, ...] | None = None,
    mottle: float = 0.10,
) -> None:
    """Cover `where`, (H, W), with grass (or `colour`), patchy at several scales."""
    tone = 1 + mottle * fractal_noise(rng, canvas.shape, 60, octaves=5, gain=0.7)
    tone += 0.05 * rng.standard_normal(canvas.shape, dtype=np.float32)
    canvas.albedo[where] = linear(colour or palette.grass) * np.clip(tone, 0.3, 2)[where][:, None]
    canvas.labels[where] = label
