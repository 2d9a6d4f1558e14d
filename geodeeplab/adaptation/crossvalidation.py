"""Score polygons by heads that have not seen them: whole polygons are left out, and what lies near them with them."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from geodeeplab.adaptation.samples import LabelledCells
from geodeeplab.errors import OptionError

Ints = NDArray[np.int64]
Head = Callable[[NDArray[np.float32]], NDArray[np.float32]]
"""Gives probabilities (m, K) for features (m, F)."""

FOLDS = 5
NEAR_PX = 32
"""Polygons of a class with a smaller gap lie on one object, or on two of a kind.

Measured with polygons at random places: a gap of 64 px darkens (0.03 of mean IoU with 20 a class, 0.1 with 50), as the
ground to be mapped lies near polygons, too; one of 16 px flatters where they lie well inside their objects.
"""
FRAGMENT_PX = 16
"""Polygons of a class with a smaller gap are pieces of one drawn shape."""
NEVER_LEFT_OUT = -1
"""Fold of what is in no fold."""


def group_polygons(cells: LabelledCells, *, near_px: float = NEAR_PX, keep: int = FOLDS) -> Ints:
    """Give each cell (n,) the number of its group, from 0: polygons that are left out together.

    Polygons of one class and scene are joined, nearest first, where the gap between their cells is less than `near_px`,
    as long as the class keeps at least `keep` groups; pieces of one shape, less than `FRAGMENT_PX` apart, in any case.
    So an analyst who draws all her roads in one corner still gets folds, though flattering ones.

    Law: every polygon is in one group, and every group is of one class and one scene.
    """
    firsts = np.unique(cells.polygon, return_index=True)[1]
    polygons, label, scene = cells.polygon[firsts], cells.label[firsts], cells.scene[firsts]
    owner = np.arange(len(polygons))
    for one in np.unique(label):
        of_class = np.flatnonzero(label == one)
        left = len(of_class)
        for gap, a, b in _gaps(cells, polygons[of_class], scene[of_class], max(near_px, FRAGMENT_PX)):
            first, second = owner[of_class[a]], owner[of_class[b]]
            if first != second and (gap < FRAGMENT_PX or left > keep):
                owner[owner == max(first, second)] = min(first, second)
                left -= 1
    numbers = np.unique(owner, return_inverse=True)[1]
    return np.asarray(numbers[np.searchsorted(polygons, cells.polygon)], dtype=np.int64)


def fold_polygons(cells: LabelledCells, *, folds: int = FOLDS, seed: int, near_px: float = NEAR_PX) -> Ints:
    """Give each cell (n,) the number of the fold that leaves it out, from 0 to `folds` - 1.

    Groups of polygons (`group_polygons`) are dealt out class by class in random order, so that folds have the same
    number of each class, give or take one. A class that is a single group cannot be both learnt and tested: its cells
    are in no fold, `NEVER_LEFT_OUT`.

    Law: no group is in two folds, and whatever fold is left out, every class remains.

    Raises:
        OptionError: for fewer than two folds.
    """
    if folds < 2:
        raise OptionError(f"cross-validation takes at least 2 folds, got {folds}: pass e.g. `folds=5`")
    group = group_polygons(cells, near_px=near_px, keep=folds)
    groups, firsts = np.unique(group, return_index=True)
    label, fold = cells.label[firsts], np.full(len(groups), NEVER_LEFT_OUT)
    random, dealt = np.random.default_rng(seed), 0
    for one in np.unique(label):
        of_class = random.permutation(np.flatnonzero(label == one))
        if len(of_class) > 1:
            fold[of_class] = (dealt + np.arange(len(of_class))) % folds
            dealt += len(of_class)
    return np.asarray(fold[group], dtype=np.int64)


def cross_validate(cells: LabelledCells, fit: Callable[[LabelledCells], Head], *, folds: Ints) -> NDArray[np.float32]:
    """Give each cell probabilities (n, K) by a head that has seen nothing of its fold.

    Args:
        cells: what the polygons cover.
        fit: makes a head of some of them.
        folds: (n,) as `fold_polygons` gives them; cells in no fold get NaN.

    Raises:
        OptionError: where no cell is in any fold.
    """
    tested = [int(one) for one in np.unique(folds) if one != NEVER_LEFT_OUT]
    if not tested:
        raise OptionError("a class is tested where it has at least 2 polygons apart, and none has: draw more polygons")
    probabilities: NDArray[np.float32] | None = None
    for one in tested:
        out = folds == one
        found = fit(cells.take(~out))(cells.features[out])
        if probabilities is None:
            probabilities = np.full((len(cells), found.shape[1]), np.nan, dtype=np.float32)
        probabilities[out] = found
    assert probabilities is not None
    return probabilities


def _gaps(cells: LabelledCells, polygons: Ints, scene: Ints, below: float) -> list[tuple[float, int, int]]:
    """Give the pairs of polygons, by place, of one scene whose gap is less than `below`, with it; nearest first."""
    from scipy.spatial import cKDTree

    order = np.argsort(cells.polygon, kind="stable")
    starts = np.searchsorted(cells.polygon[order], polygons)
    stops = np.searchsorted(cells.polygon[order], polygons, side="right")
    points = np.column_stack([cells.row, cells.col])[order].astype(np.float64)
    parts = [points[start:stop] for start, stop in zip(starts, stops, strict=True)]
    low, high = np.array([one.min(0) for one in parts]), np.array([one.max(0) for one in parts])
    gaps = []
    for a in range(len(parts) - 1):
        between_boxes = np.maximum(0, np.maximum(low[a + 1 :] - high[a], low[a] - high[a + 1 :]))
        close = (np.hypot(*between_boxes.T) < below) & (scene[a + 1 :] == scene[a])
        tree = cKDTree(parts[a]) if close.any() else None
        for b in a + 1 + np.flatnonzero(close):
            assert tree is not None
            gap = float(tree.query(parts[b], distance_upper_bound=below)[0].min())
            if gap < below:
                gaps.append((gap, a, int(b)))
    return sorted(gaps)
