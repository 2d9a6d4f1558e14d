"""A chip, one training sample, and what a set of chips is."""

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

IGNORE_INDEX = 255
"""Label of pixels that no loss and no metric counts."""


@dataclass(frozen=True, kw_only=True)
class Chip:
    """One training sample of S × S pixels."""

    pixels: Tensor
    """(C, S, S) float32, in the numbers of the training scenes as they are stored."""
    valid: Tensor
    """(S, S) bool, True where the scene has data."""
    labels: Tensor
    """(S, S) uint8, class indices from 0, or `IGNORE_INDEX`."""
    boundary: Tensor | None = None
    """(S, S) uint8, 1 on the boundaries of objects, 0 elsewhere, `IGNORE_INDEX` where nobody can tell; None where they
    are not learnt. See `Separation`."""


class ChipSet(Protocol):
    """Chips to train or to score on; can be pickled, and opens its files anew in every process."""

    def __len__(self) -> int:
        """Give the number of chips of one epoch."""
        ...

    def draw(self, index: int, *, epoch: int = 0) -> Chip:
        """Give a chip; the same one for the same index and epoch, in whichever process.

        Raises:
            SceneError: a file is missing or damaged.
        """
        ...
