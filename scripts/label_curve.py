"""How many labels a model needs, and what a leaking split claims: small models, equal steps, the Dubai tiles.

    python scripts/label_curve.py --data ../shared/data/dubai

`share` runs train on tiles 4, 5, 7 and 8 with labels on a share of their blocks of 256 px, drawn by chance; larger
shares hold all blocks of the smaller ones. The best epoch is chosen on tile 2, and tile 6 is reported. `split` runs
train on all labels of the same tiles, and choose and score the epoch on a fifth of them: chips dealt out at random, or
blocks of the ground with a buffer. What that validation claims is written beside what the model does on tiles 2 and 6,
which it never saw. Every run takes the same number of steps, five minutes or so on two cores. What is in `--out` is
not done again.
"""

import argparse
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import rasterio

from aerial_data import REPORT_TILE, SELECT_TILE, TRAIN_TILES
from dubai import EPOCH_STEPS, MODEL_CLASSES, kept, score_tile, write_tile
from geodeeplab.learner import DeepLab
from geodeeplab.training import TrainingData, prepare_data

SHARES = (1.0, 0.5, 0.25, 0.125, 0.0625, 0.03125)
SPLITS = ("random", "blocks")
ROLES = {"report": "report", "select": "selection"}
BLOCK = 256
Facts = dict[str, Any]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run what is missing; write table and plot after each run."""
    args = parse_arguments(arguments)
    args.out.mkdir(parents=True, exist_ok=True)
    done: list[Facts] = []
    for seed in range(1, args.seeds + 1):
        for kind, value in [("share", share) for share in args.shares] + [("split", split) for split in args.splits]:
            path = args.out / f"{kind}-{value}-seed{seed}.json"
            done.append(kept(path, partial(run, kind, value, seed, path.with_suffix(".safetensors"), args)))
            print(f"{kind} {value}, seed {seed}: {done[-1]['report']}", flush=True)
            (args.out / "labels.md").write_text(curve_table(done) + "\n" + split_table(done))
    plot(done, args.out / "labels.png")
    print((args.out / "labels.md").read_text())


# ---------------------------------------------------------------------------------------------------------------------
# Data


def label_share(share: float, seed: int, args: argparse.Namespace) -> TrainingData:
    """Prepare the training tiles with labels on a share of their blocks, and tile 2 to choose by."""
    pairs = [keep_blocks(tile, share, seed, args) for tile in TRAIN_TILES]
    pairs.append(write_tile(args.data, args.out / "tiles", SELECT_TILE))
    return prepare(pairs, seed, args, val_scenes=[len(TRAIN_TILES)])


def keep_blocks(tile: int, share: float, seed: int, args: argparse.Namespace) -> tuple[Path, Path]:
    """Write a tile's labels, blocks that are not kept without one."""
    scene_path, labels_path = write_tile(args.data, args.out / "tiles", tile)
    if share == 1:
        return scene_path, labels_path
    kept_path = args.out / "tiles" / f"tile{tile}-labels-{share}-seed{seed}.tif"
    with rasterio.open(labels_path) as src:
        ids, profile = src.read(1), src.profile
    shape = tuple(-(-size // BLOCK) for size in ids.shape)
    lots = np.random.default_rng([seed, tile]).permutation(shape[0] * shape[1]).reshape(shape)
    kept = lots < max(1, round(share * lots.size))
    ids[~np.kron(kept, np.ones((BLOCK, BLOCK), dtype=bool))[: ids.shape[0], : ids.shape[1]]] = 0
    with rasterio.open(kept_path, "w", **profile) as dst:
        dst.write(ids, 1)
    return scene_path, kept_path


def split_labels(split: str, seed: int, args: argparse.Namespace) -> TrainingData:
    """Prepare the training tiles, a fifth of them to choose by."""
    pairs = [write_tile(args.data, args.out / "tiles", tile) for tile in TRAIN_TILES]
    return prepare(pairs, seed, args, split=split)


def prepare(pairs: Sequence[tuple[Path, Path]], seed: int, args: argparse.Namespace, **split: Any) -> TrainingData:  # noqa: ANN401 - options of `prepare_data`
    """Prepare scenes and label rasters, with as many chips an epoch whatever the labels."""
    return prepare_data(
        scenes=[scene for scene, _ in pairs],
        labels=[labels for _, labels in pairs],
        classes=MODEL_CLASSES,
        chip_size=args.crop,
        batch_size=args.batch,
        epoch_chips=EPOCH_STEPS * args.batch,
        seed=seed,
        **split,
    )


# ---------------------------------------------------------------------------------------------------------------------
# One run


def run(kind: str, value: Any, seed: int, path: Path, args: argparse.Namespace) -> Facts:  # noqa: ANN401 - by kind
    """Train, and score on tiles that trained nothing."""
    data = label_share(value, seed, args) if kind == "share" else split_labels(value, seed, args)
    learner = DeepLab(
        data, args.backbone, weights=None, pointrend=True, aspp_channels=args.width, device=args.device, seed=data.seed
    )
    started = time.perf_counter()
    learner.fit(max(1, round(args.steps / EPOCH_STEPS)), lr=args.lr, checkpoint=False, ema_decay=args.ema)
    seconds = time.perf_counter() - started
    claimed = learner.mIOU(mean=True)
    learner.save(path, overwrite=True)
    facts: Facts = {"kind": kind, "value": value, "seed": seed}
    facts |= {"seconds": seconds, "labelled_px": sum(data.class_pixels), "claimed": claimed}
    for name, tile in (("select", SELECT_TILE), ("report", REPORT_TILE)):
        facts[name] = score_tile(path, args.data, args.out / "tiles", tile)
    return facts


# ---------------------------------------------------------------------------------------------------------------------
# Report


def curve_table(done: Sequence[Facts]) -> str:
    """Write the shares as a Markdown table, least labels first."""
    lines = [
        f"| labels | labelled pixels | tile {SELECT_TILE} (selection): mIoU | tile {REPORT_TILE} (report): mIoU "
        "| boundary IoU |",
        "|--:|--:|--:|--:|--:|",
    ]
    for share, runs in groups(done, "share"):
        scores = [mean(runs, "select", "miou"), mean(runs, "report", "miou"), mean(runs, "report", "boundary_iou")]
        pixels = np.mean([one["labelled_px"] for one in runs]) / 1e6
        lines.append(f"| {share:.3g} | {pixels:.2f} M | " + " | ".join(f"{score:.3f}" for score in scores) + " |")
    return "\n".join(lines) + "\n"


def split_table(done: Sequence[Facts]) -> str:
    """Write what each split claims beside what the model does elsewhere."""
    lines = [
        f"| split | its validation claims: mIoU | tile {SELECT_TILE} | tile {REPORT_TILE} |",
        "|---|--:|--:|--:|",
    ]
    for split, runs in groups(done, "split"):
        claimed = np.mean([one["claimed"] for one in runs])
        scores = [mean(runs, name, "miou") for name in ("select", "report")]
        lines.append(f"| {split} | {claimed:.3f} | " + " | ".join(f"{score:.3f}" for score in scores) + " |")
    return "\n".join(lines) + "\n"


def plot(done: Sequence[Facts], path: Path) -> None:
    """Draw the mean IoU over the labelled pixels: a mark for each run, a line through the means."""
    figure, axes = plt.subplots(figsize=(6.4, 4), layout="constrained")
    runs = [one for one in done if one["kind"] == "share"]
    for name, tile, colour in (("report", REPORT_TILE, "#1f5a92"), ("select", SELECT_TILE, "#c2722b")):
        axes.scatter([one["labelled_px"] / 1e6 for one in runs], [one[name]["miou"] for one in runs], color=colour)
        lines = [
            (np.mean([one["labelled_px"] for one in same]) / 1e6, mean(same, name, "miou"))
            for _, same in groups(done, "share")
        ]
        axes.plot(*zip(*lines, strict=True), color=colour, label=f"tile {tile} ({ROLES[name]})")
    ticks = [np.mean([one["labelled_px"] for one in same]) / 1e6 for _, same in groups(done, "share")]
    axes.set(xscale="log", xlabel="labelled pixels, millions (1 pixel is about 1 m²)", ylabel="mean IoU")
    axes.set_xticks(ticks, [f"{tick:.3g}" for tick in ticks])
    axes.minorticks_off()
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path, dpi=150)
    plt.close(figure)


def groups(done: Sequence[Facts], kind: str) -> list[tuple[Any, list[Facts]]]:
    """Gather the runs of each value of a kind, seeds together; shares from the least."""
    values = list(dict.fromkeys(one["value"] for one in done if one["kind"] == kind))
    if kind == "share":
        values.sort()
    return [(value, [one for one in done if one["kind"] == kind and one["value"] == value]) for value in values]


def mean(runs: Sequence[Facts], part: str, score: str) -> float:
    """Give the mean of a score over seeds."""
    return float(np.mean([one[part][score] for one in runs]))


def parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with Tile 2, 4, 5, 6, 7, 8")
    parser.add_argument("--out", type=Path, default=Path("out/label_curve"))
    parser.add_argument("--shares", type=float, nargs="*", default=SHARES, help="of the blocks, 0 to 1")
    parser.add_argument("--splits", nargs="*", choices=SPLITS, default=SPLITS)
    parser.add_argument("--seeds", type=int, default=1, help="runs of each, with seeds 1, 2, ...")
    parser.add_argument("--steps", type=int, default=320, help="of training, a run")
    parser.add_argument("--backbone", default="resnet18")
    parser.add_argument("--width", type=int, default=64, help="channels of ASPP")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--crop", type=int, default=256)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--ema", type=float, default=0.99)
    parser.add_argument("--device", default="auto")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
