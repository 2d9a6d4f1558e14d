import pytest
import torch
from torch import Tensor, nn

from geodeeplab.errors import ModelError
from geodeeplab.models.heads.aspp import ASPP, separable_conv_bn_relu
from geodeeplab.models.heads.deeplabv3plus import DeepLabV3PlusHead


def small_head(*, separable: bool = False) -> DeepLabV3PlusHead:
    return DeepLabV3PlusHead(
        *(12, 4), low_level_channels=6, aspp_channels=8, low_level_projection=5, decoder_channels=7, separable=separable
    )


def levels(batch: int = 2) -> list[Tensor]:
    shapes = [(6, 17, 23), (9, 9, 12), (10, 5, 6), (12, 5, 6)]
    return [torch.randn(batch, *shape) for shape in shapes]


def parameter_count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize("separable", [False, True])
def test_logits_have_stride_four(separable: bool) -> None:
    assert small_head(separable=separable)(levels(), (65, 90)).shape == (2, 4, 17, 23)


@pytest.mark.parametrize("separable", [False, True])
def test_every_parameter_gets_a_gradient(separable: bool) -> None:
    head = small_head(separable=separable)
    head(levels(), (65, 90)).square().mean().backward()
    assert [name for name, p in head.named_parameters() if p.grad is None] == []


def test_the_parts_by_hand() -> None:
    """The counts of the published sizes on ResNet's 2048 and 256 channels; batch norm has 2 a channel."""
    with torch.device("meta"):
        head = DeepLabV3PlusHead(2048, 21, low_level_channels=256)
    assert parameter_count(head.low_level) == 256 * 48 + 2 * 48
    assert parameter_count(head.decoder) == (256 + 48) * 9 * 256 + 512 + 256 * 9 * 256 + 512
    assert parameter_count(head.classifier) == 256 * 21 + 21
    assert parameter_count(head.aspp) == (2 + 3 * 9) * 2048 * 256 + 5 * 512 + 5 * 256 * 256 + 512


def test_the_separable_parts_by_hand() -> None:
    with torch.device("meta"):
        head = DeepLabV3PlusHead(2048, 21, low_level_channels=256, separable=True)
    assert parameter_count(head.decoder) == (304 * 9 + 608 + 304 * 256 + 512) + (256 * 9 + 512 + 256 * 256 + 512)
    atrous = 2048 * 9 + 2 * 2048 + 2048 * 256 + 512
    assert parameter_count(head.aspp) == 3 * atrous + 2 * (2048 * 256 + 512) + 5 * 256 * 256 + 512
    assert all(layer.dilation == (1, 1) for layer in head.decoder.modules() if isinstance(layer, nn.Conv2d))


def test_a_separable_convolution_is_its_two_factors() -> None:
    separable = separable_conv_bn_relu(3, 5, dilation=2)
    assert [type(layer).__name__ for layer in separable] == ["Conv2d", "BatchNorm2d", "ReLU"] * 2
    assert [(c.groups, c.kernel_size, c.dilation) for c in separable if isinstance(c, nn.Conv2d)] == [
        (3, (3, 3), (2, 2)),
        (1, (1, 1), (1, 1)),
    ]
    assert separable(torch.randn(2, 3, 7, 8)).shape == (2, 5, 7, 8)


def test_the_plain_pyramid_keeps_its_keys() -> None:
    keys = [key for key in ASPP(6, rates=(1, 2), out_channels=4).state_dict() if key.endswith("0.weight")]
    assert keys == ["convs.0.0.weight", "convs.1.0.weight", "convs.2.0.weight", "project.0.weight"]


def test_a_training_batch_of_one_is_refused_and_runs_in_evaluation() -> None:
    head = small_head()
    with pytest.raises(ModelError, match="batches of 2 or more"):
        head(levels(batch=1), (65, 90))
    assert head.eval()(levels(batch=1), (65, 90)).shape == (1, 4, 17, 23)


def test_detail_comes_from_the_first_level_and_meaning_from_the_last() -> None:
    head = small_head().eval()
    first, *between, last = levels()
    logits = head([first, *between, last], (65, 90))
    moved = first.clone()
    moved[..., 8, 10] += 10
    changed = (head([moved, *between, last], (65, 90)) - logits).abs().amax(dim=(0, 1)) > 0
    rows, cols = changed.nonzero().amin(dim=0), changed.nonzero().amax(dim=0)
    assert (rows >= torch.tensor([6, 8])).all()  # two 3 × 3 convolutions reach two cells
    assert (cols <= torch.tensor([10, 12])).all()
    assert not torch.equal(head([first, *between, last + 1], (65, 90)), logits)
