"""Ctrl-C and its kin, made sure of.

Python raises KeyboardInterrupt wherever the main thread happens to be. In a finaliser, or a callback from C code, the
exception is printed and dropped (seen in none of our runs, but nothing rules it out), and the run would go on as if
nobody had asked. So the request is noted too, and asked about at every step of a run.
"""

import atexit
import ctypes
import gc
import signal
import sys
import threading
from types import FrameType

INSISTING = 4
"""So many more requests end the process at once."""

_requested = threading.Event()
_repeated = 0


def let_signals_interrupt() -> None:
    """Let a polite request to end (Ctrl-C, kill, a closed terminal) raise KeyboardInterrupt; ignored ones stay so."""
    global _repeated
    _requested.clear()
    _repeated = 0
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)  # Windows has no SIGHUP
        if number is not None and signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):
            signal.signal(number, _interrupt)


def leave_quickly() -> None:
    """Let the process end without a last search for garbage, which takes seconds where torch and numba are loaded."""
    atexit.register(gc.freeze)


def check_interruption() -> None:
    """Raise KeyboardInterrupt if one was asked for and got lost on the way."""
    if _requested.is_set():
        raise KeyboardInterrupt


def finish_undisturbed() -> None:
    """Let requests to end come too late from now on: all is written, and what is left takes a moment."""
    _requested.set()


def _interrupt(number: int, frame: FrameType | None) -> None:
    """Interrupt once; then let the run tidy up undisturbed, unless somebody insists: it may end at any moment."""
    global _repeated
    if not _requested.is_set():
        _requested.set()
        raise KeyboardInterrupt
    _repeated += 1
    if _repeated >= INSISTING:
        signal.signal(number, signal.SIG_DFL)
        signal.raise_signal(number)


M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -3, -8
"""Parameters of mallopt(3)."""
LARGE_BYTES = 32 << 20
"""What is larger comes from the system and goes back to it: the most that glibc allows."""


def keep_freed_memory() -> bool:
    """Let freed memory stay with the process; False where the C library is another than glibc."""
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # musl has none
        return False
    settings = {M_ARENA_MAX: 1, M_MMAP_THRESHOLD: LARGE_BYTES, M_TRIM_THRESHOLD: 2**31 - 1}
    return all(mallopt(parameter, value) == 1 for parameter, value in settings.items())
