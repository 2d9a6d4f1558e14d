"""Compile kernels with numba, whose machine code is kept by content, for other processes and copies of the code."""

import hashlib
import os
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from functools import cache, cached_property
from pathlib import Path
from types import FunctionType
from typing import Any, ParamSpec, TypeVar, cast

import llvmlite
import numba
import numpy as np
from numba.core import types
from numba.core.caching import CompileResultCacheImpl, FunctionCache, _Cache, _CacheLocator
from numba.core.dispatcher import Dispatcher

Args = ParamSpec("Args")
Returned = TypeVar("Returned")

DAY_S = 86_400
KEPT_DAYS = 30
"""Machine code that no process has used for so long is removed."""
KEPT_BYTES = 200_000_000
"""Beyond this, what was used least recently is removed."""


def compiled(function: Callable[Args, Returned]) -> Callable[Args, Returned]:
    """Compile a kernel that runs without the GIL, so that several of them run in threads of one process.

    The machine code is kept in a cache folder of the user's, under a digest of what it was made from: a fresh clone,
    another working tree and an installed wheel of the same code share it. Where that folder cannot be written, each
    process compiles anew. No kernel is parallel in itself: the order of its sums, and so its bits, do not depend on the
    number of threads.
    """
    kernel: Any = numba.njit(nogil=True)(function)
    kernel._cache = KernelCache(function)
    compile_for = kernel.compile
    kernel.compile = lambda kinds: compile_for(tuple(_widened(kind) for kind in kinds))
    return cast(Callable[Args, Returned], kernel)


def _widened(kind: types.Type) -> types.Type:
    """Give the type that a kernel is compiled for: one for all constants, and one for all integers but uint64."""
    kind = types.unliteral(kind)  # type: ignore[no-untyped-call]
    return types.int64 if isinstance(kind, types.Integer) and kind != types.uint64 else kind


def cache_folder() -> Path:
    """Give the folder of the machine code: in `$NUMBA_CACHE_DIR`, else where the platform has caches of the user."""
    if os.environ.get("NUMBA_CACHE_DIR"):
        return Path(os.environ["NUMBA_CACHE_DIR"]) / "geodeeplab"
    return user_caches() / "kernels"


def user_caches() -> Path:
    """Give our folder where the platform has caches of the user."""
    if sys.platform == "win32":
        caches = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        caches = Path.home() / "Library" / "Caches"
    else:
        caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return caches / "geodeeplab"


class KernelCache(_Cache):
    """The machine code of one kernel on disk. Whatever is wrong there, the kernel is compiled anew."""

    def __init__(self, function: Callable[..., object]) -> None:
        self._function = function

    @cached_property
    def _files(self) -> Any:  # noqa: ANN401 - a _ContentCache, most of which numba has not typed
        """Numba's own files, sought at the first call, when all that the kernel calls is defined; None for none."""
        try:
            return _ContentCache(self._function)  # type: ignore[no-untyped-call]
        except (KeyError, OSError, RuntimeError):  # no source to read, no home
            return None

    @property
    def cache_path(self) -> str | None:
        """The folder; None where nothing is kept."""
        return None if self._files is None else str(self._files.cache_path)

    def load_overload(self, sig: object, target_context: object) -> object:
        """Give what is kept for a signature, None if nothing is."""
        if self._files is None:
            return None
        try:
            kept: object = self._files.load_overload(sig, target_context)
        except Exception:  # pickle raises what it likes at a damaged file
            self.flush()
            return None
        if kept is not None:
            self._files.mark_used()
        return kept

    def save_overload(self, sig: object, data: object) -> None:
        """Keep what was compiled for a signature, if the folder can be written."""
        if self._files is not None:
            with suppress(OSError):
                self._files.save_overload(sig, data)
                tidy(Path(self._files.cache_path))

    def enable(self) -> None:
        """Load and keep machine code, as from the start."""
        if self._files is not None:
            self._files.enable()

    def disable(self) -> None:
        """Neither load nor keep any."""
        if self._files is not None:
            self._files.disable()

    def flush(self) -> None:
        """Forget what is kept."""
        if self._files is not None:
            with suppress(OSError):
                self._files.flush()


class _ContentLocator(_CacheLocator):
    """Where a kernel's machine code is kept, and under which digest."""

    def __init__(self, function: FunctionType) -> None:
        self._py_file = function.__code__.co_filename  # numba's warnings name it
        self._digest = digest_of(function)

    def get_cache_path(self) -> str:
        return str(cache_folder())

    def get_source_stamp(self) -> str:
        return self._digest

    def get_disambiguator(self) -> str:
        return self._digest[:16]

    @classmethod
    def from_function(cls, py_func: FunctionType, py_file: str) -> "_ContentLocator":
        return cls(py_func)


class _ContentImpl(CompileResultCacheImpl):
    _locator_classes = [_ContentLocator]  # type: ignore[list-item]  # noqa: RUF012 - numba's own is a list, too


class _ContentCache(FunctionCache):
    _impl_class = _ContentImpl

    def mark_used(self) -> None:
        """Let `tidy` know, once a day, that the kernel is in use."""
        index = self._cache_file._index_path
        with suppress(OSError):
            if os.stat(index).st_mtime < time.time() - DAY_S:
                os.utime(index)


def digest_of(function: FunctionType) -> str:
    """Give a digest (hex) of all that a kernel's machine code may be made from; times and places are not.

    That is the text of its module and of those whose kernels it knows, recursively, the constants there, which may have
    come from elsewhere, and the compiler's version. (Numba's own key has the processor and the types.)

    Raises:
        OSError: if the text of a module cannot be read.
        KeyError: if there is none, as at a prompt.
    """
    parts = [f"{function.__qualname__} in line {function.__code__.co_firstlineno}"]
    parts += [f"numba {numba.__version__}", f"llvmlite {llvmlite.__version__}"]
    met: set[str] = set()
    waiting = [function.__globals__, globals()]  # this module's options count as well
    while waiting:
        module = waiting.pop()
        if module["__file__"] in met:
            continue
        met.add(module["__file__"])
        parts.append(hashlib.sha256(Path(module["__file__"]).read_bytes()).hexdigest())
        for name, value in module.items():
            if isinstance(value, Dispatcher):
                waiting.append(value.py_func.__globals__)
            elif not name.startswith("__") and (written := _written(value)) is not None:
                parts.append(f"{module['__name__']}.{name} = {written}")
    return hashlib.sha256("\n".join(sorted(parts)).encode()).hexdigest()


def _written(value: object) -> str | None:
    """Give a text that is the same in every process for equal constants, None for what is no constant."""
    if isinstance(value, np.ndarray):
        return f"{value.dtype.str} {value.shape} {hashlib.sha256(value.tobytes()).hexdigest()}"
    if isinstance(value, tuple):
        return f"({', '.join(str(_written(each)) for each in value)})"
    if value is None or isinstance(value, bool | int | float | complex | str | bytes | np.generic):
        return repr(value)
    return None


@cache
def tidy(folder: Path) -> None:
    """Remove machine code that has not been used for long, or is too much; once in a process."""
    kernels: dict[str, list[tuple[float, int, str]]] = defaultdict(list)
    with os.scandir(folder) as entries:
        for entry in entries:
            with suppress(OSError):  # another process tidies, too
                stat = entry.stat()
                kernels[entry.name.split(".py")[0]].append((stat.st_mtime, stat.st_size, entry.path))
    oldest = time.time() - KEPT_DAYS * DAY_S
    room = KEPT_BYTES
    for files in sorted(kernels.values(), key=max, reverse=True):
        room -= sum(size for _, size, _ in files)
        if room < 0 or max(files)[0] < oldest:
            for _, _, path in files:
                with suppress(OSError):
                    os.unlink(path)
