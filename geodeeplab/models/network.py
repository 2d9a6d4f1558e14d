"""The frame that all networks share: backbone → coarse logits → bilinear upsampling or PointRend."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from geodeeplab.models.backbones import Backbone
from geodeeplab.models.heads.aspp import resize
from geodeeplab.models.heads.boundary import BoundaryHead
from geodeeplab.models.heads.fcn import SkipFCNHead
from geodeeplab.models.pointrend import IMAGE_LEVEL, PointHead, subdivide


class SegmentationNetwork(nn.Module):
    """A backbone, a head for coarse logits, and PointRend or bilinear upsampling to the size of the image.

    A network with a boundary head gives one channel more, after the K of the classes: the logit of the boundaries.

    Attributes:
        architecture: the arguments of `build_model` that made it; empty if something else did.
    """

    def __init__(
        self,
        backbone: Backbone,
        classifier: nn.Module,
        point_head: PointHead | None = None,
        boundary_head: BoundaryHead | None = None,
        *,
        fine_levels: Sequence[int] = (0,),
        scales: Sequence[float] = (1.0,),
    ) -> None:
        """Take the parts.

        Args:
            backbone: maps images to levels.
            classifier: maps the levels and the image's shape to coarse logits.
            point_head: PointRend's; without it, logits are upsampled bilinearly.
            boundary_head: finds the boundaries of objects; None for a network of classes alone.
            fine_levels: indices of the levels that the point head reads, `IMAGE_LEVEL` for the image.
            scales: sizes at which the image is seen, the first one 1; their logits are fused by the maximum
                (DeepLabV2, section 4.1.2).
        """
        super().__init__()
        self.backbone = backbone
        self.classifier = classifier
        self.point_head = point_head
        self.boundary_head = boundary_head
        self.fine_levels, self.scales = tuple(fine_levels), tuple(scales)
        self.architecture: Mapping[str, Any] = {}

    def forward(self, images: Tensor, valid: Tensor | None = None) -> Tensor:
        """Give logits (N, K, H, W), float32, of normalised images (N, C, H, W); with a boundary head (N, K + 1, H, W).

        `valid` (N, H, W), True where the image has data, keeps PointRend's points from being spent on nodata.
        """
        coarse, fine, boundary = self.parts(images)
        logits = self.finish(coarse, fine, shape=images.shape[-2:], valid=valid)  # (N, K, H, W)
        return logits if boundary is None else torch.cat([logits, boundary], dim=1)  # (N, K + 1, H, W)

    def finish(self, coarse: Tensor, fine: Sequence[Tensor], *, shape: Sequence[int], valid: Tensor | None) -> Tensor:
        """Give logits (N, K, H, W), float32, of coarse logits (N, K, h, w), fine levels and `shape` (H, W)."""
        if self.point_head is None:
            return resize(coarse.float().contiguous(), shape)  # (N, K, H, W), as they are decided on by planes
        return subdivide(self.point_head, coarse, fine, shape=shape, valid=valid)  # (N, K, H, W)

    def coarse_and_fine(self, images: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Give coarse logits (N, K, h, w), fused over the scales, and the fine levels (N, F_i, h_i, w_i)."""
        coarse, fine, _ = self.parts(images)
        return coarse, fine

    def parts(self, images: Tensor) -> tuple[Tensor, list[Tensor], Tensor | None]:
        """Give the same, and the boundary's logits (N, 1, H, W), float32; None without a boundary head."""
        levels = self.backbone(images)
        coarse, fine = self._at_scale_one(levels, images)
        for scale in self.scales[1:]:
            coarse = torch.maximum(coarse, resize(self._coarse_at(images, scale), coarse.shape[-2:]))
        if self.boundary_head is None:
            return coarse, fine, None
        shape = images.shape[-2], images.shape[-1]
        return coarse, fine, self.boundary_head([self._on_image(levels, i, shape) for i in range(len(levels))], shape)

    def coarse_per_scale(self, images: Tensor) -> list[Tensor]:
        """Give each scale's coarse logits (N, K, h_i, w_i): V2 adds their losses to that of the maximum."""
        return [self._coarse_at(images, scale) for scale in self.scales]

    def _at_scale_one(self, levels: Sequence[Tensor], images: Tensor) -> tuple[Tensor, list[Tensor]]:
        height, width = images.shape[-2:]
        coarse = self.classifier(levels, (height, width))  # (N, K, h, w)
        if self.point_head is None:
            return coarse, []
        if isinstance(self.classifier, SkipFCNHead):  # its logits have the image's size: give PointRend its stride
            coarse = resize(coarse, [-(-side // self.classifier.stride) for side in (height, width)])
        fine = [images if i == IMAGE_LEVEL else self._on_image(levels, i, (height, width)) for i in self.fine_levels]
        return coarse, fine

    def _on_image(self, levels: Sequence[Tensor], i: int, shape: tuple[int, int]) -> Tensor:
        """Give the cells of a level on the grid of an image of `shape`."""
        return align(levels[i], stride=self.backbone.strides[i], origin=self.backbone.origins[i], shape=shape)

    def _coarse_at(self, images: Tensor, scale: float) -> Tensor:
        height, width = (max(1, round(side * scale)) for side in images.shape[-2:])
        coarse: Tensor = self.classifier(self.backbone(resize(images, (height, width))), (height, width))
        return coarse


def without_boundary(network: nn.Module) -> nn.Module:
    """Give a network of the classes alone, on the same tensors; one without a boundary head as it is.

    Law: its logits are the K first of the network's, to the bit.
    """
    if not isinstance(network, SegmentationNetwork) or network.boundary_head is None:
        return network
    plain = SegmentationNetwork(
        network.backbone,
        network.classifier,
        network.point_head,
        fine_levels=network.fine_levels,
        scales=network.scales,
    )
    plain.architecture = {key: value for key, value in network.architecture.items() if key != "boundary"}
    plain.training = network.training
    return plain


def align(level: Tensor, *, stride: int, origin: int, shape: tuple[int, int]) -> Tensor:
    """Give a map's cells on the grid of an image of `shape` (H, W): (N, C, ⌈H/stride⌉, ⌈W/stride⌉).

    A map whose first cell begins at pixel `origin` is cropped, and interpolated linearly where the grids are a
    fraction of a cell apart.
    """
    if origin == 0:
        return level
    for dim, side in zip((-2, -1), shape, strict=True):
        cells = -(-side // stride)
        whole = math.floor(-origin / stride)
        share = -origin / stride - whole
        here = level.narrow(dim, whole, cells)
        level = here if share == 0 else torch.lerp(here, level.narrow(dim, whole + 1, cells), share)
    return level
