"""The canvas that every part paints on: labels, reflectance, height and what is taken."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .noise import FloatArray

BUILDING, LAND, ROAD, VEGETATION, WATER = 1, 2, 3, 4, 5
CLASS_NAMES = {BUILDING: "building", LAND: "land", ROAD: "road", VEGETATION: "vegetation", WATER: "water"}

BoolArray = NDArray[np.bool_]
Colour = Sequence[float]


@dataclass(frozen=True, kw_only=True)
class Sun:
    """Where the light comes from."""

    toward: tuple[float, float]
    """Unit vector (x, y) of the image, y downwards, that points to the sun."""
    elevation: float
    """Height over the horizon in radians."""

    @property
    def slope(self) -> float:
        """Rise of a sun ray in metres per metre of ground."""
        return float(np.tan(self.elevation))

    def shade(self, normal_x: FloatArray | float, normal_y: FloatArray | float, rise: FloatArray | float) -> FloatArray:
        """Give the sunlight on a surface over the sunlight on flat ground, from its unit normal; at least 0.12."""
        cosine = np.cos(self.elevation) * (normal_x * self.toward[0] + normal_y * self.toward[1])
        relative = (cosine + np.sin(self.elevation) * rise) / np.sin(self.elevation)
        return np.asarray(np.clip(relative, 0.12, 2.2), dtype=np.float32)


@dataclass(frozen=True, kw_only=True)
class Canvas:
    """Arrays of one scene, painted in place; one pixel is one metre."""

    labels: NDArray[np.uint8]
    """Class ids, (H, W)."""
    albedo: FloatArray
    """Linear reflectance times relative shade, (H, W, 3)."""
    height: FloatArray
    """Height of things above the ground in metres, (H, W)."""
    taken: BoolArray
    """True where nothing may be built, (H, W): roads, water, buildings."""
    sun: Sun
    """The scene's light."""

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        return self.labels.shape[0], self.labels.shape[1]

    def is_inside(self, x: float, y: float, margin: float = 0.0) -> bool:
        """Tell whether a point lies on the canvas, at least `margin` from its edge."""
        height, width = self.shape
        return margin <= x < width - margin and margin <= y < height - margin


def blank_canvas(shape: tuple[int, int], sun: Sun) -> Canvas:
    """Give an empty canvas: all land, nothing built."""
    return Canvas(
        labels=np.full(shape, LAND, dtype=np.uint8),
        albedo=np.zeros((*shape, 3), dtype=np.float32),
        height=np.zeros(shape, dtype=np.float32),
        taken=np.zeros(shape, dtype=np.bool_),
        sun=sun,
    )


def linear(colour: Colour) -> FloatArray:
    """Turn display values 0-255, (3,), into linear reflectance."""
    return ((np.asarray(colour, dtype=np.float32) / 255.0) ** 2.0).astype(np.float32)


def jitter(rng: np.random.Generator, colour: Colour, spread: float = 0.08) -> tuple[float, float, float]:
    """Vary a display colour: brightness by `spread` (a standard deviation), each channel by a fifth of it."""
    gain = 1.0 + spread * rng.standard_normal() + spread / 5 * rng.standard_normal(3)
    red, green, blue = np.clip(np.asarray(colour) * gain, 2, 254)
    return float(red), float(green), float(blue)
