"""Smooth random fields and the blur they share with the camera."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image

FloatArray = NDArray[np.float32]


def value_noise(rng: np.random.Generator, shape: tuple[int, int], cell: float) -> FloatArray:
    """Give a smooth random field of about zero mean and unit variance, (H, W), features of about `cell` pixels."""
    height, width = shape
    knots = rng.standard_normal((math.ceil(height / cell) + 3, math.ceil(width / cell) + 3)).astype(np.float32)
    left, top = rng.uniform(0.5, 1.0, 2)
    box = (left, top, left + width / cell, top + height / cell)
    field = Image.fromarray(knots).resize((width, height), Image.Resampling.BICUBIC, box=box)
    return np.asarray(field, dtype=np.float32) * np.float32(1.35)


def fractal_noise(
    rng: np.random.Generator, shape: tuple[int, int], cell: float, *, octaves: int = 4, gain: float = 0.5
) -> FloatArray:
    """Sum `octaves` of value noise, each half as wide and `gain` times as strong; (H, W), about unit variance."""
    total = np.zeros(shape, dtype=np.float32)
    power = 0.0
    for octave in range(octaves):
        weight = gain**octave
        total += np.float32(weight) * value_noise(rng, shape, max(cell / 2**octave, 1.5))
        power += weight**2
    total /= np.float32(math.sqrt(power))
    return total


def streaks(rng: np.random.Generator, length: int = 4096) -> FloatArray:
    """Give a 1-D table of unit variance, (length,), to be looked up across the direction of rows."""
    rough = rng.standard_normal(length + 8)
    smooth = np.convolve(rough, [0.25, 0.5, 0.25], mode="valid")[:length]
    slow = np.repeat(rng.standard_normal(length // 8 + 1), 8)[:length]
    table = smooth / smooth.std() + 0.6 * slow
    return np.asarray(table / table.std(), dtype=np.float32)


def blur(image: FloatArray, sigma: float) -> FloatArray:
    """Convolve (H, W) or (H, W, C) with a Gaussian of `sigma` pixels, edges repeated."""
    radius = max(1, math.ceil(2.5 * sigma))
    taps = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    taps /= taps.sum()
    for axis in (0, 1):
        pad = [(radius, radius) if a == axis else (0, 0) for a in range(image.ndim)]
        padded = np.pad(image, pad, mode="edge")
        size = image.shape[axis]
        total = np.zeros_like(image)
        for k, tap in enumerate(taps):
            part = padded[k : k + size] if axis == 0 else padded[:, k : k + size]
            total += np.float32(tap) * part
        image = total
    return image
