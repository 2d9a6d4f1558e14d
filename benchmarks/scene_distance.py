"""Do the two numbers of `geodeeplab info`, how far a scene lies and how sure the model is, rank scenes by the error?

    python benchmarks/scene_distance.py --data ../shared/data --out out/scene-distance
    python benchmarks/scene_distance.py --data ../shared/data --model landcover-aerial --out out/scene-distance

Scenes of several places, with labels: tiles of Dubai, areas of Ohio, photographs of coasts and drone images for a
land-cover model, drone images for one of buildings. Of each, `SQUARES` squares of 512 px, as the model sees them, are
looked at and labelled. A model whose file does not say what it was trained on gets that from `TRAINED_ON`, by other
windows than those that the distance is measured by; drawn scenes are left out.

The error is 1 − mean IoU over the classes that have 1 % of the ground; beside it, as scenes with few classes have a
high IoU or a low one for nothing, 1 − informedness: the mean recall of these K classes, corrected for chance,
(mean recall − 1/K) / (1 − 1/K); and 1 − IoU of buildings, which most places have. All are of each scene, and of the
pixels of each place together. The output is Markdown tables and Spearman's rank correlations; of what the model expects
to be right, the share that is not stands beside the true one.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import rasterio.features
import rasterio.warp
from numpy.typing import NDArray
from PIL import Image
from shapely.geometry import MultiPolygon, box
from shapely.geometry.base import BaseGeometry

from geodeeplab.evaluation import accuracy, confusion_matrix, iou, recall
from geodeeplab.models import Model, load_model
from geodeeplab.models.appearance import SIDE, SceneDistance, summarise
from geodeeplab.pipeline.info.ground import PLACES, expect_accuracy, look, measure_distance
from geodeeplab.pipeline.plan import open_plan
from geodeeplab.pipeline.request import Request
from geodeeplab.pipeline.segment import segment
from xyz_mosaic import write_mosaics

sys.path.insert(0, str(Path(__file__).parents[1] / "scripts"))
import dubai
import ohio
from aerial_data import CLASSES, IGNORE, REPORT_TILE, SELECT_TILE, TRAIN_TILES

SQUARES, SQUARE = 2, 512
"""Squares of a scene that are labelled, and their side in pixels."""
LEAST_SHARE = 0.01
"""Of the ground, that a class has if its error is to count."""
EVERY_COAST = 6
"""Of the photographs of coasts, every so many-th is used."""
TRAINED_ON = {
    "landcover-aerial": (*(f"dubai{tile}" for tile in TRAIN_TILES), "ohio", "coast"),
    "buildings-aerial": ("zanzibar", "catanduanes", "banepa"),
}
"""Beginnings of the names of scenes that the bundled models were trained on."""
HELD_OUT = tuple(f"ohio{area}" for area in (*ohio.SELECT_AREAS, *ohio.REPORT_AREAS))
ZOOMS = {"zanzibar": 20, "catanduanes": 20, "kampala": 20, "banepa": 19}


@dataclass(frozen=True, kw_only=True)
class Labelled:
    """A scene with its truth."""

    name: str
    """Of the scene; without its digits, of the place."""
    scene: Path
    """A raster."""
    truth: Path
    """A label raster of class ids on its grid, 0 unlabelled; or polygons of buildings in longitude and latitude."""
    only: str | None = None
    """The class that the truth knows; all else is `land`, or `other`."""

    @property
    def place(self) -> str:
        """Name of the place."""
        return self.name.split("-")[0].rstrip("0123456789")


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What was measured of a scene."""

    name: str
    place: str
    distance: SceneDistance
    expected: float | None
    """Share of the pixels that the model expects to label rightly; None where it is not calibrated."""
    is_whole: bool
    """Whether the truth has all classes of the model."""
    confusion: NDArray[np.int64]
    """(K, K), the truth by row."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, and keep the numbers."""
    args = parse_arguments(arguments)
    for name in args.model or TRAINED_ON:
        model = load_model(name)
        is_landcover = [item.name for item in model.contract.classes] == list(CLASSES)
        scenes = [*(landcover_scenes(args) if is_landcover else ()), *building_scenes(args)]
        if model.contract.appearance is None:
            model = with_ground(model, [one for one in scenes if is_seen(one.name, model)])
        found = [measure(one, model, args.out) for one in scenes]
        print(f"{model.contract.name}\n\n{table(found)}\n", flush=True)
        print(f"{expectations(found)}\n", flush=True)
        facts = [
            {"name": one.name, **vars(one.distance), "expected": one.expected, "confusion": one.confusion.tolist()}
            for one in found
        ]
        (args.out / f"{model.contract.name}.json").write_text(json.dumps(facts))


# ---------------------------------------------------------------------------------------------------------------------
# Scenes


def landcover_scenes(args: argparse.Namespace) -> Iterator[Labelled]:
    """Yield the scenes with land cover."""
    for tile in (*TRAIN_TILES, SELECT_TILE, REPORT_TILE):
        scene, truth = dubai.write_tile(args.data / "dubai", args.out, tile)
        yield Labelled(name=f"dubai{tile}", scene=scene, truth=truth)
    for name, (scene, truth) in ohio.write_areas(args.data / "ohio", args.out).items():
        yield Labelled(name=f"ohio{name}", scene=scene, truth=truth)
    for number, path in enumerate(sorted((args.data / "coast" / "images").glob("*.jpg"))[::EVERY_COAST]):
        yield write_coast(path, args.out, number)


def write_coast(path: Path, folder: Path, number: int) -> Labelled:
    """Write a photograph with its labels: water, and land for all that is none."""
    scene, truth = folder / f"coast{number}.tif", folder / f"coast{number}-labels.tif"
    image = np.asarray(Image.open(path).convert("RGB")).transpose(2, 0, 1)
    (mask_path,) = (path.parents[1] / "masks").glob(f"{path.stem}.*")
    mask = np.asarray(Image.open(mask_path).convert("L"))
    names = tuple(CLASSES)
    labels = np.full(mask.shape, IGNORE, np.uint8)
    labels[mask == 0], labels[mask == 2] = names.index("water"), names.index("land")
    dubai.write_pair(image, labels, scene, truth, north=5_000_000 + 10_000 * number, gsd_m=0.4)
    return Labelled(name=f"coast{number}", scene=scene, truth=truth, only="water")


def building_scenes(args: argparse.Namespace) -> Iterator[Labelled]:
    """Yield the drone images with outlines of buildings."""
    for place, zoom in ZOOMS.items():
        folder = args.data / "buildings" / place
        for path in write_mosaics(folder, zoom, args.out):
            yield Labelled(name=path.stem, scene=path, truth=folder / "labels.geojson", only="building")


# ---------------------------------------------------------------------------------------------------------------------
# Measuring


def with_ground(model: Model, scenes: Sequence[Labelled]) -> Model:
    """Give a model with what the scenes look like that it was trained on."""
    windows = []
    for one in scenes:
        with open_plan(Request(scene=one.scene, model=model)) as plan:
            later = range(PLACES.stop, 2 * PLACES.stop)
            windows += look(plan, side=SIDE, places=later)
    return replace(model, contract=replace(model.contract, appearance=summarise(windows, side=SIDE)))


def measure(one: Labelled, model: Model, folder: Path) -> Measured:
    """Measure the distance of a scene, and count right and wrong labels in its squares."""
    with open_plan(Request(scene=one.scene, model=model)) as plan, rasterio.open(one.scene) as src:
        factor = 1.0 if plan.zoom is None else min(plan.zoom.factor)
        area = squares(src.height, src.width, src.transform, side=round(SQUARE / factor))
    with open_plan(Request(scene=one.scene, model=model, aoi=area)) as plan:
        distance, expected = measure_distance(plan), expect_accuracy(plan)
    assert distance is not None, "the model was given an appearance, and scenes are full of pixels"
    path = folder / f"{one.name}-found.tif"
    segment(one.scene, label_raster=path, model=model, aoi=area, crop=True, tile_size=SQUARE, overlap=0, overwrite=True)
    ids = [item.id for item in model.contract.classes]
    with rasterio.open(path) as src:
        labels, truth = src.read(1), read_truth(one, src)
    truth[labels == 0] = 0
    if one.only is not None:
        known = {item.name: item.id for item in model.contract.classes}
        labels[~np.isin(labels, (0, known[one.only]))] = known.get("land", known.get("other"))
    confusion = confusion_matrix(labels, truth, class_ids=ids, ignore=0)
    place = one.place + (" (trained on)" if is_seen(one.name, model) else "")
    is_whole = one.only is None or len(ids) == 2
    return Measured(
        name=one.name, place=place, distance=distance, expected=expected, is_whole=is_whole, confusion=confusion
    )


def is_seen(name: str, model: Model) -> bool:
    """Say whether a bundled model was trained on a scene."""
    return name.startswith(TRAINED_ON.get(model.contract.name, ())) and name not in HELD_OUT


def squares(height: int, width: int, transform: Any, *, side: int) -> BaseGeometry:  # noqa: ANN401 - rasterio's Affine
    """Give squares on a lattice of them: at the middle of a small scene, else at two quarters of the diagonal."""
    places = [0.5] if height * width < SQUARES * 2 * side**2 else [0.25, 0.75]
    boxes = []
    for place in places:
        row, col = (int(place * max(0, length - side) / side) * side for length in (height, width))
        corners = transform @ (col, row), transform @ (min(col + side, width), min(row + side, height))
        (left, top), (right, bottom) = corners
        boxes.append(box(left, bottom, right, top))
    return MultiPolygon(boxes)


def read_truth(one: Labelled, src: rasterio.DatasetReader) -> NDArray[np.uint8]:
    """Read the truth on the grid of a label raster: ids of the model, 0 unlabelled."""
    if one.truth.suffix == ".tif":
        with rasterio.open(one.truth) as truth:
            window = truth.window(*src.bounds).round_offsets().round_lengths()
            read: NDArray[np.uint8] = truth.read(1, window=window)
            return read
    layer = json.loads(one.truth.read_text())
    shapes = [
        (rasterio.warp.transform_geom("EPSG:4326", src.crs, feature["geometry"]), 1) for feature in layer["features"]
    ]
    burnt: NDArray[np.uint8] = rasterio.features.rasterize(
        shapes, out_shape=src.shape, transform=src.transform, fill=2, dtype="uint8"
    )
    return burnt


# ---------------------------------------------------------------------------------------------------------------------
# Report


def errors(confusion: NDArray[np.int64]) -> tuple[float, float, float]:
    """Give 1 − mean IoU and 1 − informedness over the classes that have `LEAST_SHARE`, and 1 − IoU of the first."""
    there = confusion.sum(axis=1) >= LEAST_SHARE * confusion.sum()
    count = int(there.sum())
    miou = float(iou(confusion)[there].mean())
    right = float(recall(confusion)[there].mean())
    informed = float("nan") if count < 2 else (right - 1 / count) / (1 - 1 / count)
    return 1 - miou, 1 - informed, float(1 - iou(confusion)[0]) if there[0] else float("nan")


def table(found: Sequence[Measured]) -> str:
    """Write places and scenes, the nearest first, and the rank correlations."""
    places = {one.place: [other for other in found if other.place == one.place] for one in found}
    by_place = [
        (float(np.median([one.distance.value for one in group])), *errors(np.sum([one.confusion for one in group], 0)))
        for group in places.values()
    ]
    by_scene = [(one.distance.value, *errors(one.confusion)) for one in found]
    lines = ["| | distance | 1 − mIoU | 1 − informedness | 1 − building IoU | most by |", "|---|" + 5 * "---|"]
    for row, place in sorted(zip(by_place, places, strict=True)):
        lines.append(f"| {place}, {len(places[place])} scenes | {cells(row)} | |")
    for row, one in sorted(zip(by_scene, found, strict=True), key=lambda pair: pair[0]):
        sign = "−" if one.distance.departure < 0 else "+"
        lines.append(f"| {one.name} | {cells(row)} | {sign} {one.distance.statistic} |")
    for what, rows in (("places", by_place), ("scenes", by_scene)):
        values = [spearman([(row[0], row[column]) for row in rows]) for column in (1, 2, 3)]
        lines.append(
            f"\nSpearman's rank correlation over {len(rows)} {what}: {values[0]:.2f} with 1 − mIoU, {values[1]:.2f} "
            f"with 1 − informedness, {values[2]:.2f} with 1 − building IoU"
        )
    return "\n".join(lines)


def expectations(found: Sequence[Measured]) -> str:
    """Write what the model expects to be wrong beside what is, by place, and how that ranks the scenes."""
    numbers = {
        one.name: (1 - one.expected, 1 - float(accuracy(one.confusion)), errors(one.confusion)[0])
        for one in found
        if one.expected is not None
    }
    if not numbers:
        return "the model is not calibrated"
    known = [one for one in found if one.name in numbers]
    lines = ["| | expected to be wrong | wrong | 1 − mIoU |", "|---|--:|--:|--:|"]
    for place in dict.fromkeys(one.place for one in known):
        group = [numbers[one.name] for one in known if one.place == place]
        lines.append(f"| {place}, {len(group)} scenes | {' | '.join(f'{value:.3f}' for value in np.mean(group, 0))} |")
    for what, names in (
        ("scenes", [one.name for one in known]),
        ("scenes whose truth has all classes", [one.name for one in known if one.is_whole]),
    ):
        ranks = [spearman([(numbers[name][0], numbers[name][column]) for name in names]) for column in (1, 2)]
        off = np.mean([abs(numbers[name][0] - numbers[name][1]) for name in names])
        lines.append(
            f"\nSpearman's rank correlation over {len(names)} {what}: {ranks[0]:.2f} with the share that is wrong, "
            f"{ranks[1]:.2f} with 1 − mIoU; off by {off:.3f} on average"
        )
    return "\n".join(lines)


def cells(row: Sequence[float]) -> str:
    """Write a distance and its errors as cells of a table."""
    return " | ".join([f"{row[0]:.2f}", *(f"{value:.3f}" for value in row[1:])])


def spearman(pairs: Sequence[tuple[float, float]]) -> float:
    """Give the correlation of the ranks of pairs without NaN; of equal values each has their mean rank."""
    known = np.array([pair for pair in pairs if not np.isnan(pair).any()])
    if len(known) < 3:
        return float("nan")
    ranks = [(column[:, None] > column).sum(1) + (column[:, None] == column).sum(1) / 2 for column in known.T]
    return float(np.corrcoef(ranks)[0, 1])


def parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with dubai, ohio, coast and buildings")
    parser.add_argument("--out", type=Path, default=Path("out/scene-distance"))
    parser.add_argument("--model", action="append", help="bundled model or model file; by default both bundled ones")
    args = parser.parse_args(arguments)
    args.out.mkdir(parents=True, exist_ok=True)
    return args


if __name__ == "__main__":
    main()
