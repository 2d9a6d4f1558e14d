"""Farmland with woods, a river, villages and roads."""

from __future__ import annotations

import math

import numpy as np

from . import trees as tr
from .camera import draw_sun
from .canvas import VEGETATION, BoolArray, Canvas, blank_canvas, jitter
from .fields import Parcels, lay_parcels, paint_fields, paint_meadow
from .lines import FAR, Points, empty_field, keep_runs, trace_line, walk, wander
from .noise import FloatArray, fractal_noise, value_noise
from .palette import Palette, temperate_palette
from .roads import RoadKind, paint_roads, paint_tracks, park_cars, trace_roads
from .villages import build_farms, build_houses, build_works, built_up, village_streets
from .water import blob, paint_water

Point = tuple[float, float]


def build_temperate(rng: np.random.Generator, shape: tuple[int, int]) -> Canvas:
    """Compose a temperate scene on a canvas of (height, width) metres."""
    canvas, palette = blank_canvas(shape, draw_sun(rng)), temperate_palette(rng)
    parcels = lay_parcels(rng, shape, scale=rng.uniform(0.7, 1.15))
    paint_fields(canvas, rng, parcels, palette)
    centres = _settlement_centres(rng, shape)
    inland, river_angle = _river(rng, shape, centres)
    green = inland < 26 + 18 * value_noise(rng, shape, 120)
    paint_meadow(canvas, rng, green, palette, label=VEGETATION)
    mains = _main_roads(rng, shape, centres, river_angle)
    main_kind = RoadKind(half_width=rng.uniform(3.6, 5.0), verge=3.0, colour=palette.asphalt, marked=True)
    street_kind = RoadKind(half_width=rng.uniform(2.4, 3.2), verge=1.2, colour=palette.street, kerb=0.15)
    main_field = trace_roads(shape, mains, main_kind)
    villages = [village_streets(rng, centre, mains[0], inland) for centre in centres]
    built = built_up(rng, shape, villages)
    paint_meadow(
        canvas,
        rng,
        built & (inland > 4),
        palette,
        label=VEGETATION,
        colour=jitter(rng, palette.grass, 0.05),
        mottle=0.14,
    )
    woods = _woods(rng, shape, parcels) & ~built & (inland > 3) & (main_field.distance > 10)
    _wood_floor(canvas, rng, woods, palette)
    paint_water(canvas, rng, inland, palette, bank=2.5, shore=rng.uniform(5, 12))
    paint_tracks(canvas, rng, np.where(built | (inland < 3), FAR, parcels.lane), palette.soil)
    streets = [line for village in villages for line in village]
    street_field = trace_roads(shape, streets, street_kind)
    paint_roads(canvas, rng, street_field, street_kind, verge=palette.grass)
    paint_roads(canvas, rng, main_field, main_kind, verge=palette.grass)
    build_works(canvas, rng, centres, palette)
    build_houses(canvas, rng, streets, mains, built, palette)
    build_farms(canvas, rng, mains, palette)
    park_cars(canvas, rng, mains, main_kind.half_width * 0.5, 90)
    park_cars(canvas, rng, streets, street_kind.half_width * 0.55, 45)
    _plant(canvas, rng, palette, woods=woods, built=built, inland=inland, parcels=parcels, mains=mains)
    return canvas


def _settlement_centres(rng: np.random.Generator, shape: tuple[int, int]) -> list[Point]:
    number = max(1, round(shape[0] * shape[1] / 1300**2))
    centres: list[Point] = []
    for _ in range(200):
        x, y = rng.uniform(0.2, 0.8) * shape[1], rng.uniform(0.2, 0.8) * shape[0]
        if all(math.hypot(x - cx, y - cy) > 620 for cx, cy in centres):
            centres.append((x, y))
        if len(centres) == number:
            break
    return centres


def _river(rng: np.random.Generator, shape: tuple[int, int], centres: list[Point]) -> tuple[FloatArray, float]:
    """Give the distance to the shore, negative in river and ponds, (H, W), and the river's direction."""
    half = rng.uniform(9, 26)
    angle = rng.uniform(0, math.pi)
    side = rng.choice([-1, 1]) * rng.uniform(160, 260) * min(1.0, min(shape) / 900)
    through = (centres[0][0] - side * math.sin(angle), centres[0][1] + side * math.cos(angle))
    points = wander(
        rng,
        shape,
        through=through,
        angle=angle,
        bend=rng.uniform(35, 75),
        wavelength=rng.uniform(420, 800),
        meander=rng.uniform(0.2, 0.6),
    )
    field = empty_field(shape)
    trace_line(field, points, 110)
    inland = field.distance - half * (1 + 0.22 * value_noise(rng, shape, 140)) - 1.0 * value_noise(rng, shape, 14)
    for _ in range(rng.poisson(shape[0] * shape[1] / 1400**2) + 1):
        x, y = rng.uniform(0.05, 0.95, 2) * (shape[1], shape[0])
        if all(math.hypot(x - cx, y - cy) > 260 for cx, cy in centres):
            radius = rng.uniform(45, 120) * min(1.0, min(shape) / 1000) if rng.random() < 0.3 else rng.uniform(14, 38)
            inland = np.minimum(inland, blob(rng, shape, x, y, radius))
    return inland.astype(np.float32), angle


def _main_roads(rng: np.random.Generator, shape: tuple[int, int], centres: list[Point], river: float) -> list[Points]:
    first = wander(
        rng,
        shape,
        through=centres[0],
        angle=river + math.pi / 2 + rng.normal(0, 0.35),
        bend=rng.uniform(20, 60),
        wavelength=rng.uniform(900, 1800),
    )
    roads = [first]
    for centre in centres[1:] or centres:
        roads.append(
            wander(
                rng,
                shape,
                through=centre,
                angle=river + rng.normal(0, 0.3),
                bend=rng.uniform(15, 50),
                wavelength=rng.uniform(900, 1800),
            )
        )
    return roads


def _woods(rng: np.random.Generator, shape: tuple[int, int], parcels: Parcels) -> BoolArray:
    level = fractal_noise(rng, shape, 330, octaves=4, gain=0.45)
    whole = (rng.random(parcels.count) < 0.08)[parcels.field_id]
    return (level > np.quantile(level[::8, ::8], rng.uniform(0.72, 0.88))) | (whole & (parcels.edge > 2))


def _wood_floor(canvas: Canvas, rng: np.random.Generator, woods: BoolArray, palette: Palette) -> None:
    floor = tuple(0.55 * c for c in palette.leaves[0])
    paint_meadow(canvas, rng, woods, palette, label=VEGETATION, colour=floor)


def _plant(
    canvas: Canvas,
    rng: np.random.Generator,
    palette: Palette,
    *,
    woods: BoolArray,
    built: BoolArray,
    inland: FloatArray,
    parcels: Parcels,
    mains: list[Points],
) -> None:
    shape = canvas.shape
    free = tr.open_ground(canvas)
    stands = (value_noise(rng, shape, 160) > rng.uniform(0, 1.2)).astype(np.float32) * 0.9 + 0.04
    groups = [tr.scatter(rng, woods & free, spacing=4.6, radius=(2.4, 4.6), conifers=stands)]
    groups.append(
        tr.scatter(
            rng, built & free & (fractal_noise(rng, shape, 60) > 0.3), spacing=11, radius=(1.6, 3.8), conifers=0.06
        )
    )
    banks = (inland > 2) & (inland < 11) & (value_noise(rng, shape, 70) > 0.1) & free
    groups.append(tr.scatter(rng, banks, spacing=5.5, radius=(2.2, 4.2)))
    hedged = (rng.random(parcels.count) < 0.22)[parcels.field_id]
    hedge = hedged & (parcels.edge < 2.2) & ~built & free & (value_noise(rng, shape, 60) > -0.7)
    groups.append(tr.scatter(rng, hedge, spacing=3.2, radius=(1.4, 3.2)))
    rows = [
        (x, y)
        for line in mains[: 1 + int(rng.integers(2))]
        for side in (-8.5, 8.5)
        for x, y in _row(rng, line, side)
        if canvas.is_inside(x, y) and not canvas.taken[int(y), int(x)]
    ]
    if rows:
        groups.append(tr.make_trees(rng, np.array(rows), radius=(2.2, 3.6)))
    pasture = (rng.random(parcels.count) < 0.16)[parcels.field_id] & (canvas.labels == VEGETATION) & (parcels.edge > 6)
    pasture &= free & ~built & ~woods & (value_noise(rng, shape, 45) > 0.9)
    groups.append(tr.scatter(rng, pasture, spacing=15, radius=(2.2, 4.4)))
    tr.plant(canvas, rng, tr.join(groups), palette)


def _row(rng: np.random.Generator, line: Points, side: float) -> list[Point]:
    keep = np.convolve(rng.random(len(line)), np.ones(9) / 9, mode="same") > 0.47
    return [
        (x - side * math.sin(a), y + side * math.cos(a)) for run in keep_runs(line, keep) for x, y, a in walk(run, 11.0)
    ]
