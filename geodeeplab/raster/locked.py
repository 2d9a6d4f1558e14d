"""A source that several threads may read, one at a time."""

import threading
from collections.abc import Sequence

from rasterio.windows import Window

from geodeeplab.raster.source import Pixels, Source


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
