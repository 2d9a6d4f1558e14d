from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torchvision.models.segmentation import (
    deeplabv3_mobilenet_v3_large,
    deeplabv3_resnet50,
    deeplabv3_resnet101,
    fcn_resnet50,
    fcn_resnet101,
)

from geodeeplab.errors import ModelError
from geodeeplab.models import build_model
from tests.examples import few


@pytest.mark.parametrize(
    ("torchvision_builder", "arguments"),
    few(
        [
            (fcn_resnet50, {"arch": "fcn", "backbone": "resnet50"}),
            (deeplabv3_resnet50, {"backbone": "resnet50", "output_stride": 8}),
            (deeplabv3_mobilenet_v3_large, {"backbone": "mobilenet_v3_large", "atrous_rates": (12, 24, 36)}),
            (fcn_resnet101, {"arch": "fcn", "backbone": "resnet101"}),
            (deeplabv3_resnet101, {"backbone": "resnet101", "output_stride": 8}),
        ],
        3,
    ),
)
def test_logits_equal_torchvisions(torchvision_builder: Callable[..., nn.Module], arguments: dict[str, Any]) -> None:
    torch.manual_seed(0)
    theirs = torchvision_builder(weights=None, weights_backbone=None, num_classes=21).eval()
    ours = build_model(num_classes=21, **arguments).eval()
    ours.load_state_dict(theirs.state_dict(), strict=True)
    image = torch.randn(1, 3, 97, 128)
    with torch.no_grad():
        expected = theirs(image)["out"]
        assert (ours(image) - expected).abs().max() <= 1e-5 * expected.abs().max().clamp(min=1)


def test_atrous_rates_follow_the_output_stride() -> None:
    def rates(**arguments: Any) -> list[int]:  # noqa: ANN401 - arguments of any type
        with torch.device("meta"):
            network = build_model(backbone="resnet18", num_classes=3, **arguments)
        return [m.dilation[0] for m in network.classifier.modules() if isinstance(m, nn.Conv2d) and m.dilation[0] > 1]

    assert rates(arch="deeplabv1") == [12]
    assert rates(arch="deeplabv1", output_stride=16) == [6]
    assert rates(arch="deeplabv2") == [6, 12, 18, 24]
    assert rates(arch="deeplabv3") == [6, 12, 18]
    assert rates(arch="deeplabv3", output_stride=8) == [12, 24, 36]
    assert rates(arch="deeplabv3plus", output_stride=32) == [3, 6, 9]
    assert rates(arch="deeplabv3", atrous_rates=[2, 5]) == [2, 5]


def test_paper_variants_are_arguments() -> None:
    paper = build_model(backbone="resnet50", num_classes=3, multi_grid=(1, 2, 4), extra_conv=False, aspp_dropout=0.1)
    assert [type(layer).__name__ for layer in paper.classifier.children()] == ["ASPP", "Conv2d"]
    assert [m.p for m in paper.modules() if isinstance(m, nn.Dropout)] == [0.1]


def test_without_dilation_pointrend_bridges_a_stride_of_32() -> None:
    network = build_model(backbone="resnet18", num_classes=3, pointrend=True, keep_dilation=False).eval()
    with torch.no_grad():
        coarse, _ = network.coarse_and_fine(torch.randn(1, 3, 96, 64))
    assert coarse.shape == (1, 3, 3, 2)
    assert all(m.dilation == (1, 1) for m in network.backbone.modules() if isinstance(m, nn.Conv2d))


def test_a_network_knows_how_it_was_built() -> None:
    network = build_model(arch="deeplabv2", backbone="resnet18", num_classes=3, scales=(1.0, 0.5), output_stride=16)
    assert network.architecture == {
        "arch": "deeplabv2",
        "backbone": "resnet18",
        "num_classes": 3,
        "in_channels": 3,
        "scales": [1.0, 0.5],
        "output_stride": 16,
    }
    again = build_model(**network.architecture)
    assert again.state_dict().keys() == network.state_dict().keys()


def test_a_training_batch_of_one_is_refused_clearly_where_batch_norm_needs_more() -> None:
    for arch in ("deeplabv3", "deeplabv3plus"):
        network = build_model(arch=arch, backbone="resnet18", num_classes=3, aspp_channels=16).train()
        with pytest.raises(ModelError, match="batches of 2 or more"):
            network(torch.randn(1, 3, 64, 64))
    for arch in ("fcn", "deeplabv1", "deeplabv2"):
        network = build_model(arch=arch, backbone="resnet18", num_classes=3).train()
        assert network(torch.randn(1, 3, 64, 64)).isfinite().all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"arch": "deeplabv9"}, "no architecture is called 'deeplabv9'"),
        ({"num_classes": 1}, "2 to 255 classes, not 1"),
        ({"num_classes": 256}, "2 to 255 classes, not 256"),
        ({"arch": "fcn8s", "backbone": "resnet18"}, "fcn8s is a network on VGG.*not on resnet18"),
        ({"arch": "dilatednet", "backbone": "densenet121"}, "dilatednet is a network on VGG"),
        ({"arch": "fcn32s", "backbone": "vgg16", "output_stride": 8}, "of output stride 32, not 8"),
        ({"arch": "dilatednet", "backbone": "vgg16", "multi_grid": (1, 2, 4)}, "multi_grid .* is for ResNets"),
        ({"context": "large"}, "context is an option of dilatednet: leave it out for deeplabv3"),
        (
            {"arch": "deeplabv1", "aspp_channels": 64},
            "option of deeplabv3, deeplabv3plus: leave it out for deeplabv1",
        ),
        ({"arch": "deeplabv1", "atrous_rates": (6, 12)}, "one atrous rate, not 2"),
        ({"atrous_rates": (0, 12)}, "whole numbers from 1"),
        ({"scales": (0.5, 1.0)}, "scales begin with 1"),
        ({"keep_dilation": False}, "set `pointrend=True`"),
        ({"keep_dilation": False, "pointrend": True, "output_stride": 8}, "means output stride 32"),
        ({"pointrend": True, "fine_levels": (0, 4)}, "distinct numbers of 0, 1, 2, 3"),
        ({"pointrend": True, "fine_levels": (-2,)}, "each of fine_levels is a whole number from -1"),
        ({"pointrend": True, "pixels_per_point": 0}, "pixels_per_point is a whole number from 1 to 65536, not 0"),
        ({"arch": "dilatednet", "backbone": "vgg16", "context": "huge"}, "no context module is called 'huge'"),
    ],
)
def test_refusals(arguments: dict[str, Any], message: str) -> None:
    defaults: dict[str, Any] = {"backbone": "resnet18", "num_classes": 3}
    with pytest.raises(ModelError, match=message), torch.device("meta"):
        build_model(**defaults | arguments)
