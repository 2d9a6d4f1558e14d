"""ResNet (He et al. 2016, arXiv 1512.03385), wide ResNet (1605.07146) and ResNeXt (1611.05431), as torchvision's.

A name that ends in `_c4` is what detection calls C4 (Ren et al. 2015, arXiv 1506.01497): the network up to its fourth
stage, layer3, whose stride is 16. Of ResNet-18 that is a quarter of the weights, as three quarters lie in layer4.
"""

from geodeeplab.models.backbones.dilation import dilate, set_multi_grid
from geodeeplab.models.backbones.extractor import FeatureExtractor, capped_strides
from geodeeplab.models.backbones.torchvision_models import build_classifier

RESNETS = (
    "resnet18",
    "resnet18_c4",
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
C4 = "_c4"
STAGES = ("layer1", "layer2", "layer3", "layer4")


def build_resnet(name: str, *, output_stride: int, multi_grid: tuple[int, ...]) -> FeatureExtractor:
    """Build a ResNet without its pooling and classifier.

    The levels are layer1 to layer4; of one that is cut at C4, layer3 is the last two.
    """
    net = build_classifier(name.removesuffix(C4))
    last = 2 if name.endswith(C4) else 3
    kept = [min(level, last) for level in range(4)]  # the stage that each level is of
    left_out = {"avgpool", "fc", *STAGES[kept[-1] + 1 :]}
    strides = capped_strides(output_stride)
    backbone = FeatureExtractor(
        {child: layer for child, layer in net.named_children() if child not in left_out},
        levels=[STAGES[stage] for stage in kept],
        channels=[net.fc.in_features // 8 * 2**stage for stage in kept],
        strides=[strides[stage] for stage in kept],
    )
    dilate(backbone, output_stride)
    set_multi_grid(net.get_submodule(STAGES[kept[-1]]), multi_grid)
    return backbone
