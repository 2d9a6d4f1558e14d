"""Boundary error: how far the boundaries of the labels lie from those of the truth, in metres or pixels.

The boundary of a class is its pixels that share a side with a pixel of another class. From each of them the distance to
the nearest boundary pixel of the same class in the other raster is taken, from the labels to the truth and from the
truth to the labels: the symmetric surface distances of medical imaging. Distances are exact Euclidean ones between
pixel centres, up to a stated maximum; those that are longer count as the maximum and are told apart.

Pixels to ignore are no class: they draw no boundary, and neither does the edge of the raster.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geodeeplab.errors import OptionError
from geodeeplab.evaluation.confusion import check_pair

AT_ONCE = 1 << 15
"""Boundary pixels whose surroundings are looked at together."""


@dataclass(frozen=True, kw_only=True)
class Distances:
    """Distances of one class's boundary pixels, both ways, as a table of the values that occur."""

    squares: NDArray[np.float64]
    """(n,) squared distances, ascending, each once; at most the square of the maximum."""
    counts: NDArray[np.int64]
    """(n,) pixels at each of them."""
    beyond: int
    """Pixels farther off than the maximum, which are not in the table."""
    maximum: float
    """Distance that is looked up to."""

    def __add__(self, other: "Distances") -> "Distances":
        """Put the pixels of two parts of a raster together."""
        if other.maximum != self.maximum:
            raise OptionError(f"distances up to {self.maximum} and up to {other.maximum} cannot be added: take one")
        squares, position = np.unique(np.concatenate([self.squares, other.squares]), return_inverse=True)
        counts = np.bincount(position, weights=np.concatenate([self.counts, other.counts]), minlength=len(squares))
        return Distances(
            squares=squares, counts=counts.astype(np.int64), beyond=self.beyond + other.beyond, maximum=self.maximum
        )

    @property
    def total(self) -> int:
        """Boundary pixels of labels and truth together."""
        return int(self.counts.sum()) + self.beyond

    @property
    def mean(self) -> float:
        """Mean distance, those beyond the maximum counted as the maximum; NaN without boundary."""
        if not self.total:
            return math.nan
        return float((np.sqrt(self.squares) @ self.counts + self.beyond * self.maximum) / self.total)

    def quantile(self, share: float) -> float:
        """Give the least distance that a share (0–1) of the pixels stays within; inf beyond the maximum."""
        if not self.total:
            return math.nan
        position = int(np.searchsorted(np.cumsum(self.counts), share * self.total - 1e-9))
        return float(math.sqrt(self.squares[position])) if position < len(self.squares) else math.inf

    @property
    def share_beyond(self) -> float:
        """Share of the pixels that are farther off than the maximum; NaN without boundary."""
        return self.beyond / self.total if self.total else math.nan


def no_distances(maximum: float) -> Distances:
    """Give the distances of nothing, to add others to."""
    return Distances(squares=np.zeros(0), counts=np.zeros(0, dtype=np.int64), beyond=0, maximum=maximum)


def boundary_distances(
    labels: NDArray[np.integer],
    truth: NDArray[np.integer],
    *,
    class_ids: Sequence[int],
    maximum: float,
    res: tuple[float, float] = (1.0, 1.0),
    ignore: int | None = None,
    core: tuple[slice, slice] | None = None,
) -> list[Distances]:
    """Measure how far the boundaries of each class lie apart.

    Law: where the cores of several parts share out a raster, and each part has `halo` pixels around its core (as far as
    the raster goes), their sum is that of the whole raster, exactly.

    Args:
        labels: labels (H, W).
        truth: true labels (H, W).
        class_ids: the K values that are classes; pixels of other values draw no boundary.
        maximum: distance up to which is looked, in the unit of `res`.
        res: size of a pixel (x, y), such as its metres.
        ignore: pixels with this true label draw no boundary, in labels and truth, and belong to none.
        core: rows and columns whose boundary pixels are counted; by default all.

    Returns:
        K distances.

    Raises:
        OptionError: for shapes that differ, or a maximum below a pixel.
    """
    seen = check_pair(labels, truth, ignore)
    halo(maximum, res)
    core = core or (slice(None), slice(None))
    inner = np.zeros(labels.shape, dtype=bool)
    inner[core] = True
    found = []
    known = [seen & np.isin(values, list(class_ids)) for values in (labels, truth)]
    rims = [_rim(values, there) for values, there in zip((labels, truth), known, strict=True)]
    present = {*np.unique(labels[rims[0] & inner]).tolist(), *np.unique(truth[rims[1] & inner]).tolist()}
    for class_id in class_ids:
        if class_id not in present:
            found.append(no_distances(maximum))
            continue
        of_labels, of_truth = rims[0] & (labels == class_id), rims[1] & (truth == class_id)
        both = no_distances(maximum)
        for src, dst in ((of_labels, of_truth), (of_truth, of_labels)):
            both += _from_to(src & inner, dst, maximum=maximum, res=res)
        found.append(both)
    return found


def halo(maximum: float, res: tuple[float, float]) -> tuple[int, int]:
    """Give the pixels (rows, columns) that must be known around those whose distances are wanted.

    Raises:
        OptionError: the maximum is less than a pixel.
    """
    if not maximum >= max(res):
        raise OptionError(f"boundaries are looked for at least a pixel away, {max(res):g}, not {maximum:g}: give more")
    return math.floor(maximum / res[1]) + 1, math.floor(maximum / res[0]) + 1


def _rim(values: NDArray[np.integer], there: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Mark the pixels that share a side with one of another class; both must be there."""
    rim = np.zeros(values.shape, dtype=bool)
    whole, first, rest = slice(None), slice(None, -1), slice(1, None)
    for one, other in (((first, whole), (rest, whole)), ((whole, first), (whole, rest))):
        differ = (values[one] != values[other]) & there[one] & there[other]
        rim[one] |= differ
        rim[other] |= differ
    return rim


def _from_to(src: NDArray[np.bool_], dst: NDArray[np.bool_], *, maximum: float, res: tuple[float, float]) -> Distances:
    """Measure from each pixel of `src` to the nearest of `dst`.

    First the nearest in each column, by rows (Saito and Toriwaki 1994); then the best of the columns within reach, for
    the pixels of `src` alone.
    """
    rows, cols = np.nonzero(src)
    if not len(rows):
        return no_distances(maximum)
    reach = math.floor(maximum / res[0])
    steps = np.pad(_rows_to_nearest(dst), ((0, 0), (reach, reach)), constant_values=np.inf)
    aside = np.square(np.arange(-reach, reach + 1) * res[0])
    columns = np.arange(2 * reach + 1)
    parts = []
    for i in range(0, len(rows), AT_ONCE):
        down = steps[rows[i : i + AT_ONCE, None], cols[i : i + AT_ONCE, None] + columns].astype(np.float64)
        parts.append((np.square(down * res[1]) + aside).min(axis=1))
    squares = np.concatenate(parts)
    within = squares <= maximum**2
    values, counts = np.unique(squares[within], return_counts=True)
    return Distances(squares=values, counts=counts, beyond=int((~within).sum()), maximum=maximum)


def _rows_to_nearest(there: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Give how many rows away the nearest pixel is in each pixel's own column; inf where there is none."""
    row = np.arange(len(there), dtype=np.float32)[:, None]  # exact up to 16 million rows
    above = np.maximum.accumulate(np.where(there, row, np.float32(-np.inf)), axis=0)
    below = np.minimum.accumulate(np.where(there, row, np.float32(np.inf))[::-1], axis=0)[::-1]
    return np.minimum(row - above, below - row)
