"""CPU seconds a megapixel of host work: of the writer of rasters alone, or of `segment` with a stub network.

Each run has a process of its own. With `--trees` the same is run with the package of each of those working trees in
turn, say of this commit and of an earlier one, so that both see the same machine.

    python benchmarks/host_work.py --size 8000x8000 --rounds 3 --trees . ../before
    python benchmarks/host_work.py --raster confidence.tif --measurements
    python benchmarks/host_work.py --segment sample_data/scene.tif --size 8000x8000 --polygons --lanes 2

The writer gets rows of 384, as a tile of 512 with an overlap of 128 gives them: of a made-up land cover
(`label_rasters.py`), or of RASTER repeated. With `--segment` the scene is a VRT that repeats a valid part of an image,
and "while rows come" has the reading, the tiles, the stub network and the blending, too; a column for each thread says
what the CPU did there (in `lane` with several lanes the network, in `forward` then blending and deciding; `MainThread`
compresses). Linux and macOS; threads on Linux only.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

ROWS = 384
POLL_S = 0.02

THREADS = ("decode", "read", "lane", "forward", "MainThread", "overview", "trace", "prefetch", "polygons")

Marks = dict[str, tuple[float, float]]
"""CPU seconds and wall clock at the first row, after the last, and at the end."""


def main() -> None:
    """Run each tree in turn, and print a table of medians."""
    options = parse_arguments()
    if options.child:
        print(json.dumps(measure_writer(options) if options.segment is None else measure_segment(options)))
        return
    runs: dict[Path, list[dict[str, float]]] = {tree: [] for tree in options.trees}
    for _ in range(options.rounds):
        for tree in options.trees:
            command = [sys.executable, __file__, *sys.argv[1:], "--child"]
            environment = os.environ | {"PYTHONPATH": str(tree.resolve())}
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment)
            runs[tree].append(json.loads(done.stdout.splitlines()[-1]))
    names = list(next(iter(runs.values()))[0])
    print(f"| tree | {' | '.join(names)} |\n|---|{'--:|' * len(names)}")
    for tree, results in runs.items():
        medians = [statistics.median(one[name] for one in results) for name in names]
        print(f"| {tree.resolve().name} | {' | '.join(f'{value:.3g}' for value in medians)} |")


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=parse_size, default=(8000, 8000), help="HEIGHTxWIDTH")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--trees", type=Path, nargs="+", default=[Path(__file__).parents[1]], help="working trees")
    parser.add_argument("--raster", type=Path, help="what the writer writes, repeated; by default a made-up land cover")
    parser.add_argument("--measurements", action="store_true", help="RASTER has no labels: overviews by mean")
    parser.add_argument("--segment", type=Path, metavar="IMAGE", help="measure `segment` of this image, repeated")
    parser.add_argument("--classes", type=int, default=10, help="classes of the stub network")
    parser.add_argument("--polygons", action="store_true", help="`segment` writes polygons, too")
    parser.add_argument("--lanes", type=int, default=1, help="forward passes side by side, and torch's threads")
    parser.add_argument("--confidence", action="store_true", help="`segment` writes the confidence, too")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


def parse_size(text: str) -> tuple[int, int]:
    """Read HEIGHTxWIDTH."""
    height, width = text.lower().split("x")
    return int(height), int(width)


def measure_writer(options: argparse.Namespace) -> dict[str, float]:
    """Write one raster, in this process."""
    marks: Marks = {}
    with tempfile.TemporaryDirectory(prefix="geodeeplab-host-") as name:
        warm, run = Path(name) / "warm", Path(name) / "run"
        write_one(warm, (600, 600), options, {})  # what is compiled and imported
        run.mkdir()
        with Disk(run) as disk:
            write_one(run, options.size, options, marks)
        return facts_of(marks, options.size, (run / "a.tif").stat().st_size, disk)


def write_one(folder: Path, shape: tuple[int, int], options: argparse.Namespace, marks: Marks) -> None:
    """Spool rows and write the raster, as the package does whose tree this is."""
    from affine import Affine
    from rasterio.crs import CRS

    from geodeeplab import raster
    from label_rasters import CLASSES

    grid = raster.Grid(shape=shape, transform=Affine(1, 0, 5e5, 0, -1, 4e6), crs=CRS.from_epsg(32633))
    (folder / "spool").mkdir(parents=True)
    spool = raster.BlockSpool(folder / "spool", shape, [raster.SpoolLayer(name="labels", dtype="uint8")])
    writing: dict[str, Any] = {}
    cutter = None
    if hasattr(raster, "follow_labels"):  # else it makes overviews at the end, and takes rows as they come
        cutter = raster.BandCutter(shape)
        is_mean = options.measurements
        writing["overviews"] = (
            raster.follow_raster(spool, "labels", nodata=255) if is_mean else raster.follow_labels(spool)
        )
    pixels = read_pixels(options.raster)
    spent, row = 0.0, 0
    mark(marks, "first row")
    for rows, seconds in iter_rows(pixels, shape):
        spent += seconds  # on making them up
        bands = [(row, {"labels": rows})] if cutter is None else cutter.put(row, {"labels": rows})
        row += len(rows)
        if cutter is not None and row == shape[0]:
            bands += cutter.rest()
        for start, band in bands:
            spool.append(raster.encode_block(start, 0, band, count="labels"))
    mark(marks, "last row")
    if options.measurements:
        raster.write_raster(spool, folder / "a.tif", grid=grid, nodata=255, layer="labels", **writing)
    else:
        raster.write_label_cog(spool, folder / "a.tif", grid=grid, classes=CLASSES, **writing)
    mark(marks, "end")
    marks["first row"] = marks["first row"][0] + spent, marks["first row"][1]


def iter_rows(pixels: NDArray[np.uint8], shape: tuple[int, int]) -> Iterator[tuple[NDArray[np.uint8], float]]:
    """Yield the rows of pixels (h, w) repeated, and the CPU seconds that repeating them took."""
    height, width = shape
    for first in range(0, height, ROWS):
        started = time.thread_time()
        rows = pixels.take(range(first, min(first + ROWS, height)), axis=0, mode="wrap")
        rows = np.tile(rows, (1, -(-width // rows.shape[1])))[:, :width]
        yield rows, time.thread_time() - started


def read_pixels(path: Path | None) -> NDArray[np.uint8]:
    """Read a raster of one band, or make up a land cover."""
    import rasterio

    from label_rasters import iter_label_rows

    if path is None:
        return np.vstack(list(iter_label_rows("landcover", (4096, 4096), seed=0, band_rows=512))).astype(np.uint8)
    with rasterio.open(path) as src:
        pixels: NDArray[np.uint8] = src.read(1)
    return pixels


def measure_segment(options: argparse.Namespace) -> dict[str, float]:
    """Segment the scene once, in this process."""
    import torch

    from geodeeplab.cli.process import keep_freed_memory
    from geodeeplab.pipeline.segment import segment
    from memory import tiny_model, write_chip, write_repeating_vrt

    keep_freed_memory()  # as the command line does
    torch.set_num_threads(options.lanes)
    height, width = options.size
    with tempfile.TemporaryDirectory(prefix="geodeeplab-host-") as name:
        folder = Path(name)
        chip, scene, out = folder / "chip.tif", folder / "scene.vrt", folder / "out"
        write_chip(options.segment, chip)
        out.mkdir()
        rasters: dict[str, Any] = {"label_raster": out / "labels.tif"}
        rasters |= {"confidence": out / "confidence.tif"} if options.confidence else {}
        model = tiny_model(options.classes)
        write_repeating_vrt(chip, scene, height=600, width=600)
        warm = folder / "warm.gpkg" if options.polygons else None
        segment(scene, warm, label_raster=folder / "warm.tif", model=model, batch_size=1)  # what is compiled, imported
        write_repeating_vrt(chip, scene, height=height, width=width)
        marks: Marks = {}

        def on_rows(done: int, total: int) -> None:
            if done in (0, total):
                mark(marks, "last row" if done else "first row")

        polygons = out / "polygons.gpkg" if options.polygons else None
        with Disk(out) as disk, Threads() as threads:
            segment(scene, polygons, model=model, batch_size=1, progress=on_rows, **rasters)
            mark(marks, "end")
        facts = facts_of(marks, (height, width), sum(path.stat().st_size for path in out.iterdir()), disk)
        seconds = marks["end"][1] - marks["first row"][1]
        return {"Mpx/s": height * width / 1e6 / seconds} | facts | threads.milliseconds(height * width / 1e6)


def mark(marks: Marks, name: str) -> None:
    """Take down the CPU time of this process, of all threads, and the wall clock."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    marks[name] = usage.ru_utime + usage.ru_stime, time.perf_counter()


def facts_of(marks: Marks, shape: tuple[int, int], written: int, disk: "Disk") -> dict[str, float]:
    """Give a row of the table."""
    (cpu_0, wall_0), (cpu_1, wall_1), (cpu_2, wall_2) = (marks[one] for one in ("first row", "last row", "end"))
    mpx = shape[0] * shape[1] / 1e6
    return {
        "CPU while rows come (ms/Mpx)": 1e3 * (cpu_1 - cpu_0) / mpx,
        "after the last": 1e3 * (cpu_2 - cpu_1) / mpx,
        "together": 1e3 * (cpu_2 - cpu_0) / mpx,
        "wall, rows (s)": wall_1 - wall_0,
        "after (s)": wall_2 - wall_1,
        "result (MB)": written / 1e6,
        "most disk (of the result)": disk.most / written,
        "before the last row": disk.most_before(wall_1) / written,
        "peak memory (MB)": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3,
    }


class Watch(ABC):
    """Looks at something again and again, in a thread of its own, while a block runs."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watch")

    def __enter__(self) -> Self:
        """Start to watch."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop."""
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._done.wait(POLL_S):
            self._look()

    @abstractmethod
    def _look(self) -> None:
        """Look once."""


class Threads(Watch):
    """Watches the CPU time of each thread of this process, by name; on Linux."""

    def __init__(self) -> None:
        """Begin with nothing."""
        super().__init__()
        self._first: dict[int, int] = {}
        self._last: dict[int, int] = {}
        self._names: dict[int, str] = {}

    def milliseconds(self, mpx: float) -> dict[str, float]:
        """Give those of each name for a megapixel; what a thread did before it was seen first is lost."""
        spent: dict[str, float] = {}
        for number, last in self._last.items():
            name = self._names.get(number, "other").split("-")[0].split("_")[0].split(" ")[0]
            spent[name] = spent.get(name, 0.0) + (last - self._first[number]) / 1e6 / mpx
        return {name: spent.get(name, 0.0) for name in THREADS}

    def _look(self) -> None:
        self._names |= {one.native_id: one.name for one in threading.enumerate() if one.native_id is not None}
        for task in Path("/proc/self/task").glob("*/schedstat"):
            try:
                spent = int(task.read_text().split()[0])
            except (OSError, IndexError):  # it has ended
                continue
            self._first.setdefault(int(task.parent.name), spent)
            self._last[int(task.parent.name)] = spent


class Disk(Watch):
    """Watches how many bytes lie in a folder."""

    def __init__(self, folder: Path) -> None:
        """Take the folder."""
        super().__init__()
        self._folder = folder
        self._seen: list[tuple[float, int]] = [(0.0, 0)]

    @property
    def most(self) -> int:
        """The most bytes."""
        return max(size for _, size in self._seen)

    def most_before(self, wall: float) -> int:
        """Give the most bytes until then."""
        return max(size for when, size in self._seen if when <= wall)

    def _look(self) -> None:
        sizes = 0
        for folder, _, names in os.walk(self._folder):
            for name in names:
                try:
                    sizes += os.lstat(os.path.join(folder, name)).st_size
                except OSError:  # renamed, or gone
                    continue
        self._seen.append((time.perf_counter(), sizes))


if __name__ == "__main__":
    main()
