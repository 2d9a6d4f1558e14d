"""`DeepLab(data).fit()` as a user calls it, beside the defaults of version 0.1: mean IoU elsewhere, minutes, steps.

    python benchmarks/default_fit.py --data ../shared/data --out out/default-fit
    python benchmarks/default_fit.py --data ../shared/data --out out/try --steps 4    # does it run?

Three cases: `sample` learns from the sample scene and all its polygons, and is scored on another drawn scene;
`polygons` learns from twenty little polygons a class of Dubai's tile 6, and is scored on the rest of it; `tiles` learns
from tiles 4, 5, 7 and 8, and is scored on tile 6. Labels are made with what is drawn by `predict`, without options.

`old` is what the same call was: chips of 512 px, an epoch of as many as cover the labels, ten of them, a sweep of the
learning rate before, no PointRend. Its backbone was ResNet-50, whose weights are downloaded; here it is the one of
today, unless `--old-backbone resnet50` says otherwise. What is in `--out` is not done again.
"""

import argparse
import json
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray

from few_polygons import score
from few_polygons_pairs import CLASS_FIELD, draw_polygons, read_dubai, write_polygons, write_scene

# isort: split
from aerial.files import write_label_raster, write_picture  # scripts/ is found by few_polygons_pairs
from aerial.scene import make_scene
from aerial_data import CLASSES, REPORT_TILE, TRAIN_TILES
from dubai import write_tile
from geodeeplab.errors import GeoDeepLabWarning
from geodeeplab.learner import DeepLab
from geodeeplab.training import TrainingData, prepare_data

SAMPLE = Path(__file__).parents[1] / "sample_data"
OTHER_SEED, OTHER_SHAPE = 2001, (1024, 1024)
"""Of the drawn scene that the model of the sample scene is scored on."""
POLYGONS = 20
NAMES = tuple(CLASSES)
OLD_CHIP, OLD_BATCH, OLD_EPOCHS = 512, 8, 10
Facts = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Case:
    """What is learned from, and what is scored."""

    labelled: Facts
    """Arguments of `prepare_data`: scenes, labels and how they are read."""
    scene: Path
    """To predict."""
    truth: NDArray[np.uint8]
    """(H, W) ids of `NAMES` from 1; 0 where nothing is scored."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run what is missing; print the table after each run."""
    args = parse_arguments(arguments)
    args.out.mkdir(parents=True, exist_ok=True)
    done: list[Facts] = []
    for name in args.cases:
        for defaults in args.defaults:
            path = args.out / f"{name}-{defaults}-seed{args.seed}.json"
            if not path.exists():
                facts = run(CASES[name](args), FITS[defaults], args)
                path.write_text(json.dumps({"case": name, "defaults": defaults, **facts}, indent=1))
            done.append(json.loads(path.read_text()))
            print(table(done), flush=True)


# ---------------------------------------------------------------------------------------------------------------------
# Cases


def sample(args: argparse.Namespace) -> Case:
    """Give the sample scene with all its polygons, and another drawn scene."""
    scene, truth = args.out / "drawn.tif", args.out / "drawn-labels.tif"
    if not truth.exists():
        made = make_scene(OTHER_SEED, shape=OTHER_SHAPE, style="temperate")
        write_picture(made.image, made.valid, scene, seed=OTHER_SEED, style="temperate")
        write_label_raster(np.where(made.valid, made.labels, 0).astype(np.uint8), truth)
    labelled = {"scenes": SAMPLE / "scene.tif", "labels": SAMPLE / "truth.gpkg", "class_field": CLASS_FIELD}
    return Case(labelled=labelled, scene=scene, truth=read_ids(truth))


def polygons(args: argparse.Namespace) -> Case:
    """Give little polygons of a tile, and the rest of it."""
    tile = read_dubai(args.data, REPORT_TILE)
    drawn = draw_polygons(tile, POLYGONS, seed=args.seed)
    scene = write_scene(tile, args.out / "polygons.tif")
    labels = write_polygons(tile, drawn.polygons, args.out / "polygons.gpkg")
    labelled = {"scenes": scene, "labels": labels, "class_field": CLASS_FIELD}
    return Case(labelled=labelled, scene=scene, truth=drawn.truth)


def tiles(args: argparse.Namespace) -> Case:
    """Give four whole tiles, and a fifth."""
    pairs = [write_tile(args.data / "dubai", args.out, tile) for tile in TRAIN_TILES]
    scene, truth = write_tile(args.data / "dubai", args.out, REPORT_TILE)
    labelled = {"scenes": [one for one, _ in pairs], "labels": [one for _, one in pairs], "classes": list(NAMES)}
    return Case(labelled=labelled, scene=scene, truth=read_ids(truth))


CASES: dict[str, Callable[[argparse.Namespace], Case]] = {"sample": sample, "polygons": polygons, "tiles": tiles}


def read_ids(path: Path) -> NDArray[np.uint8]:
    """Read a label raster."""
    with rasterio.open(path) as src:
        ids: NDArray[np.uint8] = src.read(1)
    return ids


# ---------------------------------------------------------------------------------------------------------------------
# Fits


def fit_new(labelled: Facts, args: argparse.Namespace) -> DeepLab:
    """Make the default call."""
    if args.steps is None:
        learner = DeepLab(prepare_data(**labelled, seed=args.seed))
        learner.fit(checkpoint=False)
        return learner
    learner = DeepLab(prepare_data(**labelled, seed=args.seed, epoch_chips=8 * args.steps))
    learner.fit(1, checkpoint=False)
    return learner


def fit_old(labelled: Facts, args: argparse.Namespace) -> DeepLab:
    """Make the default call as it was."""

    def prepare(epoch_chips: int) -> TrainingData:
        sizes: Facts = {"chip_size": OLD_CHIP, "batch_size": OLD_BATCH, "epoch_chips": epoch_chips}
        return prepare_data(**labelled, **sizes, seed=args.seed)

    covering = max(OLD_BATCH, round(sum(prepare(OLD_BATCH).class_pixels) / OLD_CHIP**2))
    data = prepare(covering if args.steps is None else OLD_BATCH * args.steps)
    learner = DeepLab(data, args.old_backbone, pointrend=False)
    learner.lr_find(False, steps=100 if args.steps is None else 10)
    learner.fit(OLD_EPOCHS if args.steps is None else 1, checkpoint=False)
    return learner


FITS: dict[str, Callable[[Facts, argparse.Namespace], DeepLab]] = {"new": fit_new, "old": fit_old}


def run(case: Case, fit: Callable[[Facts, argparse.Namespace], DeepLab], args: argparse.Namespace) -> Facts:
    """Prepare, fit and score."""
    started = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", GeoDeepLabWarning)  # classes on one side only, few steps
        learner = fit(case.labelled, args)
    minutes = (time.perf_counter() - started) / 60
    found = args.out / "found.tif"
    learner.predict(case.scene, label_raster=found, gsd_m="native", overwrite=True)
    number_of = np.zeros(256, dtype=np.uint8)
    for item in learner.data.classes:
        number_of[item.id] = NAMES.index(item.name) + 1
    scored = sorted(set(np.unique(case.truth).tolist()) - {0})
    ious = score(number_of[read_ids(found)], case.truth, scored)
    return {
        "miou": float(np.mean(ious)),
        "iou": {NAMES[number - 1]: value for number, value in zip(scored, ious, strict=True)},
        "claimed": learner.mIOU(mean=True),
        "minutes": minutes,
        "steps": sum(len(record.step_losses) for record in learner.history),
        "swept_lr": None if learner.sweep is None else learner.sweep.suggestion,
        "history": [record.miou for record in learner.history],
    }


# ---------------------------------------------------------------------------------------------------------------------
# Report


def table(done: Sequence[Facts]) -> str:
    """Write the runs as a Markdown table."""
    lines = ["| case | defaults | mIoU | its validation claims | steps | minutes |", "|---|---|--:|--:|--:|--:|"]
    for one in done:
        claimed = "none" if one["claimed"] is None else f"{one['claimed']:.3f}"
        cells = [
            one["case"],
            one["defaults"],
            f"{one['miou']:.3f}",
            claimed,
            str(one["steps"]),
            f"{one['minutes']:.1f}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with dubai")
    parser.add_argument("--out", type=Path, default=Path("out/default-fit"))
    parser.add_argument("--cases", nargs="+", choices=list(CASES), default=list(CASES))
    parser.add_argument("--defaults", nargs="+", choices=list(FITS), default=list(FITS))
    parser.add_argument("--old-backbone", default="efficientnet_lite0")
    parser.add_argument("--steps", type=int, help="of one epoch, to see whether it runs")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
