"""Weights in 16 bits, made once."""

from typing import Any

import pytest
import torch
from torch import nn

from geodeeplab.inference.weights import rounded_once
from geodeeplab.models import build_model
from tests.examples import few

NETWORKS: list[dict[str, Any]] = [
    {"arch": "deeplabv3", "backbone": "efficientnet_lite0", "pointrend": True},
    {"arch": "deeplabv3plus", "backbone": "mobilenet_v3_large"},
    {"arch": "deeplabv3", "backbone": "resnet18", "pointrend": True},
    {"arch": "fcn", "backbone": "vgg16"},
]


def images() -> torch.Tensor:
    return torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("arguments", few(NETWORKS, 1), ids=lambda one: f"{one['arch']} {one['backbone']}")
@pytest.mark.parametrize("dtype", [torch.bfloat16])
def test_logits_are_the_same_to_the_bit_and_the_network_stays_as_it_is(
    arguments: dict[str, Any], dtype: torch.dtype
) -> None:
    torch.manual_seed(0)
    network = build_model(num_classes=4, in_channels=3, **arguments).eval()
    before = {name: one.clone() for name, one in network.state_dict().items()}
    rounded = rounded_once(network, dtype)
    with torch.inference_mode(), torch.autocast("cpu", dtype):
        assert torch.equal(rounded(images()), network(images()))
    assert sum(one.dtype == dtype for one in rounded.parameters()) > 5
    for name, one in network.state_dict().items():
        assert one.dtype == before[name].dtype
        assert torch.equal(one, before[name])


def test_float32_and_networks_of_others_are_left_alone() -> None:
    own = build_model(arch="deeplabv3", backbone="efficientnet_lite0", num_classes=2, in_channels=3)
    assert rounded_once(own, None) is own
    other = nn.Sequential(nn.Conv2d(3, 2, 1))
    assert rounded_once(other, torch.bfloat16) is other
