"""What a network is trained to minimise: the losses put together, on coarse logits and on points."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from geodeeplab.errors import OptionError
from geodeeplab.models import ModelClass
from geodeeplab.models.heads.aspp import resize
from geodeeplab.models.network import SegmentationNetwork
from geodeeplab.models.pointrend import labels_at, point_logits
from geodeeplab.training.chip import IGNORE_INDEX
from geodeeplab.training.loop.losses import (
    DICE_AVERAGES,
    boundary_loss,
    cross_entropy,
    dice_loss,
    drop_classes,
    focal_loss,
    lovasz_softmax,
    mixed_cross_entropy,
)

POINTREND_LABEL_STRIDE = 4
"""With PointRend, whose points carry the detail, the coarse loss sees every fourth label along each axis."""


@dataclass(frozen=True, kw_only=True)
class Objective:
    """The parts of the loss and their shares.

    The loss of logits is (1 − dice_fraction − lovasz_fraction) · pixelwise + the two others with their fractions; the
    pixelwise loss is cross-entropy or focal. A network with PointRend adds the pixelwise loss of its points with the
    weight of that of the coarse logits (1 : 1 in the paper).
    """

    class_weights: tuple[float, ...] | None = None
    """Weight of each class in the pixelwise loss; None for the same."""
    label_smoothing: float = 0.05
    """Of the cross-entropy: share of the target that is spread over all classes."""
    focal_gamma: float | None = None
    """Exponent of the focal loss, which then takes the place of the cross-entropy."""
    dice_fraction: float = 0.0
    """Share of the Dice loss."""
    dice_average: str = "macro"
    """`macro` or `micro`."""
    lovasz_fraction: float = 0.0
    """Share of the Lovász-softmax loss."""
    ignore_classes: tuple[int, ...] = ()
    """Class indices whose pixels count nowhere."""
    mixup: float = 0.0
    """Parameter α of mixup's Beta(α, α); 0 for no mixup."""
    boundary_weight: float = 1.0
    """Weight of the boundaries' loss beside that of the classes, where the network finds boundaries; above 0."""

    def __post_init__(self) -> None:
        """Check the numbers.

        Raises:
            OptionError: if one is out of its range, or two do not go together.
        """
        if min(self.dice_fraction, self.lovasz_fraction) < 0 or self.dice_fraction + self.lovasz_fraction > 1:
            raise OptionError(
                f"the fractions of Dice and Lovász are 0 to 1 together, not {self.dice_fraction:g} and "
                f"{self.lovasz_fraction:g}: lower them"
            )
        if not 0 <= self.label_smoothing < 1:
            raise OptionError(f"label smoothing is from 0 to below 1, not {self.label_smoothing:g}")
        if self.dice_average not in DICE_AVERAGES:
            raise OptionError(f"Dice is averaged micro or macro, not {self.dice_average!r}: choose one of them")
        if self.boundary_weight <= 0:
            raise OptionError(
                f"the weight of the boundaries' loss is above 0, not {self.boundary_weight:g}: raise it, or leave out "
                "`instances=`"
            )
        if (self.focal_gamma or 0) < 0 or self.mixup < 0:
            raise OptionError("the focal loss's gamma and mixup's alpha are 0 or more: raise them")
        if self.mixup and (self.focal_gamma is not None or self.dice_fraction or self.lovasz_fraction):
            raise OptionError(
                "mixup has soft labels, which only the cross-entropy takes: "
                "leave out mixup, or the focal loss, Dice and Lovász"
            )

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Give the loss of logits (N, K, ...) and labels (N, ...) without `ignore_classes`."""
        parts = 1 - self.dice_fraction - self.lovasz_fraction, self.dice_fraction, self.lovasz_fraction
        total = parts[0] * self.pixelwise(logits, labels)
        if self.dice_fraction:
            total = total + parts[1] * dice_loss(logits, labels, average=self.dice_average)
        if self.lovasz_fraction:
            total = total + parts[2] * lovasz_softmax(logits, labels)
        return total

    def pixelwise(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Give the cross-entropy, or the focal loss."""
        weights = self._weights(logits)
        if self.focal_gamma is not None:
            return focal_loss(logits, labels, gamma=self.focal_gamma, weights=weights)
        return cross_entropy(logits, labels, weights=weights, label_smoothing=self.label_smoothing)

    def mixed(self, logits: Tensor, labels: Tensor, others: Tensor, share: float) -> Tensor:
        """Give the cross-entropy of mixed images; see `mixed_cross_entropy`."""
        return mixed_cross_entropy(
            logits, labels, others, share, weights=self._weights(logits), label_smoothing=self.label_smoothing
        )

    def clean(self, labels: Tensor) -> Tensor:
        """Give labels in which `ignore_classes` are to be ignored."""
        return drop_classes(labels, self.ignore_classes)

    def _weights(self, logits: Tensor) -> Tensor | None:
        return None if self.class_weights is None else _weights_on(logits.device, self.class_weights)


@lru_cache(maxsize=16)
def _weights_on(device: torch.device, weights: tuple[float, ...]) -> Tensor:
    """Give weights as a tensor that is copied to a device once, not at every step, which would wait for the device."""
    with torch.inference_mode(False):  # whoever asks first, training can use it
        return torch.tensor(weights, device=device)


def training_loss(
    network: SegmentationNetwork,
    images: Tensor,
    labels: Tensor,
    objective: Objective,
    *,
    boundary: Tensor | None = None,
) -> Tensor:
    """Give the loss of a network on normalised images (N, C, H, W) and class indices (N, H, W).

    A network that finds the boundaries of objects has their target, too, `boundary` (N, H, W), see `Chip`.

    The network runs at the precision of the surrounding autocast, the losses in float32. A network that sees its image
    at several scales gets the loss of the fused logits and of each scale's (DeepLabV2, section 4.1.2).
    """
    labels = objective.clean(labels)
    if objective.mixup:
        return _mixed_loss(network, images, labels, objective, boundary)
    coarse, fine, per_scale, contours = _coarse(network, images)
    seen = _seen(network, labels)
    with torch.autocast(images.device.type, enabled=False):
        total = coarse.new_zeros(())
        for logits in (coarse, *per_scale):
            total = total + objective.loss(resize(logits, seen.shape[-2:]), seen)
        if contours is not None and boundary is not None:
            total = total + objective.boundary_weight * boundary_loss(contours[:, 0], boundary)
    if network.point_head is None:
        return total
    points, index = point_logits(network.point_head, coarse, fine, labels != IGNORE_INDEX)
    share = 1 - objective.dice_fraction - objective.lovasz_fraction
    return total + share * objective.pixelwise(points, labels_at(labels, index))


def _seen(network: SegmentationNetwork, labels: Tensor) -> Tensor:
    """Give the labels (N, H / s, W / s) that the coarse logits are compared with."""
    stride = 1 if network.point_head is None else POINTREND_LABEL_STRIDE
    return labels[:, stride // 2 :: stride, stride // 2 :: stride]


def _coarse(network: SegmentationNetwork, images: Tensor) -> tuple[Tensor, list[Tensor], list[Tensor], Tensor | None]:
    """Give the fused coarse logits, float32, the fine levels, each scale's coarse logits if there are several.

    Last come the boundary's logits (N, 1, H, W), if there are some.
    """
    if len(network.scales) == 1:
        coarse, fine, boundary = network.parts(images)
        return coarse.float(), fine, [], boundary
    per_scale = [logits.float() for logits in network.coarse_per_scale(images)]
    if network.point_head is not None or network.boundary_head is not None:
        coarse, fine, boundary = network.parts(images)  # they read the backbone's levels: scale 1 is computed again
        return coarse.float(), fine, per_scale, boundary
    fused = per_scale[0]
    for logits in per_scale[1:]:
        fused = torch.maximum(fused, resize(logits, fused.shape[-2:]))
    return fused, [], per_scale, None


def _mixed_loss(
    network: SegmentationNetwork, images: Tensor, labels: Tensor, objective: Objective, boundary: Tensor | None
) -> Tensor:
    """Mix each image with the one before it in the batch; a pixel, and a point of PointRend, has both their labels."""
    share = float(torch.distributions.Beta(objective.mixup, objective.mixup).sample())
    coarse, fine, per_scale, contours = _coarse(network, share * images + (1 - share) * images.roll(1, 0))
    seen, others = _seen(network, labels), labels.roll(1, 0)
    total = coarse.new_zeros(())
    with torch.autocast(images.device.type, enabled=False):
        for logits in (coarse, *per_scale):
            total = total + objective.mixed(resize(logits, seen.shape[-2:]), seen, seen.roll(1, 0), share)
        if contours is not None and boundary is not None:
            for part, target in ((share, boundary), (1 - share, boundary.roll(1, 0))):
                total = total + part * objective.boundary_weight * boundary_loss(contours[:, 0], target)
    if network.point_head is None:
        return total
    labelled = (labels != IGNORE_INDEX) | (others != IGNORE_INDEX)
    points, index = point_logits(network.point_head, coarse, fine, labelled)
    return total + objective.mixed(points, labels_at(labels, index), labels_at(others, index), share)


def find_ignored(classes: Sequence[ModelClass], wanted: Sequence[str | int]) -> tuple[int, ...]:
    """Find classes to ignore by name or id, as indices.

    Raises:
        OptionError: for one that there is not, or if fewer than two classes are left to learn.
    """
    indices = set()
    for one in wanted:
        found = [index for index, item in enumerate(classes) if one in (item.name, item.id)]
        if not found:
            known = ", ".join(f"{item.name} ({item.id})" for item in classes)
            raise OptionError(f"no class is called {one!r}: ignore_classes are some of {known}")
        indices.add(found[0])
    if len(classes) == 1:
        raise OptionError(
            f"two classes or more are told apart, and these labels have only '{classes[0].name}', as ground without a "
            "label is ignored: make that ground a class with `background='background'`, and where the labels are not "
            "complete, say with `labelled=POLYGONS` where they are"
        )
    if len(classes) - len(indices) < 2:
        raise OptionError(
            f"at least two classes are learned; of {len(classes)}, {len(indices)} are ignored: ignore fewer"
        )
    return tuple(sorted(indices))


def check_two_classes(classes: Sequence[ModelClass], class_pixels: Sequence[int], ignored: Sequence[int]) -> None:
    """Refuse labels in which fewer than two of the classes to learn have training pixels.

    Raises:
        OptionError: for such labels.
    """
    names = [
        item.name
        for index, (item, pixels) in enumerate(zip(classes, class_pixels, strict=True))
        if pixels and index not in ignored
    ]
    if any(class_pixels) and len(names) < 2:  # without any, there is nothing to train
        there = f"only {names[0]!r} has any" if names else "none has any"
        raise OptionError(
            f"two classes or more are told apart, and of {len(classes)} {there} labels to train on: label another "
            "class, or keep other ground to validate on (`val_scenes=`, `split=`, `seed=`)"
        )
