import pytest
import torch
from torch import Tensor, nn

from geodeeplab.errors import ModelError
from geodeeplab.models.backbones import UnpaddedVGG
from geodeeplab.models.heads.dilatednet import ContextModule, DilatedNetHead, identity_


def parameter_count(*modules: nn.Module) -> int:
    return sum(p.numel() for module in modules for p in module.parameters())


@pytest.mark.parametrize(("size", "parameters"), [("basic", 28_392), ("large", 6_803_139)])
def test_parameter_counts_are_the_papers(size: str, parameters: int) -> None:
    with torch.device("meta"):
        context = ContextModule(21, size=size)
        network = UnpaddedVGG("vgg16"), DilatedNetHead(512, 21, context=size)
    assert parameter_count(context) == parameters
    assert parameter_count(*network) == 134_346_581 + parameters


def test_the_front_end_has_the_parameters_of_fcn() -> None:
    with torch.device("meta"):
        network = UnpaddedVGG("vgg16"), DilatedNetHead(512, 21)
    assert parameter_count(*network) == 134_346_581


@pytest.mark.parametrize("shape", [(1, 1), (16, 17), (33, 41)])
@pytest.mark.parametrize("context", [None, "basic"])
def test_logits_cover_the_image_at_stride_eight(shape: tuple[int, int], context: str | None) -> None:
    with torch.device("meta"):  # shapes only
        backbone, head = UnpaddedVGG("vgg16"), DilatedNetHead(512, 3, fc_channels=4, context=context)
        logits = head(backbone(torch.empty(1, 3, *shape)), shape)
    assert logits.shape == (1, 3, -(-shape[0] // 8), -(-shape[1] // 8))


@pytest.mark.parametrize(("size", "noise"), [("basic", 0.01), ("large", 0.0)])
def test_context_begins_as_the_identity(size: str, noise: float) -> None:
    logits = torch.randn(2, 3, 6, 9)
    torch.testing.assert_close(ContextModule(3, size=size, noise=noise)(logits), logits.relu())


def test_noise_is_all_there_is_beside_the_identity() -> None:
    layer = nn.Conv2d(4, 8, 3)
    identity_(layer, groups=2, noise=0.01)
    assert layer.bias is not None
    assert not layer.bias.any()
    centre = layer.weight[:, :, 1, 1]
    assert (centre[:4, :2] == 0.25).all()
    assert (centre[4:, 2:] == 0.25).all()
    rest = layer.weight.detach().clone()
    rest[:4, :2, 1, 1] = rest[4:, 2:, 1, 1] = 0
    assert 0 < rest.abs().max() < 0.06


@pytest.mark.parametrize(("inputs", "outputs"), [(3, 6), (6, 6), (6, 12), (12, 3), (3, 3)])
def test_identity_keeps_the_sum_of_each_class(inputs: int, outputs: int) -> None:
    layer = nn.Conv2d(inputs, outputs, 1)
    identity_(layer, groups=3, noise=0.0)
    x = torch.rand(1, inputs, 2, 2)

    def sums(maps: Tensor) -> Tensor:
        return maps.reshape(1, 3, -1, 2, 2).sum(dim=2)

    torch.testing.assert_close(sums(layer(x)), sums(x))


def test_context_sees_67_cells() -> None:
    context = ContextModule(1)
    for layer in context:
        if isinstance(layer, nn.Conv2d):
            nn.init.constant_(layer.weight, 0.1)
    x = torch.rand(1, 1, 81, 81, requires_grad=True)
    context(x)[0, 0, 40, 40].backward()
    assert x.grad is not None
    seen = x.grad[0, 0].nonzero()
    assert seen.amin(dim=0).tolist() == [7, 7]
    assert seen.amax(dim=0).tolist() == [73, 73]


def test_fc6_is_dilated_by_four_and_not_padded() -> None:
    head = DilatedNetHead(5, 3, fc_channels=4, context="basic")
    assert head([torch.randn(2, 5, 26, 29)], (16, 40)).shape == (2, 3, 2, 5)


def test_gradients_reach_every_parameter() -> None:
    head = DilatedNetHead(5, 3, fc_channels=4, context="large", dropout=0.0)
    head([torch.randn(1, 5, 26, 29)], (16, 40)).square().mean().backward()
    assert [name for name, p in head.named_parameters() if p.grad is None] == []


def test_an_unknown_context_is_refused() -> None:
    with pytest.raises(ModelError, match="no context module is called 'huge': choose one of basic, large"):
        DilatedNetHead(5, 3, context="huge")
