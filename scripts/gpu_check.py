"""Verify and measure a GPU in one run of at most nine minutes, in order of worth; each part is cut off by itself.

    python scripts/gpu_check.py [--device cuda] [--out gpu-check.json] [--parts right waits ...]
    python scripts/gpu_check.py --device cpu --quick

Every part runs in a process of its own, so that one that hangs, runs out of memory or breaks the device leaves the
others alone; what it had found by then is kept. A part whose extra is not installed is left out. Prints one table, and
writes JSON after every part. With --quick on a CPU it is a rehearsal of the script itself: networks and scenes are
small, what only a GPU has is left out, and speeds mean nothing. Exits with status 1 if a part failed, was cut off, or
found that something does not hold. Needs nothing but what the package needs, in the root of the project.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PARTS = {
    "environment": ("right", 30),
    "right": ("right", 80),
    "waits": ("right", 40),
    "slots": ("right", 60),
    "speed": ("fast", 90),
    "stages": ("whole", 70),
    "training": ("whole", 100),
    "busy": ("fast", 40),
    "memory": ("fast", 50),
    "compiled": ("fast", 90),
    "dask": ("whole", 60),
    "onnx": ("whole", 60),
    "own_tests": ("whole", 90),
}
"""Each part's module and the most seconds that it may take, in order of worth."""
FOR_A_GPU = ("waits", "busy", "memory", "own_tests")
"""Parts that a CPU has nothing to say about."""
LEAST_S = 15.0
"""Seconds below which no part is begun."""
LEFT_OUT = 77
"""Exit status of a part whose extra is not installed."""


@dataclass(kw_only=True)
class Outcome:
    """What became of a part."""

    part: str
    """Its name."""
    status: str
    """`done`, `left out`, `failed` or `cut off`."""
    seconds: float = 0.0
    """How long it took."""
    why: str = ""
    """Why it did not end well."""
    records: list[dict[str, Any]] = field(default_factory=list)
    """What it found."""

    @property
    def is_well(self) -> bool:
        """True if it ended, or was left out, and all that must hold does."""
        return self.status in ("done", "left out") and all(one["holds"] is not False for one in self.records)


def main(argv: list[str] | None = None) -> int:
    """Run all parts, or one of them in this process; give the exit status."""
    options = parse_arguments(argv)
    if options.run is not None:
        return run_here(options.run, options)
    ends = time.monotonic() + options.limit
    outcomes: list[Outcome] = []
    with tempfile.TemporaryDirectory(prefix="geodeeplab-gpu-check-", ignore_cleanup_errors=True) as folder:
        for part in options.parts:
            outcomes.append(run_apart(part, Path(folder), ends - time.monotonic(), options))
            print(f"{part}: {outcomes[-1].status}, {outcomes[-1].seconds:.0f} s", file=sys.stderr, flush=True)
            facts = {"device": options.device, "quick": options.quick, "parts": [asdict(one) for one in outcomes]}
            options.out.write_text(json.dumps(facts, indent=1), encoding="utf-8")
    print("\n".join(table(outcomes)))
    return 0 if all(one.is_well for one in outcomes) else 1


def parse_arguments(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda", help="a torch device")
    parser.add_argument("--quick", action="store_true", help="rehearse: small networks and scenes")
    parser.add_argument("--out", type=Path, default=Path("gpu-check.json"), help="JSON to write")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS), metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--limit", type=float, default=530.0, help="seconds for all parts together")
    parser.add_argument("--slack", type=float, default=1.0, help="factor on each part's limit, for a machine in use")
    parser.add_argument("--run", choices=PARTS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args(argv)


def run_apart(part: str, folder: Path, left_s: float, options: argparse.Namespace) -> Outcome:
    """Run a part in a process of its own, and end that, and all that it has started, when its time is over."""
    if left_s < LEAST_S:
        return Outcome(part=part, status="cut off", why="no time was left")
    if part in FOR_A_GPU and not options.device.startswith("cuda"):
        return Outcome(part=part, status="left out", why="for a GPU")
    limit = min(options.slack * PARTS[part][1], left_s)
    command = [sys.executable, __file__, "--run", part, "--device", options.device, "--folder", str(folder)]
    command += ["--quick"] if options.quick else []
    paths = [str(ROOT), os.environ.get("PYTHONPATH", "")]  # for workers and tests, too: nothing has to be installed
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in paths if path)}
    started = time.monotonic()
    log = folder / f"{part}.log"
    with open(log, "wb") as file:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=environment,
            stdout=file,
            stderr=file,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            status, why = {0: ("done", ""), LEFT_OUT: ("left out", "")}.get(process.wait(limit), ("failed", ""))
        except subprocess.TimeoutExpired:
            status, why = "cut off", f"after {limit:.0f} s"
        finally:
            end(process)
    if status in ("failed", "left out"):
        why = last_line(log)
    found = folder / f"{part}.jsonl"
    records = [json.loads(line) for line in found.read_text(encoding="utf-8").splitlines()] if found.exists() else []
    return Outcome(part=part, status=status, seconds=round(time.monotonic() - started, 1), why=why, records=records)


def run_here(part: str, options: argparse.Namespace) -> int:
    """Run a part in this process; `LEFT_OUT` where a package is missing."""
    from importlib import import_module

    from geodeeplab.errors import OptionError
    from gpu_parts.bench import Bench

    bench = Bench(device=options.device, is_quick=options.quick, folder=options.folder, part=part)
    try:
        getattr(import_module(f"gpu_parts.{PARTS[part][0]}"), part)(bench)
    except (ImportError, OptionError) as error:
        if isinstance(error, ImportError) or "pip install" in str(error):
            print(error, file=sys.stderr)
            return LEFT_OUT
        raise
    return 0


def end(process: subprocess.Popen[bytes]) -> None:
    """End a process and those that it has started."""
    with suppress(ProcessLookupError, PermissionError):
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
    process.wait()


def last_line(log: Path) -> str:
    """Give the last line that a part has printed."""
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return lines[-1][:300] if lines else "nothing was printed"


def table(outcomes: list[Outcome]) -> list[str]:
    """Give the lines of one table of all that was found."""
    lines = ["| part | what | found |", "|---|---|---|"]
    for one in outcomes:
        why = f": {one.why}" if one.why else ""
        lines.append(f"| **{one.part}** | {one.status} | {one.seconds:.0f} s{why} |")
        for record in one.records:
            verdict = {True: "holds", False: "**DOES NOT HOLD**", None: ""}[record["holds"]]
            facts = [f"{name.replace('_', ' ')} {value}" for name, value in record["facts"].items()]
            lines.append(f"| | {record['what']} | {'; '.join(filter(None, [verdict, *facts]))} |")
    return lines


if __name__ == "__main__":
    sys.exit(main())
