"""Turn a checkpoint of `train_bundled.py` into the bundled model file, scored through `segment` on tiles 2 and 6.

python scripts/export_bundled.py out/train/best.pt --data ../shared/data/dubai

Where a run started from another's checkpoint (`--start`), give them in their order; the last one is exported.
"""

import argparse
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import torch
from rasterio.errors import NotGeoreferencedWarning

from aerial_data import CLASSES, IGNORE, REPORT_TILE, SELECT_TILE, TRAIN_TILES, join_parts, read_dubai_parts
from geodeeplab.errors import GeoDeepLabWarning
from geodeeplab.evaluation import confusion_matrix, iou, mean_iou
from geodeeplab.models import Contract, ModelBand, ModelClass, build_model, load_model, save_model
from geodeeplab.models.model_file import BUNDLED_FOLDER
from geodeeplab.pipeline.segment import segment
from train_bundled import ARCHITECTURE

COLOURS = {
    "building": (214, 69, 65),
    "land": (222, 196, 148),
    "road": (120, 120, 128),
    "vegetation": (67, 142, 72),
    "water": (54, 118, 189),
}
"""What the classes look like in maps: not the label files' colours, which are hard to read over a scene."""
TILE_SIZE = 768
"""Pixels; with an overlap of 128 better than 512 on tile 2 and cheaper (`benchmarks/seams.py`)."""


def contract(states: list[dict[str, Any]], metrics: dict[str, Any]) -> Contract:
    """Write down what the checkpoints, one run after the other, were trained on."""
    state = states[-1]
    return Contract(
        name="landcover-aerial",
        architecture=ARCHITECTURE,
        classes=tuple(ModelClass(id=i, name=name, color=COLOURS[name]) for i, name in enumerate(CLASSES, start=1)),
        bands=tuple(
            ModelBand(name=name, mean=mean, std=std)
            for name, mean, std in zip(("red", "green", "blue"), state["mean"], state["std"], strict=True)
        ),
        tile_size=TILE_SIZE,
        licence="Apache-2.0",
        provenance={
            "data": "Semantic segmentation of aerial imagery, Humans in the Loop and MBRSC, CC0 1.0; synthetic scenes "
            "of sample_data/make_scene.py",
            "split": {"train": TRAIN_TILES, "select": SELECT_TILE, "report": REPORT_TILE},
            "script": "scripts/train_bundled.py",
            "runs": [{"options": each["options"], "steps": each["step"]} for each in states],
        },
        metrics=metrics,
    )


def score(model_path: Path, data: Path, tile: int, folder: Path) -> dict[str, Any]:
    """Segment a whole tile and compare its pixels with the labels."""
    image, truth = join_parts(read_dubai_parts(data, tile))
    labels = segment_tile(model_path, image, folder / f"tile{tile}.tif")
    counts = confusion_matrix(labels, truth, class_ids=range(len(CLASSES)), ignore=IGNORE)
    per_class = {name: round(float(value), 4) for name, value in zip(CLASSES, iou(counts), strict=True)}
    return {
        "mIoU": round(mean_iou(counts), 4),
        "IoU": per_class,
        "accuracy": round(float(np.trace(counts) / counts.sum()), 4),
    }


def segment_tile(model_path: Path, image: np.ndarray, scene: Path) -> np.ndarray:
    """Write an image (3, H, W) to `scene`, a .tif, run `segment` on it and give its class indices (H, W) uint8."""
    labels = scene.with_name(f"{scene.stem}-labels.tif")
    profile = {"driver": "GTiff", "dtype": "uint8", "count": 3, "tiled": True, "photometric": "rgb"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        warnings.simplefilter("ignore", GeoDeepLabWarning)
        with rasterio.open(scene, "w", height=image.shape[1], width=image.shape[2], **profile) as dst:
            dst.write(image)
        segment(scene, labels=labels, model=load_model(model_path))
        with rasterio.open(labels) as src:
            found: np.ndarray = src.read(1) - 1  # no pixel is nodata: ids from 1
    return found


def main() -> None:
    """Parse the options, score, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoints", type=Path, nargs="+")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--dst", type=Path, default=BUNDLED_FOLDER / "landcover-aerial.safetensors")
    args = parser.parse_args()
    states = [torch.load(path, weights_only=True) for path in args.checkpoints]
    network = build_model(**ARCHITECTURE)
    network.load_state_dict(states[-1]["weights"])
    with tempfile.TemporaryDirectory() as name:
        draft = Path(name) / "draft.safetensors"
        save_model(network, contract(states, {}), draft)
        metrics = {
            f"dubai tile {tile} ({role})": score(draft, args.data, tile, Path(name))
            for tile, role in ((SELECT_TILE, "selection"), (REPORT_TILE, "report"))
        }
    args.dst.parent.mkdir(parents=True, exist_ok=True)
    save_model(network, contract(states, metrics), args.dst)
    for tile, scores in metrics.items():
        print(tile, scores)
    print(args.dst, f"{args.dst.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
