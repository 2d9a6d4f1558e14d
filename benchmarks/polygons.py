"""Label raster to finished GeoPackage: seconds, memory and coverage validity of GeoDeepLab and of what else there is.

    python benchmarks/polygons.py                     # the two budgets, on land cover of 4096 × 4096 px
    python benchmarks/polygons.py --linear            # time and memory from 2048² to 16384²
    python benchmarks/polygons.py --worst             # noise, a spiral, a million holes
    python benchmarks/polygons.py --big               # land cover of 50,000 × 50,000 px
    python benchmarks/polygons.py labels.tif          # any label raster

| side | what it runs |
|---|---|
| ours | `geodeeplab vectorize --tolerance-px 1`: simplified, with attributes |
| rasterio | `polygon_peer.py`: rasterio's `shapes` → shapely → `coverage_simplify` → attributes → `to_file` |
| ours-exact | `geodeeplab vectorize`: as traced, with attributes |
| gdal | `gdal_polygonize.py`: as traced, the class id alone (Debian: gdal-bin) |

Each run is a process of its own, as a user starts it, and the sides take turns. What the same command takes for a
raster of 16 × 16 px right before, process start, imports and loaded kernels, is taken off its seconds and its peak of
resident memory, and stated. Reported are medians of the rounds; ratios are medians of the rounds' own ratios. Files
are flushed to the disk before each run, and not after it. Areas of the others are planar, ours are on the ellipsoid.
"""

import argparse
import json
import os
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any

from polygon_process import Round, failed, run_once

HERE = Path(__file__).parent
MB = 1e6
LAND = ("landcover", 4096)
LINEAR_SIZES = (2048, 4096, 8192, 16_384)
WORST = (("noise", 8192), ("spiral", 8192), ("holes", 2048))
BIG = ("landcover", 50_000)
TINY = ("landcover", 16)
Command = Callable[[Path, Path], list[str]]


def main() -> None:
    """Run the mode that was asked for."""
    options = parse_arguments()
    sides = {name: command for name, command in commands(options).items() if name in options.sides}
    with tempfile.TemporaryDirectory(prefix="geodeeplab-polygons-", dir=options.folder) as name:
        folder = Path(name)
        tiny = write_labels(folder, TINY)
        print(f"{os.cpu_count()} cores, {describe_versions()}\n", flush=True)
        report: dict[str, Any] = {}
        for raster in options.labels or options.rasters:
            labels = raster if isinstance(raster, Path) else write_labels(folder, raster)
            rounds = measure(sides, labels, tiny, folder, options)
            facts = {side: facts_of(folder / f"{side}.gpkg", options) for side in sides if not failed(rounds[side])}
            report[labels.stem] = {
                side: {"rounds": [asdict(one) for one in rounds[side]], "layer": facts.get(side)} for side in sides
            }
            if options.json:
                options.json.write_text(json.dumps(report, indent=1))
            height, width = read_shape(labels)
            title = f"{labels.stem}, {height} × {width} px"
            print(table(title, height * width / 1e6, rounds, facts), flush=True)
            if labels != raster:
                labels.unlink()


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("labels", type=Path, nargs="*", help="label rasters to measure on instead of made ones")
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument("--linear", action="store_true", help="growing land cover")
    mode.add_argument("--worst", action="store_true", help="the worst of labels")
    mode.add_argument("--big", action="store_true", help="50,000 × 50,000 px")
    parser.add_argument("--sides", nargs="+", choices=list(PAIRS), help="default: all for the budgets, else ours")
    parser.add_argument("--sizes", type=int, nargs="+", metavar="PX", help="other sizes than the mode's own")
    parser.add_argument("--repeats", type=int, help="default: 5 for the budgets, else 1")
    parser.add_argument("--tolerance-px", type=float, default=1.0)
    parser.add_argument(
        "--extra", default="", metavar="OPTIONS", help='more for ours: --extra="--smooth --simplify dp"'
    )
    parser.add_argument("--timeout", type=float, default=3600, metavar="S", help="when a run is given up")
    parser.add_argument("--no-check", action="store_true", help="do not check validity")
    parser.add_argument("--json", type=Path, metavar="FILE", help="every run")
    parser.add_argument("--folder", type=Path, help="where the work files go (default: the system's)")
    options = parser.parse_args()
    is_budget = not (options.linear or options.worst or options.big)
    options.repeats = options.repeats or (5 if is_budget else 1)
    options.sides = options.sides or (list(PAIRS) if is_budget else ["ours"])
    options.no_check = options.no_check or not is_budget
    rasters: tuple[tuple[str, int], ...] = (LAND,)
    if options.linear:
        rasters = tuple(("landcover", size) for size in LINEAR_SIZES)
    elif options.worst or options.big:
        rasters = WORST if options.worst else (BIG,)
    if options.sizes:
        kinds = dict.fromkeys(kind for kind, _ in rasters)
        rasters = tuple((kind, size) for kind in kinds for size in options.sizes)
    options.rasters = rasters
    return options


# ---------------------------------------------------------------------------------------------------------------------
# Sides

PAIRS = {"ours": "ours", "rasterio": "ours", "ours-exact": "ours-exact", "gdal": "ours-exact"}
"""The sides, and which of ours each is compared with."""


def commands(options: argparse.Namespace) -> dict[str, Command]:
    """Give the command of each side, of the label raster and the output."""
    vectorize = [sys.executable, "-m", "geodeeplab", "vectorize"]
    tolerance = ["--tolerance-px", str(options.tolerance_px)]
    peer = [sys.executable, str(HERE / "polygon_peer.py")]
    return {
        "ours": lambda labels, out: [*vectorize, str(labels), "-o", str(out), *tolerance, *options.extra.split()],
        "rasterio": lambda labels, out: [*peer, str(labels), str(out), *tolerance],
        "ours-exact": lambda labels, out: [*vectorize, str(labels), "-o", str(out)],
        "gdal": lambda labels, out: [
            *("gdal_polygonize.py", "-q", str(labels), "-f", "GPKG", str(out), "landcover", "class_id")
        ],
    }


def measure(
    sides: dict[str, Command], labels: Path, tiny: Path, folder: Path, options: argparse.Namespace
) -> dict[str, list[Round]]:
    """Let the sides take turns; a side that fails is left out of later rounds."""
    rounds: dict[str, list[Round]] = {side: [] for side in sides}
    for side, command in sides.items():  # compiles what is not compiled yet, and warms the disk's cache
        first = run_once(command(tiny, folder / "tiny.gpkg"), folder / "tiny.gpkg", options.timeout)
        print(f"{side}: first run {first.seconds:.2f} s {first.error}", file=sys.stderr, flush=True)
    for _ in range(options.repeats):
        for side, command in sides.items():
            if failed(rounds[side]):
                continue
            output = folder / f"{side}.gpkg"
            start = run_once(command(tiny, output), output, options.timeout)
            run = run_once(command(labels, output), output, options.timeout)
            rounds[side].append(Round(run=run, start=start))
            print(f"{side}: {run.seconds:.2f} s, of that start {start.seconds:.2f} s", file=sys.stderr, flush=True)
    return rounds


def write_labels(folder: Path, raster: tuple[str, int]) -> Path:
    """Write a label raster in a process of its own, and give its path."""
    kind, size = raster
    path = folder / f"{kind}-{size}.tif"
    subprocess.run([sys.executable, str(HERE / "label_rasters.py"), kind, f"{size}x{size}", str(path)], check=True)
    return path


def read_shape(labels: Path) -> tuple[int, int]:
    """Read height and width of a raster, in a process of its own."""
    script = "import rasterio, sys; print(*rasterio.open(sys.argv[1]).shape)"
    done = subprocess.run([sys.executable, "-c", script, str(labels)], check=True, stdout=subprocess.PIPE, text=True)
    height, width = done.stdout.split()
    return int(height), int(width)


def facts_of(path: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Give the number of polygons and bytes of a layer and, unless told not to, what `polygon_check.py` finds."""
    with sqlite3.connect(path) as database:
        (layer,) = database.execute("SELECT table_name FROM gpkg_contents WHERE data_type = 'features'").fetchone()
        (polygons,) = database.execute(f'SELECT count(*) FROM "{layer}"').fetchone()
    facts = {"polygons": polygons, "bytes": path.stat().st_size}
    if options.no_check:
        return facts
    command = [sys.executable, str(HERE / "polygon_check.py"), str(path), layer]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return facts | dict(json.loads(done.stdout))


def describe_versions() -> str:
    """Name the versions of what the sides are made of."""
    script = (
        "import geopandas, pyogrio, rasterio, shapely; print('rasterio', rasterio.__version__, 'with GDAL', "
        "rasterio.__gdal_version__ + ', shapely', shapely.__version__, 'with GEOS', shapely.geos_version_string + "
        "', geopandas', geopandas.__version__ + ', pyogrio', pyogrio.__version__, 'with GDAL', "
        "'.'.join(map(str, pyogrio.__gdal_version__)))"
    )
    try:
        gdal = subprocess.run(["gdalinfo", "--version"], check=True, stdout=subprocess.PIPE, text=True).stdout
    except FileNotFoundError:
        gdal = "no gdal_polygonize"
    libraries = subprocess.run([sys.executable, "-c", script], check=True, stdout=subprocess.PIPE, text=True).stdout
    return f"{libraries.strip()}; gdal_polygonize of {gdal.split(',')[0].strip()}"


# ---------------------------------------------------------------------------------------------------------------------
# Report

HEAD = (
    "| side | seconds | × ours | s/Mpx | start taken off | added MB | × ours | peak MB "
    "| polygons | coordinates | file MB | invalid | at faulty edges |\n"
    "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|"
)


def table(title: str, megapixels: float, rounds: dict[str, list[Round]], facts: dict[str, dict[str, Any]]) -> str:
    """Lay out the sides: medians, and medians of the rounds' ratios to ours."""
    lines = [f"{title}, {max(map(len, rounds.values()))} rounds", "", HEAD]
    for side, own in rounds.items():
        if failed(own):
            lines.append(f"| {side} | {failed(own)} |" + " |" * 11)
            continue
        ours, layer = rounds.get(PAIRS[side], []), facts[side]
        seconds = median(one.seconds for one in own)
        lines.append(
            f"| {side} | {seconds:.2f} | {ratio(own, ours, 'seconds')} | {seconds / megapixels:.4f} "
            f"| {median(one.start.seconds for one in own):.2f} s, {median(one.start.peak for one in own) / MB:.0f} MB "
            f"| {median(one.added for one in own) / MB:.0f} | {ratio(own, ours, 'added')} "
            f"| {median(one.run.peak for one in own) / MB:.0f} | {layer['polygons']:,} "
            f"| {number(layer.get('coordinates'))} | {layer['bytes'] / MB:.1f} | {number(layer.get('invalid'))} "
            f"| {number(layer.get('faulty'))} |"
        )
    return "\n".join(lines) + "\n"


def ratio(rounds: Sequence[Round], ours: Sequence[Round], key: str) -> str:
    """Give the median of the rounds' ratios to ours, nothing if ours did not run as often."""
    if not ours or failed(ours) or len(ours) != len(rounds):
        return ""
    pairs = zip(rounds, ours, strict=True)
    return f"{median(getattr(one, key) / getattr(own, key) for one, own in pairs):.2f}"


def number(value: int | None) -> str:
    """Write a number with its thousands apart, nothing if there is none."""
    return "" if value is None else f"{value:,}"


if __name__ == "__main__":
    main()
