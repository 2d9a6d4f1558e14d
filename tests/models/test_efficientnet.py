import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from geodeeplab.errors import ModelError
from geodeeplab.models import build_backbone, build_model, iter_bundled, load_pretrained
from geodeeplab.models.backbones import EfficientNet, dilate, first_centre
from geodeeplab.models.backbones.efficientnet import INPUT_MEAN, INPUT_STD
from geodeeplab.models.backbones.same import SameConv2d
from geodeeplab.models.weights.weight_files import BUNDLED_WEIGHTS, find_weights

NAME = "efficientnet_lite0"
SIZES = [(64, 96), (71, 97), (33, 65), (1, 46)]


@cache
def pretrained(*, output_stride: int = 32) -> EfficientNet:
    backbone = build_backbone(NAME, output_stride=output_stride).eval()
    assert isinstance(backbone, EfficientNet)
    backbone.load_state_dict(dict(find_weights("imagenet", arch=None, backbone=NAME).tensors), strict=False)
    return backbone


def noise(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def difference(got: Tensor, expected: Tensor) -> float:
    assert got.shape == expected.shape
    return float((got - expected).abs().max() / expected.abs().max())


@pytest.fixture(scope="module")
def timms() -> nn.Module:
    timm = pytest.importorskip("timm")
    network: nn.Module = timm.create_model("tf_efficientnet_lite0", pretrained=False, features_only=True).eval()
    tensors = dict(find_weights("imagenet", arch=None, backbone=NAME).tensors)
    unexpected = network.load_state_dict(tensors, strict=False)
    assert not unexpected.unexpected_keys
    assert all(key.endswith("num_batches_tracked") for key in unexpected.missing_keys)
    return network


@pytest.mark.parametrize("size", SIZES)
def test_the_five_maps_are_those_of_timm(timms: nn.Module, size: tuple[int, int]) -> None:
    image, backbone = noise(2, 3, *size), pretrained()
    with torch.no_grad():
        fine, levels, expected = backbone.forward_fine(image), backbone(image), timms(image)
    assert [level.shape[1] for level in fine] == [backbone.fine_channels, *backbone.channels]
    assert all(difference(got, want) <= 1e-5 for got, want in zip(fine, expected, strict=True))
    assert all(torch.equal(got, want) for got, want in zip(levels, fine[1:], strict=True))


@pytest.mark.parametrize("output_stride", [16, 8])
@pytest.mark.parametrize("size", [*SIZES, (50, 84), (7, 128)])
def test_with_its_weights_dense_equals_strided_counted_from_the_last_cell(
    output_stride: int, size: tuple[int, int]
) -> None:
    image, step = noise(1, 3, *size), 32 // output_stride
    with torch.no_grad():
        dense, strided = pretrained(output_stride=output_stride)(image)[-1], pretrained()(image)[-1]
    row, col = (first_centre(cells, step) for cells in dense.shape[-2:])
    assert difference(dense[..., row::step, col::step], strided) <= 1e-5


def randomise(network: nn.Module) -> None:
    """Give a network statistics and biases that a trained one could have; fresh ones hide mistakes."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            values = noise(module.num_features)
            module.running_mean, module.running_var = values * 0.1, values**2 + 0.5
        elif isinstance(module, nn.Conv2d) and module.bias is not None:
            nn.init.constant_(module.bias, 0.1)


@pytest.mark.parametrize("name", ["efficientnet_b4", "efficientnet_b4_csmask"])
def test_b4_is_that_of_timm(name: str) -> None:
    timm = pytest.importorskip("timm")
    backbone = build_backbone(name, in_channels=6, output_stride=32).eval()
    randomise(backbone)
    with torch.device("meta"):
        theirs: Any = timm.create_model("tf_efficientnet_b4", in_chans=6, features_only=True)
    if name.endswith("csmask"):
        conv = theirs.blocks[2][0].conv_dw
        theirs.blocks[2][0].conv_dw = nn.Conv2d(
            conv.in_channels, conv.out_channels, 5, stride=2, padding=2, groups=conv.groups, bias=False, device="meta"
        )
        theirs.blocks = theirs.blocks[:5]
    assert {key: value.shape for key, value in theirs.state_dict().items()} == {
        key: value.shape for key, value in backbone.state_dict().items()
    }
    theirs.eval().load_state_dict(backbone.state_dict(), assign=True)
    assert isinstance(backbone, EfficientNet)
    for size in ((32, 64), (33, 47)):
        with torch.no_grad():
            got, x = backbone.forward_fine(noise(1, 6, *size)), theirs.bn1(theirs.conv_stem(noise(1, 6, *size)))
            expected = [x := stage(x) for stage in theirs.blocks]
        stages = (0, 1, 2, 3, 4) if name.endswith("csmask") else (0, 1, 2, 4, 6)
        assert [level.shape[1] for level in got] == [backbone.fine_channels, *backbone.channels]
        assert all(difference(one, expected[stage]) <= 1e-4 for one, stage in zip(got, stages, strict=True))


@pytest.mark.parametrize(("name", "native"), [("efficientnet_b4", 32), ("efficientnet_b4_csmask", 16)])
def test_without_its_pools_b4_is_exact_at_every_output_stride(name: str, native: int) -> None:
    strided, dense = (build_backbone(name, output_stride=stride).eval() for stride in (native, 8))
    randomise(strided)
    for key, module in strided.named_modules():
        if key.endswith("se.conv_expand"):
            assert isinstance(module, nn.Conv2d)
            nn.init.zeros_(module.weight)  # squeeze-and-excitation then weighs channels alike, whatever the map holds
    dense.load_state_dict(strided.state_dict())
    step = native // 8
    for size in ((64, 96), (71, 97)):
        with torch.no_grad():
            fine, coarse = dense(noise(1, 3, *size))[-1], strided(noise(1, 3, *size))[-1]
        row, col = (first_centre(cells, step) for cells in fine.shape[-2:])
        assert difference(fine[..., row::step, col::step], coarse) <= 1e-4


@pytest.mark.parametrize("kernel", [1, 3, 5])
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_same_padding_by_tensorflows_formula(kernel: int, stride: int) -> None:
    layer = SameConv2d(2, 2, kernel, stride=stride, groups=2).requires_grad_(False)
    for height in range(1, 12):
        x, starts = noise(1, 2, height, height + 1), []
        framed = nn.functional.pad(x, (kernel,) * 4)
        for side in (height, height + 1):
            cells = -(-side // stride)
            pad = max((cells - 1) * stride + kernel - side, 0) // 2
            starts.append([kernel + stride * i - pad for i in range(cells)])
        windows = [[framed[0, :, top : top + kernel, left : left + kernel] for left in starts[1]] for top in starts[0]]
        stacked = torch.stack([torch.stack(row) for row in windows])  # (rows, cols, 2, kernel, kernel)
        expected = (stacked * layer.weight[:, 0]).sum((-2, -1)).permute(2, 0, 1)
        torch.testing.assert_close(layer(x)[0], expected, rtol=1e-5, atol=1e-5)


def centre_of_field(network: nn.Module, size: int, cell: tuple[int, int]) -> tuple[float, float]:
    """Give the middle of the pixels that a cell depends on, as an impulse in any of them would show."""
    image = torch.rand(1, 1, size, size + 1, requires_grad=True)
    network(image)[0, 0, cell[0], cell[1]].backward()
    assert image.grad is not None
    rows, cols = (index.float() for index in image.grad[0, 0].nonzero(as_tuple=True))
    assert rows.min() > 0
    assert cols.min() > 0
    return float(rows.min() + rows.max()) / 2, float(cols.min() + cols.max()) / 2


@pytest.mark.parametrize("size", [128, 129, 130, 141])
@pytest.mark.parametrize("output_stride", [4, 8, 16])
def test_an_impulse_shows_where_cells_lie(size: int, output_stride: int) -> None:
    kernels = (3, 5, 3, 5)
    chain = nn.Sequential(*(SameConv2d(1, 1, kernel, stride=2) for kernel in kernels))
    for layer in chain:
        nn.init.ones_(layer.weight)  # type: ignore[arg-type]
    dilate(chain, output_stride)
    row, col = 64 // output_stride, 64 // output_stride - 1
    expected = (
        row * output_stride + first_centre(size, output_stride),
        col * output_stride + first_centre(size + 1, output_stride),
    )
    assert centre_of_field(chain, size, (row, col)) == expected


@pytest.mark.parametrize("size", [128, 129, 130, 141])
def test_a_layer_that_is_padded_alike_on_both_sides_moves_the_cells(size: int) -> None:
    with torch.device("meta"):
        backbone = build_backbone("efficientnet_b4_csmask", output_stride=16)
    assert isinstance(backbone, EfficientNet)
    layers: list[nn.Module] = [SameConv2d(1, 1, kernel, stride=2) for kernel in (3, 3, 3)]
    layers.insert(2, nn.Conv2d(1, 1, 5, stride=2, padding=2, bias=False))
    for count in (2, 3, 4):
        stride, chain = 2**count, nn.Sequential(*layers[:count])
        for layer in chain:
            nn.init.ones_(layer.weight)  # type: ignore[arg-type]
        row, col = 64 // stride, 64 // stride - 1
        firsts = (backbone.first_centre(side, stride) for side in (size, size + 1))
        expected = tuple(cell * stride + first for cell, first in zip((row, col), firsts, strict=True))
        assert centre_of_field(chain, size, (row, col)) == expected


def test_the_last_cell_has_its_centre_in_the_last_pixel() -> None:
    for size in range(1, 70):
        for stride in (2, 4, 8, 16, 32):
            assert (-(-size // stride) - 1) * stride + first_centre(size, stride) == size - 1


@pytest.mark.parametrize("weights", ["imagenet", "DEFAULT"])
def test_the_bundled_weights_need_no_network(weights: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    network = build_model(backbone=NAME, num_classes=3, in_channels=4, aspp_channels=8)
    report = load_pretrained(network, weights, bands=["nir", "red", "green", "blue"])
    assert report.source == "imagenet (efficientnet_lite0.safetensors)"
    assert report.dropped == {}
    assert report.inflated == {
        "backbone.conv_stem.weight": "3 → 4 bands: red, green, blue by name; nir the mean, × 3/4"
    }
    assert len([key for key in report.loaded if key.startswith("backbone.")]) == 240
    assert all(key.startswith("classifier.") for key in report.missing)


def test_the_bundled_weights_are_no_model_and_have_card_and_licence() -> None:
    assert NAME not in set(iter_bundled())
    assert "weights" not in set(iter_bundled())
    folder = BUNDLED_WEIGHTS[NAME].parent
    assert {path.name for path in folder.iterdir()} == {
        "README.md",
        "LICENSE.efficientnet-lite",
        "efficientnet_lite0.safetensors",
    }


def test_the_values_that_the_weights_expect_are_in_the_file() -> None:
    with safe_open(BUNDLED_WEIGHTS[NAME], framework="pt") as file:
        said = json.loads(file.metadata()["weights"])
    assert (said["mean"], said["std"], said["bands"]) == (INPUT_MEAN, INPUT_STD, ["red", "green", "blue"])
    assert said["licence"] == "Apache-2.0"


def test_an_exported_graph_pads_as_the_network_does() -> None:
    chain = nn.Sequential(SameConv2d(2, 4, 5, stride=2), SameConv2d(4, 4, 3, stride=2)).eval()
    image = noise(1, 2, 14, 21)
    exported = torch.export.export(chain, (image,))
    torch.testing.assert_close(exported.module()(image), chain(image))


@pytest.mark.parametrize(
    ("said", "is_known"), [('{"bands": ["blue", "nir"]}', True), ('{"bands": "blue"}', False), ("{", False)]
)
def test_a_file_of_weights_may_say_which_bands_it_reads(said: str, is_known: bool, tmp_path: Path) -> None:
    network = build_model(backbone=NAME, num_classes=2, in_channels=1, aspp_channels=8)
    theirs = build_backbone(NAME, in_channels=2).state_dict()
    save_file(theirs, tmp_path / "two.safetensors", metadata={"weights": said})
    if not is_known:
        with pytest.raises(ModelError, match="reads 2 bands and does not say which"):
            load_pretrained(network, tmp_path / "two.safetensors", bands=["nir"])
        return
    load_pretrained(network, tmp_path / "two.safetensors", bands=["nir"])
    expected = 2 * theirs["conv_stem.weight"][:, 1:]  # half the bands, twice the weight
    assert torch.equal(network.state_dict()["backbone.conv_stem.weight"], expected)
