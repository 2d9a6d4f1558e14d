from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torchvision.models.segmentation import (
    deeplabv3_mobilenet_v3_large,
    deeplabv3_resnet50,
    deeplabv3_resnet101,
)

from geodeeplab.errors import ModelError
from geodeeplab.models import build_model


@pytest.mark.parametrize(
    ("torchvision_builder", "arguments"),
    [
        (deeplabv3_resnet50, {"backbone": "resnet50", "output_stride": 8}),
        (deeplabv3_resnet101, {"backbone": "resnet101", "output_stride": 8}),
        (deeplabv3_mobilenet_v3_large, {"backbone": "mobilenet_v3_large", "atrous_rates": (12, 24, 36)}),
    ],
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


@pytest.mark.parametrize(
    ("backbone", "parameters"),
    [("resnet50", 39_638_869), ("resnet101", 58_630_997), ("mobilenet_v3_large", 11_025_477)],
)
def test_parameter_counts_are_torchvisions(backbone: str, parameters: int) -> None:
    assert sum(p.numel() for p in build_model(backbone=backbone, num_classes=21).parameters()) == parameters


def test_output_strides_share_a_state_dict() -> None:
    at_16 = build_model(backbone="resnet18", num_classes=3, pointrend=True)
    at_8 = build_model(backbone="resnet18", num_classes=3, pointrend=True, output_stride=8)
    at_8.load_state_dict(at_16.state_dict(), strict=True)
    rates = [m.dilation[0] for m in at_8.classifier.modules() if isinstance(m, nn.Conv2d) and m.dilation != (1, 1)]
    assert rates == [12, 24, 36]


@pytest.mark.parametrize("shape", [(33, 33), (64, 47), (1, 1), (129, 96)])
@pytest.mark.parametrize("pointrend", [False, True])
def test_logits_have_the_shape_of_the_image(shape: tuple[int, int], pointrend: bool) -> None:
    network = build_model(
        backbone="mobilenet_v3_large", num_classes=4, in_channels=6, aspp_channels=16, pointrend=pointrend
    ).eval()
    with torch.no_grad():
        logits = network(torch.randn(1, 6, *shape))
    assert logits.shape == (1, 4, *shape)
    assert logits.dtype == torch.float32
    assert logits.isfinite().all()


def test_every_parameter_gets_a_gradient_where_it_is_used() -> None:
    network = build_model(backbone="resnet18", num_classes=3, aspp_channels=16, pointrend=True).train()
    network(torch.randn(2, 3, 64, 64)).square().mean().backward()
    assert [name for name, p in network.named_parameters() if p.grad is None] == []


def test_a_training_batch_of_one_is_refused_clearly() -> None:
    network = build_model(backbone="resnet18", num_classes=3, aspp_channels=16).train()
    with pytest.raises(ModelError, match="batches of 2 or more"):
        network(torch.randn(1, 3, 64, 64))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"arch": "deeplabv9", "num_classes": 3}, "no architecture is called 'deeplabv9'"),
        ({"num_classes": 1}, "2 to 255 classes, not 1"),
        ({"num_classes": 256}, "2 to 255 classes, not 256"),
    ],
)
def test_refusals(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        build_model(**arguments)


def test_paper_variants_are_arguments() -> None:
    paper = build_model(backbone="resnet50", num_classes=3, multi_grid=(1, 2, 4), extra_conv=False, aspp_dropout=0.1)
    assert [type(layer).__name__ for layer in paper.classifier.children()] == ["ASPP", "Conv2d"]
    assert [m.p for m in paper.modules() if isinstance(m, nn.Dropout)] == [0.1]
