"""Compile kernels with numba, whose machine code is kept for later processes."""

from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
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
        return njit(nogil=True)(function)
    # Numba compares the kernel's own file only, yet kernels of other modules are compiled into it.
    with suppress(AttributeError):
        kernel._cache._cache_file._source_stamp = _sources()  # type: ignore[attr-defined]
    return kernel


@cache
def _sources() -> tuple[tuple[str, float, int], ...]:
    """Give name, time and size of all modules that hold kernels."""
    folder = Path(__file__).parent
    modules = [path for name in ("models", "raster", "vector") for path in folder.glob(f"{name}/**/*.py")]
    found = [(path, path.stat()) for path in modules if b"@compiled" in path.read_bytes()]
    return tuple(sorted((str(path.relative_to(folder)), stat.st_mtime, stat.st_size) for path, stat in found))
