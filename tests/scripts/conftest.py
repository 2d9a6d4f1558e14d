from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from aerial_data import CLASSES, REPORT_TILE, SELECT_TILE, TRAIN_TILES


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six tiles of nine parts of 48 × 48 pixels, every class a square of its own colour."""
    folder = tmp_path_factory.mktemp("dubai")
    rng = np.random.default_rng(0)
    colours = np.array(list(CLASSES.values()), dtype=np.uint8)
    for tile in (*TRAIN_TILES, SELECT_TILE, REPORT_TILE):
        for name in ("images", "masks"):
            (folder / f"Tile {tile}" / name).mkdir(parents=True)
        for part in range(9):
            drawn = colours[np.kron(rng.integers(0, len(CLASSES), (3, 3)), np.ones((16, 16), dtype=np.int64))]
            Image.fromarray(drawn).save(folder / f"Tile {tile}" / "images" / f"part_{part}.jpg")
            Image.fromarray(drawn).save(folder / f"Tile {tile}" / "masks" / f"part_{part}.png")
    return folder
