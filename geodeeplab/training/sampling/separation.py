"""Which pixels of a chip lie on the boundaries of objects: the target of a network that tells objects apart."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from geodeeplab.errors import OptionError
from geodeeplab.models import ModelClass
from geodeeplab.training.chip import IGNORE_INDEX

BOUNDARY_PX = 2
"""Width of boundaries in pixels: what is left of a house of 8 pixels is then still a core of 4."""
MOST_BOUNDARY_PX = 16
INSIDE, BOUNDARY = 0, 1
"""Values of the target, beside `IGNORE_INDEX`."""

Ints = npt.NDArray[np.int32]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Separation:
    """Whose objects are told apart, and how wide their boundaries are."""

    classes: tuple[int, ...]
    """Indices of the classes."""
    boundary_px: int = BOUNDARY_PX
    """Width of a boundary in pixels of a chip, 1 to 16."""

    def __post_init__(self) -> None:
        """Check the width.

        Raises:
            OptionError: if it is out of its range.
        """
        if not 1 <= self.boundary_px <= MOST_BOUNDARY_PX:
            raise OptionError(
                f"a boundary is 1 to {MOST_BOUNDARY_PX} pixels wide, not {self.boundary_px}: try {BOUNDARY_PX}"
            )

    def target(self, labels: npt.NDArray[np.uint8], objects: Ints | None) -> npt.NDArray[np.uint8]:
        """Give where boundaries are, `BOUNDARY` or `INSIDE` or `IGNORE_INDEX` (S, S); see `boundary_target`.

        Args:
            labels: (S, S) class indices of a chip, or `IGNORE_INDEX`.
            objects: (S, S) the number of the object that each pixel is of, −1 of none; None: objects are the pixels of
                one class that hang together by their edges, within the chip.
        """
        wanted = np.zeros(256, dtype=np.bool_)
        wanted[list(self.classes)] = True
        if objects is None:
            from geodeeplab.training.sampling.kernels import label_components

            objects = np.empty(labels.shape, dtype=np.int32)
            label_components(labels, wanted, objects)
        else:
            objects = np.where(wanted[labels], objects, np.int32(-1))
        return boundary_target(objects, labels != IGNORE_INDEX, self.boundary_px)


def separation_of(classes: Sequence[ModelClass], names: Sequence[str], *, boundary_px: int) -> Separation:
    """Find classes by their names.

    Raises:
        OptionError: for one that there is not, twice the same, or a width that cannot be.
    """
    known = [item.name for item in classes]
    for name in names:
        if name not in known:
            raise OptionError(
                f"no class is called {name!r}: `instances=` names classes whose objects are told apart, of "
                f"{', '.join(known)}"
            )
    if len(set(names)) != len(names):
        raise OptionError(f"`instances=` names a class twice ({', '.join(names)}): once is enough")
    return Separation(classes=tuple(known.index(name) for name in names), boundary_px=boundary_px)


def boundary_target(objects: Ints, known: Mask, width: int) -> npt.NDArray[np.uint8]:
    """Give (H, W): 1 where boundaries are, 0 elsewhere, `IGNORE_INDEX` where nobody can tell.

    A pixel of an object is on its boundary if another object, or ground without one, lies within `width` pixels of it,
    along rows, columns and diagonals; a pixel between objects, if two of them do. So objects that touch have a line of
    2 · `width` pixels along their common edge, and gaps of up to 2 · `width` − 1 pixels are filled. Ground that is not
    known, and what lies beyond the window, says nothing: a pixel that it could put on a boundary is ignored.

    Laws: the target of a turned or mirrored map is the turned or mirrored target, and numbers of objects do not count,
    only which are the same.

    Args:
        objects: (H, W) the number of the object that each pixel is of, −1 of none.
        known: (H, W), True where `objects` says something.
        width: in pixels, at least 1.
    """
    nothing, beyond = np.int32(-2), np.int32(np.iinfo(np.int32).max)
    most = _over_boxes(np.where(known, objects, nothing), width, np.maximum, nothing)
    least = _over_boxes(np.where(known, objects, beyond), width, np.minimum, beyond)
    least_object = _over_boxes(np.where(known & (objects >= 0), objects, beyond), width, np.minimum, beyond)
    all_known = _over_boxes(known, width, np.logical_and, np.bool_(False))
    is_object = objects >= 0
    on_boundary = np.where(is_object, least < most, (most >= 0) & (least_object < most)) & known
    target = np.where(on_boundary, np.uint8(BOUNDARY), np.uint8(INSIDE))
    target[~on_boundary & ~all_known] = IGNORE_INDEX
    return target


def _over_boxes(values: npt.NDArray[Any], reach: int, combine: np.ufunc, outside: np.generic) -> npt.NDArray[Any]:
    """Combine the values (H, W) of the (2 · reach + 1)² pixels around each one, by doubling along each axis."""
    for _ in range(2):  # along the rows, then, turned over, along the columns
        values = np.pad(values, ((reach, reach), (0, 0)), constant_values=outside)
        side, reached = 2 * reach + 1, 1
        while reached < side:
            step = min(reached, side - reached)
            values = combine(values[:-step], values[step:])
            reached += step
        values = values.T
    return values
