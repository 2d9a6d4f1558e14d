"""Exported files on onnxruntime, against the same network in torch."""

import dataclasses
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

import geodeeplab
from geodeeplab.errors import OptionError, OutputError
from geodeeplab.models import (
    ARCHITECTURES,
    Contract,
    Model,
    ModelBand,
    ModelClass,
    Normalisation,
    SegmentationNetwork,
    build_model,
    export_onnx,
    load_model,
)
from geodeeplab.models.files.export import OPSET

pytestmark = pytest.mark.xdist_group("onnx")  # one process loads the exporter, once
Logits = npt.NDArray[np.float32]


def draw_images(batch: int, tile_size: int, *, channels: int = 3, seed: int = 0) -> Tensor:
    """Squares of random colours (N, C, T, T), 0 to 255; the top left corner is NaN."""
    rng = torch.Generator().manual_seed(seed)
    side = -(-tile_size // 8)
    images = torch.randint(0, 256, (batch, channels, side, side), generator=rng).float()
    images = images.repeat_interleave(8, 2).repeat_interleave(8, 3)[..., :tile_size, :tile_size].clone()
    images[..., : tile_size // 4, : tile_size // 3] = torch.nan
    return images


def run_file(path: Path, images: Tensor) -> Logits:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (logits,) = session.run(["logits"], {"images": images.numpy()})
    return np.asarray(logits)


@torch.inference_mode()
def run_torch(network: nn.Module, contract: Contract, images: Tensor) -> Logits:
    """What the engine computes of pixels and `valid`, divided by the temperature."""
    valid = ~images.isnan().any(1)
    logits: Logits = network(Normalisation(contract)(images.nan_to_num(7.0), valid), valid).numpy()
    return logits / contract.temperature


def check_equal(got: Logits, want: Logits, *, pointrend: bool) -> None:
    """Equal up to rounding; with PointRend, but for the few pixels around points that the other run did not choose."""
    assert got.shape == want.shape
    assert got.dtype == np.float32
    assert np.ptp(want) > 0
    close = np.abs(got - want).max(axis=1) <= 1e-4 * np.abs(want).max()
    assert close.mean() >= (0.999 if pointrend else 1)
    assert (got.argmax(axis=1) == want.argmax(axis=1)).mean() >= 0.999


@pytest.fixture(scope="module")
def model(tiny_model: Path) -> Model:
    model = load_model(tiny_model)
    return dataclasses.replace(model, contract=dataclasses.replace(model.contract, temperature=2.0))


@pytest.fixture(scope="module")
def exported(model: Model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model, with PointRend, for two tiles of 64 px."""
    path = tmp_path_factory.mktemp("onnx") / "tiny.onnx"
    model.network.train()
    export_onnx(model.network, model.contract, path, tile_size=64, batch_size=2)
    assert all(part.training for part in model.network.modules())  # the file is for evaluation, the network as it was
    model.network.eval()
    return path


def test_runs_as_torch_does(exported: Path, model: Model) -> None:
    images = draw_images(2, 64)
    check_equal(run_file(exported, images), run_torch(model.network, model.contract, images), pointrend=True)


def test_pixels_without_data_have_no_say(exported: Path, model: Model) -> None:
    images = draw_images(2, 64)
    one_band = images.clone()
    one_band[:, 1:] = one_band[:, 1:].nan_to_num(200.0)  # one NaN is enough
    assert np.array_equal(run_file(exported, images), run_file(exported, one_band))
    assert np.array_equal(run_file(exported, images), run_file(exported, images.nan_to_num(torch.inf)))
    assert np.isfinite(run_file(exported, torch.full_like(images, torch.nan))).all()


def test_the_file_says_what_it_is(exported: Path, model: Model) -> None:
    proto = onnx.load(exported)
    onnx.checker.check_model(proto, full_check=True)
    assert [(item.domain, item.version) for item in proto.opset_import] == [("", OPSET)]
    (entry,) = proto.metadata_props
    assert entry.key == "geodeeplab"
    assert Contract.from_json(entry.value) == dataclasses.replace(
        model.contract,
        tile_size=64,
        overlap=32,
        temperature=1.0,  # it is in the graph
    )
    (images,), (logits,) = proto.graph.input, proto.graph.output
    assert (images.name, logits.name) == ("images", "logits")
    assert [dim.dim_value for dim in images.type.tensor_type.shape.dim] == [2, 3, 64, 64]
    assert [dim.dim_value for dim in logits.type.tensor_type.shape.dim] == [2, 3, 64, 64]


def test_the_file_does_not_say_where_it_was_made(exported: Path) -> None:
    assert str(Path(geodeeplab.__file__).parent).encode() not in exported.read_bytes()
    assert str(Path(torch.__file__).parent).encode() not in exported.read_bytes()


@pytest.mark.slow  # `geodeeplab export` is quick, and tried on such a network at such a size
def test_without_pointrend_at_an_odd_size(model: Model, tmp_path: Path) -> None:
    whole = model.network
    assert isinstance(whole, SegmentationNetwork)
    network = SegmentationNetwork(whole.backbone, whole.classifier).train()
    path = tmp_path / "plain.onnx"
    export_onnx(network, model.contract, path, tile_size=45, batch_size=1)
    assert network.training  # the file is for evaluation, the network is left as it was
    assert whole.backbone.training
    network.eval()
    images = draw_images(1, 45)
    check_equal(run_file(path, images), run_torch(network, model.contract, images), pointrend=False)
    assert Contract.from_json(onnx.load(path).metadata_props[0].value).overlap == 22


@pytest.mark.parametrize("package", ["onnx", "onnxscript"])
def test_without_the_extra(model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(OptionError, match=r"onnx and onnxscript: pip install 'geodeeplab\[onnx\]'"):
        export_onnx(model.network, model.contract, tmp_path / "a.onnx")


@pytest.mark.parametrize(("tile_size", "batch_size"), [(0, 1), (None, 0), (None, -2)])
def test_sizes_start_at_one(model: Model, tmp_path: Path, tile_size: int | None, batch_size: int) -> None:
    with pytest.raises(OptionError, match=r"size is at least 1, not .*: choose another"):
        export_onnx(model.network, model.contract, tmp_path / "a.onnx", tile_size=tile_size, batch_size=batch_size)
    assert not list(tmp_path.iterdir())


class Unchanged(nn.Module):
    """Takes the images for logits."""

    def forward(self, images: Tensor, valid: Tensor) -> Tensor:
        return images


def test_what_cannot_be_written_leaves_nothing(model: Model, tmp_path: Path) -> None:
    path = tmp_path / "a.onnx"
    path.mkdir()
    with pytest.raises(OutputError, match=r"cannot write .*a\.onnx"):
        export_onnx(Unchanged(), model.contract, path, tile_size=8, batch_size=1)
    assert [item.name for item in tmp_path.iterdir()] == ["a.onnx"]


SMALL: dict[str, dict[str, Any]] = {
    "fcn32s": {"backbone": "vgg16", "fc_channels": 32},
    "fcn16s": {"backbone": "vgg16", "fc_channels": 32},
    "fcn8s": {"backbone": "vgg16", "fc_channels": 32},
    "fcn": {"backbone": "efficientnet_lite0"},
    "deeplabv1": {"backbone": "vgg16_bn", "fc_channels": 32},
    "deeplabv2": {"backbone": "resnet18", "scales": (1.0, 0.75, 0.5)},
    "deeplabv3": {"backbone": "mobilenet_v3_small", "aspp_channels": 16},
    "deeplabv3plus": {"backbone": "densenet121", "aspp_channels": 16, "separable": True},
    "dilatednet": {"backbone": "vgg16", "fc_channels": 32, "context": "basic"},
}


def build_settled(architecture: dict[str, Any]) -> SegmentationNetwork:
    """Build a network whose logits depend on its input, as after training: statistics of a batch, no layer at zero."""
    torch.manual_seed(0)
    network = build_model(**architecture)
    for parameter in network.parameters():
        if parameter.ndim > 1 and not parameter.any():
            nn.init.normal_(parameter, std=0.1)
    if network.point_head is not None:
        nn.init.normal_(network.point_head.predictor.weight, std=0.05)
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.momentum = 1.0
    with torch.no_grad():
        network.train()((draw_images(2, 101, seed=1).nan_to_num(128) - 128) / 64)
    return network.eval()


@pytest.mark.slow
@pytest.mark.parametrize("pointrend", [False, True])
@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_every_architecture(tmp_path: Path, arch: str, pointrend: bool) -> None:
    architecture = {"arch": arch, "num_classes": 4, "in_channels": 3, "pointrend": pointrend, **SMALL[arch]}
    contract = Contract(
        name="small",
        architecture=architecture,
        classes=tuple(ModelClass(id=i, name=f"class {i}", color=(i, i, i)) for i in range(1, 5)),
        bands=tuple(ModelBand(name=name, mean=128.0, std=64.0) for name in ("red", "green", "blue")),
    )
    network = build_settled(architecture)
    export_onnx(network, contract, tmp_path / "a.onnx", tile_size=101, batch_size=1)
    images = draw_images(1, 101)
    check_equal(run_file(tmp_path / "a.onnx", images), run_torch(network, contract, images), pointrend=pointrend)


@pytest.mark.slow
def test_two_fine_levels(tmp_path: Path, model: Model) -> None:
    architecture = {**model.contract.architecture, "fine_levels": (0, 1)}
    network = build_settled(architecture)
    export_onnx(network, model.contract, tmp_path / "a.onnx", tile_size=64, batch_size=1)
    images = draw_images(1, 64)
    check_equal(run_file(tmp_path / "a.onnx", images), run_torch(network, model.contract, images), pointrend=True)


@pytest.mark.slow
def test_the_bundled_model_at_any_batch(tmp_path: Path) -> None:
    bundled = load_model()
    path = tmp_path / "a.onnx"
    export_onnx(bundled.network, bundled.contract, path)
    for batch in (1, 3):
        images = draw_images(batch, bundled.contract.tile_size)
        check_equal(run_file(path, images), run_torch(bundled.network, bundled.contract, images), pointrend=True)
