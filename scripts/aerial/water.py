"""Rivers, ponds and lagoons."""

from __future__ import annotations

import numpy as np

from .canvas import WATER, Canvas, linear
from .noise import FloatArray, fractal_noise, value_noise
from .palette import Palette


def paint_water(
    canvas: Canvas,
    rng: np.random.Generator,
    inland: FloatArray,
    palette: Palette,
    *,
    bank: float = 3.0,
    bank_label: int | None = None,
    shore: float = 10.0,
    turbid: float = 0.25,
) -> None:
    """Paint water where `inland` is negative.

    Args:
        canvas: What is painted on.
        rng: Randomness.
        inland: Distance to the shore in pixels, negative in the water, (H, W).
        palette: Colours.
        bank: Width of the bank in pixels.
        bank_label: Class of the bank; None keeps what was there.
        shore: Depth scale: pixels over which shallow turns into deep.
        turbid: Strength of clouds of sediment.
    """
    shape = canvas.shape
    wet = inland < 0
    depth = 1 - np.exp(np.minimum(inland, 0) / shore)
    clouds = fractal_noise(rng, shape, 190, octaves=6, gain=0.62)
    depth = np.clip(depth - turbid * np.maximum(clouds, 0) * rng.uniform(0.3, 1), 0, 1)[wet][:, None]
    colour = linear(palette.water) * depth + linear(palette.shallows) * (1 - depth)
    speckle = rng.uniform(0.03, 0.11)
    ripples = 1 + speckle * value_noise(rng, shape, 2.2) + 0.08 * clouds
    glint = np.maximum(value_noise(rng, shape, 260) - 0.8, 0) * (
        0.02 + 0.01 * rng.standard_normal(shape, dtype=np.float32)
    )
    canvas.albedo[wet] = colour * ripples[wet][:, None] + glint[wet][:, None]
    canvas.labels[wet] = WATER
    canvas.height[wet] = 0
    canvas.taken[wet] = True
    rough = inland + 1.2 * value_noise(rng, shape, 5)
    rim = (~wet) & (rough < bank)
    fade = np.clip(inland[rim] / bank, 0, 1)[:, None]
    damp = linear(palette.bank) * (0.62 + 0.38 * fade)
    canvas.albedo[rim] = damp * (1 + 0.08 * rng.standard_normal((int(rim.sum()), 1), dtype=np.float32))
    if bank_label is not None:
        canvas.labels[(~wet) & (inland < bank)] = bank_label
    canvas.taken[(~wet) & (inland < bank + 2)] = True


def blob(
    rng: np.random.Generator, shape: tuple[int, int], x: float, y: float, radius: float, *, ragged: float = 0.25
) -> FloatArray:
    """Give the distance to the shore of a pond of about `radius` pixels, negative inside, (H, W)."""
    col = np.arange(shape[1], dtype=np.float32)[None, :] - np.float32(x)
    row = np.arange(shape[0], dtype=np.float32)[:, None] - np.float32(y)
    turn, squeeze = rng.uniform(0, np.pi), rng.uniform(0.65, 1.0)
    u, v = col * np.cos(turn) + row * np.sin(turn), row * np.cos(turn) - col * np.sin(turn)
    distance = np.hypot(u * squeeze, v / squeeze) - radius
    distance += radius * ragged * fractal_noise(rng, shape, max(radius, 8), octaves=3, gain=0.5)
    return np.asarray(distance, dtype=np.float32)
