"""Training data from scenes and labels: every kind of labels, and what can go wrong."""

import json
import pickle
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import torch
from affine import Affine
from rasterio.vrt import WarpedVRT
from shapely.geometry import box

import geodeeplab as gdl
from geodeeplab.errors import GeoDeepLabWarning, OptionError, SceneError
from geodeeplab.maps.chips import stretch
from geodeeplab.models import ModelClass
from geodeeplab.raster import open_array, open_stack
from geodeeplab.training import IGNORE_INDEX, Augmentation, TrainingData
from geodeeplab.training.sampling.chip_sets import RandomChips
from geodeeplab.training.sampling.radiometry import radiometry_of

MakeRaster = Callable[..., Path]

SHAPE = (120, 160)
LEFT, TOP = 500_000, 5_000_000


def _prepare(**options: Any) -> TrainingData:  # noqa: ANN401
    """Prepare small chips; without warnings of classes that a side lacks."""
    plain: dict[str, Any] = {"chip_size": 32, "batch_size": 2, "block_size": 32, "buffer": 4}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "no pixel of")
        return gdl.prepare_data(**(plain | options))


def _image(bands: int = 3, dtype: str = "uint8", shape: tuple[int, int] = SHAPE) -> np.ndarray[Any, Any]:
    return np.random.default_rng(0).integers(1, 250, (bands, *shape)).astype(dtype)


def _val_labels(data: TrainingData) -> dict[int, int]:
    """Count the labels of all validation chips."""
    labels = torch.cat([data.val.draw(index).labels.flatten() for index in range(len(data.val))])
    values, counts = torch.unique(labels[labels != IGNORE_INDEX], return_counts=True)
    return dict(zip(values.tolist(), counts.tolist(), strict=True))


def _fields(crs: str = "EPSG:32633") -> gpd.GeoDataFrame:
    """Wheat on the left half, barley in the middle of the right half, one feature without a class on top of all."""
    shapes = [
        box(LEFT, TOP - 120, LEFT + 80, TOP),
        box(LEFT + 100, TOP - 120, LEFT + 140, TOP),
        box(LEFT, TOP - 10, LEFT + 10, TOP),
    ]
    frame = gpd.GeoDataFrame({"crop": ["wheat", "barley", None]}, geometry=shapes, crs="EPSG:32633")
    return frame.to_crs(crs)


def test_polygons_of_any_crs_give_classes_by_their_field(make_raster: MakeRaster, tmp_path: Path) -> None:
    scene = make_raster(_image())
    _fields("EPSG:4326").to_file(tmp_path / "fields.gpkg", driver="GPKG")
    data = _prepare(scenes=scene, labels=tmp_path / "fields.gpkg", class_field="crop")
    assert [item.name for item in data.classes] == ["barley", "wheat"]
    pixels = [item["train_pixels"] + item["val_pixels"] for item in data.provenance["classes"]]
    assert data.provenance["ignored_share"] == pytest.approx(1 - (80 * 120 + 40 * 120 - 100) / (120 * 160))
    assert sum(pixels) < 80 * 120 + 40 * 120 - 100  # the rest lies in the buffer
    assert _val_labels(data) == {
        number: item["val_pixels"] for number, item in enumerate(data.provenance["classes"]) if item["val_pixels"]
    }
    assert data.class_pixels == tuple(item["train_pixels"] for item in data.provenance["classes"])
    assert data.provenance["labels"]["class_field"] == "crop"


def test_background_and_what_was_labelled(make_raster: MakeRaster) -> None:
    scene = make_raster(_image())
    area = gpd.GeoDataFrame(geometry=[box(LEFT, TOP - 60, LEFT + 160, TOP)], crs="EPSG:32633")
    common = {"scenes": scene, "labels": _fields(), "class_field": "crop", "background": "other"}
    whole = _prepare(**common)
    assert [item.name for item in whole.classes] == ["barley", "wheat", "other"]
    assert whole.provenance["ignored_share"] == pytest.approx(100 / (120 * 160))
    upper = _prepare(**common, labelled=area)
    assert upper.provenance["ignored_share"] == pytest.approx(0.5 + 100 / (120 * 160))


def test_polygons_without_a_field_are_one_class(make_raster: MakeRaster) -> None:
    scene = make_raster(_image())
    data = _prepare(scenes=scene, labels=_fields(), classes=["field"], background="other")
    assert [(item.id, item.name) for item in data.classes] == [(1, "field"), (2, "other")]
    with pytest.raises(OptionError, match="need the field that names their class"):
        _prepare(scenes=scene, labels=_fields(), classes=["field", "wood"])


def test_one_class_only_and_one_image(make_raster: MakeRaster) -> None:
    data = _prepare(scenes=make_raster(_image()), labels=_fields(), classes=["field"])
    assert len(data.classes) == 1
    assert set(_val_labels(data)) == {0}


def test_polygons_of_no_class_are_refused_unless_they_are_to_be_ignored(make_raster: MakeRaster) -> None:
    common = {"scenes": make_raster(_image()), "labels": _fields(), "class_field": "crop"}
    with pytest.raises(
        SceneError,
        match=r"values without a class, first in 'GeoDataFrame': 'barley' in 1 polygon; the classes are 'wheat': name",
    ):
        _prepare(**common, classes=["wheat"])
    with pytest.raises(SceneError, match="'barley' in 1 polygon, 'wheat' in 1 polygon"):
        _prepare(**common, classes=["maize"])
    wheat = _prepare(**common, classes=["wheat"], ignore_unknown=True)
    assert [item.name for item in wheat.classes] == ["wheat"]
    assert wheat.provenance["labels"]["ignore_unknown"] is True
    merged = _prepare(**common, class_mapping={"wheat": "a", "barley": None})
    assert [item.name for item in merged.classes] == ["a"]
    assert merged.class_pixels == wheat.class_pixels


def test_one_layer_for_scenes_of_two_crs_is_counted_once(make_raster: MakeRaster) -> None:
    scenes = [make_raster(_image(), "a.tif"), make_raster(_image(), "b.tif", crs="EPSG:32634")]
    with pytest.raises(SceneError, match="'barley' in 1 polygon;"):
        _prepare(scenes=scenes, labels=_fields(), class_field="crop", classes=["wheat"])


def test_polygons_outside_and_empty_layers_are_refused(make_raster: MakeRaster) -> None:
    scene = make_raster(_image())
    far = gpd.GeoDataFrame(geometry=[box(0, 0, 100, 100)], crs="EPSG:32633")
    with pytest.raises(OptionError, match="none of the 1 scenes has a labelled valid pixel"):
        _prepare(scenes=scene, labels=far)
    with pytest.raises(OptionError, match="has no polygon"):
        _prepare(scenes=scene, labels=far.iloc[:0])
    with pytest.raises(OptionError, match="has no field 'kind'"):
        _prepare(scenes=scene, labels=_fields(), class_field="kind")


def test_label_rasters_on_another_grid_are_warped_by_nearest(make_raster: MakeRaster) -> None:
    scene = make_raster(_image(shape=(90, 110)))
    labels = np.random.default_rng(1).integers(0, 4, (1, 120, 120)).astype("int32")
    turned = Affine(1.31, 0.37, LEFT - 30.137, 0.29, -1.23, TOP + 20.219)  # no centre lies on an edge
    path = make_raster(labels, "labels.tif", transform=turned, crs="EPSG:32633", nodata=-9)
    data = _prepare(scenes=scene, labels=path)
    with rasterio.open(path) as src, rasterio.open(scene) as dst:
        expected = WarpedVRT(
            src, crs=dst.crs, transform=dst.transform, width=dst.width, height=dst.height, tolerance=0.001
        ).read(1)
    counts = np.zeros((90, 110), dtype=np.uint8)
    for index in range(len(data.val)):
        _, row, col = data.val.place(index)  # type: ignore[attr-defined]
        chip = data.val.draw(index).labels.numpy()
        rows, cols = np.nonzero(chip != IGNORE_INDEX)
        counts[rows + row, cols + col] = chip[rows, cols] + 1
    there = counts > 0
    assert there.sum() > 500
    assert (counts[there] == expected[there]).mean() > 0.999  # GDAL's positions are off by some 1e-3 pixels
    assert [(item.id, item.name) for item in data.classes] == [(1, "1"), (2, "2"), (3, "3")]


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "int32"])
def test_labels_of_any_integers(dtype: str) -> None:
    labels = (np.indices(SHAPE).sum(axis=0) // 30 % 3).astype(dtype)
    named = _prepare(scenes=_image(), labels=labels, classes={"water": (0, 0, 255), "wood": (0, 99, 0)})
    assert [(item.id, item.name, item.color) for item in named.classes] == [
        (1, "water", (0, 0, 255)),
        (2, "wood", (0, 99, 0)),
    ]
    assert named.provenance["ignored_share"] == pytest.approx((labels == 0).mean())
    mapped = _prepare(scenes=_image(), labels=labels, class_mapping={0: "land", 1: "water", 2: "water"})
    assert [item.name for item in mapped.classes] == ["land", "water"]
    assert mapped.provenance["ignored_share"] == 0


def test_values_of_no_class_are_refused_unless_they_are_to_be_ignored() -> None:
    labels = (np.indices(SHAPE).sum(axis=0) // 30 % 5).astype("uint8")
    pixels = np.bincount(labels.ravel()).tolist()
    listed = f"3 in {pixels[3]} px, 4 in {pixels[4]} px"
    with pytest.raises(
        SceneError, match=f"values without a class, first in 'array': {listed}; the classes are 'a', 'b'"
    ):
        _prepare(scenes=_image(), labels=labels, classes=["a", "b"])
    known = (ModelClass(id=3, name="c", color=(1, 2, 3)), ModelClass(id=4, name="d", color=(4, 5, 6)))
    with pytest.raises(SceneError, match=f"{pixels[1]} px.*; the classes are 'c', 'd'"):
        _prepare(scenes=_image(), labels=labels, classes=known)
    data = _prepare(scenes=_image(), labels=labels, classes=known, ignore_unknown=True)
    assert data.classes == known
    assert data.provenance["ignored_share"] == pytest.approx(sum(pixels[:3]) / labels.size)


def test_the_pixels_of_all_label_rasters_count_but_not_nodata(make_raster: MakeRaster) -> None:
    labels = np.ones((1, *SHAPE), dtype="uint8")
    labels[0, 0, :7] = 9
    labels[0, 1, :5] = 200
    paths = [make_raster(labels, name, nodata=200) for name in ("a.tif", "b.tif")]
    scenes = [make_raster(_image(), name) for name in ("c.tif", "d.tif")]
    with pytest.raises(SceneError, match=r"first in '.*a.tif': 9 in 14 px; the classes are 'field'"):
        _prepare(scenes=scenes, labels=paths, classes=["field"])
    with pytest.raises(SceneError, match=r"first in '.*a.tif': 9 in 7 px;"):
        _prepare(scenes=scenes, labels=paths[0], class_mapping={1: "field"})
    ignored = _prepare(scenes=scenes, labels=paths, class_mapping={1: "field", 9: None})
    assert ignored.provenance["ignored_share"] == pytest.approx(12 / np.prod(SHAPE))


def test_palettes_and_colours(make_raster: MakeRaster, tmp_path: Path) -> None:
    values = (np.indices(SHAPE).sum(axis=0) // 30 % 3).astype("uint8")[None]
    path = make_raster(values, "palette.tif", colorinterp=("palette",))
    with rasterio.open(path, "r+") as dst:
        dst.write_colormap(1, {0: (0, 0, 0), 1: (10, 20, 30), 2: (40, 50, 60)})
    data = _prepare(scenes=make_raster(_image()), labels=path)
    assert {item.color for item in data.classes} >= {(10, 20, 30), (40, 50, 60)}
    colors = np.array([(0, 0, 0), (9, 8, 7), (200, 1, 2)], dtype="uint8")[values[0]].transpose(2, 0, 1)
    mapping = {(9, 8, 7): "road", (200, 1, 2): "roof", (0, 0, 0): None}
    coded = _prepare(scenes=_image(), labels=colors, class_mapping=mapping)
    assert [(item.name, item.color) for item in coded.classes] == [("road", (9, 8, 7)), ("roof", (200, 1, 2))]
    assert coded.provenance["ignored_share"] == pytest.approx((values == 0).mean())
    with pytest.raises(
        SceneError, match=rf"have colours without a class, .*: \(0,0,0\) in {(values == 0).sum()} px; the"
    ):
        _prepare(scenes=_image(), labels=colors, class_mapping={(9, 8, 7): "road", (200, 1, 2): "roof"})


def test_labels_that_are_no_whole_numbers_are_refused() -> None:
    with pytest.raises(SceneError, match=r"labels are whole numbers .* holds 0\.5"):
        _prepare(scenes=_image(), labels=np.full(SHAPE, 0.5, dtype="float32"))


@pytest.mark.parametrize(("bands", "dtype"), [(12, "uint16"), (1, "float32"), (3, "int16")])
def test_statistics_are_those_of_the_valid_training_pixels(bands: int, dtype: str) -> None:
    image = _image(bands, dtype) * np.arange(1, bands + 1)[:, None, None].astype(dtype)
    nodata = np.zeros(SHAPE, dtype=bool)
    nodata[20:60, 30:50] = True
    if dtype == "float32":
        image[:, nodata] = np.nan
        image[0, 100, 3:9] = np.inf
    scene = open_array(image, valid=None if dtype == "float32" else ~nodata)
    labels = np.ones(SHAPE, dtype="uint8")
    labels[:, 80:] = 2
    other = np.zeros_like(image)
    data = _prepare(scenes=[scene, other], labels=[labels, labels], val_scenes=[1])
    valid = ~nodata & np.isfinite(image).all(axis=0)
    expected = image[:, valid].astype(np.float64)
    assert [band.mean for band in data.bands] == pytest.approx(expected.mean(axis=1).tolist(), rel=1e-9)
    assert [band.std for band in data.bands] == pytest.approx(expected.std(axis=1).tolist(), rel=1e-9)
    assert data.dtype == dtype
    assert data.value_range == (expected.min(), expected.max())
    assert sum(data.class_pixels) == valid.sum()
    for index in range(len(data.train)):
        chip = data.train.draw(index)
        assert torch.isfinite(chip.pixels).all()
        assert not chip.pixels[:, ~chip.valid].any()


def test_a_scene_smaller_than_a_chip_is_padded() -> None:
    scenes = [_image(shape=(20, 25)), _image(shape=(18, 30))]
    labels = [np.ones((20, 25), dtype="uint8"), np.ones((18, 30), dtype="uint8")]
    data = _prepare(scenes=scenes, labels=labels, split="files", val_split_pct=0.4, augmentation=False)
    chip = data.train.draw(0)
    assert chip.pixels.shape == (3, 32, 32)
    assert int(chip.valid.sum()) == sum(data.class_pixels)
    assert _val_labels(data) == {0: data.provenance["classes"][0]["val_pixels"]}


def test_scales_that_differ_are_mapped_onto_the_first(make_raster: MakeRaster) -> None:
    first = make_raster(_image(1, "uint16"), "a.tif")
    away = Affine(1, 0, LEFT + 500, 0, -1, TOP)
    second = make_raster(_image(1, "uint16") * 2 + 100, "b.tif", transform=away)
    for path, scale, offset in ((first, 0.001, 0.0), (second, 0.0005, -0.05)):
        with rasterio.open(path, "r+") as dst:
            dst.scales, dst.offsets = (scale,), (offset,)
    labels = np.ones(SHAPE, dtype="uint8")
    data = _prepare(scenes=[first, second], labels=[labels, labels], val_scenes=[0], augmentation=False)
    assert (data.bands[0].scale, data.bands[0].offset) == (0.001, 0.0)
    assert data.bands[0].mean == pytest.approx(_image(1).mean(), rel=1e-5)
    assert data.train.draw(0).pixels.max() < 260


def test_optional_bands_are_named_in_the_data() -> None:
    image = _image(3, "uint8")
    labels = np.ones(SHAPE, dtype="uint8")
    labels[:, 80:] = 2
    scene = open_array(image, bands=["red", "nir", "swir1"])
    options = {"scenes": scene, "labels": labels}
    data = _prepare(**options, augmentation=Augmentation(optional_bands=("SWIR16",)))
    assert [band.is_optional for band in data.bands] == [False, False, True]
    with pytest.raises(SceneError, match="no band 'swir2'"):
        _prepare(**options, augmentation=Augmentation(optional_bands=("swir2",)))
    with pytest.raises(OptionError, match="are some of the bands, not all"):
        _prepare(**options, augmentation=Augmentation(optional_bands=("red", "nir", "swir1")))
    with pytest.raises(OptionError, match="a share between 0 and 1, not 1"):
        Augmentation(optional_share=1)


def test_scenes_that_do_not_go_together_are_refused() -> None:
    labels = [np.ones(SHAPE, dtype="uint8")] * 2
    with pytest.raises(SceneError, match="'array' has 3 and 'array' 4"):
        _prepare(scenes=[_image(3), _image(4)], labels=labels)
    with pytest.raises(SceneError, match="numbers of one sort"):
        _prepare(scenes=[_image(3), _image(3, "uint16")], labels=labels)
    with pytest.raises(OptionError, match="one layer for all scenes or one for each, not 2 for 1"):
        _prepare(scenes=_image(), labels=labels)
    with pytest.raises(OptionError, match="scenes need labels"):
        _prepare(scenes=_image())
    with pytest.raises(OptionError, match="or from a folder of chips: give one"):
        _prepare()
    with pytest.raises(OptionError, match="leave out scenes"):
        _prepare(path="folder", scenes=_image())
    with pytest.raises(OptionError, match="at least 16 pixels"):
        _prepare(scenes=_image(), labels=labels[0], chip_size=8)


def test_scenes_without_a_crs_may_show_the_same_ground() -> None:
    labels = [np.ones(SHAPE, dtype="uint8")] * 2
    with pytest.warns(GeoDeepLabWarning, match="2 of 2 scenes have no CRS"):
        _prepare(scenes=[_image(), _image()], labels=labels)


def test_pixel_sizes(make_raster: MakeRaster) -> None:
    fine = make_raster(_image(), "fine.tif")
    coarse_at = Affine(2, 0, LEFT, 0, -2, TOP)
    coarse = make_raster(_image(shape=(60, 80)), "coarse.tif", transform=coarse_at)
    with pytest.warns(GeoDeepLabWarning, match="differ by more than a quarter from the median of 1 m"):
        data = _prepare(scenes=[fine, coarse], labels=_fields(), class_field="crop")
    assert data.gsd_m == 1
    assert [scene["shape"] for scene in data.provenance["scenes"]] == [[120, 160], [120, 160]]
    half = _prepare(scenes=[fine, coarse], labels=_fields(), class_field="crop", gsd_m=2.0)
    assert [scene["shape"] for scene in half.provenance["scenes"]] == [[60, 80], [60, 80]]
    resized = _prepare(scenes=fine, labels=_fields(), class_field="crop", chip_size=64, resize_to=32, block_size=16)
    assert (resized.chip_size, resized.gsd_m) == (32, 2.0)
    with pytest.raises(OptionError, match="give one of them"):
        _prepare(scenes=fine, labels=_fields(), class_field="crop", resize_to=32, gsd_m=1.0)


def test_mixed_crs_share_one_ground(make_raster: MakeRaster) -> None:
    here = make_raster(_image(), "here.tif")
    with rasterio.open(here) as src:
        vrt = WarpedVRT(src, crs="EPSG:3035")
        image, transform = vrt.read(), vrt.transform
    there = make_raster(image, "there.tif", crs="EPSG:3035", transform=transform, nodata=0)
    data = _prepare(scenes=[here, there], labels=_fields("EPSG:4326"), class_field="crop")
    assert data.provenance["split"]["kind"] == "blocks"
    assert all(scene["train_pixels"] and scene["val_pixels"] for scene in data.provenance["scenes"])


def test_the_same_seed_gives_the_same_chips_in_any_process(make_raster: MakeRaster) -> None:
    scene = make_raster(_image())
    options = {"scenes": scene, "labels": _fields(), "class_field": "crop"}
    data = _prepare(**options, memory_gb=0)
    held = _prepare(**options)
    travelled = pickle.loads(pickle.dumps(data))
    for index in (0, 1):
        one, two, three = (each.train.draw(index, epoch=3) for each in (data, held, travelled))
        for other in (two, three):
            assert torch.equal(one.pixels, other.pixels)
            assert torch.equal(one.labels, other.labels)
            assert torch.equal(one.valid, other.valid)
    assert not torch.equal(data.train.draw(0).pixels, data.train.draw(0, epoch=1).pixels)
    with pytest.raises(IndexError):
        data.train.draw(len(data.train))


def test_without_augmentation_chips_are_windows() -> None:
    image = _image()
    data = _prepare(scenes=image, labels=np.ones(SHAPE, dtype="uint8"), augmentation=False)
    assert data.augmentation is None
    assert isinstance(data.train, RandomChips)
    for index in range(len(data.train)):
        _, crop = data.train.place(index)
        assert (crop.zoom, crop.angle, crop.is_mirrored) == (1.0, 0.0, False)


def test_an_epoch_is_as_long_as_asked_for() -> None:
    labels = np.ones(SHAPE, dtype="uint8")
    data = _prepare(scenes=_image(), labels=labels, epoch_chips=37)
    assert len(data.train) == 37
    assert data.train.draw(36).labels.shape == (data.chip_size, data.chip_size)
    with pytest.raises(OptionError, match="at least 1 chip"):
        _prepare(scenes=_image(), labels=labels, epoch_chips=0)


def test_class_balance_shows_rare_classes() -> None:
    labels = np.ones((320, 320), dtype="uint8")
    labels[::160, ::80] = 2
    image = np.zeros((1, 320, 320), dtype="uint8")
    shares = []
    for balance in (0.0, 1.0):
        data = _prepare(scenes=image, labels=labels, class_balance=balance, augmentation=Augmentation())
        chips = [data.train.draw(index, epoch=epoch) for epoch in range(2) for index in range(len(data.train))]
        shares.append(np.mean([(chip.labels == 1).any().item() for chip in chips]))
    assert shares[1] > shares[0] + 0.2
    with pytest.raises(OptionError, match="`class_balance=` is a share"):
        _prepare(scenes=image, labels=labels, class_balance=2.0)


def test_open_scenes_and_functions_that_open_them(make_raster: MakeRaster) -> None:
    paths = [make_raster(_image(1), f"band{number}.tif") for number in (1, 2, 3)]
    data = _prepare(scenes=partial(open_stack, paths), labels=_fields(), class_field="crop", rgb_bands=[3, 2, 1])
    assert len(data.bands) == 3
    assert data.rgb_channels == (2, 1, 0)
    assert pickle.loads(pickle.dumps(data)).train.draw(0).pixels.shape == (3, 32, 32)
    with open_stack(paths) as stack, pytest.raises(OptionError, match="open already, and other processes cannot"):
        _prepare(scenes=stack, labels=_fields(), class_field="crop")


def test_facts_are_json_and_the_table_names_all() -> None:
    labels = np.ones(SHAPE, dtype="uint8")
    data = _prepare(scenes=_image(), labels=labels, classes=["wood"], provenance={"licence": "CC0-1.0"})
    described = data.describe()
    assert json.loads(json.dumps(described.facts()))["licence"] == "CC0-1.0"
    for word in ("wood", "blocks of 32 px", "leakage", "ignored", "as asked for", "kept decoded"):
        assert word in str(described)


def test_pictures_of_chips(tmp_path: Path) -> None:
    labels = (np.indices(SHAPE).sum(axis=0) // 30 % 3).astype("uint8")
    data = _prepare(scenes=_image(2), labels=labels)
    figure = data.show_batch(rows=1, dst_path=tmp_path / "chips.png")
    assert (tmp_path / "chips.png").stat().st_size > 10_000
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["1", "2", "ignored"]
    assert len(data.show_batch(rows=1, val=True).axes) == 8
    with pytest.raises(OptionError, match="at least 1 row"):
        data.show_batch(rows=0)


def test_chips_are_shown_as_training_sees_them() -> None:
    labels = np.ones(SHAPE, dtype="uint8")
    data = _prepare(scenes=_image(), labels=labels, augmentation=Augmentation(strength=0.5, recolour_share=1))
    change = radiometry_of(data, seed=data.seed)
    assert change is not None
    assert len(change.transforms) == 7  # recolouring is among them
    seen = change(data.train.draw(0, epoch=1), epoch=1, index=0)
    shown = data.show_batch(rows=1, epoch=1).axes[0].images[0].get_array()
    expected = stretch(
        seen.pixels.numpy(), seen.valid.numpy(), channels=data.rgb_channels, display_range=data.display_range
    )
    assert shown is not None
    np.testing.assert_array_equal(np.asarray(shown), expected)


def test_validation_chips_lie_within_their_scene_and_have_every_label_once() -> None:
    shapes = [(120, 160), (48, 60), (20, 50)]  # the last one is smaller than a chip
    labels = [(1 + np.indices(shape).sum(axis=0) % 3).astype("uint8") for shape in shapes]
    data = _prepare(scenes=[_image(shape=shape) for shape in shapes], labels=labels, val_scenes=[1, 2])
    counts = [np.zeros(shape, dtype=np.int64) for shape in shapes]
    for index in range(len(data.val)):
        number, row, col = data.val.place(index)  # type: ignore[attr-defined]
        chip = data.val.draw(index)
        assert number == 2 or chip.valid.all()
        rows, cols = np.nonzero(chip.labels.numpy() != IGNORE_INDEX)
        counts[number][rows + row, cols + col] += 1
    assert (counts[0] == 0).all()
    assert (counts[1] == 1).all()
    assert (counts[2] == 1).all()


def test_an_epoch_has_64_steps_or_more_however_little_is_labelled() -> None:
    labels = np.ones(SHAPE, dtype="uint8")  # as many as 19 chips have
    data = _prepare(scenes=_image(), labels=labels, batch_size=None)
    assert (data.batch_size, data.epoch_steps, len(data.train)) == (8, 64, 512)
    assert data.provenance["epoch_steps"] == 64
    assert "512 of " in str(data.describe())
    assert "in an epoch of 64 steps" in str(data.describe())
    parts = _prepare(scenes=_image(), labels=labels, batch_size=4, micro_batch=2)
    assert (parts.batch_size, parts.chips_at_once, parts.epoch_steps) == (4, 2, 64)
    assert "4 chips, 2 at once: as asked for" in str(parts.describe())
