"""Test-time augmentation: the network sees each tile flipped and turned, too, and the mean of its answers counts."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from geodeeplab.errors import OptionError

Forward = Callable[[Tensor, Tensor], Tensor]
"""From images (N, C, H, W) and `valid` (N, H, W) to logits (N, K, H, W)."""


@dataclass(frozen=True, kw_only=True)
class Transform:
    """A symmetry of the square: a flip from left to right or none, then quarter turns."""

    is_flipped: bool = False
    """Swap left and right first."""
    quarter_turns: int = 0
    """Anticlockwise, 0 to 3."""

    def apply(self, x: Tensor) -> Tensor:
        """Transform a map (..., H, W); no value changes."""
        flipped = x.flip(-1) if self.is_flipped else x
        return flipped.rot90(self.quarter_turns, (-2, -1)) if self.quarter_turns else flipped

    def undo(self, x: Tensor) -> Tensor:
        """Transform a map (..., H, W) back.

        Law: `undo(apply(x))` is x.
        """
        turned = x.rot90(-self.quarter_turns, (-2, -1)) if self.quarter_turns else x
        return turned.flip(-1) if self.is_flipped else turned


IDENTITY = Transform()
TRANSFORMS: dict[str, tuple[Transform, ...]] = {
    "none": (IDENTITY,),
    "flips": (
        IDENTITY,
        Transform(is_flipped=True),
        Transform(is_flipped=True, quarter_turns=2),  # top and bottom swapped
        Transform(quarter_turns=2),
    ),
    "d4": tuple(Transform(is_flipped=flip, quarter_turns=turns) for flip in (False, True) for turns in range(4)),
}
"""What the network sees by the name of the augmentation; each set is closed: one after another gives one of them."""


def check_tta(tta: str) -> str:
    """Give the name back.

    Raises:
        OptionError: if no test-time augmentation is called so.
    """
    if tta not in TRANSFORMS:
        raise OptionError(f"test-time augmentation is one of {', '.join(TRANSFORMS)}, not {tta!r}: choose among them")
    return tta


def average(forward: Forward, images: Tensor, valid: Tensor, tta: str, *, num_classes: int | None = None) -> Tensor:
    """Give the mean of the log-probabilities (N, K, H, W), float32, that the network has for each transform.

    They are logits again, so that blending stays in logits. `none` gives the network's logits as they are. Of channels
    that are no class's, as that of boundaries, it is the mean of the logits.

    Law: the mean of transformed images is the transformed mean, up to the rounding of a sum in another order.

    Args:
        forward: called once for each transform, one after the other, always in the same order.
        images: (N, C, H, W).
        valid: (N, H, W), transformed with them.
        tta: a name of `TRANSFORMS`.
        num_classes: K, where the network gives more channels; by default all are classes'.
    """
    transforms = TRANSFORMS[check_tta(tta)]
    if len(transforms) == 1:
        return forward(images, valid)
    total = torch.zeros((), device=images.device)
    for transform in transforms:
        logits = forward(transform.apply(images), transform.apply(valid)).float()
        classes, others = logits[:, :num_classes], logits[:, logits.shape[1] if num_classes is None else num_classes :]
        total = total + transform.undo(torch.cat([classes.log_softmax(1), others], dim=1))
    return total / len(transforms)
