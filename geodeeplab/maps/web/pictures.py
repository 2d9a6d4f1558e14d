"""Rasters as pictures on the grid of a map: WebP, small, with what is not there left out."""

import base64
import io
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
from PIL import Image
from rasterio.windows import Window

from geodeeplab.maps.preview import to_rgb
from geodeeplab.maps.web.frame import RADIUS_M, Frame, latitude_of
from geodeeplab.raster import Grid, LabelClass, Pixels, Scene
from geodeeplab.raster.sources.file import FileSource
from geodeeplab.raster.sources.warped import Resampling, shrink_factors, warped_source

QUALITY = 82
"""Of pictures of scenes; labels are kept without loss."""
BAND_ROWS = 512
RGB_NAMES = ("red", "green", "blue")
HEAT = ((0, (253, 231, 37)), (25, (245, 125, 21)), (50, (190, 55, 82)), (75, (87, 16, 110)), (100, (13, 8, 60)))
"""Colours of confidence in per cent: bright where it is low; lightness falls steadily, for whoever sees no hues."""


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A raster as a picture that covers the whole frame."""

    data: str
    """A data URL."""
    byte_count: int
    """Bytes of the picture."""


def read_on_grid(scene: Scene, grid: Grid, *, resampling: Resampling) -> Pixels:
    """Read an open scene's bands onto a grid, averaged where its pixels are larger; in bands of rows.

    A file is read through its overviews, so that a large one takes as long as a small one.
    """
    numbers = [band.number for band in scene.bands]
    source = scene.source
    factor = min(shrink_factors(source.grid, grid, path=scene.path))
    with source.reduced(factor) if isinstance(source, FileSource) else nullcontext(source) as smaller:
        warped = warped_source(smaller, grid, resampling=resampling)
        return _read_all(Scene(warped, bands=numbers, allow_palette=True))  # not closed: the scene may be read again


def scene_picture(scene: Scene, frame: Frame, *, max_size: int) -> Picture:
    """Draw a scene in the colours of its first three bands, or of those called red, green and blue."""
    shown = scene.select(rgb_bands(scene))
    pixels = read_on_grid(shown, frame.reduced(max_size), resampling="bilinear")
    image = np.dstack([to_rgb(pixels), np.where(pixels.valid, np.uint8(255), np.uint8(0))])
    return as_webp(image, lossless=False)


def rgb_bands(scene: Scene) -> list[int]:
    """Choose the bands, by number, that make a picture: red, green and blue by name, else the first three, or one."""
    numbers = {band.name.casefold(): band.number for band in scene.bands}
    if all(name in numbers for name in RGB_NAMES):
        return [numbers[name] for name in RGB_NAMES]
    return [band.number for band in scene.bands[: 3 if len(scene.bands) >= 3 else 1]]


def label_picture(labels: npt.NDArray[np.integer], classes: Sequence[LabelClass]) -> Picture:
    """Draw labels (H, W) in the colours of their classes; what is no class is left out."""
    image = np.zeros((*labels.shape, 4), dtype=np.uint8)
    for item in classes:
        image[labels == item.id] = (*item.color, 255)
    return as_webp(image, lossless=True)


def confidence_picture(pixels: Pixels) -> Picture:
    """Draw confidence (1, H, W) in per cent as a heat map, bright where it is low."""
    stops = np.array([stop for stop, _ in HEAT], dtype=np.float64)
    colors = np.array([color for _, color in HEAT], dtype=np.float64)
    percent = pixels.array[0].astype(np.float64)
    shown = pixels.valid & (percent >= 0) & (percent <= 100)
    bands = [np.interp(np.where(shown, percent, 0), stops, colors[:, one]) for one in range(3)]
    image = np.dstack([*bands, np.where(shown, 255, 0)]).round().astype(np.uint8)
    return as_webp(image, lossless=False)


def label_areas(labels: npt.NDArray[np.integer], frame: Frame, classes: Sequence[LabelClass]) -> dict[int, float]:
    """Estimate the area of each class from labels (H, W) of a picture: square metres on WGS 84, or pixels of the scene.

    Every pixel of a row of Web Mercator has the area of the same cell of longitudes and latitudes.
    """
    height, width = labels.shape
    if frame.has_crs:
        cell = _cell_areas(frame, labels.shape)
    else:
        cell = np.full(height, frame.grid.height * frame.grid.width / (height * width))
    return {item.id: float((labels == item.id).sum(axis=1) @ cell) for item in classes}


def _cell_areas(frame: Frame, shape: tuple[int, ...]) -> npt.NDArray[np.float64]:
    """Give the geodesic area of a pixel of each row of a picture that covers the frame."""
    import pyproj

    geod = pyproj.Geod(ellps="WGS84")
    left, bottom, right, top = frame.bounds
    edges = latitude_of(np.linspace(top, bottom, shape[0] + 1)).tolist()
    width = float(np.degrees((right - left) / shape[1] / RADIUS_M))
    cells = []
    for upper, lower in pairwise(edges):
        area, _ = geod.polygon_area_perimeter([0, width, width, 0], [upper, upper, lower, lower])
        cells.append(abs(area))
    return np.array(cells)


def _read_all(scene: Scene) -> Pixels:
    height, width = scene.shape
    parts = [scene.read(Window(0, row, width, min(BAND_ROWS, height - row))) for row in range(0, height, BAND_ROWS)]
    return Pixels(
        array=np.concatenate([part.array for part in parts], axis=1),
        valid=np.concatenate([part.valid for part in parts]),
    )


def as_webp(image: npt.NDArray[np.uint8], *, lossless: bool) -> Picture:
    """Pack an image (H, W, 3 or 4)."""
    file = io.BytesIO()
    Image.fromarray(image).save(file, format="WEBP", lossless=lossless, quality=QUALITY, method=4)
    content = file.getvalue()
    return Picture(data=f"data:image/webp;base64,{base64.b64encode(content).decode()}", byte_count=len(content))
