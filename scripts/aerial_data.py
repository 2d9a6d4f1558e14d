"""The Dubai tiles as arrays: images (3, H, W) and class indices (H, W), uint8, `IGNORE` where nothing is labelled."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

IGNORE = 255
CLASSES = {
    "building": (60, 16, 152),
    "land": (132, 41, 246),
    "road": (110, 193, 228),
    "vegetation": (254, 221, 58),
    "water": (226, 169, 41),
}
"""Class names in the order of their ids from 1, with their colours in the Dubai label files."""
TRAIN_TILES, SELECT_TILE, REPORT_TILE = (4, 5, 7, 8), 2, 6
"""Of the Dubai set. Tiles 4, 7 and 8 show the same ground, so a random split would leak."""


def read_dubai_parts(folder: Path, tile: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Read the nine parts of a tile, row-major, each as an image (3, h, w) and class indices (h, w)."""
    parts = []
    for path in sorted((folder / f"Tile {tile}" / "images").glob("*.jpg")):
        image = np.asarray(Image.open(path).convert("RGB"))
        colours = np.asarray(Image.open(folder / f"Tile {tile}" / "masks" / f"{path.stem}.png").convert("RGB"))
        labels = np.full(colours.shape[:2], IGNORE, dtype=np.uint8)
        for index, colour in enumerate(CLASSES.values()):
            labels[(colours == colour).all(axis=-1)] = index
        parts.append((np.ascontiguousarray(image.transpose(2, 0, 1)), labels))
    if len(parts) != 9:
        raise FileNotFoundError(f"tile {tile} has nine parts, found {len(parts)} in {folder}")
    return parts


def join_parts(parts: Sequence[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    """Join the nine contiguous parts of a tile, cropped to common heights and widths (they differ by a pixel)."""
    rows = []
    for row in (parts[0:3], parts[3:6], parts[6:9]):
        height = min(labels.shape[0] for _, labels in row)
        rows.append([np.concatenate([part[i][..., :height, :] for part in row], axis=-1) for i in (0, 1)])
    width = min(labels.shape[-1] for _, labels in rows)
    image, labels = (np.concatenate([row[i][..., :width] for row in rows], axis=-2) for i in (0, 1))
    return image, labels
