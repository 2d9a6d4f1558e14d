"""What suggestions bring: rounds of ten windows answered from the truth, beside random windows and more polygons.

    python benchmarks/suggested_windows.py --data ../shared/data --sets dubai6,dubai2 --seeds 0,1,2 --out out

It begins with N little polygons of each class. In each round ten windows are answered: of each class in a window its
pixels around one of them, as few_polygons.py draws them, become a polygon. The windows are those that `suggest` gives,
or lie anywhere; or as many polygons as the former gave are drawn anywhere, the same number of each class in turn. All
ground that none of the three drew in any round is scored, the same for all.

The output is a Markdown table of mean IoU by round; `--json` keeps it, and `--plot` draws the curves.
"""

import argparse
import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from numpy.typing import NDArray

from few_polygons import Ground, prepare, read_ids, score
from few_polygons_pairs import CELL, CLASS_FIELD, REACH, SETS, draw_polygons, write_polygons
from geodeeplab import Adaptation, adapt

WINDOW_PX = 64
REACH_PX = CELL * REACH
"""From a polygon's middle to its sides, at most."""
WAYS = {"suggested": "tab:blue", "random windows": "tab:orange", "more polygons": "tab:green"}
"""How ground is chosen, and its colour in the plot."""
Ids = NDArray[np.uint8]


def main() -> None:
    """Run all sets and seeds, print the table."""
    options = parse_arguments()
    curves: dict[str, dict[str, list[float]]] = {}
    for name in options.sets:
        cache = options.out / "cache"
        shutil.rmtree(cache, ignore_errors=True)
        os.environ["GEODEEPLAB_CACHE_DIR"] = str(cache)
        ground = prepare(name, options.data, options.out, bundled=False)
        for seed in options.seeds:
            curves[f"{name} seed {seed}"] = run_seed(ground, options, seed)
            if options.json:
                options.json.write_text(json.dumps(curves, indent=1))
    print_table(curves)
    if options.plot:
        plot(curves, options.plot)


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with dubai, zion, ohio, hls30 and buildings")
    parser.add_argument("--sets", type=lambda text: text.split(","), default=["dubai6", "dubai2"], help=", ".join(SETS))
    parser.add_argument("--seeds", type=lambda text: [int(one) for one in text.split(",")], default=[0, 1, 2])
    parser.add_argument("-n", dest="count", type=int, default=5, help="polygons of each class to begin with")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--windows", type=int, default=10, help="of a round")
    parser.add_argument("--out", type=Path, default=Path("suggested-windows"), help="folder for scenes and polygons")
    parser.add_argument("--json", type=Path, help="where to keep the curves")
    parser.add_argument("--plot", type=Path, help="where to draw the curves (.png)")
    return parser.parse_args()


def run_seed(ground: Ground, options: argparse.Namespace, seed: int) -> dict[str, list[float]]:
    """Give the mean IoU after each round, the first of them before any window, for each way to choose ground."""
    first = draw_polygons(ground.scene, options.count, seed=seed)
    maps: dict[str, list[Ids]] = {}
    drawn: dict[str, Ids] = {}
    added: list[int] = []
    for way in WAYS:
        random = np.random.default_rng(seed)
        ids, rounds = first.polygons.copy(), []
        for number in range(options.rounds + 1):
            adapted, found = map_scene(ground, ids, options.out / f"{ground.name}-{way.split()[0]}-s{seed}", seed)
            rounds.append(found)
            if number == options.rounds:
                break
            if way == "more polygons":
                draw_anywhere(ground, ids, added[number], first.ids, random)
            else:
                corners = choose(adapted, ids, options.windows, random, way)
                polygons = sum(answer(ground, ids, corner, random) for corner in corners)
                if way == "suggested":
                    added.append(polygons)
        maps[way], drawn[way] = rounds, ids
    untouched = np.logical_and.reduce([one == 0 for one in drawn.values()])
    truth = np.where(untouched, first.truth, 0).astype(np.uint8)
    curves = {way: [float(np.mean(score(one, truth, first.ids))) for one in rounds] for way, rounds in maps.items()}
    for way, curve in curves.items():
        print(f"{ground.name} seed {seed} {way}: {', '.join(f'{one:.3f}' for one in curve)}", flush=True)
    return curves


def map_scene(ground: Ground, ids: Ids, stem: Path, seed: int) -> tuple[Adaptation, Ids]:
    """Adapt to polygons (H, W) and map the scene."""
    polygons = write_polygons(ground.scene, ids, stem.with_suffix(".gpkg"))
    adapted = adapt(ground.path, polygons, class_field=CLASS_FIELD, seed=seed)
    adapted.segment(label_raster=stem.with_suffix(".tif"), overwrite=True)
    return adapted, read_ids(ground, adapted.model, stem.with_suffix(".tif"))


def choose(adapted: Adaptation, ids: Ids, count: int, random: np.random.Generator, way: str) -> list[tuple[int, int]]:
    """Give the first row and column of windows: those suggested, or any in which nothing was drawn."""
    if way == "suggested":
        return [(one.row, one.col) for one in adapted.suggest(count)]
    found: list[tuple[int, int]] = []
    while len(found) < count:
        row, col = (int(random.integers(0, side // WINDOW_PX)) * WINDOW_PX for side in ids.shape)
        if (row, col) not in found and not ids[row : row + WINDOW_PX, col : col + WINDOW_PX].any():
            found.append((row, col))
    return found


def answer(ground: Ground, ids: Ids, corner: tuple[int, int], random: np.random.Generator) -> int:
    """Draw a polygon of each class in a window, in place; gives how many."""
    window = tuple(slice(at, at + WINDOW_PX) for at in corner)
    truth = ground.scene.ids[window]
    classes = [int(one) for one in np.unique(truth[truth > 0])]
    for one in classes:
        rows, cols = np.nonzero(truth == one)
        at = int(random.integers(len(rows)))
        draw(ground, ids, one, corner[0] + int(rows[at]), corner[1] + int(cols[at]))
    return len(classes)


def draw_anywhere(ground: Ground, ids: Ids, count: int, classes: Sequence[int], random: np.random.Generator) -> None:
    """Draw polygons of the classes in turn, in place."""
    for number in range(count):
        one = classes[number % len(classes)]
        rows, cols = np.nonzero((ground.scene.ids == one) & (ids == 0))
        at = int(random.integers(len(rows)))
        draw(ground, ids, one, int(rows[at]), int(cols[at]))


def draw(ground: Ground, ids: Ids, number: int, row: int, col: int) -> None:
    """Draw the ground of a class around a pixel, in place."""
    near = tuple(slice(max(0, at - REACH_PX), at + REACH_PX) for at in (row, col))
    ids[near] = np.where(ground.scene.ids[near] == number, number, ids[near])


# ---------------------------------------------------------------------------------------------------------------------
# What comes out


def print_table(curves: dict[str, dict[str, list[float]]]) -> None:
    """Print the mean IoU by round."""
    rounds = len(next(iter(next(iter(curves.values())).values())))
    print("| scene | ground | " + " | ".join(f"round {number}" for number in range(rounds)) + " |")
    print("|---|---|" + "--:|" * rounds)
    for scene, ways in curves.items():
        for way, curve in ways.items():
            print(f"| {scene} | {way} | " + " | ".join(f"{one:.3f}" for one in curve) + " |")


def plot(curves: dict[str, dict[str, list[float]]], dst_path: Path) -> None:
    """Draw the curves of each set, seeds thin and their mean thick."""
    sets = list(dict.fromkeys(name.split(" seed")[0] for name in curves))
    figure, axes = plt.subplots(1, len(sets), figsize=(5 * len(sets), 4), squeeze=False, layout="constrained")
    for axis, name in zip(axes[0], sets, strict=True):
        runs = [ways for scene, ways in curves.items() if scene.split(" seed")[0] == name]
        for way, colour in WAYS.items():
            for ways in runs:
                axis.plot(ways[way], color=colour, linewidth=0.6, alpha=0.6)
            axis.plot(np.mean([ways[way] for ways in runs], axis=0), color=colour, linewidth=2.5, label=way)
        axis.set(title=name, xlabel="rounds of ten windows", ylabel="mean IoU of the rest")
        axis.grid(alpha=0.3)
        axis.legend()
    figure.savefig(dst_path, dpi=120)


if __name__ == "__main__":
    main()
