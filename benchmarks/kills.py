"""Kill `segment` at random moments and fill its disk, then go on with `--resume`: the outputs of an unbroken run.

    python benchmarks/kills.py --kills 30 --disks 10

Each run writes labels, confidence and polygons. A kill is one of the signals 9, 15 and 2 at a random moment; now and
then the resumed run is killed, too. A full disk is a file system of a random size in memory (as root; else a limit on
the size of files), which is enlarged before the run is resumed. Checked: nothing under a final name before the end, or
all; what a polite end says; after `--resume` the same pixels and polygons to the bit, and no other file. Linux only.
"""

import argparse
import json
import resource
import signal
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyogrio
import rasterio

from fuzzing.forked import Ended, run_forked, start_single_threaded, warm_up
from fuzzing.inputs import write_onnx, write_raster

SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
FINALS = ("a.gpkg", "a.tif", "a.tif.aux.xml", "c.tif")
WORK = ".a.gpkg.geodeeplab-work"
BLOCK = 4096
FIRST_S = 0.1
"""Before that a process is on its way to `main`."""

Pixels = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What all runs share."""

    folder: Path
    """Work files."""
    seconds: float
    """How long an unbroken run takes."""
    pixels: Pixels
    """What it gives."""
    bytes_needed: int
    """What its outputs need, a little less: a disk of so many bytes is too small for sure."""


def main() -> None:
    """Break runs and print a table."""
    options = parse_arguments()
    start_single_threaded()
    rng = np.random.default_rng(options.seed)
    failures: list[str] = []
    with tempfile.TemporaryDirectory(prefix="geodeeplab-kills-", dir=options.folder) as name:
        warm_up(Path(name))
        setting = prepare(Path(name))
        print(f"an unbroken run takes {setting.seconds:.2f} s\n\n| broken by | at | ended with | kept | resumed |")
        print("|---|---|---|---|---|")
        for number in range(options.kills):
            failures += report(lambda n=number: kill(setting, n, rng))
        for number in range(options.disks):
            failures += report(lambda n=number: fill(setting, n, rng))
    print(f"\n{options.kills} kills, {options.disks} full disks: {len(failures)} failures")
    for failure in failures:
        print(failure)
    sys.exit(bool(failures))


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--disks", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, help="where the work files go (default: the system's)")
    return parser.parse_args()


def report(break_run: Any) -> list[str]:  # noqa: ANN401 - a function that gives a row
    """Print the row of a broken run; give what failed."""
    try:
        print(f"| {' | '.join(break_run())} |", flush=True)
    except AssertionError as error:
        print(f"| FAILED: {error} |", flush=True)
        return [str(error)]
    return []


def prepare(folder: Path, *, shape: tuple[int, int] = (1024, 640)) -> Setting:
    """Write the scene and the network, and run without a break."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(30, 220, (3, -(-shape[0] // 24), -(-shape[1] // 24)))
    image = coarse.repeat(24, axis=1).repeat(24, axis=2)[:, : shape[0], : shape[1]] + rng.integers(-4, 5, (3, *shape))
    write_raster(folder / "scene.tif", image.astype(np.uint8), photometric="rgb", compress="deflate")
    write_onnx(folder)
    whole = folder / "whole"
    whole.mkdir()
    runs = [run(folder, whole, "--overwrite") for _ in range(2)]
    assert all(one.status == 0 for one in runs), runs[0].err
    check_names(whole)
    size = sum(path.stat().st_size for path in whole.iterdir())
    seconds = min(one.seconds for one in runs)
    return Setting(folder=folder, seconds=seconds, pixels=read_outputs(whole), bytes_needed=int(0.95 * size))


def run(folder: Path, out: Path, *options: object, **how: Any) -> Ended:  # noqa: ANN401 - as `run_forked` takes it
    """Segment the scene into a folder; how is as `run_forked` takes it."""
    outputs = ("-o", out / "a.gpkg", "--label-raster", out / "a.tif", "--confidence", out / "c.tif")
    network = ("--model", folder / "pixel.onnx", "--contract", folder / "pixel.json", "--device", "cpu")
    sizes = ("--tile-size", 64, "--overlap", 16, "--batch-size", 4)
    return run_forked(["segment", folder / "scene.tif", *outputs, *network, *sizes, *options], folder, **how)


def kill(setting: Setting, number: int, rng: np.random.Generator) -> list[str]:
    """Kill a run at a random moment, and perhaps the resumed one; give the row of the table."""
    out = setting.folder / f"killed-{number}"
    out.mkdir()
    how = SIGNALS[number % 3]
    moment = float(rng.uniform(FIRST_S, setting.seconds))
    ended = run(setting.folder, out, after_s=moment, signal_number=how)
    told = [f"signal {int(how)}", f"{moment:.2f} s", check_broken(out, ended, how, is_fresh=True)]
    again = rng.random() < 0.3 and ended.status != 0
    if again:
        moment = float(rng.uniform(0, setting.seconds))
        ended = run(setting.folder, out, "--resume", after_s=moment, signal_number=how)
        told[1] += f", again {moment:.2f} s"
        told[2] += f", {check_broken(out, ended, how, is_fresh=False)}"
    return [*told, *resume(setting, out, ended)]


def check_broken(out: Path, ended: Ended, how: int, *, is_fresh: bool) -> str:
    """Check what a killed run left and said; give how it ended."""
    if ended.status == 0:
        check_names(out)
        return "done"
    finals = [path.name for path in out.iterdir() if not path.name.startswith(".")]
    is_killed = ended.status == -how
    is_late = sorted(finals) == list(FINALS)  # a signal after the last output had its name, before the work was gone
    assert is_killed or is_late or not finals, f"{finals} after {ended.err}"
    if not is_killed:
        lines = [line for line in ended.err.splitlines() if line and not line.startswith("warning: ")]
        assert ended.status == 1, f"exit status {ended.status}: {ended.err}"
        assert len(lines) == 1, f"not one line: {ended.err}"
        assert lines[0].startswith("error: "), lines[0]
        left = sorted(path.name for path in out.iterdir() if path.name not in finals)
        is_kept = "pass --resume" in lines[0]
        may_stay = is_kept or not is_fresh  # an end before the work was opened leaves it to the next run
        assert left in ([], [WORK])[is_kept : 1 + may_stay], f"left: {left} after {lines[0]}"
    return f"status {ended.status}"


def resume(setting: Setting, out: Path, ended: Ended) -> list[str]:
    """Go on, and check that all is as in the unbroken run; give what was kept and how it went."""
    share = "–"
    if ended.status != 0:
        kept = run(setting.folder, out, "--resume", "--json")
        assert kept.status == 0, f"--resume: {kept.status} {kept.err}"
        share = f"{json.loads(kept.out)['resumed_share']:.0%}" if kept.out.startswith("{") else "all"
    check_names(out)
    for name, content in read_outputs(out).items():
        assert content == setting.pixels[name], f"{name} differs from that of the unbroken run"
    return [share, "identical"]


def check_names(out: Path) -> None:
    """Check that a folder holds the outputs and nothing else."""
    names = sorted(path.name for path in out.iterdir())
    assert names == list(FINALS), f"files {names}"


def read_outputs(out: Path) -> Pixels:
    """Read both rasters, and the geometries and attributes of the polygons."""
    found: Pixels = {}
    for name in ("a.tif", "c.tif"):
        with rasterio.open(out / name) as src:
            found[name] = src.read(1).tobytes(), src.tags().get("GEODEEPLAB_CLASSES")
    _, _, geometries, fields = pyogrio.raw.read(out / "a.gpkg", layer="landcover")
    found["a.gpkg"] = [bytes(one) for one in geometries], [field.tolist() for field in fields]
    return found


def fill(setting: Setting, number: int, rng: np.random.Generator) -> list[str]:
    """Let the disk of a run be too small; give the row of the table."""
    room = int(rng.uniform(16 << 10, setting.bytes_needed)) // BLOCK * BLOCK
    with small_disk(setting.folder / f"disk-{number}", room) as disk:
        limit = None if disk.is_mounted else lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))
        if limit is not None:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        ended = run(setting.folder, disk.folder, prepare=limit)
        assert ended.status in (0, 1), f"disk of {room} bytes: {ended.status} {ended.err}"
        outcome = check_broken(disk.folder, ended, 0, is_fresh=True)
        if ended.status == 1:
            assert "space" in ended.err or not disk.is_mounted, f"the reason is not named: {ended.err}"
        disk.enlarge()
        kind = "disk" if disk.is_mounted else "limit"
        return [f"{kind} of {room // 1024} KiB", "–", outcome, *resume(setting, disk.folder, ended)]


@dataclass(frozen=True, kw_only=True)
class Disk:
    """A place with little room."""

    folder: Path
    """Where it is."""
    is_mounted: bool
    """Whether it is a file system of its own."""

    def enlarge(self) -> None:
        """Make room."""
        if self.is_mounted:
            subprocess.run(["mount", "-o", "remount,size=1g", str(self.folder)], check=True)


@contextmanager
def small_disk(folder: Path, room: int) -> Iterator[Disk]:
    """Lend a file system of some bytes; without the right to mount one, a folder."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={room}", "tmpfs", str(folder)]
    is_mounted = subprocess.run(command, check=False, capture_output=True).returncode == 0
    try:
        yield Disk(folder=folder, is_mounted=is_mounted)
    finally:
        if is_mounted:
            subprocess.run(["umount", str(folder)], check=True)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main()
