"""The head of boundaries: what it adds to a network, and what it leaves as it is."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch

from geodeeplab.errors import ModelError
from geodeeplab.models import Contract, ModelBand, ModelClass, as_model, build_model, load_model, save_model
from geodeeplab.models.contract import contract_of_classes
from geodeeplab.models.files.export import export_onnx
from geodeeplab.models.network import SegmentationNetwork, without_boundary

NETWORKS: list[dict[str, Any]] = [
    {"arch": "deeplabv3", "backbone": "mobilenet_v2", "aspp_channels": 8, "pointrend": True, "point_channels": 8},
    {"arch": "deeplabv3plus", "backbone": "resnet18", "aspp_channels": 8, "decoder_channels": 8},
    {"arch": "fcn", "backbone": "efficientnet_lite0"},
    {"arch": "fcn8s", "backbone": "vgg16", "fc_channels": 8},
    {"arch": "dilatednet", "backbone": "vgg16", "fc_channels": 8},
    {"arch": "deeplabv2", "backbone": "resnet18", "scales": (1, 0.5)},
    {"arch": "deeplabv1", "backbone": "vgg16", "fc_channels": 8},
]


def network_of(options: dict[str, Any]) -> SegmentationNetwork:
    torch.manual_seed(0)
    return build_model(num_classes=3, boundary=True, **options).eval()


@pytest.mark.parametrize("options", NETWORKS, ids=lambda one: str(one["arch"]))
def test_a_logit_follows_those_of_the_classes_which_stay_as_they_are(options: dict[str, Any]) -> None:
    network, images = network_of(options), torch.randn(1, 3, 47, 62)
    with torch.inference_mode():
        logits = network(images)
        assert logits.shape == (1, 4, 47, 62)
        assert torch.equal(without_boundary(network)(images), logits[:, :3])
    plain = build_model(num_classes=3, **options)
    assert {key for key in network.state_dict() if not key.startswith("boundary_head.")} == set(plain.state_dict())
    assert network.architecture == {**plain.architecture, "boundary": True}
    again = without_boundary(network)
    assert isinstance(again, SegmentationNetwork)
    assert again.architecture == plain.architecture
    assert without_boundary(plain) is plain


def test_a_step_of_it_alone_leaves_the_heads_of_the_classes() -> None:
    network = network_of(NETWORKS[0]).train()
    _, _, boundary = network.parts(torch.randn(2, 3, 32, 32))
    assert boundary is not None
    boundary.sum().backward()
    touched = {name.partition(".")[0] for name, one in network.named_parameters() if one.grad is not None}
    assert touched == {"backbone", "boundary_head"}


@pytest.fixture
def contract() -> Contract:
    return Contract(
        name="houses",
        architecture=network_of(NETWORKS[0]).architecture,
        classes=tuple(ModelClass(id=i, name=name, color=(i, i, i)) for i, name in enumerate(("a", "b", "c"), start=1)),
        bands=tuple(ModelBand(name=name, mean=0.0, std=1.0) for name in ("red", "green", "blue")),
        tile_size=64,
        overlap=16,
        instances=("b",),
    )


def test_instances_come_back_from_a_file_and_are_left_out_where_there_are_none(
    contract: Contract, tmp_path: Path
) -> None:
    save_model(network_of(NETWORKS[0]), contract, tmp_path / "m.safetensors")
    model = load_model(tmp_path / "m.safetensors")
    assert model.contract == contract
    assert model.network.boundary_head is not None
    plain = contract_of_classes(contract)
    assert "instances" not in plain.to_json()
    assert "boundary" not in plain.to_json()
    assert Contract.from_json(plain.to_json()) == plain


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"instances": ("d",)}, "instances are of the classes"),
        ({"instances": ()}, "the network has the output of boundaries, and instances name no class"),
        ({"architecture": {}}, "instances are said of networks of build_model"),
    ],
)
def test_what_does_not_agree_is_refused(contract: Contract, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        dataclasses.replace(contract, **changes)


def test_instances_without_the_output_are_refused(contract: Contract) -> None:
    plain = contract_of_classes(contract)
    with pytest.raises(ModelError, match="the network lacks the output of boundaries"):
        dataclasses.replace(plain, instances=("a",))


@pytest.mark.slow
def test_an_exported_file_has_the_classes_alone(contract: Contract, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    network = network_of(NETWORKS[0])
    export_onnx(network, contract, tmp_path / "m.onnx", batch_size=1)
    model = as_model(tmp_path / "m.onnx")
    assert model.contract.instances == ()
    images = torch.rand(1, 3, 64, 64) * 255
    valid = torch.ones(1, 64, 64, dtype=torch.bool)
    with torch.inference_mode():
        assert model.network(model.preparation()(images, valid), valid).shape == (1, 3, 64, 64)
