"""A picture of the labels over their scene, with a legend."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from geodeeplab.raster import (
    LabelClass,
    Pixels,
    RowReader,
    Scene,
    atomic_outputs,
    check_output,
    open_scene,
    read_classes,
)

PREVIEW_SUFFIXES = (".png",)
BAND_ROWS = 256
OPACITY = 0.45
OUTSIDE = 255
"""Grey of what has no data."""


def write_preview(
    scene: str | os.PathLike[str],
    labels: str | os.PathLike[str],
    dst_path: str | os.PathLike[str],
    *,
    max_size: int = 2048,
    overwrite: bool = False,
) -> Path:
    """Draw a label raster over its scene, classes outlined, with a legend, into a PNG.

    Args:
        scene: the scene; its first three bands are shown, stretched to their 2nd and 98th percentiles if not uint8.
        labels: the label raster that `segment` wrote, on the same grid.
        dst_path: the .png to write.
        max_size: pixels of the longer side of the picture.
        overwrite: replace a file that exists.

    Returns:
        The path of the picture.

    Raises:
        OptionError, OutputError: if the picture cannot be written there.
        SceneError: if one of the rasters cannot be read.
    """
    path = check_output(dst_path, suffixes=PREVIEW_SUFFIXES, overwrite=overwrite, inputs=[scene, labels])
    with open_scene(labels, bands=[1], allow_palette=True) as label_scene:
        classes = read_classes(label_scene)
        drawn = thumbnail(label_scene, max_size).array[0]
    with open_scene(scene) as opened:
        base = to_rgb(thumbnail(opened, max_size))
    picture = Image.fromarray(overlay(base, drawn, classes))
    with atomic_outputs([path], overwrite=overwrite) as temporary:
        _with_legend(picture, classes).save(temporary[path])
    return path


def thumbnail(scene: Scene, max_size: int) -> Pixels:
    """Read every k-th pixel of a scene, k the least that keeps both sides within `max_size`; in bands of rows."""
    height, width = scene.shape
    step = -(-max(height, width) // max_size)
    reader, parts = RowReader(scene), []
    for start in range(0, height, BAND_ROWS * step):
        pixels = reader.read(start, min(start + BAND_ROWS * step, height))
        parts.append((pixels.array[:, ::step, ::step], pixels.valid[::step, ::step]))
    return Pixels(
        array=np.concatenate([array for array, _ in parts], axis=1),
        valid=np.concatenate([valid for _, valid in parts]),
    )


def overlay(base: NDArray[np.uint8], labels: NDArray[np.uint8], classes: Sequence[LabelClass]) -> NDArray[np.uint8]:
    """Tint an RGB image (H, W, 3) by the class of each pixel (H, W); 0 stays as it is, edges get the full colour."""
    colors = np.zeros((256, 3), dtype=np.float32)
    for item in classes:
        colors[item.id] = item.color
    edge = np.zeros(labels.shape, dtype=bool)
    edge[:, 1:] |= labels[:, 1:] != labels[:, :-1]
    edge[1:] |= labels[1:] != labels[:-1]
    weight = np.where(labels == 0, 0.0, np.where(edge, 1.0, OPACITY))[..., None]
    tinted: NDArray[np.uint8] = (base * (1 - weight) + colors[labels] * weight).round().astype(np.uint8)
    return tinted


def to_rgb(pixels: Pixels) -> NDArray[np.uint8]:
    """Give an image (H, W, 3) of the first three bands (or the first, thrice); grey where there is no data."""
    array = pixels.array[:3] if len(pixels.array) >= 3 else np.repeat(pixels.array[:1], 3, axis=0)
    if array.dtype != np.uint8:
        seen = array[:, pixels.valid].astype(np.float64)
        low, high = np.percentile(seen, [2, 98], axis=1)[..., None, None] if seen.size else (0.0, 1.0)
        array = np.clip((array - low) / np.maximum(high - low, 1e-9) * 255, 0, 255)
    image = np.where(pixels.valid, np.nan_to_num(array), OUTSIDE)
    return np.moveaxis(image, 0, -1).astype(np.uint8)


def _with_legend(picture: Image.Image, classes: Sequence[LabelClass]) -> Image.Image:
    """Put a strip with the classes below a picture."""
    font = ImageFont.load_default(size=18)
    canvas = Image.new("RGB", (picture.width, picture.height + 40), "white")
    canvas.paste(picture)
    draw, x, y = ImageDraw.Draw(canvas), 12, picture.height + 11
    for item in classes:
        draw.rectangle((x, y, x + 18, y + 18), fill=item.color, outline="black")
        draw.text((x + 25, y - 2), item.name, fill="black", font=font)
        x += 45 + round(draw.textlength(item.name, font=font))
    return canvas
