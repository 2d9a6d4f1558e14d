"""`geodeeplab segment --label-raster` beside other ways to run the same model over the same scene on the same machine.

    python benchmarks/peers.py --python PEERS/bin/python --dubai ../shared/data/dubai --json out/peers.json MOSAIC.vrt

The others are terratorch's `tiled_inference`, torchgeo's `GridGeoSampler` with a DataLoader, and a plain rasterio loop
(`peers/`), all with the bundled model and the same tile size and overlap. Each of them gets the batch, the precision,
the memory layout, the threads and the workers that are fastest for it, found one after the other on the first scene;
GeoDeepLab runs at its defaults. Every run is a process of its own and the runners take turns. Reported are medians:
seconds from opening the scene to the closed label raster (the whole process beside it), the peak of resident memory
over the process after its imports and the model's loading (a DataLoader's workers included), and the seam metric, for
which every runner's lattice is shifted by half a stride: scenes without half a stride at each of their sides.

`--python` is the interpreter of an environment with terratorch and torchgeo:

    python -m venv PEERS && PEERS/bin/pip install -e . terratorch torchgeo
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray

from aerial_scenes import write_dubai_scene
from geodeeplab.evaluation import confusion_matrix, mean_iou
from peer_run import Settings
from process_memory import private_bytes_below
from seam_metric import CELL_HEADS, Lines, change_cells, compare, middles, shift_lines, write_crop

FOLDER = Path(__file__).parent / "peers"
OURS = "geodeeplab"
RUNNERS = (OURS, "terratorch", "torchgeo", "rasterio")
CHOICES: dict[str, tuple[Any, ...]] = {
    "precision": ("bf16", "fp32"),
    "channels_last": (True, False),
    "batch_size": (1, 2, 4, 8, 16),
    "workers": (0, 1, 2),
    "threads": (0, 1),
}
"""What is tried for a peer, one setting after the other; workers with torchgeo only."""
MARGIN = 192
"""Rows and columns next to the edges of the shifted scene that are not compared; the overlap is not more."""
TUNING_RUNS = 2
"""Runs of each setting that is tried; the faster one counts."""
POLL_S = 0.02
MB = 1e6


@dataclass(frozen=True, kw_only=True)
class PeerScene:
    """A scene to segment."""

    name: str
    """What the table calls it."""
    path: Path
    """Its file."""
    truth: NDArray[np.uint8] | None = None
    """(H, W) class indices from 0, 255 where unknown."""


def main() -> None:
    """Tune the peers, let all take turns, print a table a scene."""
    options = parse_arguments()
    report: dict[str, Any] = {"scenes": {}}
    with tempfile.TemporaryDirectory(prefix="geodeeplab-peers-", dir=options.folder) as name:
        folder = Path(name)
        basis = Settings(scene="", output="", tile_size=options.tile_size, overlap=options.overlap)
        settings = {runner: basis for runner in options.runners}
        if options.settings:
            saved = json.loads(options.settings.read_text())["settings"]
            settings |= {runner: replace(basis, **tuned(saved[runner])) for runner in options.runners}
        for number, scene in enumerate(iter_scenes(options, folder)):
            if number == 0 and not options.settings:
                settings = {one: tune(one, basis, scene, folder, options.python) for one in options.runners}
            found = measure(scene, settings, folder, options.python, options.repeats)
            report["settings"] = {runner: asdict(one) for runner, one in settings.items()}
            report["scenes"][scene.name] = found
            if options.json:
                options.json.parent.mkdir(parents=True, exist_ok=True)
                options.json.write_text(json.dumps(report, indent=1))
            print(table(scene, found, settings), flush=True)


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scenes", type=Path, nargs="*", help="RGB uint8 rasters")
    parser.add_argument("--dubai", type=Path, metavar="FOLDER", help="folder with Tile 6, scored against its labels")
    parser.add_argument("--python", default=sys.executable, help="interpreter that runs the others")
    parser.add_argument("--runners", nargs="+", choices=RUNNERS, default=RUNNERS)
    parser.add_argument("--tile-size", type=int, default=768)
    parser.add_argument("--overlap", type=int, default=128)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--settings", type=Path, metavar="FILE", help="a --json of before: takes its settings as tuned")
    parser.add_argument("--json", type=Path, metavar="FILE", help="every run and all settings")
    parser.add_argument("--folder", type=Path, help="where the work files go (default: the system's)")
    options = parser.parse_args()
    if not options.scenes and not options.dubai:
        parser.error("give a scene, or --dubai")
    if options.overlap > MARGIN:
        parser.error(f"--overlap is at most {MARGIN}, or the shifted scenes' edges are compared")
    return options


def iter_scenes(options: argparse.Namespace, folder: Path) -> Iterator[PeerScene]:
    """Yield the scenes that were asked for; tile 6 is put together in a folder."""
    if options.dubai:
        path, truth = write_dubai_scene(options.dubai, folder)
        yield PeerScene(name="dubai tile 6", path=path, truth=truth)
    for path in options.scenes:
        yield PeerScene(name=path.name, path=path)


# ---------------------------------------------------------------------------------------------------------------------
# Runs


def run_once(runner: str, settings: Settings, python: str) -> dict[str, Any]:
    """Run a runner in a process of its own; a failure is given as `error`, the last line that it wrote."""
    command = [sys.executable if runner == OURS else python, str(FOLDER / f"with_{runner}.py")]
    workers_peak, polls, started = 0, 0, time.perf_counter()
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        with subprocess.Popen([*command, json.dumps(asdict(settings))], stdout=out, stderr=err) as process:
            while process.poll() is None:
                if settings.workers and (polls := polls + 1) % 10 == 0:
                    workers_peak = max(workers_peak, private_bytes_below(process.pid))
                time.sleep(POLL_S)
        wall = time.perf_counter() - started
        out.seek(0)
        err.seek(0)
        lines = out.read().splitlines()
        if process.returncode:
            last = (err.read().strip().splitlines() or [f"exit status {process.returncode}"])[-1]
            return {"error": f"{last} (exit status {process.returncode})"}
    found: dict[str, Any] = json.loads(lines[-1])
    return found | {"process_s": wall, "added": found["peak"] - found["baseline"] + workers_peak}


def tune(runner: str, basis: Settings, scene: PeerScene, folder: Path, python: str) -> Settings:
    """Find a peer's fastest settings, one after the other; GeoDeepLab keeps its defaults."""
    best = replace(basis, scene=str(scene.path), output=str(folder / f"{runner}.tif"))
    if runner == OURS:
        return best
    seconds = fastest(runner, best, python)
    for name, values in CHOICES.items():
        if name == "workers" and runner != "torchgeo":
            continue
        for value in values:
            tried = replace(best, **{name: value})
            if tried != best:
                found = fastest(runner, tried, python)
                print(f"{runner} {tuned(asdict(tried))}: {found:.2f} s (best so far {seconds:.2f} s)", file=sys.stderr)
                if found < seconds:
                    best, seconds = tried, found
    return best


def fastest(runner: str, settings: Settings, python: str) -> float:
    """Give the seconds of the faster of a few runs; infinity if all failed."""
    return min(float(run_once(runner, settings, python).get("seconds", np.inf)) for _ in range(TUNING_RUNS))


def tuned(settings: dict[str, Any]) -> dict[str, Any]:
    """Pick what `tune` chose from settings."""
    return {name: settings[name] for name in CHOICES}


def measure(
    scene: PeerScene, settings: dict[str, Settings], folder: Path, python: str, repeats: int
) -> dict[str, dict[str, Any]]:
    """Let the runners take turns on a scene, then shift their lattices; give each runner's runs and seams."""
    runs: dict[str, list[dict[str, Any]]] = {runner: [] for runner in settings}
    for _ in range(repeats):
        for runner, one in settings.items():
            at = replace(one, scene=str(scene.path), output=str(folder / f"{runner}.tif"))
            runs[runner].append(run_once(runner, at, python))
    shifted_path = folder / "shifted.tif"
    found: dict[str, dict[str, Any]] = {}
    for runner, one in settings.items():
        found[runner] = {"runs": runs[runner]}
        if "error" in runs[runner][-1]:
            continue
        half = (one.tile_size - one.overlap) // 2
        write_crop(scene.path, shifted_path, top=half, left=half, bottom=half, right=half)
        at = replace(one, scene=str(shifted_path), output=str(folder / f"{runner}-shifted.tif"))
        shifted = run_once(runner, at, python)
        if "error" in shifted:
            found[runner]["shifted_error"] = shifted["error"]
        else:
            found[runner]["seams"] = compare_runs(runner, folder, runs[runner][-1], shifted, one, half)
        labels = read_labels(folder / f"{runner}.tif")
        if scene.truth is not None:
            counts = confusion_matrix(labels - 1, scene.truth, class_ids=range(5), ignore=255)
            found[runner]["miou"] = mean_iou(counts)
        if OURS in runs and "error" not in runs[OURS][-1]:
            found[runner]["same"] = float((labels == read_labels(folder / f"{OURS}.tif")).mean())
    return found


def compare_runs(
    runner: str, folder: Path, run: dict[str, Any], shifted: dict[str, Any], settings: Settings, half: int
) -> dict[str, Any]:
    """Measure the seams of a runner: its labels of the scene and of the shifted one, away from the latter's edges."""
    first, second = read_labels(folder / f"{runner}.tif"), read_labels(folder / f"{runner}-shifted.tif")
    inner = (slice(MARGIN, -MARGIN), slice(MARGIN, -MARGIN))
    outer = half + MARGIN
    return compare(
        first[outer:-outer, outer:-outer],
        second[inner],
        shift_lines(lines_of(run, settings.tile_size), -outer, -outer),
        shift_lines(lines_of(shifted, settings.tile_size), -MARGIN, -MARGIN),
    )


def lines_of(run: dict[str, Any], tile_size: int) -> Lines:
    """Give the ownership lines of a run from where its tiles lay."""
    return middles(run["row_starts"], tile_size), middles(run["col_starts"], tile_size)


def read_labels(path: Path) -> NDArray[np.uint8]:
    """Read a label raster (H, W)."""
    with rasterio.open(path) as src:
        labels: NDArray[np.uint8] = src.read(1)
    return labels


# ---------------------------------------------------------------------------------------------------------------------
# Report

HEAD = (
    f"| runner | settings | seconds | × ours | whole process | added MB | × ours "
    f"{CELL_HEADS}| mIoU | same labels |\n"
    "|---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|"
)


def table(scene: PeerScene, found: dict[str, dict[str, Any]], settings: dict[str, Settings]) -> str:
    """Lay out the runners of a scene: medians, and medians of the rounds' ratios to GeoDeepLab."""
    rounds = len(next(iter(found.values()))["runs"])
    lines = [f"{scene.name}, {rounds} rounds", "", HEAD]
    ours = found.get(OURS, {}).get("runs", [])
    for runner, one in found.items():
        runs = one["runs"]
        errors = [run["error"] for run in runs if "error" in run]
        if errors:
            lines.append(f"| {runner} | {describe(runner, settings[runner])} | {errors[-1]} |" + " |" * 10)
            continue
        seams = change_cells(one["seams"]) if "seams" in one else f"| {one['shifted_error']} | | | "
        lines.append(
            f"| {runner} | {describe(runner, settings[runner])} | {middle(runs, 'seconds'):.2f} "
            f"| {ratio(runs, ours, 'seconds')} | {middle(runs, 'process_s'):.2f} | {middle(runs, 'added') / MB:.0f} "
            f"| {ratio(runs, ours, 'added')} {seams}| {number(one.get('miou'), '.4f')} "
            f"| {number(one.get('same'), '.2%')} |"
        )
    return "\n".join(lines) + "\n"


def describe(runner: str, settings: Settings) -> str:
    """Say what a runner ran with."""
    lattice = f"tiles of {settings.tile_size}, overlap {settings.overlap}"
    if runner == OURS:
        return f"{lattice}, defaults"
    layout = ", channels-last" * settings.channels_last
    threads = f"{settings.threads or 'all'} threads" + f", {settings.workers} workers" * (runner == "torchgeo")
    return f"{lattice}, batch {settings.batch_size}, {settings.precision}{layout}, {threads}"


def middle(runs: Sequence[dict[str, Any]], key: str) -> float:
    """Give the median of a number over the rounds."""
    return float(median(run[key] for run in runs))


def ratio(runs: Sequence[dict[str, Any]], ours: Sequence[dict[str, Any]], key: str) -> str:
    """Give the median of the rounds' ratios to ours, nothing if ours did not run."""
    if any("error" in run for run in ours) or len(ours) != len(runs):
        return ""
    return f"{median(run[key] / own[key] for run, own in zip(runs, ours, strict=True)):.2f}"


def number(value: float | None, form: str) -> str:
    """Write a number, nothing if there is none."""
    return "" if value is None else format(value, form)


if __name__ == "__main__":
    main()
