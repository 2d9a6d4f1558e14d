"""Quarters of a desert town: their streets, houses, gardens and pools."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from .buildings import Building, is_free, paint_building, paint_plot, place, with_wing
from .canvas import LAND, VEGETATION, WATER, BoolArray, Canvas, Colour, jitter
from .fields import paint_meadow
from .lines import Points, empty_field, trace_line
from .noise import value_noise
from .palette import Palette
from .streets import clear_of, plots_beside, street_grid

Point = tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class Quarter:
    """A compound: its streets and what stands along them."""

    use: str
    """"villas", "rows", "blocks" or "halls"."""
    streets: list[Points]
    """Street axes."""
    roofs: tuple[Colour, ...]
    """Display colours of its roofs."""
    tiled: float
    """Share of tiled roofs."""
    green: float
    """Share of plots with a watered garden."""


def lay_quarters(
    rng: np.random.Generator, shape: tuple[int, int], angle: float, palette: Palette, barred: BoolArray
) -> list[Quarter]:
    """Lay out quarters at random places, their streets about parallel to `angle` and clear of `barred`, (H, W)."""
    centres: list[Point] = []
    number, apart = max(2, round(shape[0] * shape[1] / rng.uniform(430, 620) ** 2)), 300
    for _ in range(300):
        x, y = rng.uniform(0.02, 0.98, 2) * (shape[1], shape[0])
        if len(centres) < number and all(math.hypot(x - cx, y - cy) > apart for cx, cy in centres):
            centres.append((x, y))
    quarters = []
    for centre in centres:
        use = str(rng.choice(["villas", "rows", "blocks", "halls"], p=(0.45, 0.27, 0.16, 0.12)))
        depth = {
            "villas": rng.uniform(54, 66),
            "rows": rng.uniform(42, 50),
            "blocks": rng.uniform(80, 110),
            "halls": rng.uniform(90, 130),
        }[use]
        size = rng.uniform(130, 240)
        lines = street_grid(
            rng,
            centre=centre,
            radius=(size * rng.uniform(1.0, 1.6), size),
            angle=angle + rng.normal(0, 0.25),
            block=(rng.uniform(120, 220), depth),
            warp=0.0 if use == "halls" else rng.uniform(0, 45),
            gaps=0.25,
        )
        first = int(rng.integers(len(palette.flat)))
        roofs = (palette.flat[first], palette.flat[(first + 1) % 6], palette.flat[int(rng.integers(6))])
        streets = [line for line in clear_of(lines, barred) if len(line) >= 9]
        quarters.append(
            Quarter(
                use=use,
                streets=streets,
                roofs=roofs,
                tiled=float(rng.choice([0.0, 0.1, 0.5, 0.9])),
                green=rng.uniform(0.05, 0.7),
            )
        )
    return quarters


def links_to(quarter: Quarter, mains: list[Points]) -> list[Points]:
    """Give the shortest straight ways from the quarter's street ends to each main road within 140 pixels."""
    ends = np.array([end for line in quarter.streets for end in (line[0], line[-1])]).reshape(-1, 2)
    links = []
    for main in mains:
        gaps = np.hypot(ends[:, None, 0] - main[None, :, 0], ends[:, None, 1] - main[None, :, 1])
        if gaps.size and gaps.min() < 140:
            end, at = np.unravel_index(int(np.argmin(gaps)), gaps.shape)
            links.append(np.stack([ends[end], main[at]]))
    return links


def around_lines(rng: np.random.Generator, shape: tuple[int, int], lines: list[Points], reach: float) -> BoolArray:
    """Give what lies within about `reach` pixels of any line, (H, W)."""
    field = empty_field(shape)
    for line in lines:
        trace_line(field, line[::2] if len(line) > 6 else line, reach + 8)
    return field.distance < reach + 2 * value_noise(rng, shape, 40)


def pave(canvas: Canvas, rng: np.random.Generator, quarter: Quarter, palette: Palette) -> None:
    """Cover the ground of a quarter with pale dust, between sand and paving."""
    where = around_lines(rng, canvas.shape, quarter.streets, 27) & (canvas.labels != WATER)
    colour = tuple(0.6 * np.asarray(palette.soil) + 0.4 * np.asarray(palette.paving))
    paint_meadow(canvas, rng, where, palette, label=LAND, colour=colour, mottle=0.1)


def build_quarter(canvas: Canvas, rng: np.random.Generator, quarter: Quarter, palette: Palette, kerb: float) -> None:
    """Build along the streets, whose half width is `kerb`: large plots first, then smaller ones in the gaps."""
    size = {"villas": (7.5, 10.5), "rows": (4.5, 7.5), "blocks": (14, 24), "halls": (18, 34)}[quarter.use]
    gap = {"villas": 2.2, "rows": 0.4, "blocks": 9.0, "halls": 7.0}[quarter.use]
    deep = size[1] * (1.0 if quarter.use == "rows" else 0.85)
    setback = kerb + 4 + deep
    spacing = (2 * size[0] + gap, 2 * size[1] + gap)
    smaller = (0.62 * spacing[0], 0.8 * spacing[0])
    plots = [
        *plots_beside(rng, quarter.streets, spacing=spacing, setback=setback),
        *plots_beside(rng, quarter.streets, spacing=smaller, setback=setback),
    ]
    for x, y, heading, side, frontage in plots:
        if not canvas.is_inside(x, y, 2) or rng.random() < 0.05:
            continue
        body = Building(
            x=x,
            y=y,
            angle=heading,
            half_length=(frontage - gap) / 2,
            half_width=rng.uniform(0.75, 1) * deep,
            eaves=_storeys(rng, quarter.use),
            roof=_roof_kind(rng, quarter),
            colour=jitter(rng, quarter.roofs[int(rng.integers(3))], 0.07),
            pitch=0.45,
        )
        if body.roof == "hip":
            body = _tiled(rng, body, palette)
        if not is_free(canvas, body, 1.0):
            continue
        _garden(canvas, rng, body, heading, side, quarter, palette)
        parts = with_wing(rng, body, 0.35 if quarter.use == "villas" else 0.1)
        if not place(canvas, rng, parts, 0.6):
            place(canvas, rng, [body], 0.6)
        if body.roof == "flat":
            _upper_floor(canvas, rng, body)


def _storeys(rng: np.random.Generator, use: str) -> float:
    low, high = {"villas": (4.5, 8), "rows": (6, 8), "blocks": (10, 34), "halls": (6, 11)}[use]
    return float(rng.uniform(low, high))


def _roof_kind(rng: np.random.Generator, quarter: Quarter) -> str:
    if quarter.use == "halls":
        return str(rng.choice(["shed", "flat"]))
    return "hip" if quarter.use in ("villas", "rows") and rng.random() < quarter.tiled else "flat"


def _tiled(rng: np.random.Generator, body: Building, palette: Palette) -> Building:
    colour = jitter(rng, palette.pitched[int(rng.integers(len(palette.pitched)))], 0.08)
    return Building(
        x=body.x,
        y=body.y,
        angle=body.angle,
        half_length=body.half_length,
        half_width=body.half_width,
        eaves=body.eaves,
        roof="hip",
        colour=colour,
        pitch=0.45,
    )


def _upper_floor(canvas: Canvas, rng: np.random.Generator, body: Building) -> None:
    """Put a smaller storey on a flat roof, so that it casts a shadow on the roof itself."""
    du, dv = rng.uniform(-0.35, 0.35) * body.half_length, rng.uniform(-0.35, 0.35) * body.half_width
    cos, sin = math.cos(body.angle), math.sin(body.angle)
    top = Building(
        x=body.x + du * cos - dv * sin,
        y=body.y + du * sin + dv * cos,
        angle=body.angle,
        half_length=body.half_length * rng.uniform(0.3, 0.6),
        half_width=body.half_width * rng.uniform(0.3, 0.6),
        eaves=body.eaves + rng.uniform(2.5, 3.8),
        roof="flat",
        colour=jitter(rng, body.colour, 0.06),
    )
    paint_building(canvas, rng, top)


def _garden(
    canvas: Canvas,
    rng: np.random.Generator,
    body: Building,
    heading: float,
    side: int,
    quarter: Quarter,
    palette: Palette,
) -> None:
    watered = rng.random() < quarter.green
    colour, label = (palette.grass, VEGETATION) if watered else (palette.paving, LAND)
    back = side * (body.half_width * 0.4 + 1)
    plot = Building(
        x=body.x - back * math.sin(heading),
        y=body.y + back * math.cos(heading),
        angle=heading,
        half_length=body.half_length + 1.6,
        half_width=body.half_width * 1.4 + 2,
        eaves=0,
        roof="flat",
        colour=colour,
    )
    paint_plot(canvas, rng, plot, jitter(rng, colour, 0.12), label, fence=1.12)
    if quarter.use == "villas" and rng.random() < 0.12:
        away = side * (body.half_width + 4)
        pool = Building(
            x=body.x - away * math.sin(heading),
            y=body.y + away * math.cos(heading),
            angle=heading,
            half_length=rng.uniform(2.5, 4.5),
            half_width=rng.uniform(1.5, 2.2),
            eaves=0,
            roof="flat",
            colour=colour,
        )
        if is_free(canvas, pool, 0.5):
            paint_plot(canvas, rng, pool, jitter(rng, (86, 176, 196), 0.1), WATER, fence=1.0, grain=0.03)
