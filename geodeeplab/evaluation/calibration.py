"""Calibration: does a class that is given with a confidence of 80 % prove right four times in five?

The expected calibration error is that of Naeini et al. 2015 with equal-width bins, as in Guo et al. 2017 (arXiv
1706.04599), equations 2 and 3: the gap between confidence and accuracy in each bin, weighted by the bin's pixels.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geodeeplab.errors import OptionError
from geodeeplab.evaluation.confusion import divide

PERCENTS = 101
"""A confidence raster holds whole per cent, 0 to 100; higher values are no confidence."""


@dataclass(frozen=True, kw_only=True)
class Reliability:
    """Confidence against accuracy, by bins of confidence."""

    edges: NDArray[np.float64]
    """(B + 1,) from 0 to 1; a bin holds its lower edge, the last one its upper edge too."""
    counts: NDArray[np.int64]
    """(B,) pixels in each bin."""
    confidence: NDArray[np.float64]
    """(B,) their mean confidence; NaN where there are none."""
    accuracy: NDArray[np.float64]
    """(B,) the share of them that is right; NaN where there are none."""

    @property
    def gaps(self) -> NDArray[np.float64]:
        """Confidence less accuracy (B,): positive where labels are surer than they should be."""
        return self.confidence - self.accuracy

    @property
    def ece(self) -> float:
        """Expected calibration error, 0 to 1; NaN without pixels."""
        if not self.counts.any():
            return float("nan")
        return float(np.nansum(self.counts * np.abs(self.gaps)) / self.counts.sum())

    @property
    def overconfidence(self) -> float:
        """Mean confidence less accuracy over all pixels: its sign says which way the labels err."""
        return float(np.nansum(self.counts * self.gaps) / self.counts.sum()) if self.counts.any() else float("nan")


def percent_counts(
    confidence: NDArray[np.integer], labels: NDArray[np.integer], truth: NDArray[np.integer], *, ignore: int | None
) -> NDArray[np.int64]:
    """Count pixels by their confidence in whole per cent: all of them, then those that are right.

    Law: the counts of a raster are the sum of the counts of its parts.

    Args:
        confidence: 0 to 100; pixels of any other value are not counted.
        labels: labels of the same shape.
        truth: true labels of the same shape.
        ignore: pixels with this true label are not counted.

    Returns:
        Counts (2, 101).
    """
    if not confidence.shape == labels.shape == truth.shape:
        raise OptionError(
            f"confidence, labels and truth have one shape, not {confidence.shape}, {labels.shape} and {truth.shape}: "
            "crop or warp them"
        )
    seen = (confidence >= 0) & (confidence < PERCENTS)
    if ignore is not None:
        seen &= truth != ignore
    right = seen & (labels == truth)
    return np.stack([np.bincount(confidence[chosen].astype(np.int64), minlength=PERCENTS) for chosen in (seen, right)])


def reliability_of_percents(counts: NDArray[np.int64], *, bins: int = 10) -> Reliability:
    """Sort the counts (2, 101) of `percent_counts` into bins; their rounding moves the error by 0.5 % at most."""
    values = np.arange(PERCENTS) / 100
    return _binned(values, counts[0], counts[1], bins)


def reliability(
    probabilities: NDArray[np.floating], truth: NDArray[np.integer], *, bins: int = 10, ignore: int | None = None
) -> Reliability:
    """Compare the highest probability of each pixel with whether its class is right.

    Args:
        probabilities: (K, ...) of classes 0 to K - 1, each pixel's adding up to 1; pixels with NaN are not counted.
        truth: true class indices (...).
        bins: of equal width.
        ignore: pixels with this true index are not counted.

    Raises:
        OptionError: for shapes that differ, values that are no probabilities, or less than one bin.
    """
    if probabilities.shape[1:] != truth.shape:
        raise OptionError(
            f"probabilities are (K, ...) for a truth (...), not {probabilities.shape} for {truth.shape}: move the axis"
        )
    seen = ~np.isnan(probabilities).any(axis=0)
    if ignore is not None:
        seen &= truth != ignore
    chosen = probabilities[:, seen]
    if chosen.size and not (chosen.min() >= 0 and chosen.max() <= 1):
        raise OptionError("probabilities lie between 0 and 1: pass them through a softmax first")
    sure = chosen.max(axis=0, initial=0).astype(np.float64)
    right = chosen.argmax(axis=0) == truth[seen] if chosen.size else np.zeros(0, dtype=bool)
    return _binned(sure, np.ones(sure.shape, dtype=np.int64), right.astype(np.int64), bins)


def _binned(
    confidence: NDArray[np.float64], counts: NDArray[np.int64], right: NDArray[np.int64], bins: int
) -> Reliability:
    if bins < 1:
        raise OptionError(f"a reliability plot has at least 1 bin, not {bins}: give 10")
    edges = np.arange(bins + 1) / bins  # 6 / 10 is 60 / 100; linspace gives 0.6000000000000001
    of_bin = np.clip(np.searchsorted(edges, confidence, side="right") - 1, 0, bins - 1)
    pixels, hits = (np.bincount(of_bin, weights=one, minlength=bins).astype(np.int64) for one in (counts, right))
    sums = np.bincount(of_bin, weights=confidence * counts, minlength=bins)
    means = np.divide(sums, pixels, out=np.full(bins, np.nan), where=pixels != 0)
    return Reliability(edges=edges, counts=pixels, confidence=means, accuracy=divide(hits, pixels))
