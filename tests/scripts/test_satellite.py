import json
from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

import geodeeplab as gdl
import satellite
import train_bundled
from geodeeplab.models import ModelBand, read_contract

COVER = sorted(satellite.WORLDCOVER)
SMALL = "--epochs 1 --epoch-steps 2 --batch 4 --chip-size 64 --width 8 --weights none --device cpu --workers 0".split()


@pytest.fixture
def sets(tmp_path: Path) -> Path:
    """Ten sites: the first of two chips, the last of one that is flooded; each with stripes of all classes."""
    folder = tmp_path / "sets" / "hls30"
    for name in ("images", "worldcover"):
        (folder / name).mkdir(parents=True)
    side = satellite.SIDE
    cover = np.repeat(COVER, 25)[:side].astype(np.uint8)[:, None].repeat(side, axis=1)
    for number in range(11):
        image = np.full((8, side, side), 1000 + number, dtype=np.int16)
        image[4] = 2000
        image[7] = 64
        own = cover.copy()
        if number == 10:
            image[4] = 500
        image[7, 0, :4] = 0b10
        image[1, 0, 4:8] = 3000
        own[1, :4] = 20
        image[4, 2, :4] = 10
        Image.fromarray(own).save(folder / "worldcover" / f"{number}.png")
        with rasterio.open(
            folder / "images" / f"{number}.tif", "w", driver="GTiff", count=8, height=side, width=side, dtype="int16"
        ) as dst:
            dst.write(image)
    (folder / "sites.json").write_text(json.dumps([[0, 1, 99], *([number] for number in range(2, 11))]))
    return folder.parent


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_what_says_nothing_has_no_label_and_floods_are_left_out(sets: Path) -> None:
    chips = satellite.read_chips(sets)
    assert [(chip.number, chip.site) for chip in chips] == [(0, 0), (1, 0), *((n, n - 1) for n in range(2, 10))]
    ids = chips[0].ids
    assert (ids == 0).sum() == 16  # cloud by its bits and by its blue, shrub, water that is crops in WorldCover
    assert (ids[:3, :8] == 0).sum() == 16
    assert set(np.unique(ids)) == set(range(7))
    assert chips[0].image.shape == (6, satellite.SIDE, satellite.SIDE)
    assert chips[0].image[:, 5, 5].tolist() == [1000, 1000, 1000, 2000, 1000, 1000]


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_sites_have_one_role_and_mosaics_hold_their_chips(sets: Path, tmp_path: Path) -> None:
    chips = satellite.read_chips(sets)
    roles = satellite.split_sites(chips)
    assert sorted(roles.values()) == ["report"] * 2 + ["select"] * 2 + ["train"] * 5
    found = satellite.held_out(sets, tmp_path)
    assert [name for name, *_ in found] == ["hls-selection", "hls-report", "fourbands-selection", "fourbands-report"]
    for name, scene, labels in found:
        own = [chip for chip in chips if f"-{roles[chip.site]}"[:7] == f"-{name.partition('-')[2]}"[:7]]
        with rasterio.open(scene) as src, rasterio.open(labels) as truth:
            assert src.descriptions == satellite.BANDS[: src.count]
            assert src.scales == (1e-4,) * (6 if name.startswith("hls") else 4)
            assert src.res == (30, 30)
            image, ids = src.read(), truth.read(1)
        for place, chip in enumerate(own):
            here = slice(place * satellite.SIDE, (place + 1) * satellite.SIDE)
            assert np.array_equal(image[:, : satellite.SIDE, here], chip.image[: len(image)])
            assert np.array_equal(ids[: satellite.SIDE, here], chip.ids)
        assert (image[:, :, len(own) * satellite.SIDE :] == satellite.NODATA).all()


def test_folded_weights_compute_the_same_of_other_statistics(tmp_path: Path) -> None:
    rng = torch.Generator().manual_seed(0)
    said = {"bands": ["blue", "green", "red"], "mean": [0.2, 0.3, 0.4], "std": [0.1, 0.2, 0.3]}
    tensors = {"conv_stem.weight": torch.randn(4, 3, 3, 3, generator=rng)}
    tensors |= {f"bn1.running_{name}": torch.rand(4, generator=rng) for name in ("mean", "var")}
    save_file(tensors, tmp_path / "a.safetensors", metadata={"weights": json.dumps(said)})
    bands = [
        ModelBand(name=name, mean=mean, std=std, scale=1e-4, offset=-0.1)
        for name, mean, std in (("red", 2000, 300), ("blue", 1500, 200), ("green", 1800, 250))
    ]
    folded = load_file(satellite.fold_normalisation(tmp_path / "a.safetensors", bands, tmp_path / "b.safetensors"))
    reflectance = torch.rand(1, 3, 8, 8, generator=rng)  # blue, green, red
    theirs = (reflectance - torch.tensor(said["mean"]).view(1, 3, 1, 1)) / torch.tensor(said["std"]).view(1, 3, 1, 1)
    numbers = ((reflectance[:, [2, 0, 1]] + 0.1) / 1e-4 - torch.tensor([[[[2000.0]], [[1500.0]], [[1800.0]]]])) / (
        torch.tensor([[[[300.0]], [[200.0]], [[250.0]]]])
    )
    results = []
    for images, weights in ((theirs, tensors), (numbers, folded)):
        features = torch.nn.functional.conv2d(images, weights["conv_stem.weight"])
        results.append(features - weights["bn1.running_mean"].view(1, -1, 1, 1))
    torch.testing.assert_close(*results, rtol=1e-3, atol=1e-3)
    assert torch.equal(folded["bn1.running_var"], tensors["bn1.running_var"])


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_the_model_takes_sentinel_2_of_four_bands(sets: Path, tmp_path: Path) -> None:
    train_bundled.main(["landcover-satellite", "--data", str(sets), "--out", str(tmp_path / "out"), *SMALL])
    path = tmp_path / "out" / "landcover-satellite.safetensors"
    contract = read_contract(path)
    assert [band.name for band in contract.bands if band.is_optional] == ["swir1", "swir2"]
    assert (contract.dtype, contract.gsd_m, contract.bands[0].scale) == ("int16", 30, 1e-4)
    assert set(contract.metrics) == {
        "hls-selection",
        "hls-report",
        "fourbands-selection",
        "fourbands-report",
        "validation",
    }
    assert contract.architecture["fine_levels"] == [-1, 0]
    scene = gdl.open_array(
        np.full((4, 40, 40), 1500, "uint16"), bands=["red", "green", "blue", "nir"], crs="EPSG:32633"
    )
    done = gdl.segment(scene, label_raster=tmp_path / "a.tif", model=path, scale="0.0001,-0.1", gsd_m="native")
    assert "the scene lacks swir1, swir2, which model 'landcover-satellite' can do without" in done.facts["notes"]
