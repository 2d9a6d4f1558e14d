"""Paved roads, unpaved tracks and what drives on them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from .canvas import LAND, ROAD, VEGETATION, WATER, Canvas, Colour, linear
from .lines import LineField, Points, empty_field, trace_line, walk
from .noise import FloatArray, value_noise


@dataclass(frozen=True, kw_only=True)
class RoadKind:
    """The cross-section of a road."""

    half_width: float
    """Half the paved width in pixels, the median included."""
    verge: float
    """Width of the strip beside it in pixels."""
    colour: Colour
    """Display colour of the surface."""
    median: float = 0.0
    """Half the width of the strip between two carriageways in pixels."""
    marked: bool = False
    """Whether a dashed line and edge lines are painted."""
    kerb: float = 0.0
    """How much lighter the outermost pixel is, as a share."""


def trace_roads(shape: tuple[int, int], lines: list[Points], kind: RoadKind) -> LineField:
    """Trace all roads of a kind into one field that reaches past their verges."""
    field = empty_field(shape)
    for points in lines:
        trace_line(field, points, kind.half_width + kind.verge + 3)
    return field


def paint_roads(
    canvas: Canvas,
    rng: np.random.Generator,
    field: LineField,
    kind: RoadKind,
    *,
    verge: Colour,
    verge_label: int = VEGETATION,
) -> None:
    """Paint verge, surface, median and markings of a traced kind; water is bridged."""
    shape = canvas.shape
    distance = field.distance
    beside = (distance < kind.half_width + kind.verge + 0.7 * value_noise(rng, shape, 6)) & (canvas.labels != WATER)
    beside &= canvas.labels != ROAD
    tone = 1 + 0.06 * rng.standard_normal((int(beside.sum()), 1), dtype=np.float32)
    canvas.albedo[beside] = linear(verge) * tone
    flat = (distance < kind.half_width + kind.verge) & (canvas.labels != WATER) & (canvas.labels != ROAD)
    canvas.labels[flat] = verge_label
    paved = distance < kind.half_width
    worn = (
        1 + 0.05 * value_noise(rng, shape, 90)[paved] + 0.025 * rng.standard_normal(int(paved.sum()), dtype=np.float32)
    )
    lane = np.abs(np.abs(field.offset[paved]) - kind.half_width * 0.5)
    worn *= 1 - 0.05 * np.exp(-(lane**2))
    worn *= np.where(distance[paved] > kind.half_width - 1.1, 1 + kind.kerb, 1)
    canvas.albedo[paved] = linear(kind.colour) * worn[:, None].astype(np.float32)
    canvas.labels[paved] = ROAD
    canvas.taken[distance < kind.half_width + min(kind.verge, 2.0) + 1] = True
    if kind.marked:
        _paint_markings(canvas, field, kind)
    if kind.median:
        middle = distance < kind.median
        canvas.albedo[middle] = linear(verge) * (
            1 + 0.06 * rng.standard_normal((int(middle.sum()), 1), dtype=np.float32)
        )
        canvas.labels[middle] = verge_label


def _paint_markings(canvas: Canvas, field: LineField, kind: RoadKind) -> None:
    centre = (kind.half_width + kind.median) / 2 if kind.median else 0.0
    dashes = (np.abs(field.distance - centre) < 0.45) & (np.mod(field.along, 12) < 5)
    edges = np.abs(field.distance - (kind.half_width - 0.9)) < 0.35
    canvas.albedo[dashes] = canvas.albedo[dashes] * 0.55 + 0.45 * linear((215, 215, 210))
    canvas.albedo[edges] = canvas.albedo[edges] * 0.8 + 0.2 * linear((215, 215, 210))


def paint_tracks(
    canvas: Canvas, rng: np.random.Generator, distance: FloatArray, soil: Colour, *, half_width: float = 2.0
) -> None:
    """Paint unpaved tracks by the distance to their axis, (H, W): two light ruts, a darker middle; they are land."""
    where = (distance < half_width) & (canvas.labels != WATER) & (canvas.labels != ROAD)
    tone = 1.15 + 0.07 * rng.standard_normal((int(where.sum()), 1), dtype=np.float32)
    tone[distance[where] < 0.6] *= 0.74
    canvas.albedo[where] = linear(soil) * tone
    canvas.labels[where] = LAND


_CARS: tuple[Colour, ...] = (
    (236, 236, 236),
    (40, 40, 44),
    (176, 178, 182),
    (120, 124, 130),
    (150, 40, 36),
    (44, 66, 120),
)


def park_cars(canvas: Canvas, rng: np.random.Generator, lines: list[Points], offset: float, spacing: float) -> None:
    """Put cars, 2 m x 4 m, on the lines, `offset` to either side and about `spacing` pixels apart; labels stay."""
    for points in lines:
        if len(points) < 2:
            continue
        for x, y, heading in walk(points, 6.0, rng.uniform(0, 6)):
            if rng.random() > 6.0 / spacing:
                continue
            side = offset if rng.random() < 0.5 else -offset
            car_x, car_y = x - side * math.sin(heading), y + side * math.cos(heading)
            if canvas.is_inside(car_x, car_y, 5) and canvas.labels[int(car_y), int(car_x)] == ROAD:
                stamp_car(canvas, rng, car_x, car_y, heading)


def stamp_car(canvas: Canvas, rng: np.random.Generator, x: float, y: float, heading: float) -> None:
    """Draw one car of a random colour with its windscreen."""
    top, left = int(y) - 3, int(x) - 3
    row, col = np.mgrid[top : top + 7, left : left + 7] + 0.5
    u = (col - x) * np.cos(heading) + (row - y) * np.sin(heading)
    v = (row - y) * np.cos(heading) - (col - x) * np.sin(heading)
    body = (np.abs(u) < 2.3) & (np.abs(v) < 1.05)
    colour = linear(_CARS[int(rng.choice(6, p=(0.34, 0.2, 0.2, 0.12, 0.07, 0.07)))])
    window = (slice(top, top + 7), slice(left, left + 7))
    canvas.albedo[window][body] = colour
    canvas.albedo[window][body & (np.abs(u - 0.7) < 0.5)] = colour * 0.35
    canvas.height[window][body] = 1.4
