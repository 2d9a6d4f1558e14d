"""Colours of a scene, drawn from its seed: season, soil, roofs, water, asphalt."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .canvas import LAND, VEGETATION, Colour, jitter


@dataclass(frozen=True, kw_only=True)
class Crop:
    """What grows, or does not, on a field."""

    colour: Colour
    """Display colour, 0-255."""
    label: int
    """Class id: green is vegetation, everything else land."""
    rows: float
    """Strength of the streaks along the rows."""
    mottle: float
    """Strength of the soil's patches."""
    grain: float
    """Strength of the pixel-sized roughness."""
    tramlines: bool
    """Whether wheel tracks show."""


@dataclass(frozen=True, kw_only=True)
class Palette:
    """Everything that has a colour."""

    crops: tuple[Crop, ...]
    """Kinds of fields; drawn with equal chance."""
    soil: Colour
    """Bare ground, tracks and yards."""
    grass: Colour
    """Lawns, verges and meadows."""
    leaves: tuple[Colour, ...]
    """Crowns of broadleaved trees."""
    needles: Colour
    """Crowns of conifers, or of palms."""
    asphalt: Colour
    """Main roads."""
    street: Colour
    """Smaller roads."""
    paving: Colour
    """Car parks and yards that are paved."""
    pitched: tuple[Colour, ...]
    """Tiled roofs."""
    flat: tuple[Colour, ...]
    """Flat and sheet-metal roofs."""
    water: Colour
    """Deep water."""
    shallows: Colour
    """Water at the shore."""
    bank: Colour
    """Mud or sand at the shore."""


_SOILS = ((134, 116, 94), (148, 128, 102), (118, 104, 88), (140, 110, 88), (158, 144, 120), (104, 92, 80))
_SANDS = ((196, 182, 158), (186, 188, 192), (206, 194, 178), (190, 164, 132), (176, 172, 164), (214, 206, 192))


@dataclass(frozen=True, kw_only=True)
class _Season:
    grass: Colour
    """Lawns and meadows."""
    leaves: tuple[Colour, ...]
    """Broadleaved crowns; branches in winter."""
    greens: int
    """Kinds of fields that are green."""
    browns: int
    """Kinds of fields that are bare or stubble."""


_SEASONS = (
    _Season(grass=(98, 124, 62), leaves=((74, 98, 44), (92, 112, 52), (62, 86, 42)), greens=5, browns=2),
    _Season(grass=(112, 122, 70), leaves=((56, 78, 42), (66, 88, 46), (48, 70, 40)), greens=3, browns=4),
    _Season(grass=(104, 116, 66), leaves=((104, 88, 46), (78, 82, 42), (122, 92, 48)), greens=3, browns=4),
    _Season(grass=(102, 106, 68), leaves=((88, 80, 66), (98, 88, 72), (78, 76, 60)), greens=3, browns=4),
)


def _pick(rng: np.random.Generator, colours: tuple[Colour, ...], spread: float) -> Colour:
    return jitter(rng, colours[int(rng.integers(len(colours)))], spread)


def _green_crop(rng: np.random.Generator, grass: Colour) -> Crop:
    base = np.asarray(grass) * rng.uniform(0.78, 1.12) + rng.normal(0, 6, 3)
    return Crop(
        colour=jitter(rng, tuple(np.clip(base, 20, 230)), 0.05),
        label=VEGETATION,
        rows=rng.uniform(0.02, 0.09),
        mottle=rng.uniform(0.03, 0.12),
        grain=rng.uniform(0.03, 0.10),
        tramlines=bool(rng.random() < 0.6),
    )


def _brown_crop(rng: np.random.Generator, soil: Colour) -> Crop:
    stubble = rng.random() < 0.5
    base = (176, 160, 120) if stubble else soil
    return Crop(
        colour=jitter(rng, base, 0.09),
        label=LAND,
        rows=rng.uniform(0.04, 0.12),
        mottle=rng.uniform(0.05, 0.16),
        grain=rng.uniform(0.03, 0.07),
        tramlines=stubble and bool(rng.random() < 0.7),
    )


def temperate_palette(rng: np.random.Generator) -> Palette:
    """Draw the colours of a farmed landscape in one of four seasons."""
    season = _SEASONS[int(rng.integers(len(_SEASONS)))]
    soil, grass = _pick(rng, _SOILS, 0.08), jitter(rng, season.grass, 0.08)
    crops = [_green_crop(rng, grass) for _ in range(season.greens)]
    crops += [_brown_crop(rng, soil) for _ in range(season.browns)]
    tiles: tuple[Colour, ...] = (
        (158, 92, 70),
        (142, 82, 66),
        (172, 112, 84),
        (112, 78, 68),
        (96, 94, 98),
        (84, 80, 80),
    )
    first = int(rng.integers(len(tiles)))
    return Palette(
        crops=tuple(crops),
        soil=soil,
        grass=grass,
        leaves=season.leaves,
        needles=jitter(rng, (42, 60, 42), 0.12),
        asphalt=jitter(rng, (112, 112, 114), 0.12),
        street=jitter(rng, (138, 136, 134), 0.10),
        paving=jitter(rng, (154, 150, 144), 0.08),
        pitched=(tiles[first], tiles[first], tiles[(first + 1) % 6], tiles[(first + 4) % 6]),
        flat=((196, 196, 196), (152, 152, 154), (120, 122, 126), (206, 198, 186), (120, 138, 158)),
        water=_pick(rng, ((46, 60, 62), (58, 70, 58), (36, 48, 56), (82, 84, 66)), 0.10),
        shallows=jitter(rng, (104, 102, 80), 0.08),
        bank=jitter(rng, (150, 136, 110), 0.08),
    )


def arid_palette(rng: np.random.Generator) -> Palette:
    """Draw the colours of a desert town."""
    sand = _pick(rng, _SANDS, 0.06)
    grass = jitter(rng, (86, 98, 68), 0.12)
    asphalt = _pick(rng, ((86, 78, 78), (112, 108, 106), (72, 70, 74)), 0.10)
    lawn = Crop(colour=grass, label=VEGETATION, rows=0.03, mottle=0.1, grain=0.05, tramlines=False)
    return Palette(
        crops=(lawn,),
        soil=sand,
        grass=grass,
        leaves=((58, 66, 48), (68, 76, 54), (52, 60, 50)),
        needles=jitter(rng, (56, 66, 50), 0.10),
        asphalt=asphalt,
        street=jitter(rng, _pick(rng, (asphalt, (132, 124, 120)), 0.05), 0.06),
        paving=jitter(rng, (160, 156, 152), 0.10),
        pitched=((188, 110, 76), (170, 128, 104), (150, 132, 120), (120, 112, 108)),
        flat=((228, 226, 222), (204, 198, 188), (178, 170, 160), (148, 144, 140), (118, 114, 110), (92, 90, 90)),
        water=_pick(rng, ((26, 32, 32), (52, 58, 38), (22, 44, 44), (40, 50, 60), (84, 82, 56)), 0.10),
        shallows=_pick(rng, ((96, 110, 88), (120, 118, 84), (88, 116, 116)), 0.08),
        bank=jitter(rng, tuple(np.minimum(np.asarray(sand) * 1.08, 250)), 0.05),
    )
