import pytest
import torch
from torch import nn

from geodeeplab.models.backbones import build_backbone
from geodeeplab.models.heads.deeplabv2 import ASPP_L, ASPP_S, SummedASPPHead


@pytest.mark.parametrize("rates", [ASPP_S, ASPP_L])
def test_parameter_counts_on_vgg_are_the_papers(rates: tuple[int, ...]) -> None:
    with torch.device("meta"):
        network = build_backbone("vgg16", output_stride=8), SummedASPPHead(512, 21, rates=rates)
    assert sum(p.numel() for module in network for p in module.parameters()) == 37_877_652


def test_parameter_count_on_resnet() -> None:
    with torch.device("meta"):
        backbone = build_backbone("resnet101", output_stride=8)
        head = SummedASPPHead(2048, 21, hidden_channels=None)
    assert sum(p.numel() for p in head.parameters()) == 4 * (2048 * 9 * 21 + 21)
    total = sum(p.numel() for module in (backbone, head) for p in module.parameters())
    assert total == pytest.approx(44.05e6, abs=5e3)


@pytest.mark.parametrize("hidden_channels", [None, 8])
def test_logits_are_the_sum_of_the_branches(hidden_channels: int | None) -> None:
    head = SummedASPPHead(6, 4, rates=(1, 2, 5), hidden_channels=hidden_channels).eval()
    x = torch.randn(2, 6, 7, 9)
    logits = head([torch.randn(2, 3, 28, 36), x], (56, 72))
    assert logits.shape == (2, 4, 7, 9)
    torch.testing.assert_close(logits, sum(branch(x) for branch in head.branches))


@pytest.mark.parametrize("hidden_channels", [None, 8])
def test_each_branch_has_its_rate(hidden_channels: int | None) -> None:
    head = SummedASPPHead(6, 4, rates=ASPP_S, hidden_channels=hidden_channels)
    atrous = [layer for layer in head.modules() if isinstance(layer, nn.Conv2d) and layer.kernel_size == (3, 3)]
    assert [layer.dilation for layer in atrous] == [(rate, rate) for rate in ASPP_S]


def test_dropout_follows_fc6_and_fc7() -> None:
    head = SummedASPPHead(6, 4, hidden_channels=8)
    assert [layer.p for layer in head.modules() if isinstance(layer, nn.Dropout)] == [0.5] * 8


def test_a_training_batch_of_one_cell_is_fine() -> None:
    for hidden_channels in (None, 8):
        head = SummedASPPHead(6, 4, hidden_channels=hidden_channels).train()
        head([torch.randn(1, 6, 1, 1)], (8, 8)).sum().backward()
        assert all(p.grad is not None for p in head.parameters())
