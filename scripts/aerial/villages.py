"""Villages, farmsteads and workshops of a temperate scene."""

from __future__ import annotations

import math

import numpy as np

from .buildings import Building, is_free, paint_plot, place, with_wing
from .canvas import LAND, ROAD, VEGETATION, BoolArray, Canvas, jitter
from .lines import Points, empty_field, keep_runs, sample, trace_line
from .noise import FloatArray, value_noise
from .palette import Palette
from .roads import park_cars
from .streets import clear_of, plots_beside, street_grid

Point = tuple[float, float]


def village_streets(rng: np.random.Generator, centre: Point, main: Points, inland: FloatArray) -> list[Points]:
    """Lay out the streets of a village along or across its main road, on dry land."""
    nearest = int(np.argmin(np.hypot(*(main - centre).T)))
    ahead = main[min(nearest + 1, len(main) - 1)] - main[nearest - 1]
    angle = math.atan2(ahead[1], ahead[0]) + rng.choice([0.0, math.pi / 2])
    size = rng.uniform(150, 270) * min(1.0, 0.45 + min(inland.shape) / 1800)
    lines = street_grid(
        rng,
        centre=centre,
        radius=(size * rng.uniform(1.0, 1.5), size),
        angle=angle,
        block=(rng.uniform(95, 150), rng.uniform(62, 84)),
        warp=rng.uniform(6, 26),
        gaps=0.35,
    )
    return clear_of(lines, inland < 14)


def built_up(rng: np.random.Generator, shape: tuple[int, int], villages: list[list[Points]]) -> BoolArray:
    """Give the ground of the villages, gardens included, (H, W)."""
    field = empty_field(shape)
    for village in villages:
        for line in village:
            trace_line(field, line[::2] if len(line) > 6 else line, 60)
    return field.distance < 42 + 6 * value_noise(rng, shape, 50)


def _house(rng: np.random.Generator, x: float, y: float, heading: float, palette: Palette) -> Building:
    turned = rng.random() < 0.3
    colour = palette.pitched[int(rng.integers(len(palette.pitched)))]
    flat = rng.random() < 0.08
    if flat:
        colour = palette.flat[int(rng.integers(len(palette.flat)))]
    return Building(
        x=x,
        y=y,
        angle=heading + (math.pi / 2 if turned else 0) + rng.normal(0, 0.03),
        half_length=rng.uniform(5.2, 8.5),
        half_width=rng.uniform(3.8, 5.2),
        eaves=rng.uniform(3, 6.5),
        roof="flat" if flat else str(rng.choice(["gable", "gable", "hip"])),
        colour=jitter(rng, colour, 0.10),
        pitch=rng.uniform(0.5, 0.8),
    )


def build_houses(
    canvas: Canvas,
    rng: np.random.Generator,
    streets: list[Points],
    mains: list[Points],
    built: BoolArray,
    palette: Palette,
) -> None:
    """Build houses, gardens, drives and sheds beside the streets, and beside the main roads where `built`, (H, W)."""
    inside = [run for line in mains for run in keep_runs(line, _within(built, line))]
    fronts = [*inside, *streets]
    plots = [
        *plots_beside(rng, fronts, spacing=(16, 24), setback=15.5),
        *plots_beside(rng, fronts, spacing=(13, 17), setback=13.5),
    ]
    for x, y, heading, side, _ in plots:
        if not canvas.is_inside(x, y, 4) or rng.random() < 0.08:
            continue
        house = _house(rng, x, y, heading, palette)
        if not is_free(canvas, house, 2.5):
            continue
        reach = rng.uniform(12, 17)
        garden = Building(
            x=x - side * 4 * math.sin(heading),
            y=y + side * 4 * math.cos(heading),
            angle=heading,
            half_length=reach * 0.62,
            half_width=reach,
            eaves=0,
            roof="flat",
            colour=palette.grass,
        )
        paint_plot(canvas, rng, garden, jitter(rng, palette.grass, 0.12), VEGETATION)
        _drive(canvas, rng, house, heading, side, palette)
        place(canvas, rng, with_wing(rng, house, 0.3), 1.2)
        if rng.random() < 0.35:
            away = side * rng.uniform(11, 15)
            shed = Building(
                x=x - away * math.sin(heading) + rng.uniform(-5, 5) * math.cos(heading),
                y=y + away * math.cos(heading) + rng.uniform(-5, 5) * math.sin(heading),
                angle=heading,
                half_length=rng.uniform(2, 3.4),
                half_width=rng.uniform(1.8, 2.6),
                eaves=2.4,
                roof="shed",
                colour=jitter(rng, palette.flat[int(rng.integers(5))], 0.1),
            )
            place(canvas, rng, [shed], 1.5)


def _within(built: BoolArray, line: Points) -> BoolArray:
    height, width = built.shape
    inside = (line[:, 0] >= 0) & (line[:, 0] < width) & (line[:, 1] >= 0) & (line[:, 1] < height)
    return np.asarray(inside & sample(built, line).astype(bool))


def _drive(
    canvas: Canvas, rng: np.random.Generator, house: Building, heading: float, side: int, palette: Palette
) -> None:
    shift = rng.choice([-1, 1]) * (house.half_length * 0.5 + 2)
    back = side * -6.5
    drive = Building(
        x=house.x + shift * math.cos(heading) - back * math.sin(heading),
        y=house.y + shift * math.sin(heading) + back * math.cos(heading),
        angle=heading,
        half_length=rng.uniform(1.6, 3.2),
        half_width=7,
        eaves=0,
        roof="flat",
        colour=palette.paving,
    )
    paint_plot(canvas, rng, drive, jitter(rng, palette.paving, 0.10), ROAD, fence=1.0, grain=0.03)


def build_works(canvas: Canvas, rng: np.random.Generator, centres: list[Point], palette: Palette) -> None:
    """Put a few halls with paved yards at the edges of the settlements."""
    for cx, cy in centres:
        for _ in range(int(rng.integers(6, 14))):
            turn, away = rng.uniform(0, 2 * math.pi), rng.uniform(60, 330)
            x, y, angle = cx + away * math.cos(turn), cy + away * math.sin(turn), rng.uniform(0, math.pi)
            if not canvas.is_inside(x, y, 40):
                continue
            hall = Building(
                x=x,
                y=y,
                angle=angle,
                half_length=rng.uniform(14, 34),
                half_width=rng.uniform(9, 18),
                eaves=rng.uniform(6, 10),
                roof=str(rng.choice(["shed", "flat"])),
                colour=jitter(rng, palette.flat[int(rng.integers(5))], 0.08),
            )
            yard = Building(
                x=x + 6 * math.cos(angle),
                y=y + 6 * math.sin(angle),
                angle=angle,
                half_length=hall.half_length + 14,
                half_width=hall.half_width + 9,
                eaves=0,
                roof="flat",
                colour=palette.paving,
            )
            if is_free(canvas, yard, 3):
                paint_plot(canvas, rng, yard, palette.paving, ROAD, fence=0.85, grain=0.03)
                place(canvas, rng, [hall], 1)
                _park(canvas, rng, yard, hall)
                canvas.taken[_box(canvas, yard)] = True


def _box(canvas: Canvas, plot: Building) -> tuple[slice, slice]:
    reach = math.hypot(plot.half_length, plot.half_width) * 0.7
    return (
        slice(max(int(plot.y - reach), 0), int(plot.y + reach)),
        slice(max(int(plot.x - reach), 0), int(plot.x + reach)),
    )


def _park(canvas: Canvas, rng: np.random.Generator, yard: Building, hall: Building) -> None:
    cos, sin = math.cos(yard.angle), math.sin(yard.angle)
    for side in (-1, 1):
        v = side * (hall.half_width + 4.5)
        ends = [
            (yard.x + u * cos - v * sin, yard.y + u * sin + v * cos)
            for u in (-yard.half_length + 4, yard.half_length - 4)
        ]
        park_cars(canvas, rng, [np.array(ends)], 0.0, 11)


def build_farms(canvas: Canvas, rng: np.random.Generator, mains: list[Points], palette: Palette) -> None:
    """Put farmsteads, a house and barns around a yard, beside the roads outside the villages."""
    for x, y, heading, _, _ in plots_beside(rng, mains, spacing=(260, 520), setback=48):
        if not canvas.is_inside(x, y, 40):
            continue
        yard = Building(
            x=x, y=y, angle=heading, half_length=24, half_width=22, eaves=0, roof="flat", colour=palette.soil
        )
        if not is_free(canvas, yard, 2):
            continue
        paint_plot(canvas, rng, yard, palette.soil, LAND, fence=0.9)
        for index, (u, v) in enumerate(((-14, -10), (13, -8), (0, 13))):
            px = x + u * math.cos(heading) - v * math.sin(heading)
            py = y + u * math.sin(heading) + v * math.cos(heading)
            if index == 0:
                parts = with_wing(rng, _house(rng, px, py, heading, palette), 0.5)
            else:
                parts = [
                    Building(
                        x=px,
                        y=py,
                        angle=heading + rng.choice([0.0, math.pi / 2]),
                        half_length=rng.uniform(8, 14),
                        half_width=rng.uniform(4.5, 7),
                        eaves=4.5,
                        roof=str(rng.choice(["gable", "shed"])),
                        pitch=0.4,
                        colour=jitter(rng, (*palette.pitched, *palette.flat)[int(rng.integers(9))], 0.1),
                    )
                ]
            place(canvas, rng, parts, 1.2)
