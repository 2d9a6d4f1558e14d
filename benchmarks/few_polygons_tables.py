"""Tables and pictures of `few_polygons.py`: medians over seeds, and what a report claims beside what is true."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from few_polygons_pairs import LabelledScene

METHODS = ("bundled", "forest", "boosted", "adapted")
PALETTE = {
    "building": (214, 69, 65),
    "developed": (214, 69, 65),
    "built": (214, 69, 65),
    "land": (222, 196, 148),
    "barren": (222, 196, 148),
    "bare": (222, 196, 148),
    "other": (222, 214, 196),
    "road": (120, 120, 128),
    "vegetation": (67, 142, 72),
    "trees": (32, 110, 52),
    "forest": (32, 110, 52),
    "shrub": (150, 160, 80),
    "shrubland": (150, 160, 80),
    "grass": (150, 205, 110),
    "herbaceous": (150, 205, 110),
    "crop": (232, 208, 70),
    "cultivated": (232, 208, 70),
    "wetland": (90, 180, 170),
    "wetlands": (90, 180, 170),
    "water": (54, 118, 189),
}
Runs = Sequence[Mapping[str, Any]]


def tables(runs: Runs) -> str:
    """Write all tables, in Markdown, each with a line above it that says what it shows."""
    notes = dict.fromkeys(f"{one['set']}, N={one['n']}: {note}" for one in runs for note in one["notes"])
    return "\n".join(
        [
            "Mean IoU of the ground that was not drawn, medians of seeds (in brackets: the lowest and the highest)\n",
            *_score_rows(runs),
            "\nIoU by class, medians of seeds: forest / boosted / adapted\n",
            *_class_rows(runs),
            "\nMean IoU that the report claims, beside the true one of the same classes\n",
            *_report_rows(runs),
            "\nSeconds of all cores (in brackets: of the wall); adapted: first run of a scene, median of its later\n",
            *_time_rows(runs),
            *(f"\n{note}" for note in notes),
        ]
    )


def lines_of(runs: Runs) -> Iterator[tuple[str, Runs]]:
    """Give the runs of each set, number of polygons and inset, with its name."""

    def key(run: Mapping[str, Any]) -> tuple[str, int, int]:
        return run["set"], run["n"], run["inset"]

    for (name, count, inset), some in groupby(runs, key):
        yield f"{name} | {count}{f', inset {inset}' if inset else ''}", list(some)


def true_mean(run: Mapping[str, Any], method: str) -> float:
    """Give the mean IoU of a run."""
    return float(np.mean(run["methods"][method]["iou"]))


def _score_rows(runs: Runs) -> Iterator[str]:
    yield "| scene | N | polygons | bundled | forest | boosted | adapted | adapted − the better of both, of medians |"
    yield "|---|--:|--:|--:|--:|--:|--:|--:|"
    for name, some in lines_of(runs):
        medians, cells = {}, []
        for method in METHODS:
            found = [true_mean(run, method) for run in some if method in run["methods"]]
            if found:
                medians[method] = float(np.median(found))
            cells.append(f"{np.median(found):.3f} ({min(found):.3f}–{max(found):.3f})" if found else "")
        ahead = medians["adapted"] - max(medians["forest"], medians["boosted"])
        yield f"| {name} | {np.median([run['polygons'] for run in some]):.0f} | {' | '.join(cells)} | {ahead:+.3f} |"


def _class_rows(runs: Runs) -> Iterator[str]:
    yield "| scene | N | by class |"
    yield "|---|--:|---|"
    for name, some in lines_of(runs):
        cells = []
        for number, one in enumerate(some[0]["classes"]):
            found = [np.median([run["methods"][method]["iou"][number] for run in some]) for method in METHODS[1:]]
            cells.append(f"{one} {' / '.join(f'{value:.2f}' for value in found)}")
        yield f"| {name} | {'; '.join(cells)} |"


def _report_rows(runs: Runs) -> Iterator[str]:
    yield "| scene | N | claimed | true | bias | spread | intervals that hold the mean | a class's IoU |"
    yield "|---|--:|--:|--:|--:|--:|--:|--:|"
    for name, some in [*lines_of(runs), ("all |", runs)]:
        means = [pair for run in some if (pair := claimed_and_true(run)) is not None]
        classes = [pair for run in some for pair in claims_by_class(run)]
        if not means:
            continue
        claims, truths = (np.array([pair[i] for pair in means]) for i in (0, 3))
        gaps = claims - truths
        yield (
            f"| {name} | {np.median(claims):.3f} | {np.median(truths):.3f} | {gaps.mean():+.3f} | {gaps.std():.3f} "
            f"| {_held(means)} | {_held(classes)} |"
        )


def claims_by_class(run: Mapping[str, Any]) -> list[tuple[float, float, float, float]]:
    """Give (claimed, low, high, true) IoU of every class that the report has tested."""
    truth = dict(zip(run["classes"], run["methods"]["adapted"]["iou"], strict=True))
    return [(*one["iou"], truth[one["name"]]) for one in run["report"]["classes"] if one["iou"] is not None]


def claimed_and_true(run: Mapping[str, Any]) -> tuple[float, float, float, float] | None:
    """Give (claimed, low, high, true) mean IoU of the classes that the report has tested; None where it has none."""
    classes = claims_by_class(run)
    return (*run["report"]["mean_iou"], float(np.mean([one[3] for one in classes]))) if classes else None


def _held(claims: Sequence[tuple[float, float, float, float]]) -> str:
    held = sum(low <= truth <= high for _, low, high, truth in claims)
    return f"{held} of {len(claims)}"


def _time_rows(runs: Runs) -> Iterator[str]:
    yield "| scene | trees' features | forest: fit, map | boosted: fit, map | adapted: first | later | its map |"
    yield "|---|--:|--:|--:|--:|--:|--:|"
    for name, group in groupby(runs, lambda run: run["set"]):
        some = list(group)
        trees = [
            f"{_spent(run['methods'][method]['fit_s'] for run in some)}, "
            f"{_spent(run['methods'][method]['map_s'] for run in some)}"
            for method in ("forest", "boosted")
        ]
        adapted = [run["methods"]["adapted"] for run in some]
        later = _spent(one["fit_s"] for one in adapted[1:]) if len(adapted) > 1 else ""
        first, mapped = _spent([adapted[0]["fit_s"]]), _spent(one["map_s"] for one in adapted)
        yield f"| {name} | {_spent([some[0]['features_s']])} | {' | '.join(trees)} | {first} | {later} | {mapped} |"


def _spent(found: Iterator[list[float]] | list[list[float]]) -> str:
    wall, cpu = np.median(np.array(list(found)), axis=0)
    return f"{cpu:.0f} ({wall:.0f})"


def write_maps(path: Path, scene: LabelledScene, maps: Mapping[str, NDArray[np.uint8]], max_side: int = 800) -> None:
    """Write an image and maps of ids (H, W) side by side: polygons over the image, truth, forest, adapted."""
    step = -(-max(scene.image.shape[1:]) // max_side)
    palette = np.full((256, 3), 128, dtype=np.uint8)
    for number, name in enumerate(scene.classes, start=1):
        palette[number] = PALETTE[name]
    image, drawn = _to_rgb(scene)[::step, ::step], maps["polygons"][::step, ::step]
    panels = [np.where((drawn > 0)[..., None], palette[drawn], image)]
    panels += [palette[maps[name][::step, ::step]] for name in ("truth", "forest", "adapted")]
    gap = np.full((image.shape[0], 8, 3), 255, dtype=np.uint8)
    parts = [part for panel in [image, *panels] for part in (panel, gap)][:-1]
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.concatenate(parts, axis=1)).save(path)


def _to_rgb(scene: LabelledScene) -> NDArray[np.uint8]:
    bands = scene.image[[scene.bands.index(name) for name in ("red", "green", "blue")]].astype(np.float64)
    low, high = (np.percentile(bands, percent, axis=(1, 2), keepdims=True) for percent in (1, 99))
    return (np.clip((bands - low) / np.maximum(high - low, 1), 0, 1) * 255).astype(np.uint8).transpose(1, 2, 0)
