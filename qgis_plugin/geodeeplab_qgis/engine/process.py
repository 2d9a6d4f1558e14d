"""A process that is followed line by line, and can be cancelled: politely first."""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from typing import IO

from .environment import NO_WINDOW, clean_environ

GRACE_S = 30.0
"""How long a cancelled process may take to keep what it has finished."""
POLL_S = 0.1
LINGER_S = 2.0
"""How long after its end lines of a process are waited for."""

Line = tuple[str, str]
"""`stdout` or `stderr`, and a line without its end."""


def follow(
    arguments: Sequence[str],
    *,
    on_line: Callable[[str, str], None],
    is_cancelled: Callable[[], bool],
    grace_s: float = GRACE_S,
) -> int:
    """Run a process to its end, in the thread of the caller, which also gets the lines.

    A process that is cancelled is asked to end in order, and killed after `grace_s` seconds, with all that it started.

    Args:
        arguments: The command line.
        on_line: Called with `stdout` or `stderr`, and a line; what it raises kills the process.
        is_cancelled: Asked several times a second.
        grace_s: Seconds from the request to the kill.

    Returns:
        The exit status; negative after a kill.

    Raises:
        OSError: The process does not start.
    """
    process = _start(arguments)
    lines: queue.Queue[Line | None] = queue.Queue()
    readers = [
        threading.Thread(target=_read, args=(name, stream, lines), daemon=True)
        for name, stream in (("stdout", process.stdout), ("stderr", process.stderr))
    ]
    for reader in readers:
        reader.start()
    kill_at: float | None = None
    open_streams, silent_polls = len(readers), 0
    try:
        while open_streams:
            if kill_at is None and is_cancelled():
                _ask_to_end(process)
                kill_at = time.monotonic() + grace_s
            if kill_at is not None and time.monotonic() > kill_at:
                _kill(process)
                kill_at = float("inf")
            try:
                line = lines.get(timeout=POLL_S)
            except queue.Empty:
                silent_polls = silent_polls + 1 if process.poll() is not None else 0
                if silent_polls * POLL_S > LINGER_S:
                    break  # a child that outlives it may hold the streams open
                continue
            if line is None:
                open_streams -= 1
            else:
                on_line(*line)
        return process.wait()
    finally:
        if process.poll() is None:
            _kill(process)
            process.wait()


def _start(arguments: Sequence[str]) -> subprocess.Popen[str]:
    """Start a process with a group of its own: Ctrl-C of a terminal reaches QGIS alone, which cancels."""
    group = getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)
    return subprocess.Popen(
        list(arguments),
        env=clean_environ(os.environ),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        errors="replace",
        start_new_session=os.name == "posix",
        creationflags=NO_WINDOW | group,
    )


def _read(name: str, stream: IO[str] | None, lines: queue.Queue[Line | None]) -> None:
    if stream is not None:
        with stream:
            for line in stream:
                lines.put((name, line.rstrip("\r\n")))
    lines.put(None)


def _ask_to_end(process: subprocess.Popen[str]) -> None:
    """Ask for an orderly end; Windows knows no such signal, and finished work is kept there, too."""
    if os.name == "posix":
        process.send_signal(signal.SIGTERM)
    else:
        process.kill()


def _kill(process: subprocess.Popen[str]) -> None:
    """End the process and those that it started."""
    if os.name == "posix":
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    else:
        process.kill()
