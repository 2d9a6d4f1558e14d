"""The whole way of training data on input that is not as one would wish."""

import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import numpy.typing as npt
import pytest
import shapely
from affine import Affine
from rasterio.warp import transform_bounds

from geodeeplab.errors import GeoDeepLabError, GeoDeepLabWarning, OptionError, SceneError
from geodeeplab.training import IGNORE_INDEX, Chip, TrainingData, prepare_data
from geodeeplab.training.folders.chip_folder import open_chip_folder

MakeRaster = Callable[..., Path]
LEFT, TOP = 500_000, 5_000_000
SIDE = 160
"""Pixels of a scene, 1 m each."""


def image(bands: int = 3, *, seed: int = 0, dtype: str = "uint8") -> npt.NDArray[Any]:
    return np.random.default_rng(seed).integers(1, 250, (bands, SIDE, SIDE)).astype(dtype)


def stripes(*values: int, width: int = 10) -> npt.NDArray[np.uint8]:
    """Give labels (1, H, W) of vertical stripes of some values, again and again."""
    row = np.array(values, dtype=np.uint8)[np.arange(SIDE) // width % len(values)]
    return np.broadcast_to(row, (1, SIDE, SIDE)).copy()


def boxes(folder: Path, *corners: tuple[float, float, float, float], crs: str = "EPSG:32633", **fields: Any) -> Path:  # noqa: ANN401
    """Write rectangles (left, top, width, height in pixels of the scene) to a layer."""
    shapes = [shapely.box(LEFT + x, TOP - y - h, LEFT + x + w, TOP - y) for x, y, w, h in corners]
    frame = gpd.GeoDataFrame(fields or {"number": range(len(shapes))}, geometry=shapes, crs="EPSG:32633")
    path = folder / "polygons.gpkg"
    frame.to_crs(crs).to_file(path)
    return path


def prepare(**options: Any) -> TrainingData:  # noqa: ANN401
    """Prepare chips of 32 pixels without augmentation, small enough for a split of these scenes."""
    return prepare_data(
        **{"chip_size": 32, "batch_size": 2, "block_size": 32, "buffer": 4, "augmentation": False} | options
    )


def draw_all(data: TrainingData) -> list[Chip]:
    """Draw a whole epoch and all of validation; check what always holds of a chip."""
    chips = [data.train.draw(i) for i in range(len(data.train))] + [data.val.draw(i) for i in range(len(data.val))]
    for chip in chips:
        assert chip.pixels.shape == (len(data.bands), data.chip_size, data.chip_size)
        known = chip.labels != IGNORE_INDEX
        assert int(chip.labels[known].max()) < len(data.classes) if known.any() else True
        assert not (known & ~chip.valid).any(), "what is invalid has no label"
        assert bool(chip.pixels[:, chip.valid].isfinite().all())
    return chips


def test_one_class_only(make_raster: MakeRaster) -> None:
    scene, labels = make_raster(image(), "a.tif"), make_raster(stripes(4), "labels.tif", nodata=0)
    data = prepare(scenes=scene, labels=labels)
    assert [one.id for one in data.classes] == [4]
    assert {int(v) for chip in draw_all(data) for v in chip.labels.unique()} <= {0, IGNORE_INDEX}


def test_polygons_of_buildings_alone_with_and_without_background(make_raster: MakeRaster, tmp_path: Path) -> None:
    scene = make_raster(image(), "a.tif")
    layer = boxes(tmp_path, *((x, y, 12, 12) for x in range(4, 150, 24) for y in range(4, 150, 24)))
    alone = prepare(scenes=scene, labels=layer)
    assert len(alone.classes) == 1
    data = prepare(scenes=scene, labels=layer, background="other")
    assert [one.name for one in data.classes][-1] == "other"
    assert sum(data.class_pixels) > 3 * sum(alone.class_pixels)
    draw_all(data)


def test_polygons_outside_the_scene_label_nothing(make_raster: MakeRaster, tmp_path: Path) -> None:
    scene = make_raster(image(), "a.tif")
    with pytest.raises(
        GeoDeepLabError,
        match="none of the 1 scenes has a labelled valid pixel: check that labels and scenes show the same",
    ):
        prepare(scenes=scene, labels=boxes(tmp_path, (5000, 5000, 20, 20)))
    layer = boxes(tmp_path, (5000, 5000, 20, 20), *((x, 10, 8, 140) for x in range(0, 160, 16)))
    assert sum(prepare(scenes=scene, labels=layer).class_pixels) > 0


def test_an_empty_layer(make_raster: MakeRaster, tmp_path: Path) -> None:
    scene = make_raster(image(), "a.tif")
    path = tmp_path / "empty.gpkg"
    gpd.GeoDataFrame({"kind": []}, geometry=[], crs="EPSG:32633").to_file(path, geometry_type="Polygon")
    with pytest.raises(OptionError, match="has no polygon among its 0 features: give polygons"):
        prepare(scenes=scene, labels=path)


def test_a_layer_without_a_crs_is_refused(make_raster: MakeRaster, tmp_path: Path) -> None:
    scene, path = make_raster(image(), "a.tif"), tmp_path / "plain.gpkg"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # GeoPandas' own about the missing CRS
        gpd.GeoDataFrame(geometry=[shapely.box(LEFT, TOP - 50, LEFT + 50, TOP)]).to_file(path)
    with pytest.raises(OptionError, match=r"need a CRS, or both none, and polygon layer '.*' has none"):
        prepare(scenes=scene, labels=path)


def test_scenes_and_polygons_of_mixed_crs(make_raster: MakeRaster, tmp_path: Path) -> None:
    first = make_raster(image(), "a.tif")
    left, bottom, right, top = transform_bounds("EPSG:32633", "EPSG:3857", LEFT, TOP - SIDE, LEFT + SIDE, TOP)
    transform = Affine((right - left) / SIDE, 0, left, 0, (bottom - top) / SIDE, top)
    second = make_raster(image(seed=1), "b.tif", crs="EPSG:3857", transform=transform)
    layer = boxes(tmp_path, *((x, 0, 8, 160) for x in range(0, 160, 16)), crs="EPSG:4326")
    data = prepare(scenes=[first, second], labels=layer, background="other")
    halves = np.array(data.class_pixels) / sum(data.class_pixels)
    assert halves == pytest.approx([0.5, 0.5], abs=0.1), "both scenes show the same stripes of the ground"
    draw_all(data)


def test_nodata_and_nan_in_scenes(make_raster: MakeRaster) -> None:
    array = image(dtype="float32")
    array[:, :20] = -9999
    array[1, 40:60, :] = np.nan
    array[0, 100, 100] = np.inf
    scene = make_raster(array, "a.tif", nodata=-9999)
    data = prepare(scenes=scene, labels=make_raster(stripes(1, 2), "labels.tif"))
    assert all(np.isfinite([band.mean, band.std]).all() for band in data.bands)
    assert 0 < data.bands[1].mean < 250
    draw_all(data)


def test_a_scene_without_any_valid_pixel(make_raster: MakeRaster) -> None:
    scene = make_raster(np.zeros((3, SIDE, SIDE), dtype=np.uint8), "a.tif", nodata=0)
    with pytest.raises(GeoDeepLabError, match="none of the 1 scenes has a labelled valid pixel"):
        prepare(scenes=scene, labels=make_raster(stripes(1, 2), "labels.tif"))


def test_values_of_no_class(make_raster: MakeRaster) -> None:
    scene, labels = make_raster(image(), "a.tif"), make_raster(stripes(1, 2, 9), "labels.tif")
    mapping = {1: "field", 2: "wood"}
    with pytest.raises(SceneError, match=r"labels have values without a class, first in '.*labels.tif': 9 in 8000 px;"):
        prepare(scenes=scene, labels=labels, class_mapping=mapping)
    data = prepare(scenes=scene, labels=labels, class_mapping=mapping, ignore_unknown=True)
    assert [one.name for one in data.classes] == ["field", "wood"]
    draw_all(data)
    told = prepare(scenes=scene, labels=labels, class_mapping={**mapping, 9: None})
    assert told.class_pixels == data.class_pixels


def write_folder(make_raster: MakeRaster, folder: Path, *labels: npt.NDArray[np.uint8], place: bool = True) -> Path:
    for name in ("images", "labels"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for number, one in enumerate(labels):
        options: dict[str, Any] = {} if place else {"crs": None, "transform": None}
        if place:
            options["transform"] = Affine(1, 0, LEFT + number * SIDE, 0, -1, TOP)
        relative = folder.name
        make_raster(image(seed=number), f"{relative}/images/{number}.tif", **options)
        make_raster(one, f"{relative}/labels/{number}.tif", **options)
    return folder


def test_a_fully_ignored_chip_in_a_folder(make_raster: MakeRaster, tmp_path: Path) -> None:
    folder = write_folder(make_raster, tmp_path / "chips", stripes(1, 2), stripes(0), stripes(2, 1))
    data = prepare(path=folder, class_mapping={1: "field", 2: "wood", 0: None})
    assert len(data.classes) == 2
    draw_all(data)


def test_a_folder_of_nothing_but_ignored_chips(make_raster: MakeRaster, tmp_path: Path) -> None:
    folder = write_folder(make_raster, tmp_path / "chips", stripes(0), stripes(0))
    with pytest.raises(GeoDeepLabError, match="none of the 2 scenes has a labelled valid pixel"):
        prepare(path=folder, class_mapping={1: "field", 2: "wood", 0: None})


def test_a_folder_of_one_image(make_raster: MakeRaster, tmp_path: Path) -> None:
    folder = write_folder(make_raster, tmp_path / "chips", stripes(1, 2))
    data = prepare(path=folder, class_mapping={1: "field", 2: "wood"})
    assert len(data.train) >= 1
    assert len(data.val) >= 1
    draw_all(data)


def test_a_folder_with_a_value_of_no_class(make_raster: MakeRaster, tmp_path: Path) -> None:
    folder = write_folder(make_raster, tmp_path / "chips", stripes(1, 2), stripes(1, 2, 7))
    mapping = {1: "field", 2: "wood"}
    with pytest.raises(SceneError, match=r"labels have values without a class, first in '.*1.tif': 7 in 8000 px;"):
        prepare(path=folder, class_mapping=mapping)
    opened = open_chip_folder(folder, class_mapping=mapping, ignore_unknown=True)
    data = prepare(path=opened)
    draw_all(data)
    assert prepare(path=folder, class_mapping=mapping, ignore_unknown=True).class_pixels == data.class_pixels
    for option in ({"background": "other"}, {"ignore_unknown": True}):
        with pytest.raises(OptionError, match="`background=`, `bands=` and `ignore_unknown=` to open_chip_folder"):
            prepare(path=opened, **option)


def test_a_folder_and_a_raster_refuse_in_the_same_words(make_raster: MakeRaster, tmp_path: Path) -> None:
    labels = stripes(1, 2, 7)
    folder = write_folder(make_raster, tmp_path / "chips", labels)
    scene, raster = make_raster(image(), "a.tif"), make_raster(labels, "labels.tif")
    found = []
    for place in ({"path": folder}, {"scenes": scene, "labels": raster}):
        with pytest.raises(SceneError) as refusal:
            prepare(**place, class_mapping={1: "field", 2: "wood"})
        found.append(re.sub("'/.*?'", "FILE", str(refusal.value)))
    assert found[0] == found[1]
    assert found[0] == (
        "labels have values without a class, first in FILE: 7 in 8000 px; the classes are 'field', 'wood': name the "
        "values in `class_mapping=` (None: ignored) or `classes=`, or ignore all of them (`ignore_unknown=True`)"
    )


def test_chips_without_a_place_are_warned_of(make_raster: MakeRaster, tmp_path: Path) -> None:
    folder = write_folder(make_raster, tmp_path / "chips", stripes(1, 2), stripes(2, 1), place=False)
    with pytest.warns(GeoDeepLabWarning, match="2 of 2 scenes have no CRS"):
        data = prepare(path=folder, class_mapping={1: "field", 2: "wood"})
    draw_all(data)


def test_the_same_seed_gives_the_same_chips(make_raster: MakeRaster, tmp_path: Path) -> None:
    folder = write_folder(make_raster, tmp_path / "chips", stripes(1, 2), stripes(2, 1))
    mapping = {1: "field", 2: "wood"}
    first, again, other = (prepare(path=folder, class_mapping=mapping, seed=seed) for seed in (3, 3, 4))
    same = [(a.pixels == b.pixels).all() and (a.labels == b.labels).all()
            for a, b in zip(draw_all(first), draw_all(again), strict=True)]  # fmt: skip
    assert all(same)
    assert any((a.pixels != b.pixels).any() for a, b in zip(draw_all(first), draw_all(other), strict=False))
