"""The Dubai set as training data: its tiles as georeferenced files, split by whole tiles.

"Semantic segmentation of aerial imagery", Humans in the Loop, CC0 1.0; it is not part of the project. Tiles 7 and 8
overlap, and 4 and 8 show the same ground on two dates, so any random split leaks.
"""

import json
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from affine import Affine

from aerial_data import CLASSES, IGNORE, SELECT_TILE, TRAIN_TILES, join_parts, read_dubai_parts
from geodeeplab.models import Model, ModelClass
from geodeeplab.pipeline.evaluating.evaluate import evaluate
from geodeeplab.pipeline.segment import segment
from geodeeplab.training import Augmentation, TrainingData, prepare_data

COLOURS = {
    "building": (214, 69, 65),
    "land": (222, 196, 148),
    "road": (120, 120, 128),
    "vegetation": (67, 142, 72),
    "water": (54, 118, 189),
}
"""What the classes look like in maps: not the label files' colours, which are hard to read over a scene."""
MODEL_CLASSES = tuple(ModelClass(id=i, name=name, color=COLOURS[name]) for i, name in enumerate(CLASSES, start=1))
CRS, GSD_M = "EPSG:32633", 0.6
"""Where tiles are put, and the size that is stated for their pixels, in metres. Nobody wrote it down, and it looks like
0.7 to 1: they are called as large as Ohio's, so that both are read as they are."""
TILE_SIZE, OVERLAP = 800, 128
"""What `segment` reads: with an overlap of 128 better than tiles of 512 on tile 2 and cheaper (`benchmarks/seams.py`);
and it is 16 % of a tile, for programs that know an overlap as a whole percentage."""
EPOCH_STEPS = 64
"""Steps of a comparison after which a model is scored."""
DISTANCE_PX = 3
"""Of the boundary IoU."""
SOURCE = "Semantic segmentation of aerial imagery, Humans in the Loop and MBRSC, CC0 1.0"


def write_tile(data: Path, folder: Path, tile: int) -> tuple[Path, Path]:
    """Write a tile and its labels as GeoTIFFs, if they are not there yet.

    The set says neither where it is nor how large its pixels are; each tile is put 100 km from the last.
    """
    scene_path, labels_path = folder / f"tile{tile}.tif", folder / f"tile{tile}-labels.tif"
    if not labels_path.exists():
        image, truth = join_parts(read_dubai_parts(data, tile))
        write_pair(image, truth, scene_path, labels_path, north=1_000_000 + 100_000 * tile)
    return scene_path, labels_path


def write_pair(
    image: np.ndarray,
    truth: np.ndarray,
    scene_path: Path,
    labels_path: Path,
    *,
    north: float,
    gsd_m: float = GSD_M,
) -> None:
    """Write an image (3, H, W) and its class indices (H, W) as GeoTIFFs; ids from 1, 0 unlabelled."""
    write_image(image, scene_path, north=north, gsd_m=gsd_m)
    write_labels(truth, labels_path, north=north, gsd_m=gsd_m)


def write_image(image: np.ndarray, path: Path, *, north: float, gsd_m: float = GSD_M) -> None:
    """Write an image (3, H, W) as a GeoTIFF."""
    layout = _layout(image.shape[1:], north=north, gsd_m=gsd_m)
    path.parent.mkdir(parents=True, exist_ok=True)
    with rasterio.open(path, "w", count=3, photometric="rgb", interleave="pixel", **layout) as dst:
        dst.write(image)


def write_labels(truth: np.ndarray, path: Path, *, north: float, gsd_m: float = GSD_M) -> None:
    """Write class indices (H, W) as a GeoTIFF; ids from 1, 0 unlabelled."""
    ids = np.where(truth == IGNORE, np.uint8(0), truth + np.uint8(1))
    with rasterio.open(path, "w", count=1, nodata=0, **_layout(truth.shape, north=north, gsd_m=gsd_m)) as dst:
        dst.write(ids, 1)


def _layout(shape: Sequence[int], *, north: float, gsd_m: float) -> dict[str, Any]:
    layout = {"driver": "GTiff", "dtype": "uint8", "tiled": True, "compress": "deflate", "crs": CRS}
    sides = {"height": shape[0], "width": shape[1]}
    return layout | sides | {"transform": Affine(gsd_m, 0, 500_000, 0, -gsd_m, north)}


def segment_tile(model: str | Path, data: Path, folder: Path, tile: int) -> np.ndarray:
    """Run `segment` on a tile, and give its class indices (H, W) uint8; no pixel is nodata."""
    scene_path, _ = write_tile(data, folder, tile)
    found_path = folder / f"tile{tile}-found.tif"
    segment(scene_path, label_raster=found_path, model=model, gsd_m="native", overwrite=True)
    with rasterio.open(found_path) as src:
        found: np.ndarray = src.read(1) - 1
    return found


def kept(path: Path, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Give the facts that a file holds; where there is none, make them and write it."""
    if not path.exists():
        path.write_text(json.dumps(make(), indent=1))
    facts: dict[str, Any] = json.loads(path.read_text())
    return facts


def score_tile(model: str | Path | Model, data: Path, folder: Path, tile: int, *, tta: str = "none") -> dict[str, Any]:
    """Segment a tile, and score its pixels and boundaries."""
    scene_path, labels_path = write_tile(data, folder, tile)
    with tempfile.TemporaryDirectory(prefix="geodeeplab-dubai-") as place:
        found_path = Path(place) / "labels.tif"
        segment(scene_path, label_raster=found_path, model=model, tile_size=TILE_SIZE, overlap=OVERLAP, tta=tta)
        found = evaluate(found_path, labels_path, distance_px=DISTANCE_PX)
    return {
        "miou": round(found.mean_iou, 4),
        "boundary_iou": round(found.mean_boundary_iou, 4),
        "iou": found.iou.round(4).tolist(),
    }


def prepare_dubai(
    data: Path,
    folder: Path,
    *,
    chip_size: int,
    batch_size: int,
    seed: int,
    tiles: Sequence[int] = TRAIN_TILES,
    val_tile: int = SELECT_TILE,
    class_balance: float = 0.5,
    epoch_chips: int | None = None,
    augmentation: Augmentation | bool = True,
) -> TrainingData:
    """Prepare tiles to train on, and one to choose by."""
    files = [write_tile(data, folder, tile) for tile in (*tiles, val_tile)]
    return prepare_data(
        scenes=[scene for scene, _ in files],
        labels=[labels for _, labels in files],
        classes=MODEL_CLASSES,
        val_scenes=[len(tiles)],
        chip_size=chip_size,
        batch_size=batch_size,
        class_balance=class_balance,
        epoch_chips=epoch_chips,
        augmentation=augmentation,
        seed=seed,
        provenance={"source": SOURCE, "tiles": {"train": list(tiles), "select": val_tile}},
    )
