"""Machine code is kept, and not used when any kernel has changed."""

import subprocess
import sys
from pathlib import Path

import geodeeplab

PROGRAM = """
import numpy as np
from geodeeplab.vector.trace.kernels_trace import count_block
totals = np.zeros(4, np.int64)
count_block(np.ones((2, 2), np.int32), 0, totals)
print(sum(count_block.stats.cache_hits.values()), sum(count_block.stats.cache_misses.values()))
"""


def run(folder: Path, cache: Path) -> list[int]:
    environment = {"PYTHONPATH": str(folder), "NUMBA_CACHE_DIR": str(cache), "PATH": ""}
    command = [sys.executable, "-c", PROGRAM]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=True)
    return [int(word) for word in done.stdout.split()]


def test_a_change_of_another_kernel_counts(tmp_path: Path) -> None:
    package = tmp_path / "geodeeplab"
    source = Path(geodeeplab.__file__).parent
    for module in ("__init__", "compiled", "errors", "vector/kernels_trace", "vector/kernels_forest"):
        path = package / f"{module}.py"
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_bytes((source / f"{module}.py").read_bytes())
    (package / "vector" / "__init__.py").write_text("")
    assert run(tmp_path, tmp_path / "cache") == [0, 1]
    assert run(tmp_path, tmp_path / "cache") == [1, 0]
    other = package / "vector" / "kernels_forest.py"
    other.write_text(other.read_text() + "\n# changed\n")
    assert run(tmp_path, tmp_path / "cache") == [0, 1]


def test_two_processes_at_once(tmp_path: Path) -> None:
    command = [sys.executable, "-c", PROGRAM]
    environment = {
        "NUMBA_CACHE_DIR": str(tmp_path),
        "PATH": "",
        "PYTHONPATH": str(Path(geodeeplab.__file__).parents[1]),
    }
    both = [subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    assert [process.communicate()[0].split()[0] for process in both] in (["0", "0"], ["0", "1"], ["1", "0"])
    assert [process.returncode for process in both] == [0, 0]
