"""How far a scene lies from what its model was trained on."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch
from affine import Affine
from shapely.geometry import MultiPolygon, box

from geodeeplab.models import Model, Normalisation
from geodeeplab.models.appearance import SceneDistance, measure_window, summarise
from geodeeplab.pipeline.info.ground import measure_distance
from geodeeplab.pipeline.info.preflight import preflight
from geodeeplab.pipeline.plan import open_plan
from geodeeplab.pipeline.request import Request
from geodeeplab.pipeline.segment import segment

MakeRaster = Callable[..., Path]
Blocks = Callable[..., np.ndarray]
SIDE = 48


@pytest.fixture
def blocks_model(tiny: Model, blocks: Blocks) -> Model:
    """The tiny model, as if trained on images of `blocks`."""
    normalise, valid = Normalisation(tiny.contract), torch.ones(1, SIDE, SIDE, dtype=torch.bool)
    windows = []
    for seed in range(60):
        pixels = torch.from_numpy(blocks(SIDE, SIDE, seed=seed))
        windows.append(measure_window(normalise(pixels[None], valid)[0].numpy(), valid[0].numpy(), required=range(3)))
    appearance = summarise([one for one in windows if one is not None], side=SIDE)
    return replace(tiny, contract=replace(tiny.contract, appearance=appearance))


def distance(scene: object, model: Model, **options: object) -> SceneDistance:
    with open_plan(Request(**{"scene": scene, "model": model, "tile_size": 64} | options)) as plan:  # type: ignore[arg-type]
        found = measure_distance(plan)
    assert found is not None
    return found


def test_ground_as_in_training_is_near_and_darker_ground_is_not(
    make_raster: MakeRaster, blocks: Blocks, blocks_model: Model
) -> None:
    image = blocks(300, 400, seed=7)
    near = distance(make_raster(image, "near.tif", photometric="rgb"), blocks_model)
    assert near.verdict == "near"
    assert near.windows == 24
    far = distance(make_raster(image // 4, "far.tif", photometric="rgb"), blocks_model)
    assert far.verdict == "far"
    assert far.departure < 0
    assert far.value > 2 * near.value


def test_the_scene_is_seen_as_its_model_sees_it(make_raster: MakeRaster, blocks: Blocks, blocks_model: Model) -> None:
    image = blocks(300, 400, seed=7)
    plain = distance(make_raster(image, "plain.tif", photometric="rgb"), blocks_model)
    wide = make_raster(image.astype(np.uint16) * 10, "wide.tif", photometric="rgb")
    assert distance(wide, blocks_model, rescale=(0.0, 2550.0)) == plain
    half = Affine(0.5, 0, 500_000, 0, -0.5, 5_000_000)
    twice = make_raster(image.repeat(2, 1).repeat(2, 2), "twice.tif", photometric="rgb", transform=half)
    model = replace(blocks_model, contract=replace(blocks_model.contract, gsd_m=1.0))
    assert distance(twice, model).verdict == "near"
    assert distance(twice, blocks_model).value > plain.value + 0.3


def test_only_what_is_to_be_labelled_counts(make_raster: MakeRaster, blocks: Blocks, blocks_model: Model) -> None:
    image = blocks(300, 400, seed=7)
    image[:, :, 200:] //= 4
    scene = make_raster(image, photometric="rgb")
    left, right = box(500_000, 4_999_700, 500_200, 5_000_000), box(500_200, 4_999_700, 500_400, 5_000_000)
    assert distance(scene, blocks_model, aoi=left).verdict == "near"
    assert distance(scene, blocks_model, aoi=right).verdict == "far"
    corners = MultiPolygon([box(500_000, 4_999_950, 500_050, 5_000_000), box(500_350, 4_999_700, 500_400, 4_999_750)])
    assert distance(scene, blocks_model, aoi=corners).windows >= 8, "however little of its bounds an area fills"
    image[:, :, 200:] = 0
    assert distance(make_raster(image, "holed.tif", photometric="rgb", nodata=0), blocks_model).verdict == "near"


def test_preflight_tells_and_says_nothing_where_nothing_is_known(
    make_raster: MakeRaster, blocks: Blocks, blocks_model: Model, tiny: Model
) -> None:
    scene = make_raster(blocks(100, 120, seed=7), photometric="rgb")
    found = preflight(scene, model=blocks_model, tile_size=64)
    assert found.distance is not None
    assert json.loads(found.to_json())["distance"]["verdict"] == "near"
    assert preflight(scene, model=tiny, tile_size=64).distance is None
    wide = make_raster(blocks(100, 120).astype(np.uint16), "wide.tif", photometric="rgb")
    assert preflight(wide, model=blocks_model, tile_size=64).distance is None, "nobody knows what its numbers mean"


def test_a_calibrated_model_says_how_sure_it_is_of_what_is_to_be_labelled(
    make_raster: MakeRaster, blocks: Blocks, tiny: Model, tmp_path: Path
) -> None:
    model = replace(tiny, contract=replace(tiny.contract, temperature=0.5))
    image = blocks(64, 64, seed=7)
    image[:, 40:] = 0
    scene = make_raster(image, photometric="rgb", nodata=0)  # of one window
    found = preflight(scene, model=model, tile_size=64, overlap=0, device="cpu", precision="fp32")
    confidence, labels = tmp_path / "confidence.tif", tmp_path / "labels.tif"
    segment(
        scene, confidence=confidence, label_raster=labels, model=model, tile_size=64, overlap=0, precision="fp32",
        device="cpu",
    )  # fmt: skip
    with rasterio.open(confidence) as src, rasterio.open(labels) as names:
        mean = src.read(1)[names.read(1) > 0].mean() / 100
    assert found.expected_accuracy == pytest.approx(mean, abs=0.006)
    assert json.loads(found.to_json())["expected_accuracy"] == found.expected_accuracy
    assert preflight(scene, model=tiny, tile_size=64).expected_accuracy is None, "nobody calibrated it"
    empty = make_raster(np.zeros((3, 64, 64), np.uint8), "empty.tif", photometric="rgb", nodata=0)
    assert preflight(empty, model=model, tile_size=64).expected_accuracy is None
