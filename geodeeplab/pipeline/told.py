"""Tells how many pixels of a raster were read."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

Progress = Callable[[int, int], None]
"""Called with the pixels read and the pixels in all; it may raise to cancel."""


Rows = TypeVar("Rows", bound="NDArray[np.integer[Any]]")


class Told:
    """Counts pixels, and tells whoever asked.

    Args:
        progress: whom to tell; None for nobody.
        total: pixels in all; more are never told.
    """

    def __init__(self, progress: Progress | None, total: int) -> None:
        self._progress, self._total, self._done = progress, total, 0

    def count(self, pixels: int) -> None:
        """Count some more, and tell."""
        self._done += pixels
        if self._progress is not None:
            self._progress(min(self._done, self._total), self._total)

    def through(self, bands: Iterable[Rows]) -> Iterator[Rows]:
        """Yield bands of rows, and count their pixels when they are done with."""
        for rows in bands:
            yield rows
            self.count(rows.size)
