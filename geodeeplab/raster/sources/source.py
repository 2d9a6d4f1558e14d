"""What a scene reads its pixels from: one file, several, an array, or another source that it changes on the way."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from rasterio.windows import Window

from geodeeplab.raster.bands import Band
from geodeeplab.raster.grid import Grid


@dataclass(frozen=True, kw_only=True)
class Pixels:
    """Pixels of a window and which of them are valid."""

    array: npt.NDArray[Any]
    """(C, H, W), as on disk: no scale, no offset, no conversion; invalid pixels hold whatever the file holds."""
    valid: npt.NDArray[np.bool_]
    """(H, W), True where valid."""


class Source(Protocol):
    """A raster that can be read by windows. Not safe to read from two threads at once.

    Law: a pixel's value and validity do not depend on the window that it is read with, to the bit.
    """

    path: str
    """How messages name it."""
    grid: Grid
    """Its pixels on the ground."""
    bands: tuple[Band, ...]
    """All bands, alpha included; `bands[i].number` is i + 1."""
    driver: str
    """GDAL's short name of the file format ("GTiff", "VRT", ...), or what it is instead: "mosaic", "array", ..."""
    tags: dict[str, str]
    """Metadata of the dataset."""
    least_rows: int
    """Rows that are worth reading in one go, where blocks are lower."""
    files: tuple[str, ...]
    """Every file or URL that it reads, for provenance and to notice that one has changed; none for an array."""

    def block_shape(self, numbers: Sequence[int]) -> tuple[int, int]:
        """Give (height, width) of the blocks by which these bands (1-based) are decoded; the largest if they differ."""
        ...

    def read(self, window: Window, numbers: Sequence[int]) -> Pixels:
        """Read bands (1-based) of a window that lies within the grid, in the common type of these bands.

        Raises:
            SceneError: a file is damaged there.
        """
        ...

    def is_all_valid(self, numbers: Sequence[int]) -> bool:
        """Tell whether every pixel is sure to be valid: no nodata value, mask or alpha, and all numbers finite."""
        ...

    def close(self) -> None:
        """Close the files; twice is as good as once."""
        ...


class LockedSource:
    """Another source, behind a lock; see `Source`."""

    def __init__(self, source: Source) -> None:
        """Take the source, which is closed with this one."""
        self._source, self._lock = source, threading.Lock()
        self.path, self.grid, self.bands = source.path, source.grid, source.bands
        self.driver, self.tags = source.driver, source.tags
        self.least_rows, self.files = source.least_rows, source.files

    def block_shape(self, numbers: Sequence[int]) -> tuple[int, int]:
        """Give (height, width) of the blocks, see `Source.block_shape`."""
        return self._source.block_shape(numbers)

    def read(self, window: Window, numbers: Sequence[int]) -> Pixels:
        """Read bands of a window when no other thread does, see `Source.read`."""
        with self._lock:
            return self._source.read(window, numbers)

    def is_all_valid(self, numbers: Sequence[int]) -> bool:
        """Tell whether every pixel is sure to be valid, see `Source.is_all_valid`."""
        return self._source.is_all_valid(numbers)

    def close(self) -> None:
        """Close the source."""
        self._source.close()
