from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from geodeeplab.errors import OptionError, OutputError
from geodeeplab.maps import write_preview
from geodeeplab.maps.preview import overlay
from geodeeplab.raster import (
    BlockSpool,
    Grid,
    LabelClass,
    SpoolLayer,
    classes_tag,
    encode_block,
    open_scene,
    write_label_cog,
)

CLASSES = (LabelClass(id=1, name="land", color=(200, 100, 0)), LabelClass(id=2, name="water", color=(0, 0, 250)))
MakeRaster = Callable[..., Path]


def make_labels(path: Path, labels: np.ndarray, grid: Grid) -> Path:
    folder = path.with_suffix(".spool")
    folder.mkdir()
    spool = BlockSpool(folder, labels.shape, [SpoolLayer(name="labels", dtype="uint8")])
    spool.append(encode_block(0, 0, {"labels": labels}))
    write_label_cog(spool, path, grid=grid, classes=CLASSES, tags=classes_tag(CLASSES))
    return path


def test_overlay_by_hand() -> None:
    base = np.full((2, 3, 3), 100, dtype=np.uint8)
    labels = np.array([[1, 1, 2], [1, 1, 0]], dtype=np.uint8)
    drawn = overlay(base, labels, CLASSES)
    assert drawn[0, 0].tolist() == [145, 100, 55]  # 55 % scene, 45 % class
    assert drawn[0, 2].tolist() == [0, 0, 250]  # an edge has the full colour
    assert drawn[1, 2].tolist() == [100, 100, 100]  # nodata stays the scene


@pytest.mark.parametrize(("count", "dtype"), [(3, "uint8"), (1, "uint16"), (4, "float32")])
def test_a_preview_shows_scene_classes_and_legend(
    make_raster: MakeRaster, tmp_path: Path, count: int, dtype: str
) -> None:
    scene = make_raster(np.random.default_rng(0).integers(1, 200, (count, 30, 40)).astype(dtype), "scene.tif")
    with open_scene(scene) as opened:
        grid = opened.grid
    labels = make_labels(
        tmp_path / "labels.tif", np.repeat([[1], [2], [0]], 10, axis=0).repeat(40, 1).astype("u1"), grid
    )
    picture = write_preview(scene, labels, tmp_path / "out.png", max_size=20)
    image = np.asarray(Image.open(picture))
    assert image.shape == (15 + 40, 20, 3)
    blueness = image[..., 2].astype(int) - image[..., 0]
    assert blueness[6:9].mean() > 30 > blueness[1:4].mean()
    with pytest.raises(OutputError, match="exists"):
        write_preview(scene, labels, tmp_path / "out.png")
    with pytest.raises(OptionError, match="suffix"):
        write_preview(scene, labels, tmp_path / "out.xyz")
