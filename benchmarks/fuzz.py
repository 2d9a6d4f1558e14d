"""Mutate inputs of every kind, run the command line on them, and count how it ends; see `fuzzing`.

    python benchmarks/fuzz.py --count 2000 --json fuzz.json
    python benchmarks/fuzz.py --only 1234 --keep case/

A case is decided by the seed and its number. It ends with a result or with a refusal in one line; anything else makes
the exit status 1: a traceback, more than 20 s of computing, a crash, more than 2 GB, a file that is left, changed or
gone, pixels that nothing has touched with other labels. Linux only.
"""

import argparse
import json
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from fuzzing.cases import GOOD, OUTCOMES, Bench, Outcome, order_of_kinds
from fuzzing.inputs import make_inputs


def main() -> None:
    """Run cases, print a table and what went wrong."""
    options = parse_arguments()
    numbers = options.only or range(options.start, options.start + options.count)
    if options.kind:
        turns = order_of_kinds(options.seed)
        numbers = [number for number in numbers if options.kind in turns[number % len(turns)].name]
    with tempfile.TemporaryDirectory(prefix="geodeeplab-fuzz-", dir=options.folder) as name:
        outcomes = run_cases(Path(name), numbers, seed=options.seed, jobs=options.jobs, path=options.json)
        if options.keep and options.only:
            shutil.copytree(Path(name) / "bench-0" / "slot", options.keep, symlinks=True, dirs_exist_ok=True)
    print(table(outcomes))
    sys.exit(any(one.outcome not in GOOD for one in outcomes))


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=2000, help="cases")
    parser.add_argument("--start", type=int, default=0, help="number of the first one")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kind", help="of these cases, those whose input has this in its name, such as TIFF")
    parser.add_argument("--only", type=int, nargs="+", metavar="N", help="these cases alone")
    parser.add_argument("--keep", type=Path, help="with --only: folder to copy the last case to, as the run left it")
    parser.add_argument("--jobs", type=int, default=1, help="worker processes")
    parser.add_argument("--json", type=Path, help="file for the outcomes of all cases")
    parser.add_argument("--folder", type=Path, help="where the work files go (default: the system's)")
    return parser.parse_args()


def run_cases(
    folder: Path, numbers: Iterable[int], *, seed: int, jobs: int = 1, path: Path | None = None
) -> list[Outcome]:
    """Run cases; tell of those that end badly as they do, and write all outcomes now and then."""
    make_inputs(folder / "inputs")
    started, done = time.monotonic(), list[Outcome]()
    todo = list(numbers)
    shares = [todo[job::jobs] for job in range(jobs)]

    def work(job: int) -> None:
        bench = Bench(folder / "inputs", folder / f"bench-{job}", seed=seed)
        try:
            for number in shares[job]:
                outcome = bench.run(number)
                done.append(outcome)
                if outcome.outcome not in GOOD or len(todo) < 20:
                    print(line_of(outcome), flush=True)
                if len(done) % 50 == 0:
                    seconds = time.monotonic() - started
                    print(f"… {len(done)} of {len(todo)} cases in {seconds:.0f} s", file=sys.stderr, flush=True)
                    write(path, done)
        finally:
            bench.close()

    with ThreadPoolExecutor(jobs) as pool:
        for future in [pool.submit(work, job) for job in range(jobs)]:
            future.result()
    outcomes = sorted(done, key=lambda one: one.number)
    write(path, outcomes)
    return outcomes


def write(path: Path | None, outcomes: Sequence[Outcome]) -> None:
    """Write outcomes as JSON."""
    if path is not None:
        path.write_text(json.dumps([one.to_mapping() for one in outcomes], indent=1))


def line_of(one: Outcome) -> str:
    """Tell of a case in one line."""
    return f"{one.number} {one.outcome.upper()} [{one.kind}] {one.command} | {one.mutation} | {one.detail}"


def table(outcomes: Sequence[Outcome]) -> str:
    """Lay out how many cases of each kind ended in which way, as Markdown."""
    counts = Counter((one.kind, one.outcome) for one in outcomes)
    checked = Counter(one.kind for one in outcomes if one.verdict == "checked")
    kinds = sorted({one.kind for one in outcomes})
    head = ["input", "cases", *OUTCOMES, "results checked"]
    rows: list[list[Any]] = [
        [kind, sum(counts[kind, one] for one in OUTCOMES), *(counts[kind, one] for one in OUTCOMES), checked[kind]]
        for kind in kinds
    ]
    totals = [sum(row[i] for row in rows) for i in range(1, len(head))]
    lines: list[list[Any]] = [head, ["---", *["--:"] * (len(head) - 1)], *rows, ["all", *totals]]
    slowest = max(outcomes, key=lambda one: one.seconds)
    largest = max(outcomes, key=lambda one: one.peak_bytes)
    foot = (
        f"slowest {slowest.seconds:.1f} s (case {slowest.number}), "
        f"largest {largest.peak_bytes / 1e9:.2f} GB (case {largest.number})"
    )
    return "\n".join([*("| " + " | ".join(map(str, line)) + " |" for line in lines), foot])


if __name__ == "__main__":
    main()
