import json
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import rasterio
from affine import Affine
from PIL import Image
from shapely.geometry import box

import coast
import dubai
import landcover
import ohio
import train_bundled
from aerial_data import CLASSES, IGNORE
from geodeeplab.models import read_contract
from xyz_mosaic import tile_transform

SMALL = "--epochs 1 --epoch-steps 2 --batch 16 --chip-size 32 --width 8 --weights none --device cpu --workers 0".split()

SCALED = pytest.mark.filterwarnings("ignore:the scene's pixels of .* are scaled")


@pytest.fixture
def sets(data: Path, tmp_path: Path) -> Path:
    """The Dubai tiles, and a chip of Ohio for each of four areas, the right half of it bare."""
    folder = tmp_path / "sets"
    (folder / "ohio" / "images").mkdir(parents=True)
    (folder / "ohio" / "labels").mkdir()
    (folder / "dubai").symlink_to(data)
    rng = np.random.default_rng(0)
    for number, name in enumerate(("1", *ohio.SELECT_AREAS, *ohio.REPORT_AREAS)):
        west = 270_000 + 3 * number * ohio.SIDE * ohio.GSD_M
        layout = {"driver": "GTiff", "dtype": "uint8", "width": ohio.SIDE, "height": ohio.SIDE, "crs": "EPSG:26917"}
        layout |= {"transform": Affine(ohio.GSD_M, 0, west, 0, -ohio.GSD_M, 4_300_000)}
        labels = np.zeros((1, ohio.SIDE, ohio.SIDE), np.uint8)
        labels[..., 128:] = ohio.CLASSES.index("bare")
        image = rng.integers(60, 90, (4, ohio.SIDE, ohio.SIDE), np.uint8) + 40 * labels
        for kind, values in (("images", image), ("labels", labels)):
            with rasterio.open(folder / "ohio" / kind / f"tile_{name}.tif", "w", count=len(values), **layout) as dst:
                dst.write(values)
    return folder


@pytest.mark.slow
@SCALED
def test_landcover_is_trained_reported_and_gone_on_with(sets: Path, tmp_path: Path) -> None:
    options = ["landcover-aerial", "--data", str(sets), "--out", str(tmp_path), *SMALL]
    train_bundled.main(options)
    contract = read_contract(tmp_path / "landcover-aerial.safetensors")
    assert (contract.name, contract.tile_size, contract.overlap) == ("landcover-aerial", dubai.TILE_SIZE, dubai.OVERLAP)
    assert contract.gsd_m == dubai.GSD_M
    ohios = {*(f"ohio{name}-selection" for name in ohio.SELECT_AREAS), "ohio38296-report"}
    assert set(contract.metrics) == {"dubai2-selection", "dubai6-report", *ohios, "validation"}
    assert 0 <= contract.metrics["dubai6-report"]["miou"] <= 1
    assert contract.provenance["data"]["parts"]["dubai tiles"]["report"] == 6
    for name in ("losses", "worst", "dubai6-report"):
        assert list(tmp_path.glob(f"*{name}.png"))
    before = (tmp_path / "landcover-aerial.safetensors").read_bytes()
    train_bundled.main(options)  # nothing is left to train
    assert (tmp_path / "landcover-aerial.safetensors").read_bytes() == before


def test_areas_are_chips_that_touch_with_the_ids_of_the_model(sets: Path, tmp_path: Path) -> None:
    pairs = ohio.write_areas(sets / "ohio", tmp_path)
    assert set(pairs) == {"1", *ohio.SELECT_AREAS, *ohio.REPORT_AREAS}
    with rasterio.open(pairs["1"][0]) as scene, rasterio.open(pairs["1"][1]) as labels:
        assert (scene.count, scene.crs, scene.transform) == (3, "EPSG:26917", labels.transform)
        assert scene.transform.c == 270_000
        ids = labels.read(1)
    vegetation, land = (list(CLASSES).index(name) + 1 for name in ("vegetation", "land"))
    assert (set(ids[:, :128].ravel()), set(ids[:, 128:].ravel())) == ({vegetation}, {land})


def test_land_of_coasts_is_what_a_teacher_is_sure_of() -> None:
    """Columns: deep water, what may be either, and land of which the teacher says water, bare and, less sure, road."""
    mask = np.array([[0, 1, 2, 2, 2]], dtype=np.uint8)
    water, land, road = (list(CLASSES).index(name) for name in ("water", "land", "road"))
    probabilities = np.full((len(CLASSES), 1, 5), 0.01, dtype=np.float32)
    probabilities[land, 0] = [0.9, 0.9, 0.2, 0.9, 0.4]
    probabilities[water, 0, 2] = 0.7
    probabilities[road, 0, 4] = 0.5
    found = coast.name_ground(mask, probabilities)
    assert found.tolist() == [[water, IGNORE, land, land, IGNORE]]


def test_drawn_scenes_join_both_sides(tmp_path: Path) -> None:
    scene, labels = landcover.write_drawn(tmp_path, landcover.TRAIN_SEEDS[0])
    with rasterio.open(scene) as src, rasterio.open(labels) as truth:
        assert src.shape == truth.shape == landcover.DRAWN_SHAPE
        assert set(np.unique(truth.read(1))) <= set(range(6))


@pytest.fixture
def places(tmp_path: Path) -> Path:
    """Tiles of 256 px at zoom 20: one for each training place, two areas of Kampala, a house in each."""
    folder = tmp_path / "buildings"
    rng = np.random.default_rng(0)
    for place, corners in {"zanzibar": [0], "catanduanes": [10], "kampala": [20, 21, 30]}.items():
        (folder / place).mkdir(parents=True)
        houses = []
        for x in corners:
            image = rng.integers(90, 110, (256, 256, 3), dtype=np.uint8)
            image[64:128, 64:160] = 220
            Image.fromarray(image).save(folder / place / f"OAM-{600_000 + x}-500000-20.png")
            transform = tile_transform(600_000 + x, 500_000, 20)
            (left, top), (right, bottom) = transform @ (64, 64), transform @ (160, 128)
            houses.append(box(left, bottom, right, top))
        layer = gpd.GeoDataFrame(geometry=houses, crs="EPSG:3857").to_crs("EPSG:4326")
        layer.to_file(folder / place / "labels.geojson", driver="GeoJSON")
    return folder


@pytest.mark.slow
@SCALED
def test_buildings_are_split_by_country_and_reported_on_the_larger_area(places: Path, tmp_path: Path) -> None:
    train_bundled.main(["buildings-aerial", "--data", str(places.parent), "--out", str(tmp_path / "out"), *SMALL])
    contract = read_contract(tmp_path / "out" / "buildings-aerial.safetensors")
    assert [item.name for item in contract.classes] == ["building", "other"]
    assert contract.gsd_m == 0.15
    report = json.loads((tmp_path / "out" / "buildings-aerial-kampala1-report.json").read_text())
    assert sum(one["truth_pixels"] for one in report["classes"]) == 2 * 256 * 256
    assert "OpenStreetMap" in contract.licence
    assert set(contract.metrics) == {"kampala2-selection", "kampala1-report", "validation"}


@pytest.mark.slow
@SCALED
def test_buildings_that_touch_are_told_apart_and_a_place_is_left_out(places: Path, tmp_path: Path) -> None:
    options = ["--instances", "--boundary-px", "1", "--leave-out", "catanduanes"]
    train_bundled.main(
        ["buildings-aerial", "--data", str(places.parent), "--out", str(tmp_path / "out"), *SMALL, *options]
    )
    contract = read_contract(tmp_path / "out" / "buildings-aerial.safetensors")
    assert contract.instances == ("building",)
    assert "objects apart" in contract.metrics["kampala1-report"]
    assert contract.provenance["data"]["instances"] == {"classes": ["building"], "boundary_px": 1}
    assert "catanduanes" not in contract.provenance["data"]["places"]["train"]
    assert set(contract.metrics) == {"kampala2-selection", "kampala1-report", "catanduanes1-report", "validation"}
