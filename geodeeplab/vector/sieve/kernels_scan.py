"""Kernels that follow components through label rows; imported where they are used, as numba is slow to come.

A row is cut into *runs* of equal labels. A run takes the number of the first run above that touches it and has its
label, else a new number: a rule that looks at two rows only, so that both passes number alike, in whatever bands the
rows come. Where a run touches several, their numbers are united in a forest of `parent`s whose roots are the least
numbers; the least number of a component was given at its first pixel in raster order.

Number 0 is nodata that cannot be filled. It has no borders.
"""

import numpy as np
from numpy.typing import NDArray

from geodeeplab.compiled import compiled
from geodeeplab.vector.trace.kernels_sort import unite

Int32s = NDArray[np.int32]
Int64s = NDArray[np.int64]
Number = int | np.int64

RUNS_ABOVE, NEXT, BORDERS, CHECK = 0, 1, 2, 3  # what a cursor holds: runs, next number, borders in the list, checksum
LONGEST = 2**31 - 1  # no border counts more: only one of an area below a minimum of half a billion pixels could


@compiled
def follow_row(
    row: Int32s, nodata: int, fills: bool, reach: int, above: Int32s, n_above: int, runs: Int32s, following: int,
    check: int
) -> tuple[int, int, int]:  # fmt: skip
    """Cut a row into runs and number them.

    Args:
        row: (W,) labels.
        nodata: label that gets number 0, unless `fills`.
        fills: nodata is numbered like any label.
        reach: 0 where components touch along edges, 1 where they touch at corners too.
        above: (3, W + 1) starts, labels and numbers of the runs above.
        n_above: how many they are.
        runs: (3, W + 1) the same of this row, written; the start after the last is W.
        following: the next new number.
        check: checksum of the runs so far.

    Returns:
        How many runs there are, the next new number, the checksum.
    """
    runs[0, 0] = 0
    count = 1
    for col in range(1, row.shape[0]):
        runs[0, count] = col
        count += row[col] != row[col - 1]
    runs[0, count] = row.shape[0]
    first = 0
    for k in range(count):
        start, end = runs[0, k], runs[0, k + 1]
        label = row[start]
        check = (check ^ (np.int64(label) << 32 | start)) * 6364136223846793005 + 1442695040888963407
        while first < n_above and above[0, first + 1] + reach <= start:
            first += 1
        number = 0
        if label != nodata or fills:
            number = -1
            j = first
            while j < n_above and above[0, j] < end + reach:
                if above[1, j] == label:
                    number = above[2, j]
                    break
                j += 1
            if number < 0:
                number = following
                following += 1
        runs[1, k], runs[2, k] = label, number
    return count, following, check


@compiled
def add_border(
    one: Number, other: Number, length: Number, keys: Int64s, lengths: Int32s, borders: Int32s, count: int
) -> int:  # fmt: skip
    """Add a piece of border between two numbers to a cache of recent borders; what it displaces goes to the list.

    Most borders go on in the next row, so that most pieces end in the cache.
    """
    low, high = min(one, other), max(one, other)
    key = np.int64(low) << 32 | np.int64(high)
    slot = ((key * -7046029254386353131) >> 40) & (keys.shape[0] - 1)
    if keys[slot] == key:
        total = np.int64(lengths[slot]) + length
        lengths[slot] = total if total < LONGEST else LONGEST
        return count
    if keys[slot] != 0:
        borders[count, 0] = keys[slot] >> 32
        borders[count, 1] = keys[slot] & LONGEST
        borders[count, 2] = lengths[slot]
        count += 1
    keys[slot], lengths[slot] = key, length
    return count


@compiled
def flush_borders(keys: Int64s, lengths: Int32s, borders: Int32s, count: int) -> int:
    """Move what is in the cache to the list, which has room for it; give the new count."""
    for slot in range(keys.shape[0]):
        if keys[slot] != 0:
            borders[count, 0] = keys[slot] >> 32
            borders[count, 1] = keys[slot] & LONGEST
            borders[count, 2] = lengths[slot]
            count += 1
            keys[slot] = 0
    return count


@compiled
def scan_rows(
    rows: Int32s, begin: int, top: int, nodata: int, fills: bool, reach: int, pixels: Int64s, runs: Int32s,
    cursor: Int64s, parent: Int32s, labels: Int32s, areas: Int64s, keys: Int64s, lengths: Int32s, borders: Int32s
) -> int:  # fmt: skip
    """Number the runs of a band, unite what touches, add up areas and borders, as far as there is room.

    Args:
        rows: (n, W) labels.
        begin: first row of the band to look at.
        top: row of the raster that the band begins with.
        nodata: see `follow_row`, as the next two.
        fills: nodata at the edge of the raster is united with number 0.
        reach: 0 or 1.
        pixels: (H,) area of a pixel in each row of the raster.
        runs: (2, 3, W + 1) runs of the last row and of the one before, in turns.
        cursor: (4,) see above, updated.
        parent: (numbers,) forest.
        labels: (numbers,) of each number.
        areas: (numbers,) of each number alone.
        keys: (slots,) cache of borders: number << 32 | number, 0 where empty. A power of two.
        lengths: (slots,) of those borders.
        borders: (borders, 3) list of two numbers and a length in pixel edges; 0 where they touch at corners only.

    Returns:
        The first row that was not looked at, for want of room; n if there was enough.
    """
    width = rows.shape[1]
    for i in range(begin, rows.shape[0]):
        # a run touches three at most per pixel of it, and one on its left
        if cursor[NEXT] + width > parent.shape[0] or cursor[BORDERS] + 4 * width > borders.shape[0]:
            return i
        row = top + i
        above, here = runs[(row + 1) % 2], runs[row % 2]
        n_above = cursor[RUNS_ABOVE]
        known = cursor[NEXT]
        n, following, check = follow_row(
            rows[i], nodata, fills, reach, above, n_above, here, known, cursor[CHECK]
        )  # fmt: skip
        for fresh in range(known, following):
            parent[fresh], areas[fresh] = fresh, 0
        count = cursor[BORDERS]
        first = 0
        for k in range(n):
            start, end, label = here[0, k], here[0, k + 1], here[1, k]
            number = np.int64(here[2, k])
            while first < n_above and above[0, first + 1] + reach <= start:
                first += 1
            if label == nodata:
                if not fills:
                    continue
                if row == 0 or row == pixels.shape[0] - 1 or start == 0 or end == width:
                    unite(parent, number, np.int64(0))
            labels[number] = label
            areas[number] += (end - start) * pixels[row]
            j = first
            while j < n_above and above[0, j] < end + reach:
                other = np.int64(above[2, j])
                if above[1, j] == label:
                    if other != number:
                        unite(parent, number, other)
                elif other != 0:
                    shared = np.int64(max(min(end, above[0, j + 1]) - max(start, above[0, j]), 0))
                    count = add_border(number, other, shared, keys, lengths, borders, count)
                j += 1
            if k > 0 and here[2, k - 1] != 0:
                count = add_border(number, np.int64(here[2, k - 1]), np.int64(1), keys, lengths, borders, count)
        cursor[RUNS_ABOVE], cursor[NEXT], cursor[BORDERS], cursor[CHECK] = n, following, count, check
    return len(rows)


@compiled
def paint_rows(
    rows: Int32s, top: int, nodata: int, fills: bool, reach: int, runs: Int32s, cursor: Int64s, painted: Int32s,
    out: Int32s
) -> bool:  # fmt: skip
    """Number the runs of a band as `scan_rows` did and write the label of each number.

    Args:
        rows: see `scan_rows`, as the next six.
        top: row.
        nodata: label.
        fills: True or False.
        reach: 0 or 1.
        runs: (2, 3, W + 1).
        cursor: (4,).
        painted: (numbers,) new label of each number.
        out: (n, W), written.

    Returns:
        False if there are more numbers than there were: then the rows are not those of the first pass.
    """
    for i in range(rows.shape[0]):
        row = top + i
        above, here = runs[(row + 1) % 2], runs[row % 2]
        n, following, check = follow_row(
            rows[i], nodata, fills, reach, above, cursor[RUNS_ABOVE], here, cursor[NEXT], cursor[CHECK]
        )  # fmt: skip
        if following > painted.shape[0]:
            return False
        for k in range(n):
            label = painted[here[2, k]]
            for col in range(here[0, k], here[0, k + 1]):
                out[i, col] = label
        cursor[RUNS_ABOVE], cursor[NEXT], cursor[CHECK] = n, following, check
    return True
