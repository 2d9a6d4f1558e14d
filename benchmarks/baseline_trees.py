"""The bundled model beside gradient-boosted trees on the same split: IoU per class on tiles 2 and 6.

Trees see a pixel's colour and what surrounds it in boxes of three sizes. They are trained on a stratified sample of the
pixels of tiles 4, 5, 7, 8 and scored on every labelled pixel of tiles 2 and 6, as is the bundled model, which runs
through `segment`. The settings below are the best on tile 2 of those tried; tile 6 had no say.

    OMP_NUM_THREADS=1 python benchmarks/baseline_trees.py --data ../shared/data/dubai

The output is Markdown tables. `--maps FOLDER` also writes each tile's image, truth and labels side by side.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from itertools import combinations
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from sklearn.ensemble import HistGradientBoostingClassifier

sys.path.insert(0, str(Path(__file__).parents[1] / "scripts"))
from aerial_data import CLASSES, IGNORE, REPORT_TILE, SELECT_TILE, TRAIN_TILES, join_parts, read_dubai_parts
from dubai import COLOURS, segment_tile
from geodeeplab.evaluation import confusion_matrix, iou, mean_iou
from geodeeplab.models.files.header import BUNDLED_FOLDER

WINDOWS = (5, 17, 65)
"""Sides of the boxes in pixels, odd."""
REACH = WINDOWS[-1] // 2 + 1
"""How far a feature looks past its pixel; the 1 is for the gradient."""
COLOUR_BANDS = ("red", "green", "blue")
COLOUR = (*COLOUR_BANDS, "saturation", "excess green")
SURROUNDINGS = (*COLOUR_BANDS, "deviation", "gradient")
FEATURES = (*COLOUR, *(f"{name} {window}" for window in WINDOWS for name in SURROUNDINGS))
BAND_ROWS = 256
BALANCE = 1.0
"""A class's share of the sample is its share of the labels to this power: 0 is an equal share, 1 the natural one.

mIoU on tile 2 with 150,000 pixels and boxes of 9 and 33: 0.455 with 0, 0.477 with ½, 0.492 with 1.
"""


def main() -> None:
    """Train the trees, score both, print the tables."""
    options = parse_arguments()
    started = time.monotonic()
    features, labels = draw_sample(options.data, TRAIN_TILES, options.sample, seed=options.seed)
    sampled = time.monotonic()
    trees = fit_trees(features, labels, iterations=options.iterations, seed=options.seed)
    print(
        f"{len(labels):,} pixels, {len(FEATURES)} features; {sampled - started:.0f} s to sample them, "
        f"{time.monotonic() - sampled:.0f} s to fit\n"
    )
    counts: dict[int, tuple[NDArray[np.int64], NDArray[np.int64]]] = {}
    with tempfile.TemporaryDirectory() as name:
        for tile in (SELECT_TILE, REPORT_TILE):
            image, truth = join_parts(read_dubai_parts(options.data, tile))
            by_trees = predict(trees, image)
            by_model = segment_tile(options.model, options.data, Path(name), tile)
            counts[tile] = count_pixels(by_trees, truth), count_pixels(by_model, truth)
            print(score_table(f"Tile {tile}", *counts[tile]), flush=True)
            if options.maps:
                write_maps(options.maps / f"tile{tile}.png", image, [truth, by_trees, by_model])
    both = [sum(pair[i] for pair in counts.values()) for i in (0, 1)]
    print(score_table(f"Tiles {SELECT_TILE} and {REPORT_TILE}", *(np.asarray(one) for one in both)))


def count_pixels(labels: NDArray[np.uint8], truth: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Count (K, K) pixels, truth by row."""
    return confusion_matrix(labels, truth, class_ids=range(len(CLASSES)), ignore=IGNORE)


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with Tile 2, 4, 5, 6, 7, 8")
    parser.add_argument("--model", type=Path, default=BUNDLED_FOLDER / "landcover-aerial.safetensors")
    parser.add_argument("--sample", type=int, default=300_000, help="pixels to train the trees on")
    parser.add_argument("--iterations", type=int, default=120, help="trees per class")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--maps", type=Path, metavar="FOLDER", help="where to write pictures of the labels")
    return parser.parse_args()


# ---------------------------------------------------------------------------------------------------------------------
# Features


def pixel_features(padded: NDArray[np.integer]) -> NDArray[np.float32]:
    """Compute the features (H, W, F) of an image (C, H + 2 REACH, W + 2 REACH).

    Those of red, green and blue are FEATURES, in that order. Any other number of bands has, in place of excess green,
    the normalised difference of every pair.
    Sums are of integers, thus exact: a pixel's features do not depend on the band it is computed in, and a deviation
    (of the bands' sum, in a box) or a gradient energy (root of its mean in a box) is exactly 0 where nothing changes.
    """
    bands = padded.astype(np.int64)
    grey = bands.sum(axis=0)
    slope = (grey[1:-1, 2:] - grey[1:-1, :-2]) ** 2 + (grey[2:, 1:-1] - grey[:-2, 1:-1]) ** 2  # one pixel less around
    inner = bands[:, REACH:-REACH, REACH:-REACH]
    high, low = inner.max(axis=0), inner.min(axis=0)
    found = [*inner, (high - low) / np.maximum(high, 1), *_between(inner)]
    for window in WINDOWS:
        pixels, edge = window * window, REACH - window // 2
        found += [box_sums(band, window, edge) / pixels for band in bands]
        total, squares = box_sums(grey, window, edge), box_sums(grey**2, window, edge)
        found.append(np.sqrt(pixels * squares - total**2) / pixels)
        found.append(np.sqrt(box_sums(slope, window, edge - 1) / pixels))
    return np.stack([one.astype(np.float32) for one in found], axis=-1)


def _between(bands: NDArray[np.int64]) -> list[NDArray[np.float64]]:
    """Compare bands (C, H, W): excess green of three, normalised differences of any other number."""
    if len(bands) == len(COLOUR_BANDS):
        red, green, blue = bands
        return [(2 * green - red - blue).astype(np.float64)]
    return [(a - b) / np.maximum(abs(a) + abs(b), 1) for a, b in combinations(bands, 2)]


def box_sums(values: NDArray[np.int64], window: int, edge: int = 0) -> NDArray[np.int64]:
    """Sum values (H, W) in every `window` × `window` box that stays `edge` pixels or more away from the border.

    Returns (H − 2 edge − window + 1, W − 2 edge − window + 1) sums, by an integral image.
    """
    inside = values[edge : values.shape[0] - edge, edge : values.shape[1] - edge]
    integral = np.zeros((inside.shape[0] + 1, inside.shape[1] + 1), dtype=np.int64)
    integral[1:, 1:] = inside.cumsum(axis=0).cumsum(axis=1)
    return (
        integral[window:, window:]
        - integral[window:, :-window]
        - integral[:-window, window:]
        + integral[:-window, :-window]
    )


def iter_features(image: NDArray[np.integer], band_rows: int = BAND_ROWS) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """Give (row_start, features (n, W, F)) for bands of rows from top to bottom, the image reflected at its edges."""
    padded = np.pad(image, ((0, 0), (REACH, REACH), (REACH, REACH)), mode="reflect")
    for row in range(0, image.shape[1], band_rows):
        yield row, pixel_features(padded[:, row : min(row + band_rows, image.shape[1]) + 2 * REACH])


# ---------------------------------------------------------------------------------------------------------------------
# Training and prediction


def draw_sample(
    data: Path, tiles: Sequence[int], count: int, *, seed: int
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Draw about `count` labelled pixels, stratified by class and tile, as features (n, F) and class indices (n,)."""
    rng = np.random.default_rng(seed)
    frequency = sum(class_pixels(join_parts(read_dubai_parts(data, tile))[1]) for tile in tiles)
    wanted = (frequency / np.sum(frequency)) ** BALANCE
    rates = count * wanted / wanted.sum() / np.maximum(frequency, 1)
    features, classes = [], []
    for tile in tiles:
        image, labels = join_parts(read_dubai_parts(data, tile))
        drawn = draw_pixels(labels, rates, rng)
        for row, found in iter_features(image):
            rows = slice(row, row + len(found))
            features.append(found[drawn[rows]])
            classes.append(labels[rows][drawn[rows]])
    return np.concatenate(features), np.concatenate(classes)


def class_pixels(labels: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Count the pixels of each class."""
    return np.bincount(labels.ravel(), minlength=IGNORE + 1)[: len(CLASSES)]


def draw_pixels(labels: NDArray[np.uint8], rates: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.bool_]:
    """Mark, of each class, its rate of the pixels (rounded; all at most), none of the ignored ones."""
    drawn = np.zeros(labels.size, dtype=np.bool_)
    for index, rate in enumerate(rates):
        found = np.flatnonzero(labels.ravel() == index)
        drawn[rng.choice(found, min(found.size, round(rate * found.size)), replace=False)] = True
    return drawn.reshape(labels.shape)


def fit_trees(
    features: NDArray[np.float32], labels: NDArray[np.uint8], *, iterations: int, seed: int
) -> HistGradientBoostingClassifier:
    """Fit the trees; no early stopping, which would draw its validation pixels from beside the training ones."""
    return HistGradientBoostingClassifier(
        max_iter=iterations, learning_rate=0.1, max_leaf_nodes=31, early_stopping=False, random_state=seed
    ).fit(features, labels)


def predict(trees: HistGradientBoostingClassifier, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Give the class index of every pixel of an image (3, H, W)."""
    bands = [
        trees.predict(found.reshape(-1, found.shape[-1])).reshape(found.shape[:2]) for _, found in iter_features(image)
    ]
    return np.concatenate(bands).astype(np.uint8)


# ---------------------------------------------------------------------------------------------------------------------
# Report


def score_table(title: str, trees: NDArray[np.int64], model: NDArray[np.int64]) -> str:
    """Write both confusion matrices (truth by row) as a Markdown table of IoU, mIoU and accuracy, with ratios."""
    rows = [(name, *pair) for name, *pair in zip(CLASSES, iou(trees), iou(model), strict=True)]
    rows.append(("**mIoU**", mean_iou(trees), mean_iou(model)))
    rows.append(("accuracy", np.trace(trees) / trees.sum(), np.trace(model) / model.sum()))
    head = [
        f"{title}: {trees.sum():,} labelled pixels",
        "",
        "| IoU | trees | bundled model | ratio |",
        "|---|---|---|---|",
    ]
    return "\n".join(head + [f"| {name} | {a:.3f} | {b:.3f} | {b / a:.2f} × |" for name, a, b in rows]) + "\n"


def write_maps(path: Path, image: NDArray[np.uint8], maps: Sequence[NDArray[np.uint8]], max_side: int = 800) -> None:
    """Write an image (3, H, W) and maps of class indices (H, W) side by side, thinned to `max_side` pixels each."""
    step = -(-max(image.shape[1:]) // max_side)
    palette = np.full((IGNORE + 1, 3), 128, dtype=np.uint8)
    palette[: len(COLOURS)] = list(COLOURS.values())
    panels = [image[:, ::step, ::step].transpose(1, 2, 0), *(palette[one[::step, ::step]] for one in maps)]
    gap = np.full((panels[0].shape[0], 8, 3), 255, dtype=np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.concatenate([part for panel in panels for part in (panel, gap)][:-1], axis=1)).save(path)


if __name__ == "__main__":
    main()
