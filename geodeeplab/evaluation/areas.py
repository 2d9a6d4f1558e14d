"""Areas of classes, corrected for the errors that a random sample of the truth shows, with their uncertainty.

Olofsson et al. 2014, "Good practices for estimating area and assessing accuracy of land change", section 4.2 and
equations 1, 5 and 9 to 11. The strata are the classes of the map.
"""

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from geodeeplab.errors import OptionError


@dataclass(frozen=True, kw_only=True)
class AreaEstimate:
    """Area of each class."""

    mapped: NDArray[np.float64]
    """(K,) area with this label."""
    adjusted: NDArray[np.float64]
    """(K,) estimated true area."""
    standard_error: NDArray[np.float64]
    """(K,) of `adjusted`; NaN where of any label one unit was sampled, and it has more."""
    margin: NDArray[np.float64]
    """(K,) half the width of the confidence interval around `adjusted`."""
    accuracy: float
    """Share of the map that is right, each label counted by its area."""
    accuracy_margin: float
    """Half the width of the confidence interval around `accuracy`; NaN where `standard_error` is for a label."""


def adjusted_areas(
    counts: NDArray[np.int64],
    mapped: NDArray[np.float64],
    *,
    units: NDArray[np.int64] | None = None,
    confidence_level: float = 0.95,
) -> AreaEstimate:
    """Estimate the true area of each class from a map and a sample of the truth.

    The sample must be random within each class of the map, each unit drawn by itself. Pixels of polygons that somebody
    chose are no such sample, and neighbouring pixels repeat each other: the interval would be far too narrow.

    Law: the adjusted areas add up to the mapped ones.

    Args:
        counts: sampled units (K, K), the truth by row, as `confusion_matrix` gives them.
        mapped: area (K,) with each label, of the whole map, in any unit.
        units: units (K,) with each label, of the whole map: a label whose units were all sampled adds no error. None
            where nobody knows; the paper's equations have no correction for finite populations else.
        confidence_level: share of intervals that hold the true area.

    Raises:
        OptionError: a class was mapped but not sampled, or the level is not between 0 and 1.
    """
    if not 0 < confidence_level < 1:
        raise OptionError(f"a confidence level lies between 0 and 1, got {confidence_level}: give e.g. 0.95")
    sampled = counts.sum(0)
    if ((sampled == 0) & (mapped > 0)).any():
        number = int(np.flatnonzero((sampled == 0) & (mapped > 0))[0])
        raise OptionError(f"class {number} (from 0) was mapped, but no unit of it sampled: sample every mapped class")
    total = mapped.sum()
    weights = mapped / total if total else np.zeros(len(mapped))
    shares = counts / np.maximum(sampled, 1)  # of each label's units: the true classes, by row
    is_known = np.zeros(len(mapped), dtype=np.bool_) if units is None else sampled >= units
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.where((weights > 0) & ~is_known, weights**2 * shares * (1 - shares) / (sampled - 1.0), 0.0)
    error = total * np.sqrt(np.where(np.isfinite(terms), terms, np.nan).sum(1))
    right = np.diagonal(terms)
    accuracy_error = float(np.sqrt(np.where(np.isfinite(right), right, np.nan).sum()))
    z = NormalDist().inv_cdf(0.5 + confidence_level / 2)
    return AreaEstimate(
        mapped=mapped,
        adjusted=total * (shares * weights).sum(1),
        standard_error=error,
        margin=z * error,
        accuracy=float((np.diagonal(shares) * weights).sum()),
        accuracy_margin=z * accuracy_error,
    )
