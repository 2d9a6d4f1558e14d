"""Notebooks that were written for arcgis.learn, on chips as Esri's tool exports them: a workflow, and other calls."""

# mypy: disable-error-code="call-arg, call-overload, arg-type"
# words of theirs are in no signature of ours

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import torch
from affine import Affine

from geodeeplab import DeepLab, prepare_data, segment
from geodeeplab.errors import ModelError, OptionError, SceneError
from geodeeplab.maps.chips import lay_over
from geodeeplab.models import build_model
from geodeeplab.training import TrainingData

pytestmark = pytest.mark.xdist_group("learner")  # one process fits, once
SIDE = 32
CHIPS = 8
COLORS = {1: (220, 200, 90), 2: (30, 110, 50), 3: (200, 60, 50)}
NAMES = {1: "field", 2: "wood", 3: "roof"}


def write_raster(path: Path, pixels: np.ndarray[Any, Any], number: int) -> None:
    path.parent.mkdir(exist_ok=True)
    place = Affine(1, 0, 500_000 + SIDE * number, 0, -1, 4_000_000)
    count, height, width = pixels.shape
    profile = {"driver": "GTiff", "count": count, "height": height, "width": width, "dtype": "uint8"}
    with rasterio.open(path, "w", crs="EPSG:32633", transform=place, **profile) as dst:
        dst.write(pixels)


def paint(labels: np.ndarray[Any, Any], rng: np.random.Generator) -> np.ndarray[Any, Any]:
    """Give an image (3, H, W) of labels (H, W) in the colours of the classes, with noise."""
    table = np.array([(90, 90, 90), *COLORS.values()])
    noisy = np.moveaxis(table[labels], -1, 0) + rng.integers(-20, 20, (3, *labels.shape))
    painted: np.ndarray[Any, Any] = np.clip(noisy, 0, 255).astype(np.uint8)
    return painted


@pytest.fixture(scope="module")
def data_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Chips as the tool Export Training Data For Deep Learning writes them, a part without a label."""
    folder = tmp_path_factory.mktemp("export")
    rng = np.random.default_rng(0)
    lines = []
    for number in range(CHIPS):
        labels = rng.integers(1, 4, (4, 4)).astype(np.uint8).repeat(8, 0).repeat(8, 1)
        image = paint(labels, rng)
        labels[:4] = 0
        name = f"{number:012d}.tif"
        write_raster(folder / "images" / name, image, number)
        write_raster(folder / "labels" / name, labels[None], number)
        lines.append(f"images\\{name}  labels\\{name}\n")
    (folder / "map.txt").write_text("".join(lines))
    classes = [{"Value": value, "Name": name, "Color": COLORS[value]} for value, name in NAMES.items()]
    (folder / "esri_model_definition.emd").write_text(json.dumps({"Classes": classes}))
    (folder / "esri_accumulated_stats.json").write_text(json.dumps({"MetaDataMode": "Classified_Tiles"}))
    return folder


@pytest.fixture(scope="module")
def data(data_path: Path) -> TrainingData:
    return prepare_data(
        data_path, None, SIDE, 0.25, 4, dataset_type="Classified_Tiles", transforms=None, seed=42, epoch_chips=8
    )


@pytest.fixture(scope="module")
def model(data: TrainingData, tmp_path_factory: pytest.TempPathFactory) -> DeepLab:
    model = DeepLab(data, "efficientnet_lite0", None, True, ignore_classes=[0], keep_dilation=False)
    folder = tmp_path_factory.mktemp("runs")
    model.fit(1, 1e-3, True, False, True, False, "valid_loss", folder=folder, workers=0, progress=False)
    return model


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("scene") / "scene.tif"
    rng = np.random.default_rng(1)
    write_raster(path, paint(rng.integers(1, 4, (8, 8)).repeat(8, 0).repeat(8, 1), rng), 0)
    return path


@pytest.mark.slow
def test_a_workflow(
    data: TrainingData, model: DeepLab, scene: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    data.show_batch(rows=1, alpha=0.7)
    assert [one.name for one in data.classes] == ["field", "wood", "roof"]
    assert data.provenance["chip_folder"]["label_values"] == {"field": [1], "wood": [2], "roof": [3]}
    assert model.network.architecture["pointrend"]
    lr = model.lr_find(allow_plot=False, steps=10, workers=0)
    model.unfreeze()
    model.fit(epochs=1, lr=slice(lr / 10, lr), one_cycle=False, checkpoint=False, workers=0, progress=False)
    assert len(model.history) == 2
    assert model._fits[1]["backbone_factor"] == pytest.approx(0.1)
    assert model._fits[0]["monitor"] == "loss"
    model.plot_losses(show=True)
    model.show_results(rows=2, alpha=0.5)
    assert set(model.mIOU(mean=False, show_progress=False)) == {"field", "wood", "roof"}
    assert model.accuracy() is not None
    model.save("30e", framework="PyTorch", publish=False, gis=None, compute_metrics=True, save_optimizer=False)
    assert (tmp_path / "30e.safetensors").is_file()
    model.load("30e")

    trained = DeepLab.from_model("30e")
    trained.predict(scene, label_raster="labels.tif", threads=1)
    segment(scene, label_raster="same.tif", model="30e.safetensors", device="cpu", threads=1)
    with rasterio.open("labels.tif") as labels, rasterio.open("same.tif") as same:
        assert set(np.unique(labels.read(1))) <= {1, 2, 3}
        assert np.array_equal(labels.read(1), same.read(1))
    again = DeepLab.from_model(emd_path="30e.safetensors", data=data)
    assert again.start.endswith("30e.safetensors")


def test_without_data_a_model_predicts_only(model: DeepLab, tmp_path: Path) -> None:
    trained = DeepLab.from_model(model.save(tmp_path / "fields"))
    assert trained.data.classes == model.data.classes
    calls: list[Callable[[], object]] = [
        trained.accuracy, trained.mIOU, trained.per_class_metrics, trained.show_results, trained.data.show_batch,
        trained.lr_find, lambda: trained.fit(1, 1e-3, folder=tmp_path / "run"), lambda: trained.save(tmp_path / "b"),
    ]  # fmt: skip
    for call in calls:
        with pytest.raises(
            OptionError, match=r"'fields' was opened without training data, and so predicts only: .*`data=`"
        ):
            call()
    assert not (tmp_path / "run").exists()
    trained.load(tmp_path / "fields")
    with pytest.raises(ModelError, match="no bundled model and no file"):
        DeepLab.from_model(tmp_path / "fields.emd")


def test_what_there_is(model: DeepLab) -> None:
    assert "resnet34" in DeepLab.backbones()
    assert "resnet34" in model.supported_backbones
    assert "Classified_Tiles" in model.supported_datasets
    assert "accuracy" in model.available_metrics


def test_classes_can_be_left_out_of_the_scores(model: DeepLab) -> None:
    table = model.per_class_metrics(ignore_classes=[0, 3])
    assert list(table.columns) == ["field", "wood"]
    counts = model._tally.confusion[:2]  # truth by row
    assert list(table.loc["pixels"]) == counts.sum(1).tolist()
    with np.errstate(invalid="ignore"):
        expected = [counts[index, index] / counts[:, index].sum() for index in (0, 1)]
    assert list(table.loc["precision"]) == pytest.approx(expected, nan_ok=True)
    assert list(model.per_class_metrics(ignore_classes=["wood"]).columns) == ["field", "roof"]
    with pytest.raises(OptionError, match="no class is called 7"):
        model.per_class_metrics(ignore_classes=[7])


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda path, _: prepare_data(path, dataset_type="RCNN_Masks"), "Classified_Tiles: export them"),
        (lambda path, _: prepare_data(path, transforms=([], [])), r"`augmentation=` is True, False or gdl\.Augm"),
        (
            lambda path, _: prepare_data(path, rgb_bands=[0, 1, 2], chip_size=SIDE),
            r"has no band '0', it has 3 bands: 1 \(red\)",
        ),
        (lambda _, model: DeepLab(model.data, backbone=50), "is a name, such as 'resnet50', not 50"),
        (lambda _, model: model.fit(1, 1e-3, checkpoint="all"), "the best and the last epoch"),
        (
            lambda _, model: model.fit(1, 1e-3, monitor="dice"),
            "miou, boundary_iou, accuracy, boundary_f1, loss, not 'dice'",
        ),
        (lambda _, model: model.show_results(alpha=7), "from 0 to 1, not 7"),
        (lambda _, model: model.data.show_batch(alpha=-1), "from 0 to 1, not -1"),
        (lambda _, model: model.save("a", publish=True), "share the one file"),
    ],
)
def test_calls_that_are_refused(
    data_path: Path, model: DeepLab, call: Callable[[Path, DeepLab], object], match: str
) -> None:
    with pytest.raises((OptionError, SceneError), match=match) as error:
        call(data_path, model)
    assert "\n" not in str(error.value)


def test_a_model_of_theirs_is_a_start(data: TrainingData, tmp_path: Path) -> None:
    torch.manual_seed(3)
    theirs = build_model(backbone="mobilenet_v3_small", num_classes=4).state_dict()  # one for unlabelled ground
    torch.save(theirs, tmp_path / "fields.pth")
    definition = {
        "ModelName": "DeepLab",
        "ModelType": "ImageClassification",
        "ModelFile": "fields.pth",
        "ModelParameters": {"backbone": "mobilenet_v3_small", "pointrend": False},
        "ExtractBands": [0, 1, 2],
        "Classes": [{"Value": value, "Name": name} for value, name in NAMES.items()],
    }
    path = tmp_path / "fields.emd"
    path.write_text(json.dumps(definition))
    model = DeepLab.from_model(tmp_path, data, device="cpu")
    ours = model.network.state_dict()
    shared = [key for key in theirs if torch.equal(ours[key], theirs[key])]
    assert len(theirs) - len(shared) == 2  # weight and bias of the classes
    assert model.start == str(tmp_path / "fields.pth")
    with pytest.raises(ModelError, match=r"Esri's DeepLab of 3 classes \(field, wood, roof\).*start from them with "):
        DeepLab.from_model(path)
    (tmp_path / "fields.pth").write_bytes(b"cos\nsystem\n(S'ls'\ntR.")
    with pytest.raises(ModelError, match=r"fields\.pth"):
        DeepLab.from_model(path, data)


def test_labels_over_an_image() -> None:
    image = np.full((1, 3, 3), 100, np.uint8)
    labels = np.array([[0, 1, 255]], np.uint8)
    colors = [(0, 0, 0), (200, 200, 200)]
    assert lay_over(image, labels, colors, alpha=0.5)[0, :, 0].tolist() == [50, 150, 100]
    assert lay_over(image, labels, colors, alpha=0)[0, :, 0].tolist() == [100, 100, 100]
    assert lay_over(image, labels, colors, alpha=None)[0, :2, 0].tolist() == [0, 200]
