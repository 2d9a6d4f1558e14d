"""The command line in processes that are forked from this one, which has imported everything: quick to start."""

import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import numpy as np

from fuzzing.inputs import write_raster

IMPORTS = (
    "geodeeplab.cli",
    "geodeeplab.cli.segment",
    "geodeeplab.pipeline.segment",
    "geodeeplab.vector",
    "onnxruntime",
)
PATIENCE_S = 600.0


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How a process ended."""

    status: int
    """Exit status; minus the signal that ended it."""
    seconds: float
    """How long it ran."""
    out: str
    """What it said on stdout."""
    err: str
    """What it said on stderr."""


ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


def start_single_threaded() -> None:
    """Start this program again in an environment in which libraries start no threads, unless it has run in it so far.

    Threads are not there after a fork, and whoever waits for them waits for ever.
    """
    if any(os.environ.get(name) != value for name, value in ONE_THREAD.items()):
        os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | ONE_THREAD)


def warm_up(folder: Path) -> None:
    """Import what every run needs, and load the kernels by tracing a raster of two classes in a folder."""
    for name in IMPORTS:
        import_module(name)
    import geodeeplab as gdl

    labels = np.ones((1, 40, 40), np.uint8)
    labels[:, 10:20, 10:30] = 2
    write_raster(folder / "two.tif", labels, nodata=0)
    gdl.vectorize(folder / "two.tif", folder / "two.gpkg")


def run_forked(
    argv: Sequence[object],
    folder: Path,
    *,
    after_s: float | None = None,
    signal_number: int = 0,
    prepare: Callable[[], None] | None = None,
) -> Ended:
    """Run `geodeeplab` with some arguments in a process of its own.

    Args:
        argv: the arguments.
        folder: where its streams are kept.
        after_s: seconds after which the process gets a signal, if it still runs.
        signal_number: the signal.
        prepare: called in the process before it starts, such as to set limits.
    """
    out, err = folder / "stdout", folder / "stderr"
    sys.stdout.flush()
    sys.stderr.flush()
    started = time.monotonic()
    child = os.fork()
    if child == 0:
        _run(argv, out, err, prepare)
    is_sent = after_s is None
    while True:
        done, status = os.waitpid(child, os.WNOHANG)
        seconds = time.monotonic() - started
        if done:
            break
        if not is_sent and after_s is not None and seconds >= after_s:
            os.kill(child, signal_number)
            is_sent = True
        if seconds > PATIENCE_S:
            os.kill(child, 9)
        time.sleep(0.001)
    said = [path.read_bytes().decode(errors="replace") for path in (out, err)]
    return Ended(status=os.waitstatus_to_exitcode(status), seconds=seconds, out=said[0], err=said[1])


def _run(argv: Sequence[object], out: Path, err: Path, prepare: Callable[[], None] | None) -> None:
    """Be the process."""
    status = 70
    try:
        os.setsid()
        for number, path in ((1, out), (2, err)):
            os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), number)
        sys.argv = ["geodeeplab", *map(str, argv)]
        if prepare is not None:
            prepare()
        from geodeeplab.cli import main

        main()
        status = 0
    except SystemExit as leaving:
        status = leaving.code if isinstance(leaving.code, int) else 1
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
