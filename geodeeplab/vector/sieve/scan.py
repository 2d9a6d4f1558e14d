"""The two passes of the sieve over label rows: one that finds components and borders, one that writes new labels."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geodeeplab.errors import SceneError
from geodeeplab.vector.sieve.merge import Components, Minimum, gather_borders

CACHED_BORDERS = 1 << 14  # recent borders whose lengths are added up at once, in 192 KiB
FIRST_ROOM = 1 << 16  # numbers, and borders, that there is room for at first
STEP_PX = 1 << 20  # pixels between two looks at the memory in use; room that is not used yet costs none
NUMBER_BYTES = 25  # parent, label, area and what a round keeps of a component: mark, pointer, length or place
BORDER_BYTES = 20  # two numbers and a length, twice while they are sorted


@dataclass(frozen=True, kw_only=True)
class Numbering:
    """How the runs of label rows are numbered, the same in both passes."""

    shape: tuple[int, int]
    """Height and width of the raster."""
    nodata: int
    """Label of nodata."""
    fills: bool
    """Whether nodata has components like other labels, which can be filled where they do not touch the edge."""
    reach: int
    """0 where pixels touch along edges, 1 where they touch at corners too."""

    def start(self) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """Give the runs and the cursor that a kernel begins with; see `kernels_sieve`."""
        return np.empty((2, 3, self.shape[1] + 1), np.int32), np.array([0, 1, 0, 0], np.int64)


class _Tables:
    """What is known of numbers and borders so far, in arrays that grow within a limit."""

    def __init__(self, numbering: Numbering, minimum: Minimum, *, max_bytes: int) -> None:
        width = numbering.shape[1]
        self._numbering, self._minimum = numbering, minimum
        self._max_bytes = min(max_bytes, 30 << 30)  # what is counted within it has 31 bits
        self.runs, self.cursor = numbering.start()
        self.parent = np.zeros(FIRST_ROOM + width, np.int32)
        self.labels = np.full(FIRST_ROOM + width, numbering.nodata, np.int32)
        self.areas = np.zeros(FIRST_ROOM + width, np.int64)
        self.keys, self.lengths = np.zeros(CACHED_BORDERS, np.int64), np.zeros(CACHED_BORDERS, np.int32)
        self.borders = np.empty((FIRST_ROOM + 4 * width, 3), np.int32)

    def scan(self, band: NDArray[np.int32], top: int, pixels: NDArray[np.int64]) -> None:
        """Take in the rows of a band whose first row is `top`."""
        step = max(1, STEP_PX // band.shape[1])
        for begin in range(0, len(band), step):
            rows = band[begin : begin + step]
            self._scan_rows(rows, top + begin, pixels)
            if self._bytes() > self._max_bytes:
                self._gather()
                if self._bytes() > self._max_bytes - self._max_bytes // 8:  # the limit would soon be met again
                    raise self._refusal(top + begin + len(rows))

    def _scan_rows(self, rows: NDArray[np.int32], top: int, pixels: NDArray[np.int64]) -> None:
        from geodeeplab.vector.sieve.kernels_scan import scan_rows

        rule, done = self._numbering, 0
        while done < len(rows):
            done = scan_rows(
                rows, done, top, rule.nodata, rule.fills, rule.reach, pixels, self.runs, self.cursor, self.parent,
                self.labels, self.areas, self.keys, self.lengths, self.borders
            )  # fmt: skip
            if done < len(rows):
                self._make_room()

    def finish(self) -> tuple[NDArray[np.int32], Components]:
        """Give the component of each number, and the components; the tables are used up."""
        from geodeeplab.vector.sieve.kernels_merge import renumber
        from geodeeplab.vector.sieve.kernels_scan import NEXT

        borders = self._flushed_borders()
        numbers = int(self.cursor[NEXT])
        mapping, labels, areas = self.parent[:numbers], self.labels[:numbers], self.areas[:numbers]
        del self.parent, self.labels, self.areas, self.borders
        count = renumber(mapping, labels, areas)
        labels, areas = labels[:count], areas[:count]
        nodata = self._numbering.nodata
        left = gather_borders(borders, mapping, labels, areas, minimum=self._minimum, nodata=nodata)
        components = Components(
            labels=labels, areas=areas, borders=borders[:left], minimum=self._minimum, nodata=nodata
        )  # fmt: skip
        return mapping, components

    def _flushed_borders(self) -> NDArray[np.int32]:
        from geodeeplab.vector.sieve.kernels_scan import BORDERS, flush_borders

        count = int(self.cursor[BORDERS])
        if count + CACHED_BORDERS > len(self.borders):
            self.borders = _grown(self.borders, count, count + CACHED_BORDERS)
        return self.borders[: flush_borders(self.keys, self.lengths, self.borders, count)]

    def _make_room(self) -> None:
        """Make room for one more row at least."""
        from geodeeplab.vector.sieve.kernels_scan import BORDERS, NEXT

        width, numbers = self._numbering.shape[1], int(self.cursor[NEXT])
        if numbers + width > len(self.parent):
            room = 2 * len(self.parent) + width
            self.parent = _grown(self.parent, numbers, room)
            self.labels = _grown(self.labels, numbers, room)
            self.areas = _grown(self.areas, numbers, room)
        if self.cursor[BORDERS] + 4 * width > len(self.borders):
            borders = self._gather()
            if borders + 4 * width > len(self.borders) // 2:  # it would soon be full again
                self.borders = _grown(self.borders, borders, 2 * len(self.borders) + 4 * width)

    def _gather(self) -> int:
        """Bring together the pieces of each border, drop those that no longer matter; give how many are left."""
        from geodeeplab.vector.sieve.kernels_merge import flatten
        from geodeeplab.vector.sieve.kernels_scan import BORDERS, NEXT

        numbers, count = int(self.cursor[NEXT]), int(self.cursor[BORDERS])
        parent, labels, areas = self.parent[:numbers], self.labels[:numbers], self.areas[:numbers]
        flatten(parent, areas)
        left = gather_borders(
            self.borders[:count], parent, labels, areas, minimum=self._minimum, nodata=self._numbering.nodata
        )
        self.cursor[BORDERS] = left
        return left

    def _bytes(self) -> int:
        from geodeeplab.vector.sieve.kernels_scan import BORDERS, NEXT

        return NUMBER_BYTES * int(self.cursor[NEXT]) + BORDER_BYTES * int(self.cursor[BORDERS])

    def _refusal(self, row: int) -> SceneError:
        return SceneError(
            f"sieving these labels needs more than {self._max_bytes / 2**30:.1f} GiB, used up at row {row} of "
            f"{self._numbering.shape[0]}: sieve a part of them at a time, smooth them first, or set no minimum area"
        )


def _grown(array: NDArray[Any], used: int, room: int) -> NDArray[Any]:
    grown = np.empty((room, *array.shape[1:]), array.dtype)
    grown[:used] = array[:used]
    return grown


def iter_bands(bands: Iterable[NDArray[np.int32]], shape: tuple[int, int]) -> Iterator[tuple[int, NDArray[np.int32]]]:
    """Check that bands of rows fill a shape; give each with its first row, in memory as kernels take it.

    Raises:
        SceneError: a band is not (n, W) of int32, or there are more or fewer rows than H.
    """
    height, width = shape
    top = 0
    for band in bands:
        if band.ndim != 2 or band.shape[1] != width or band.dtype != np.int32:
            raise SceneError(
                f"label rows are (n, {width}) of int32, not {band.shape} of {band.dtype}: check the reader"
            )
        if top + len(band) > height:
            raise SceneError(f"the labels have {height} rows, and more came: check the reader")
        yield top, np.require(band, requirements=("C", "W"))
        top += len(band)
    if top < height:
        raise SceneError(f"the labels have {height} rows, but only {top} came: check the reader")


def scan_bands(
    bands: Iterable[NDArray[np.int32]],
    numbering: Numbering,
    pixels: NDArray[np.int64],
    minimum: Minimum,
    *,
    max_bytes: int,
) -> tuple[NDArray[np.int32], Components, tuple[int, int]]:
    """Find the components of label rows and the borders of those below a minimum.

    Args:
        bands: rows of labels from the top.
        numbering: how runs are numbered.
        pixels: (H,) area of a pixel in each row, in quanta.
        minimum: in quanta.
        max_bytes: memory for numbers and borders.

    Returns:
        The component of each number, the components, and what `paint_bands` knows the rows by.

    Raises:
        SceneError: the rows do not fill the shape, or there is more than the memory holds.
    """
    tables = _Tables(numbering, minimum, max_bytes=max_bytes)
    for top, band in iter_bands(bands, numbering.shape):
        tables.scan(band, top, pixels)
    check = _check(tables.cursor)
    return *tables.finish(), check


def paint_bands(
    bands: Iterable[NDArray[np.int32]], numbering: Numbering, painted: NDArray[np.int32], check: tuple[int, int]
) -> Iterator[NDArray[np.int32]]:
    """Give label rows anew, with the label of each number.

    Args:
        bands: the same rows that `scan_bands` took.
        numbering: as there.
        painted: label of each number.
        check: what `scan_bands` gave.

    Raises:
        SceneError: they are not the same rows.
    """
    from geodeeplab.vector.sieve.kernels_scan import paint_rows

    error = SceneError("the labels were not the same when they were read again: keep the file as it is meanwhile")
    runs, cursor = numbering.start()
    for top, band in iter_bands(bands, numbering.shape):
        out = np.empty_like(band)
        if not paint_rows(
            band, top, numbering.nodata, numbering.fills, numbering.reach, runs, cursor, painted, out
        ):  # fmt: skip
            raise error
        yield out
    if _check(cursor) != check:
        raise error


def _check(cursor: NDArray[np.int64]) -> tuple[int, int]:
    from geodeeplab.vector.sieve.kernels_scan import CHECK, NEXT

    return int(cursor[NEXT]), int(cursor[CHECK])
