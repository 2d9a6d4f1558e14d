"""Gradient-boosted trees on the sites that `landcover-satellite` is trained on: IoU per class, selection and report.

Trees see a pixel's bands, six or as many as `--bands` says, their normalised differences, and what surrounds it in
boxes of three sizes, as in `baseline_trees.py`; they are scored on the labelled pixels of the chips that chose the
model, and of those that are reported.

    OMP_NUM_THREADS=1 python benchmarks/baseline_satellite.py --data ../shared/data

`--balance` is the power that a class's share of the labels is taken to in the sample: mIoU on the selection sites with
200,000 pixels was 0.515 with 1 and 0.574 with ½.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier

sys.path.insert(0, str(Path(__file__).parents[1] / "scripts"))
import satellite
from baseline_trees import draw_pixels, fit_trees, iter_features
from geodeeplab.evaluation import accuracy, confusion_matrix, iou, mean_iou

IDS = range(1, len(satellite.CLASSES) + 1)


def main() -> None:
    """Train the trees, score them, print the table."""
    options = parse_arguments()
    chips = [replace(chip, image=chip.image[: options.bands]) for chip in satellite.read_chips(options.data)]
    roles = satellite.split_sites(chips)
    own = {role: [chip for chip in chips if roles[chip.site] == role] for role in ("train", "select", "report")}
    features, ids = draw_sample(own["train"], options.sample, balance=options.balance, seed=options.seed)
    trees = fit_trees(features, ids, iterations=options.iterations, seed=options.seed)
    print(f"| {len(ids):,} pixels | {' | '.join(one.name for one in satellite.CLASSES)} | mIoU | pixels right |")
    print(f"|{'---|' * (len(IDS) + 3)}")
    for role in ("select", "report"):
        counts = score(trees, own[role])
        row = [f"{value:.3f}" for value in (*iou(counts), mean_iou(counts), accuracy(counts))]
        print(f"| {role}, {len(own[role])} chips | {' | '.join(row)} |", flush=True)


def draw_sample(
    chips: Sequence[satellite.Chip], count: int, *, balance: float, seed: int
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Draw about `count` labelled pixels, stratified by class and chip, as features (n, F) and class ids (n,)."""
    rng = np.random.default_rng(seed)
    frequency = np.bincount(np.concatenate([chip.ids.ravel() for chip in chips]), minlength=len(IDS) + 1)[1:]
    wanted = (frequency / frequency.sum()) ** balance
    rates = np.minimum(count * wanted / wanted.sum() / np.maximum(frequency, 1), 1)
    features, ids = [], []
    for chip in chips:
        drawn = draw_pixels(chip.ids - np.uint8(1), rates, rng)  # 0 becomes 255, which is no class
        ((_, found),) = iter_features(chip.image)
        features.append(found[drawn])
        ids.append(chip.ids[drawn])
    return np.concatenate(features), np.concatenate(ids)


def score(trees: HistGradientBoostingClassifier, chips: Sequence[satellite.Chip]) -> NDArray[np.int64]:
    """Count (K, K) pixels, truth by row."""
    counts = np.zeros((len(IDS), len(IDS)), dtype=np.int64)
    for chip in chips:
        ((_, found),) = iter_features(chip.image)
        labels = trees.predict(found.reshape(-1, found.shape[-1])).reshape(chip.ids.shape).astype(np.uint8)
        counts += confusion_matrix(labels, chip.ids, class_ids=IDS, ignore=0)
    return counts


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the folder of all sets")
    parser.add_argument("--bands", type=int, default=len(satellite.BANDS), help="the first so many of the six")
    parser.add_argument("--sample", type=int, default=200_000, help="pixels to train the trees on")
    parser.add_argument("--balance", type=float, default=0.5)
    parser.add_argument("--iterations", type=int, default=120, help="trees per class")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


if __name__ == "__main__":
    main()
