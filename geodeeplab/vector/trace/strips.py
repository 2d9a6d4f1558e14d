"""Cut rows of labels into strips, each a block as wide as the scene, or a part of it, with nodata around the scene."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geodeeplab.vector.trace.blocks import BLOCK_PIXELS, NO_CONFIDENCE

LEAST_ROWS = 16


@dataclass(frozen=True, kw_only=True)
class LabelRows:
    """Some rows of a label raster, as wide as it is, or as a part of it."""

    labels: NDArray[np.integer[Any]]
    """(n, W): class ids, integers of at most 32 bits."""
    confidence: NDArray[np.uint8] | None = None
    """(n, W): 0–100, and 255 for none; None where there is no confidence at all."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """A rectangle of the scene."""

    rows: tuple[int, int]
    """First row, and the row after the last."""
    cols: tuple[int, int]
    """Columns likewise."""


@dataclass(frozen=True, kw_only=True)
class Strip:
    """Labels of a rectangle; at the edges of the scene a row or column of nodata lies around them, outside."""

    first_row: int
    """Scene row of the first row, -1 in the first strip."""
    first_col: int
    """Scene column of the first column, -1 at the scene's left edge."""
    labels: NDArray[np.int32]
    """(h, w)."""
    confidence: NDArray[np.uint8]
    """(h, w), or empty where there is no confidence."""


def strip_rows(width: int) -> int:
    """Give the rows of a strip: what depends on strips depends on the width of the scene only."""
    return max(LEAST_ROWS, BLOCK_PIXELS // (width + 2))


def strip_edges(first: int, stop: int, width: int) -> list[int]:
    """Give the rows at which strips of the rows from `first` to `stop` begin, and `stop`, in a scene of this width.

    Strips lie where they do for the whole scene: they are cut where its strips are.
    """
    height = strip_rows(width)
    return [first, *range((first // height + 1) * height, stop, height), stop]


def iter_strips(
    rows: Iterable[LabelRows], *, shape: tuple[int, int], nodata: int, part: Part | None = None
) -> Iterator[Strip]:
    """Yield the strips of a label raster or a part of it, whatever bands its rows come in.

    Args:
        rows: all rows of the part from its top.
        shape: (H, W) of the raster.
        nodata: label around the scene.
        part: which part; by default all.
    """
    part = part or Part(rows=(0, shape[0]), cols=(0, shape[1]))
    first, stop = part.rows
    edges = iter(strip_edges(first, stop, shape[1])[1:])

    def next_strip(row: int) -> Strip:
        return _empty_strip(Part(rows=(row, next(edges)), cols=part.cols), shape, nodata)

    done, strip, filled = first, next_strip(first), int(first == 0)
    width, left = part.cols[1] - part.cols[0], int(part.cols[0] == 0)
    for band in rows:
        taken = 0
        while taken < len(band.labels):
            n = min(len(band.labels) - taken, strip.labels.shape[0] - filled)
            inside = np.s_[filled : filled + n, left : left + width]
            strip.labels[inside] = band.labels[taken : taken + n]
            if band.confidence is not None:
                if not strip.confidence.size:
                    strip = _with_confidence(strip)
                strip.confidence[inside] = band.confidence[taken : taken + n]
            taken, filled, done = taken + n, filled + n, done + n
            if done < stop and filled == strip.labels.shape[0]:
                yield strip
                strip, filled = next_strip(done), 0
    if done != stop:
        raise ValueError(f"a label raster of {stop - first} rows came with {done - first}")
    yield strip


def _empty_strip(part: Part, shape: tuple[int, int], nodata: int) -> Strip:
    """Make a strip with nodata outside the edges of the scene that it touches."""
    (top, bottom), (left, right) = part.rows, part.cols
    height = bottom - top + (top == 0) + (bottom == shape[0])
    width = right - left + (left == 0) + (right == shape[1])
    return Strip(
        first_row=top - (top == 0),
        first_col=left - (left == 0),
        labels=np.full((height, width), nodata, np.int32),
        confidence=NO_CONFIDENCE,
    )


def _with_confidence(strip: Strip) -> Strip:
    confidence = np.full(strip.labels.shape, 255, np.uint8)
    return Strip(first_row=strip.first_row, first_col=strip.first_col, labels=strip.labels, confidence=confidence)
