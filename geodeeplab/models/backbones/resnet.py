"""ResNet (He et al. 2016, arXiv 1512.03385), wide ResNet (1605.07146) and ResNeXt (1611.05431), as torchvision's."""

from geodeeplab.models.backbones.dilation import dilate, set_multi_grid
from geodeeplab.models.backbones.extractor import FeatureExtractor, capped_strides
from geodeeplab.models.backbones.torchvision_models import build_classifier

RESNETS = (
    "resnet18",
    "resnet34",
    "resnet50",
    "resnet101",
    "resnet152",
    "wide_resnet50_2",
    "wide_resnet101_2",
    "resnext50_32x4d",
    "resnext101_32x8d",
    "resnext101_64x4d",
)


def build_resnet(name: str, *, output_stride: int, multi_grid: tuple[int, ...]) -> FeatureExtractor:
    """Build a ResNet without its pooling and classifier; the levels are layer1 to layer4."""
    net = build_classifier(name)
    layers = {child: layer for child, layer in net.named_children() if child not in ("avgpool", "fc")}
    deepest = net.fc.in_features
    backbone = FeatureExtractor(
        layers,
        levels=("layer1", "layer2", "layer3", "layer4"),
        channels=[deepest // factor for factor in (8, 4, 2, 1)],
        strides=capped_strides(output_stride),
    )
    dilate(backbone, output_stride)
    set_multi_grid(net.layer4, multi_grid)
    return backbone
