"""How much faster two local Dask workers are than one, on one thread each.

    python benchmarks/dask_workers.py [SCENE] [--model MODEL] [--tiles 12] [--rounds 5] [--scenes 4] [--pinned]

The scene is SCENE (by default the sample scene) repeated by a VRT. One process, one worker and two workers take turns,
each on one thread per process; medians of the rounds, the ratio is the median of the rounds' own ratios. What is timed
is the stage `segment`: from the first shard sent to the last block on the disk. Workers are started before and kept, so
their start is stated apart; the check of the workers, in which they load the model, is counted. Both executors cut the
scene as they do by themselves, so what is computed twice at the edges of shards is counted, and stated. Budget: 1.8.
Two cores that nothing else uses are needed; OMP_NUM_THREADS=1 in the environment keeps this process to one thread.

CPU seconds of this process and of the workers say what competes: two workers on two cores cannot be faster than half of
the sum of them all. One worker alone leaves its reader and this process to the other core; with `--pinned` each worker
is kept on a core of its own. With `--scenes`, so many copies of the scene are segmented as whole scenes instead, one on
each worker, and the whole of it is timed.
"""

import argparse
import os
import shutil
import statistics
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import torch

from geodeeplab.cluster import Dask
from geodeeplab.models import load_model
from geodeeplab.pipeline.executor import Executor, InThisProcess, repeated_tiles
from geodeeplab.pipeline.plan import open_plan
from geodeeplab.pipeline.request import Request
from geodeeplab.pipeline.scenes.many import segment_scenes
from geodeeplab.pipeline.segment import segment
from memory import write_chip, write_repeating_vrt

BUDGET = 1.8


@dataclass(frozen=True, kw_only=True)
class Taken:
    """What a run took."""

    seconds: float
    """On the clock."""
    here_s: float
    """CPU seconds of this process."""
    workers_s: float
    """CPU seconds of all workers."""


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
        if options.pinned:
            pin_workers()
        runs: dict[str, list[Taken]] = {label: [] for label in executors}
        for turn in range(options.rounds + 1):
            for label, executor in executors.items():
                taken = time_run(scene, Path(name), executor, options)
                if turn:  # the first warms up
                    runs[label].append(taken)
        report(scene, executors, runs, start_s, options)


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = Path(__file__).parents[1] / "sample_data" / "scene.tif"
    parser.add_argument("scene", type=Path, nargs="?", default=default, help="RGB uint8 image to repeat")
    parser.add_argument("--model", default="landcover-aerial")
    parser.add_argument("--tiles", type=int, default=12, help="tiles along each side of the scene")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--scenes", type=int, default=0, help="whole scenes instead of shards of one")
    parser.add_argument("--pinned", action="store_true", help="keep each worker on a core of its own")
    return parser.parse_args()


def make_scene(folder: Path, options: argparse.Namespace) -> Path:
    """Write a scene of so many whole tiles of the model."""
    contract = load_model(options.model).contract
    side = options.tiles * (contract.tile_size - contract.overlap) + contract.overlap
    write_chip(options.scene, folder / "chip.tif")
    write_repeating_vrt(folder / "chip.tif", folder / "scene.vrt", height=side, width=side)
    return folder / "scene.vrt"


def find_workers() -> list[psutil.Process]:
    """Give the processes of all workers, in the order of their start."""
    children = psutil.Process().children()
    return sorted((one for one in children if "dask_worker" in "".join(one.cmdline())), key=psutil.Process.create_time)


def pin_workers() -> None:
    """Keep the one worker, and the first of the two, on one core, and the other on another; all of their threads."""
    cores = sorted(os.sched_getaffinity(0))
    for worker, core in zip(find_workers(), (cores[0], *cores), strict=False):
        for thread in worker.threads():
            os.sched_setaffinity(thread.id, {core})


def cpu_seconds() -> tuple[float, float]:
    """Give what this process and all workers have taken of the CPUs."""
    return time.process_time(), sum(sum(worker.cpu_times()[:2]) for worker in find_workers())


def time_run(scene: Path, folder: Path, executor: Executor, options: argparse.Namespace) -> Taken:
    """Time the stage `segment`, or all of several whole scenes; CPU seconds are of all of the run."""
    run: dict[str, Any] = {"model": options.model, "gsd_m": "native", "device": "cpu", "overwrite": True}
    before, started = cpu_seconds(), time.perf_counter()
    if options.scenes:
        scenes = [shutil.copy(scene, folder / f"copy-{number}.vrt") for number in range(options.scenes)]
        done = segment_scenes(scenes, label_raster=folder / "labels", executor=executor, **run)
        assert all(one.status == "done" for one in done)
        seconds = time.perf_counter() - started
    else:
        facts = segment(scene, label_raster=folder / "labels.tif", executor=executor, **run).facts
        seconds = facts["seconds"]["segment"]
    here, there = (after - was for after, was in zip(cpu_seconds(), before, strict=True))
    return Taken(seconds=seconds, here_s=here, workers_s=there)


def report(
    scene: Path,
    executors: dict[str, Executor],
    runs: dict[str, list[Taken]],
    start_s: float,
    options: argparse.Namespace,
) -> None:
    """Print the table and the ratio."""
    print("| who | shards | tiles, of those there are | seconds, median (least to most) | CPU s: here, workers |")
    print("|---|---|---|---|---|")
    with open_plan(Request(scene=scene, model=options.model, gsd_m="native", device="cpu")) as plan:
        for label, executor in executors.items():
            shards = [plan.whole] * options.scenes or executor.cut(plan)
            repeated = 0.0 if options.scenes else repeated_tiles(plan, shards)
            taken = [one.seconds for one in runs[label]]
            times = f"{statistics.median(taken):.1f} ({min(taken):.1f} to {max(taken):.1f})"
            cpu = [statistics.median(getattr(one, name) for one in runs[label]) for name in ("here_s", "workers_s")]
            print(f"| {label} | {len(shards)} | {1 + repeated:.2f} | {times} | {cpu[0]:.1f}, {cpu[1]:.1f} |")
    one, two = runs["Dask(1)"], runs["Dask(2)"]
    ratio = statistics.median(a.seconds / b.seconds for a, b in zip(one, two, strict=True))
    most = statistics.median(2 * a.seconds / (b.here_s + b.workers_s) for a, b in zip(one, two, strict=True))
    print(f"\ntwo workers against one: {ratio:.2f} × (budget {BUDGET}); three workers started in {start_s:.1f} s")
    print(f"as CPU seconds bound it on two cores: {most:.2f} ×")


if __name__ == "__main__":
    main()
