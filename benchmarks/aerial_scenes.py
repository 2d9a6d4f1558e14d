"""Tile 6 of the Dubai set as one scene with its truth."""

import sys
from pathlib import Path

import numpy as np
import rasterio
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parents[1] / "scripts"))
from aerial_data import REPORT_TILE
from dubai import write_tile


def write_dubai_scene(data: Path, folder: Path, *, tile: int = REPORT_TILE) -> tuple[Path, NDArray[np.uint8]]:
    """Write a tile as a GeoTIFF, see `write_tile`; give it and its truth (H, W): class indices from 0, 255 unknown."""
    scene_path, labels_path = write_tile(data, folder, tile)
    with rasterio.open(labels_path) as src:
        ids: NDArray[np.uint8] = src.read(1)
    return scene_path, ids - np.uint8(1)  # ids count from 1, and 0, without a label, becomes 255
