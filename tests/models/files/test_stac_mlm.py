"""STAC items of models, against the models of stac-model and the pages of the extensions."""

import dataclasses
import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pystac
import pytest
from pystac.extensions.classification import Classification
from stac_model.schema import MLModelProperties

from geodeeplab.errors import ModelError
from geodeeplab.models import ModelClass, SegmentationNetwork, load_model, read_contract, save_model, write_stac_item
from geodeeplab.models.files.stac_mlm import stac_item


def read_item(path: Path) -> tuple[pystac.Item, dict[str, Any]]:
    """Read an item, and check it as far as pystac and stac-model know the rules."""
    item = pystac.Item.from_file(str(path))
    MLModelProperties.model_validate(item.properties)
    for stated in item.properties["mlm:output"][0]["classification:classes"]:
        assert re.fullmatch(r"[0-9A-Za-z_-]+", Classification(stated).name)
        assert re.fullmatch(r"[0-9A-F]{6}", stated["color_hint"])
    assert any(uri.startswith("https://stac-extensions.github.io/mlm/v1.") for uri in item.stac_extensions)
    assert "mlm:model" in (item.assets["model"].roles or [])
    return item, item.properties


@pytest.mark.parametrize("name", ["landcover-aerial", "buildings-aerial", "landcover-satellite"])
def test_the_bundled_models_are_valid_items(tmp_path: Path, name: str) -> None:
    write_stac_item(name, tmp_path / "item.json")
    item, said = read_item(tmp_path / "item.json")
    contract = read_contract(name)
    assert (item.id, item.geometry, item.bbox) == (name, None, None)
    assert said.get("gsd") == contract.gsd_m
    assert [band["name"] for band in said["bands"]] == list(contract.band_names) == said["mlm:input"][0]["bands"]
    side = contract.tile_size
    assert said["mlm:input"][0]["input"]["shape"] == [-1, len(contract.bands), side, side]
    outputs = len(contract.classes) + (1 if name == "buildings-aerial" else 0)  # whose boundaries come last
    assert said["mlm:output"][0]["result"]["shape"] == [-1, outputs, side, side]
    assert [one["mean"] for one in said["mlm:input"][0]["value_scaling"]] == [band.mean for band in contract.bands]


def test_the_item_leads_to_the_file(tiny_model: Path, tmp_path: Path) -> None:
    (tmp_path / "items").mkdir()
    path = tmp_path / "tiny.safetensors"
    path.write_bytes(tiny_model.read_bytes())
    write_stac_item(path, tmp_path / "items" / "item.json")
    item, said = read_item(tmp_path / "items" / "item.json")
    asset = item.assets["model"]
    assert asset.href == "../tiny.safetensors"
    assert asset.extra_fields["file:checksum"] == "1220" + hashlib.sha256(path.read_bytes()).hexdigest()
    weights = load_model(path).network.state_dict().values()
    assert said["mlm:total_parameters"] == sum(tensor.numel() for tensor in weights)
    assert said["license"] == "CC0-1.0"


def test_names_of_classes_are_whole_in_the_description(tiny_model: Path, tmp_path: Path) -> None:
    contract = read_contract(tiny_model)
    names = ["Äcker & Wiesen", "水", "roof"]
    classes = tuple(ModelClass(id=i, name=name, color=(i, 0, 255)) for i, name in enumerate(names, start=1))
    changed = dataclasses.replace(contract, classes=classes, licence="ask me")
    path = tmp_path / "a.safetensors"
    network = load_model(tiny_model).network
    assert isinstance(network, SegmentationNetwork)
    save_model(network, changed, path)
    said = stac_item(changed, path, folder=tmp_path)["properties"]
    stated = said["mlm:output"][0]["classification:classes"]
    assert [one["description"] for one in stated] == names
    assert [one["name"] for one in stated] == ["cker-Wiesen", "class-2", "roof"]
    assert stated[0]["color_hint"] == "0100FF"
    assert said["license"] == "other"
    json.dumps(said, allow_nan=False)


def test_what_is_no_model_has_no_item(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no bundled model and no file"):
        write_stac_item("none", tmp_path / "item.json")
    assert not list(tmp_path.iterdir())
