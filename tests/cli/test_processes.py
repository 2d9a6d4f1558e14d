"""Commands in processes of their own: signals, start-up."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

PATIENCE_S = 300


@pytest.fixture
def heard() -> Iterator[Callable[[signal.Signals], None]]:
    """Give a function that sees to it that processes started from now on do not ignore a signal."""
    before = {}

    def hear(number: signal.Signals) -> None:
        before[number] = signal.signal(number, signal.default_int_handler)

    yield hear
    for number, handler in before.items():
        signal.signal(number, handler)


# Both raise the same handler, which the quick tests know by itself, as they do a process that is killed.
@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="Windows sends no signals to a process")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_run_with_one_line_and_keeps_the_work(
    make_raster: Callable[..., Path],
    blocks: Callable[..., np.ndarray],
    tiny_model: Path,
    tmp_path: Path,
    heard: Callable[[signal.Signals], None],
    number: signal.Signals,
) -> None:
    heard(number)  # a shell's background jobs hand an ignored SIGINT on
    scene = make_raster(blocks(6_000, 600), photometric="rgb")
    out = tmp_path / "out"
    out.mkdir()
    command = ["segment", scene, "-o", out / "a.gpkg", "--label-raster", out / "a.tif", "--model", tiny_model]
    process = subprocess.Popen(
        [sys.executable, "-m", "geodeeplab", *map(str, command)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    kept, deadline = out / ".a.gpkg.geodeeplab-work", time.monotonic() + PATIENCE_S
    journal = kept / "blocks.journal"
    while not journal.exists() or journal.read_bytes().count(b"\n") <= 2:  # until the first block is safe
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(number)
    stdout, stderr = process.communicate(timeout=PATIENCE_S)
    assert (process.returncode, stdout) == (1, "")
    (line,) = [line for line in stderr.splitlines() if line]
    told = rf"\d+ % of the scene is kept in {re.escape(str(kept))}: pass --resume to go on"
    assert re.fullmatch(rf"error: interrupted before the outputs were written; {told}", line)
    assert list(out.iterdir()) == [kept]
