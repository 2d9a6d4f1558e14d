"""Compile kernels with numba, whose machine code is kept for later processes."""

from collections.abc import Callable
from typing import ParamSpec, TypeVar

from numba import njit

Args = ParamSpec("Args")
Returned = TypeVar("Returned")


def compiled(function: Callable[Args, Returned]) -> Callable[Args, Returned]:
    """Compile a kernel that runs without the GIL, so that several of them run in threads of one process.

    The machine code is kept beside the source, else in the user's cache folder, and used by later processes; where
    neither can be written, each process compiles anew. No kernel is parallel in itself: the order of its sums, and so
    its bits, do not depend on the number of threads.
    """
    try:
        kernel: Callable[Args, Returned] = njit(nogil=True, cache=True)(function)
    except RuntimeError:  # numba found no folder to write to
        kernel = njit(nogil=True)(function)
    return kernel
