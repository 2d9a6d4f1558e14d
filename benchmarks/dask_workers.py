"""How much faster two local Dask workers are than one, on one thread each.

    python benchmarks/dask_workers.py [SCENE] [--model MODEL] [--tiles 12] [--rounds 5]

The scene is SCENE (by default the sample scene) repeated by a VRT. One process, one worker and two workers take turns,
each on one thread per process; medians of the rounds, the ratio is the median of the rounds' own ratios. What is timed
is the stage `segment`: from the first shard sent to the last block on the disk. Workers are started before and kept, so
their start is stated apart; the check of the workers, in which they load the model, is counted. Both executors cut the
scene as they do by themselves, so what is computed twice at the edges of shards is counted, and stated. Budget: 1.8.
Two cores that nothing else uses are needed; OMP_NUM_THREADS=1 in the environment keeps this process to one thread.
"""

import argparse
import statistics
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import torch

from geodeeplab.cluster import Dask
from geodeeplab.models import load_model
from geodeeplab.pipeline.executor import Executor, InThisProcess, repeated_tiles
from geodeeplab.pipeline.plan import open_plan
from geodeeplab.pipeline.request import Request
from geodeeplab.pipeline.segment import segment
from memory import write_chip, write_repeating_vrt

BUDGET = 1.8


def main() -> None:
    """Measure, and print one table."""
    options = parse_arguments()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(prefix="geodeeplab-dask-") as name, ExitStack() as stack:
        scene = make_scene(Path(name), options)
        started = time.perf_counter()
        workers = {count: stack.enter_context(Dask(count, threads=1)) for count in (1, 2)}
        start_s = time.perf_counter() - started
        executors: dict[str, Executor] = {"one process": InThisProcess()}
        executors |= {f"Dask({count})": dask for count, dask in workers.items()}
        seconds: dict[str, list[float]] = {label: [] for label in executors}
        for turn in range(options.rounds + 1):
            for label, executor in executors.items():
                taken = time_run(scene, Path(name) / "labels.tif", executor, options)
                if turn:  # the first warms up
                    seconds[label].append(taken)
        report(scene, executors, seconds, start_s, options)


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = Path(__file__).parents[1] / "sample_data" / "scene.tif"
    parser.add_argument("scene", type=Path, nargs="?", default=default, help="RGB uint8 image to repeat")
    parser.add_argument("--model", default="landcover-aerial")
    parser.add_argument("--tiles", type=int, default=12, help="tiles along each side of the scene")
    parser.add_argument("--rounds", type=int, default=5)
    return parser.parse_args()


def make_scene(folder: Path, options: argparse.Namespace) -> Path:
    """Write a scene of so many whole tiles of the model."""
    contract = load_model(options.model).contract
    side = options.tiles * (contract.tile_size - contract.overlap) + contract.overlap
    write_chip(options.scene, folder / "chip.tif")
    write_repeating_vrt(folder / "chip.tif", folder / "scene.vrt", height=side, width=side)
    return folder / "scene.vrt"


def time_run(scene: Path, labels: Path, executor: Executor, options: argparse.Namespace) -> float:
    """Give the seconds of the stage `segment`."""
    done = segment(
        scene,
        label_raster=labels,
        model=options.model,
        gsd_m="native",
        device="cpu",
        executor=executor,
        overwrite=True,
    )
    seconds: float = done.facts["seconds"]["segment"]
    return seconds


def report(
    scene: Path,
    executors: dict[str, Executor],
    seconds: dict[str, list[float]],
    start_s: float,
    options: argparse.Namespace,
) -> None:
    """Print the table and the ratio."""
    print("| who | shards | tiles, of those there are | seconds, median (least to most) |")
    print("|---|---|---|---|")
    with open_plan(Request(scene=scene, model=options.model, gsd_m="native", device="cpu")) as plan:
        for label, executor in executors.items():
            shards, taken = executor.cut(plan), seconds[label]
            times = f"{statistics.median(taken):.1f} ({min(taken):.1f} to {max(taken):.1f})"
            print(f"| {label} | {len(shards)} | {1 + repeated_tiles(plan, shards):.2f} | {times} |")
    one, two = seconds["Dask(1)"], seconds["Dask(2)"]
    ratio = statistics.median(a / b for a, b in zip(one, two, strict=True))
    print(f"\ntwo workers against one: {ratio:.2f} × (budget {BUDGET}); three workers started in {start_s:.1f} s")


if __name__ == "__main__":
    main()
