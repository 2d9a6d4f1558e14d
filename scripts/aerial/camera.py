"""From surfaces to a picture: shadows, haze, blur, exposure and noise."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from .canvas import BoolArray, Canvas, Sun
from .noise import FloatArray, blur, value_noise


def draw_sun(rng: np.random.Generator) -> Sun:
    """Draw a mid-day sun of the northern hemisphere: from south-east to south-west, 28 to 62 degrees high."""
    azimuth = math.radians(rng.uniform(115, 245))
    return Sun(toward=(math.sin(azimuth), -math.cos(azimuth)), elevation=math.radians(rng.uniform(28, 62)))


def cast_shadows(height: FloatArray, sun: Sun) -> BoolArray:
    """Give where something between a pixel and the sun rises over the ray to it, (H, W)."""
    shadow = np.zeros(height.shape, dtype=np.bool_)
    rows, cols = height.shape
    highest = float(height.max())
    for step in range(1, int(highest / sun.slope) + 2):
        dx, dy = round(step * sun.toward[0]), round(step * sun.toward[1])
        here = (slice(max(-dy, 0), rows - max(dy, 0)), slice(max(-dx, 0), cols - max(dx, 0)))
        there = (slice(max(dy, 0), rows + min(dy, 0)), slice(max(dx, 0), cols + min(dx, 0)))
        if here[0].start >= here[0].stop or here[1].start >= here[1].stop:
            break
        shadow[here] |= height[there] > height[here] + np.float32(step * sun.slope + 0.3)
    return shadow


def expose(canvas: Canvas, rng: np.random.Generator, *, harsh: float = 0.0) -> NDArray[np.uint8]:
    """Light the canvas and photograph it: (3, H, W) uint8, never 0 in all bands.

    Args:
        canvas: The finished scene.
        rng: Randomness of atmosphere and sensor.
        harsh: 0 is a soft aerial camera, 1 a contrasty, sharpened satellite product with clipped roofs.
    """
    shape = canvas.shape
    lit = 1 - cast_shadows(canvas.height, canvas.sun).astype(np.float32)
    lit = blur(lit, 0.6)
    sky = rng.uniform(0.16, 0.30) * (1 - 0.4 * harsh)
    skylight = np.array([0.88, 0.98, 1.18], dtype=np.float32) * np.float32(sky)
    sunlight = np.array([1.03, 1.0, 0.95], dtype=np.float32) * np.float32(1 - sky)
    image = canvas.albedo * (lit[..., None] * sunlight + skylight)
    uneven = 1 + 0.035 * value_noise(rng, shape, 500) + 0.03 * value_noise(rng, shape, 1400)
    image *= uneven[..., None] * np.float32(rng.uniform(0.9 - 0.5 * harsh, 1.2 - 0.15 * harsh))
    image = blur(image, rng.uniform(0.5, 0.75))
    haze = rng.uniform(0.0, 0.045) * (1 - 0.6 * harsh)
    image += np.array([0.8, 0.95, 1.15], dtype=np.float32) * np.float32(haze)
    if harsh:
        image += np.float32(rng.uniform(0.4, 1.0) * harsh) * (image - blur(image, 1.0))
    display = np.sqrt(np.clip(image, 0, 1.6)) * 255
    display *= rng.normal(1, 0.03, 3).astype(np.float32)
    grey = display.mean(axis=-1, keepdims=True)
    display = grey + (display - grey) * np.float32(rng.uniform(0.7, 1.05) - 0.25 * harsh)
    contrast = np.float32(rng.uniform(0.88, 1.1) + rng.uniform(0.1, 0.45) * harsh)
    display = (display - 120) * contrast + np.float32(120 + rng.uniform(-8, 8))
    noise = rng.standard_normal(shape, dtype=np.float32)[..., None] * 1.6
    noise = noise + rng.standard_normal((*shape, 3), dtype=np.float32) * np.float32(1.2)
    display += noise * np.float32(rng.uniform(0.6, 1.6) * (1 + 0.6 * harsh))
    return np.ascontiguousarray(np.clip(np.rint(display), 1, 255).astype(np.uint8).transpose(2, 0, 1))
