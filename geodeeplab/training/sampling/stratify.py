"""Choosing units (blocks, groups, files) for validation: a share of the pixels, and of every class."""

import numpy as np
import numpy.typing as npt

Counts = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


def choose_units(counts: Counts, *, share: float, rng: np.random.Generator, stratify: bool) -> Mask:
    """Choose units so that about a share of the pixels is theirs; at least one, and never all.

    With `stratify` the share holds for every class as well as it can, the rare ones as much as the frequent ones, and a
    class that lies in at least two units is among the chosen and among the others, wherever that can be: units are
    added one by one, each time the one out of a random half of the rest that brings the classes' shares nearest to the
    wanted one, while that brings them nearer.

    Args:
        counts: (U, K) pixels of each class in each unit, at least two units; none of them is empty.
        share: above 0 and below 1.
        rng: where chance comes in.
        stratify: see above; without, units are drawn at random.

    Returns:
        (U,) True for validation.
    """
    if not stratify:
        return _at_random(counts.sum(axis=1), share, rng)
    occurs = counts.sum(axis=0) > 0
    shares = counts[:, occurs] / counts[:, occurs].sum(axis=0)
    chosen = _nearest(shares, share, rng)
    _complete(shares, chosen)
    return chosen


def _at_random(pixels: Counts, share: float, rng: np.random.Generator) -> Mask:
    """Take units in random order until the share is met as nearly as possible."""
    order = rng.permutation(len(pixels))
    reached = np.cumsum(pixels[order]) / pixels.sum()
    count = int(np.abs(reached - share).argmin()) + 1
    chosen = np.zeros(len(pixels), dtype=np.bool_)
    chosen[order[: min(count, len(pixels) - 1)]] = True
    return chosen


def _nearest(shares: npt.NDArray[np.float64], share: float, rng: np.random.Generator) -> Mask:
    """Add units while the shares (U, K) of the classes come nearer to the wanted one."""
    units = len(shares)
    chosen = np.zeros(units, dtype=np.bool_)
    reached = np.zeros(shares.shape[1])
    while chosen.sum() < units - 1:
        rest = np.flatnonzero(~chosen)
        some = rng.permutation(rest)[: max(2, -(-len(rest) // 2))]
        distance = ((reached + shares[some] - share) ** 2).sum(axis=1)
        best = int(distance.argmin())
        if chosen.any() and distance[best] >= ((reached - share) ** 2).sum():
            break
        chosen[some[best]] = True
        reached += shares[some[best]]
    return chosen


def _complete(shares: npt.NDArray[np.float64], chosen: Mask) -> None:
    """Bring classes that one side lacks over from the other, by the unit that is worth least beside them."""
    has = shares > 0
    for number in np.argsort(has.sum(axis=0)):
        for wanted in (True, False):
            side = chosen == wanted
            if has[side, number].any():
                continue
            others = np.flatnonzero(~side & has[:, number])
            if len(others) < 2:
                continue
            keeps = [_others_keep(has, ~side, int(unit)) for unit in others]
            candidates = others[keeps] if any(keeps) else others
            chosen[candidates[shares[candidates].sum(axis=1).argmin()]] = wanted


def _others_keep(has: Mask, side: Mask, unit: int) -> bool:
    """Tell whether a side without one of its units still has all classes that it had."""
    without = side.copy()
    without[unit] = False
    return bool((has[without].any(axis=0) == has[side].any(axis=0)).all())
