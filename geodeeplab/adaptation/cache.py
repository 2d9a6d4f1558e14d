"""Features that were computed before, by the content of what they were computed from."""

import os
import tempfile
import threading
import warnings
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import numpy.typing as npt

from geodeeplab.compiled import user_caches
from geodeeplab.errors import GeoDeepLabWarning

MOST_BYTES = 2_000_000_000
"""Beyond this, what was used least recently is removed."""


def cache_folder() -> Path:
    """Give the folder: in `$GEODEEPLAB_CACHE_DIR`, else where the platform has caches of the user."""
    if os.environ.get("GEODEEPLAB_CACHE_DIR"):
        return Path(os.environ["GEODEEPLAB_CACHE_DIR"]) / "features"
    return user_caches() / "features"


class FeatureCache:
    """Arrays in a folder, a file each, named by a digest; a folder that cannot be used is told of once, and is none."""

    def __init__(self, folder: Path | None, *, most_bytes: int = MOST_BYTES) -> None:
        """Take the folder, which is made; None for no cache.

        Warns:
            GeoDeepLabWarning: it cannot be written.
        """
        self.folder, self.most_bytes = folder, most_bytes
        self.hits = 0
        """Arrays that were found."""
        self._size: int | None = None
        self._lock = threading.Lock()
        if folder is not None:
            try:
                folder.mkdir(parents=True, exist_ok=True)
                with tempfile.TemporaryFile(dir=folder):
                    pass
            except OSError as error:
                self._give_up(error)

    def get(self, key: str, shape: tuple[int, ...]) -> npt.NDArray[np.float32] | None:
        """Give an array, or None; a file that is damaged, or holds something of another shape or type, is none."""
        if self.folder is None:
            return None
        path = self.folder / f"{key}.npy"
        try:
            found: npt.NDArray[np.float32] = np.load(path, allow_pickle=False)
            os.utime(path)
        except (OSError, ValueError, EOFError):
            return None
        if found.shape != shape or found.dtype != np.float32:
            return None
        self.hits += 1
        return found

    def put(self, key: str, array: npt.NDArray[np.float32]) -> None:
        """Keep an array, under a temporary name first; the oldest ones make room."""
        if self.folder is None or array.nbytes > self.most_bytes:
            return
        try:
            handle, name = tempfile.mkstemp(suffix=".part", dir=self.folder)
            try:
                with os.fdopen(handle, "wb") as file:
                    np.save(file, array)
                    size = file.tell()
                with self._lock:
                    os.replace(name, self.folder / f"{key}.npy")
                    self._trim(size)
            except BaseException:
                with suppress(OSError):
                    os.unlink(name)
                raise
        except OSError as error:
            self._give_up(error)

    def _trim(self, added: int) -> None:
        """Remove what was used least recently until the rest fits, now that a file came in."""
        if self._size is not None:
            self._size += added
            if self._size <= self.most_bytes:
                return
        files = sorted(self._files(), key=lambda one: one[1])
        self._size = sum(size for _, _, size in files)
        for path, _, size in files:
            if self._size <= self.most_bytes:
                break
            with suppress(OSError):
                path.unlink()
            self._size -= size

    def _files(self) -> Iterator[tuple[Path, float, int]]:
        assert self.folder is not None
        for path in self.folder.glob("*.npy"):
            with suppress(OSError):
                facts = path.stat()
                yield path, facts.st_mtime, facts.st_size

    def _give_up(self, error: OSError) -> None:
        if self.folder is None:
            return
        warnings.warn(
            f"features are not kept for the next time, as {self.folder} cannot be written ({error.strerror}): set "
            "GEODEEPLAB_CACHE_DIR to another folder, or pass `cache=False`",
            GeoDeepLabWarning,
            stacklevel=3,
        )
        self.folder = None
