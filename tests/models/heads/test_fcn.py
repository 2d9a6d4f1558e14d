import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models.segmentation.fcn import FCNHead

from geodeeplab.errors import ModelError
from geodeeplab.models.backbones import build_fcn_vgg
from geodeeplab.models.heads.bilinear import bilinear_kernel
from geodeeplab.models.heads.fcn import VGG_ORIGIN, DilatedFCNHead, SkipFCNHead


def parameter_count(*modules: nn.Module) -> int:
    return sum(p.numel() for module in modules for p in module.parameters())


def levels_of(shape: tuple[int, int], channels: tuple[int, int, int]) -> list[Tensor]:
    """Random pool3, pool4, pool5 of an image of `shape` that was padded by 99 on each side."""
    return [
        torch.rand(2, count, *(-(-(side + 198) // stride) for side in shape))
        for count, stride in zip(channels, (8, 16, 32), strict=True)
    ]


def test_the_dilated_head_is_torchvisions() -> None:
    theirs, ours = FCNHead(16, 5).eval(), DilatedFCNHead(16, 5).eval()
    ours.load_state_dict(theirs.state_dict(), strict=True)
    x = torch.randn(2, 16, 7, 9)
    assert torch.equal(ours([x], (56, 72)), theirs(x))


def test_the_dilated_head_refuses_to_train_on_a_single_cell() -> None:
    head = DilatedFCNHead(16, 5)
    with pytest.raises(ModelError, match="2 or more cells"):
        head([torch.randn(1, 16, 1, 1)], (8, 8))
    assert head([torch.randn(2, 16, 1, 1)], (8, 8)).shape == (2, 5, 1, 1)
    assert head.eval()([torch.randn(1, 16, 1, 1)], (8, 8)).shape == (1, 5, 1, 1)


@pytest.mark.parametrize(("skips", "scores"), [(0, 0), (1, 512 * 21 + 21), (2, 768 * 21 + 42)])
def test_parameter_counts_are_the_papers(skips: int, scores: int) -> None:
    with torch.device("meta"):
        network = build_fcn_vgg("vgg16"), SkipFCNHead((256, 512, 512), 21, skips=skips)
    assert parameter_count(*network) == 134_346_581 + scores


def test_the_origin_is_the_backbones() -> None:
    with torch.device("meta"):
        assert set(build_fcn_vgg("vgg16").origins) == {VGG_ORIGIN}


@pytest.mark.parametrize("skips", [0, 1, 2])
@pytest.mark.parametrize("shape", [(1, 1), (33, 33), (32, 95), (97, 64)])
def test_logits_have_the_shape_of_the_image(skips: int, shape: tuple[int, int]) -> None:
    head = SkipFCNHead((3, 4, 5), 6, skips=skips, fc_channels=8)
    logits = head(levels_of(shape, (3, 4, 5)), shape)
    assert logits.shape == (2, 6, *shape)
    assert head.stride == 32 >> skips
    assert not logits.any()  # the score layers begin at zero


@pytest.mark.parametrize("skips", [0, 1, 2])
def test_logits_follow_the_authors_network_files(skips: int) -> None:
    head = SkipFCNHead((3, 4, 5), 6, skips=skips, fc_channels=8).eval()
    for layer in [head.score_fr, *head.score_pools]:
        nn.init.normal_(layer.weight)
    pool3, pool4, pool5 = levels = levels_of((75, 130), (3, 4, 5))

    def upscore(x: Tensor, factor: int) -> Tensor:
        weight = torch.zeros(6, 6, 2 * factor, 2 * factor)
        weight[range(6), range(6)] = bilinear_kernel(factor)
        return F.conv_transpose2d(x, weight, stride=factor)

    def fuse(x: Tensor, skip: Tensor, offset: int) -> Tensor:
        height, width = x.shape[-2:]
        return x + skip[..., offset : offset + height, offset : offset + width]

    x = head.score_fr(head.fc(pool5))
    if skips >= 1:
        x = fuse(upscore(x, 2), head.score_pools[0](pool4), 5)
    if skips >= 2:
        x = fuse(upscore(x, 2), head.score_pools[1](pool3), 9)
    offset = (19, 27, 31)[skips]
    expected = upscore(x, 32 >> skips)[..., offset : offset + 75, offset : offset + 130]
    torch.testing.assert_close(head(levels, (75, 130)), expected)


@pytest.mark.parametrize("skips", [0, 1, 2])
def test_logits_lie_where_the_pixels_are(skips: int) -> None:
    """Maps that hold each cell's own place: every map of the sum gives the place of the pixel."""
    head = SkipFCNHead((1, 1, 1), 1, skips=skips, fc_channels=1).eval()
    for layer in head.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.zeros_(layer.weight)
            centre = layer.kernel_size[0] // 2
            layer.weight.data[..., centre, centre] = 1
    shape, shift = (97, 160), 500.0  # the shift keeps places positive, for ReLU
    levels = []
    for stride in (8, 16, 32):
        rows, cols = (-(-(side + 198) // stride) for side in shape)
        places = VGG_ORIGIN + stride * (torch.arange(cols) + 0.5)
        levels.append((places + shift).expand(1, 1, rows, cols))
    logits = head(levels, shape)[0, 0] / (skips + 1) - shift
    inner = slice(48, -48)  # beyond, the transposed convolutions fade
    torch.testing.assert_close(logits[48, inner], torch.arange(160)[inner] + 0.5, atol=1e-3, rtol=0)


def test_gradients_reach_everything_but_the_kernels() -> None:
    head = SkipFCNHead((3, 4, 5), 6, skips=2, fc_channels=8)
    for layer in [head.score_fr, *head.score_pools]:
        nn.init.normal_(layer.weight)
    head(levels_of((33, 40), (3, 4, 5)), (33, 40)).square().mean().backward()
    assert [name for name, p in head.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_other_numbers_of_skips_are_refused() -> None:
    with pytest.raises(ModelError, match=r"0 skips \(32s\), 1 \(16s\) or 2 \(8s\), not 3"):
        SkipFCNHead((3, 4, 5), 6, skips=3)
