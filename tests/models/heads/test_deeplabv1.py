import pytest
import torch
from torch import nn

from geodeeplab.models.backbones import build_backbone
from geodeeplab.models.heads.deeplabv1 import LargeFOVHead


@pytest.mark.parametrize(
    ("kernel_size", "rate", "hidden_channels", "parameters"),
    [(3, 12, 1024, 20_505_429), (4, 4, 4096, 65_140_565), (4, 8, 4096, 65_140_565), (7, 4, 4096, 134_346_581)],
)
def test_parameter_counts_are_the_papers(kernel_size: int, rate: int, hidden_channels: int, parameters: int) -> None:
    with torch.device("meta"):
        backbone = build_backbone("vgg16", output_stride=8)
        head = LargeFOVHead(512, 21, kernel_size=kernel_size, rate=rate, hidden_channels=hidden_channels)
    assert sum(p.numel() for module in (backbone, head) for p in module.parameters()) == parameters


@pytest.mark.parametrize(("kernel_size", "rate"), [(3, 12), (3, 1), (4, 4), (4, 8), (4, 1), (4, 3), (7, 4)])
def test_every_field_of_view_keeps_the_size(kernel_size: int, rate: int) -> None:
    head = LargeFOVHead(6, 4, kernel_size=kernel_size, rate=rate, hidden_channels=8)
    assert head([torch.randn(2, 6, 5, 9)], (40, 72)).shape == (2, 4, 5, 9)


@pytest.mark.parametrize(
    ("kernel_size", "rate", "taps"),
    [(3, 12, [-12, 0, 12]), (4, 4, [-6, -2, 2, 6]), (7, 4, [-12, -8, -4, 0, 4, 8, 12]), (4, 1, [-1, 0, 1, 2])],
)
def test_the_field_of_view(kernel_size: int, rate: int, taps: list[int]) -> None:
    head = LargeFOVHead(1, 2, kernel_size=kernel_size, rate=rate, hidden_channels=3, average_pool=False).eval()
    for layer in head.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.constant_(layer.weight, 1.0)
    x = torch.ones(1, 1, 1, 41, requires_grad=True)
    head([x.expand(-1, -1, 41, -1)], (328, 328))[0, 0, 20, 20].backward()
    assert x.grad is not None
    assert (x.grad.flatten().nonzero().flatten() - 20).tolist() == taps


def test_average_pooling_is_the_authors() -> None:
    layers = ["fc6", "relu6", "drop6", "fc7", "relu7", "drop7", "fc8"]
    assert [name for name, _ in LargeFOVHead(6, 4, hidden_channels=8).named_children()] == ["pool5a", *layers]
    assert [name for name, _ in LargeFOVHead(6, 4, hidden_channels=8, average_pool=False).named_children()] == layers


def test_the_state_dict_has_the_layers_names() -> None:
    names = [f"{layer}.{kind}" for layer in ("fc6", "fc7", "fc8") for kind in ("weight", "bias")]
    assert list(LargeFOVHead(6, 4, hidden_channels=8).state_dict()) == names


def test_the_classifier_begins_at_a_hundredth() -> None:
    weights = LargeFOVHead(6, 10, hidden_channels=1024).state_dict()
    assert weights["fc8.weight"].std().item() == pytest.approx(0.01, rel=0.05)
    assert not weights["fc8.bias"].any()


def test_a_training_batch_of_one_cell_is_fine() -> None:
    head = LargeFOVHead(6, 4, hidden_channels=8).train()
    head([torch.randn(1, 6, 1, 1)], (8, 8)).sum().backward()
    assert all(p.grad is not None for p in head.parameters())
