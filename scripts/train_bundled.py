"""Train a bundled model with the learner, and report it.

    python scripts/train_bundled.py landcover-aerial --data ../shared/data --epochs 40
    python scripts/train_bundled.py buildings-aerial --data ../shared/data --epochs 40
    python scripts/train_bundled.py landcover-satellite --data ../shared/data --epochs 55 --chip-size 128 \
        --arch deeplabv3plus --width 64 --backbone efficientnet_b4_csmask --weights csmask.safetensors

The weights of the last are made by `scripts/convert_csmask_weights.py`.

`--out` keeps the checkpoints: the same command goes on where it was cut off, or reports again. At its end the epoch
that was best on the selection data is segmented with, and evaluated on data that neither training nor selection saw;
the numbers go into the model file, the pages with figures beside it. `--install` puts the file among the package's
models. With a GPU: `--device cuda --backbone resnet50 --batch 16 --chip-size 512`, and the same again.

Classes have one weight: chips are drawn balanced already, and weights on top of that made both models claim the rare
classes too often.
"""

import argparse
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

import buildings
import landcover
import satellite
from dubai import OVERLAP, TILE_SIZE
from geodeeplab.evaluation import iou
from geodeeplab.learner import DeepLab
from geodeeplab.models import SegmentationNetwork, load_model, read_contract, save_model
from geodeeplab.models.files.header import BUNDLED_FOLDER
from geodeeplab.pipeline.evaluating.evaluate import evaluate
from geodeeplab.pipeline.evaluating.result import Evaluation
from geodeeplab.pipeline.polygon_options import PolygonOptions
from geodeeplab.pipeline.segment import segment
from geodeeplab.pipeline.vectorize import vectorize
from geodeeplab.training import Augmentation, TrainingData

LANDCOVER, BUILDINGS, SATELLITE = "landcover-aerial", "buildings-aerial", "landcover-satellite"
LICENCES = {
    LANDCOVER: "Apache-2.0",
    BUILDINGS: "Apache-2.0; training data: OpenAerialMap CC BY 4.0, OpenStreetMap ODbL",
    SATELLITE: "Apache-2.0; training data: HLS public domain, ESA WorldCover CC BY 4.0",
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Fit, report, save."""
    args = parse_arguments(arguments)
    data = prepare(args)
    print(data.describe(), flush=True)
    learner = make_learner(args, data)
    learner.fit(
        args.epochs,
        lr=slice(args.backbone_lr or (args.lr if args.start is None else args.lr / 10), args.lr),
        ema_decay=args.ema,
        monitor=args.monitor,
        folder=args.out / args.name,
        resume=True,
        workers=args.workers,
    )
    learner.plot_losses(args.out / f"{args.name}-losses.png")
    learner.show_worst(4, args.out / f"{args.name}-worst.png")
    path = learner.save(args.out / f"{args.name}.safetensors", licence=LICENCES[args.name], overwrite=True)
    report(learner.network, path, args)
    if args.install:
        shutil.copyfile(path, BUNDLED_FOLDER / path.name)
    print(f"{path}: {path.stat().st_size / 1e6:.1f} MB")


# ---------------------------------------------------------------------------------------------------------------------
# Data


def prepare(args: argparse.Namespace) -> TrainingData:
    """Prepare the data of a model."""
    options = {"chip_size": args.chip_size, "batch_size": args.batch, "seed": args.seed}
    options["epoch_chips"] = args.epoch_steps * args.batch
    folder = args.out / "data"
    recolour = (0.5 if args.name == BUILDINGS else 0.0) if args.recolour is None else args.recolour
    augmentation = Augmentation(strength=args.strength, recolour_share=recolour)
    if args.name == BUILDINGS:
        return buildings.prepare_buildings(
            args.data, folder, augmentation=augmentation, leave_out=args.leave_out, **options
        )
    if args.name == SATELLITE:
        changes = Augmentation(strength=args.strength, scale=satellite.SCALES, optional_bands=satellite.OPTIONAL_BANDS)
        return satellite.prepare_satellite(args.data, folder, augmentation=changes, **options)
    teacher = None if args.teacher is None else load_model(args.teacher)
    return landcover.prepare_landcover(
        args.data, folder, drawn=args.drawn, teacher=teacher, augmentation=augmentation, **options
    )


def make_learner(args: argparse.Namespace, data: TrainingData) -> DeepLab:
    """Build the network and what it starts from."""
    weights = None if args.weights == "none" else args.weights
    if args.name != SATELLITE:
        return DeepLab(
            data,
            args.backbone,
            arch=args.arch,
            weights=None if args.start is not None else weights,
            pretrained_path=args.start,
            pointrend=True,
            dice_loss_fraction=1 / 3 if args.name == BUILDINGS else 0.0,
            instances="building" if args.instances else None,
            boundary_px=args.boundary_px,
            aspp_channels=args.width,
            device=args.device,
            seed=args.seed,
        )
    if args.start is not None:
        weights = args.start  # of the same data, so of its statistics
    elif weights is not None and Path(weights).is_file():
        weights = satellite.fold_normalisation(Path(weights), data.bands, args.out / "data" / "folded.safetensors")
    return satellite.make_learner(
        data,
        arch=args.arch,
        backbone=args.backbone,
        width=args.width,
        weights=weights,
        class_balancing=args.class_balancing,
        device=args.device,
        seed=args.seed,
    )


# ---------------------------------------------------------------------------------------------------------------------
# Report


def report(network: SegmentationNetwork, path: Path, args: argparse.Namespace) -> None:
    """Evaluate a saved model on whole scenes, and write the numbers into its file; `network` is what is in it."""
    metrics: dict[str, Any] = {}
    places: dict[str, Any] = {}
    tile_size, overlap = (satellite.SIDE, 0) if args.name == SATELLITE else (TILE_SIZE, OVERLAP)
    for name, scene, truth, options in held_out(args):
        labels = args.out / f"{args.name}-{name}.tif"
        confidence, boundary = (labels.with_name(f"{labels.stem}-{what}.tif") for what in ("confidence", "boundary"))
        segment(
            scene,
            label_raster=labels,
            confidence=confidence,
            boundary=boundary if args.instances else None,
            model=path,
            tile_size=tile_size,
            overlap=overlap,
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
        if args.instances:
            metrics[name]["objects apart"] = objects_apart(labels, truth, boundary, confidence, options)
        place = name.split("-")[0].rstrip("0123456789")
        places[place] = places.get(place, 0) + found.counts
    for place, counts in places.items():
        print(f"{place}: mIoU {np.nanmean(iou(counts)):.4f}, {iou(counts).round(3).tolist()}", flush=True)
    contract = read_contract(path)
    provenance = dict(contract.provenance)
    if args.start is not None:
        provenance["earlier"] = dict(read_contract(args.start).provenance)
    calibration = {key: value for key, value in contract.metrics["validation"].items() if key.startswith("ece")}
    metrics["validation"] = calibration  # with the temperature and before, on the pixels that it was fitted to
    contract = replace(contract, metrics=metrics, provenance=provenance)
    if args.name != SATELLITE:
        contract = replace(contract, tile_size=tile_size, overlap=overlap)
    save_model(network, contract, path)


def objects_apart(
    labels: Path, truth: Path, boundary: Path, confidence: Path, options: dict[str, Any]
) -> dict[str, dict[str, float]]:
    """Tell buildings that touch apart, and evaluate them as objects."""
    polygons = labels.with_suffix(".gpkg")
    options_apart = PolygonOptions(instances="building", **buildings.APART)
    vectorize(labels, polygons, options_apart, boundary=boundary, confidence=confidence, overwrite=True)
    found = evaluate(
        polygons, truth, like=labels, json=labels.with_name(f"{labels.stem}-apart.json"), overwrite=True, **options
    )
    print(f"{polygons.name}, told apart\n{found.table()}\n", flush=True)
    return object_scores(found)


def held_out(args: argparse.Namespace) -> list[tuple[str, Path, Path, dict[str, Any]]]:
    """List what is evaluated: a name that says its part, the scene, its truth, and how that is read."""
    folder = args.out / "data"
    if args.name == LANDCOVER:
        return [(*one, {}) for one in landcover.held_out(args.data, folder)]
    if args.name == SATELLITE:
        return [(*one, {}) for one in satellite.held_out(args.data, folder)]
    options = {"truth_class": "building", "background": "other", "objects": True}
    return [(*one, options) for one in buildings.held_out(args.data, folder, leave_out=args.leave_out)]


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
        facts["objects"] = object_scores(found)
    if found.calibration is not None:
        facts["ece"] = round(found.calibration.ece, 4)
    return facts


def object_scores(found: Evaluation) -> dict[str, dict[str, float]]:
    """Give the scores of the objects of each class of which one was found."""
    assert found.objects is not None
    return {
        item.name: {
            score: round(getattr(one, score), 4)
            for score in ("precision", "recall", "f1", "pq", "mean_iou", "ap", "ap50")
        }
        for item, one in zip(found.classes, found.objects, strict=True)
        if one.matched
    }


def parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=(LANDCOVER, BUILDINGS, SATELLITE))
    parser.add_argument("--data", type=Path, required=True, help="the folder of all sets")
    parser.add_argument("--out", type=Path, default=Path("out/bundled"))
    parser.add_argument("--start", type=Path, help="model of an earlier run to go on from, with a schedule of its own")
    parser.add_argument("--epochs", type=int, default=40, help="each ends with a score on the selection data")
    parser.add_argument("--epoch-steps", type=int, default=64)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--chip-size", type=int, default=384)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--backbone-lr", type=float, help="by default a tenth of --lr with --start, else --lr")
    parser.add_argument("--monitor", default="miou", help="what the best epoch is best in; loss counts boundaries, too")
    parser.add_argument("--ema", type=float, default=0.998)
    parser.add_argument("--strength", type=float, default=0.6, help="of the changes of light and colour")
    parser.add_argument("--recolour", type=float, help="share of chips whose bands are mixed; buildings have half")
    parser.add_argument("--arch", default="deeplabv3")
    parser.add_argument("--backbone", default="efficientnet_lite0")
    parser.add_argument("--weights", default="imagenet", help="that the backbone starts from; none: random ones")
    parser.add_argument("--class-balancing", action="store_true", help="weigh the classes of landcover-satellite")
    parser.add_argument("--width", type=int, default=128, help="channels of ASPP")
    parser.add_argument("--instances", action="store_true", help="buildings: tell those that touch apart, too")
    parser.add_argument("--boundary-px", type=int, help="width of the boundaries of --instances; by default 2")
    parser.add_argument("--leave-out", nargs="*", default=[], metavar="PLACE", help="buildings: report it instead")
    parser.add_argument("--drawn", type=int, default=0, help="synthetic scenes of landcover-aerial, 36 at most")
    parser.add_argument("--teacher", help="model that names the land of coasts; without it they are left out")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--workers", type=int, default=None)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--install", action="store_true", help="put the model among the package's")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
