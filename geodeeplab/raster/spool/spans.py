"""Which pixels become one where an axis is halved; GDAL shares them out like this."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

NEARLY = 1e-8
"""GDAL takes a border this close to a pixel's edge to be at it."""


@dataclass(frozen=True, kw_only=True)
class Spans:
    """Which pixels of an axis become one of its overview: neighbours share a pixel where the length is odd."""

    start: NDArray[np.int64]
    """The first of them."""
    stop: NDArray[np.int64]
    """The one after the last."""
    first_weight: NDArray[np.float64]
    """How much of the first lies within."""
    last_weight: NDArray[np.float64]
    """How much of the last does, where there are two or more."""

    def part(self, first: int, stop: int) -> "Spans":
        """Give those of some pixels of the overview, counted from the first pixel that these need."""
        offset, one = self.start[first], slice(first, stop)
        return Spans(
            start=self.start[one] - offset,
            stop=self.stop[one] - offset,
            first_weight=self.first_weight[one],
            last_weight=self.last_weight[one],
        )


def spans_of(length: int, overview_length: int) -> Spans:
    """Share out the pixels of an axis as GDAL does."""
    edges = np.arange(overview_length + 1) * (length / overview_length)
    low, high = edges[:-1], edges[1:]
    start, stop = np.floor(low + NEARLY).astype(np.int64), np.ceil(high - NEARLY).astype(np.int64)
    stop = np.minimum(np.maximum(stop, start + 1), length)
    return Spans(
        start=start,
        stop=stop,
        first_weight=1 - np.maximum(low - start, 0),
        last_weight=1 - np.maximum(stop - high, 0),
    )
