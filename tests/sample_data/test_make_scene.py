from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyogrio
import pytest
import rasterio
import rasterio.features

from aerial.scene import LEAST, SyntheticScene, make_scene
from make_scene import RGBN_SEED, RGBN_SHAPE, SEED, STYLE
from tests.examples import few

SAMPLE_DATA = Path(__file__).resolve().parents[2] / "sample_data"

SHAPE = (320, 384)
STYLES = ("temperate", "arid")


@pytest.mark.parametrize("style", STYLES)
def test_the_same_seed_gives_the_same_scene_and_another_seed_another(style: str) -> None:
    first, again, other = (make_scene(seed, shape=(160, 192), style=style) for seed in (3, 3, 4))
    for name in ("image", "labels", "valid"):
        np.testing.assert_array_equal(getattr(first, name), getattr(again, name))
    assert (first.labels != other.labels).mean() > 0.1


@pytest.mark.parametrize("style", STYLES)
def test_arrays_agree_on_shape_type_and_what_is_valid(style: str) -> None:
    scene = make_scene(5, shape=SHAPE, style=style)
    assert scene.image.shape == (3, *SHAPE)
    assert scene.labels.shape == scene.valid.shape == SHAPE
    assert [str(array.dtype) for array in (scene.image, scene.labels, scene.valid)] == ["uint8", "uint8", "bool"]
    np.testing.assert_array_equal(scene.valid, scene.image.any(axis=0))
    np.testing.assert_array_equal(scene.valid, scene.labels > 0)
    assert scene.labels.max() <= 5


@pytest.mark.parametrize("style", few(STYLES, 1))
def test_all_classes_appear(style: str) -> None:
    scene = make_scene(7, shape=(512, 512), style=style, corner=False)
    shares = np.bincount(scene.labels.ravel(), minlength=6) / scene.labels.size
    assert shares[0] == 0
    assert shares[1:].min() > 0.001


@pytest.mark.parametrize("seed", few(range(4), 1))
def test_nodata_is_one_slanted_corner(seed: int) -> None:
    valid = make_scene(seed, shape=SHAPE).valid
    assert [valid[0, 0], valid[0, -1], valid[-1, 0], valid[-1, -1]].count(np.False_) == 1
    widths = np.sort((~valid).sum(axis=1))
    assert 0.005 < (~valid).mean() < 0.06
    assert np.diff(widths[widths > 0]).max() <= 1  # a straight edge, steeper than 45 degrees
    assert make_scene(seed, shape=SHAPE, corner=False).valid.all()


@pytest.mark.parametrize("style", STYLES)
def test_no_labelled_piece_is_a_speck(style: str) -> None:
    labels = make_scene(9, shape=SHAPE, style=style, corner=False).labels
    np.testing.assert_array_equal(rasterio.features.sieve(labels, LEAST, connectivity=4), labels)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: make_scene(0, shape=SHAPE, style="lunar"), "style is one of temperate, arid; got 'lunar'"),
        (lambda: make_scene(0, shape=(63, 64)), "at least 64 x 64 pixels; got 63 x 64"),
    ],
)
def test_what_cannot_be_drawn_is_refused(call: Callable[[], SyntheticScene], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


def test_scene_file_is_georeferenced_masked_and_says_that_it_is_synthetic() -> None:
    with rasterio.open(SAMPLE_DATA / "scene.tif") as src:
        assert (src.count, src.shape, set(src.dtypes)) == (3, (2048, 2048), {"uint8"})
        assert (src.crs.to_epsg(), src.res) == (32632, (1.0, 1.0))
        assert src.descriptions == ("red", "green", "blue")
        assert src.profile["tiled"]
        tags = src.tags()
        assert (tags["SYNTHETIC"], tags["LICENCE"]) == ("yes", "CC0-1.0")
        assert (tags["GENERATOR"], tags["SEED"]) == ("sample_data/make_scene.py", str(SEED))
        valid = src.dataset_mask() > 0
    assert 0.005 < (~valid).mean() < 0.06


def test_truth_rasterises_to_classes_exactly_where_the_scene_is_valid() -> None:
    with rasterio.open(SAMPLE_DATA / "scene.tif") as src:
        valid, transform = src.dataset_mask() > 0, src.transform
    truth = pyogrio.read_dataframe(SAMPLE_DATA / "truth.gpkg", layer="truth")
    assert truth.crs.to_epsg() == 32632
    assert dict(zip(truth.class_id, truth.class_name, strict=True)) == {
        1: "building",
        2: "land",
        3: "road",
        4: "vegetation",
        5: "water",
    }
    pairs = zip(truth.geometry, truth.class_id, strict=True)
    labels = rasterio.features.rasterize(pairs, out_shape=valid.shape, transform=transform, dtype="uint8")
    np.testing.assert_array_equal(labels > 0, valid)
    assert truth.geometry.is_valid.all()
    assert truth.area.sum() == valid.sum()


def test_near_infrared_tells_leaves_from_the_rest_and_water_is_dark() -> None:
    scene = make_scene(7, shape=(512, 512), near_infrared=True)
    assert (scene.image.dtype.name, scene.image.shape) == ("uint16", (4, 512, 512))
    np.testing.assert_array_equal(scene.valid, scene.image.all(axis=0))
    np.testing.assert_array_equal(scene.labels, make_scene(7, shape=(512, 512)).labels)
    red, nir = scene.image[0].astype(float), scene.image[3].astype(float)
    index = (nir - red) / np.maximum(nir + red, 1)
    ndvi = [float(np.median(index[scene.labels == label])) for label in range(1, 6)]
    assert ndvi[3] > 0.4 > max(ndvi[0], ndvi[1], ndvi[2])
    assert ndvi[4] < 0


def test_multispectral_file_names_its_bands_and_states_their_scale() -> None:
    with rasterio.open(SAMPLE_DATA / "rgbn.tif") as src:
        assert src.descriptions == ("red", "green", "blue", "nir")
        assert (src.shape, set(src.dtypes), src.nodata, src.scales) == ((768, 768), {"uint16"}, 0, (0.0001,) * 4)
        assert src.tags()["SYNTHETIC"] == "yes"
        valid, grid = src.dataset_mask() > 0, (src.transform, src.crs)
    with rasterio.open(SAMPLE_DATA / "rgbn_labels.tif") as src:
        labels = src.read(1)
        assert (src.transform, src.crs) == grid
    np.testing.assert_array_equal(labels > 0, valid)
    assert set(np.unique(labels)) == set(range(6))


@pytest.mark.slow
def test_files_are_what_the_generator_draws() -> None:
    scene = make_scene(SEED, style=STYLE)
    with rasterio.open(SAMPLE_DATA / "scene.tif") as src:
        np.testing.assert_array_equal(src.dataset_mask() > 0, scene.valid)
        apart = np.abs(src.read().astype(np.int16) - scene.image)[:, scene.valid]
    assert apart.mean() < 6  # JPEG
    truth = pyogrio.read_dataframe(SAMPLE_DATA / "truth.gpkg")
    pairs = zip(truth.geometry, truth.class_id, strict=True)
    labels = rasterio.features.rasterize(pairs, out_shape=(2048, 2048), transform=src.transform, dtype="uint8")
    np.testing.assert_array_equal(labels, scene.labels)
    rgbn = make_scene(RGBN_SEED, shape=RGBN_SHAPE, style=STYLE, near_infrared=True)
    for name, expected in (("rgbn.tif", rgbn.image), ("rgbn_labels.tif", rgbn.labels[None])):
        with rasterio.open(SAMPLE_DATA / name) as src:
            np.testing.assert_array_equal(src.read(), expected)


def test_files_stay_small() -> None:
    assert sum(path.stat().st_size for path in SAMPLE_DATA.iterdir() if path.is_file()) <= 6e6
