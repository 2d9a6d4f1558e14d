"""Train a bundled model with the learner, and report it.

    python scripts/train_bundled.py landcover-aerial --data ../shared/data/dubai --epochs 60
    python scripts/train_bundled.py buildings-aerial --data ../shared/data/buildings --epochs 60

`--out` keeps the checkpoints: the same command goes on where it was cut off, or reports again. At its end the epoch
that was best on the selection data is segmented with, and evaluated on data that neither training nor selection saw;
the numbers go into the model file, the pages with figures beside it. `--install` puts the file among the package's
models. With a GPU: `--device cuda --backbone resnet50 --batch 16 --chip-size 512`, and the same again.

Classes have one weight: chips are drawn balanced already, and weights on top of that made both models claim the rare
classes too often.
"""

import argparse
import shutil
import sys
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

import buildings
import dubai
from aerial_data import IGNORE, REPORT_TILE, SELECT_TILE, TRAIN_TILES
from dubai import OVERLAP, TILE_SIZE
from geodeeplab.learner import DeepLab
from geodeeplab.models import read_contract, save_model
from geodeeplab.models.files.header import BUNDLED_FOLDER
from geodeeplab.pipeline.evaluating.evaluate import evaluate
from geodeeplab.pipeline.evaluating.result import Evaluation
from geodeeplab.pipeline.segment import segment
from geodeeplab.training import Augmentation, TrainingData, prepare_data

LANDCOVER, BUILDINGS = "landcover-aerial", "buildings-aerial"
TRAIN_SEEDS, HELD_OUT_SEEDS = range(1000, 1032), range(2000, 2004)
"""Of the synthetic scenes; the sample scene has another one."""
SYNTHETIC_SHAPE = (768, 768)
LICENCES = {
    LANDCOVER: "Apache-2.0",
    BUILDINGS: "Apache-2.0; training data: OpenAerialMap CC BY 4.0, OpenStreetMap ODbL",
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Fit, report, save."""
    args = parse_arguments(arguments)
    data = prepare_landcover(args) if args.name == LANDCOVER else prepare_buildings(args)
    print(data.describe(), flush=True)
    learner = DeepLab(
        data,
        args.backbone,
        weights=None,
        pretrained_path=args.start,
        pointrend=True,
        dice_loss_fraction=0.0 if args.name == LANDCOVER else 1 / 3,
        aspp_channels=args.width,
        device=args.device,
        seed=args.seed,
    )
    learner.fit(
        args.epochs,
        lr=args.lr,
        ema_decay=args.ema,
        folder=args.out / args.name,
        resume=True,
        workers=args.workers,
    )
    learner.plot_losses(args.out / f"{args.name}-losses.png")
    learner.show_worst(4, args.out / f"{args.name}-worst.png")
    path = learner.save(args.out / f"{args.name}.safetensors", licence=LICENCES[args.name], overwrite=True)
    report(learner, path, args)
    if args.install:
        shutil.copyfile(path, BUNDLED_FOLDER / path.name)
    print(f"{path}: {path.stat().st_size / 1e6:.1f} MB")


# ---------------------------------------------------------------------------------------------------------------------
# Data


def prepare_landcover(args: argparse.Namespace) -> TrainingData:
    """Prepare the Dubai tiles with synthetic scenes, both in training and in selection."""
    folder = args.out / "data"
    files = [dubai.write_tile(args.data, folder, tile) for tile in (*TRAIN_TILES, SELECT_TILE)]
    drawn = [write_synthetic(folder, seed) for seed in [*TRAIN_SEEDS, *HELD_OUT_SEEDS][: args.synthetic]]
    pairs = [*files, *drawn]
    held_out = [len(TRAIN_TILES)] + [i for i, seed in enumerate(_seeds(drawn), len(files)) if seed in HELD_OUT_SEEDS]
    return prepare_data(
        scenes=[scene for scene, _ in pairs],
        labels=[labels for _, labels in pairs],
        classes=dubai.MODEL_CLASSES,
        val_scenes=held_out,
        chip_size=args.chip_size,
        batch_size=args.batch,
        augmentation=Augmentation(strength=args.strength),
        seed=args.seed,
        provenance={
            "sources": [dubai.SOURCE, "synthetic scenes of sample_data/make_scene.py, CC0 1.0"],
            "tiles": {"train": list(TRAIN_TILES), "select": SELECT_TILE, "report": REPORT_TILE},
        },
    )


def _seeds(drawn: Iterable[tuple[Path, Path]]) -> list[int]:
    return [int(scene.stem.removeprefix("synthetic")) for scene, _ in drawn]


def write_synthetic(folder: Path, seed: int) -> tuple[Path, Path]:
    """Draw a synthetic scene, an arid one for odd seeds, unless it is there."""
    sys.path.insert(0, str(Path(__file__).parents[1] / "sample_data"))
    from make_scene import make_scene

    scene_path, labels_path = folder / f"synthetic{seed}.tif", folder / f"synthetic{seed}-labels.tif"
    if not labels_path.exists():
        made = make_scene(seed, shape=SYNTHETIC_SHAPE, style="arid" if seed % 2 else "temperate")
        indices = np.where(made.valid & (made.labels > 0), made.labels - np.uint8(1), np.uint8(IGNORE))
        dubai.write_pair(
            made.image.astype(np.uint8), indices, scene_path, labels_path, north=10_000_000 + 10_000 * seed
        )
    return scene_path, labels_path


def prepare_buildings(args: argparse.Namespace) -> TrainingData:
    """Prepare the drone images."""
    return buildings.prepare_buildings(
        args.data,
        args.out / "data",
        chip_size=args.chip_size,
        batch_size=args.batch,
        seed=args.seed,
        augmentation=Augmentation(strength=args.strength, recolour_share=0.5),
    )


# ---------------------------------------------------------------------------------------------------------------------
# Report


def report(learner: DeepLab, path: Path, args: argparse.Namespace) -> None:
    """Evaluate the saved model on whole scenes, and write the numbers into its file."""
    metrics: dict[str, Any] = {}
    for name, scene, truth, options in held_out(args):
        labels = args.out / f"{args.name}-{name}.tif"
        confidence = labels.with_name(f"{labels.stem}-confidence.tif")
        segment(
            scene,
            label_raster=labels,
            confidence=confidence,
            model=path,
            tile_size=TILE_SIZE,
            overlap=OVERLAP,
            overwrite=True,
        )
        found = evaluate(
            labels,
            truth,
            confidence=confidence,
            report=labels.with_suffix(".png"),
            json=labels.with_suffix(".json"),
            overwrite=True,
            **options,
        )
        print(f"{name}\n{found.table()}\n", flush=True)
        metrics[name] = numbers(found)
    contract = read_contract(path)
    provenance = dict(contract.provenance)
    if args.start is not None:
        provenance["earlier"] = dict(read_contract(args.start).provenance)
    gsd_m = None if args.name == LANDCOVER else contract.gsd_m  # nobody knows how large Dubai's pixels are
    contract = replace(
        contract, metrics=metrics, provenance=provenance, gsd_m=gsd_m, tile_size=TILE_SIZE, overlap=OVERLAP
    )
    save_model(learner.network, contract, path)


def held_out(args: argparse.Namespace) -> list[tuple[str, Path, Path, dict[str, Any]]]:
    """List what is evaluated: a name that says its part, the scene, its truth, and how that is read."""
    folder = args.out / "data"
    if args.name == LANDCOVER:
        roles = (("selection", SELECT_TILE), ("report", REPORT_TILE))
        return [(f"tile{tile}-{role}", *dubai.write_tile(args.data, folder, tile), {}) for role, tile in roles]
    options = {"truth_class": "building", "background": "other", "objects": True}
    select, reported = buildings.select_area(args.data, folder), buildings.report_area(args.data, folder)
    return [("kampala2-selection", *select, options), ("kampala1-report", *reported, options)]


def numbers(found: Evaluation) -> dict[str, Any]:
    """Give the scores that a model file states."""
    names = [item.name for item in found.classes]
    facts: dict[str, Any] = {
        "miou": round(found.mean_iou, 4),
        "accuracy": round(found.accuracy, 4),
        "iou": dict(zip(names, found.iou.round(4).tolist(), strict=True)),
        "boundary_iou": dict(zip(names, found.boundary_iou.round(4).tolist(), strict=True)),
        "boundary_px": found.distance_px,
    }
    if found.objects is not None:
        facts["objects"] = {
            name: {"precision": round(one.precision, 4), "recall": round(one.recall, 4), "f1": round(one.f1, 4)}
            for name, one in zip(names, found.objects, strict=True)
            if one.matched
        }
    if found.calibration is not None:
        facts["ece"] = round(found.calibration.ece, 4)
    return facts


def parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=(LANDCOVER, BUILDINGS))
    parser.add_argument("--data", type=Path, required=True, help="the Dubai set, or the buildings set")
    parser.add_argument("--out", type=Path, default=Path("out/bundled"))
    parser.add_argument("--start", type=Path, help="model of an earlier run to go on from, with a schedule of its own")
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--chip-size", type=int, default=384)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--ema", type=float, default=0.998)
    parser.add_argument("--strength", type=float, default=0.6, help="of the changes of light and colour")
    parser.add_argument("--backbone", default="resnet18")
    parser.add_argument("--width", type=int, default=64, help="channels of ASPP")
    parser.add_argument("--synthetic", type=int, default=len(TRAIN_SEEDS) + len(HELD_OUT_SEEDS), help="scenes")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--workers", type=int, default=None)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--install", action="store_true", help="put the model among the package's")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
