"""`adapt` beside a random forest and gradient-boosted trees on the same few polygons: IoU of the rest of the scene.

    python benchmarks/few_polygons.py --data ../shared/data --sets dubai6,dubai2 -n 5,20 --seeds 0,1,2 --out out

Trees see a pixel's colour and what surrounds it in boxes of three sizes (`baseline_trees.py`: 20 features of three
bands), and every polygon counts the same within its class, every class the same. All read the same GeoPackage, in the
same run, and are scored on every labelled pixel outside the polygons. `--inset 6` draws well inside of objects.

The output is Markdown tables: IoU by method, by class, what the report claims beside what is true, and seconds. `--json
FILE` keeps every run as it ends, and `--maps FOLDER` writes image, polygons, truth, forest and adapted side by side.
"""

import argparse
import json
import os
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import rasterio
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier

from baseline_trees import iter_features
from few_polygons_pairs import (
    CLASS_FIELD,
    SETS,
    Drawn,
    LabelledScene,
    draw_polygons,
    number_polygons,
    write_polygons,
    write_scene,
)
from few_polygons_tables import tables, write_maps
from geodeeplab import adapt
from geodeeplab.evaluation import confusion_matrix, iou
from geodeeplab.models import Model, load_model
from geodeeplab.pipeline.segment import segment

Trees: TypeAlias = RandomForestClassifier | HistGradientBoostingClassifier
Run = dict[str, Any]
"""What one set of polygons gave, as JSON knows it."""

MOST_PIXELS = 60_000
"""What trees are fitted to; where polygons have more, as many are drawn from them."""
BUNDLED = {
    ("building", "land", "road", "vegetation", "water"): "landcover-aerial",
    ("building", "other"): "buildings-aerial",
}
"""The bundled model that knows the classes of a set."""


class Clock:
    """Seconds since it was made: of the wall, and of all cores (a busy machine stretches the first alone)."""

    def __init__(self) -> None:
        """Start."""
        self._wall, self._cpu = time.monotonic(), time.process_time()

    def __call__(self) -> list[float]:
        """Give both, [wall, CPU], and start again."""
        spent = [time.monotonic() - self._wall, time.process_time() - self._cpu]
        self._wall, self._cpu = time.monotonic(), time.process_time()
        return [round(one, 2) for one in spent]


@dataclass(frozen=True, kw_only=True)
class Ground:
    """A scene on the disk, with the trees' features of all its pixels, computed once."""

    name: str
    """Of the set."""
    scene: LabelledScene
    """What it shows."""
    path: Path
    """The GeoTIFF."""
    features: NDArray[np.float32]
    """(H, W, F)."""
    features_s: list[float]
    """What they took, wall and CPU."""
    bundled: NDArray[np.uint8] | None
    """(H, W) ids by the bundled model that has these classes, if any."""


def main() -> None:
    """Run all sets, print the tables."""
    options = parse_arguments()
    runs: list[Run] = []
    for name in options.sets:
        cache = options.out / "cache"
        shutil.rmtree(cache, ignore_errors=True)  # so that the first run of a scene finds none of its features
        os.environ["GEODEEPLAB_CACHE_DIR"] = str(cache)
        ground = prepare(name, options.data, options.out, bundled=options.bundled)
        for count in options.counts:
            for seed in options.seeds:
                run, maps = run_one(ground, count, seed=seed, inset=options.inset, every=options.every, out=options.out)
                runs.append(run)
                if options.maps:
                    write_maps(options.maps / f"{run['name']}.png", ground.scene, maps)
                if options.json:
                    options.json.parent.mkdir(parents=True, exist_ok=True)
                    options.json.write_text(json.dumps(runs, indent=1))
    print(tables(runs))


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with dubai, zion, ohio, hls30 and buildings")
    parser.add_argument("--sets", type=lambda text: text.split(","), default=["dubai6", "dubai2"], help=", ".join(SETS))
    parser.add_argument("-n", dest="counts", type=_numbers, default=[5, 20], help="polygons of each class: 5,20,50")
    parser.add_argument("--seeds", type=_numbers, default=[0, 1, 2])
    parser.add_argument("--inset", type=int, default=0, help="pixels that polygons stay away from other classes")
    parser.add_argument("--every", type=int, default=1, help="score every N-th pixel along each axis; trees are slow")
    parser.add_argument("--bundled", action="store_true", help="also run the bundled model that has the classes")
    parser.add_argument("--out", type=Path, default=Path("few-polygons"), help="folder for scenes, polygons and labels")
    parser.add_argument("--json", type=Path, help="where to keep every run")
    parser.add_argument("--maps", type=Path, metavar="FOLDER", help="where to write pictures of the labels")
    return parser.parse_args()


def _numbers(text: str) -> list[int]:
    return [int(one) for one in text.split(",")]


def prepare(name: str, data: Path, out: Path, *, bundled: bool) -> Ground:
    """Write a set's scene, compute the trees' features of it and, if asked for, the bundled model's labels."""
    scene = SETS[name](data)
    path = write_scene(scene, out / f"{name}.tif")
    clock = Clock()
    features = np.concatenate([found for _, found in iter_features(scene.image)])
    ground = Ground(name=name, scene=scene, path=path, features=features, features_s=clock(), bundled=None)
    model = BUNDLED.get(scene.classes) if bundled else None
    return (
        replace(ground, bundled=segment_ids(ground, load_model(model), out / f"{name}-bundled.tif"))
        if model
        else ground
    )


def run_one(
    ground: Ground, count: int, *, seed: int, inset: int, every: int, out: Path
) -> tuple[Run, dict[str, NDArray[np.uint8]]]:
    """Draw polygons and score what each method makes of them; gives the run, and ids (H, W) by name."""
    scene, drawn = ground.scene, draw_polygons(ground.scene, count, seed=seed, inset=inset)
    truth = np.zeros_like(drawn.truth)
    truth[::every, ::every] = drawn.truth[::every, ::every]
    name = f"{ground.name}-n{count}-i{inset}-s{seed}"
    polygons = write_polygons(scene, drawn.polygons, out / f"{name}.gpkg")
    run: Run = {
        "name": name,
        "set": ground.name,
        "n": count,
        "seed": seed,
        "inset": inset,
        "classes": [scene.classes[one - 1] for one in drawn.ids],
        "notes": list(drawn.notes),
        "polygons": int(number_polygons(drawn.polygons, drawn.ids).max()),
        "drawn_px": int(np.count_nonzero(drawn.polygons)),
        "scored_px": int(np.count_nonzero(truth)),
        "features_s": ground.features_s,
        "methods": {},
    }
    maps = {"polygons": drawn.polygons, "truth": drawn.truth}
    for method, trees in (("forest", forest(seed)), ("boosted", boosted(seed))):
        maps[method] = by_trees(trees, ground, drawn, run["methods"].setdefault(method, {}), every, seed=seed)
    maps["adapted"] = by_adapting(ground, polygons, out / f"{name}.tif", run, seed=seed)
    if ground.bundled is not None:
        maps["bundled"], run["methods"]["bundled"] = ground.bundled, {}
    for method, facts in run["methods"].items():
        facts["iou"] = score(maps[method], truth, drawn.ids)
        print(f"{name} {method}: {np.mean(facts['iou']):.3f}", flush=True)
    return run, maps


def score(ids: NDArray[np.uint8], truth: NDArray[np.uint8], classes: Sequence[int]) -> list[float]:
    """Give the IoU of each class where there is truth; ids of no class count as wrong."""
    counts = confusion_matrix(ids, truth, class_ids=range(max(*classes, int(ids.max())) + 1))
    counts[0] = 0  # where there is no truth
    kept = list(classes)
    return [float(one) for one in iou(counts)[kept]]


# ---------------------------------------------------------------------------------------------------------------------
# Methods


def forest(seed: int) -> RandomForestClassifier:
    """Make a random forest."""
    return RandomForestClassifier(100, min_samples_leaf=5, n_jobs=-1, random_state=seed)


def boosted(seed: int) -> HistGradientBoostingClassifier:
    """Make gradient-boosted trees; no early stopping, which would draw its validation pixels from the same polygons."""
    return HistGradientBoostingClassifier(max_iter=100, early_stopping=False, random_state=seed)


def by_trees(trees: Trees, ground: Ground, drawn: Drawn, facts: Run, every: int, *, seed: int) -> NDArray[np.uint8]:
    """Fit trees to the polygons and give ids (H, W), of each block of pixels that of its first; notes what it took."""
    clock = Clock()
    numbers = number_polygons(drawn.polygons, drawn.ids)
    places = np.flatnonzero(numbers)
    if len(places) > MOST_PIXELS:
        places = np.random.default_rng(seed).choice(places, MOST_PIXELS, replace=False)
    ids = drawn.polygons.ravel()[places]
    weights = balance(ids, numbers.ravel()[places])
    trees.fit(ground.features.reshape(-1, ground.features.shape[-1])[places], ids, sample_weight=weights)
    facts["fit_s"] = clock()
    some = ground.features[::every, ::every]
    rows = [trees.predict(some[row : row + 200].reshape(-1, some.shape[-1])) for row in range(0, len(some), 200)]
    facts["map_s"] = clock()
    ids = np.concatenate(rows).astype(np.uint8).reshape(some.shape[:2])
    return ids.repeat(every, axis=0).repeat(every, axis=1)[: drawn.truth.shape[0], : drawn.truth.shape[1]]


def balance(ids: NDArray[np.integer], polygons: NDArray[np.integer]) -> NDArray[np.float64]:
    """Give pixels weights (n,) so that each polygon counts the same within its class, and each class the same."""
    of_pixel, pixels = np.unique(polygons, return_inverse=True, return_counts=True)[1:]
    firsts = np.unique(polygons, return_index=True)[1]
    polygons_of = np.bincount(ids[firsts])
    weights = 1 / (pixels[of_pixel] * polygons_of[ids])
    return np.asarray(weights / weights.mean(), dtype=np.float64)


def by_adapting(ground: Ground, polygons: Path, labels: Path, run: Run, *, seed: int) -> NDArray[np.uint8]:
    """Adapt and segment; gives ids (H, W) of the scene's classes, and notes in the run what it took and claims."""
    ends: dict[str, float] = {}
    started, clock = time.process_time(), Clock()
    adapted = adapt(
        ground.path,
        polygons,
        class_field=CLASS_FIELD,
        seed=seed,
        progress=lambda stage, done, total: ends.update({stage: round(time.process_time() - started, 2)}),
    )
    facts = run["methods"]["adapted"] = {"fit_s": clock(), "ends_cpu_s": ends}
    found = segment_ids(ground, adapted.model, labels, gsd_m="model")
    facts["map_s"] = clock()
    run["report"] = adapted.report.to_dict()
    return found


def segment_ids(ground: Ground, model: Model, dst_path: Path, *, gsd_m: str = "native") -> NDArray[np.uint8]:
    """Segment a scene; gives ids (H, W) of the scene's classes."""
    segment(ground.path, label_raster=dst_path, model=model, gsd_m=gsd_m, overwrite=True)
    return read_ids(ground, model, dst_path)


def read_ids(ground: Ground, model: Model, path: Path) -> NDArray[np.uint8]:
    """Read a label raster; gives ids (H, W) of the scene's classes, which the model has in an order of its own."""
    with rasterio.open(path) as src:
        ids = src.read(1)
    of_class = np.zeros(256, dtype=np.uint8)
    for one in model.contract.classes:
        of_class[one.id] = ground.scene.classes.index(one.name) + 1
    return np.asarray(of_class[ids])


if __name__ == "__main__":
    main()
