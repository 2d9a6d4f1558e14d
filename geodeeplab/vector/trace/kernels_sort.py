"""Sort in kernels: numba's own quicksort is quadratic on some input, and its mergesort takes seconds to compile."""

import numpy as np
from numpy.typing import NDArray

from geodeeplab.compiled import compiled

Number = int | np.int64

Longs = NDArray[np.int64]

RUN = 16
"""So many numbers are sorted by insertion."""


@compiled
def argsort(keys: Longs) -> Longs:
    """Give the places (n,) of numbers (n,) in ascending order, those of equal ones in theirs: a merge sort."""
    n = keys.size
    order, merged = np.empty(n, np.int64), np.empty(n, np.int64)
    for first in range(0, n, RUN):
        for k in range(first, min(first + RUN, n)):
            key, at = keys[k], k
            while at > first and keys[order[at - 1]] > key:
                order[at] = order[at - 1]
                at -= 1
            order[at] = k
    length = RUN
    while length < n:
        for first in range(0, n, 2 * length):
            middle, stop = min(first + length, n), min(first + 2 * length, n)
            a, b = first, middle
            for k in range(first, stop):
                if b == stop or (a < middle and keys[order[a]] <= keys[order[b]]):
                    merged[k] = order[a]
                    a += 1
                else:
                    merged[k] = order[b]
                    b += 1
        order, merged = merged, order
        length *= 2
    return order


@compiled
def first_at_least(numbers: Longs, wanted: int) -> int:
    """Give the first place in ascending numbers (n,) of one that is not less; n if all are."""
    low, high = 0, numbers.size
    while low < high:
        middle = (low + high) >> 1
        if numbers[middle] < wanted:
            low = middle + 1
        else:
            high = middle
    return low


@compiled
def find(parent: NDArray[np.int32], item: Number) -> Number:
    """Give the root of an item, and shorten the way to it."""
    while parent[item] != item:
        parent[item] = parent[parent[item]]
        item = parent[item]
    return item


@compiled
def unite(parent: NDArray[np.int32], a: Number, b: Number) -> Number:
    """Unite the sets of two items under the lesser root, which is given."""
    a, b = find(parent, a), find(parent, b)
    if b < a:
        a, b = b, a
    parent[b] = a
    return a
