import json
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import rasterio
from PIL import Image
from shapely.geometry import box

import train_bundled
from geodeeplab.models import read_contract
from xyz_mosaic import tile_transform

SMALL = "--epochs 1 --batch 16 --chip-size 32 --width 8 --device cpu --workers 0".split()


@pytest.mark.slow
def test_landcover_is_trained_reported_and_gone_on_with(data: Path, tmp_path: Path) -> None:
    options = ["landcover-aerial", "--data", str(data), "--out", str(tmp_path), "--synthetic", "0", *SMALL]
    train_bundled.main(options)
    contract = read_contract(tmp_path / "landcover-aerial.safetensors")
    assert (contract.name, contract.tile_size, contract.overlap) == ("landcover-aerial", 768, 128)
    assert set(contract.metrics) == {"tile2-selection", "tile6-report"}
    assert 0 <= contract.metrics["tile6-report"]["miou"] <= 1
    assert contract.provenance["data"]["tiles"]["report"] == 6
    for name in ("losses", "worst", "tile6-report"):
        assert list(tmp_path.glob(f"*{name}.png"))
    before = (tmp_path / "landcover-aerial.safetensors").read_bytes()
    train_bundled.main(options)  # nothing is left to train
    assert (tmp_path / "landcover-aerial.safetensors").read_bytes() == before


def test_synthetic_scenes_join_both_sides(tmp_path: Path) -> None:
    scene, labels = train_bundled.write_synthetic(tmp_path, train_bundled.TRAIN_SEEDS[0])
    with rasterio.open(scene) as src, rasterio.open(labels) as truth:
        assert src.shape == truth.shape == train_bundled.SYNTHETIC_SHAPE
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
def test_buildings_are_split_by_country_and_reported_on_the_larger_area(places: Path, tmp_path: Path) -> None:
    train_bundled.main(["buildings-aerial", "--data", str(places), "--out", str(tmp_path / "out"), *SMALL])
    contract = read_contract(tmp_path / "out" / "buildings-aerial.safetensors")
    assert [item.name for item in contract.classes] == ["building", "other"]
    assert contract.gsd_m == pytest.approx(0.149, abs=0.01)
    report = json.loads((tmp_path / "out" / "buildings-aerial-kampala1-report.json").read_text())
    assert sum(one["truth_pixels"] for one in report["classes"]) == 2 * 256 * 256
    assert "OpenStreetMap" in contract.licence
    assert set(contract.metrics) == {"kampala2-selection", "kampala1-report"}
