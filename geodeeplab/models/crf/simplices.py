"""Where points lie in the permutohedral lattice: the simplex around each, and its weight at each corner.

Source: Adams, Baek, Davis, "Fast High-Dimensional Filtering Using the Permutohedral Lattice" (Eurographics 2010).
"""

import math

import numpy as np
from numpy.typing import NDArray

from geodeeplab.compiled import compiled
from geodeeplab.errors import OptionError


def embed(dims: int) -> NDArray[np.float64]:
    """Give the matrix (d + 1, d) that maps features into the plane of coordinates that sum to 0, over d + 1.

    Its columns are orthogonal, each of length √(2/3): with it, splatting, blurring and slicing have together the
    deviation of one unit of the features (section 3.1 of the paper).
    """
    axes = np.arange(dims)
    lengths = math.sqrt(2 / 3) / np.sqrt((axes + 1) * (axes + 2))
    upper = np.triu(np.ones((dims + 1, dims)))
    lower = np.eye(dims + 1, dims, k=-1) * (axes + 1)
    matrix: NDArray[np.float64] = (upper - lower) * lengths
    return matrix


def pack_coordinates(
    features: NDArray[np.float64], embedding: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Give the lowest coordinate and the stride of each axis, by which a corner's first d coordinates are one number.

    A corner of remainder r has the coordinates (d + 1) · a + r; it is the integers a that are packed. The last axis, as
    it follows from the others, has stride 0.

    Raises:
        OptionError: if 63 bits do not suffice.
    """
    low, high = features.min(axis=1), features.max(axis=1)
    positive, negative = np.maximum(embedding, 0), np.minimum(embedding, 0)
    margin = 3  # one for rounding into a simplex, one for its other corners, one for their neighbours
    lows = np.floor(positive @ low + negative @ high) - margin
    spans = np.ceil(positive @ high + negative @ low) + margin - lows + 1
    sizes = [math.prod(map(int, spans[:axis])) for axis in range(len(spans))]
    if sizes[-1] >= 2**63:
        raise OptionError(
            f"the CRF's guide has {len(features) - 2} channels, too many for deviations as small as these: choose "
            "fewer bands, or a larger srgb and sxy"
        )
    return lows.astype(np.int64), np.array([*sizes[:-1], 0], dtype=np.int64)


@compiled
def find_simplices(
    features: NDArray[np.float64],
    embedding: NDArray[np.float64],
    lows: NDArray[np.int64],
    strides: NDArray[np.int64],
    keys: NDArray[np.int64],
    weights: NDArray[np.float32],
) -> None:
    """Find the keys (N, d + 1) of each point's corners, by remainder, and its barycentric weights (N, d + 1)."""
    dims, count = features.shape
    base = np.empty(dims + 1, np.int64)  # coordinates of the corner of remainder 0, over d + 1
    rest = np.empty(dims + 1, np.float64)  # from there to the point
    order = np.empty(dims + 1, np.int64)  # axes by falling rest
    for n in range(count):
        total = 0
        for i in range(dims + 1):
            coordinate = 0.0
            for j in range(dims):
                coordinate += embedding[i, j] * features[j, n]
            base[i] = math.floor(coordinate)
            rest[i] = coordinate - base[i]
            total += base[i]
            place = i
            while place > 0 and rest[order[place - 1]] < rest[i]:
                order[place] = order[place - 1]
                place -= 1
            order[place] = i
        # Coordinates must sum to 0: those with the largest rest go up by one, and to the end of the order.
        raised = -total
        for place in range(raised):
            base[order[place]] += 1
            rest[order[place]] -= 1.0
        first, last = order[raised % (dims + 1)], order[(raised + dims) % (dims + 1)]
        key = 0
        for i in range(dims):
            key += (base[i] - lows[i]) * strides[i]
        keys[n, 0] = key
        weights[n, 0] = max(0.0, 1.0 + rest[last] - rest[first])
        # The corner of remainder r: r on the axes of large rest, r - (d + 1) on the r axes of smallest rest.
        for r in range(1, dims + 1):
            before = order[(raised + dims - r) % (dims + 1)]
            axis = order[(raised + dims - r + 1) % (dims + 1)]
            key -= strides[axis]
            keys[n, r] = key
            weights[n, r] = max(0.0, rest[before] - rest[axis])
