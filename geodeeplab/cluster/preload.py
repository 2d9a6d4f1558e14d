"""Loaded by a local Dask worker at its start (`--preload`): it ends with the process that has started it.

Dask lets a worker whose scheduler is gone finish its task, which may take minutes that nobody waits for.
"""

import os
import sys
import threading

from distributed import Worker


def dask_setup(worker: Worker) -> None:
    """Begin to watch standard input: a pipe, closed by our end or by whatever ends the process at the other one."""
    threading.Thread(target=_end_with_input, name="preload", daemon=True).start()


def _end_with_input() -> None:
    sys.stdin.buffer.read()
    os._exit(0)
