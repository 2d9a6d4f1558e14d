"""Kernels of union–find: sets of numbers as trees, whose roots are their least members."""

import numpy as np
from numpy.typing import NDArray

from geodeeplab.compiled import compiled

Number = int | np.int64


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
