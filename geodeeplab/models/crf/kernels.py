"""The CRF's two Gaussian kernels, each normalised symmetrically: messages go through D^-½ K D^-½ with D = diag(K1).

A pixel counts among its own neighbours, as in the authors' implementation.
"""

import numpy as np
from numpy.typing import NDArray

from geodeeplab.compiled import compiled
from geodeeplab.models.crf.lattice import PermutohedralLattice

TRUNCATION = 4.0
"""Deviations after which the spatial Gaussian ends: 6 · 10⁻⁵ of its mass lies beyond."""


class BilateralKernel:
    """Joins pixels that are near and alike, on the permutohedral lattice of (x/sxy, y/sxy, guide/srgb)."""

    def __init__(
        self, guide: NDArray[np.number], valid: NDArray[np.bool_], *, weight: float, sxy: float, srgb: float
    ) -> None:
        """Build the lattice.

        Args:
            guide: (G, H, W) in display units.
            valid: (H, W), the pixels that send and receive.
            weight: factor on all messages.
            sxy: deviation in space, in pixels.
            srgb: deviation in colour, in display units.
        """
        rows, cols = np.indices(valid.shape)
        colors = np.where(valid, guide, 0).astype(np.float64)
        features = np.concatenate([np.stack([cols, rows]) / sxy, colors / srgb])
        lattice = PermutohedralLattice(features.reshape(len(features), -1))
        sums = lattice.filter(valid.reshape(-1, 1).astype(np.float32))[:, 0]
        # D^-½ and the weight go into the barycentric weights once, so that a message is one walk over the lattice.
        self._lattice = lattice.scaled(np.sqrt(weight) * inverse_root(sums, valid.ravel()))

    def add_messages(self, probs: NDArray[np.float32], scores: NDArray[np.float32]) -> None:
        """Add weight · D^-½ K D^-½ probs to the scores; both (H, W, K)."""
        classes = probs.shape[-1]
        self._lattice.add_filtered(probs.reshape(-1, classes), scores.reshape(-1, classes))


class SpatialKernel:
    """Joins pixels that are near: a separable Gaussian over rows and columns, with nothing beyond the edges."""

    def __init__(self, valid: NDArray[np.bool_], *, weight: float, sigma: float) -> None:
        """Take `valid` (H, W), the pixels that send and receive; the factor on messages; the deviation in pixels."""
        radius = min(int(np.ceil(TRUNCATION * sigma)), max(valid.shape) - 1)
        self._taps = np.exp(-0.5 * (np.arange(radius + 1) / sigma) ** 2).astype(np.float32)
        ones, sums = np.ones(valid.shape, np.float32), np.zeros(valid.shape, np.float32)
        _add_smoothed(valid[..., None].astype(np.float32), ones, self._taps, sums[..., None])
        self._scale = np.float32(np.sqrt(weight)) * inverse_root(sums, valid)

    def add_messages(self, probs: NDArray[np.float32], scores: NDArray[np.float32]) -> None:
        """Add weight · D^-½ K D^-½ probs to the scores; both (H, W, K)."""
        _add_smoothed(probs, self._scale, self._taps, scores)


def inverse_root(sums: NDArray[np.float32], valid: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Give 1/√sums where valid, else 0; each valid pixel counts itself, so its sum is above 0."""
    return np.where(valid, 1 / np.sqrt(np.where(valid, sums, 1)), 0).astype(np.float32)


@compiled
def _add_smoothed(
    probs: NDArray[np.float32], scale: NDArray[np.float32], taps: NDArray[np.float32], scores: NDArray[np.float32]
) -> None:
    """Add scale · Gaussian(scale · probs) to the scores; probs and scores (H, W, K), scale (H, W), one half's taps.

    Down the columns first, then along the rows, each over all K classes of a row of pixels in one long loop.
    """
    height, width, classes = probs.shape
    radius, length = len(taps) - 1, width * classes
    scaled = np.zeros((height + 2 * radius, length), np.float32)  # zeros above and below
    for row in range(height):
        for col in range(width):
            for k in range(classes):
                scaled[row + radius, col * classes + k] = scale[row, col] * probs[row, col, k]
    edge = radius * classes
    down, along = np.zeros(length + 2 * edge, np.float32), np.empty(length, np.float32)  # zeros left and right
    centre = down[edge : edge + length]
    for row in range(height):
        middle = scaled[row + radius]
        for i in range(length):
            centre[i] = taps[0] * middle[i]
        for step in range(1, radius + 1):
            above, below = scaled[row + radius - step], scaled[row + radius + step]
            for i in range(length):
                centre[i] += taps[step] * (above[i] + below[i])
        for i in range(length):
            along[i] = taps[0] * centre[i]
        for step in range(1, radius + 1):
            left, right = down[edge - step * classes :], down[edge + step * classes :]
            for i in range(length):
                along[i] += taps[step] * (left[i] + right[i])
        for col in range(width):
            for k in range(classes):
                scores[row, col, k] += scale[row, col] * along[col * classes + k]
