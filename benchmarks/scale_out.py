"""What would limit ten thousand Sentinel-2 tiles on one to five hundred workers: stage times from here, simulated.

    OMP_NUM_THREADS=2 python benchmarks/scale_out.py record stages.json
    python benchmarks/scale_out.py simulate stages.json --figure scale-out.svg

`record` segments a scene of 16 bits with the bundled model and notes the CPU seconds of each thread and phase, bytes
read and written, what a worker's start and the dispatch of a scene take. CPU seconds, as other programs may run beside.
`simulate` scales them to 10,980 × 10,980 px and runs `scale_out_model.py`. What cannot be measured here (storage,
network, lost and slow workers) are options; the defaults are what the table in docs/benchmarks.md assumes.
"""

import argparse
import json
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import psutil
import rasterio
import torch
from rasterio.shutil import copy as copy_raster

from geodeeplab.cluster import Dask, scene_running
from geodeeplab.cluster.running import wait_for_some
from geodeeplab.models import load_model
from geodeeplab.pipeline.scenes.one import SceneCall
from geodeeplab.pipeline.scenes.result import SceneRun
from geodeeplab.pipeline.segment import segment
from geodeeplab.tiling import Lattice
from scale_out_model import CAUSES, Cluster, Outcome, Scene, simulate

SIDE = 10_980
COUNTS = (1, 10, 20, 50, 100, 200, 500)
SAMPLE_S = 0.05
DISPATCHED = 200
WAITING, WAITS = 500, 3
SLOWER = 10
"""How many times slower the storage of the last case is."""
NOISE_DN = 8.0
"""Standard deviation of the noise that makes an 8-bit image compress as one of 16 bits does."""


def main() -> None:
    """Record, or simulate."""
    options = parse_arguments()
    if options.do == "record":
        options.stages.write_text(json.dumps(record(options.image, options.side), indent=1) + "\n")
    else:
        report(json.loads(options.stages.read_text()), options)


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="do", required=True)
    recording = commands.add_parser("record")
    recording.add_argument("stages", type=Path)
    default = Path(__file__).parents[1] / "sample_data" / "scene.tif"
    recording.add_argument("--image", type=Path, default=default, help="RGB uint8 image")
    recording.add_argument("--side", type=int, default=2688, help="pixels of the scene along each axis")
    simulating = commands.add_parser("simulate")
    simulating.add_argument("stages", type=Path)
    simulating.add_argument("--figure", type=Path)
    simulating.add_argument("--scenes", type=int, default=10_000)
    simulating.add_argument("--cores", type=int, default=8, help="of a worker")
    simulating.add_argument("--read-gb-s", type=float, default=10.0, help="of the storage, for all readers")
    simulating.add_argument("--write-gb-s", type=float, default=5.0, help="of the storage, for all writers")
    simulating.add_argument("--worker-gb-s", type=float, default=0.5, help="of one worker's network, each way")
    simulating.add_argument("--scene-latency-s", type=float, default=1.0, help="requests until a scene is open")
    simulating.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def record(image: Path, side: int) -> dict[str, Any]:
    """Segment a scene and give the CPU seconds of its phases and threads, and bytes."""
    torch.set_num_threads(2)
    with tempfile.TemporaryDirectory(prefix="geodeeplab-scale-") as name:
        scene = write_scene(image, Path(name) / "scene.tif", side)
        model = load_model()
        outputs = {"polygons": Path(name) / "a.gpkg", "label_raster": Path(name) / "a.tif"}
        marks: dict[str, float] = {}

        def mark(done: int, total: int) -> None:
            marks.setdefault("opened", time.process_time())
            if done == total:
                marks.setdefault("segmented", time.process_time())

        run: dict[str, Any] = {"model": model, "rescale": (0, 4080), "gsd_m": "native", "device": "cpu"}
        warm = Path(name) / "warm.gpkg"
        segment(scene, warm, label_raster=warm.with_suffix(".tif"), crop=True, aoi=corner_of(scene), **run)
        began = time.process_time()
        with thread_seconds() as threads:
            facts = segment(
                scene, outputs["polygons"], label_raster=outputs["label_raster"], progress=mark, **run
            ).facts
        finished = time.process_time()
        lanes = sum(seconds for thread, seconds in threads.items() if thread.startswith("lane"))
        rest = {thread: seconds for thread, seconds in threads.items() if not thread.startswith("lane")}
        return {
            "pixels": side * side,
            "tiles": facts["tiles"]["forwarded"],
            "tile_size": model.contract.tile_size,
            "overlap": model.contract.overlap,
            "cpu_s": {
                "open": marks["opened"] - began,
                "segment": marks["segmented"] - marks["opened"] - rest.pop("sampler"),
                "finish": finished - marks["segmented"],
                "network": lanes,
            },
            "threads_cpu_s": {thread: round(seconds, 2) for thread, seconds in sorted(rest.items()) if seconds > 0.05},
            "read_bytes": scene.stat().st_size,
            "written_bytes": sum(path.stat().st_size for path in outputs.values()),
            **record_cluster(),
        }


def write_scene(image: Path, dst: Path, side: int) -> Path:
    """Write an image as a COG (deflate, predictor 2) of 12 bits in 16, mirrored until it is large enough."""
    with rasterio.open(image) as src:
        pixels = src.read([1, 2, 3])
    reach = [(0, 0), *((0, max(0, side - length)) for length in pixels.shape[1:])]
    large = np.pad(pixels, reach, mode="symmetric")[:, :side, :side].astype(np.float32) * 16
    large += np.random.default_rng(0).normal(0, NOISE_DN, large.shape).astype(np.float32)
    profile = {"driver": "GTiff", "count": 3, "height": side, "width": side, "dtype": "uint16", "crs": "EPSG:32633"}
    profile |= {"transform": rasterio.Affine(10, 0, 500_000, 0, -10, 5_000_000), "photometric": "rgb"}
    with rasterio.MemoryFile() as memory:
        with memory.open(**profile) as whole:
            whole.write(np.clip(large, 0, 4095).astype(np.uint16))
        with memory.open() as whole:
            copy_raster(whole, dst, driver="COG", compress="deflate", predictor=2, overviews="none")
    return dst


def corner_of(scene: Path) -> Any:  # noqa: ANN401 - a geometry
    """Give a small area of a scene, to load with it what is loaded on first use."""
    from shapely.geometry import box

    with rasterio.open(scene) as src:
        left, top = src.transform.c, src.transform.f
    return box(left, top - 300, left + 300, top)


@contextmanager
def thread_seconds() -> Iterator[dict[str, float]]:
    """Note the CPU seconds of all threads of this process by name, until the block ends; Linux only."""
    seen: dict[int, float] = {}
    named: dict[int, str] = {}
    stop = threading.Event()
    before = {one.id: one.user_time + one.system_time for one in psutil.Process().threads()}

    def look() -> None:
        while not stop.wait(SAMPLE_S):
            named.update({int(one.native_id or 0): one.name for one in threading.enumerate()})
            for one in psutil.Process().threads():
                seen[one.id] = one.user_time + one.system_time - before.get(one.id, 0.0)

    found: dict[str, float] = {}
    sampler = threading.Thread(target=look, name="sampler", daemon=True)
    sampler.start()
    try:
        yield found
    finally:
        stop.set()
        sampler.join()
        for identity, seconds in seen.items():
            name = named.get(identity, "libraries")
            found[name] = found.get(name, 0.0) + seconds


def record_cluster() -> dict[str, float]:
    """Measure a worker's start and the dispatch of a scene: CPU seconds, bytes of code and libraries."""
    with Dask(1, threads=1) as dask:
        (worker,) = (one for one in psutil.Process().children() if "dask_worker" in "".join(one.cmdline()))
        libraries = sum(one.rss for one in worker.memory_maps() if one.path.startswith("/"))
        start_s = sum(worker.cpu_times()[:2])
        nothing: dict[str, Any] = {"polygon_options": None, "sieve_labels": False, "resume": False, "overwrite": False}
        nothing |= {"probability_dtype": "uint8", "options": {"model": load_model()}, "outputs": {}}
        calls = [SceneCall(name=str(number), scene=f"{number}.tif", **nothing) for number in range(DISPATCHED)]
        with (
            patch.object(scene_running, "segment_whole_scene", do_nothing),
            tempfile.NamedTemporaryFile() as manifest,
        ):
            runs = dask.iter_scenes(calls, manifest=Path(manifest.name))
            next(runs)
            began = time.process_time()
            count = sum(1 for _ in runs)
            dispatch_s = (time.process_time() - began) / count
        return {
            "start_cpu_s": start_s,
            "start_bytes": libraries,
            "dispatch_cpu_s": dispatch_s,
            "dispatch_cpu_s_per_worker": measure_waiting(dask),
        }


def do_nothing(job: object, call: SceneCall, *, lost: int) -> SceneRun:
    """Stand in for a scene."""
    return SceneRun(scene=call.name, status="done", outputs=())


def measure_waiting(dask: Dask) -> float:
    """Give the CPU seconds of the client, each time that a scene ends, for each scene that another worker is at."""
    with dask._connection() as there, there.client.as_current():
        futures = [there.client.submit(time.sleep, 60, key=f"waiting-{number}") for number in range(WAITING)]
        time.sleep(2)
        began = time.process_time()
        for _ in range(WAITS):
            wait_for_some(futures)
        seconds = time.process_time() - began
        there.client.cancel(futures)
    return seconds / WAITS / WAITING


def scenes_of(stages: dict[str, Any], options: argparse.Namespace) -> dict[str, Scene]:
    """Scale what was recorded to a Sentinel-2 tile on a worker: with the network, and as if it took no time.

    Host work is shared out among the cores, but no thread of it is faster than it was; the network's tiles are so, too.
    """
    cores: int = options.cores
    area = SIDE * SIDE / stages["pixels"]
    lattice = Lattice(shape=(SIDE, SIDE), tile_size=stages["tile_size"], overlap=stages["overlap"])
    tiles = lattice.rows.count * lattice.cols.count / stages["tiles"]
    cpu, threads = stages["cpu_s"], stages["threads_cpu_s"]
    host_s = (cpu["segment"] - cpu["network"]) * area
    single_s = max(seconds for thread, seconds in threads.items() if thread != "libraries") * area
    network_s = cpu["network"] * tiles
    whole = Scene(
        open_s=cpu["open"] + options.scene_latency_s,
        segment_s=max((host_s + network_s) / cores, single_s),
        finish_s=cpu["finish"] * area,
        read_bytes=stages["read_bytes"] * area,
        written_bytes=stages["written_bytes"] * area,
    )
    return {"network": whole, "none": replace(whole, segment_s=max(host_s / cores, single_s))}


def report(stages: dict[str, Any], options: argparse.Namespace) -> None:
    """Print a table for each kind of worker, and draw the figure."""
    cluster = Cluster(
        read_rate=options.read_gb_s * 1e9,
        write_rate=options.write_gb_s * 1e9,
        worker_rate=options.worker_gb_s * 1e9,
        start_s=stages["start_cpu_s"],
        start_bytes=stages["start_bytes"],
        dispatch_s=stages["dispatch_cpu_s"],
        dispatch_s_per_worker=stages["dispatch_cpu_s_per_worker"],
        seed=options.seed,
    )
    scenes = scenes_of(stages, options)
    cases = {
        f"{options.cores} cores a worker": (scenes["network"], cluster),
        "a network that takes no time": (scenes["none"], cluster),
        f"… and storage of 1/{SLOWER} the speed": (scenes["none"], slower(cluster)),
    }
    outcomes: dict[str, list[Outcome]] = {}
    for name, (scene, there) in cases.items():
        print(f"{name}: {scene}, {there}\n", flush=True)
        outcomes[name] = [simulate(scene, there, scenes=options.scenes, workers=count) for count in COUNTS]
    print(table(outcomes))
    if options.figure is not None:
        draw(outcomes, options.figure)


def slower(cluster: Cluster) -> Cluster:
    """Give the same with a slower storage."""
    return replace(cluster, read_rate=cluster.read_rate / SLOWER, write_rate=cluster.write_rate / SLOWER)


def table(outcomes: dict[str, list[Outcome]]) -> str:
    """Give hours, efficiency and what takes most time beside computing, for each case, in Markdown."""
    lines = [f"| workers | {' | '.join(outcomes)} |", f"|--:|{'---|' * len(outcomes)}"]
    for row in zip(*outcomes.values(), strict=True):
        cells = []
        for one, alone in zip(row, (runs[0] for runs in outcomes.values()), strict=True):
            efficiency = alone.seconds / (one.workers * one.seconds)
            most = max((cause for cause in CAUSES if cause != "computing"), key=one.share)
            told = f"{most} {100 * one.share(most):.0f} %"
            cells.append(f"{one.seconds / 3600:.3g} h, {100 * efficiency:.0f} %; {told}")
        lines.append(f"| {row[0].workers} | {' | '.join(cells)} |")
    return "\n".join(lines)


def draw(outcomes: dict[str, list[Outcome]], path: Path) -> None:
    """Draw what workers spend their time with, for each kind of worker."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    mpl.rcParams["svg.hashsalt"] = "scale-out"
    figure = Figure(figsize=(12, 4.2), layout="constrained")
    axes = figure.subplots(1, len(outcomes), sharey=True)
    colors = dict(zip(CAUSES, mpl.colormaps["tab10"].colors, strict=False))  # type: ignore[attr-defined]
    for ax, (name, runs) in zip(axes, outcomes.items(), strict=True):
        places, bottom = np.arange(len(runs)), np.zeros(len(runs))
        for cause in CAUSES:
            shares = np.array([100 * run.share(cause) for run in runs])
            ax.bar(places, shares, 0.8, bottom, color=colors[cause], label=cause)
            bottom += shares
        for place, run in zip(places, runs, strict=True):
            hours = run.seconds / 3600
            ax.text(place, 101, f"{hours:.0f}" if hours >= 10 else f"{hours:.2g}", ha="center", fontsize=8)
        ax.set_title(name, fontsize=10)
        ax.set(xlabel="workers", ylim=(0, 107))
        ax.set_xticks(places, [str(run.workers) for run in runs])
    axes[0].set_ylabel("% of the workers' time; hours above")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside right upper", fontsize=8)
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)


if __name__ == "__main__":
    main()
