import argparse
import math
import urllib.error
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torchvision.models import densenet, efficientnet, get_model_weights, mobilenetv2, mobilenetv3, resnet, segmentation
from torchvision.models import vgg as tv_vgg

from geodeeplab.errors import ModelError, OptionError
from geodeeplab.models import (
    Contract,
    ModelBand,
    ModelClass,
    SegmentationNetwork,
    build_model,
    read_contract,
    save_model,
)
from geodeeplab.models.backbones.timm_models import create_features
from geodeeplab.models.weights import weight_files
from geodeeplab.models.weights.inflate import inflate_first_convolution
from geodeeplab.models.weights.pretrained import load_pretrained
from geodeeplab.models.weights.weight_files import find_weights
from tests.examples import few

State = dict[str, Tensor]
FIRST = "body.conv1.0.weight"
"""The first convolution of timm's ResNet-10-T."""
SENTINEL2 = "coastal blue green red rededge1 rededge2 rededge3 nir nir08 watervapour cirrus swir16 swir22".split()


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give torch's folder of downloads, on a machine without network."""

    def download(url: str, *args: object, **kwargs: object) -> None:
        raise urllib.error.URLError("no route to host")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", download)
    (tmp_path / "hub" / "checkpoints").mkdir(parents=True)
    return tmp_path / "hub" / "checkpoints"


def make_state(build: Callable[..., nn.Module], *, bands: int = 3) -> State:
    """Give a state dict of a network of torchvision's, statistics included, with random numbers.

    A large tensor is one number, which keeps files small.
    """
    with torch.device("meta"):
        shapes = {key: tuple(tensor.shape) for key, tensor in build(weights=None).state_dict().items()}
    first = next(iter(shapes))
    shapes[first] = (shapes[first][0], bands, *shapes[first][2:])
    return {
        key: torch.tensor(0) if not shape else torch.rand(shape if math.prod(shape) < 50_000 else ()).expand(shape)
        for key, shape in shapes.items()
    }


def narrow_vgg16() -> State:
    """Give the state dict of a VGG-16 with 8 channels in its hidden layers."""
    shapes = {"classifier.0.weight": (8, 512 * 49), "classifier.0.bias": (8,)}
    shapes |= {"classifier.3.weight": (8, 8), "classifier.3.bias": (8,)}
    return make_state(tv_vgg.vgg16) | {key: torch.rand(shape) for key, shape in shapes.items()}


def whole(build: Callable[..., nn.Module]) -> Callable[..., nn.Module]:
    """Give the builder of a whole network of torchvision's, with its auxiliary head and without any download."""
    return partial(build, weights_backbone=None, aux_loss=True)


def small_network(**changes: object) -> SegmentationNetwork:
    arguments: dict[str, Any] = {"backbone": "resnet18", "num_classes": 4, "aspp_channels": 8}
    return build_model(**(arguments | changes))


def first_weight(network: SegmentationNetwork) -> Tensor:
    """Give the weight of the first convolution of a network on a ResNet."""
    return network.backbone.get_parameter("conv1.weight")


def put(state: object, folder: Path, name: str) -> Path:
    torch.save(state, folder / name)
    return folder / name


def same_backbone(network: SegmentationNetwork, state: State, *, prefix: str = "", but: str = "") -> bool:
    """Say whether the network's backbone has the tensors of a state dict, all `but` one."""
    own = network.backbone.state_dict()
    return all(torch.equal(own[key], state[prefix + key]) for key in own if key != but)


# ----------------------------------------------------------------------------------------------------------------------
# torchvision's weights by name


@pytest.mark.parametrize(
    ("backbone", "build", "prefix"),
    few(
        [
            ("resnet18", resnet.resnet18, ""),
            ("mobilenet_v3_small", mobilenetv3.mobilenet_v3_small, "features."),
            ("densenet121", densenet.densenet121, "features."),
            ("mobilenet_v2", mobilenetv2.mobilenet_v2, "features."),
            ("efficientnet_v2_s", efficientnet.efficientnet_v2_s, "features."),
        ],
        2,
    ),
)
def test_default_weights_of_a_backbone(
    cache: Path, backbone: str, build: Callable[..., nn.Module], prefix: str
) -> None:
    state = make_state(build)
    put(state, cache, get_model_weights(backbone).DEFAULT.url.rpartition("/")[2])
    network = small_network(backbone=backbone)
    report = load_pretrained(network, "DEFAULT")
    assert same_backbone(network, state, prefix=prefix)
    assert set(report.loaded.values()) | set(report.dropped) == set(state)
    assert not set(report.loaded.values()) & set(report.dropped)
    assert set(report.loaded) | set(report.missing) >= {k for k in network.state_dict() if "num_batches" not in k}
    assert all(key.startswith("classifier.") for key in report.missing)
    assert all(key.startswith(("fc.", "classifier.", "features.18.", "features.7.")) for key in report.dropped)


def test_backbones_of_timm_start_from_timms_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("timm")
    torch.manual_seed(0)
    source = create_features("resnet10t")
    monkeypatch.setattr(weight_files, "create_features", lambda name, *, pretrained: source)
    network = build_model(arch="fcn", backbone="timm:resnet10t", num_classes=2, in_channels=4)
    report = load_pretrained(network, "imagenet", bands=["red", "green", "blue", "nir"])
    assert report.source == "timm's timm/resnet10t.c3_in1k"
    assert same_backbone(network, {f"body.{key}": value for key, value in source.state_dict().items()}, but=FIRST)
    assert "3 → 4 bands" in report.inflated[f"backbone.{FIRST}"]

    def fail(name: str, *, pretrained: bool) -> nn.Module:
        raise OSError("no route\nto host")

    monkeypatch.setattr(weight_files, "create_features", fail)
    with pytest.raises(ModelError, match=r"resnet10t is not .* downloaded \(no route to host\): pass the path"):
        load_pretrained(network, "imagenet")
    with pytest.raises(ModelError, match="timm has no weights of 'regnetz_005': give the path of a file"):
        find_weights("imagenet", arch="fcn", backbone="timm:regnetz_005")


def test_bundled_weights_that_are_not_in_the_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(weight_files.BUNDLED_WEIGHTS, "efficientnet_lite0", tmp_path / "gone.safetensors")
    with pytest.raises(ModelError, match=r"not where the package should have them .*: install GeoDeepLab again"):
        find_weights("imagenet", arch="deeplabv3", backbone="efficientnet_lite0")


@pytest.mark.parametrize("name", ["IMAGENET1K_V1", "ResNet18_Weights.IMAGENET1K_V1", "ResNet18_Weights.DEFAULT"])
def test_weights_are_found_by_name_with_or_without_the_class(cache: Path, name: str) -> None:
    state = make_state(resnet.resnet18)
    put(state, cache, "resnet18-f37072fd.pth")
    network = small_network()
    report = load_pretrained(network, name)
    assert same_backbone(network, state)
    assert report.source == "ResNet18_Weights.IMAGENET1K_V1 (resnet18-f37072fd.pth)"


def test_a_member_of_torchvisions_enumeration_is_its_name(cache: Path) -> None:
    put(make_state(resnet.resnet18), cache, "resnet18-f37072fd.pth")
    assert load_pretrained(small_network(), resnet.ResNet18_Weights.DEFAULT).loaded


def test_the_whole_network_is_the_default_where_torchvision_has_it(cache: Path) -> None:
    theirs = whole(segmentation.deeplabv3_mobilenet_v3_large)(weights=None).eval()
    put(theirs.state_dict(), cache, "deeplabv3_mobilenet_v3_large-fc3c493d.pth")
    ours = build_model(backbone="mobilenet_v3_large", num_classes=21, atrous_rates=(12, 24, 36), pointrend=False).eval()
    report = load_pretrained(ours, "DEFAULT")
    image = torch.randn(1, 3, 65, 97)
    with torch.no_grad():
        torch.testing.assert_close(ours(image), theirs(image)["out"], atol=1e-5, rtol=1e-5)
    assert report.missing == ()
    assert set(report.dropped.values()) == {"the auxiliary head of training"}


def test_other_classes_drop_the_last_layer_only(cache: Path) -> None:
    state = make_state(whole(segmentation.deeplabv3_mobilenet_v3_large))
    put(state, cache, "deeplabv3_mobilenet_v3_large-fc3c493d.pth")
    network = build_model(backbone="mobilenet_v3_large", num_classes=5, pointrend=True)
    report = load_pretrained(network, "COCO_WITH_VOC_LABELS_V1")
    own = network.state_dict()
    assert all(torch.equal(own[key], state[key]) for key in report.loaded)
    assert str(report).splitlines() == [
        "weights   DeepLabV3_MobileNet_V3_Large_Weights.COCO_WITH_VOC_LABELS_V1 "
        "(deeplabv3_mobilenet_v3_large-fc3c493d.pth)",
        "loaded    backbone (308), classifier.0 (36), classifier.1 (1), classifier.2 (5)",
        "dropped   classifier.4 (2): for 21 classes, the network has 5",
        "dropped   aux_classifier (8): the auxiliary head of training",
        "missing   classifier.4 (2), point_head (8): as initialised",
    ]


def test_fcn_and_the_head_of_another_architecture(cache: Path) -> None:
    state = make_state(whole(segmentation.fcn_resnet50))
    put(state, cache, "fcn_resnet50_coco-1167a1af.pth")
    network = build_model(arch="fcn", backbone="resnet50", num_classes=7)
    report = load_pretrained(network, "DEFAULT")
    assert report.source.startswith("FCN_ResNet50_Weights.COCO_WITH_VOC_LABELS_V1")
    assert report.missing == ("classifier.4.weight", "classifier.4.bias")
    assert torch.equal(network.classifier.state_dict()["0.weight"], state["classifier.0.weight"])

    plus = build_model(arch="deeplabv3plus", backbone="resnet50", num_classes=7, aspp_channels=8)
    report = load_pretrained(plus, "FCN_ResNet50_Weights.DEFAULT")
    assert same_backbone(plus, state, prefix="backbone.")
    assert "dropped   classifier (8): the head of another architecture" in str(report)


def test_offline_the_refusal_says_which_file_to_put_where(cache: Path) -> None:
    network = small_network()
    before = {key: tensor.clone() for key, tensor in network.state_dict().items()}
    with pytest.raises(ModelError) as refusal:
        load_pretrained(network, "DEFAULT")
    assert "no route to host" in str(refusal.value)
    assert f"put the file resnet18-f37072fd.pth into the folder {cache}" in str(refusal.value)
    assert all(torch.equal(before[key], tensor) for key, tensor in network.state_dict().items())


def test_a_download_goes_into_torchs_cache(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state, calls = make_state(resnet.resnet18), []

    def download(url: str, dst: str, hash_prefix: str, progress: bool) -> None:
        calls.append((url.rpartition("/")[2], hash_prefix, progress))
        torch.save(state, dst)

    monkeypatch.setattr(torch.hub, "download_url_to_file", download)
    network = small_network()
    load_pretrained(network, "DEFAULT")
    load_pretrained(network, "DEFAULT")
    assert calls == [("resnet18-f37072fd.pth", "f37072fd", False)]
    assert same_backbone(network, state)


def test_unknown_names(cache: Path) -> None:
    with pytest.raises(ModelError, match=r"called 'IMAGENET': choose one of DEFAULT, ResNet18_Weights.IMAGENET1K_V1,"):
        load_pretrained(small_network(), "IMAGENET")
    with pytest.raises(ModelError, match=r"deeplabv3 on resnet18 are called 'ResNet50_Weights.IMAGENET1K_V1'"):
        load_pretrained(small_network(), "ResNet50_Weights.IMAGENET1K_V1")
    with pytest.raises(ModelError, match=r"no file of weights is called 'nothing\.pth': check the path"):
        load_pretrained(small_network(), "nothing.pth")
    network = small_network()
    network.architecture = {}
    with pytest.raises(ModelError, match="torchvision has none, give the path of a state dict"):
        load_pretrained(network, "DEFAULT")


# ----------------------------------------------------------------------------------------------------------------------
# files


@pytest.mark.parametrize(
    "prefix", few(["", "module.", "encoder.", "model.backbone.", "state_dict.module.encoder_q."], 2)
)
def test_any_prefix_is_found(tmp_path: Path, prefix: str) -> None:
    state = make_state(resnet.resnet18)
    path = put({f"{prefix}{key}": tensor for key, tensor in state.items()}, tmp_path, "some.pth")
    network = small_network()
    load_pretrained(network, path)
    assert same_backbone(network, state)


@pytest.mark.parametrize("wrapper", ["state_dict", "model", "teacher"])
def test_wrapped_state_dicts(tmp_path: Path, wrapper: str) -> None:
    state = make_state(resnet.resnet18)
    optimizer = {"state": {0: {"exp_avg": torch.zeros(3)}}, "lr": 0.1}
    path = put({"epoch": 3, wrapper: state, "optimizer": optimizer}, tmp_path, "checkpoint.pt")
    network = small_network()
    report = load_pretrained(network, str(path))
    assert same_backbone(network, state)
    assert f"dropped   {wrapper}.fc (2), optimizer (1): not part of the network" in str(report)


def test_safetensors_and_half_precision(tmp_path: Path) -> None:
    state = make_state(resnet.resnet18)
    save_file({key: tensor.half().contiguous() for key, tensor in state.items()}, tmp_path / "some.safetensors")
    network = small_network()
    load_pretrained(network, tmp_path / "some.safetensors")
    assert first_weight(network).dtype == torch.float32
    assert same_backbone(network, {key: tensor.half().to(tensor.dtype) for key, tensor in state.items()})


def test_files_older_than_the_counters_and_names_of_batch_norm(tmp_path: Path) -> None:
    state = make_state(densenet.densenet121)
    old = {
        key.replace("norm1.", "norm.1.").replace("conv2.", "conv.2.") if "denselayer" in key else key: tensor
        for key, tensor in state.items()
        if "num_batches_tracked" not in key
    }
    network = small_network(backbone="densenet121")
    report = load_pretrained(network, put(old, tmp_path, "old.pth"))
    assert same_backbone(network, state, prefix="features.")
    assert all(key.startswith("classifier.") for key in report.missing)


@pytest.mark.parametrize(
    ("name", "backbones", "key"),
    few(
        [
            ("resnet18", ["resnet18", "timm:resnet18"], "layer4.1.bn2.running_var"),
            ("convnext_atto", ["timm:convnext_atto"], "stages.3.blocks.1.mlp.fc1.weight"),
        ],
        1,
    ),
)
def test_files_of_timm(tmp_path: Path, name: str, backbones: list[str], key: str) -> None:
    timm = pytest.importorskip("timm")
    state = make_state(lambda weights: timm.create_model(name, pretrained=False))
    path = put(state, tmp_path, "timm.pth")
    for backbone in backbones:
        network = small_network(backbone=backbone, output_stride=32)
        report = load_pretrained(network, path)
        own = next(ours for ours, theirs in report.loaded.items() if theirs == key)
        assert torch.equal(network.state_dict()[own], state[key])
        assert all(ours.startswith("classifier.") for ours in report.missing)
        again = small_network(backbone=backbone, output_stride=32)
        assert load_pretrained(again, put(network.state_dict(), tmp_path, "again.pth")).missing == ()


def test_a_model_file_goes_on_to_other_classes_and_bands(tmp_path: Path) -> None:
    names = ("nir", "red", "green", "blue")
    contract = Contract(
        name="before",
        architecture={
            "arch": "deeplabv3",
            "backbone": "resnet18",
            "num_classes": 2,
            "in_channels": 4,
            "pointrend": True,
        },
        classes=tuple(ModelClass(id=i, name=str(i), color=(0, 0, 0)) for i in (1, 2)),
        bands=tuple(ModelBand(name=name, mean=0.0, std=1.0) for name in names),
    )
    before = small_network(num_classes=2, in_channels=4, pointrend=True)
    save_model(before, contract, tmp_path / "before.safetensors", half=False)
    network = small_network(num_classes=3, pointrend=True)
    report = load_pretrained(network, tmp_path / "before.safetensors", bands=("green", "red", "nir"))
    expected = first_weight(before)[:, [2, 1, 0]] * 4 / 3
    torch.testing.assert_close(first_weight(network), expected)
    assert same_backbone(network, before.backbone.state_dict(), but="conv1.weight")
    assert torch.equal(
        network.state_dict()["classifier.0.project.0.weight"], before.state_dict()["classifier.0.project.0.weight"]
    )
    assert str(report).splitlines()[1:] == [
        "loaded    backbone (120), classifier.0 (36), classifier.1 (1), classifier.2 (5)",
        "inflated  backbone.conv1.weight: 4 → 3 bands: green, red, nir by name, × 4/3",
        "dropped   classifier.4 (2), point_head (8): for 2 classes, the network has 3",
        "missing   classifier.4 (2), point_head (8): as initialised",
    ]


def test_a_bundled_model_by_name() -> None:
    network = build_model(**{**read_contract("landcover-aerial").architecture, "num_classes": 3, "in_channels": 4})
    report = load_pretrained(network, "landcover-aerial", bands=["nir", "red", "green", "blue"])
    assert all(key.startswith(("classifier.", "point_head.")) for key in report.missing)
    assert report.inflated


# ----------------------------------------------------------------------------------------------------------------------
# heads


def test_fcn_goes_on_from_coarser_to_finer(tmp_path: Path) -> None:
    coarse = build_model(arch="fcn32s", backbone="vgg16", num_classes=4, fc_channels=8)
    nn.init.normal_(coarse.classifier.get_parameter("score_fr.weight"))
    path = put(coarse.state_dict(), tmp_path, "fcn32s.pth")
    fine = build_model(arch="fcn16s", backbone="vgg16", num_classes=4, fc_channels=8)
    report = load_pretrained(fine, path)
    assert report.missing == ("classifier.score_pools.0.weight", "classifier.score_pools.0.bias")
    assert all(torch.equal(tensor, fine.state_dict()[key]) for key, tensor in coarse.state_dict().items())


@pytest.mark.parametrize(
    "arguments", [{"arch": "fcn8s"}, {"arch": "dilatednet"}, {"arch": "deeplabv1", "fov_kernel": 7}]
)
def test_vggs_fully_connected_layers_become_convolutions(tmp_path: Path, arguments: dict[str, Any]) -> None:
    state = narrow_vgg16()
    network = build_model(backbone="vgg16", num_classes=4, fc_channels=8, **arguments)
    report = load_pretrained(network, put(state, tmp_path, "vgg16.pth"))
    assert same_backbone(network, state, prefix="features.")
    convolution = next(layer for layer in network.classifier.modules() if isinstance(layer, nn.Conv2d))
    features = torch.randn(2, 512, 7, 7)
    dense = features.flatten(1) @ state["classifier.0.weight"].T + state["classifier.0.bias"]
    conv = torch.conv2d(features, convolution.weight, convolution.bias).flatten(1)
    torch.testing.assert_close(conv, dense, atol=1e-3, rtol=1e-4)
    assert not any("fc6" in key or "fc7" in key for key in report.missing)
    assert "dropped   classifier.6 (2): not part of the network" in str(report)


@pytest.mark.parametrize("broken", [False, True])
def test_fully_connected_layers_that_do_not_fit_are_left_out(tmp_path: Path, broken: bool) -> None:
    state = narrow_vgg16() if broken else make_state(tv_vgg.vgg16)
    state["classifier.3.weight"] = torch.tensor(torch.nan).expand(state["classifier.3.weight"].shape)
    network = build_model(arch="fcn32s", backbone="vgg16", num_classes=4, fc_channels=8)
    report = load_pretrained(network, put(state, tmp_path, "vgg16.pth"))
    assert "dropped   classifier (6): not part of the network" in str(report)
    assert "missing   classifier (6): as initialised" in str(report)


def test_context_of_other_classes_is_left_out_as_a_whole(tmp_path: Path) -> None:
    before = build_model(arch="dilatednet", backbone="vgg16", num_classes=4, fc_channels=8, context="large")
    after = build_model(arch="dilatednet", backbone="vgg16", num_classes=3, fc_channels=8, context="large")
    report = load_pretrained(after, put(before.state_dict(), tmp_path, "before.pth"))
    assert "dropped   classifier.final (2), classifier.context (16): for 4 classes, the network has 3" in str(report)


def test_a_head_of_other_widths_is_refused(tmp_path: Path) -> None:
    path = put(small_network(aspp_channels=16).state_dict(), tmp_path, "wide.pth")
    for classes in (4, 2):  # the same number of classes, and another
        with pytest.raises(ModelError, match=r"has the shape \(16, .* build the network with the same numbers"):
            load_pretrained(small_network(num_classes=classes), path)


def test_a_number_of_classes_that_no_network_has_is_refused(tmp_path: Path) -> None:
    state = small_network().state_dict()
    state["classifier.4.weight"], state["classifier.4.bias"] = torch.zeros(1, 8, 1, 1), torch.zeros(1)
    with pytest.raises(ModelError, match=r"classifier.4.weight has the shape \(1, 8, 1, 1\)"):
        load_pretrained(small_network(), put(state, tmp_path, "one.pth"))


# ----------------------------------------------------------------------------------------------------------------------
# bands


def test_more_bands_without_names_repeat_the_filters(tmp_path: Path) -> None:
    state = make_state(resnet.resnet18)
    network = small_network(in_channels=5)
    report = load_pretrained(network, put(state, tmp_path, "rgb.pth"))
    assert torch.equal(first_weight(network), inflate_first_convolution(state["conv1.weight"], bands=5))
    assert report.inflated == {"backbone.conv1.weight": "3 → 5 bands: repeated in order, × 3/5"}
    assert load_pretrained(small_network(in_channels=1), tmp_path / "rgb.pth").inflated == {
        "backbone.conv1.weight": "3 → 1 bands: the sum"
    }


def test_bands_by_name(cache: Path) -> None:
    state = make_state(resnet.resnet18)
    put(state, cache, "resnet18-f37072fd.pth")
    network = small_network(in_channels=4)
    report = load_pretrained(network, "DEFAULT", bands=["nir", "red", "green", "blue"])
    weight = state["conv1.weight"]
    expected = torch.cat([weight.mean(1, keepdim=True), weight], dim=1) * 3 / 4
    torch.testing.assert_close(first_weight(network), expected)
    assert report.inflated == {"backbone.conv1.weight": "3 → 4 bands: red, green, blue by name; nir the mean, × 3/4"}
    assert load_pretrained(small_network(), "DEFAULT", bands=["Red", "Green", "Blue"]).inflated == {}
    assert load_pretrained(small_network(), "DEFAULT", bands=["blue", "green", "red"]).inflated == {
        "backbone.conv1.weight": "3 → 3 bands: blue, green, red by name"
    }


def test_sentinel_2_filters_are_picked_by_name(tmp_path: Path) -> None:
    state = make_state(resnet.resnet18, bands=13)
    path = put(state, tmp_path, "resnet18_sentinel2_all_moco.pth")
    network = small_network(in_channels=4)
    load_pretrained(network, path, bands=["red", "green", "blue", "nir"], source_bands=SENTINEL2)
    expected = state["conv1.weight"][:, [3, 2, 1, 7]] * 13 / 4
    torch.testing.assert_close(first_weight(network), expected)
    alike = small_network(in_channels=13)
    assert load_pretrained(alike, path).inflated == {}
    assert same_backbone(alike, state)


def test_bands_that_are_not_named_are_not_guessed(tmp_path: Path) -> None:
    path = put(make_state(resnet.resnet18, bands=13), tmp_path, "s2.pth")
    with pytest.raises(ModelError, match="reads 13 bands, the network 4: name both, with `bands=` and `source_bands=`"):
        load_pretrained(small_network(in_channels=4), path)
    with pytest.raises(ModelError, match="reads 13 bands and does not say which"):
        load_pretrained(small_network(in_channels=2), path, bands=["red", "nir"])
    with pytest.raises(ModelError, match=r"source_bands names 2 \(red, nir\)"):
        load_pretrained(small_network(in_channels=2), path, bands=["red", "nir"], source_bands=["red", "nir"])
    with pytest.raises(ModelError, match=r"the network reads 2 bands: bands name each of them, not \['red'\]"):
        load_pretrained(small_network(in_channels=2), path, bands=["red"], source_bands=SENTINEL2)
    with pytest.raises(OptionError, match="pass `bands=` too"):
        load_pretrained(small_network(in_channels=2), path, source_bands=SENTINEL2)


# ----------------------------------------------------------------------------------------------------------------------
# refusals


def refusal(network: SegmentationNetwork, state: object, folder: Path) -> str:
    """Give the message with which weights are refused, and check that the network has not changed."""
    before = {key: tensor.clone() for key, tensor in network.state_dict().items()}
    with pytest.raises(ModelError) as error:
        load_pretrained(network, put(state, folder, "some.pth"))
    assert all(torch.equal(before[key], tensor) for key, tensor in network.state_dict().items())
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_shallower_or_deeper_backbone_is_refused(tmp_path: Path) -> None:
    shallow, deep = make_state(resnet.resnet18), make_state(resnet.resnet34)
    message = refusal(small_network(backbone="resnet34"), shallow, tmp_path)
    assert "another backbone: they lack 80 of 180 tensors, such as backbone.layer1.2.conv1.weight" in message
    message = refusal(small_network(), deep, tmp_path)
    assert "another backbone: they have 96 tensors more, such as layer1.2.conv1.weight" in message


def test_another_family_or_width_is_refused(tmp_path: Path) -> None:
    message = refusal(small_network(), make_state(tv_vgg.vgg16), tmp_path)
    assert "begin features.0.weight, features.0.bias, features.2.weight, its own conv1.weight, bn1.weight" in message
    wide = make_state(resnet.resnet18) | {"layer3.0.conv1.weight": torch.zeros(512, 128, 3, 3)}
    message = refusal(small_network(), wide, tmp_path)
    assert "layer3.0.conv1.weight has the shape (512, 128, 3, 3), not (256, 128, 3, 3)" in message


def test_nothing_twice_or_broken_is_refused(tmp_path: Path) -> None:
    state = make_state(resnet.resnet18)
    assert "they begin nothing" in refusal(small_network(), {"epoch": 3}, tmp_path)
    message = refusal(small_network(), {"model": state, "model_ema": state}, tmp_path)
    assert "hold this backbone 2 times, below 'model.', 'model_ema.'" in message
    state["bn1.bias"][7] = torch.inf
    assert "bn1.bias in" in refusal(small_network(), state, tmp_path)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "text.pth").write_text("weights")
    (tmp_path / "text.safetensors").write_text("weights")
    put({"model": make_state(resnet.resnet18), "args": argparse.Namespace(lr=0.1)}, tmp_path, "objects.pth")
    whole = put(make_state(resnet.resnet18), tmp_path, "cut.pth")
    whole.write_bytes(whole.read_bytes()[:100_000])
    for name, message in {
        "text.pth": "damaged, or holds Python objects",
        "objects.pth": "damaged, or holds Python objects",
        "text.safetensors": "not a readable file of weights",
        "cut.pth": "not a readable file of weights",
    }.items():
        with pytest.raises(ModelError, match=message):
            load_pretrained(small_network(), tmp_path / name)


def test_the_builder_loads_weights(cache: Path) -> None:
    state = make_state(resnet.resnet18)
    put(state, cache, "resnet18-f37072fd.pth")
    network = small_network(weights="DEFAULT", in_channels=2, bands=["red", "nir"])
    assert same_backbone(network, state, but="conv1.weight")
    assert "weights" not in network.architecture
    torch.testing.assert_close(first_weight(network)[:, 0], state["conv1.weight"][:, 0] * 3 / 2)
