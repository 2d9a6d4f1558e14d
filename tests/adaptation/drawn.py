"""A small scene of squares of a few classes, polygons in some of them, and adaptations that take a second."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine
from numpy.typing import NDArray

from geodeeplab.adaptation.estimate import make_report

SIDE = 24
"""Pixels of a square along each axis."""
TRANSFORM = Affine(1, 0, 500_000, 0, -1, 5_000_000)
SMALL: dict[str, Any] = {"class_field": "class", "model": None, "tile_size": 64, "overlap": 16}
"""Options of an adaptation of small tiles, without the large bundled model."""


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """A scene and its polygons."""

    scene: Path
    """The file."""
    polygons: gpd.GeoDataFrame
    """With the field `class`."""
    truth: NDArray[np.int64]
    """(H, W) class of each pixel, from 0."""


@contextmanager
def quick(folder: Path, *, steps: int = 30) -> Iterator[None]:
    """Let trees be few, the head's training short, and the cache lie in a folder of the test."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GEODEEPLAB_CACHE_DIR", str(folder))
        patch.setattr("geodeeplab.adaptation.head.TREES", 10)
        patch.setattr("geodeeplab.adaptation.head.STEPS", steps)
        patch.setattr("geodeeplab.adaptation.learning.LEFT_OUT_TREES", 5)
        patch.setattr("geodeeplab.adaptation.learning.make_report", partial(make_report, resamples=20))
        yield


def draw_squares(height: int, width: int, *, classes: int = 3, seed: int = 0) -> NDArray[np.int64]:
    """Give the class of each square of a scene."""
    shape = -(-height // SIDE), -(-width // SIDE)
    return np.random.default_rng(seed).permutation(np.arange(shape[0] * shape[1]) % classes).reshape(shape)


def truth_of(squares: NDArray[np.int64], height: int, width: int) -> NDArray[np.int64]:
    """Give the class of each pixel."""
    return squares.repeat(SIDE, axis=0).repeat(SIDE, axis=1)[:height, :width]


def draw_image(truth: NDArray[np.int64], *, bands: int = 3, dtype: str = "uint8", seed: int = 0) -> NDArray[Any]:
    """Give an image (C, H, W) with a colour and some noise for each class."""
    steps = np.linspace(40, 210, truth.max() + 1)
    colors = np.stack([np.roll(steps, band)[:: -1 if band % 2 else 1] for band in range(bands)], axis=1)
    rng = np.random.default_rng(seed)
    image = colors[truth].transpose(2, 0, 1) + rng.integers(-15, 16, (bands, *truth.shape))
    scale, offset = {"uint8": (1, 0), "uint16": (30, 0), "float32": (0.1, -30)}[dtype]
    return (image * scale + offset).astype(dtype)


def write_scene(path: Path, image: NDArray[Any], *, names: Sequence[str] = (), **options: Any) -> Path:  # noqa: ANN401
    """Write an image (C, H, W) with pixels of 1 m."""
    profile = {"driver": "GTiff", "crs": "EPSG:32633", "transform": TRANSFORM, "dtype": image.dtype}
    profile |= {"count": len(image), "height": image.shape[1], "width": image.shape[2]}
    if image.dtype == np.uint8 and len(image) == 3:
        profile |= {"photometric": "rgb"}
    with rasterio.open(path, "w", **profile | options) as dst:
        if names:
            dst.descriptions = names
        dst.write(image)
    return path


def draw_polygons(
    squares: NDArray[np.int64], height: int, width: int, *, count: int = 4, names: str = "abcdefgh", side: int = 12
) -> gpd.GeoDataFrame:
    """Draw polygons in up to `count` squares of each class that lie whole within the scene."""
    found: list[tuple[str, shapely.Polygon]] = []
    for number in np.unique(squares):
        inside = [(r, c) for r, c in np.argwhere(squares == number) if r * SIDE < height - 20 and c * SIDE < width - 20]
        for row, col in inside[:: max(1, len(inside) // count)][:count]:
            found.append((names[number], pixel_box(row * SIDE + 5, col * SIDE + 5, side)))
    return frame(found)


def pixel_box(row: int, col: int, height: int, width: int | None = None) -> shapely.Polygon:
    """Give a rectangle of pixels on the ground."""
    (left, top), (right, bottom) = TRANSFORM @ (col, row), TRANSFORM @ (col + (width or height), row + height)
    return shapely.box(left, bottom, right, top)


def frame(found: Sequence[tuple[str, shapely.Polygon]]) -> gpd.GeoDataFrame:
    """Make a layer of classes and polygons."""
    return gpd.GeoDataFrame({"class": [one for one, _ in found]}, geometry=[one for _, one in found], crs="EPSG:32633")


def read(path: Path) -> NDArray[Any]:
    """Read all bands of a raster."""
    with rasterio.open(path) as src:
        pixels: NDArray[Any] = src.read()
    return pixels
