"""A desert town: sand, villas, apartment blocks, dual carriageways, a lagoon and irrigated greens."""

from __future__ import annotations

import math

import numpy as np

from . import trees as tr
from .camera import draw_sun
from .canvas import LAND, ROAD, VEGETATION, BoolArray, Canvas, Colour, blank_canvas, linear
from .fields import paint_meadow
from .lines import FAR, Points, circle, empty_field, trace_line, walk, wander
from .noise import FloatArray, fractal_noise, value_noise
from .palette import Palette, arid_palette
from .quarters import around_lines, build_quarter, lay_quarters, links_to, pave
from .roads import RoadKind, paint_roads, paint_tracks, park_cars, trace_roads
from .sand import paint_sand
from .water import blob, paint_water


def build_arid(rng: np.random.Generator, shape: tuple[int, int]) -> Canvas:
    """Compose an arid scene on a canvas of (height, width) metres."""
    canvas, palette = blank_canvas(shape, draw_sun(rng)), arid_palette(rng)
    paint_sand(canvas, rng, palette)
    inland = _lagoon(rng, shape)
    angle = rng.uniform(0, math.pi)
    mains = _arterials(rng, shape, angle)
    main_kind = RoadKind(
        half_width=rng.uniform(9, 12),
        verge=rng.uniform(4, 9),
        colour=palette.asphalt,
        median=rng.uniform(1.5, 3.0),
        marked=True,
        kerb=0.2,
    )
    street_kind = RoadKind(half_width=rng.uniform(2.8, 4.2), verge=1.5, colour=palette.street, kerb=0.25)
    main_field = trace_roads(shape, mains, main_kind)
    quarters = lay_quarters(
        rng, shape, angle, palette, (inland < 14) | (main_field.distance < main_kind.half_width + 14)
    )
    near = around_lines(rng, shape, [line for quarter in quarters for line in quarter.streets], 30)
    greens = _greens(canvas, rng, palette, near, inland)
    for pond in _ponds(rng, shape, greens):
        inland = np.minimum(inland, pond)
    paint_water(
        canvas,
        rng,
        inland,
        palette,
        bank=rng.uniform(3, 8),
        bank_label=LAND,
        shore=rng.uniform(8, 40),
        turbid=rng.uniform(0.1, 0.7),
    )
    trails = trace_roads(shape, _tracks(rng, shape), RoadKind(half_width=2, verge=0, colour=palette.soil))
    paint_tracks(
        canvas, rng, np.where(near | (inland < 3), FAR, trails.distance), tuple(0.93 * c for c in palette.soil)
    )
    watered = rng.random() < 0.5
    verge, verge_label = (palette.grass, VEGETATION) if watered else (palette.soil, LAND)
    for quarter in quarters:
        pave(canvas, rng, quarter, palette)
        field = trace_roads(shape, [*quarter.streets, *links_to(quarter, mains)], street_kind)
        paint_roads(canvas, rng, field, street_kind, verge=palette.paving, verge_label=ROAD)
    paint_roads(canvas, rng, main_field, main_kind, verge=verge, verge_label=verge_label)
    _roundabouts(canvas, rng, mains, main_kind, verge, verge_label)
    for quarter in quarters:
        build_quarter(canvas, rng, quarter, palette, street_kind.half_width)
        park_cars(canvas, rng, quarter.streets, street_kind.half_width * 0.6, 28)
    for offset in (0.33, 0.75):
        park_cars(canvas, rng, mains, main_kind.half_width * offset, 60)
    _plant(canvas, rng, palette, mains=mains, kind=main_kind, near=near, greens=greens, watered=watered)
    return canvas


def _lagoon(rng: np.random.Generator, shape: tuple[int, int]) -> FloatArray:
    """Give the distance to the shore of a creek, a coast or a lake, negative in the water, (H, W)."""
    kind = str(rng.choice(["creek", "coast", "lake"]))
    scale = min(shape)
    if kind == "lake":
        x, y = rng.uniform(0.15, 0.85, 2) * (shape[1], shape[0])
        return blob(rng, shape, x, y, rng.uniform(0.09, 0.2) * scale, ragged=0.45)
    x, y = rng.uniform(0.2, 0.8, 2) * (shape[1], shape[0])
    angle = rng.uniform(0, 2 * math.pi)
    if kind == "creek":
        field = empty_field(shape)
        trace_line(
            field,
            wander(
                rng,
                shape,
                through=(x, y),
                angle=angle,
                bend=scale * rng.uniform(0.03, 0.08),
                wavelength=scale * rng.uniform(0.4, 0.9),
            ),
            140,
        )
        half = rng.uniform(22, 60) * min(1, scale / 900)
        return (field.distance - half * (1 + 0.3 * value_noise(rng, shape, 170))).astype(np.float32)
    col = np.arange(shape[1], dtype=np.float32)[None, :] - shape[1] / 2
    row = np.arange(shape[0], dtype=np.float32)[:, None] - shape[0] / 2
    coast = (
        col * np.float32(math.cos(angle))
        + row * np.float32(math.sin(angle))
        + np.float32(scale * rng.uniform(0.2, 0.4))
    )
    return (coast + 35 * fractal_noise(rng, shape, 260, octaves=4, gain=0.4)).astype(np.float32)


def _arterials(rng: np.random.Generator, shape: tuple[int, int], angle: float) -> list[Points]:
    roads = []
    for k in range(max(2, round(math.hypot(*shape) / 1000) + 1)):
        turn = angle + (k % 2) * math.pi / 2 + rng.normal(0, 0.12)
        x, y = rng.uniform(0.12, 0.88, 2) * (shape[1], shape[0])
        roads.append(
            wander(rng, shape, through=(x, y), angle=turn, bend=rng.uniform(10, 70), wavelength=rng.uniform(900, 1800))
        )
    return roads


def _greens(
    canvas: Canvas, rng: np.random.Generator, palette: Palette, near: BoolArray, inland: FloatArray
) -> BoolArray:
    """Paint parks or a golf course with sandy gaps; give where they are."""
    shape = canvas.shape
    level = fractal_noise(rng, shape, 280, octaves=6, gain=0.45)
    park = (level > np.quantile(level[::8, ::8], rng.uniform(0.55, 0.95))) & ~near & (inland > 5)
    fairways = park & (fractal_noise(rng, shape, 60, octaves=3, gain=0.4) > rng.uniform(-1.3, -0.4))
    paint_meadow(canvas, rng, fairways, palette, label=VEGETATION, mottle=0.16)
    cut = fairways & (value_noise(rng, shape, 70) > 0.6)
    canvas.albedo[cut] *= np.array([0.95, 1.15, 0.9], dtype=np.float32)
    return fairways


def _ponds(rng: np.random.Generator, shape: tuple[int, int], greens: BoolArray) -> list[FloatArray]:
    rows, cols = np.nonzero(greens[::4, ::4])
    if rows.size == 0:
        return []
    picks = rng.integers(0, rows.size, 1 + rng.poisson(shape[0] * shape[1] / 1000**2))
    return [blob(rng, shape, cols[k] * 4.0, rows[k] * 4.0, rng.uniform(14, 36), ragged=0.4) for k in picks[:5]]


def _tracks(rng: np.random.Generator, shape: tuple[int, int]) -> list[Points]:
    return [
        wander(
            rng,
            shape,
            through=(rng.uniform(0, shape[1]), rng.uniform(0, shape[0])),
            angle=rng.uniform(0, math.pi),
            bend=rng.uniform(10, 60),
            wavelength=rng.uniform(300, 900),
        )
        for _ in range(max(3, round(shape[0] * shape[1] / 420**2)))
    ]


def _roundabouts(
    canvas: Canvas, rng: np.random.Generator, mains: list[Points], kind: RoadKind, verge: Colour, verge_label: int
) -> None:
    ring = RoadKind(half_width=4.5, verge=1.5, colour=kind.colour, kerb=0.2)
    for index, first in enumerate(mains):
        for second in mains[index + 1 :]:
            gaps = np.hypot(first[:, None, 0] - second[None, :, 0], first[:, None, 1] - second[None, :, 1])
            k = np.unravel_index(int(np.argmin(gaps)), gaps.shape)[0]
            x, y = float(first[k, 0]), float(first[k, 1])
            if gaps.min() > 20 or not canvas.is_inside(x, y, 5):
                continue
            radius = rng.uniform(17, 27)
            field = empty_field(canvas.shape)
            trace_line(field, circle(x, y, radius), radius + 4)
            row, col = np.ogrid[: canvas.shape[0], : canvas.shape[1]]
            island = np.hypot(col - x, row - y) < radius
            paint_roads(canvas, rng, field, ring, verge=verge, verge_label=verge_label)
            middle = island & (field.distance >= ring.half_width)
            canvas.labels[middle] = verge_label
            canvas.albedo[middle] = linear(verge) * (1 + 0.08 * rng.standard_normal((int(middle.sum()), 1)))
            canvas.taken[island] = True


def _plant(
    canvas: Canvas,
    rng: np.random.Generator,
    palette: Palette,
    *,
    mains: list[Points],
    kind: RoadKind,
    near: BoolArray,
    greens: BoolArray,
    watered: bool,
) -> None:
    shape = canvas.shape
    free = tr.open_ground(canvas)
    groups = [tr.scatter(rng, near & free & (fractal_noise(rng, shape, 35) > 0.6), spacing=8, radius=(1.2, 2.5))]
    groups.append(tr.scatter(rng, greens & free & (fractal_noise(rng, shape, 90) > 0.5), spacing=6, radius=(1.6, 3.4)))
    scrub = (
        free & ~near & ~greens & (fractal_noise(rng, shape, 160) > rng.uniform(0.6, 1.8)) & (rng.random(shape) < 0.5)
    )
    groups.append(tr.scatter(rng, scrub, spacing=11, radius=(1.0, 1.9)))
    beside = kind.half_width + 3.5
    offsets = [
        d for d, chance in ((0.0, 0.6), (beside, 0.35), (-beside, 0.35)) if rng.random() < chance + 0.3 * watered
    ]
    spacing = rng.uniform(8, 22)
    rows = [
        (x - d * math.sin(a), y + d * math.cos(a))
        for line in mains
        for d in offsets
        for x, y, a in walk(line, spacing, rng.uniform(0, 9))
    ]
    rows = [(x, y) for x, y in rows if canvas.is_inside(x, y) and canvas.labels[int(y), int(x)] in (LAND, VEGETATION)]
    if rows:
        groups.append(tr.make_trees(rng, np.array(rows), radius=(1.5, 2.6)))
    tr.plant(canvas, rng, tr.join(groups), palette)
