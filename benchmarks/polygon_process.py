"""Run a command as a process of its own, and see what it takes. The standard library alone, see `run_once`."""

import os
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

POLL_S = 0.005


@dataclass(frozen=True, kw_only=True)
class Run:
    """What a process took."""

    seconds: float
    """From its start to its end."""
    peak: int
    """Most resident memory, bytes."""
    error: str = ""
    """Why it failed: the last line that it wrote to stderr."""


@dataclass(frozen=True, kw_only=True)
class Round:
    """A run of a side, and its run on the tiny raster right before."""

    run: Run
    start: Run

    @property
    def seconds(self) -> float:
        """Give the seconds without process start."""
        return self.run.seconds - self.start.seconds

    @property
    def added(self) -> int:
        """Give the memory over the process that has all loaded, bytes."""
        return self.run.peak - self.start.peak

    @property
    def error(self) -> str:
        """Say why either run failed."""
        return self.run.error or self.start.error


def run_once(command: Sequence[str], output: Path, timeout: float) -> Run:
    """Run a command that makes an output anew, and see what it takes.

    The kernel counts a process's peak from before it became that program, so this one has to stay small: it imports
    the standard library alone.
    """
    output.unlink(missing_ok=True)
    os.sync()
    with tempfile.TemporaryFile("w+") as err:
        started = time.perf_counter()
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=err)
        pid = 0
        while not pid:
            pid, status, usage = os.wait4(process.pid, os.WNOHANG)
            if not pid and time.perf_counter() - started > timeout:
                process.kill()
            time.sleep(0 if pid else POLL_S)
        seconds = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        err.seek(0)
        lines = err.read().strip().splitlines()
    error = ""
    if process.returncode:
        error = f"{lines[-1] if lines else 'no message'} (exit status {process.returncode})"
    return Run(seconds=seconds, peak=usage.ru_maxrss * 1024, error=error)


def failed(rounds: Sequence[Round]) -> str:
    """Say why the last round failed, nothing if it did not."""
    return rounds[-1].error if rounds else ""
