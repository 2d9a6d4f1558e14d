"""A calibrated camera with four bands: reflectance in red, green, blue and near infrared."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .camera import cast_shadows
from .canvas import LAND, ROAD, VEGETATION, WATER, Canvas
from .noise import FloatArray, blur, value_noise

BANDS = ("red", "green", "blue", "nir")
REFLECTANCE_SCALE = 0.0001
"""Reflectance of one digital number, as Sentinel-2 and Landsat products have it."""
STEP = 20
"""Digital numbers are multiples of it: the sensor tells two thousandths of reflectance apart."""
TRUE_SHARE = 0.55
"""Reflectance over the canvas's albedo, which is made for a display."""
SKYLIGHT = np.array([0.88, 0.98, 1.18, 0.55], dtype=np.float32)
"""Of each band over their mean; the sky is dark in the infrared, and so are shadows."""
PATH_RADIANCE = np.array([0.5, 0.8, 1.4, 0.2], dtype=np.float32)
"""Light that the air scatters into the lens, likewise."""


def record(canvas: Canvas, rng: np.random.Generator) -> NDArray[np.uint16]:
    """Light the canvas and measure it: (4, H, W) uint16, red, green, blue, near infrared, never 0.

    Args:
        canvas: The finished scene.
        rng: Randomness of atmosphere and sensor.
    """
    albedo = np.concatenate([canvas.albedo, near_infrared(canvas, rng)[..., None]], axis=-1)
    lit = blur(1 - cast_shadows(canvas.height, canvas.sun).astype(np.float32), 0.6)
    sky = np.float32(rng.uniform(0.16, 0.30))
    image = albedo * (lit[..., None] * (1 - sky) + SKYLIGHT * sky)
    image *= TRUE_SHARE * (1 + 0.03 * value_noise(rng, canvas.shape, 600))[..., None]
    image = blur(image, rng.uniform(0.5, 0.75))
    image += PATH_RADIANCE * np.float32(rng.uniform(0.002, 0.02))
    image += rng.standard_normal(image.shape, dtype=np.float32) * np.float32(0.0015) * np.sqrt(1 + 20 * image)
    numbers = np.rint(image / (REFLECTANCE_SCALE * STEP)) * STEP
    return np.ascontiguousarray(np.clip(numbers, STEP, 16_000).astype(np.uint16).transpose(2, 0, 1))


def near_infrared(canvas: Canvas, rng: np.random.Generator) -> FloatArray:
    """Give the albedo in the near infrared, (H, W), from the visible one and what lies there.

    Leaves reflect the more the greener they are, up to four times their green; water next to nothing; soil and roofs
    a little more than red.
    """
    red, green, blue = np.moveaxis(canvas.albedo, -1, 0)
    greenness = (2 * green - red - blue) / np.maximum(red + green + blue, 1e-4)
    leaves = green * np.clip(1.7 + 7 * greenness, 1.5, 4.0) * np.float32(rng.uniform(0.9, 1.1))
    factors = {LAND: 1.25, ROAD: 1.05}
    nir = red * np.float32(1.12)
    for label, factor in factors.items():
        nir = np.where(canvas.labels == label, red * np.float32(factor), nir)
    nir = np.where(canvas.labels == WATER, 0.25 * blue, nir)
    return np.asarray(np.where(canvas.labels == VEGETATION, leaves, nir), dtype=np.float32)
