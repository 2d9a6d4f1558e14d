"""Aerial photographs of coasts as training data: water beside land of every kind.

USGS, "Remote Sensing of Coastal Change", public domain; the labels are those of "Semantic segmentation with sparse
labels" (MIT). The set is not part of the project. Its classes are deep water, what is a matter of judgement (shallow
water, surf, wet sand), and land, which says no more than "not water": what it is, a teacher says where it is sure.
"""

from pathlib import Path

import numpy as np
import rasterio
from numpy.typing import NDArray
from PIL import Image

from aerial_data import CLASSES, IGNORE
from dubai import write_image, write_labels
from geodeeplab.models import Model
from geodeeplab.pipeline.segment import segment

DEEP, LAND = 0, 2
"""Values of the label files."""
GSD_M = 0.4
"""Metres; the photographs have some 0.1 to 0.5, which nobody wrote down."""
LEAST_CONFIDENCE = 0.7
"""Of the teacher, that what it says of land is taken."""
SOURCE = "aerial photographs: USGS, Remote Sensing of Coastal Change, public domain; labels: OBX set of ML Mondays, MIT"


def write_photographs(data: Path, folder: Path, teacher: Model) -> list[tuple[Path, Path]]:
    """Write the photographs and their labels (ids of `landcover-aerial`) as GeoTIFFs, unless they are there.

    Args:
        data: the set.
        folder: where to write.
        teacher: a model with the classes of `landcover-aerial`.
    """
    pairs = []
    for number, path in enumerate(sorted((data / "images").glob("*.jpg"))):
        scene_path, labels_path = folder / f"coast{number}.tif", folder / f"coast{number}-labels.tif"
        if not labels_path.exists():
            image = np.asarray(Image.open(path).convert("RGB")).transpose(2, 0, 1)
            (mask_path,) = (data / "masks").glob(f"{path.stem}.*")
            mask = np.asarray(Image.open(mask_path).convert("L"))
            place = {"north": 5_000_000 + 10_000 * number, "gsd_m": GSD_M}
            write_image(image, scene_path, **place)
            write_labels(name_ground(mask, _ask(teacher, scene_path)), labels_path, **place)
        pairs.append((scene_path, labels_path))
    return pairs


def name_ground(mask: NDArray[np.uint8], probabilities: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Give class indices (H, W): water where it is deep, on land what else is sure, `IGNORE` elsewhere.

    Args:
        mask: (H, W), the values of the set.
        probabilities: (K, H, W) of the classes of `landcover-aerial`, by the teacher; water's are left out, and the
            rest is to be `LEAST_CONFIDENCE` of what remains.
    """
    water = tuple(CLASSES).index("water")
    rest = probabilities.copy()
    rest[water] = 0
    sure = rest.max(axis=0) >= LEAST_CONFIDENCE * np.maximum(rest.sum(axis=0), 1e-6)
    ground = np.where((mask == LAND) & sure, rest.argmax(axis=0), IGNORE).astype(np.uint8)
    return np.where(mask == DEEP, np.uint8(water), ground)


def _ask(teacher: Model, scene_path: Path) -> NDArray[np.float32]:
    """Give the teacher's probabilities (K, H, W) on a scene's grid."""
    path = scene_path.with_name(f"{scene_path.stem}-teacher.tif")
    segment(scene_path, probabilities=path, probability_dtype="float16", model=teacher, overwrite=True)
    with rasterio.open(path) as src:
        found: NDArray[np.float32] = src.read(out_dtype="float32")
    path.unlink()
    return found
