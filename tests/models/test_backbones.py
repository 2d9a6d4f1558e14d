import pytest
import torch
from torch import nn
from torchvision.models import mobilenet_v3_large, resnet18, resnet50

from geodeeplab.errors import ModelError
from geodeeplab.models import BACKBONES, build_backbone


def randomise_statistics(network: nn.Module) -> None:
    """Give batch norm statistics that a trained network could have; fresh ones hide mistakes."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean = torch.randn(module.num_features) * 0.1
            module.running_var = torch.rand(module.num_features) + 0.5


@pytest.mark.parametrize("name", ["resnet18", "resnet34", "resnet50"])
@pytest.mark.parametrize("size", [96, 97])
@pytest.mark.parametrize("output_stride", [8, 16])
def test_dilation_equals_stride_where_both_have_a_pixel(name: str, size: int, output_stride: int) -> None:
    torch.manual_seed(0)
    strided = build_backbone(name, output_stride=32).eval()
    randomise_statistics(strided)
    dense = build_backbone(name, output_stride=output_stride).eval()
    dense.load_state_dict(strided.state_dict())
    image = torch.randn(1, 3, size, size)
    with torch.no_grad():
        expected, got = strided(image)[1], dense(image)[1]
    step = 32 // output_stride
    got = got[..., ::step, ::step]
    assert (got - expected).abs().max() <= 1e-5 * expected.abs().max()


@pytest.mark.parametrize("output_stride", [8, 16, 32])
@pytest.mark.parametrize("name", list(BACKBONES))
def test_output_and_fine_strides(name: str, output_stride: int) -> None:
    backbone = build_backbone(name, output_stride=output_stride, in_channels=5).eval()
    with torch.no_grad():
        fine, out = backbone(torch.zeros(1, 5, 65, 96))
    assert fine.shape == (1, backbone.fine_channels, 17, 24)
    assert out.shape == (1, backbone.out_channels, -(-65 // output_stride), -(-96 // output_stride))


def test_a_classifier_of_torchvision_loads_without_its_last_layer() -> None:
    for name, build, drop in (
        ("resnet18", resnet18, "fc."),
        ("resnet50", resnet50, "fc."),
        ("mobilenet_v3_large", mobilenet_v3_large, "classifier."),
    ):
        weights = build(weights=None).state_dict()
        kept = {k.removeprefix("features."): v for k, v in weights.items() if not k.startswith(drop)}
        unmatched = build_backbone(name).load_state_dict(kept, strict=True)
        assert (unmatched.missing_keys, unmatched.unexpected_keys) == ([], [])


def test_multi_grid_multiplies_the_last_stage_only() -> None:
    backbone = build_backbone("resnet50", output_stride=16, multi_grid=(1, 2, 4))
    rates = [
        m.dilation[0] for m in backbone["layer4"].modules() if isinstance(m, nn.Conv2d) and m.kernel_size == (3, 3)
    ]
    assert rates == [1, 4, 8]  # 2 × (1, 2, 4), but the convolution that lost its stride keeps rate 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "resnet19"}, "no backbone is called 'resnet19'"),
        ({"name": "resnet18", "output_stride": 4}, "output stride is 8, 16 or 32, not 4"),
        ({"name": "resnet18", "in_channels": 0}, "at least one band, not 0"),
        ({"name": "resnet50", "multi_grid": (1, 2)}, "one factor a block: the last stage has 3"),
        ({"name": "mobilenet_v3_large", "multi_grid": (1, 2, 4)}, "is for ResNets"),
    ],
)
def test_refusals(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        build_backbone(**arguments)  # type: ignore[arg-type]
