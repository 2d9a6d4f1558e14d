"""The chips of training, drawn at random, and those of validation, side by side."""

import copy
from collections.abc import Sequence
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from geodeeplab.errors import OptionError
from geodeeplab.training.augmentation import Augmentation
from geodeeplab.training.chip import IGNORE_INDEX, Chip
from geodeeplab.training.sampling.cells import CellIndex
from geodeeplab.training.sampling.crop import CellMask, Crop, draw_geometry, read_crop, read_square
from geodeeplab.training.sampling.separation import Separation
from geodeeplab.training.sampling.split import TRAIN, Split
from geodeeplab.training.scenes.held import HeldScene

JITTER = 0.3
"""Sides of a chip, on the ground, by which its centre is off the cell that it was drawn for, at most."""


Chips = TypeVar("Chips", "RandomChips", "SideBySideChips")


class RandomChips:
    """Training chips; see `ChipSet`.

    Each is drawn around a cell (see `cells.py`): at a chance of `class_balance` one that holds a class drawn evenly, by
    its pixels of that class, otherwise any, by its labelled pixels. It is zoomed, turned and mirrored as the
    augmentation says, and moved into its scene as far as it fits. Law: a chip reads no pixel but those of training
    cells.
    """

    def __init__(
        self,
        scenes: Sequence[HeldScene],
        indices: Sequence[CellIndex],
        split: Split,
        *,
        chip_size: int,
        augmentation: Augmentation | None,
        class_balance: float,
        seed: int,
        least: int = 1,
        most: int | None = None,
        epoch_chips: int | None = None,
    ) -> None:
        """Take scenes with their index and split.

        Args:
            scenes: all scenes.
            indices: of each.
            split: of all.
            chip_size: height and width of a chip.
            augmentation: whose geometry the chips have.
            class_balance: share of chips that are drawn for a class, from 0 to 1.
            seed: what chance is drawn by.
            least: chips of an epoch, at least.
            most: chips of an epoch, at most, where `epoch_chips` does not say; None for no bound.
            epoch_chips: chips of an epoch; None: about as many as cover the labelled ground.
        """
        if not 0 <= class_balance <= 1:
            raise OptionError(f"`class_balance=` is a share of chips from 0 to 1, not {class_balance:g}")
        self._scenes = tuple(scenes)
        self._chip_size, self._augmentation, self._seed = chip_size, augmentation, seed
        self._class_balance = class_balance
        chosen = [roles == TRAIN for roles in split.roles]
        self._readable = [CellMask(keep, index.cell) for keep, index in zip(chosen, indices, strict=True)]
        self._cell = [index.cell for index in indices]
        self._place, labelled = _places_with_labels(indices, chosen)
        self._any = np.cumsum(labelled.sum(axis=0))
        self._of_class = [np.cumsum(one) for one in labelled if one.any()]
        covering = round(int(self._any[-1]) / chip_size**2)
        self._length = max(least, epoch_chips or (covering if most is None else min(covering, most)))
        self._separation: Separation | None = None

    def __len__(self) -> int:
        return self._length

    def draw(self, index: int, *, epoch: int = 0) -> Chip:
        """Draw a chip; the same one for the same index and epoch."""
        number, crop = self.place(index, epoch=epoch)
        return read_crop(
            self._scenes[number],
            crop,
            chip_size=self._chip_size,
            readable=self._readable[number],
            separation=self._separation,
        )

    def separating(self, separation: Separation | None) -> "RandomChips":
        """Give the same chips with the boundaries of objects as a target, or without."""
        return _separating(self, separation)

    def place(self, index: int, *, epoch: int = 0) -> tuple[int, Crop]:
        """Give where a chip lies: the number of its scene, and the place in it."""
        if not 0 <= index < self._length:
            raise IndexError(f"an epoch has {self._length} chips, there is no chip {index}")
        rng = np.random.default_rng([self._seed, epoch, index])
        balanced, which, cell_at = rng.random(3)
        row_at, col_at, row_jitter, col_jitter = rng.random(4)
        zoom, angle, mirrored = draw_geometry(self._augmentation, rng)
        weights = self._any
        if balanced < self._class_balance:
            weights = self._of_class[int(which * len(self._of_class))]
        number, row, col = self._place[:, np.searchsorted(weights, int(cell_at * weights[-1]), side="right")].tolist()
        cell, side = self._cell[number], JITTER * self._chip_size / zoom
        height, width = self._scenes[number].grid.shape
        crop = Crop(row=0.0, col=0.0, zoom=zoom, angle=angle, is_mirrored=mirrored)
        reach = crop.reach(self._chip_size)
        row = _moved_in((row + row_at) * cell + side * (2 * row_jitter - 1), reach, height)
        col = _moved_in((col + col_at) * cell + side * (2 * col_jitter - 1), reach, width)
        return number, Crop(row=row, col=col, zoom=zoom, angle=angle, is_mirrored=mirrored)


class SideBySideChips:
    """Validation chips; see `ChipSet`.

    Each unit of validation is covered by squares side by side, centred on it, and every square is seen in a chip that
    is moved into the scene where it would reach beyond it. Chips see what training does not read, and have the labels
    of their square in the unit's own cells: every labelled pixel of validation cells has its label in one chip.
    """

    def __init__(
        self, scenes: Sequence[HeldScene], indices: Sequence[CellIndex], split: Split, *, chip_size: int
    ) -> None:
        """Take scenes with their index and split."""
        self._scenes, self._chip_size = tuple(scenes), chip_size
        self._separation: Separation | None = None
        self._roles = split.roles
        self._cell = [index.cell for index in indices]
        self._readable = [CellMask(roles != TRAIN, cell) for roles, cell in zip(self._roles, self._cell, strict=True)]
        self._places = [
            (number, *place)
            for number, (scene, index, roles) in enumerate(zip(scenes, indices, split.roles, strict=True))
            for place in _val_places(scene.grid.shape, index, roles, chip_size)
        ]

    def __len__(self) -> int:
        return len(self._places)

    def draw(self, index: int, *, epoch: int = 0) -> Chip:
        """Read a chip; the epoch makes no difference."""
        if not 0 <= index < len(self._places):
            raise IndexError(f"there are {len(self._places)} validation chips, there is no chip {index}")
        number, row, col = self.place(index)
        chip = read_square(
            self._scenes[number],
            row,
            col,
            chip_size=self._chip_size,
            readable=self._readable[number],
            separation=self._separation,
        )
        _, unit, *square = self._places[index]
        own = np.ones((self._chip_size, self._chip_size), dtype=bool)
        cells = []
        for axis, (start, first, length) in enumerate(
            zip((row, col), square, self._scenes[number].grid.shape, strict=True)
        ):
            pixels = np.arange(start, start + self._chip_size)
            cells.append(pixels.clip(0, length - 1) // self._cell[number])
            inside = (pixels >= first) & (pixels < first + self._chip_size)
            own &= np.expand_dims(inside, 1 - axis)
        own &= self._roles[number][np.ix_(*cells)] == unit
        for target in (chip.labels, chip.boundary):
            if target is not None:
                target.numpy()[~own] = IGNORE_INDEX
        return chip

    def separating(self, separation: Separation | None) -> "SideBySideChips":
        """Give the same chips with the boundaries of objects as a target, or without."""
        return _separating(self, separation)

    def place(self, index: int) -> tuple[int, int, int]:
        """Give the number of a chip's scene, and the row and column of its first pixel there."""
        number, _, row, col = self._places[index]
        height, width = self._scenes[number].grid.shape
        return number, _moved_within(row, self._chip_size, height), _moved_within(col, self._chip_size, width)


def _separating(chips: Chips, separation: Separation | None) -> Chips:
    """Give a copy of a set of chips, on the same scenes, with another target beside the labels."""
    changed = copy.copy(chips)
    changed._separation = separation
    return changed


def _places_with_labels(
    indices: Sequence[CellIndex], chosen: Sequence[npt.NDArray[np.bool_]]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Give scene, row and column (3, n) of the chosen cells that have labels, and the pixels (K, n) of each class."""
    places, counts = [], []
    for number, (index, keep) in enumerate(zip(indices, chosen, strict=True)):
        rows, cols = np.nonzero(keep & (index.labelled.sum(axis=0) > 0))
        places.append(np.stack([np.full(len(rows), number), rows, cols]))
        counts.append(index.labelled[:, rows, cols])
    return np.concatenate(places, axis=1), np.concatenate(counts, axis=1)


def _moved_in(centre: float, reach: float, length: int) -> float:
    """Move a centre so that what it reaches lies within a length, or evenly beyond both ends."""
    return length / 2 if 2 * reach >= length else min(max(centre, reach), length - reach)


def _val_places(
    shape: tuple[int, int], index: CellIndex, roles: npt.NDArray[np.int32], chip_size: int
) -> list[tuple[int, int, int]]:
    """Give unit, row and column of the chips that cover the units of a scene."""
    places = []
    labelled = index.labelled.sum(axis=0) > 0
    for unit in np.unique(roles[roles >= 0]).tolist():
        own = roles == unit
        if not (own & labelled).any():
            continue
        rows, cols = (np.flatnonzero(own.any(axis=axis)) for axis in (1, 0))
        starts = [
            _starts(int(cells[0]) * index.cell, min((int(cells[-1]) + 1) * index.cell, length), chip_size, length)
            for cells, length in zip((rows, cols), shape, strict=True)
        ]
        for row in starts[0]:
            for col in starts[1]:
                if _touches(own & labelled, row, col, chip_size, index.cell):
                    places.append((unit, row, col))
    return places


def _starts(start: int, stop: int, chip_size: int, length: int) -> list[int]:
    """Give where chips side by side start so that they cover a span, centred on it, and within the scene if they can.

    Law: every pixel of the span lies in exactly one of them.
    """
    count = -(-(stop - start) // chip_size)
    total = count * chip_size
    first = start - (total - (stop - start)) // 2
    first = max(min(first, length - total), 0) if total <= length else first
    first = min(max(first, stop - total), start)
    return [first + number * chip_size for number in range(count)]


def _moved_within(start: int, chip_size: int, length: int) -> int:
    """Move a chip into a scene that is at least as long."""
    return start if chip_size > length else min(max(start, 0), length - chip_size)


def _touches(cells: npt.NDArray[np.bool_], row: int, col: int, chip_size: int, cell: int) -> bool:
    rows, cols = (slice(max(0, start) // cell, -(-(start + chip_size) // cell)) for start in (row, col))
    return bool(cells[rows, cols].any())
