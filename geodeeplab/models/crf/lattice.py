"""The permutohedral lattice: a Gaussian filter over points in many dimensions, linear in the number of points.

Splat each point's value onto the corners of the simplex that holds it, blur the corners along each axis of the lattice,
slice the result back at the points.

Source: Adams, Baek, Davis, "Fast High-Dimensional Filtering Using the Permutohedral Lattice" (Eurographics 2010).
"""

import copy

import numpy as np
from numpy.typing import NDArray

from geodeeplab.compiled import compiled
from geodeeplab.models.crf.corners import link_chains, number_corners
from geodeeplab.models.crf.simplices import embed, find_simplices, pack_coordinates


class PermutohedralLattice:
    """The corners of all simplices that hold a point, joined along d + 1 axes.

    Corners have d + 1 coordinates that sum to 0 and leave one common remainder modulo d + 1; a simplex has one corner
    of each remainder. Corners of one remainder r are numbered in the order in which points meet them, so points that
    follow each other find theirs near together in memory; they come after all corners of lower remainders.

    Laws: `filter` is linear; with `is_adjoint` it is the transposed map (barycentric weights and each blur are
    symmetric, so only the order of the axes turns round); its bits depend on nothing but its input.

    Accuracy: the Gaussian is met up to a factor, and smoother than it is where corners are sparse.
    """

    def __init__(self, features: NDArray[np.float64]) -> None:
        """Place points with features (d, N), in units of the Gaussian's deviation.

        Raises:
            OptionError: if the features span so many simplices that they cannot be numbered.
        """
        dims, count = features.shape
        embedding = embed(dims)
        lows, strides = pack_coordinates(features, embedding)
        keys = np.empty((count, dims + 1), np.int64)
        self.weights = np.empty((count, dims + 1), np.float32)
        """(N, d + 1): barycentric weights of each point at its simplex's corners, by remainder."""
        find_simplices(features, embedding, lows, strides, keys, self.weights)
        self.corners = np.empty((count, dims + 1), np.int32)
        """(N, d + 1): numbers of these corners."""
        forward = number_corners(keys, strides, self.corners)
        self.size = forward.shape[1]
        """Corners in all."""
        self._chains = [link_chains(axis) for axis in forward]

    def scaled(self, scale: NDArray[np.floating]) -> "PermutohedralLattice":
        """Give a lattice whose filter is diag(scale) · filter · diag(scale), for scale (N,)."""
        scaled = copy.copy(self)
        scaled.weights = self.weights * scale.astype(np.float32)[:, None]
        return scaled

    def filter(self, values: NDArray[np.float32], *, is_adjoint: bool = False) -> NDArray[np.float32]:
        """Give the filtered values (N, K) of values (N, K)."""
        filtered = np.zeros_like(values)
        self.add_filtered(values, filtered, is_adjoint=is_adjoint)
        return filtered

    def add_filtered(
        self, values: NDArray[np.float32], total: NDArray[np.float32], *, is_adjoint: bool = False
    ) -> None:
        """Add the filtered values (N, K) to the total (N, K), in place."""
        held = np.zeros((self.size, values.shape[1]), np.float32)
        _splat(values, self.corners, self.weights, held)
        for path, starts in reversed(self._chains) if is_adjoint else self._chains:
            _blur(path, starts, held)
        _slice(held, self.corners, self.weights, total)


@compiled
def _splat(
    values: NDArray[np.float32],
    corners: NDArray[np.int32],
    weights: NDArray[np.float32],
    held: NDArray[np.float32],
) -> None:
    """Add the points' values (N, K) to their corners (M, K) by weight."""
    count, sides = corners.shape
    for n in range(count):
        for r in range(sides):
            target, weight = held[corners[n, r]], weights[n, r]
            for k in range(values.shape[1]):
                target[k] += weight * values[n, k]


@compiled
def _blur(path: NDArray[np.int32], starts: NDArray[np.int32], held: NDArray[np.float32]) -> None:
    """Blur the corners (M, K) along one axis with (½, 1, ½), in place; corners that do not exist are 0.

    A chain is walked once, with the value that its last corner had before. Lone corners stay as they are.
    """
    classes = held.shape[1]
    before = np.empty(classes, np.float32)
    half = np.float32(0.5)
    for chain in range(len(starts) - 1):
        before[:] = 0
        stop = starts[chain + 1] - 1
        for place in range(starts[chain], stop):
            here, after = held[path[place]], held[path[place + 1]]
            for k in range(classes):
                value = here[k]
                here[k] = value + half * (before[k] + after[k])
                before[k] = value
        end = held[path[stop]]
        for k in range(classes):
            end[k] += half * before[k]


@compiled
def _slice(
    held: NDArray[np.float32],
    corners: NDArray[np.int32],
    weights: NDArray[np.float32],
    total: NDArray[np.float32],
) -> None:
    """Add to each point of the total (N, K) its corners' values (M, K) by weight."""
    count, sides = corners.shape
    for n in range(count):
        for r in range(sides):
            source, weight = held[corners[n, r]], weights[n, r]
            for k in range(total.shape[1]):
                total[n, k] += weight * source[k]
