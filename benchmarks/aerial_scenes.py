"""Tile 6 of the Dubai set as one scene."""

import sys
from pathlib import Path

import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parents[1] / "scripts"))
from aerial_data import REPORT_TILE, join_parts, read_dubai_parts

CRS = "EPSG:32633"
"""The set is not georeferenced; with metres of some zone no program has to guess."""


def write_dubai_scene(data: Path, dst_path: Path, *, tile: int = REPORT_TILE) -> NDArray[np.uint8]:
    """Write a tile as a tiled GeoTIFF of 1 m pixels and give its truth (H, W): class indices from 0, 255 unknown."""
    image, truth = join_parts(read_dubai_parts(data, tile))
    profile = {"driver": "GTiff", "dtype": "uint8", "count": 3, "photometric": "rgb", "interleave": "pixel"}
    layout = {"tiled": True, "blockxsize": 256, "blockysize": 256, "compress": "deflate"}
    size = {"height": image.shape[1], "width": image.shape[2]}
    transform = Affine(1, 0, 500_000, 0, -1, 5_000_000)
    with rasterio.open(dst_path, "w", crs=CRS, transform=transform, **profile, **layout, **size) as dst:
        dst.write(image)
    return truth
