"""Kernels of chips compiled with numba; imported where they are used, as numba takes a while to import."""

import numpy as np
import numpy.typing as npt

from geodeeplab.compiled import compiled

Ints = npt.NDArray[np.int32]


@compiled
def label_components(labels: npt.NDArray[np.uint8], wanted: npt.NDArray[np.bool_], out: Ints) -> None:
    """Number the components of pixels of one class that share an edge, by the position of one pixel of each.

    Union–find (Wu, Otoo and Suzuki 2009) over the pixels in their order.

    Args:
        labels: (H, W).
        wanted: (256,) True for the classes whose components count.
        out: (H, W), written: −1 where the class is not wanted.
    """
    height, width = labels.shape
    parent = np.arange(height * width)
    for i in range(height):
        for j in range(width):
            if not wanted[labels[i, j]]:
                continue
            here = i * width + j
            if i > 0 and labels[i - 1, j] == labels[i, j]:
                _join(parent, here, here - width)
            if j > 0 and labels[i, j - 1] == labels[i, j]:
                _join(parent, here, here - 1)
    for i in range(height):
        for j in range(width):
            out[i, j] = _root(parent, i * width + j) if wanted[labels[i, j]] else -1


@compiled
def _root(parent: npt.NDArray[np.int64], item: int) -> int:
    while parent[item] != item:
        parent[item] = parent[parent[item]]
        item = parent[item]
    return item


@compiled
def _join(parent: npt.NDArray[np.int64], one: int, other: int) -> None:
    one, other = _root(parent, one), _root(parent, other)
    if one < other:
        parent[other] = one
    else:
        parent[one] = other
