"""OpenAerialMap drone images with OpenStreetMap's buildings as training data, split by country; and Ohio's buildings.

Images CC BY 4.0 by OpenAerialMap's contributors, outlines ODbL 1.0 by OpenStreetMap's; none of them is part of the
project. Zanzibar, Catanduanes, Banepa and Ohio are trained on; of Kampala's two areas, kilometres apart, the small one
chooses and the large one is reported.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import ohio
from geodeeplab.models import ModelClass
from geodeeplab.training import Augmentation, TrainingData, prepare_data

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
from xyz_mosaic import write_mosaics

ZOOMS = {"zanzibar": 20, "catanduanes": 20, "kampala": 20, "banepa": 19}
"""Of the images: 0.15 m (tiles of Banepa are twice as large)."""
GSD_M = 0.15
"""At which the model reads: that of most of the images."""
APART: dict[str, Any] = {"boundary_threshold": 0.25, "min_marker_px": 144}
"""How buildings are told apart: chosen on Kampala's small area, by PQ."""
OHIO_STEP = 8
"""Of Ohio's areas every so many-th is trained on: with all of them, half of the buildings that are drawn are its small
houses, and roofs of other places are missed."""
TRAIN_PLACES, HELD_OUT_PLACE = {"zanzibar": 2, "catanduanes": 8, "banepa": 3}, "kampala"
"""How often each place is listed: Catanduanes has a twelfth of Zanzibar's ground, and most of the colours of roofs."""
SELECT_TIMES = 16
"""How often the area that chooses is listed: Ohio's have fifty times its ground, and a fifth of its buildings then."""
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
    return write_mosaics(data / place, ZOOMS[place], folder)


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
    leave_out: Sequence[str] = (),
) -> TrainingData:
    """Prepare the places to train on, and the area to choose by; ground without an outline is `other`."""
    times_of = {place: times for place, times in TRAIN_PLACES.items() if place not in leave_out}
    train = [
        (path, outlines(data / "buildings", place))
        for place, times in times_of.items()
        if (data / "buildings" / place).is_dir()
        for path in mosaics(data / "buildings", folder, place) * times
    ]
    select, sources = [select_area(data / "buildings", folder)] * SELECT_TIMES, list(SOURCES)
    if (data / "ohio").is_dir():
        areas = _ohio_areas(data, folder)
        learned = [pair for name, pair in areas.items() if name not in (*ohio.SELECT_AREAS, *ohio.REPORT_AREAS)]
        train += learned[::OHIO_STEP]
        select += [pair for name, pair in areas.items() if name in ohio.SELECT_AREAS]
        sources.append(ohio.SOURCE)
    pairs = [*train, *select]
    places = {
        "train": list(times_of),
        "select": f"{HELD_OUT_PLACE}, area 2",
        "ohio areas": {"select": list(ohio.SELECT_AREAS), "report": list(ohio.REPORT_AREAS)},
    }
    return prepare_data(
        scenes=[scene for scene, _ in pairs],
        labels=[layer for _, layer in pairs],
        classes=CLASSES,
        background="other",
        val_scenes=range(len(train), len(pairs)),
        gsd_m=GSD_M,
        chip_size=chip_size,
        batch_size=batch_size,
        epoch_chips=epoch_chips,
        augmentation=augmentation,
        seed=seed,
        provenance={"sources": sources, "places": places},
    )


def held_out(data: Path, folder: Path, *, leave_out: Sequence[str] = ()) -> list[tuple[str, Path, Path]]:
    """List what is evaluated: a name that says its part, the scene and its polygons; so are places left out."""
    buildings = data / "buildings"
    found = [("kampala2-selection", *select_area(buildings, folder))]
    found.append(("kampala1-report", *report_area(buildings, folder)))
    for place in leave_out:
        areas_of = mosaics(buildings, folder, place)
        found += [(f"{place}{i}-report", path, outlines(buildings, place)) for i, path in enumerate(areas_of, start=1)]
    if (data / "ohio").is_dir():
        areas = _ohio_areas(data, folder)
        found += [(f"ohio{name}-report", *areas[name]) for name in ohio.REPORT_AREAS]
    return found


def _ohio_areas(data: Path, folder: Path) -> dict[str, tuple[Path, Path]]:
    """Give Ohio's areas, each with the buildings of all."""
    pairs = ohio.write_areas(data / "ohio", folder)
    layer = ohio.write_buildings((labels for _, labels in pairs.values()), folder / "ohio-buildings.gpkg")
    return {name: (scene, layer) for name, (scene, _) in pairs.items()}
