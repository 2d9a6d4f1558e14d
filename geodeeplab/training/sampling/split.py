"""What is trained on and what is validated on: blocks of the ground with a buffer, groups, files, or chance."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from geodeeplab.errors import OptionError
from geodeeplab.training.sampling.cells import CellIndex
from geodeeplab.training.sampling.ground import CellPlaces, grounds_of, place_cells
from geodeeplab.training.sampling.stratify import choose_units
from geodeeplab.training.scenes.held import HeldScene

SplitKind = Literal["blocks", "groups", "files", "random"]
SPLITS: tuple[SplitKind, ...] = ("blocks", "groups", "files", "random")

TRAIN, BUFFER = -2, -1
"""Roles of cells beside those of validation, which have the number of their unit, from 0."""
ENOUGH_BLOCKS = 12
"""Labelled blocks that a split of its own choice has, if smaller blocks give them."""
KEY_SPAN = 1 << 20
"""Blocks along an axis that a key can tell apart, to either side of 0."""

Roles = npt.NDArray[np.int32]


@dataclass(frozen=True, kw_only=True)
class SplitRule:
    """How to split."""

    kind: SplitKind = "blocks"
    """What stays together: blocks of the ground, groups of scenes, scenes; or chips at random, which leaks."""
    share: float = 0.2
    """Share of the labelled pixels for validation, about."""
    block_size: int | None = None
    """Height and width of blocks, in pixels of the first scene; None: twice a chip, or smaller in small scenes."""
    buffer: int | None = None
    """Pixels between validation pixels and all that training reads; None: a quarter of a chip."""
    stratify: bool = True
    """Give validation its share of every class."""
    val_scenes: tuple[int, ...] | None = None
    """Scenes (from 0) to validate on; all others are for training."""

    def __post_init__(self) -> None:
        """Check the numbers.

        Raises:
            OptionError: if one is out of its range.
        """
        if self.kind not in SPLITS:
            raise OptionError(f"a split is one of {', '.join(SPLITS)}, not {self.kind!r}")
        if not 0 < self.share < 1:
            raise OptionError(
                f"`val_split_pct=` is the share for validation, above 0 and below 1, not {self.share:g}: give e.g. 0.2"
            )
        if (self.block_size is not None and self.block_size < 1) or (self.buffer is not None and self.buffer < 0):
            raise OptionError(
                f"blocks have at least 1 pixel and a buffer at least 0, not {self.block_size} and {self.buffer}"
            )


@dataclass(frozen=True, kw_only=True)
class Split:
    """What each cell of each scene is for.

    Law of blocks: no pixel of a validation cell is within the buffer of a pixel of a training cell, in whichever scene,
    along either axis of the ground.
    """

    roles: tuple[Roles, ...]
    """For each scene (rows, cols): `TRAIN`, `BUFFER`, or the number of a validation unit from 0."""
    kind: str
    """The kind, or `val_scenes`."""
    block_size: int | None
    """Pixels, where there are blocks."""
    buffer: int | None
    """Pixels, where there is one."""
    units: int
    """Labelled units that were split."""
    val_units: int
    """Those of validation."""


def split_scenes(
    scenes: Sequence[HeldScene],
    indices: Sequence[CellIndex],
    rule: SplitRule,
    *,
    chip_size: int,
    seed: int,
) -> Split:
    """Decide what each cell is for.

    Raises:
        OptionError: one side would have no labelled pixel.
    """
    if rule.val_scenes is not None:
        return _by_scenes(indices, np.array([number in rule.val_scenes for number in range(len(scenes))]), "val_scenes")
    if rule.kind in ("groups", "files"):
        return _by_groups(scenes, indices, rule, seed)
    if rule.kind == "random":
        return _at_random(indices, rule, chip_size, seed)
    return _by_blocks(scenes, indices, rule, chip_size, seed)


def train_cells(split: Split) -> list[npt.NDArray[np.bool_]]:
    """Tell for each scene which cells are for training."""
    return [roles == TRAIN for roles in split.roles]


def val_cells(split: Split) -> list[npt.NDArray[np.bool_]]:
    """Tell for each scene which cells are for validation."""
    return [roles >= 0 for roles in split.roles]


def class_pixels(indices: Sequence[CellIndex], chosen: Sequence[npt.NDArray[np.bool_]]) -> npt.NDArray[np.int64]:
    """Count (K,) the labelled valid pixels of chosen cells."""
    counts = [index.labelled[:, keep].sum(axis=1) for index, keep in zip(indices, chosen, strict=True)]
    total: npt.NDArray[np.int64] = np.sum(counts, axis=0, dtype=np.int64)
    return total


def _by_blocks(
    scenes: Sequence[HeldScene], indices: Sequence[CellIndex], rule: SplitRule, chip_size: int, seed: int
) -> Split:
    """Split blocks of the ground, the largest of three sizes that are enough, else the smallest that works."""
    buffer = chip_size // 4 if rule.buffer is None else rule.buffer
    sizes = [2 * chip_size, chip_size, max(1, chip_size // 2)] if rule.block_size is None else [rule.block_size]
    places = _places(scenes, indices)
    reach = min(buffer + max(_protrusion(one) for one in places), _extent(places))
    best = None
    for size in sizes:
        keys = [_block_keys(one.plane, one.centre, size) for one in places]
        units, counts = _count(keys, indices)
        if len(units) < 2:
            continue
        val = units[choose_units(counts, share=rule.share, rng=np.random.default_rng(seed), stratify=rule.stratify)]
        roles = tuple(_block_roles(one, key, val, size, reach) for one, key in zip(places, keys, strict=True))
        split = Split(roles=roles, kind="blocks", block_size=size, buffer=buffer, units=len(units), val_units=len(val))
        if _has_both(split, indices):
            best = split
            if len(units) >= ENOUGH_BLOCKS:
                break
    if best is None:
        raise OptionError(
            f"blocks of {sizes[-1]} pixels with a buffer of {buffer} leave no labelled ground to train or to validate "
            "on: give a smaller `chip_size=`, `block_size=` or `buffer=`, or another scene as `val_scenes=`"
        )
    return best


def _has_both(split: Split, indices: Sequence[CellIndex]) -> bool:
    return all(class_pixels(indices, chosen).any() for chosen in (train_cells(split), val_cells(split)))


def _places(scenes: Sequence[HeldScene], indices: Sequence[CellIndex]) -> list[CellPlaces]:
    grounds = grounds_of([scene.grid for scene in scenes])
    return [
        place_cells(scene.grid, ground, cell=index.cell)
        for scene, ground, index in zip(scenes, grounds, indices, strict=True)
    ]


def _block_keys(plane: int, centre: npt.NDArray[np.float64], size: int) -> npt.NDArray[np.int64]:
    """Give the number of the block that each place (2, ...) lies in; -1 where there is no ground."""
    with np.errstate(invalid="ignore"):
        x, y = np.floor(centre / size)
    known = (np.abs(x) < KEY_SPAN - 1) & (np.abs(y) < KEY_SPAN - 1)  # False for NaN
    x, y = (np.where(known, one, 0).astype(np.int64) + KEY_SPAN for one in (x, y))
    keys: npt.NDArray[np.int64] = np.where(known, (plane * 2 * KEY_SPAN + y) * 2 * KEY_SPAN + x, -1)
    return keys


def _count(
    keys: Sequence[npt.NDArray[np.int64]], indices: Sequence[CellIndex]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Give the units that have labels, and their pixels (U, K) of each class."""
    labelled = np.concatenate([index.labelled.reshape(len(index.labelled), -1) for index in indices], axis=1)
    flat = np.concatenate([key.reshape(-1) for key in keys])
    keep = (labelled.sum(axis=0) > 0) & (flat >= 0)
    units, of_cell = np.unique(flat[keep], return_inverse=True)
    counts = [np.bincount(of_cell, weights=plane[keep], minlength=len(units)) for plane in labelled]
    return units, np.stack(counts, axis=1).astype(np.int64)


def _protrusion(places: CellPlaces) -> float:
    """Give how far a cell reaches beyond a block that its centre lies in, at most."""
    with np.errstate(invalid="ignore"):
        reach = np.maximum(places.centre - places.low, places.high - places.centre)
    finite = reach[np.isfinite(reach)]
    return float(finite.max()) if finite.size else 0.0


def _extent(places: Sequence[CellPlaces]) -> float:
    """Give the longest side of any plane's ground: a reach of that already covers all of it."""
    longest = 0.0
    for plane in {one.plane for one in places}:
        corners = [corner for one in places if one.plane == plane for corner in (one.low, one.high)]
        for axis in range(2):
            along = np.concatenate([corner[axis].reshape(-1) for corner in corners])
            finite = along[np.isfinite(along)]
            longest = max(longest, float(np.ptp(finite)) if finite.size else 0.0)
    return longest


def _block_roles(
    places: CellPlaces, keys: npt.NDArray[np.int64], val: npt.NDArray[np.int64], size: int, reach: float
) -> Roles:
    """Give cells their roles: training only where no validation block is within reach of any part of the cell."""
    order = np.sort(val)
    at = np.searchsorted(order, keys).clip(max=len(order) - 1)
    is_val = order[at] == keys
    roles = np.where(is_val, at, TRAIN).astype(np.int32)
    low, high = places.low - reach, places.high + reach
    finite = np.isfinite(low).all(axis=0) & np.isfinite(high).all(axis=0)
    with np.errstate(invalid="ignore"):
        spans = (np.floor(high / size) - np.floor(low / size))[:, finite]
    near = ~finite
    steps_x, steps_y = (int(one.max()) + 1 if one.size else 0 for one in spans)
    for step_y in range(steps_y):
        for step_x in range(steps_x):
            step = np.array([step_x, step_y], dtype=np.float64)[:, None, None] * size
            inside = np.minimum(low + step, high)
            near |= np.isin(_block_keys(places.plane, inside, size), order)
    roles[near & ~is_val] = BUFFER
    return roles


def _by_scenes(indices: Sequence[CellIndex], is_val: npt.NDArray[np.bool_], kind: str) -> Split:
    """Give whole scenes their roles; each validation scene is a unit.

    Raises:
        OptionError: one side would have no labelled pixel.
    """
    numbers = np.cumsum(is_val) - 1
    split = Split(
        roles=tuple(
            np.full(index.shape, number if val else TRAIN, dtype=np.int32)
            for index, number, val in zip(indices, numbers, is_val, strict=True)
        ),
        kind=kind,
        block_size=None,
        buffer=None,
        units=len(indices),
        val_units=int(is_val.sum()),
    )
    if not _has_both(split, indices):
        raise OptionError(
            f"{int(is_val.sum())} of {len(indices)} scenes for validation leave no labelled pixel to train or to "
            "validate on: choose others"
        )
    return split


def _by_groups(scenes: Sequence[HeldScene], indices: Sequence[CellIndex], rule: SplitRule, seed: int) -> Split:
    """Split groups of scenes, or scenes."""
    names = [scene.group if rule.kind == "groups" else str(number) for number, scene in enumerate(scenes)]
    if None in names:
        raise OptionError("a split by groups needs the group of every scene: give groups, one for each scene")
    known = sorted({name for name in names if name is not None})
    keys = [np.full(index.shape, known.index(str(name))) for index, name in zip(indices, names, strict=True)]
    units, counts = _count(keys, indices)
    if len(units) < 2:
        raise OptionError(
            f"a split by {rule.kind} needs at least two {rule.kind} with labels, not {len(units)}: split by blocks, or "
            "add a scene"
        )
    val = units[choose_units(counts, share=rule.share, rng=np.random.default_rng(seed), stratify=rule.stratify)]
    is_val = np.array([known.index(str(name)) in val for name in names])
    split = _by_scenes(indices, is_val, rule.kind)
    return Split(**{**split.__dict__, "units": len(units), "val_units": len(val)})


def _at_random(indices: Sequence[CellIndex], rule: SplitRule, chip_size: int, seed: int) -> Split:
    """Split chips side by side at random, each scene for itself: what most tools do, and what leaks."""
    keys = [_block_keys(number, _pixel_centres(index), chip_size) for number, index in enumerate(indices)]
    units, counts = _count(keys, indices)
    if len(units) < 2:
        raise OptionError(
            f"chips of {chip_size} pixels make {len(units)} with labels, and a split needs two: give a smaller "
            "`chip_size=`, or another scene as `val_scenes=`"
        )
    chosen = choose_units(counts, share=rule.share, rng=np.random.default_rng(seed), stratify=rule.stratify)
    val = np.sort(units[chosen])
    roles = []
    for key in keys:
        at = np.searchsorted(val, key).clip(max=len(val) - 1)
        roles.append(np.where(val[at] == key, at, TRAIN).astype(np.int32))
    return Split(roles=tuple(roles), kind="random", block_size=None, buffer=None, units=len(units), val_units=len(val))


def _pixel_centres(index: CellIndex) -> npt.NDArray[np.float64]:
    rows, cols = ((np.arange(count) + 0.5) * index.cell for count in index.shape)
    return np.stack(np.meshgrid(cols, rows))
