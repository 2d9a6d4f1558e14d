"""Many scenes in one process: as a folder, some of them broken, and from ten threads at once.

    python benchmarks/many_scenes.py --scenes 500 --threads 10

The folder: one `geodeeplab segment FOLDER -o RESULTS/`, during which memory and open files are sampled; the slope of
either over the second half of the run tells whether it grows. All scenes but the broken ones have results, the broken
ones are reported one line each, and the exit status is 1. The threads: each segments scenes of its own with
`geodeeplab.segment` at once; labels equal those of a run by itself to the bit, and filters of warnings and GDAL's
settings are as they were. Linux only.
"""

import argparse
import gc
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pyogrio
import rasterio
from rasterio.env import get_gdal_config

import geodeeplab as gdl
from fuzzing.forked import start_single_threaded
from fuzzing.inputs import BANDS, draw, write_onnx, write_raster
from geodeeplab.pipeline.scenes.manifest import MANIFEST_NAME

BROKEN = 3
"""Scenes that are cut off."""
FLAT_BYTES = 40_000
"""Growth of memory per scene that counts as none: allocators keep what they have had."""
FLAT_FILES = 0.02
"""Growth of the number of open files per scene that counts as none."""


@dataclass(frozen=True, kw_only=True)
class Growth:
    """What a process held while it went on."""

    resident: list[int]
    """Bytes, after each scene."""
    files: list[int]
    """Open files, likewise."""

    def slopes(self) -> tuple[float, float]:
        """Give bytes and files per scene over the second half, by least squares."""
        half = len(self.resident) // 2
        values = [np.asarray(one[half:], dtype=float) for one in (self.resident, self.files)]
        steps = np.arange(len(values[0]), dtype=float)
        return float(np.polyfit(steps, values[0], 1)[0]), float(np.polyfit(steps, values[1], 1)[0])

    def check(self) -> list[str]:
        """Give what grows."""
        memory, files = self.slopes()
        told = [f"memory grows by {memory / 1e3:.0f} kB a scene"] if memory > FLAT_BYTES else []
        return told + ([f"open files grow by {files:.2f} a scene"] if files > FLAT_FILES else [])

    def __str__(self) -> str:
        memory, files = self.slopes()
        return (
            f"{self.resident[-1] / 1e6:.0f} MB and {self.files[-1]} files at the end; second half: "
            f"{memory / 1e3:+.1f} kB and {files:+.3f} files a scene"
        )


def main() -> None:
    """Run both, print what was found."""
    options = parse_arguments()
    start_single_threaded()
    with tempfile.TemporaryDirectory(prefix="geodeeplab-scenes-", dir=options.folder) as name:
        failures = try_folder(Path(name) / "folder", options.scenes) if options.scenes else []
        if options.threads:
            failures += try_threads(Path(name) / "threads", options.threads, options.rounds)
    for failure in failures:
        print(f"FAILED: {failure}")
    sys.exit(bool(failures))


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=int, default=500)
    parser.add_argument("--threads", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=50, help="scenes of each thread; allocators have enough after 20")
    parser.add_argument("--folder", type=Path, help="where the work files go (default: the system's)")
    return parser.parse_args()


def try_folder(folder: Path, count: int) -> list[str]:
    """Segment a folder of scenes with the command line; give what failed."""
    scenes, results = folder / "scenes", folder / "results"
    scenes.mkdir(parents=True)
    write_onnx(folder)
    for number in range(count):
        write_raster(scenes / f"s{number:04d}.tif", draw(number), photometric="rgb", compress="deflate")
    broken = [scenes / f"s{int(number):04d}.tif" for number in np.linspace(0, count - 1, BROKEN + 2)[1:-1]]
    for path, keep in zip(broken, (0.5, 0.1, 0.0), strict=True):
        content = path.read_bytes()
        path.write_bytes(content[: int(keep * len(content))])
    outputs = ("-o", f"{results}/", "--label-raster", f"{folder / 'labels'}/")
    started = time.monotonic()
    status, err, growth = run_sampled(["segment", scenes, *outputs, *network_of(folder)], results)
    seconds = time.monotonic() - started
    print(f"{count} scenes as a folder: {seconds:.0f} s, exit status {status}; {growth}")
    told = [line for line in err if line.startswith("error: ")]
    failures = growth.check()
    failures += [] if status == 1 else [f"exit status {status}"]
    failures += [] if len(told) == BROKEN + 1 else [f"{len(told)} lines of errors: {told}"]
    failures += [f"{path.name} is not reported" for path in broken if not any(str(path) in line for line in told)]
    names = sorted(path.name for path in results.iterdir() if path.name != MANIFEST_NAME)
    wanted = sorted(f"{path.stem}.gpkg" for path in scenes.iterdir() if path not in broken)
    return failures + ([] if names == wanted else [f"{len(names)} results, not {len(wanted)}"])


def network_of(folder: Path) -> list[object]:
    """Give the options of the small network."""
    network = ["--model", folder / "pixel.onnx", "--contract", folder / "pixel.json"]
    return [*network, "--device", "cpu", "--threads", 1]


def run_sampled(argv: Sequence[object], results: Path) -> tuple[int, list[str], Growth]:
    """Run the command line in this process; give its status, its lines on stderr, and what it held at each result."""
    import click

    from geodeeplab.cli import main as geodeeplab

    err: list[str] = []
    growth = Growth(resident=[], files=[])
    echo = click.echo

    def listen(message: Any = None, *args: Any, **options: Any) -> None:  # noqa: ANN401 - as Click has it
        if options.get("err"):
            err.append(str(message))
        else:
            sample(growth)  # a line for each scene

    sys.argv = ["geodeeplab", *map(str, argv)]
    click.echo = listen
    status = 0
    try:
        geodeeplab()
    except SystemExit as leaving:
        status = leaving.code if isinstance(leaving.code, int) else 1
    finally:
        click.echo = echo
    return status, err, growth


def sample(growth: Growth) -> None:
    """Note what this process holds."""
    process = psutil.Process()
    growth.resident.append(process.memory_info().rss)
    growth.files.append(process.num_fds())


def try_threads(folder: Path, threads: int, rounds: int) -> list[str]:
    """Segment scenes from several threads at once; give what failed."""
    folder.mkdir(parents=True)
    write_onnx(folder)
    for number in range(threads):
        image = draw(1000 + number)[:, : 60 + number]
        write_raster(folder / f"t{number}.tif", image, names=BANDS, compress="deflate")
    alone = [segment_one(folder, number, "alone") for number in range(threads)]
    before = settings()
    growth, lock, failures = Growth(resident=[], files=[]), threading.Lock(), list[str]()

    def work(number: int) -> None:
        for turn in range(rounds):
            labels = segment_one(folder, number, f"at-once-{turn}")
            with lock:
                sample(growth)
                if not np.array_equal(labels, alone[number]):
                    failures.append(f"thread {number} has other labels in turn {turn}")

    started = time.monotonic()
    with ThreadPoolExecutor(threads) as pool:
        futures: list[Any] = [pool.submit(work, number) for number in range(threads)]
        failures += [f"{future.exception()!r}" for future in futures if future.exception() is not None]
    seconds = time.monotonic() - started
    gc.collect()
    print(f"{threads} threads, {rounds} scenes each: {seconds:.0f} s; {growth}")
    after = settings()
    failures += [f"{name} {difference(before[name], after[name])}" for name in before if before[name] != after[name]]
    return failures + growth.check()


def segment_one(folder: Path, number: int, name: str) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Segment a scene and read its labels."""
    label_path = folder / f"{name}-{number}.tif"
    gdl.segment(
        folder / f"t{number}.tif",
        folder / f"{name}-{number}.gpkg",
        label_raster=label_path,
        model=folder / "pixel.onnx",
        contract=folder / "pixel.json",
        device="cpu",
        threads=1,
    )
    with rasterio.open(label_path) as src:
        labels: np.ndarray[Any, np.dtype[np.uint8]] = src.read(1)
    return labels


GDAL_NAMES = (
    *("GDAL_CACHEMAX", "GDAL_NUM_THREADS", "GDAL_TIFF_INTERNAL_MASK", "GDAL_DISABLE_READDIR_ON_OPEN", "CPL_DEBUG"),
    *("OGR_CURRENT_DATE", "OGR_GEOJSON_MAX_OBJ_SIZE", "SQLITE_USE_OGR_VFS", "OGR_SQLITE_SYNCHRONOUS", "VSI_CACHE"),
)
"""Settings of GDAL that runs set for a while."""


def difference(before: object, after: object) -> str:
    """Say how a setting has changed."""
    if not isinstance(before, list) or not isinstance(after, list):
        return f"was {before}, is {after}"
    new, gone = ([str(one) for one in a if one not in b] for a, b in ((after, before), (before, after)))
    return f"has {', '.join(new) or 'nothing'} more and {', '.join(gone) or 'nothing'} less, or another order"


def settings() -> dict[str, object]:
    """Give what a run may change for all of the process, and has to put back."""
    own = {f"rasterio's {name}": get_gdal_config(name) for name in GDAL_NAMES}
    other = {f"pyogrio's {name}": pyogrio.get_gdal_config_option(name) for name in GDAL_NAMES}
    return {"warnings.filters": list(warnings.filters), "showwarning": warnings.showwarning, **own, **other}


if __name__ == "__main__":
    main()
