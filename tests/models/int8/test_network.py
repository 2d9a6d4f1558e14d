"""Networks in int8: what they measure, what OpenVINO makes of them."""

import subprocess
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from geodeeplab.errors import ModelError, OptionError
from geodeeplab.models import SegmentationNetwork, build_model, load_model
from geodeeplab.models.int8.calibrate import int8_convolutions, measure_ranges
from geodeeplab.models.int8.network import Int8Network

NETWORKS: dict[str, dict[str, Any]] = {
    "deeplabv3 resnet18": {"arch": "deeplabv3", "backbone": "resnet18", "aspp_channels": 16, "pointrend": True},
    "deeplabv3 lite": {"arch": "deeplabv3", "backbone": "efficientnet_lite0", "aspp_channels": 16, "pointrend": True},
    "deeplabv3plus mobilenet": {"arch": "deeplabv3plus", "backbone": "mobilenet_v2", "aspp_channels": 16},
    "v3 swish": {"arch": "deeplabv3", "backbone": "efficientnet_b4", "aspp_channels": 16},
    "v2 scales": {"arch": "deeplabv2", "backbone": "resnet18", "scales": (1.0, 0.5)},
    "v1": {"arch": "deeplabv1", "backbone": "vgg16", "fc_channels": 16},
    "densenet": {"arch": "deeplabv3", "backbone": "densenet121", "aspp_channels": 16},
    "image level": {"backbone": "resnet18", "aspp_channels": 16, "pointrend": True, "fine_levels": (-1, 0)},
}


def build(numbers: Mapping[str, Any]) -> SegmentationNetwork:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return build_model(num_classes=3, **numbers).eval()


def draw(count: int = 1, side: int = 96) -> Tensor:
    return torch.randn((count, 3, side, side), generator=torch.Generator().manual_seed(0))


def test_ranges_are_the_mean_of_the_ends() -> None:
    network = build(NETWORKS["deeplabv3 lite"])
    images = [draw() * 2, draw() * 4]
    ranges = measure_ranges(network, images)
    assert set(ranges) == set(int8_convolutions(network))
    ends = [sum(getattr(image, end)().item() for image in images) / 2 for end in ("min", "max")]
    assert ranges["backbone.conv_stem"] == pytest.approx(ends, rel=1e-4)
    lowest, highest = ranges["backbone.blocks.0.0.conv_pw"]
    assert lowest == 0
    assert 0 < highest <= 12
    assert not any(module._forward_pre_hooks for module in network.modules())


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow) if i else name for i, name in enumerate(NETWORKS)]
)
@pytest.mark.parametrize("side", [64, pytest.param(97, marks=pytest.mark.slow)])
def test_in_float32_openvino_gives_what_torch_gives(name: str, side: int) -> None:
    pytest.importorskip("openvino")
    network, images = build(NETWORKS[name]), draw(2, side)
    with torch.inference_mode():
        coarse, fine = network.coarse_and_fine(images)
        found = Int8Network(network, None)._run(images)
    for ours, theirs in zip(found, (coarse, *fine), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-4 * float(theirs.abs().max()))


@pytest.mark.slow
def test_int8_is_near_and_the_same_from_every_thread(tiny_model: Path) -> None:
    pytest.importorskip("openvino")
    network, images = load_model(tiny_model).network, draw(side=128)
    assert isinstance(network, SegmentationNetwork)
    ranges = measure_ranges(network, [images])
    ours = Int8Network(network, ranges, lanes=2)
    with torch.inference_mode(), ThreadPoolExecutor(4) as pool:
        several = list(pool.map(ours, [images, images * 0.5] * 4))
        alone = Int8Network(network, ranges)(images)
        wanted = network.coarse_and_fine(images)[0]
        coarse = ours._run(images)[0]
    assert all(torch.equal(one, alone) for one in several[::2])
    assert not torch.equal(several[1], alone)
    assert 0.9 < torch.corrcoef(torch.stack([coarse.flatten(), wanted.flatten()]))[0, 1] < 1  # of random weights


def test_ranges_of_another_network_are_refused(tiny_model: Path) -> None:
    pytest.importorskip("openvino")
    network = load_model(tiny_model).network
    assert isinstance(network, SegmentationNetwork)
    ranges = dict.fromkeys(int8_convolutions(network), (0.0, 1.0))
    with pytest.raises(ModelError, match=r"those of another network \('backbone.conv9'\): save it again"):
        Int8Network(network, ranges | {"backbone.conv9": (0.0, 1.0)})
    with pytest.raises(ModelError, match="save it again"):
        Int8Network(network, {})


@pytest.mark.slow
def test_a_transposed_convolution_is_refused() -> None:
    pytest.importorskip("openvino")
    network = build({"arch": "fcn8s", "backbone": "vgg16", "fc_channels": 16})
    with pytest.raises(ModelError, match="does not know, transposed convolution"):
        Int8Network(network, None)(draw())


@pytest.mark.slow
def test_an_operator_that_is_not_known_is_named(tiny_model: Path) -> None:
    pytest.importorskip("openvino")
    network = load_model(tiny_model).network
    assert isinstance(network, SegmentationNetwork)
    network.classifier.register_forward_hook(lambda module, args, output: output.cosh())
    with pytest.raises(ModelError, match=r"does not know, aten.cosh: leave the precision at auto"):
        Int8Network(network, None)(draw())


def test_without_openvino_the_extra_is_named(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    network = load_model(tiny_model).network
    assert isinstance(network, SegmentationNetwork)
    with pytest.raises(OptionError, match=r"pip install 'geodeeplab\[openvino\]'"):
        Int8Network(network, None)


@pytest.mark.slow
def test_nobody_is_told_that_openvino_is_used(tmp_path: Path) -> None:
    pytest.importorskip("openvino")
    code = (
        "import sys; from geodeeplab.models.int8.network import import_openvino; import_openvino();"
        "assert not [name for name in sys.modules if name.startswith('openvino_telemetry')]"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env={"HOME": str(tmp_path)})
    assert not list(tmp_path.iterdir())
