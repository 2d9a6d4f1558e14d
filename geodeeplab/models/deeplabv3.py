"""DeepLabV3 (Chen et al. 2017, arXiv 1706.05587): a dilated backbone, ASPP, one classifier, upsampled logits."""

from collections.abc import Sequence

from torch import Tensor, nn

from geodeeplab.models.aspp import ASPP, conv_bn_relu, resize
from geodeeplab.models.backbones import FeatureExtractor
from geodeeplab.models.pointrend import PointHead, subdivide


class DeepLabV3Head(nn.Sequential):
    """ASPP, torchvision's extra 3 × 3 convolution (not in the paper, optional), and the 1 × 1 classifier."""

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        *,
        rates: Sequence[int] = (6, 12, 18),
        aspp_channels: int = 256,
        aspp_dropout: float = 0.5,
        extra_conv: bool = True,
    ) -> None:
        """Take the backbone's channels, the classes, and ASPP's numbers."""
        aspp = ASPP(in_channels, rates=rates, out_channels=aspp_channels, dropout=aspp_dropout)
        between = conv_bn_relu(aspp_channels, aspp_channels, kernel_size=3) if extra_conv else ()
        super().__init__(aspp, *between, nn.Conv2d(aspp_channels, num_classes, 1))


class SegmentationNetwork(nn.Module):
    """A backbone, a head for coarse logits, and PointRend or bilinear upsampling to the size of the image."""

    def __init__(self, backbone: FeatureExtractor, classifier: nn.Module, point_head: PointHead | None = None) -> None:
        """Take the three parts; without a point head, logits are upsampled bilinearly."""
        super().__init__()
        self.backbone = backbone
        self.classifier = classifier
        self.point_head = point_head

    def forward(self, images: Tensor, valid: Tensor | None = None) -> Tensor:
        """Give logits (N, K, H, W), float32, of normalised images (N, C, H, W).

        `valid` (N, H, W), True where the image has data, keeps PointRend's points from being spent on nodata.
        """
        coarse, fine = self.coarse_and_fine(images)
        if self.point_head is None:
            return resize(coarse.float(), images.shape[-2:])
        return subdivide(self.point_head, coarse, [fine], shape=images.shape[-2:], valid=valid)

    def coarse_and_fine(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Give the coarse logits (N, K, h, w) at the output stride, and the fine features (N, F, H/4, W/4)."""
        fine, out = self.backbone(images)
        return self.classifier(out), fine
