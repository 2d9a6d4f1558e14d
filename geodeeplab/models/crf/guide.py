"""The guide: what the CRF takes for a pixel's colour, in display units."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

DISPLAY = 255.0
"""White, in display units; black is 0."""
COMPONENTS = 3
"""Channels that are kept of more bands."""
SAMPLES = 100_000
"""About as many pixels are enough for them."""


@dataclass(frozen=True, kw_only=True)
class Guide:
    """A fixed map from pixels to guide channels: each band onto 0 to 255, then a weighted sum for each channel.

    One for the whole scene, never one per tile: neighbouring tiles would see different colours, and a seam show.
    Only differences of colour count, so there is no offset.
    """

    limits: tuple[tuple[float, float], ...]
    """Of each of the C bands, the values that become 0 and 255; what lies beyond is clipped."""
    weights: tuple[tuple[float, ...], ...]
    """(G, C): what each band counts in each guide channel."""

    @classmethod
    def of_bands(cls, limits: Sequence[tuple[float, float]], channels: Sequence[int] | None = None) -> "Guide":
        """Take bands as they are: those of some `channels` (0-based), by default all."""
        chosen = range(len(limits)) if channels is None else channels
        weights = np.eye(len(limits))[list(chosen)]
        return cls(limits=tuple(limits), weights=tuple(map(tuple, weights.tolist())))

    @classmethod
    def of_components(cls, limits: Sequence[tuple[float, float]], samples: NDArray[np.number]) -> "Guide":
        """Take the first three principal components of sample pixels (C, n), n ≥ 1.

        One gain for all three maps the span between the first component's 2nd and 98th percentile onto 0 to 255, so
        that distances between colours are those of the bands, at the contrast of a photograph.
        """
        shown = _display(samples[:, :: max(1, samples.shape[1] // SAMPLES)], limits)
        centred = shown - shown.mean(axis=1, keepdims=True)
        _, axes = np.linalg.eigh(centred @ centred.T)  # by rising variance
        components = axes[:, ::-1][:, :COMPONENTS].T
        low, high = np.percentile(components[0] @ shown, [2, 98])
        gain = DISPLAY / (high - low) if high > low else 1.0
        weights = (components * gain).round(6)  # so that the last bits of another machine do not matter
        return cls(limits=tuple(limits), weights=tuple(map(tuple, weights.tolist())))

    def __call__(self, pixels: NDArray[np.number]) -> NDArray[np.float32]:
        """Give guide channels (G, H, W) of pixels (C, H, W)."""
        shown = _display(pixels, self.limits)
        channels: NDArray[np.float32] = np.einsum("gc,chw->ghw", np.array(self.weights), shown).astype(np.float32)
        return channels


def _display(pixels: NDArray[np.number], limits: Sequence[tuple[float, float]]) -> NDArray[np.float64]:
    """Map bands (C, ...) onto 0 to 255; NaN becomes 0."""
    low, high = np.array(limits).T.reshape(2, -1, *(1,) * (pixels.ndim - 1))
    shown: NDArray[np.float64] = np.clip((np.nan_to_num(pixels) - low) * (DISPLAY / (high - low)), 0, DISPLAY)
    return shown
