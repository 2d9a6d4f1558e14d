"""CPU seconds a megapixel of `segment` beside the network: while rows come, and after the last tile.

A scene of `--size` is a VRT that repeats a valid part of an image; a tiny network stands in for a model. Each run has a
process of its own. With `--trees` the same is run with the package of each of those working trees in turn, say of this
commit and of an earlier one, so that both see the same machine.

    python benchmarks/host_work.py sample_data/scene.tif --size 8000x8000 --rounds 3 --trees . ../before

"While rows come" has the reading, the tiles, the stub network, the blending and the spool; with --confidence and
--probabilities, those rasters, too. Linux and macOS.
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
from pathlib import Path
from typing import Any

from memory import parse_size, tiny_model, write_chip, write_repeating_vrt

POLL_S = 0.02


def main() -> None:
    """Run each tree in turn, and print a table of medians."""
    options = parse_arguments()
    if options.child:
        print(json.dumps(measure(options)))
        return
    runs: dict[Path, list[dict[str, float]]] = {tree: [] for tree in options.trees}
    for _ in range(options.rounds):
        for tree in options.trees:
            command = [sys.executable, __file__, *sys.argv[1:], "--child"]
            done = subprocess.run(
                command,
                check=True,
                stdout=subprocess.PIPE,
                text=True,
                env=os.environ | {"PYTHONPATH": str(tree.resolve())},
            )
            runs[tree].append(json.loads(done.stdout.splitlines()[-1]))
    names = list(next(iter(runs.values()))[0])
    print(f"| tree | {' | '.join(names)} |\n|---|{'--:|' * len(names)}")
    for tree, results in runs.items():
        medians = [statistics.median(one[name] for one in results) for name in names]
        print(f"| {tree.resolve().name} | {' | '.join(f'{value:.3g}' for value in medians)} |")


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    here = Path(__file__).parents[1]
    parser.add_argument("image", type=Path, nargs="?", default=here / "sample_data" / "scene.tif")
    parser.add_argument("--size", type=parse_size, default=(8000, 8000), help="HEIGHTxWIDTH")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--classes", type=int, default=10)
    parser.add_argument("--trees", type=Path, nargs="+", default=[here], help="working trees whose package is run")
    parser.add_argument("--confidence", action="store_true", help="write the confidence raster, too")
    parser.add_argument("--probabilities", action="store_true", help="write the probabilities, too")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


def measure(options: argparse.Namespace) -> dict[str, float]:
    """Segment the scene once, in this process."""
    from geodeeplab.cli.process import keep_freed_memory
    from geodeeplab.pipeline.segment import segment

    keep_freed_memory()  # as the command line does
    height, width = options.size
    with tempfile.TemporaryDirectory(prefix="geodeeplab-host-") as name:
        folder = Path(name)
        chip, scene, out = folder / "chip.tif", folder / "scene.vrt", folder / "out"
        write_chip(options.image, chip)
        out.mkdir()
        rasters: dict[str, Any] = {"label_raster": out / "labels.tif"}
        rasters |= {"confidence": out / "confidence.tif"} if options.confidence else {}
        rasters |= {"probabilities": out / "probabilities.tif"} if options.probabilities else {}
        model = tiny_model(options.classes)
        write_repeating_vrt(chip, scene, height=512, width=512)
        segment(scene, label_raster=folder / "warm.tif", model=model, batch_size=1)  # what is compiled and imported
        write_repeating_vrt(chip, scene, height=height, width=width)
        marks: dict[str, tuple[float, float]] = {}

        def mark(name: str) -> None:
            marks[name] = cpu_seconds(), time.perf_counter()

        def on_rows(done: int, total: int) -> None:
            if not done:
                mark("begin")
            if done == total:
                mark("last row")

        with Disk(out) as disk:
            segment(scene, model=model, batch_size=1, progress=on_rows, **rasters)
            mark("end")
        written = sum(path.stat().st_size for path in out.iterdir())
    mpx = height * width / 1e6
    (cpu_0, wall_0), (cpu_1, wall_1), (cpu_2, wall_2) = (marks[one] for one in ("begin", "last row", "end"))
    return {
        "CPU while rows come (ms/Mpx)": 1e3 * (cpu_1 - cpu_0) / mpx,
        "after the last (ms/Mpx)": 1e3 * (cpu_2 - cpu_1) / mpx,
        "together (ms/Mpx)": 1e3 * (cpu_2 - cpu_0) / mpx,
        "wall, rows (s)": wall_1 - wall_0,
        "wall, after (s)": wall_2 - wall_1,
        "result (MB)": written / 1e6,
        "most disk (of the result)": disk.most / written,
        "peak memory (MB)": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3,
    }


def cpu_seconds() -> float:
    """Give the CPU time of this process, of all threads."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


class Disk:
    """Watches how many bytes lie in a folder."""

    def __init__(self, folder: Path) -> None:
        """Take the folder."""
        self.most = 0
        self._folder, self._done = folder, threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> "Disk":
        """Start to watch."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop."""
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._done.wait(POLL_S):
            sizes = 0
            for folder, _, names in os.walk(self._folder):
                for name in names:
                    try:
                        sizes += os.lstat(os.path.join(folder, name)).st_size
                    except OSError:  # renamed, or gone
                        continue
            self.most = max(self.most, sizes)


if __name__ == "__main__":
    main()
