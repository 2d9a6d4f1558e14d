"""Networks from elsewhere as models."""

import hashlib
import json
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models.segmentation import deeplabv3_mobilenet_v3_large

from geodeeplab.errors import ModelError, OptionError
from geodeeplab.models import Contract, ForeignNetwork, Model, ModelBand, ModelClass, as_model, load_model
from geodeeplab.models.files.normalise import Normalisation, RawPixels

COLORS = ((200, 60, 50), (220, 200, 90), (30, 110, 50), (0, 0, 200))


def make_contract(classes: int = 3, *, bands: int = 3, tile_size: int = 48) -> Contract:
    return Contract(
        name="foreign",
        classes=tuple(ModelClass(id=i + 1, name=f"class {i}", color=COLORS[i]) for i in range(classes)),
        bands=tuple(ModelBand(name=f"b{i}", mean=120.0, std=60.0) for i in range(bands)),
        tile_size=tile_size,
        overlap=8,
    )


class Coarse(nn.Module):
    """Logits (N, K, H / 4, W / 4), in the form that is asked for."""

    def __init__(self, classes: int = 3, *, bands: int = 3, form: str = "tensor") -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(bands, classes, 4, stride=4)
        self.norm = nn.BatchNorm2d(classes)
        self.form = form

    def forward(self, x: Tensor) -> object:
        logits = self.norm(self.conv(x))
        forms = {"tensor": logits, "out": {"aux": x, "out": logits}, "logits": {"loss": None, "logits": logits}}
        others = {"list": [logits], "labels": logits.argmax(1), "long": logits.long(), "other": {"prediction": logits}}
        return (forms | others)[self.form]


class Masked(nn.Module):
    """Pixels, and minus those where there is data."""

    def forward(self, images: Tensor, valid: Tensor) -> Tensor:
        return torch.stack([images[:, 0], -images[:, 0] * valid], 1)


@pytest.mark.parametrize("form", ["tensor", "out", "logits"])
def test_coarse_logits_are_upsampled_to_the_tile(form: str) -> None:
    module = Coarse(form=form)
    model = as_model(module, make_contract())
    images = torch.randn(2, 3, 48, 48)
    with torch.no_grad():
        coarse = module.norm(module.conv(images))
        logits = model.network(images, torch.ones(2, 48, 48, dtype=torch.bool))
    assert torch.equal(logits, F.interpolate(coarse, (48, 48), mode="bilinear", align_corners=False))
    assert (model.path, model.input, model.files) == (None, "normalised", ())


def test_torchvision() -> None:
    torch.manual_seed(0)
    module = deeplabv3_mobilenet_v3_large(weights=None, weights_backbone=None, num_classes=4)
    model = as_model(module, make_contract(4, tile_size=64))
    pixels = torch.randint(0, 256, (1, 3, 64, 64), dtype=torch.uint8)
    valid = torch.ones(1, 64, 64, dtype=torch.bool)
    with torch.inference_mode():
        logits = model.network(model.preparation()(pixels, valid), valid)
        assert torch.equal(logits, module((pixels.float() - 120) / 60)["out"])
    assert logits.std() > 0


def test_valid_goes_to_networks_that_have_a_parameter_of_that_name() -> None:
    model = as_model(Masked(), make_contract(2, bands=1))
    valid = torch.zeros(1, 48, 48, dtype=torch.bool)
    valid[0, 5] = True
    logits = model.network(torch.ones(1, 1, 48, 48), valid)
    assert torch.equal(logits[0, 1] == -1, valid[0])


def test_trying_a_network_leaves_its_statistics_alone_and_sets_evaluation_mode() -> None:
    module = Coarse().train()
    before = module.norm.running_mean.clone()  # type: ignore[union-attr]
    as_model(module, make_contract())
    assert not module.training
    assert torch.equal(module.norm.running_mean, before)  # type: ignore[arg-type]
    assert module.norm.num_batches_tracked == 0


def test_contracts_come_as_objects_values_or_files(tmp_path: Path) -> None:
    contract = make_contract()
    path = tmp_path / "contract.json"
    path.write_text(contract.to_json(), encoding="utf-8")
    for given in (contract, json.loads(contract.to_json()), path, str(path)):
        assert as_model(Coarse(), given).contract == contract


def test_models_and_model_files_are_what_they_are(tiny_model: Path) -> None:
    model = load_model(tiny_model)
    assert as_model(model) is model
    assert as_model(str(tiny_model)).contract == model.contract
    assert as_model("landcover-aerial").contract.name == "landcover-aerial"
    ours = as_model(model.network, model.contract)
    assert ours.network is model.network
    for given in (model, tiny_model):
        with pytest.raises(OptionError, match="carries its own contract: leave out the other one"):
            as_model(given, model.contract)


@pytest.mark.parametrize(
    ("module", "contract", "match"),
    [
        (Coarse(2), make_contract(), r"3 classes by its contract, .*\(1, 3, h, w\), not \(1, 2, 12, 12\)"),
        (Coarse(bands=4), make_contract(), r"does not take \(1, 3, 48, 48\) float32, .* 4 channels"),
        (Coarse().half(), make_contract(), r"does not take .*RuntimeError"),
        (Coarse(form="list"), make_contract(), "gives a list where logits are expected"),
        (Coarse(form="other"), make_contract(), "gives a dict where logits are expected"),
        (Coarse(form="labels"), make_contract(), r"gives a torch\.int64 tensor where"),
        (Coarse(form="long"), make_contract(), r"gives a torch\.int64 tensor where"),
        (Coarse(), None, "such as Coarse needs a contract that names its classes and bands: pass `contract=`"),
    ],
)
def test_what_does_not_fit_is_refused(module: nn.Module, contract: Contract | None, match: str) -> None:
    with pytest.raises(ModelError, match=match):
        as_model(module, contract)


def test_our_network_with_another_number_of_classes(tiny_model: Path) -> None:
    with pytest.raises(ModelError, match=r"gives \(1, 3, 48, 48\) where its contract says \(1, 2, 48, 48\)"):
        as_model(load_model(tiny_model).network, make_contract(2))


def test_the_checksum_is_the_files_or_the_weights(tiny_model: Path) -> None:
    model = load_model(tiny_model)
    assert model.checksum == hashlib.sha256(tiny_model.read_bytes()).hexdigest()
    assert model.files == (tiny_model,)
    first, same, other = (as_model(Coarse(), make_contract()) for _ in range(3))
    with torch.no_grad():
        other.network.get_parameter("module.conv.bias")[0] += 1e-6
    assert first.checksum == same.checksum != other.checksum
    half = Model(network=Coarse().bfloat16(), contract=make_contract())
    assert len(half.checksum) == 64


def test_what_a_model_settles() -> None:
    model = as_model(Coarse(), make_contract())
    assert isinstance(model.network, ForeignNetwork)
    assert [model.settle_precision(each) for each in ("auto", "bf16")] == ["auto", "bf16"]
    assert (model.settle_tile_size(None), model.settle_tile_size(96)) == (48, 96)
    assert (model.settle_batch_size(None), model.settle_batch_size(3)) == (None, 3)
    assert isinstance(model.preparation(), Normalisation)


def test_what_a_fixed_model_settles() -> None:
    model = Model(
        network=Coarse(), contract=make_contract(), input="raw", fixed_tile_size=64, fixed_batch=2, precisions=("fp32",)
    )
    assert [model.settle_precision(each) for each in ("auto", "fp32", "fp12")] == ["fp32", "fp32", "fp12"]
    assert (model.settle_tile_size(None), model.settle_tile_size(64)) == (64, 64)
    assert (model.settle_batch_size(None), model.settle_batch_size(2)) == (2, 2)
    assert isinstance(model.preparation(), RawPixels)
    with pytest.raises(OptionError, match="runs at fp32, not bf16: leave the precision at auto"):
        model.settle_precision("bf16")
    with pytest.raises(OptionError, match="takes tiles of 64 px only, not 128"):
        model.settle_tile_size(128)
    with pytest.raises(OptionError, match="takes 2 tiles at once only, not 1"):
        model.settle_batch_size(1)
