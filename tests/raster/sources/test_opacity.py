"""Bands that are flagged alpha: told from data by their pixels, the same whoever looks."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import rasterio
from affine import Affine
from rasterio.windows import Window

import geodeeplab as gdl
from geodeeplab.errors import ContractError, GeoDeepLabWarning, SceneError
from geodeeplab.models import Contract, ModelBand, ModelClass
from geodeeplab.pipeline.fit import select_bands
from geodeeplab.raster import open_scene
from geodeeplab.raster.sources import opacity
from geodeeplab.raster.sources.opacity import is_measured, sample_band

MakeRaster = Callable[..., Path]
Array = npt.NDArray[np.uint8]


def with_fourth(plane: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
    rgb = np.random.default_rng(1).integers(1, 250, (3, *plane.shape))
    return np.concatenate([rgb, plane[None]]).astype(plane.dtype)


def water(height: int = 60, width: int = 80) -> Array:
    """Near infrared: 0 on water, 90 to 149 on land."""
    rows, cols = np.indices((height, width))
    return np.where(rows < height // 2, 0, 90 + cols % 60).astype(np.uint8)


def feathered(height: int = 60, width: int = 80, step: int = 51) -> Array:
    rows, cols = np.indices((height, width))
    inside = np.minimum.reduce([rows, cols, height - 1 - rows, width - 1 - cols])
    alpha: Array = np.minimum(255, inside * step).astype(np.uint8)
    return alpha


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (water(), True),
        (np.random.default_rng(0).integers(0, 256, (40, 40)), True),
        (feathered(), False),
        (feathered(200, 200, step=16), False),
        (np.where(water() > 0, 255, 0), False),
        (np.zeros((9, 9)), False),
        (np.full((9, 9), 128), False),
        (np.empty(0), False),
    ],
)
def test_data_has_many_levels_and_alpha_is_opaque_for_the_most_part(
    values: npt.NDArray[np.generic], expected: bool
) -> None:
    assert is_measured(values) == expected


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_near_infrared_flagged_alpha_is_data_and_said_so(make_raster: MakeRaster, dtype: str) -> None:
    array = with_fourth(water().astype(dtype))
    path = make_raster(array, colorinterp=("red", "green", "blue", "alpha"))
    with pytest.warns(GeoDeepLabWarning, match="band 4 of scene .* is flagged alpha, but holds many values"):
        scene = open_scene(path)
    with scene:
        assert [band.name for band in scene.bands] == ["red", "green", "blue", "4"]
        pixels = scene.read(Window(0, 0, 80, 60))
        assert pixels.valid.all()
        assert np.array_equal(pixels.array, array)
        assert scene.select(["red"]).is_all_valid
        assert scene.select(["alpha"]).bands[0].number == 4


def test_true_alpha_stays_alpha(make_raster: MakeRaster) -> None:
    path = make_raster(with_fourth(feathered()), colorinterp=("red", "green", "blue", "alpha"))
    with open_scene(path) as scene:
        assert [band.name for band in scene.bands] == ["red", "green", "blue"]
        assert np.array_equal(scene.read(Window(0, 0, 80, 60)).valid, feathered() > 0)


def test_alpha_may_stand_anywhere(make_raster: MakeRaster) -> None:
    path = make_raster(np.roll(with_fourth(water()), 1, axis=0), colorinterp=("alpha", "red", "green", "blue"))
    with pytest.warns(GeoDeepLabWarning, match="band 1 of scene"), open_scene(path) as scene:
        assert [band.name for band in scene.bands] == ["1", "red", "green", "blue"]


def test_a_band_that_is_named_is_data_without_a_warning(make_raster: MakeRaster) -> None:
    path = make_raster(with_fourth(feathered()), colorinterp=("red", "green", "blue", "alpha"))
    with open_scene(path, bands=["red", "alpha"]) as scene:
        assert scene.read(Window(0, 0, 80, 60)).valid.all()
        assert not scene.bands[1].is_alpha


def test_a_file_that_calls_it_nir_needs_no_pixels(make_raster: MakeRaster) -> None:
    path = make_raster(with_fourth(np.zeros((9, 9), np.uint8)), names=("Red", "Green", "Blue", "NIR"))
    with pytest.warns(GeoDeepLabWarning, match="flagged alpha"), open_scene(path) as scene:
        assert [band.name for band in scene.bands] == ["Red", "Green", "Blue", "NIR"]


def test_parts_of_a_mosaic_decide_together(make_raster: MakeRaster) -> None:
    land, sea = with_fourth(water()), with_fourth(np.zeros((60, 80), np.uint8))
    paths = [
        make_raster(array, f"{i}.tif", transform=Affine(1, 0, 500_000 + 80 * i, 0, -1, 5_000_000))
        for i, array in enumerate((sea, land))
    ]
    with pytest.warns(GeoDeepLabWarning, match="flagged alpha"):
        scene = open_scene(paths)
    with scene:
        assert len(scene.bands) == 4
        assert scene.read(Window(0, 0, 160, 60)).valid.all()


def test_a_large_band_is_looked_at_in_windows_and_a_tiled_one_by_its_overview(
    make_raster: MakeRaster, monkeypatch: pytest.MonkeyPatch
) -> None:
    near_infrared = np.random.default_rng(2).integers(0, 200, (200, 300)).astype(np.uint8)
    monkeypatch.setattr(opacity, "WHOLE_PIXELS", 4000)
    monkeypatch.setattr(opacity, "WINDOW_SIZE", 16)
    path = make_raster(with_fourth(near_infrared), tiled=True, blockxsize=64, blockysize=64)
    with rasterio.open(path) as src:
        assert sample_band(src, 4).size == 36 * 16 * 16
        assert np.array_equal(sample_band(src, 4), sample_band(src, 4))
    with rasterio.open(path, "r+") as src:
        src.build_overviews([2, 4], rasterio.enums.Resampling.nearest)
    with rasterio.open(path) as src:
        assert sample_band(src, 4).size == 50 * 75
        assert is_measured(sample_band(src, 4))


def test_what_is_left_out_is_named_where_a_model_is_refused(make_raster: MakeRaster) -> None:
    contract = Contract(
        name="toy",
        classes=(ModelClass(id=1, name="a", color=(9, 9, 9)), ModelClass(id=2, name="b", color=(8, 8, 8))),
        bands=tuple(ModelBand(name=name, mean=0.0, std=1.0) for name in ("red", "green", "blue", "nir")),
    )
    path = make_raster(with_fourth(feathered()), colorinterp=("red", "green", "blue", "alpha"))
    with (
        open_scene(path) as scene,
        pytest.raises(
            ContractError, match=r"has 3 bands \(red, green, blue\) \(\+ alpha, left out\); model 'toy' needs"
        ),
    ):
        select_bands(scene, contract, None)


def test_training_reads_it_in_all_scenes_if_it_is_data_in_one(make_raster: MakeRaster) -> None:
    shape = (128, 128)
    rng = np.random.default_rng(0)
    planes = [rng.integers(1, 250, shape).astype(np.uint8), np.zeros(shape, np.uint8)]
    scenes = [
        make_raster(with_fourth(plane), f"{i}.tif", transform=Affine(1, 0, 500_000 + 200 * i, 0, -1, 5_000_000))
        for i, plane in enumerate(planes)
    ]
    labels = np.where(np.indices((1, *shape))[2] < 64, 1, 2).astype(np.uint8)
    truth = [
        make_raster(labels, f"t{i}.tif", transform=Affine(1, 0, 500_000 + 200 * i, 0, -1, 5_000_000)) for i in (0, 1)
    ]
    with pytest.warns(GeoDeepLabWarning, match="flagged alpha") as said:
        data = gdl.prepare_data(scenes=scenes, labels=truth, chip_size=32, batch_size=2, epoch_chips=4)
    assert [band.name for band in data.bands] == ["red", "green", "blue", "4"]
    assert sum("flagged alpha" in str(one.message) for one in said) == 1


def test_training_says_that_alpha_is_left_out(make_raster: MakeRaster) -> None:
    alpha = feathered(128, 128)
    scene = make_raster(with_fourth(alpha), colorinterp=("red", "green", "blue", "alpha"))
    labels = np.where(np.indices((1, 128, 128))[2] < 64, 1, 2).astype(np.uint8)
    data = gdl.prepare_data(
        scenes=[scene], labels=[make_raster(labels, "t.tif")], chip_size=32, batch_size=2, epoch_chips=4
    )
    assert "left out: band 4 (alpha)" in str(data.describe())


def test_a_damaged_block_of_an_alpha_band_is_told_when_it_is_read_only(make_raster: MakeRaster) -> None:
    path = make_raster(
        with_fourth(feathered(128, 128)), tiled=True, blockxsize=64, blockysize=64, compress="deflate",
        interleave="band", photometric="RGB", ALPHA="YES",
    )  # fmt: skip
    with rasterio.open(path) as src:
        offset = int(src.get_tag_item("BLOCK_OFFSET_1_1", "TIFF", bidx=4))
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(b"\xff" * 64)
    with open_scene(path) as scene:
        assert scene.shape == (128, 128)
        scene.read(Window(0, 0, 64, 64))
        with pytest.raises(SceneError, match="rows 64-127, columns 64-127"):
            scene.read(Window(0, 0, 128, 128))
