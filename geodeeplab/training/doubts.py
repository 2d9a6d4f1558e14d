"""What speaks against a split."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from geodeeplab.models import ModelClass
from geodeeplab.training.sampling.ground import grounds_of
from geodeeplab.training.sampling.leakage import Leakage
from geodeeplab.training.sampling.split import Split
from geodeeplab.training.scenes.held import HeldScene

MOST_LISTED = 4
"""Names that a message lists."""


def find_doubts(
    scenes: Sequence[HeldScene],
    classes: Sequence[ModelClass],
    split: Split,
    leakage: Leakage,
    counts: tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]],
) -> list[str]:
    """Give what speaks against a split, a line each.

    Args:
        scenes: all scenes.
        classes: of the labels.
        split: of the scenes.
        leakage: ground in common.
        counts: (K,) labelled pixels of training and of validation.
    """
    doubts = []
    if split.kind == "random":
        doubts.append(
            "split='random' leaks: validation chips adjoin training chips and show the same objects, and scenes of the "
            "same ground are on both sides, so scores are too good; split='blocks' keeps them apart"
        )
    if leakage.share:
        pairs = _listed([f"'{train}' and '{val}'" for train, val in leakage.pairs])
        doubts.append(
            f"the split leaks: {100 * leakage.share:.0f} % of the validation scenes' ground is in training scenes, too "
            f"({pairs}), so scores are too good; split='blocks' keeps them apart"
        )
    if split.kind == "blocks" and leakage.unknown and len(grounds_of([scene.grid for scene in scenes])) > 1:
        doubts.append(
            f"{len(leakage.unknown)} of {len(scenes)} scenes have no CRS ({_listed(leakage.unknown)}), so nobody can "
            "tell whether they show the same or neighbouring ground; if they do, give groups, one for each scene"
        )
    for side, pixels in zip(("training", "validation"), counts, strict=True):
        missing = [item.name for item, count in zip(classes, pixels, strict=True) if not count]
        if missing:
            doubts.append(
                f"no pixel of {_listed(missing)} is among the {side} pixels: give smaller blocks, or label more of it"
            )
    return doubts


def _listed(names: Sequence[str]) -> str:
    rest = len(names) - MOST_LISTED
    return ", ".join(names[:MOST_LISTED]) + (f", and {rest} more" if rest > 0 else "")
