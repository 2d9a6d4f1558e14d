"""ONNX files for Deepness and GeoDeep: what they say, what they compute, and whether maps come out as here."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import rasterio
import torch
from torch import nn

from geodeeplab.errors import ModelError, OptionError
from geodeeplab.models import Contract, Model, Target, as_model, check_target, export_onnx, load_model
from geodeeplab.models.files.export import IR_VERSION, ExportedGraph, mirror_past_edge
from geodeeplab.models.files.onnx_targets import DIVISOR_KEY, program_keys, program_overlap
from geodeeplab.pipeline.segment import segment
from tests.models.files.program_conventions import run_as_deepness

pytestmark = pytest.mark.xdist_group("onnx")  # one process loads the exporter, once


@pytest.fixture(scope="module")
def model(tiny_model: Path) -> Model:
    return load_model(tiny_model)


def test_the_keys_are_those_that_the_programs_read(model: Model) -> None:
    keys = program_keys(dataclasses.replace(model.contract, gsd_m=0.3), resolution_cm=None)
    assert {key: json.loads(text) for key, text in keys.items()} == {
        "model_type": "Segmentor",
        "class_names": {"0": "field", "1": "wood", "2": "roof"},
        "resolution": 30.0,
        "tile_size": 128,
        "tiles_size": 128,
        "tiles_overlap": 25,
        "standardization_mean": [0.0, 0.0, 0.0],
        "standardization_std": [1.0, 1.0, 1.0],
        "seg_thresh": 0.0,
        "seg_small_segment": 0,
    }
    assert json.loads(program_keys(model.contract, resolution_cm=12.5)["resolution"]) == 12.5


def test_the_graph_takes_pixels_over_255_and_gives_probabilities(model: Model) -> None:
    pixels = torch.randint(0, 256, (2, 3, 64, 64), generator=torch.Generator().manual_seed(0)).float()
    with torch.inference_mode():
        logits = ExportedGraph(model.network, model.contract)(pixels)
        probs = ExportedGraph(model.network, model.contract, target="deepness")(pixels / 255)
    assert torch.allclose(probs.sum(1), torch.ones(2, 64, 64), atol=1e-5)
    assert ((probs - logits.softmax(1)).abs().amax(1) < 1e-3).float().mean() > 0.999  # but for points of PointRend
    assert (probs.argmax(1) == logits.argmax(1)).float().mean() > 0.999


def test_what_lies_past_the_edge_is_reflected() -> None:
    images = torch.rand(3, 2, 12, 12, generator=torch.Generator().manual_seed(0)) + 0.1
    padded, expected = torch.zeros_like(images), images.clone()
    for i, (height, width) in enumerate([(12, 12), (7, 9), (3, 1)]):
        padded[i, :, :height, :width] = images[i, :, :height, :width]
        whole = np.pad(images[i, :, :height, :width].numpy(), ((0, 0), (0, 12 - height), (0, 12 - width)), "reflect")
        expected[i] = torch.from_numpy(whole)
    assert torch.equal(mirror_past_edge(padded), expected)
    nothing = torch.zeros(1, 2, 5, 5)
    assert torch.equal(mirror_past_edge(nothing), nothing)


@pytest.mark.parametrize(("tile_size", "overlap"), [(768, 128), (128, 32), (45, 22), (64, 0), (100, 33), (7, 3)])
def test_the_overlap_is_one_that_they_cut(model: Model, tile_size: int, overlap: int) -> None:
    contract = dataclasses.replace(model.contract, tile_size=tile_size, overlap=overlap)
    cut = dataclasses.replace(contract, overlap=program_overlap(contract))
    percent = json.loads(program_keys(cut, resolution_cm=1)["tiles_overlap"])
    assert int(tile_size * percent / 100 * 2) // 2 == int(tile_size * (percent / 100)) == cut.overlap
    assert abs(cut.overlap - overlap) <= tile_size / 100 + 1


class Scaled(nn.Module):
    """Takes normalised images for logits."""

    def forward(self, images: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
        return 3 * images


@pytest.fixture(scope="module")
def exported(model: Model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network that does little, for Deepness, which is quick to export."""
    path = tmp_path_factory.mktemp("onnx") / "small.onnx"
    export_onnx(Scaled(), model.contract, path, tile_size=64, target="deepness", resolution_cm=50)
    return path


def test_the_file_says_what_it_is_and_is_read_by_old_runtimes(exported: Path, model: Model) -> None:
    proto = onnx.load(exported)
    onnx.checker.check_model(proto, full_check=True)
    assert (proto.ir_version, IR_VERSION) == (8, 8)  # onnxruntime 1.16 reads up to 9, and operator sets up to 19
    keys = {entry.key: entry.value for entry in proto.metadata_props}
    contract = dataclasses.replace(model.contract, tile_size=64, overlap=32)
    assert Contract.from_json(keys.pop("geodeeplab")) == contract
    assert keys.pop(DIVISOR_KEY) == "255"
    assert keys == program_keys(contract, resolution_cm=50)
    assert [output.name for output in proto.graph.output] == ["probabilities"]


def test_it_is_a_model_here_as_before(exported: Path, model: Model) -> None:
    again = as_model(exported)
    assert (again.contract.classes, again.contract.tile_size, again.input) == (model.contract.classes, 64, "raw")
    assert again.contract.architecture == model.contract.architecture
    pixels = torch.randint(0, 256, (2, 3, 64, 64), generator=torch.Generator().manual_seed(1)).byte()
    valid = torch.ones(2, 64, 64, dtype=torch.bool)
    logits = again.network(again.preparation()(pixels, valid), valid)
    expected = 3 * (pixels.float() - 125) / 60
    assert torch.allclose(logits.softmax(1), expected.softmax(1), atol=1e-4)
    assert torch.equal(logits.argmax(1), expected.argmax(1))


def test_a_divisor_that_is_none_of_ours_is_refused(exported: Path, tmp_path: Path) -> None:
    proto = onnx.load(exported)
    for entry in proto.metadata_props:
        if entry.key == DIVISOR_KEY:
            entry.value = "0"
    onnx.save(proto, tmp_path / "a.onnx")
    with pytest.raises(ModelError, match=r"a\.onnx: pixels are divided by 1 or 255, not by '0'"):
        as_model(tmp_path / "a.onnx")


@pytest.mark.parametrize(
    ("target", "changes", "resolution_cm", "match"),
    [
        ("deepness", {}, None, r"'tiny' does not state its own: give the centimetres a pixel .* `resolution_cm=`"),
        ("geodeep", {"dtype": "uint16"}, 50, "geodeep gives a model 8-bit pixels, and 'tiny' reads uint16: export"),
        ("deepness", {}, 0, "a resolution is centimetres a pixel, above 0, not 0"),
        ("deepness", {}, float("nan"), "a resolution is centimetres a pixel, above 0, not nan"),
        ("plain", {}, 50, r"a resolution is written into files for deepness or geodeep, not .* leave out"),
        ("qgis", {}, None, "a file is for plain, deepness, geodeep, not for 'qgis': choose"),
    ],
)
def test_what_a_program_could_not_run(
    model: Model, target: Target, changes: dict[str, Any], resolution_cm: float | None, match: str
) -> None:
    with pytest.raises((ModelError, OptionError), match=match):
        check_target(dataclasses.replace(model.contract, **changes), target, resolution_cm=resolution_cm)


def test_bands_and_classes_that_a_program_could_not_take(model: Model) -> None:
    bare = dataclasses.replace(model.contract, architecture={})
    four = dataclasses.replace(bare, bands=(*bare.bands, dataclasses.replace(bare.bands[0], name="nir")))
    check_target(four, "deepness", resolution_cm=50)
    with pytest.raises(
        ModelError, match=r"geodeep gives a model 3 bands, and 'tiny' reads 4 \(red, green, blue, nir\)"
    ):
        check_target(four, "geodeep", resolution_cm=50)
    with pytest.raises(ModelError, match="two classes or more, and 'tiny' has one"):
        check_target(dataclasses.replace(bare, classes=bare.classes[:1]), "deepness", resolution_cm=50)


@pytest.mark.slow
def test_maps_come_out_as_here(tmp_path: Path) -> None:
    """At least 99 % of the pixels in the same tiles; Deepness cuts overlaps in the middle, here they are blended."""
    name, scene, labels = "landcover-aerial", Path("sample_data/scene.tif"), tmp_path / "labels.tif"
    bundled = load_model(name)
    export_onnx(bundled.network, bundled.contract, tmp_path / "a.onnx", target="deepness", resolution_cm=100)
    segment(scene, label_raster=labels, model=name, gsd_m="native", overlap=program_overlap(bundled.contract))
    with rasterio.open(labels) as src, rasterio.open(scene) as image:
        here, pixels = src.read(1), image.read()
    ids = np.array([item.id for item in bundled.contract.classes])
    there = ids[run_as_deepness(tmp_path / "a.onnx", pixels)]
    assert (there == here)[here > 0].mean() >= 0.99  # pixels without data have a class there, too
