"""DenseNet (Huang et al. 2017, arXiv 1608.06993), as torchvision's."""

from torch import nn

from geodeeplab.models.backbones.dilation import dilate, round_up_pools
from geodeeplab.models.backbones.extractor import FeatureExtractor, capped_strides
from geodeeplab.models.backbones.torchvision_models import build_classifier

DENSENETS = ("densenet121", "densenet161", "densenet169", "densenet201")


def build_densenet(name: str, *, output_stride: int) -> FeatureExtractor:
    """Build a DenseNet without its classifier; the levels are the dense blocks, the last one normalised, with ReLU.

    A transition ends in a 2 × 2 average pool; without its stride it averages the same four cells, further apart.
    """
    net = build_classifier(name)
    layers = dict(net.features.named_children()) | {"relu5": nn.ReLU(inplace=True)}
    widths = [net.features.get_submodule(f"transition{i}.norm").num_features for i in (1, 2, 3)]
    backbone = FeatureExtractor(
        layers,
        levels=("denseblock1", "denseblock2", "denseblock3", "relu5"),
        channels=[*widths, net.classifier.in_features],
        strides=capped_strides(output_stride),
    )
    round_up_pools(backbone)
    dilate(backbone, output_stride)
    return backbone
