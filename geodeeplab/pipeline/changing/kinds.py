"""The kinds of change between two maps, and unchanged ground, as the classes of one label raster."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geodeeplab.errors import OptionError
from geodeeplab.pipeline.changing.transitions import Band
from geodeeplab.pipeline.evaluating.class_windows import UNKNOWN
from geodeeplab.raster import LabelClass

NOTHING, UNCHANGED = 0, 255
"""Ids of ground without a class in both maps, and of all that is unchanged, where its class does not count."""
LARGEST_ID = 254
PALE = 2 / 3
"""Share of white in the colours of unchanged ground."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Kinds:
    """What can have become of the ground, for K classes: a class each, with an id of its own from 1 to 254."""

    classes: tuple[LabelClass, ...]
    """Unchanged ground of each class, then the kinds of change."""
    changes: tuple[LabelClass, ...]
    """The kinds of change that occur."""
    ends: Mapping[int, tuple[str, str]]
    """Names of the classes before and after, by the id of a kind of change that occurs."""
    table: NDArray[np.uint8]
    """(256, 256) ids by class index before, by row, and after; `NOTHING` where either is unknown."""

    @property
    def unchanged_ids(self) -> NDArray[np.uint8]:
        """Give the ids of unchanged ground (256,) by class index."""
        return np.diagonal(self.table)

    def of(self, band: Band) -> NDArray[np.uint8]:
        """Give the ids of a band's pixels (n, W); what a shifted edge explains is unchanged."""
        ids: NDArray[np.uint8] = self.table[band.before, np.where(band.is_shifted, band.before, band.after)]
        return ids

    def merged(self, ids: NDArray[np.uint8]) -> NDArray[np.int32]:
        """Give ids (n, W) in which unchanged ground is one class, `UNCHANGED`."""
        merging = np.arange(256, dtype=np.int32)
        merging[self.unchanged_ids[self.unchanged_ids != NOTHING]] = UNCHANGED
        return merging[ids]

    def parted(self, ids: NDArray[np.int32], band: Band) -> NDArray[np.uint8]:
        """Give ids of a band (n, W) in which what is `UNCHANGED` has the class that it had before."""
        return np.where(ids == UNCHANGED, self.unchanged_ids[band.before], ids).astype(np.uint8)


def number_kinds(counts: NDArray[np.int64], names: tuple[LabelClass, ...]) -> Kinds:
    """Number unchanged ground and the kinds of change.

    Unchanged ground keeps its class's id, from 1 to 254; kinds of change take the ids that are left, from the smallest.
    All kinds between classes that occur get one, so that whoever looks at the ground can say what neither map shows;
    where there are not enough ids, those that occur.

    Args:
        counts: (K, K) pixels by class before, by row, and after.
        names: the K classes.

    Raises:
        OptionError: there are more than ids.
    """
    is_there = (counts.sum(axis=0) + counts.sum(axis=1)) > 0
    occurring = _pairs(counts > 0)
    pairs = _pairs(is_there[:, None] & is_there[None])
    if len(names) + len(pairs) > LARGEST_ID:
        pairs = occurring
    if len(names) + len(pairs) > LARGEST_ID:
        raise OptionError(
            f"there are {len(names)} classes and {len(pairs)} kinds of change, up to {LARGEST_ID} fit together: merge "
            "classes (`classes=`)"
        )
    kept = {one.id for one in names if 1 <= one.id <= LARGEST_ID}
    free = iter(number for number in range(1, LARGEST_ID + 1) if number not in kept)
    table = np.full((UNKNOWN + 1, UNKNOWN + 1), NOTHING, dtype=np.uint8)
    for index, one in enumerate(names):
        table[index, index] = one.id if one.id in kept else next(free)
    for i, j in pairs:
        table[i, j] = next(free)
    unchanged = [
        LabelClass(id=int(table[index, index]), name=one.name, color=_pale(one.color))
        for index, one in enumerate(names)
    ]
    changes = {
        (i, j): LabelClass(id=int(table[i, j]), name=f"{names[i].name} → {names[j].name}", color=names[j].color)
        for i, j in pairs
    }
    return Kinds(
        classes=(*unchanged, *changes.values()),
        changes=tuple(changes[pair] for pair in occurring),
        ends={changes[i, j].id: (names[i].name, names[j].name) for i, j in occurring},
        table=table,
    )


def _pairs(which: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """List the places of a matrix (K, K) that hold True, the diagonal left out, row by row."""
    return [(i, j) for i, j in np.argwhere(which).tolist() if i != j]


def _pale(color: tuple[int, int, int]) -> tuple[int, int, int]:
    red, green, blue = (round(255 * PALE + value * (1 - PALE)) for value in color)
    return red, green, blue
