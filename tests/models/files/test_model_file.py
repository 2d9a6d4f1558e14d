import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from geodeeplab.errors import ModelError, OutputError
from geodeeplab.models import (
    Contract,
    ModelBand,
    ModelClass,
    Normalisation,
    build_model,
    iter_bundled,
    load_model,
    read_contract,
    save_model,
)
from geodeeplab.models.files.model_file import Undrawn

RGB = ("red", "green", "blue")

ARCHITECTURE: dict[str, Any] = {
    "arch": "deeplabv3",
    "backbone": "resnet18",
    "num_classes": 2,
    "in_channels": 1,
    "aspp_channels": 8,
    "pointrend": True,
}


def make_contract(**changes: object) -> Contract:
    contract = Contract(
        name="small",
        architecture=ARCHITECTURE,
        classes=(ModelClass(id=1, name="land", color=(1, 2, 3)), ModelClass(id=7, name="Wasser", color=(4, 5, 6))),
        bands=(ModelBand(name="nir", mean=100.0, std=20.0),),
        gsd_m=0.5,
        metrics={"here": {"mIoU": 0.5}},
    )
    return dataclasses.replace(contract, **changes)  # type: ignore[arg-type]


def test_a_saved_model_loads_as_it_was(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = build_model(**ARCHITECTURE).eval()
    path = tmp_path / "small.safetensors"
    save_model(network, make_contract(), path, half=False)
    model = load_model(path)
    assert model.contract == make_contract()
    assert read_contract(path) == make_contract()
    assert not model.network.training
    image = torch.randn(1, 1, 40, 40)
    with torch.no_grad():
        assert torch.equal(model.network(image), network(image))
    assert [p.name for p in tmp_path.iterdir()] == ["small.safetensors"]


def test_a_loaded_network_does_not_change_with_its_file(tmp_path: Path) -> None:
    path = tmp_path / "small.safetensors"
    save_model(build_model(**ARCHITECTURE), make_contract(), path, half=False)
    network, image = load_model(path).network, torch.randn(1, 1, 40, 40)
    with torch.no_grad():
        before = network(image)
        with open(path, "r+b") as file:
            file.write(bytes(path.stat().st_size))
        assert torch.equal(network(image), before)


def test_large_weights_are_finite_though_their_sum_is_not(tmp_path: Path) -> None:
    path, network = tmp_path / "small.safetensors", build_model(**ARCHITECTURE)
    with torch.no_grad():
        network.classifier[-1].weight.fill_(3e38)  # type: ignore[index]
    save_model(network, make_contract(), path, half=False)
    assert (load_model(path).network.classifier[-1].weight == 3e38).all()  # type: ignore[index,union-attr]


def test_half_precision_keeps_statistics_and_biases_in_full(tmp_path: Path) -> None:
    path = tmp_path / "small.safetensors"
    save_model(build_model(**ARCHITECTURE), make_contract(), path)
    with safe_open(path, framework="pt") as file:
        dtypes = {key: file.get_tensor(key).dtype for key in file.keys()}
    assert dtypes["backbone.conv1.weight"] == torch.float16
    assert dtypes["backbone.bn1.running_var"] == torch.float32
    assert dtypes["point_head.predictor.bias"] == torch.float32
    assert all(p.dtype == torch.float32 for p in load_model(path).network.parameters())


def test_what_is_not_a_model_is_refused(tmp_path: Path) -> None:
    text, plain, other = (tmp_path / name for name in ("a.safetensors", "b.safetensors", "c.safetensors"))
    text.write_text("no tensors here")
    save_file({"x": torch.zeros(1)}, plain)
    save_file({"x": torch.zeros(1)}, other, metadata={"geodeeplab": make_contract().to_json()})
    with pytest.raises(ModelError, match="no bundled model and no file is called 'nothing'"):
        load_model("nothing")
    with pytest.raises(ModelError, match="not a readable safetensors file"):
        load_model(text)
    with pytest.raises(ModelError, match="carries no GeoDeepLab contract"):
        load_model(plain)
    with pytest.raises(ModelError, match="do not fit the architecture it names"):
        load_model(other)


def test_another_format_version_is_refused_loudly() -> None:
    values = json.loads(make_contract().to_json()) | {"format_version": 99}
    with pytest.raises(ModelError, match="format 1, not 99"):
        Contract.from_json(json.dumps(values))
    with pytest.raises(ModelError, match="not readable"):
        Contract.from_json("{}")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"classes": (ModelClass(id=0, name="a", color=(0, 0, 0)),) * 2}, "distinct and within 1 to 255"),
        ({"classes": (ModelClass(id=1, name="a", color=(0, 0, 0)),)}, "gives 2 classes, the contract 1"),
        ({"bands": ()}, "reads 1 bands, the contract names 0"),
        ({"bands": (ModelBand(name="nir", mean=0, std=0),)}, "above 0"),
    ],
)
def test_parts_that_do_not_agree_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        make_contract(**changes)


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"cannot write .*safetensors"):
        save_model(build_model(**ARCHITECTURE), make_contract(), tmp_path / "none" / "m.safetensors")


def test_normalisation_by_hand() -> None:
    pixels = torch.tensor([[[[100, 140], [60, 0]]]], dtype=torch.uint8)
    valid = torch.tensor([[[True, True], [True, False]]])
    assert Normalisation(make_contract())(pixels, valid).tolist() == [[[[0.0, 2.0], [-2.0, 0.0]]]]


def test_rescaling_maps_low_and_high_onto_the_range_and_clips() -> None:
    pixels = torch.tensor([[[[1000, 3000, 2000, 9999]]]], dtype=torch.int32)
    images = Normalisation(make_contract(), rescale=[(1000, 3000)])(pixels, torch.ones(1, 1, 4, dtype=torch.bool))
    expected = (torch.tensor([0.0, 255.0, 127.5, 255.0]) - 100) / 20
    assert torch.allclose(images.flatten(), expected, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "bands", "classes"),
    [
        ("landcover-aerial", RGB, ["building", "land", "road", "vegetation", "water"]),
        ("buildings-aerial", RGB, ["building", "other"]),
        (
            "landcover-satellite",
            ("blue", "green", "red", "nir", "swir1", "swir2"),
            ["water", "trees", "grass", "crops", "built", "bare"],
        ),
    ],
)
def test_the_bundled_models_are_small_and_complete(name: str, bands: tuple[str, ...], classes: list[str]) -> None:
    assert name in set(iter_bundled())
    model = load_model(name)
    assert model.path is not None
    assert model.path.stat().st_size <= 25_200_000
    assert [item.name for item in model.contract.classes] == classes
    assert model.contract.band_names == bands
    assert model.contract.licence
    assert model.contract.metrics
    assert "/" not in str(model.contract.provenance.get("start", ""))  # no folders of whoever trained it


def test_what_draws_until_it_fits_ends_where_nothing_is_drawn() -> None:
    dirty = torch.full((64,), 1e30)  # as memory may be that nobody has written to
    with Undrawn():
        torch.nn.init.trunc_normal_(dirty, std=0.02)
        torch.nn.init.normal_(dirty[:3], mean=2.5)
    assert dirty[:3].tolist() == [2.5] * 3
    assert dirty[3:].abs().max() <= 2


def test_loading_draws_no_random_numbers(tiny_model: Path) -> None:
    before = torch.random.get_rng_state()
    first, second = load_model(tiny_model).network, load_model(tiny_model).network
    assert torch.equal(torch.random.get_rng_state(), before)
    for (name, tensor), (_, same) in zip(first.state_dict().items(), second.state_dict().items(), strict=True):
        assert torch.equal(tensor, same), name
