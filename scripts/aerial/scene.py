"""Draw synthetic scenes that look like aerial photographs, with exact labels.

`sample_data/make_scene.py` writes the sample files with it. Other code puts the folder `scripts` on `sys.path` and
calls `make_scene`; nothing here belongs to the wheel. One pixel is one metre.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import rasterio.features
from numpy.typing import NDArray

from .arid import build_arid
from .camera import expose
from .canvas import Canvas
from .multispectral import record
from .temperate import build_temperate

LEAST = 12
"""Pixels of the smallest piece that is labelled; what is smaller takes the class of its largest neighbour."""
STYLES: dict[str, Callable[[np.random.Generator, tuple[int, int]], Canvas]] = {
    "temperate": build_temperate,
    "arid": build_arid,
}


@dataclass(frozen=True, kw_only=True)
class SyntheticScene:
    """A picture and what it shows."""

    image: NDArray[np.uint8 | np.uint16]
    """Red, green, blue, (3, H, W) uint8, or with near infrared (4, H, W) uint16; 0 in all where and only where not
    `valid`."""
    labels: NDArray[np.uint8]
    """1 building, 2 land, 3 road, 4 vegetation, 5 water, (H, W); 0 where not `valid`. No piece is smaller than
    `LEAST` pixels, except where the corner cuts it."""
    valid: NDArray[np.bool_]
    """False in the slanted corner beyond the flight strip, (H, W)."""


def make_scene(
    seed: int,
    *,
    shape: tuple[int, int] = (2048, 2048),
    style: str = "temperate",
    corner: bool = True,
    near_infrared: bool = False,
) -> SyntheticScene:
    """Draw a scene; the same arguments give the same arrays.

    Args:
        seed: Not negative; decides the layout, the season, the colours, the sun and the camera.
        shape: (height, width) in pixels of one metre; at least 64 x 64; from 512 x 512 all classes
            appear, as a rule.
        style: "temperate" (fields, woods, a river, villages) or "arid" (sand, villas, dual carriageways, a lagoon).
        corner: Whether one corner is cut off as nodata.
        near_infrared: Whether the camera has four calibrated bands instead of a photograph's three.
    """
    if style not in STYLES:
        raise ValueError(f"style is one of {', '.join(STYLES)}; got {style!r}")
    if min(shape) < 64:
        raise ValueError(f"shape is at least 64 x 64 pixels; got {shape[0]} x {shape[1]}")
    layout, light, cut = np.random.default_rng([seed, list(STYLES).index(style)]).spawn(3)
    canvas = STYLES[style](layout, shape)
    image: NDArray[np.uint8 | np.uint16]
    if near_infrared:
        image = record(canvas, light)
    else:
        image = expose(canvas, light, harsh=float(light.uniform(0.3, 1.0)) if style == "arid" else 0.0)
    labels = rasterio.features.sieve(canvas.labels, LEAST, connectivity=4)
    valid = _strip(cut, shape) if corner else np.ones(shape, dtype=np.bool_)
    return SyntheticScene(
        image=np.where(valid, image, image.dtype.type(0)), labels=np.where(valid, labels, np.uint8(0)), valid=valid
    )


def _strip(rng: np.random.Generator, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Give where the flight strip covers the scene, (H, W): all but one corner behind a slanted straight edge."""
    height, width = shape
    row, col = np.mgrid[0:height, 0:width]
    if rng.random() < 0.5:
        row = height - 1 - row
    if rng.random() < 0.5:
        col = width - 1 - col
    across, down = rng.uniform(0.06, 0.16) * width, rng.uniform(0.35, 0.6) * height
    return np.asarray(col / across + row / down >= 1)
