"""Models of arcgis.learn: their definitions are read, their networks are not."""

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from geodeeplab.errors import ModelError
from geodeeplab.models import as_model, load_model
from geodeeplab.models.files.esri_model import find_definition, read_esri_model

# ruff: noqa: ANN401 - values of JSON
DEFINITION = {
    "ModelName": "DeepLab",
    "ModelType": "ImageClassification",
    "Framework": "arcgis.learn.models._inferencing",
    "InferenceFunction": "ArcGISImageClassifier.py",
    "ModelFile": "fields.pth",
    "ModelParameters": {"backbone": "resnet101", "backend": "pytorch", "pointrend": True, "keep_dilation": False},
    "ImageHeight": 256,
    "ExtractBands": [0, 1, 2],
    "Classes": [
        {"Value": 1, "Name": "field", "Color": [220, 200, 90]},
        {"Value": 2, "Name": "wood", "Color": [30, 110, 50]},
    ],
}


def write(folder: Path, **changes: Any) -> Path:
    """Write a definition with its weights, as `save` does there; a value of None leaves one out."""
    folder.mkdir(exist_ok=True)
    (folder / "fields.pth").write_bytes(b"a pickle")
    content = {name: value for name, value in (DEFINITION | changes).items() if value is not None}
    path = folder / "fields.emd"
    path.write_text(json.dumps(content))
    return path


def test_classes_and_bands_are_told(tmp_path: Path) -> None:
    path = write(tmp_path / "fields")
    model = read_esri_model(path)
    assert (model.network, model.classes, model.bands) == ("DeepLab", ("field", "wood"), ("1", "2", "3"))
    assert (model.backbone, model.with_pointrend) == ("resnet101", True)
    assert model.start() == ("resnet101", path.with_name("fields.pth"))
    assert find_definition(path.parent) == find_definition(str(path)) == path


@pytest.mark.parametrize("name", ["fields.emd", "fields", "fields.dlpk"])
def test_a_model_of_theirs_is_not_run(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "fields"
    path = write(folder)
    package = tmp_path / "fields.dlpk"
    with zipfile.ZipFile(package, "w") as file:
        file.write(path, "fields/fields.emd")
        file.write(folder / "fields.pth", "fields/fields.pth")
    place = {"fields.emd": path, "fields": folder, "fields.dlpk": package}[name]
    for load in (load_model, as_model):
        with pytest.raises(ModelError, match=r"is Esri's DeepLab of 2 classes \(field, wood\) on the bands 1, 2, 3; "):
            load(place)


def test_bands_have_the_names_that_are_stated(tmp_path: Path) -> None:
    names = ["Red", "Green", "Blue", "NearInfrared"]
    assert read_esri_model(write(tmp_path, Bands=names, ExtractBands=[3, 0])).bands == ("NearInfrared", "Red")
    assert read_esri_model(write(tmp_path, Bands=names, ExtractBands=[0, 1, 2, 3])).bands == tuple(names)
    assert read_esri_model(write(tmp_path, ExtractBands=None)).bands == ()


def test_long_lists_and_names_are_cut_off(tmp_path: Path) -> None:
    many = [{"Value": value, "Name": f"class {value} " + 99 * "x"} for value in range(1, 100)]
    text = str(read_esri_model(write(tmp_path, Classes=many, Bands=None)))
    assert "of 99 classes (class 1 x" in text
    assert "x, …) on the bands" in text
    assert len(text) < 600 + len(str(tmp_path))


def test_definitions_of_older_versions(tmp_path: Path) -> None:
    old = [{"ClassValue": 3, "ClassName": "water", "Color": [-1, -1, -1]}]
    model = read_esri_model(write(tmp_path, ModelType=None, ModelName="UnetClassifier", Classes=old))
    assert (model.network, model.classes) == ("UnetClassifier", ("water",))
    assert "UnetClassifier of 1 class (water)" in str(model)
    with pytest.raises(ModelError, match="is another network than DeepLab, so nothing can start from it"):
        model.start()
    assert "train anew on the chips that it learned from" in str(model.refusal())


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"ModelType": "ObjectDetection"}, "of the kind 'ObjectDetection', which gives no class of each pixel"),
        ({"ModelType": None, "InferenceFunction": None}, "of the kind None"),
        ({"Classes": None}, "names no classes, which a definition lists under 'Classes'"),
        ({"Classes": []}, "names no classes"),
        ({"Classes": "e.g. a list"}, r"is not as arcgis\.learn writes it"),
        ({"Classes": [{"Value": "one"}]}, r"is not as arcgis\.learn writes it"),
        ({"Bands": ["Red"], "ExtractBands": [0, 7]}, r"is not as arcgis\.learn writes it"),
        ({"ExtractBands": [-1]}, r"is not as arcgis\.learn writes it \('ExtractBands has -1'\)"),
        ({"MetaDataMode": "Classified_Tiles"}, "describes exported chips, not a model: .*prepare_data"),
    ],
)
def test_definitions_that_are_none(tmp_path: Path, changes: dict[str, Any], match: str) -> None:
    with pytest.raises(ModelError, match=match) as error:
        load_model(write(tmp_path, **changes))
    assert "\n" not in str(error.value)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    path = write(tmp_path)
    path.write_text('{"ModelName": "DeepLab", ')
    with pytest.raises(ModelError, match=r"fields\.emd' is no JSON that can be read .*copy the model's folder again"):
        load_model(path)
    path.write_text("[]")
    with pytest.raises(ModelError, match="is not a JSON object"):
        load_model(path)
    package = tmp_path / "fields.dlpk"
    package.write_bytes(b"no zip")
    with pytest.raises(ModelError, match="is no package that can be read"):
        load_model(package)
    with zipfile.ZipFile(package, "w") as file:
        file.writestr("readme.txt", "nothing")
    with pytest.raises(ModelError, match="holds 0 definitions"):
        load_model(package)
    (tmp_path / "second.emd").write_text("{}")
    with pytest.raises(ModelError, match=r"holds 2 definitions, such as fields\.emd: give the path of one"):
        load_model(tmp_path)
    with pytest.raises(ModelError, match=r"no bundled model and no file is called '.*nowhere\.emd'"):
        load_model(tmp_path / "nowhere.emd")


def test_weights_lie_beside_the_definition_whatever_it_says(tmp_path: Path) -> None:
    there = tmp_path / "fields.pth"
    for stated in ("fields.pth", ".\\fields.pth", "C:\\models\\fields.pth", "../../elsewhere/fields.pth"):
        assert read_esri_model(write(tmp_path, ModelFile=stated)).weights == there
    for other in ("", "..", "other.pth", 7, "a\0b"):
        model = read_esri_model(write(tmp_path, ModelFile=other))
        assert model.weights is None
        with pytest.raises(ModelError, match="has no weights beside it"):
            model.start()
