"""A tile of the Dubai set, written as the training scripts do."""

from pathlib import Path

import numpy as np
import rasterio
from PIL import Image

from aerial_data import CLASSES, REPORT_TILE
from aerial_scenes import write_dubai_scene
from dubai import GSD_M


def test_a_tile_is_a_scene_with_class_indices_from_0(tmp_path: Path) -> None:
    colours = np.array([*CLASSES.values(), (0, 0, 0)], dtype=np.uint8)  # black is no class
    indices = np.arange(6).repeat(6).reshape(6, 6)
    for name in ("images", "masks"):
        (tmp_path / f"Tile {REPORT_TILE}" / name).mkdir(parents=True)
        for part in range(9):
            suffix = "jpg" if name == "images" else "png"
            Image.fromarray(colours[indices]).save(tmp_path / f"Tile {REPORT_TILE}" / name / f"part_{part}.{suffix}")
    path, truth = write_dubai_scene(tmp_path, tmp_path / "out")
    assert (truth == np.tile([[0], [1], [2], [3], [4], [255]], (3, 18))).all()
    with rasterio.open(path) as src:
        assert (src.count, src.shape, src.res) == (3, truth.shape, (GSD_M, GSD_M))
        assert src.block_shapes[0] == (256, 256)
