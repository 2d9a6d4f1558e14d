"""Trees: crowns as domes, their light side and dark side; woods, rows and single trees."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .canvas import BUILDING, ROAD, VEGETATION, WATER, BoolArray, Canvas, linear
from .noise import FloatArray
from .palette import Palette

_VARIANTS = 5


@dataclass(frozen=True, kw_only=True)
class Trees:
    """Single crowns, N of them."""

    x: FloatArray
    """Centres, (N,), pixels."""
    y: FloatArray
    """Centres, (N,), pixels."""
    radius: FloatArray
    """Crown radii, (N,), pixels."""
    height: FloatArray
    """Tree heights, (N,), metres."""
    conifer: BoolArray
    """Whether dark and pointed, (N,)."""


def scatter(
    rng: np.random.Generator,
    where: BoolArray,
    *,
    spacing: float,
    radius: tuple[float, float],
    conifers: float | FloatArray = 0.0,
) -> Trees:
    """Put trees on a jittered grid of `spacing` pixels wherever `where`, (H, W), holds.

    `conifers` is their share, a number or an (H, W) map.
    """
    height, width = where.shape
    rows, cols = np.mgrid[0 : height / spacing, 0 : width / spacing]
    x = ((cols + rng.uniform(0, 1, cols.shape)) * spacing).ravel()
    y = ((rows + rng.uniform(0, 1, rows.shape)) * spacing).ravel()
    keep = (x < width) & (y < height)
    x, y = x[keep], y[keep]
    keep = where[y.astype(int), x.astype(int)]
    x, y = x[keep], y[keep]
    share = conifers if isinstance(conifers, float) else conifers[y.astype(int), x.astype(int)]
    return make_trees(rng, np.stack([x, y], axis=1), radius=radius, conifers=share)


def make_trees(
    rng: np.random.Generator,
    points: NDArray[np.floating],
    *,
    radius: tuple[float, float],
    conifers: float | FloatArray = 0.0,
) -> Trees:
    """Put a tree at each of points (N, 2) with radii drawn between two numbers of pixels."""
    size = rng.uniform(*radius, len(points))
    conifer = rng.random(len(points)) < conifers
    size = np.where(conifer, size * 0.72, size)
    height = np.where(conifer, 5 * size, 2.6 * size) * rng.uniform(0.8, 1.2, len(points)) + 1
    return Trees(
        x=points[:, 0].astype(np.float32),
        y=points[:, 1].astype(np.float32),
        radius=size.astype(np.float32),
        height=np.minimum(height, 24).astype(np.float32),
        conifer=conifer,
    )


def join(groups: list[Trees]) -> Trees:
    """Put several groups into one."""
    return Trees(
        x=np.concatenate([g.x for g in groups]),
        y=np.concatenate([g.y for g in groups]),
        radius=np.concatenate([g.radius for g in groups]),
        height=np.concatenate([g.height for g in groups]),
        conifer=np.concatenate([g.conifer for g in groups]),
    )


def _crown(rng: np.random.Generator, radius: float) -> tuple[NDArray[np.int64], NDArray[np.int64], FloatArray]:
    """Give the row and column offsets and the dome (0 at the rim, 1 on top) of one lobed crown."""
    reach = int(np.ceil(radius * 1.25))
    row, col = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    angle = np.arctan2(row, col)
    lobes = 1 + 0.12 * np.sin(3 * angle + rng.uniform(0, 6)) + 0.09 * np.sin(5 * angle + rng.uniform(0, 6))
    share = np.hypot(row + rng.uniform(-0.3, 0.3), col + rng.uniform(-0.3, 0.3)) / (radius * lobes)
    inside = share < 1
    return row[inside], col[inside], np.sqrt(1 - share[inside] ** 2).astype(np.float32)


def plant(canvas: Canvas, rng: np.random.Generator, trees: Trees, palette: Palette, *, leaf_gain: float = 1.0) -> None:
    """Paint the crowns, the higher over the lower; they become vegetation unless they stand on a building."""
    height, width = canvas.shape
    ground = canvas.labels.ravel()
    top = np.zeros(height * width, dtype=np.float32)
    stamps = []
    group = np.clip(np.round(trees.radius * 2), 2, 16).astype(int) * _VARIANTS + rng.integers(
        0, _VARIANTS, trees.x.size
    )
    for key in np.unique(group):
        rows, cols, dome = _crown(rng, key // _VARIANTS / 2)
        members = np.nonzero(group == key)[0]
        row = trees.y[members].astype(int)[:, None] + rows
        col = trees.x[members].astype(int)[:, None] + cols
        inside = (row >= 0) & (row < height) & (col >= 0) & (col < width)
        index = np.where(inside, row * width + col, 0)
        inside &= ground[index] != BUILDING
        value = trees.height[members][:, None] * (0.45 + 0.55 * dome)
        value = np.where(
            trees.conifer[members][:, None], trees.height[members][:, None] * (0.15 + 0.85 * dome**2), value
        )
        tree = np.broadcast_to(members[:, None], index.shape)
        slope_x = np.broadcast_to(cols / max(np.abs(cols).max(), 1), index.shape)
        slope_y = np.broadcast_to(rows / max(np.abs(rows).max(), 1), index.shape)
        rise = np.broadcast_to(dome, index.shape)
        stamps.append(
            (
                index[inside],
                value[inside].astype(np.float32),
                tree[inside],
                slope_x[inside],
                slope_y[inside],
                rise[inside],
            )
        )
    if not stamps:
        return
    index, value, tree, slope_x, slope_y, rise = (np.concatenate(part) for part in zip(*stamps, strict=True))
    value = value + rng.uniform(0, 0.9, value.size).astype(np.float32)
    np.maximum.at(top, index, value)
    wins = (top[index] == value) & (value > canvas.height.ravel()[index])
    index, value, tree = index[wins], value[wins], tree[wins]
    rounded = np.clip(rise[wins], 0.35, 1).astype(np.float32)
    light = canvas.sun.shade(slope_x[wins].astype(np.float32) * 0.8, slope_y[wins].astype(np.float32) * 0.8, rounded)
    light = 0.25 + 0.75 * light
    light *= 1 + 0.14 * rng.standard_normal(light.size, dtype=np.float32)
    colours = np.stack([linear(c) for c in palette.leaves])[rng.integers(0, len(palette.leaves), trees.x.size)]
    colours[trees.conifer] = linear(palette.needles)
    colours = (
        colours
        * leaf_gain
        * np.clip(rng.normal(1, 0.16, (trees.x.size, 1)) + rng.normal(0, 0.05, (trees.x.size, 3)), 0.4, 1.8)
    )
    canvas.albedo.reshape(-1, 3)[index] = colours[tree].astype(np.float32) * np.clip(light, 0.1, 2)[:, None]
    canvas.height.ravel()[index] = value
    ground[index] = VEGETATION


def open_ground(canvas: Canvas) -> BoolArray:
    """Give where trees may stand, (H, W): off roads, water and buildings."""
    free = (canvas.labels != ROAD) & (canvas.labels != WATER) & (canvas.labels != BUILDING)
    return np.asarray(free & ~canvas.taken)
