"""A process that runs command lines, watched: what takes too long or too much memory is killed."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

WORKER = Path(__file__).with_name("worker.py")
START_LIMIT_S = 600.0
"""For the imports, on a busy machine."""
CLOCK_PER_LIMIT = 6
"""So many times its limit in seconds of computing a task may take by the clock: a busy machine makes no hang."""
LOOK_S = 0.02
"""Seconds between two looks at the memory."""


class Watched:
    """A worker that is started when it is needed, and again after it was killed or has crashed."""

    def __init__(self, entry: str = "geodeeplab.cli:main", *, environment: Mapping[str, str] | None = None) -> None:
        """Take what is run, as module:function."""
        self.entry, self.environment = entry, dict(environment or {})
        self._process: subprocess.Popen[str] | None = None
        self.is_fresh = True

    def run(self, task: Mapping[str, Any], *, limit_s: float, limit_bytes: float) -> dict[str, Any]:
        """Run a task; the answer of the worker, or why there is none under `ended`: hang, memory or crash.

        Args:
            task: see `worker`.
            limit_s: seconds of computing, over all threads; by the clock it may be `CLOCK_PER_LIMIT` times as much.
            limit_bytes: of the process's memory.
        """
        process = self._running()
        assert process.stdin is not None
        assert process.stdout is not None
        ended: list[str] = []
        done = threading.Event()
        watch = threading.Thread(target=self._watch, args=(process, limit_s, limit_bytes, done, ended))
        watch.start()
        try:
            process.stdin.write(json.dumps(task) + "\n")
            process.stdin.flush()
            line = process.stdout.readline()
        except BrokenPipeError:
            line = ""
        finally:
            done.set()
            watch.join()
        self.is_fresh = False
        if line and not ended:
            answer: dict[str, Any] = json.loads(line)
            return answer
        status = process.wait()
        self.stop()
        return {"ended": ended[0] if ended else "crash", "status": status}

    def stop(self) -> None:
        """End the worker."""
        process, self._process, self.is_fresh = self._process, None, True
        if process is not None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            for stream in (process.stdin, process.stdout):
                if stream is not None:
                    with suppress(BrokenPipeError):
                        stream.close()

    def _running(self) -> subprocess.Popen[str]:
        if self._process is None:
            threads = {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "PYTHONFAULTHANDLER": "1"}
            self._process = subprocess.Popen(
                [sys.executable, str(WORKER), self.entry],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                env=os.environ | threads | self.environment,
                start_new_session=True,
            )
            assert self._process.stdout is not None
            if not self._process.stdout.readline():
                raise RuntimeError(f"the worker that runs {self.entry} does not start")
        return self._process

    def _watch(
        self,
        process: subprocess.Popen[str],
        limit_s: float,
        limit_bytes: float,
        done: threading.Event,
        ended: list[str],
    ) -> None:
        """Kill the process if it takes too long or too much."""
        stop_at, computed = time.monotonic() + CLOCK_PER_LIMIT * limit_s, _computed_s(process.pid)
        while not done.wait(LOOK_S):
            if time.monotonic() > stop_at or _computed_s(process.pid) - computed > limit_s:
                ended.append("hang")
                with suppress(ProcessLookupError):
                    process.send_signal(signal.SIGUSR1)  # where it is, for the reader of its stderr
                done.wait(0.3)
            elif _resident_bytes(process.pid) > limit_bytes:
                ended.append("memory")
            if ended:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                return


def _computed_s(pid: int) -> float:
    """Give the seconds that all threads of a process have computed."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _resident_bytes(pid: int) -> int:
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, IndexError, ValueError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")
