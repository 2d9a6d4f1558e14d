import sys
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torchvision.models import densenet121, efficientnet_v2_s, mobilenet_v2, mobilenet_v3_large, resnet18, vgg16_bn

from geodeeplab.errors import ModelError
from geodeeplab.models import BACKBONES, build_backbone
from geodeeplab.models.backbones import DilatedPool, UnpaddedVGG, build_fcn_vgg, dilate, first_centre
from tests.examples import few

SQUEEZE_AND_EXCITATION = (
    "mobilenet_v3_large", "mobilenet_v3_small", "efficientnet_v2_s", "efficientnet_b4", "efficientnet_b4_csmask",
)  # fmt: skip
EXACT = [name for name in BACKBONES if name not in SQUEEZE_AND_EXCITATION]
DEEPER = ("vgg16_bn", "vgg19", "vgg19_bn", "densenet169", "resnet34", "resnet101", "resnext50_32x4d", "wide_resnet50_2")
"""Of the same parts as networks that are tried quickly, and more of them."""
LARGE = ("wide_resnet101_2", "resnext101_32x8d", "resnext101_64x4d", "resnet152", "densenet161", "densenet201")


SAME_PADDING = ("efficientnet_lite0", "timm:tf_mobilenetv3_small_minimal_100")


def randomise_statistics(network: nn.Module) -> None:
    """Give batch norm statistics that a trained network could have; fresh ones hide mistakes."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean = torch.randn(module.num_features) * 0.1
            module.running_var = torch.rand(module.num_features) + 0.5


def relative_difference(got: Tensor, expected: Tensor) -> float:
    return float((got - expected).abs().max() / expected.abs().max())


def check_exactness(name: str, sizes: tuple[tuple[int, int], ...]) -> None:
    torch.manual_seed(0)
    strided = build_backbone(name, output_stride=32).eval()
    randomise_statistics(strided)
    for output_stride in (16, 8):
        with torch.device("meta"):  # it takes the other's weights
            dense = build_backbone(name, output_stride=output_stride).eval()
        dense.load_state_dict(strided.state_dict(), assign=True)
        step = strided.strides[-1] // dense.strides[-1]  # one that is cut at C4 has stride 16 at most
        for size in sizes:
            image = torch.randn(1, 3, *size)
            with torch.no_grad():
                expected, got = strided(image)[-1], dense(image)[-1]
            first = [first_centre(cells, step) if name in SAME_PADDING else 0 for cells in got.shape[-2:]]
            assert relative_difference(got[..., first[0] :: step, first[1] :: step], expected) <= 1e-5


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[pytest.mark.slow] if n in LARGE + DEEPER else []) for n in EXACT]
)
def test_dilation_equals_stride_where_both_have_a_cell(name: str) -> None:
    check_exactness(name, sizes=((64, 96), (71, 97)))


TIMM_EXACT = [
    "regnetx_002", "mobilenetv4_conv_small", "resnet26d", "resnetaa50d", "resnext50_32x4d", "densenet121", "resnet50d",
]  # fmt: skip


@pytest.mark.parametrize("name", few(TIMM_EXACT, 3))
def test_dilation_of_timms_networks_is_exact_too(name: str) -> None:
    pytest.importorskip("timm")
    check_exactness(f"timm:{name}", sizes=((45, 71),))


def test_timms_networks_with_same_padding_are_exact_on_whole_cells() -> None:
    pytest.importorskip("timm")
    check_exactness("timm:tf_mobilenetv3_small_minimal_100", sizes=((64, 96),))


@pytest.mark.parametrize("output_stride", few([16, 8, 32], 1))
@pytest.mark.parametrize("name", [name for name in BACKBONES if name not in LARGE])
def test_the_levels_have_the_shapes_that_the_backbone_states(name: str, output_stride: int) -> None:
    with torch.device("meta"), torch.no_grad():  # shapes only
        backbone = build_backbone(name, output_stride=output_stride, in_channels=5).eval()
        levels = backbone(torch.zeros(1, 5, 45, 70))
    native = (4, 8, 16, 16 if name in ("resnet18_c4", "efficientnet_b4_csmask") else 32)
    assert backbone.strides == tuple(min(stride, output_stride) for stride in native)
    expected = [(c, -(-45 // s), -(-70 // s)) for c, s in zip(backbone.channels, backbone.strides, strict=True)]
    assert [tuple(level.shape[1:]) for level in levels] == expected


def test_a_torchvision_for_another_torch_is_told_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torchvision.models", None)
    with pytest.raises(ModelError, match=r"torchvision \S+ does not load beside torch \S+ .*install both again"):
        build_backbone("resnet18", output_stride=8)


@pytest.mark.parametrize(
    ("name", "build", "dropped"),
    few(
        [
            ("resnet18", resnet18, ("fc.",)),
            ("vgg16_bn", vgg16_bn, ("classifier.",)),
            ("densenet121", densenet121, ("classifier.",)),
            ("mobilenet_v2", mobilenet_v2, ("classifier.", "features.18.")),
            ("mobilenet_v3_large", mobilenet_v3_large, ("classifier.",)),
            ("efficientnet_v2_s", efficientnet_v2_s, ("classifier.", "features.7.")),
        ],
        2,
    ),
)
def test_a_classifier_of_torchvision_loads_without_its_end(
    name: str, build: Callable[..., nn.Module], dropped: tuple[str, ...]
) -> None:
    with torch.device("meta"):  # names and shapes
        weights = build(weights=None).state_dict()
    kept = {
        key.removeprefix("features."): torch.rand(value.shape).to(value.dtype)
        for key, value in weights.items()
        if not key.startswith(dropped)
    }
    backbone = build_backbone(name, output_stride=8)
    backbone.load_state_dict(kept, strict=True)
    assert all(torch.equal(value, kept[key]) for key, value in backbone.state_dict().items())


@pytest.mark.parametrize(("output_stride", "expected"), [(32, [1, 2, 4]), (16, [2, 4, 8]), (8, [4, 8, 16])])
def test_multi_grid_multiplies_the_last_stages_rate(output_stride: int, expected: list[int]) -> None:
    with torch.device("meta"):  # rates only
        backbone = build_backbone("resnet50", output_stride=output_stride, multi_grid=(1, 2, 4))
        plain = build_backbone("resnet50", output_stride=output_stride)

    def rates(network: nn.Module) -> dict[str, int]:
        return {
            name: m.dilation[0]
            for name, m in network.named_modules()
            if isinstance(m, nn.Conv2d) and m.kernel_size == (3, 3)
        }

    last = [name for name in rates(backbone) if name.startswith("layer4")]
    assert [rates(backbone)[name] for name in last] == expected
    assert all(rate == rates(plain)[name] for name, rate in rates(backbone).items() if name not in last)


@pytest.mark.slow
def test_with_multi_grid_strides_16_and_8_are_equal_where_both_have_a_cell() -> None:
    torch.manual_seed(0)
    sparse, dense = (build_backbone("resnet50", output_stride=s, multi_grid=(1, 2, 4)).eval() for s in (16, 8))
    randomise_statistics(sparse)
    dense.load_state_dict(sparse.state_dict())
    image = torch.randn(1, 3, 71, 97)
    with torch.no_grad():
        assert relative_difference(dense(image)[-1][..., ::2, ::2], sparse(image)[-1]) <= 1e-5


@pytest.mark.parametrize(
    ("average", "expected"), [(False, [3.0, 9.0, 3.0, 9.0, 2.0]), (True, [2.0, 5.0, 2.5, 9.0, 2.0])]
)
def test_a_dilated_pool_by_hand(average: bool, expected: list[float]) -> None:
    row = torch.tensor([1.0, 1.0, 3.0, 9.0, 2.0])  # the last two have no partner two cells on
    pooled = DilatedPool(dilation=2, average=average)(row.view(1, 1, 1, 5))
    assert pooled.flatten().tolist() == expected


def test_deeplabs_vgg_gives_the_papers_map_of_41_cells() -> None:
    backbone = build_backbone("vgg16", output_stride=8, pools="undilated").eval()
    with torch.no_grad():
        deepest = backbone(torch.zeros(1, 3, 321, 33))[-1]
    assert deepest.shape == (1, 512, 41, 5)


def test_the_vgg_of_fcn_begins_99_pixels_before_the_image() -> None:
    torch.manual_seed(0)
    plain, padded = build_backbone("vgg16", output_stride=32).eval(), build_fcn_vgg("vgg16").eval()
    padded.load_state_dict(plain.state_dict())
    image = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        framed = plain(torch.nn.functional.pad(image, (99, 99, 99, 99)))
        levels = padded(image)
    assert padded.origins == (-99,) * 4
    for level, expected in zip(levels, framed, strict=True):
        inside = (..., slice(2, -2), slice(2, -2))  # at the frame's edge one convolution pads each layer, the other not
        assert level.shape == expected.shape
        assert level[inside].numel() == 0 or torch.allclose(level[inside], expected[inside], atol=1e-4)


@pytest.mark.parametrize(("name", "margin"), [("vgg16", 186), ("vgg19", 214)])
@pytest.mark.parametrize("shape", [(32, 33), (1, 7), (300, 20)])
def test_the_vgg_of_dilatednet_leaves_fc6_a_cell_for_each_of_the_images(
    name: str, margin: int, shape: tuple[int, int]
) -> None:
    with torch.device("meta"):
        backbone = UnpaddedVGG(name).eval()
        deepest = backbone(torch.empty(1, 3, *shape))[-1]
    assert backbone.margin == margin
    assert tuple(side - 24 for side in deepest.shape[-2:]) == tuple(-(-side // 8) for side in shape)
    assert all(origin % stride == 0 for origin, stride in zip(backbone.origins, backbone.strides, strict=True))


def test_the_vgg_of_dilatednet_reflects_the_image_as_numpy_does() -> None:
    backbone = UnpaddedVGG("vgg16")
    seen: list[Tensor] = []
    backbone["0"].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    image = torch.arange(2 * 5.0).view(1, 1, 2, 5).expand(1, 3, 2, 5)
    with torch.no_grad():
        backbone(image)
    expected = np.pad(image[0, 0].numpy(), ((186, 186 + 6), (186, 186 + 3)), mode="reflect")
    assert np.array_equal(seen[0][0, 0].numpy(), expected)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "resnet19"}, "no backbone is called 'resnet19'"),
        ({"name": "resnet18", "output_stride": 4}, "output stride is 8, 16 or 32, not 4"),
        ({"name": "resnet18", "in_channels": 0}, "at least one band, not 0"),
        ({"name": "resnet50", "multi_grid": (1, 2)}, "one factor a block: the last stage has 3"),
        ({"name": "mobilenet_v3_large", "multi_grid": (1, 2, 4)}, "is for ResNets"),
        ({"name": "timm:resnet19"}, "timm knows no network 'resnet19'"),
        ({"name": "timm:vit_tiny_patch16_224"}, "gives maps of strides 16, 16, 16"),
        ({"name": "timm:maxvit_tiny_tf_224"}, "takes images of one size only"),
        ({"name": "timm:swin_tiny_patch4_window7_224"}, "not one chain of convolutions and pools"),
        ({"name": "timm:convnext_atto"}, "not one chain of convolutions and pools"),
        ({"name": "timm:resnetv2_50x1_bit"}, "cannot trade the stride of"),
    ],
)
def test_refusals(arguments: dict[str, object], message: str) -> None:
    if str(arguments["name"]).startswith("timm:"):
        pytest.importorskip("timm")
    with pytest.raises(ModelError, match=message):
        build_backbone(**arguments)  # type: ignore[arg-type]


def test_without_timm_its_networks_are_refused_with_the_command_that_helps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(ModelError, match="pip install 'geodeeplab\\[train\\]'"):
        build_backbone("timm:resnet18")


@pytest.mark.parametrize("name", ["swin_tiny_patch4_window7_224", "convnext_atto"])
def test_what_cannot_be_dilated_serves_at_its_native_strides(name: str) -> None:
    pytest.importorskip("timm")
    backbone = build_backbone(f"timm:{name}", output_stride=32).eval()
    with torch.no_grad():
        levels = backbone(torch.randn(1, 3, 45, 70))
    assert [tuple(level.shape[-2:]) for level in levels] == [(12, 18), (6, 9), (3, 5), (2, 3)]
    assert [level.shape[1] for level in levels] == list(backbone.channels)


def test_an_even_kernel_is_not_dilated() -> None:
    with pytest.raises(ModelError, match="cannot trade the stride of 1 "):
        dilate(nn.Sequential(nn.Conv2d(3, 3, 3, stride=4), nn.Conv2d(3, 3, 2, stride=2)), 4)
