"""Our training recipe against others', on the same scenes, network size, steps and seeds, from random weights.

    pip install segmentation-models-pytorch
    python scripts/compare_recipes.py --data ../shared/data/dubai
    python scripts/compare_recipes.py --data ../shared/data/dubai --steps 4000 --seeds 3 --backbone resnet50 \
        --width 256 --batch 16 --crop 512 --device cuda

Trained on Dubai tiles 4, 5, 7 and 8 and chosen by the mIoU on tile 2, seen as chips of the crops' size; tile 6 is
reported once, through `segment` with tiles of 768 px and an overlap of 128, as tile 2 is, for whoever wants to compare.
`ours` is the learner with PointRend; the recipes named after an ingredient leave it out, or add it. `tta` is `ours`,
segmented with eight symmetries. Every run takes the same number of steps of the same size, five minutes or so on two
cores with the defaults; what it took is reported. What is in `--out` is not done again.
"""

import argparse
import statistics
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from aerial_data import CLASSES, REPORT_TILE, SELECT_TILE, TRAIN_TILES
from dubai import DISTANCE_PX, EPOCH_STEPS, OVERLAP, TILE_SIZE, kept, prepare_dubai, score_tile, write_tile
from geodeeplab.inference import pick_device
from geodeeplab.learner import DeepLab
from geodeeplab.models import Contract, Model, Normalisation, SegmentationNetwork, build_model, load_model
from geodeeplab.training import TrainingData
from geodeeplab.training.loop.objective import Objective
from geodeeplab.training.loop.scoring import score_chips
from rival_recipes import RIVALS, train_rival

OURS = "ours"
ABLATIONS = {
    "no-pointrend": "bilinear upsampling",
    "dice": "a third of Dice beside the cross-entropy",
    "class-weights": "weights by class on top of balanced chips",
    "no-ema": "the last weights of each epoch",
    "even-sampling": "chips drawn by area alone",
    "v3plus": "V3+: its decoder at stride 4, and PointRend",
}
"""Recipes that change one ingredient of ours, and what they have instead."""
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
            print(f"{recipe}, seed {seed}: {done[-1]['report']}", flush=True)
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
    tta = "d4" if recipe == TTA else "none"
    for name, tile in (("select", SELECT_TILE), ("report", REPORT_TILE)):
        facts[name] = score_tile(model, args.data, args.out / "tiles", tile, tta=tta)
    return facts


def train_ours(recipe: str, seed: int, path: Path, args: argparse.Namespace) -> tuple[Model, Facts]:
    """Fit the learner for whole epochs."""
    data = prepare(recipe, seed, args)
    learner = build(recipe, data, args)
    per_epoch = max(1, len(data.train) // data.batch_size)
    epochs = max(1, round(args.steps / per_epoch))
    started = time.perf_counter()
    learner.fit(epochs, lr=args.lr, checkpoint=False, ema_decay=0.0 if recipe == "no-ema" else args.ema)
    seconds = time.perf_counter() - started
    learner.save(path, overwrite=True)
    history = [{"miou": one.miou, "boundary_iou": one.boundary_iou, "loss": one.loss} for one in learner.history]
    return load_model(path), {"seconds": seconds, "steps": epochs * per_epoch, "history": history}


def train_other(recipe: str, seed: int, args: argparse.Namespace) -> tuple[Model, Facts]:
    """Train a rival, and keep the weights that are best on the selection tile's chips."""
    data = prepare(recipe, seed, args)
    torch.manual_seed(seed)
    rival, normalise = RIVALS[recipe](len(CLASSES), args.backbone, args.width), normalisation(data)
    checks = {round(args.steps * part / CHECKS) for part in range(1, CHECKS + 1)}
    best, seconds = -1.0, 0.0
    weights: dict[str, torch.Tensor] = {}
    history: list[Facts] = []
    started = time.perf_counter()
    numbers = {"steps": args.steps, "batch": args.batch, "crop": args.crop, "seed": seed}
    for step, loss in train_rival(rival, normalise, tiles(args), device=pick_device(args.device), **numbers):
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
    return DeepLab(
        data,
        args.backbone,
        network=v3plus(data, args) if recipe == "v3plus" else None,
        weights=None,
        pointrend=recipe != "no-pointrend",
        aspp_channels=args.width,
        class_balancing=recipe == "class-weights",
        dice_loss_fraction=1 / 3 if recipe == "dice" else 0.0,
        device=args.device,
        seed=data.seed,
    )


def v3plus(data: TrainingData, args: argparse.Namespace) -> SegmentationNetwork:
    """Build DeepLabV3+ with PointRend, its decoder as wide as its ASPP."""
    torch.manual_seed(data.seed)
    return build_model(
        arch="deeplabv3plus",
        backbone=args.backbone,
        num_classes=len(data.classes),
        in_channels=len(data.bands),
        pointrend=True,
        aspp_channels=args.width,
        decoder_channels=args.width,
    )


def prepare(recipe: str, seed: int, args: argparse.Namespace) -> TrainingData:
    """Prepare the training data of a recipe; those of the last ones are kept."""
    key = recipe == "even-sampling", seed, args.crop, args.batch, args.data, args.out
    if key not in _prepared:
        _prepared[key] = prepare_dubai(
            args.data,
            args.out / "tiles",
            chip_size=args.crop,
            batch_size=args.batch,
            class_balance=0.0 if recipe == "even-sampling" else 0.5,
            epoch_chips=EPOCH_STEPS * args.batch,
            seed=seed,
        )
    return _prepared[key]


_prepared: dict[tuple[object, ...], TrainingData] = {}


def tiles(args: argparse.Namespace) -> list[tuple[Path, Path]]:
    """List the training tiles' files."""
    return [write_tile(args.data, args.out / "tiles", tile) for tile in TRAIN_TILES]


def contract(data: TrainingData) -> Contract:
    """Give the contract of a network from elsewhere."""
    return Contract(name="recipe", classes=data.classes, bands=data.bands, tile_size=TILE_SIZE, overlap=OVERLAP)


def normalisation(data: TrainingData) -> Normalisation:
    """Give the normalisation of the data's bands."""
    return Normalisation(contract(data))


# ---------------------------------------------------------------------------------------------------------------------
# Scores


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
    lines = [
        f"{args.backbone}, batches of {args.batch} crops of {args.crop} px; boundary IoU at {DISTANCE_PX} px",
        "",
        f"| recipe | parameters | steps | minutes | tile {SELECT_TILE} (selection): mIoU | boundary IoU "
        f"| tile {REPORT_TILE} (report): mIoU | boundary IoU |",
        "|---|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for recipe in dict.fromkeys(one["recipe"] for one in done):
        runs = [one for one in done if one["recipe"] == recipe]
        cells = [f"{runs[0]['parameters'] / 1e6:.1f} M", str(runs[0].get("steps", ""))]
        cells.append(spread([run["seconds"] / 60 for run in runs], 1) if "seconds" in runs[0] else "")
        cells += [spread([run[tile][key] for run in runs]) for tile in ("select", "report") for key in SCORES]
        lines.append(f"| {recipe} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


SCORES = ("miou", "boundary_iou")


def spread(values: Sequence[float], digits: int = 3) -> str:
    """Write a mean, with the standard deviation of several."""
    mean = f"{statistics.mean(values):.{digits}f}"
    return mean if len(values) == 1 else f"{mean} ± {statistics.stdev(values):.{digits}f}"


def parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    choices = [OURS, TTA, *RIVALS, *ABLATIONS]
    parser.add_argument("--data", type=Path, required=True, help="folder with Tile 2, 4, 5, 6, 7, 8")
    parser.add_argument("--out", type=Path, default=Path("out/compare_recipes"))
    parser.add_argument("--recipes", nargs="+", choices=choices, default=choices, help="tta needs ours before it")
    parser.add_argument("--steps", type=int, default=448, help="of training, a run")
    parser.add_argument("--seeds", type=int, default=1, help="runs of every recipe, with seeds 1, 2, ...")
    parser.add_argument("--backbone", default="resnet18", help="of all networks")
    parser.add_argument("--width", type=int, default=64, help="channels of ASPP and decoder")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--crop", type=int, default=256)
    parser.add_argument("--lr", type=float, default=1e-3, help="ours")
    parser.add_argument("--ema", type=float, default=0.998, help="ours")
    parser.add_argument("--device", default="cpu")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
