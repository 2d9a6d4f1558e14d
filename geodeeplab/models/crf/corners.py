"""The corners of a permutohedral lattice: numbered by a hash table, and linked into chains along each axis."""

import math

import numpy as np
from numpy.typing import NDArray

from geodeeplab.compiled import compiled


def number_corners(
    keys: NDArray[np.int64], strides: NDArray[np.int64], corners: NDArray[np.int32]
) -> NDArray[np.int32]:
    """Write the corners' numbers (N, d + 1); give the next corner along each axis (d + 1, M), -1 where there is none.

    One step along axis i adds d to coordinate i and takes 1 from all others. So the remainder falls by one, wrapping
    from 0 to d, and the key changes by the same amount wherever the remainder does not wrap.
    """
    count, sides = keys.shape
    bits = max(4, math.ceil(math.log2(1.6 * count)))  # room for as many corners as points
    tables = [_Table(bits) for _ in range(sides)]
    found = [_insert(keys[:, r], table.keys, table.numbers, corners[:, r]) for r, table in enumerate(tables)]
    starts = np.cumsum([0, *map(len, found)])
    corners += starts[:-1].astype(np.int32)
    forward = np.empty((sides, starts[-1]), np.int32)
    for r in range(sides):
        target = (r - 1) % sides
        for axis in range(sides):
            step = strides[axis] if r else strides[axis] - strides.sum()
            there = forward[axis, starts[r] : starts[r + 1]]
            _find(found[r], step, tables[target].keys, tables[target].numbers, starts[target], there)
    return forward


class _Table:
    """An open hash table of 2^bits slots; a number of -1 marks a free one."""

    def __init__(self, bits: int) -> None:
        self.keys = np.empty(1 << bits, np.int64)
        self.numbers = np.full(1 << bits, -1, np.int32)


@compiled
def _slot(key: int, table_keys: NDArray[np.int64], table_numbers: NDArray[np.int32]) -> int:
    """Give the slot that holds a key, or the free one where it would go (multiplicative hashing, linear probing)."""
    mask = len(table_keys) - 1
    slot = ((key * np.int64(-7046029254386353131)) >> np.int64(32)) & mask  # 2^64 / golden ratio
    while table_numbers[slot] >= 0 and table_keys[slot] != key:
        slot = (slot + 1) & mask
    return int(slot)


@compiled
def _insert(
    keys: NDArray[np.int64],
    table_keys: NDArray[np.int64],
    table_numbers: NDArray[np.int32],
    numbers: NDArray[np.int32],
) -> NDArray[np.int64]:
    """Number the distinct keys in the order in which they come; write each key's number, give the distinct keys."""
    distinct = np.empty(len(keys), np.int64)
    count = 0
    for n in range(len(keys)):
        slot = _slot(keys[n], table_keys, table_numbers)
        if table_numbers[slot] < 0:
            table_keys[slot], table_numbers[slot], distinct[count] = keys[n], count, keys[n]
            count += 1
        numbers[n] = table_numbers[slot]
    return distinct[:count].copy()


@compiled
def _find(
    keys: NDArray[np.int64],
    step: int,
    table_keys: NDArray[np.int64],
    table_numbers: NDArray[np.int32],
    start: int,
    numbers: NDArray[np.int32],
) -> None:
    """Write start + the number of each key + step, or -1 where the table does not hold it."""
    for n in range(len(keys)):
        number = table_numbers[_slot(keys[n] + step, table_keys, table_numbers)]
        numbers[n] = start + number if number >= 0 else -1


@compiled
def link_chains(forward: NDArray[np.int32]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Follow one axis from corner to corner: give the chains of two and more, end to end, and where each starts."""
    size = len(forward)
    is_start = np.ones(size, np.bool_)
    for corner in range(size):
        if forward[corner] >= 0:
            is_start[forward[corner]] = False
    path, starts = np.empty(size, np.int32), np.empty(size // 2 + 1, np.int32)
    length, count = 0, 0
    for corner in range(size):
        if is_start[corner] and forward[corner] >= 0:
            starts[count] = length
            count += 1
            following = np.int32(corner)
            while following >= 0:
                path[length] = following
                length += 1
                following = forward[following]
    starts[count] = length
    return path[:length].copy(), starts[: count + 1].copy()
