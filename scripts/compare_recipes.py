"""Our training recipe against others', on the same ground, backbone, steps and seeds.

    pip install segmentation-models-pytorch
    python scripts/compare_recipes.py --data ../shared/data --seeds 3 --recipes ours torchvision smp
    python scripts/compare_recipes.py --data ../shared/data --steps 4000 --seeds 3 --backbone resnet50 --weights none \
        --batch 16 --crop 512 --device cuda

Ground as of `landcover-aerial` (`landcover.py`): Dubai's tiles and Ohio's areas, split by place. The epoch is chosen by
the mIoU on the selection's chips; what is reported was never looked at. `ours` is `DeepLab(data).fit()` as it comes,
for so many steps; the recipes named after a default leave it out, or add what is none. `tta` is `ours`, segmented with
eight symmetries; `old-defaults` are those of the first release. All but these have the same backbone, which begins with
the same weights. Every run takes the same number of steps of the same size; what it took is reported. What is in
`--out` is not done again.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

import landcover
from aerial_data import CLASSES
from dubai import DISTANCE_PX, EPOCH_STEPS, OVERLAP, TILE_SIZE, kept
from geodeeplab.evaluation import iou
from geodeeplab.inference import pick_device
from geodeeplab.learner import DeepLab
from geodeeplab.learner.deeplab import DEFAULT_BACKBONE
from geodeeplab.models import Contract, Model, Normalisation, load_model
from geodeeplab.pipeline.evaluating.evaluate import evaluate
from geodeeplab.pipeline.segment import segment
from geodeeplab.training import TrainingData
from geodeeplab.training.loop.objective import Objective
from geodeeplab.training.loop.scoring import score_chips
from rival_recipes import RIVALS, train_rival

OURS, OLD = "ours", "old-defaults"
ABLATIONS = {
    "random-weights": "a backbone without ImageNet's weights",
    "tenth-rate": "the backbone learns at a tenth of the heads' rate",
    "no-pointrend": "bilinear upsampling",
    "dice": "a third of Dice beside the cross-entropy",
    "class-weights": "weights by class on top of balanced chips",
    "no-ema": "the last weights of each epoch",
    "even-sampling": "chips drawn by area alone",
    "no-augmentation": "chips as they are, flipped and turned by nothing",
    "no-smoothing": "labels as sure as they are written",
    "v3plus": "V3+: its decoder at stride 4, and PointRend",
}
"""Recipes that change one default of ours, and what they have instead."""
TTA = "tta"
CHECKS = 10
"""Times that a rival is scored on the selection tile, as ours is after every epoch."""
Facts = dict[str, Any]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run what is missing, and write the table after each run."""
    args = parse_arguments(arguments)
    args.out.mkdir(parents=True, exist_ok=True)
    done: list[Facts] = []
    for seed in range(1, args.seeds + 1):
        for recipe in args.recipes:
            path = args.out / f"{recipe}-seed{seed}.json"
            done.append(kept(path, partial(run, recipe, seed, args)))
            print(f"{recipe}, seed {seed}: {pooled(done[-1], 'report'):.3f}", flush=True)
            (args.out / "recipes.md").write_text(table(done, args))
    print("\n" + table(done, args))


# ---------------------------------------------------------------------------------------------------------------------
# One run


def run(recipe: str, seed: int, args: argparse.Namespace) -> Facts:
    """Train, choose, segment and score."""
    facts: Facts = {"recipe": recipe, "seed": seed}
    path = args.out / f"{recipe}-seed{seed}.safetensors"
    if recipe == TTA:
        model = load_model(args.out / f"{OURS}-seed{seed}.safetensors")
    elif recipe in RIVALS:
        model, found = train_other(recipe, seed, args)
        facts |= found
    else:
        model, found = train_ours(recipe, seed, path, args)
        facts |= found
    facts["parameters"] = sum(one.numel() for one in model.network.parameters())
    return facts | {"scores": score(model, args, tta="d4" if recipe == TTA else "none")}


def train_ours(recipe: str, seed: int, path: Path, args: argparse.Namespace) -> tuple[Model, Facts]:
    """Fit the learner for whole epochs."""
    data = prepare(recipe, seed, args)
    learner = build(recipe, data, args)
    per_epoch = max(1, len(data.train) // data.batch_size)
    epochs = max(1, round(args.steps / per_epoch))
    started = time.perf_counter()
    if recipe == OLD:
        learner.lr_find()
    lr = {OLD: None, "tenth-rate": slice(args.lr / 10, args.lr)}.get(recipe, args.lr)
    learner.fit(epochs, lr=lr, checkpoint=False, ema_decay=0.0 if recipe == "no-ema" else args.ema)
    seconds = time.perf_counter() - started
    learner.save(path, overwrite=True)
    history = [{"miou": one.miou, "boundary_iou": one.boundary_iou, "loss": one.loss} for one in learner.history]
    return load_model(path), {"seconds": seconds, "steps": epochs * per_epoch, "history": history}


def train_other(recipe: str, seed: int, args: argparse.Namespace) -> tuple[Model, Facts]:
    """Train a rival, and keep the weights that are best on the selection tile's chips."""
    data = prepare(recipe, seed, args)
    torch.manual_seed(seed)
    rival = RIVALS[recipe](len(CLASSES), args.backbone, args.width, weights=args.weights)
    normalise = normalisation(data)
    checks = {round(args.steps * part / CHECKS) for part in range(1, CHECKS + 1)}
    best, seconds = -1.0, 0.0
    weights: dict[str, torch.Tensor] = {}
    history: list[Facts] = []
    started = time.perf_counter()
    numbers = {"steps": args.steps, "batch": args.batch, "crop": args.crop, "seed": seed}
    for step, loss in train_rival(rival, normalise, pairs(args), device=pick_device(args.device), **numbers):
        if step not in checks:
            continue
        seconds += time.perf_counter() - started
        miou = score_network(rival.network, normalise, data, args.device)
        history.append({"step": step, "loss": loss, "miou": miou})
        print(f"{recipe} step {step}/{args.steps}: loss {loss:.3f}, mIoU {miou:.3f}", flush=True)
        if miou > best:
            best = miou
            weights = {key: value.clone() for key, value in rival.network.state_dict().items()}
        started = time.perf_counter()
    rival.network.load_state_dict(weights)
    model = Model(network=Logits(rival.network).eval(), contract=contract(data))
    return model, {"seconds": seconds, "steps": args.steps, "history": history}


class Logits(nn.Module):
    """A network that gives logits, whatever the one within gives."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: torch.Tensor, valid: torch.Tensor | None = None) -> torch.Tensor:
        """Give logits (N, K, H, W)."""
        found = self.network(images)
        logits: torch.Tensor = found["out"] if isinstance(found, dict) else found
        return logits.float()


def build(recipe: str, data: TrainingData, args: argparse.Namespace) -> DeepLab:
    """Build the learner of a recipe."""
    if recipe == OLD:
        return DeepLab(data, "resnet50", weights=None, pointrend=False, device=args.device, seed=data.seed)
    return DeepLab(
        data,
        args.backbone,
        arch="deeplabv3plus" if recipe == "v3plus" else "deeplabv3",
        weights=None if recipe == "random-weights" else args.weights,
        pointrend=recipe != "no-pointrend",
        aspp_channels=args.width,
        class_balancing=recipe == "class-weights",
        dice_loss_fraction=1 / 3 if recipe == "dice" else 0.0,
        label_smoothing=0.0 if recipe == "no-smoothing" else 0.05,
        device=args.device,
        seed=data.seed,
    )


def prepare(recipe: str, seed: int, args: argparse.Namespace) -> TrainingData:
    """Prepare the training data of a recipe; those of the last ones are kept."""
    balance, changes = 0.0 if recipe == "even-sampling" else 0.5, recipe != "no-augmentation"
    key = balance, changes, seed, args.crop, args.batch, args.data, args.out
    if key not in _prepared:
        _prepared[key] = landcover.prepare_landcover(
            args.data,
            args.out / "tiles",
            drawn=0,
            teacher=None,
            chip_size=args.crop,
            batch_size=args.batch,
            class_balance=balance,
            epoch_chips=EPOCH_STEPS * args.batch,
            augmentation=changes,
            seed=seed,
        )
    return _prepared[key]


_prepared: dict[tuple[object, ...], TrainingData] = {}


def pairs(args: argparse.Namespace) -> list[landcover.Pair]:
    """List the files to train on, Ohio's as often as they count."""
    return landcover.real_pairs(args.data, args.out / "tiles")[0]


def contract(data: TrainingData) -> Contract:
    """Give the contract of a network from elsewhere."""
    return Contract(name="recipe", classes=data.classes, bands=data.bands, tile_size=TILE_SIZE, overlap=OVERLAP)


def normalisation(data: TrainingData) -> Normalisation:
    """Give the normalisation of the data's bands."""
    return Normalisation(contract(data))


# ---------------------------------------------------------------------------------------------------------------------
# Scores


def score(model: Model, args: argparse.Namespace, *, tta: str) -> dict[str, Facts]:
    """Segment all ground that was held out, and score its pixels and boundaries, by place and role."""
    scores: dict[str, Facts] = {}
    for name, scene, truth in landcover.held_out(args.data, args.out / "tiles"):
        with tempfile.TemporaryDirectory(prefix="geodeeplab-recipes-") as place:
            labels = Path(place) / "labels.tif"
            gsd_m = "native" if model.contract.gsd_m is None else "model"
            segment(scene, label_raster=labels, model=model, gsd_m=gsd_m, tile_size=TILE_SIZE, overlap=OVERLAP, tta=tta)
            found = evaluate(labels, truth, distance_px=DISTANCE_PX)
        assert found.counts is not None, "there is ground to count"
        scores[name] = {
            "miou": round(found.mean_iou, 4),
            "boundary_iou": round(found.mean_boundary_iou, 4),
            "iou": found.iou.round(4).tolist(),
            "counts": found.counts.tolist(),
        }
    return scores


def score_network(network: nn.Module, normalise: nn.Module, data: TrainingData, device: str) -> float:
    """Give the mean IoU on the validation chips."""
    scores = score_chips(
        Logits(network),
        normalise,
        data.val,
        classes=len(data.classes),
        batch_size=data.batch_size,
        objective=Objective(),
        device=pick_device(device),
    )
    return scores.tally.miou or 0.0


# ---------------------------------------------------------------------------------------------------------------------
# Report


def table(done: Sequence[Facts], args: argparse.Namespace) -> str:
    """Write all recipes as a Markdown table, seeds as mean ± standard deviation."""
    places = [name for name in done[0]["scores"] if name.endswith("-report")]
    head = " | ".join(f"{name.removesuffix('-report')}: mIoU | boundary IoU" for name in places)
    lines = [
        f"{args.backbone}, batches of {args.batch} crops of {args.crop} px; boundary IoU at {DISTANCE_PX} px",
        "",
        f"| recipe | parameters | steps | minutes | selection: mIoU | {head} | both: mIoU |",
        f"|---|{'--:|' * (5 + 2 * len(places))}",
    ]
    for recipe in dict.fromkeys(one["recipe"] for one in done):
        runs = [one for one in done if one["recipe"] == recipe]
        cells = [f"{runs[0]['parameters'] / 1e6:.1f} M", str(runs[0].get("steps", ""))]
        cells.append(spread([run["seconds"] / 60 for run in runs], 1) if "seconds" in runs[0] else "")
        cells.append(spread([pooled(run, "selection") for run in runs]))
        cells += [spread([run["scores"][name][key] for run in runs]) for name in places for key in SCORES]
        cells.append(spread([pooled(run, "report") for run in runs]))
        lines.append(f"| {recipe} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


SCORES = ("miou", "boundary_iou")


def pooled(run: Facts, role: str) -> float:
    """Give the mean IoU over the pixels of all places of a role."""
    counts = [np.array(one["counts"]) for name, one in run["scores"].items() if name.endswith(role)]
    return float(np.nanmean(iou(np.sum(counts, axis=0))))


def spread(values: Sequence[float], digits: int = 3) -> str:
    """Write a mean, with the standard deviation of several."""
    mean = f"{statistics.mean(values):.{digits}f}"
    return mean if len(values) == 1 else f"{mean} ± {statistics.stdev(values):.{digits}f}"


def parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    choices = [OURS, TTA, OLD, *RIVALS, *ABLATIONS]
    parser.add_argument("--data", type=Path, required=True, help="the folder of all sets")
    parser.add_argument("--out", type=Path, default=Path("out/compare_recipes"))
    parser.add_argument("--recipes", nargs="+", choices=choices, default=choices, help="tta needs ours before it")
    parser.add_argument("--steps", type=int, default=300, help="of training, a run")
    parser.add_argument("--seeds", type=int, default=1, help="runs of every recipe, with seeds 1, 2, ...")
    parser.add_argument("--backbone", default=DEFAULT_BACKBONE, help="of all networks")
    parser.add_argument("--weights", default="imagenet", type=_weights, help="that it begins with; none: random ones")
    parser.add_argument("--width", type=int, help="channels of ASPP and decoder; by default each one's own")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--crop", type=int, default=256)
    parser.add_argument("--lr", type=float, default=1e-3, help="ours")
    parser.add_argument("--ema", type=float, default=0.998, help="ours")
    parser.add_argument("--device", default="cpu")
    return parser.parse_args(arguments)


def _weights(text: str) -> str | None:
    return None if text == "none" else text


if __name__ == "__main__":
    main()
