"""OpenAerialMap drone images with OpenStreetMap's buildings as training data, split by country.

Images CC BY 4.0 by OpenAerialMap's contributors, outlines ODbL 1.0 by OpenStreetMap's; neither is part of the project.
Zanzibar and Catanduanes are trained on; of Kampala's two areas, kilometres apart, the small one chooses and the large
one is reported.
"""

import sys
from pathlib import Path

from geodeeplab.models import ModelClass
from geodeeplab.training import Augmentation, TrainingData, prepare_data

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
from xyz_mosaic import write_mosaics

ZOOM = 20
"""Pixels of 0.15 m: a house is 50 to 100 of them wide, and a quarter of the finest zoom's work."""
TRAIN_PLACES, HELD_OUT_PLACE = {"zanzibar": 1, "catanduanes": 4}, "kampala"
"""How often each place is listed: Catanduanes has a twelfth of Zanzibar's ground, and most of the colours of roofs."""
CLASSES = (
    ModelClass(id=1, name="building", color=(214, 69, 65)),
    ModelClass(id=2, name="other", color=(222, 214, 196)),
)
SOURCES = (
    "images: OpenAerialMap contributors, CC BY 4.0",
    "outlines: OpenStreetMap contributors, ODbL 1.0",
)


def mosaics(data: Path, folder: Path, place: str) -> list[Path]:
    """Write the VRTs of a place, the largest area first."""
    return write_mosaics(data / place, ZOOM, folder)


def outlines(data: Path, place: str) -> Path:
    """Give the polygons of a place."""
    return data / place / "labels.geojson"


def report_area(data: Path, folder: Path) -> tuple[Path, Path]:
    """Give the scene that is reported, and its polygons."""
    return mosaics(data, folder, HELD_OUT_PLACE)[0], outlines(data, HELD_OUT_PLACE)


def select_area(data: Path, folder: Path) -> tuple[Path, Path]:
    """Give the scene that chooses the epoch, and its polygons."""
    return mosaics(data, folder, HELD_OUT_PLACE)[1], outlines(data, HELD_OUT_PLACE)


def prepare_buildings(
    data: Path,
    folder: Path,
    *,
    chip_size: int,
    batch_size: int | None,
    epoch_chips: int | None = None,
    seed: int,
    augmentation: Augmentation | bool = True,
) -> TrainingData:
    """Prepare the places to train on, and the area to choose by; ground without an outline is `other`."""
    pairs = [
        (path, outlines(data, place))
        for place, times in TRAIN_PLACES.items()
        for path in mosaics(data, folder, place) * times
    ]
    pairs.append(select_area(data, folder))
    places = {"train": list(TRAIN_PLACES), "select": f"{HELD_OUT_PLACE}, area 2"}
    return prepare_data(
        scenes=[scene for scene, _ in pairs],
        labels=[layer for _, layer in pairs],
        classes=CLASSES,
        background="other",
        val_scenes=[len(pairs) - 1],
        chip_size=chip_size,
        batch_size=batch_size,
        epoch_chips=epoch_chips,
        augmentation=augmentation,
        seed=seed,
        provenance={"sources": list(SOURCES), "places": places},
    )
