"""The C library's memory allocator, set up for large tensors that come and go.

By default glibc gives each thread an arena of its own and returns freed memory to the system at once, so that every
forward pass in a thread gets its activations as fresh pages, which the kernel fills with zeros one by one. One arena
that keeps what is freed made forward passes of ResNet-50 a tenth faster. It concerns the whole process, so the command
line does it, not the library.
"""

import ctypes
import sys

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
