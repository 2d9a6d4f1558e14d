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


@pytest.mark.skipif(os.name == "nt", reason="Windows sends no signals to a process")
def test_signals_end_a_run_with_one_line_and_keep_the_work(
    make_raster: Callable[..., Path],
    blocks: Callable[..., np.ndarray],
    tiny_model: Path,
    tmp_path: Path,
    heard: Callable[[signal.Signals], None],
) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):  # a shell's background jobs hand an ignored SIGINT on
        heard(number)
    scene = make_raster(blocks(12_000, 600), photometric="rgb", compress="deflate")
    runs = {}
    for number in (signal.SIGINT, signal.SIGTERM):  # side by side, as starting takes longest
        out = tmp_path / number.name
        out.mkdir()
        command = ["segment", scene, "-o", out / "a.gpkg", "--label-raster", out / "a.tif", "--model", tiny_model]
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        runs[number, out] = subprocess.Popen(
            [sys.executable, "-m", "geodeeplab", *map(str, command)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )
    waiting, deadline = dict(runs), time.monotonic() + PATIENCE_S
    while waiting:
        for (number, out), process in list(waiting.items()):
            assert process.poll() is None, process.communicate()
            journal = out / ".a.gpkg.geodeeplab-work" / "blocks.journal"
            if journal.exists() and journal.read_bytes().count(b"\n") > 2:  # the first block is safe
                process.send_signal(number)
                del waiting[number, out]
        assert time.monotonic() < deadline
        time.sleep(0.05)
    for (_, out), process in runs.items():
        stdout, stderr = process.communicate(timeout=PATIENCE_S)
        assert process.returncode == 1
        assert stdout == ""
        (line,) = [line for line in stderr.splitlines() if line]
        kept = re.escape(str(out / ".a.gpkg.geodeeplab-work"))
        told = rf"\d+ % of the scene is kept in {kept}: pass --resume to go on"
        assert re.fullmatch(rf"error: interrupted before the outputs were written; {told}", line)
        assert [path.name for path in out.iterdir()] == [".a.gpkg.geodeeplab-work"]


def test_vectorize_needs_no_torch(make_raster: Callable[..., Path], tmp_path: Path) -> None:
    labels = make_raster(np.ones((1, 4, 5), "uint8"))
    code = (
        "import sys; import geodeeplab as gdl; gdl.vectorize(sys.argv[1], sys.argv[2]); print('torch' in sys.modules)"
    )
    command = [sys.executable, "-c", code, str(labels), str(tmp_path / "a.gpkg")]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "False\n"
