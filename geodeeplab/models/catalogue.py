"""The papers' own pairings of backbone and head, and torchvision's, in one table."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from geodeeplab.errors import ModelError
from geodeeplab.models.architecture import Architecture
from geodeeplab.models.assembly import build_network
from geodeeplab.models.network import SegmentationNetwork

VOC_CLASSES = 21
COUNTED_SIDE = 512


@dataclass(frozen=True, kw_only=True)
class Published:
    """A network as it was published."""

    arguments: Mapping[str, Any]
    """The arguments of `build_model` that make it, but for the classes and the bands."""
    source: str
    """Paper or implementation."""
    mean_iou: str
    """The mean IoU in per cent that its authors report, and on what; nothing here is trained."""


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What a network costs."""

    parameters: int
    """Trainable numbers."""
    gflops: float
    """10⁹ operations for an image of 512 × 512 × 3; a multiplication and an addition are two."""
    output_stride: int
    """Image pixels per cell of the backbone's deepest level."""


FCN = "Long et al. 2015, arXiv 1411.4038"
TORCHVISION = "torchvision"
V1 = "Chen et al. 2015, arXiv 1412.7062"
V2 = "Chen et al. 2018, arXiv 1606.00915"
V3 = "Chen et al. 2017, arXiv 1706.05587"
V3_PLUS = "Chen et al. 2018, arXiv 1802.02611"
DILATED = "Yu and Koltun 2016, arXiv 1511.07122"
POINTREND = "Kirillov et al. 2020, arXiv 1912.08193"
PAPER_V3 = {"arch": "deeplabv3", "multi_grid": (1, 2, 4), "extra_conv": False, "aspp_dropout": 0.1}

PUBLISHED: dict[str, Published] = {
    "fcn32s_vgg16": Published(
        arguments={"arch": "fcn32s", "backbone": "vgg16"}, source=FCN, mean_iou="63.6 VOC 2011 val"
    ),
    "fcn16s_vgg16": Published(
        arguments={"arch": "fcn16s", "backbone": "vgg16"}, source=FCN, mean_iou="65.0 VOC 2011 val"
    ),
    "fcn8s_vgg16": Published(
        arguments={"arch": "fcn8s", "backbone": "vgg16"}, source=FCN, mean_iou="65.5 VOC 2011 val"
    ),
    "fcn_resnet50": Published(
        arguments={"arch": "fcn", "backbone": "resnet50"}, source=TORCHVISION, mean_iou="60.5 COCO val, VOC classes"
    ),
    "fcn_resnet101": Published(
        arguments={"arch": "fcn", "backbone": "resnet101"}, source=TORCHVISION, mean_iou="63.7 COCO val, VOC classes"
    ),
    "dilatednet_vgg16": Published(
        arguments={"arch": "dilatednet", "backbone": "vgg16"}, source=DILATED, mean_iou="67.6 VOC 2012 test"
    ),
    "dilatednet_vgg16_basic": Published(
        arguments={"arch": "dilatednet", "backbone": "vgg16", "context": "basic"},
        source=DILATED,
        mean_iou="71.3 VOC 2012 val, with COCO",
    ),
    "dilatednet_vgg16_large": Published(
        arguments={"arch": "dilatednet", "backbone": "vgg16", "context": "large"},
        source=DILATED,
        mean_iou="72.1 VOC 2012 val, with COCO",
    ),
    "deeplabv1_vgg16": Published(
        arguments={
            "arch": "deeplabv1",
            "backbone": "vgg16",
            "fov_kernel": 4,
            "atrous_rates": (4,),
            "fc_channels": 4096,
        },
        source=V1,
        mean_iou="59.8 VOC 2012 val, 63.7 with CRF",
    ),
    "deeplabv1_vgg16_7x7": Published(
        arguments={
            "arch": "deeplabv1",
            "backbone": "vgg16",
            "fov_kernel": 7,
            "atrous_rates": (4,),
            "fc_channels": 4096,
        },
        source=V1,
        mean_iou="64.4 VOC 2012 val, 67.6 with CRF",
    ),
    "deeplabv1_vgg16_largefov": Published(
        arguments={"arch": "deeplabv1", "backbone": "vgg16"}, source=V1, mean_iou="62.3 VOC 2012 val, 67.6 with CRF"
    ),
    "deeplabv2_vgg16_aspp_s": Published(
        arguments={"arch": "deeplabv2", "backbone": "vgg16", "atrous_rates": (2, 4, 8, 12)},
        source=V2,
        mean_iou="67.0 VOC 2012 val",
    ),
    "deeplabv2_vgg16_aspp_l": Published(
        arguments={"arch": "deeplabv2", "backbone": "vgg16"}, source=V2, mean_iou="72.6 VOC 2012 test, with CRF"
    ),
    "deeplabv2_resnet101": Published(
        arguments={"arch": "deeplabv2", "backbone": "resnet101", "scales": (1.0, 0.75, 0.5)},
        source=V2,
        mean_iou="76.4 VOC 2012 val, 77.7 with CRF, with COCO",
    ),
    "deeplabv3_resnet50": Published(
        arguments={"arch": "deeplabv3", "backbone": "resnet50", "output_stride": 8},
        source=TORCHVISION,
        mean_iou="66.4 COCO val, VOC classes",
    ),
    "deeplabv3_resnet101": Published(
        arguments={"arch": "deeplabv3", "backbone": "resnet101", "output_stride": 8},
        source=TORCHVISION,
        mean_iou="67.4 COCO val, VOC classes",
    ),
    "deeplabv3_mobilenet_v3_large": Published(
        arguments={"arch": "deeplabv3", "backbone": "mobilenet_v3_large", "atrous_rates": (12, 24, 36)},
        source=TORCHVISION,
        mean_iou="60.3 COCO val, VOC classes",
    ),
    "deeplabv3_resnet101_paper": Published(
        arguments=PAPER_V3 | {"backbone": "resnet101"}, source=V3, mean_iou="77.2 VOC 2012 val"
    ),
    "deeplabv3_resnet101_pointrend": Published(
        arguments=PAPER_V3 | {"backbone": "resnet101", "pointrend": True},
        source=POINTREND,
        mean_iou="78.4 Cityscapes val",
    ),
    "deeplabv3plus_resnet101": Published(
        arguments={"arch": "deeplabv3plus", "backbone": "resnet101", "multi_grid": (1, 2, 4)},
        source=V3_PLUS,
        mean_iou="78.1 Cityscapes val, by detectron2",
    ),
    "deeplabv3plus_resnet101_separable": Published(
        arguments={"arch": "deeplabv3plus", "backbone": "resnet101", "multi_grid": (1, 2, 4), "separable": True},
        source=V3_PLUS,
        mean_iou="not reported on this backbone",
    ),
}


def build_published(
    name: str, *, num_classes: int = VOC_CLASSES, in_channels: int = 3, pointrend: bool = False
) -> SegmentationNetwork:
    """Build an untrained network with the numbers of its paper, or torchvision's.

    Args:
        name: a key of `PUBLISHED`.
        num_classes: classes; by default the 21 of Pascal VOC.
        in_channels: bands of the images.
        pointrend: refine with PointRend, whatever the paper did.

    Raises:
        ModelError: for an unknown name.
    """
    if name not in PUBLISHED:
        raise ModelError(f"no published network is called {name!r}: choose one of {', '.join(PUBLISHED)}")
    arguments = dict(PUBLISHED[name].arguments)
    arguments["pointrend"] = pointrend or arguments.get("pointrend", False)
    return build_network(Architecture(**arguments, num_classes=num_classes, in_channels=in_channels))


@cache
def measure_cost(name: str) -> Cost:
    """Count the parameters and operations of a published network with 21 classes, without computing anything."""
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        network = build_published(name).eval()
        network(torch.empty(1, 3, COUNTED_SIDE, COUNTED_SIDE))
    return Cost(
        parameters=sum(parameter.numel() for parameter in network.parameters()),
        gflops=counter.get_total_flops() / 1e9,
        output_stride=network.backbone.strides[-1],
    )
