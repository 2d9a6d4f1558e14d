"""Cut rows of labels into strips, each a block as wide as the scene with nodata around the scene."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geodeeplab.vector.blocks import BLOCK_PIXELS, NO_CONFIDENCE

LEAST_ROWS = 16


@dataclass(frozen=True, kw_only=True)
class LabelRows:
    """Some rows of a label raster, as wide as it is."""

    labels: NDArray[np.integer[Any]]
    """(n, W): class ids, integers of at most 32 bits."""
    confidence: NDArray[np.uint8] | None = None
    """(n, W): 0–100, and 255 for none; None where there is no confidence at all."""


@dataclass(frozen=True, kw_only=True)
class Strip:
    """A block as wide as the scene; its first column, and the first row of the first strip, lie outside."""

    first_row: int
    """Scene row of the first row, -1 in the first strip."""
    labels: NDArray[np.int32]
    """(h, W + 2)."""
    confidence: NDArray[np.uint8]
    """(h, W + 2), or empty where there is no confidence."""


def strip_rows(width: int) -> int:
    """Give the rows of a strip: what depends on strips depends on the width of the scene only."""
    return max(LEAST_ROWS, BLOCK_PIXELS // (width + 2))


def iter_strips(rows: Iterable[LabelRows], *, shape: tuple[int, int], nodata: int) -> Iterator[Strip]:
    """Yield the strips of a label raster, whatever bands its rows come in.

    Args:
        rows: all rows from the top.
        shape: (H, W) of the raster.
        nodata: label around the scene.
    """
    height = shape[0]
    done, strip = 0, _empty_strip(0, shape, nodata)
    filled = 1
    for band in rows:
        taken = 0
        while taken < len(band.labels):
            n = min(len(band.labels) - taken, strip.labels.shape[0] - filled)
            strip.labels[filled : filled + n, 1:-1] = band.labels[taken : taken + n]
            if band.confidence is not None:
                if not strip.confidence.size:
                    strip = _with_confidence(strip)
                strip.confidence[filled : filled + n, 1:-1] = band.confidence[taken : taken + n]
            taken, filled, done = taken + n, filled + n, done + n
            if done < height and filled == strip.labels.shape[0]:
                yield strip
                strip, filled = _empty_strip(done, shape, nodata), 0
    if done != height:
        raise ValueError(f"a label raster of {height} rows came with {done}")
    yield strip


def _empty_strip(row: int, shape: tuple[int, int], nodata: int) -> Strip:
    """Make the strip that begins with a row of the scene, with the row above or below the scene at its ends."""
    height, width = shape
    rows = min(strip_rows(width), height - row)
    rows += (row == 0) + (row + rows == height)
    return Strip(
        first_row=row - (row == 0), labels=np.full((rows, width + 2), nodata, np.int32), confidence=NO_CONFIDENCE
    )


def _with_confidence(strip: Strip) -> Strip:
    confidence = np.full(strip.labels.shape, 255, np.uint8)
    return Strip(first_row=strip.first_row, labels=strip.labels, confidence=confidence)
