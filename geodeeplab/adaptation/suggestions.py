"""Where to draw next: windows, drawn by lot, the likelier the more the members of an ensemble disagree on them.

Doubt is the mutual information between label and member (Houlsby et al. 2011, "Bayesian active learning for
classification and preference learning"): the entropy of the members' mean less the mean of their entropies. Entropy or
margin of the mean would send people to every edge between two objects, where all members agree that a pixel is half of
each, and where no polygon helps; where members disagree, one does.

Windows are drawn by lot, each with a chance in proportion to its doubt (Kirsch et al. 2021, "Stochastic batch
acquisition", arXiv 2106.12059): those most in doubt are much alike, and a scene is more than they.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geodeeplab.adaptation.samples import Cells
from geodeeplab.errors import OptionError

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

WINDOW_PX = 64
STEADYING_CELLS = 2.0
"""Cells of average doubt that are added to each window: one with few cells is not the most doubtful by chance."""


@dataclass(frozen=True, kw_only=True)
class SuggestedWindow:
    """A window to look at, and why."""

    rank: int
    """From 1, the first to look at."""
    scene: int
    """Number of the scene, from 0."""
    row: int
    """Row of its first pixel on the grid that the model sees."""
    col: int
    """Column, likewise."""
    shape: tuple[int, int]
    """(height, width) in pixels."""
    doubt: float
    """Mean mutual information between label and member, in nats."""
    class_1: int
    """Index of the likeliest class."""
    class_2: int
    """Index of the second."""
    probability_1: float
    """Mean probability of the likeliest class in the window, from 0 to 1."""
    probability_2: float
    """Of the second."""
    disagreement: float
    """Share of the window on which not all members give the same label."""

    def reason(self, classes: Sequence[str]) -> str:
        """Say in words why to look here."""
        pair = f"{classes[self.class_1]} ({self.probability_1:.0%}) or {classes[self.class_2]}"
        return f"{pair} ({self.probability_2:.0%})? the ensemble disagrees on {self.disagreement:.0%} of it"


@dataclass(frozen=True, kw_only=True)
class _Candidates:
    """Windows that may be suggested, W of them."""

    scene: Ints
    """(W,)"""
    corner: Ints
    """(W, 2) row and column of the first pixel."""
    shape: Ints
    """(W, 2) height and width."""
    doubt: Floats
    """(W,) steadied."""
    member: Ints
    """(n,) number of the window that each cell lies in; -1 for none."""


def choose_windows(
    cells: Cells,
    member_probabilities: NDArray[np.floating],
    *,
    shapes: Sequence[tuple[int, int]],
    count: int,
    drawn: Cells | None = None,
    window_px: int = WINDOW_PX,
    seed: int = 0,
) -> list[SuggestedWindow]:
    """Choose windows to draw in next, the first first; fewer where the ground has no more.

    Windows are squares of a lattice from the corner of each scene, the last ones moved in so that all lie inside; where
    a scene is smaller, they are as small. None overlaps another or holds a cell that was drawn.

    Args:
        cells: a sample of the ground of all scenes.
        member_probabilities: (M, n, K) of each member of the ensemble.
        shapes: (height, width) of each scene, on the grid that the model sees.
        count: how many.
        drawn: what polygons cover already.
        window_px: side of the windows.
        seed: of the lots.

    Raises:
        OptionError: for fewer than 1 window, windows of less than 1 px, or fewer than two classes.
    """
    members = np.asarray(member_probabilities, dtype=np.float64)
    if count < 1 or window_px < 1:
        raise OptionError(f"windows to suggest, and their pixels, are at least 1, got {count} of {window_px} px")
    if members.shape[2] < 2:
        raise OptionError(
            f"doubt is between at least 2 classes, got {members.shape[2]}: draw polygons of another class"
        )
    doubt = _mutual_information(members)
    found = _candidates(cells, doubt, np.asarray(shapes, dtype=np.int64), window_px)
    free = ~_holds_drawn(found, drawn, np.asarray(shapes, dtype=np.int64), window_px)
    mean, labels = members.mean(0), members.argmax(2)
    disagree = (labels != labels[0]).any(0)
    chosen = _choose(found, np.flatnonzero(free), count=count, random=np.random.default_rng(seed))
    return [_describe(found, one, rank, mean, doubt, disagree) for rank, one in enumerate(chosen, 1)]


def _mutual_information(members: Floats) -> Floats:
    """Give the mutual information between label and member (n,), in nats, from probabilities (M, n, K)."""
    return np.asarray(np.maximum(_entropy(members.mean(0)) - _entropy(members).mean(0), 0.0))


def _entropy(probabilities: Floats) -> Floats:
    logs = np.log(probabilities, out=np.zeros_like(probabilities), where=probabilities > 0)
    return np.asarray(-(probabilities * logs).sum(-1))


def _candidates(cells: Cells, doubt: Floats, shapes: Ints, window_px: int) -> _Candidates:
    """Gather the cells of each window of the lattice that has any."""
    place = np.column_stack([cells.scene, cells.row // window_px, cells.col // window_px])
    windows, member = np.unique(place, axis=0, return_inverse=True)
    member = member.reshape(-1)
    sizes = np.bincount(member)
    steadied = (np.bincount(member, weights=doubt) + STEADYING_CELLS * doubt.mean()) / (sizes + STEADYING_CELLS)
    within = shapes[windows[:, 0]]
    shape = np.minimum(window_px, within)
    corner = np.minimum(windows[:, 1:] * window_px, within - shape)
    return _Candidates(scene=windows[:, 0], corner=corner, shape=shape, doubt=steadied, member=member)


def _holds_drawn(found: _Candidates, drawn: Cells | None, shapes: Ints, window_px: int) -> NDArray[np.bool_]:
    """Tell which windows (W,) hold a drawn cell; a cell may lie in its own square, and in one that was moved in."""
    if drawn is None or not len(drawn):
        return np.zeros(len(found.scene), dtype=bool)
    within = shapes[drawn.scene]
    low = np.column_stack([drawn.row, drawn.col]) // window_px
    last = (within - 1) // window_px
    is_moved = np.column_stack([drawn.row, drawn.col]) >= np.maximum(within - window_px, 0)
    high = np.where(is_moved, last, low)
    keys = {
        (int(scene), int(row), int(col))
        for rows, cols in ((low, low), (low, high), (high, low), (high, high))
        for scene, row, col in np.unique(np.column_stack([drawn.scene, rows[:, 0], cols[:, 1]]), axis=0)
    }
    squares = -(-found.corner // window_px)  # a window that was moved in begins before its square
    return np.array(
        [(int(s), int(r), int(c)) in keys for s, (r, c) in zip(found.scene, squares, strict=True)], dtype=bool
    )


def _choose(found: _Candidates, free: Ints, *, count: int, random: np.random.Generator) -> list[int]:
    """Give the numbers of windows drawn by lot, the most doubtful first; none overlaps another."""
    chances = found.doubt[free] if found.doubt[free].any() else np.ones(len(free))
    chosen: list[int] = []
    while len(chosen) < count and chances.any():
        one = int(free[random.choice(len(free), p=chances / chances.sum())])
        chosen.append(one)
        near = (np.abs(found.corner[free] - found.corner[one]) < found.shape[one]).all(1)
        chances = np.where(near & (found.scene[free] == found.scene[one]), 0.0, chances)
    return sorted(chosen, key=lambda one: -found.doubt[one])


def _describe(
    found: _Candidates, one: int, rank: int, mean: Floats, doubt: Floats, disagree: NDArray[np.bool_]
) -> SuggestedWindow:
    """Say what is in a window: the classes are those likeliest where the members disagree most."""
    inside = np.flatnonzero(found.member == one)
    weights = doubt[inside] if doubt[inside].any() else None
    probabilities = np.average(mean[inside], axis=0, weights=weights)
    second, first = (int(i) for i in np.argsort(probabilities, kind="stable")[-2:])
    height, width = (int(side) for side in found.shape[one])
    return SuggestedWindow(
        rank=rank,
        scene=int(found.scene[one]),
        row=int(found.corner[one, 0]),
        col=int(found.corner[one, 1]),
        shape=(height, width),
        doubt=float(doubt[inside].mean()),
        class_1=first,
        class_2=second,
        probability_1=float(probabilities[first]),
        probability_2=float(probabilities[second]),
        disagreement=float(disagree[inside].mean()),
    )
