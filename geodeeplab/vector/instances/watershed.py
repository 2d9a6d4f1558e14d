"""The watershed of a class's objects: markers where boundaries are unlikely, which grow until they meet.

1. *Markers* are the components, along edges, of pixels of the class whose boundary is below the threshold. A component
   of fewer pixels than `min_marker` is none, and is flooded like what is around it.
2. Markers *grow* over the other pixels of the class in rising order of the boundary, quantised into `LEVELS` levels
   from the threshold up, by `STEPS` steps a level, in the last by `LAST_STEPS`. In a step all pixels that touch what
   was reached before are reached at once, from the neighbour of the lowest boundary; of those as low from the first of
   north, west, east, south. No rule looks at numbers of objects, so none looks farther than the steps go.
3. What no marker reaches is an object of its own, by components along edges: a hut that is all boundary, say.

So the way of a pixel, marker, unreached, or which neighbour it was flooded from, depends on the window of `halo`
pixels around it. Objects are what ways tie together.
"""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geodeeplab.errors import OptionError

LEVELS = 8
STEPS = 4
LAST_STEPS = 16
"""Steps where boundaries are surest: half of the widest boundary between two objects, more or less."""
MOST_MIN_MARKER = 4096
BAND_PIXELS = 1 << 22
LEAST_ROWS = 64
TILE_COLS = 1024
"""Columns that a thread floods at once, so that what it works on stays in the cache."""


@dataclass(frozen=True, kw_only=True)
class InstanceRule:
    """Which classes' objects are told apart, and how."""

    class_ids: tuple[int, ...]
    """The classes."""
    threshold: int = 128
    """Boundary, 1 to 255, below which pixels are markers."""
    min_marker: int = 8
    """Pixels of a marker, at least; 1 or more."""

    def __post_init__(self) -> None:
        """Check the numbers.

        Raises:
            OptionError: one is out of its range.
        """
        if not self.class_ids:
            raise OptionError("instances are of one class or more, not of none: name some")
        if not 1 <= self.threshold <= 255:
            raise OptionError(f"the boundary of markers is below 1 to 255, not {self.threshold}: try 128")
        if not 1 <= self.min_marker <= MOST_MIN_MARKER:
            raise OptionError(f"a marker has 1 to {MOST_MIN_MARKER} pixels at least, not {self.min_marker}: try 8")

    @property
    def limits(self) -> NDArray[np.int64]:
        """The boundary (LEVELS,) below which pixels are flooded, level by level; the last takes all."""
        return np.linspace(self.threshold, 256, LEVELS + 1).round().astype(np.int64)[1:]

    @property
    def level_of(self) -> NDArray[np.uint8]:
        """The level (256,) of each boundary."""
        return np.searchsorted(self.limits, np.arange(256), side="right").astype(np.uint8)

    @property
    def steps(self) -> NDArray[np.int64]:
        """The steps (LEVELS,) of each level."""
        return np.array([STEPS] * (LEVELS - 1) + [LAST_STEPS], np.int64)

    @property
    def halo(self) -> int:
        """Pixels around a pixel that its way depends on: a marker's size, and the steps."""
        return self.min_marker - 1 + int(self.steps.sum())


@dataclass(frozen=True, kw_only=True)
class BoundaryRows:
    """Some rows of a label raster, with the boundaries on it."""

    labels: NDArray[np.integer[Any]]
    """(n, W): class ids below 65,536."""
    boundary: NDArray[np.uint8]
    """(n, W): 255 × the probability that the pixel lies on a boundary."""


@dataclass(frozen=True, kw_only=True)
class FloodedRows:
    """Rows with their ways; see `kernels_flood`."""

    labels: NDArray[np.int32]
    """(n, W): class ids."""
    kinds: NDArray[np.uint8]
    """(n, W): 0 for what is no object, else 1 + the class's place in the rule."""
    ways: NDArray[np.uint8]
    """(n, W)."""


def band_rows(width: int) -> int:
    """Give the rows that are flooded at once; nothing depends on it but memory and time."""
    return max(LEAST_ROWS, BAND_PIXELS // width)


def flood_rows(
    rows: Iterable[BoundaryRows],
    *,
    shape: tuple[int, int],
    rule: InstanceRule,
    pool: ThreadPoolExecutor,
    band: int | None = None,
    tile_cols: int = TILE_COLS,
) -> Iterator[FloodedRows]:
    """Yield the rows of a raster with their ways.

    Law: they do not depend on the bands that rows come in, on `band`, `tile_cols` or threads.

    Args:
        rows: all rows from the top, in any bands.
        shape: (H, W) of the raster.
        rule: which objects, and how.
        pool: threads that flood.
        band: rows that are flooded at once.
        tile_cols: columns that a thread floods at once.
    """
    width, halo = shape[1], rule.halo
    for window, top, bottom in _iter_windows(rows, shape, band or band_rows(width), halo):
        kinds = np.zeros(window.labels.shape, np.uint8)
        for place, class_id in enumerate(rule.class_ids, start=1):
            kinds[window.labels == class_id] = place
        ways = np.zeros((bottom - top, width), np.uint8)
        flood = partial(_flood_tile, kinds, window.boundary, ways, top=top, cols=tile_cols, rule=rule)
        list(pool.map(flood, range(0, width, tile_cols)))
        yield FloodedRows(labels=window.labels[top:bottom].astype(np.int32), kinds=kinds[top:bottom], ways=ways)


def _flood_tile(
    kinds: NDArray[np.uint8],
    boundary: NDArray[np.uint8],
    ways: NDArray[np.uint8],
    left: int,
    *,
    top: int,
    cols: int,
    rule: InstanceRule,
) -> None:
    """Write the ways (n, W) of a band from a column on, given the rows around it too, of which it begins at `top`."""
    (n, width), halo = ways.shape, rule.halo
    right = min(left + cols, width)
    first, stop = max(0, left - halo), min(width, right + halo)
    if kinds[top : top + n, left:right].any():
        found = flood_window(kinds[:, first:stop], boundary[:, first:stop], rule)
        ways[:, left:right] = found[top : top + n, left - first : right - first]


def flood_window(kinds: NDArray[np.uint8], boundary: NDArray[np.uint8], rule: InstanceRule) -> NDArray[np.uint8]:
    """Give the ways (h, w) of a window; those at its edges as if nothing were beyond.

    Args:
        kinds: (h, w), see `FloodedRows`.
        boundary: (h, w), see `BoundaryRows`.
        rule: how.
    """
    from geodeeplab.vector.instances import kernels_flood as kernels

    kinds, boundary = np.pad(kinds, 1), np.pad(boundary, 1)  # around a pixel of an object there are pixels
    shape, size = kinds.shape, kinds.size
    ways, born = np.empty(shape, np.uint8), np.zeros(size, np.uint8)
    one, other, third = (np.empty(size, np.int32) for _ in range(3))
    kernels.find_markers(kinds, boundary, rule.threshold, rule.min_marker, one.reshape(shape), other, third, ways)
    kernels.grow(
        kinds.ravel(), boundary.ravel(), shape[1], rule.level_of, rule.steps, ways.ravel(), born, one, other, third
    )  # fmt: skip
    return ways[1:-1, 1:-1]


def _iter_windows(
    rows: Iterable[BoundaryRows], shape: tuple[int, int], band: int, halo: int
) -> Iterator[tuple[BoundaryRows, int, int]]:
    """Yield bands with up to `halo` rows above and below, and which rows of that the band is."""
    source, held, first, stop = iter(rows), list[BoundaryRows](), 0, 0
    for top in range(0, shape[0], band):
        bottom = min(top + band, shape[0])
        while stop < min(bottom + halo, shape[0]):
            more = next(source, None)
            if more is None or stop + len(more.labels) > shape[0]:
                raise ValueError(f"a raster of {shape[0]} rows came with {'fewer' if more is None else 'more'}")
            held.append(more)
            stop += len(more.labels)
        cut = max(0, top - halo) - first
        first += cut
        labels = np.concatenate([one.labels for one in held])[cut:]
        boundary = np.concatenate([one.boundary for one in held])[cut:]
        held, last = [BoundaryRows(labels=labels, boundary=boundary)], bottom + halo - first
        yield BoundaryRows(labels=labels[:last], boundary=boundary[:last]), top - first, bottom - first
    if any(len(more.labels) for more in source):
        raise ValueError(f"a raster of {shape[0]} rows came with more")
