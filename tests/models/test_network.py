import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from geodeeplab.models import Contract, ModelBand, ModelClass, build_model, load_model, save_model
from geodeeplab.models.backbones import FeatureExtractor
from geodeeplab.models.heads.aspp import resize
from geodeeplab.models.network import SegmentationNetwork, align
from geodeeplab.pipeline.segment import segment
from tests.examples import few

NARROW = {"fc_channels": 32}
NETWORKS: dict[str, dict[str, Any]] = {
    "fcn32s vgg16": {"arch": "fcn32s", "backbone": "vgg16"} | NARROW,
    "fcn16s vgg16_bn": {"arch": "fcn16s", "backbone": "vgg16_bn"} | NARROW,
    "fcn8s vgg19": {"arch": "fcn8s", "backbone": "vgg19"} | NARROW,
    "dilatednet vgg16": {"arch": "dilatednet", "backbone": "vgg16", "context": "basic"} | NARROW,
    "dilatednet vgg19_bn": {"arch": "dilatednet", "backbone": "vgg19_bn", "context": "large"} | NARROW,
    "fcn vgg16": {"arch": "fcn", "backbone": "vgg16"},
    "fcn densenet121": {"arch": "fcn", "backbone": "densenet121"},
    "fcn resnet18": {"arch": "fcn", "backbone": "resnet18"},
    "fcn mobilenet_v2": {"arch": "fcn", "backbone": "mobilenet_v2"},
    "fcn efficientnet_v2_s": {"arch": "fcn", "backbone": "efficientnet_v2_s"},
    "deeplabv1 vgg16": {"arch": "deeplabv1", "backbone": "vgg16"} | NARROW,
    "deeplabv1 densenet121": {"arch": "deeplabv1", "backbone": "densenet121"} | NARROW,
    "deeplabv1 resnet18": {"arch": "deeplabv1", "backbone": "resnet18"} | NARROW,
    "deeplabv1 mobilenet_v3_small": {"arch": "deeplabv1", "backbone": "mobilenet_v3_small"} | NARROW,
    "deeplabv1 efficientnet_v2_s": {"arch": "deeplabv1", "backbone": "efficientnet_v2_s"} | NARROW,
    "deeplabv2 vgg16_bn": {"arch": "deeplabv2", "backbone": "vgg16_bn"} | NARROW,
    "deeplabv2 densenet121": {"arch": "deeplabv2", "backbone": "densenet121"},
    "deeplabv2 resnet18": {"arch": "deeplabv2", "backbone": "resnet18", "scales": (1.0, 0.75, 0.5)},
    "deeplabv2 mobilenet_v2": {"arch": "deeplabv2", "backbone": "mobilenet_v2"},
    "deeplabv2 efficientnet_v2_s": {"arch": "deeplabv2", "backbone": "efficientnet_v2_s"},
    "deeplabv3 vgg16": {"arch": "deeplabv3", "backbone": "vgg16", "aspp_channels": 16},
    "deeplabv3 densenet121": {"arch": "deeplabv3", "backbone": "densenet121", "aspp_channels": 16},
    "deeplabv3 resnet18": {"arch": "deeplabv3", "backbone": "resnet18", "aspp_channels": 16},
    "deeplabv3 mobilenet_v3_large": {"arch": "deeplabv3", "backbone": "mobilenet_v3_large", "aspp_channels": 16},
    "deeplabv3 efficientnet_v2_s": {"arch": "deeplabv3", "backbone": "efficientnet_v2_s", "aspp_channels": 16},
    "deeplabv3plus vgg16_bn": {"arch": "deeplabv3plus", "backbone": "vgg16_bn", "aspp_channels": 16},
    "deeplabv3plus densenet121": {"arch": "deeplabv3plus", "backbone": "densenet121", "aspp_channels": 16},
    "deeplabv3plus resnet18": {"arch": "deeplabv3plus", "backbone": "resnet18", "separable": True},
    "deeplabv3plus mobilenet_v2": {"arch": "deeplabv3plus", "backbone": "mobilenet_v2", "decoder_channels": 16},
    "deeplabv3plus efficientnet_v2_s": {"arch": "deeplabv3plus", "backbone": "efficientnet_v2_s", "aspp_channels": 16},
    "deeplabv3 efficientnet_lite0": {"arch": "deeplabv3", "backbone": "efficientnet_lite0", "aspp_channels": 16},
    "deeplabv3plus efficientnet_lite0": {
        "arch": "deeplabv3plus",
        "backbone": "efficientnet_lite0",
        "aspp_channels": 16,
    },
    "deeplabv3plus timm:swin": {
        "arch": "deeplabv3plus",
        "backbone": "timm:swin_tiny_patch4_window7_224",
        "output_stride": 32,
        "aspp_channels": 16,
    },
}
CLASSES = 3
QUICK = (
    "fcn8s vgg19",
    "dilatednet vgg16",
    "fcn densenet121",
    "deeplabv1 vgg16",
    "deeplabv2 resnet18",
    "deeplabv3 mobilenet_v3_large",
    "deeplabv3 efficientnet_lite0",
    "deeplabv3plus efficientnet_v2_s",
    "deeplabv3plus timm:swin",
)
"""Every architecture and every family once; the other pairs are slow tests."""
HEAVY = (
    "fcn8s vgg19", "dilatednet vgg16", "fcn densenet121", "deeplabv1 vgg16", "deeplabv3plus efficientnet_v2_s",
    "deeplabv3plus timm:swin",
)  # fmt: skip
"""These are large, or work on a frame that is far wider than the image: their training is a slow test."""
PAIRS = [pytest.param(name, marks=[] if name in QUICK else [pytest.mark.slow]) for name in NETWORKS]
LEARNERS = [
    pytest.param(name, marks=[] if name in QUICK and name not in HEAVY else [pytest.mark.slow]) for name in NETWORKS
]


def build(name: str, **changes: Any) -> SegmentationNetwork:  # noqa: ANN401 - arguments of any type
    if "timm:" in name:
        pytest.importorskip("timm")
    torch.manual_seed(0)
    return build_model(**NETWORKS[name] | {"num_classes": CLASSES} | changes)


def contract_of(network: SegmentationNetwork) -> Contract:
    return Contract(
        name="any",
        architecture=network.architecture,
        classes=tuple(ModelClass(id=i, name=f"class {i}", color=(i, i, i)) for i in range(1, CLASSES + 1)),
        bands=tuple(ModelBand(name=name, mean=120.0, std=60.0) for name in ("red", "green", "blue")),
        tile_size=64,
        overlap=16,
    )


@pytest.mark.parametrize("name", LEARNERS)
def test_a_pair_learns_is_saved_and_segments(
    name: str, tmp_path: Path, make_raster: Callable[..., Path], blocks: Callable[..., NDArray[np.uint8]]
) -> None:
    network = build(name, pointrend=True, point_channels=8).train()
    network(torch.randn(2, 3, 33, 48)).square().mean().backward()
    assert [name for name, p in network.named_parameters() if p.grad is None] == []

    network.eval()
    path = tmp_path / "any.safetensors"
    save_model(network, contract_of(network), path, half=False)
    loaded = load_model(path)
    assert loaded.contract == contract_of(network)
    image = torch.randn(1, 3, 33, 33)
    with torch.no_grad():
        logits = network(image)
        assert logits.shape == (1, CLASSES, 33, 33)
        assert logits.isfinite().all()
        assert torch.equal(loaded.network(image), logits)

    scene = make_raster(blocks(70, 50))
    done = segment(
        scene, label_raster=tmp_path / "labels.tif", model=loaded, batch_size=1, device="cpu", precision="fp32"
    )
    assert sum(done.facts["pixels"].values()) == 70 * 50


@pytest.mark.parametrize("name", PAIRS)
def test_images_of_any_shape_get_logits_of_theirs(name: str) -> None:
    network = build(name, in_channels=2).eval()
    for shape in ((1, 1), (40, 71)):
        with torch.no_grad():
            logits = network(torch.randn(1, 2, *shape))
        assert logits.shape == (1, CLASSES, *shape)
        assert logits.dtype == torch.float32
        assert logits.isfinite().all()


@pytest.mark.slow
@pytest.mark.parametrize("pointrend", [False, True])
@pytest.mark.parametrize("name", NETWORKS)
def test_images_of_full_size_get_logits_too(name: str, pointrend: bool) -> None:
    network = build(name, pointrend=pointrend).eval()
    with torch.no_grad():
        assert network(torch.randn(1, 3, 513, 769)).shape == (1, CLASSES, 513, 769)


@pytest.mark.parametrize("arch", ["fcn", "deeplabv3", "deeplabv3plus"])
def test_the_strides_share_a_state_dict(arch: str) -> None:
    with torch.device("meta"):  # names and shapes
        weights = [
            build_model(arch=arch, backbone="resnet18", num_classes=3, output_stride=stride).state_dict()
            for stride in (8, 16, 32)
        ]
    assert all(
        {key: value.shape for key, value in other.items()} == {key: value.shape for key, value in weights[0].items()}
        for other in weights
    )


class Mean(nn.Module):
    """A head whose first logit is the level itself and whose second its negative."""

    def forward(self, levels: Sequence[Tensor], shape: tuple[int, int]) -> Tensor:
        return torch.cat([levels[-1], -levels[-1]], dim=1)


def test_scales_are_fused_by_the_maximum() -> None:
    backbone = FeatureExtractor({"pool": nn.AvgPool2d(4)}, levels=["pool"], channels=[1], strides=[4], origins=[0])
    network = SegmentationNetwork(backbone, Mean(), scales=(1.0, 0.5))
    image = torch.randn(1, 1, 32, 32)
    whole, half = network.coarse_per_scale(image)
    assert whole.shape == (1, 2, 8, 8)
    assert half.shape == (1, 2, 4, 4)
    fused, fine = network.coarse_and_fine(image)
    assert torch.equal(fused, torch.maximum(whole, resize(half, (8, 8))))
    assert fine == []
    assert torch.equal(network(image), resize(fused, (32, 32)))


@pytest.mark.parametrize(("origin", "stride"), [(0, 4), (-8, 4), (-99, 4), (-99, 8), (-180, 4)])
def test_a_level_that_begins_elsewhere_is_laid_onto_the_image(origin: int, stride: int) -> None:
    shape = (37, 50)
    cells = [math.ceil((side - 2 * origin) / stride) for side in shape]
    centres = [origin + stride * (torch.arange(count) + 0.5) for count in cells]  # in pixels of the image
    ramps = torch.stack(torch.meshgrid(*centres, indexing="ij")).unsqueeze(0)  # (1, 2, h, w): each cell's own place
    aligned = align(ramps, stride=stride, origin=origin, shape=shape)
    wanted = [stride * (torch.arange(-(-side // stride)) + 0.5) for side in shape]
    assert torch.allclose(aligned[0], torch.stack(torch.meshgrid(*wanted, indexing="ij")), atol=1e-4)


@pytest.mark.parametrize("name", few(["fcn8s vgg19", "dilatednet vgg16"], 1))
def test_pointrend_reads_padded_levels_at_the_right_place(name: str) -> None:
    network = build(name, pointrend=True, fine_levels=(0, 1)).eval()
    with torch.no_grad():
        coarse, fine = network.coarse_and_fine(torch.randn(1, 3, 50, 70))
    assert coarse.shape == (1, CLASSES, 7, 9)
    assert [tuple(level.shape[1:]) for level in fine] == [(128, 13, 18), (256, 7, 9)]
