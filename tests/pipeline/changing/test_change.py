"""What changed between two maps."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import rasterio
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from rasterio.windows import Window

import geodeeplab as gdl
from geodeeplab.errors import GeoDeepLabError, OptionError, OutputError
from geodeeplab.pipeline.changing import transitions
from geodeeplab.pipeline.changing.transitions import iter_bands
from geodeeplab.raster import Grid, LabelClass
from tests.examples import examples
from tests.maps.web.test_map import content_of
from tests.pipeline.changing.conftest import CLASSES, TO, Labels, fields

MakeRaster = Callable[..., Path]


def test_polygons_and_matrix(write: Callable[..., Path], tmp_path: Path) -> None:
    before, after = fields()
    found = gdl.change(write(before, "a.tif"), write(after, "b.tif"), tmp_path / "c.gpkg", json=tmp_path / "c.json")
    layer = gpd.read_file(tmp_path / "c.gpkg", layer="landcover")
    assert sorted(zip(layer.from_class, layer.to_class, layer.area, strict=True)) == [
        ("field", "roof", 100.0),
        ("field", "wood", 240.0),
    ]
    assert set(layer.class_name) == {"field → roof", "field → wood"}
    assert found.counts.tolist() == [[2400 - 800 - 342, 240, 100], [0, 800, 0], [0, 0, 0]]
    assert found.changed == pytest.approx(340 / 2398)
    assert found.pixel_m2 == pytest.approx(1, rel=1e-3)
    assert json.loads((tmp_path / "c.json").read_text())["pixels"] == found.counts.tolist()
    head, *rows = found.table().splitlines()
    assert head.split() == ["from", "\\", "to", "field", "wood", "roof", "before"]
    assert "changed: 14.18%; 2 polygons" in rows


@pytest.mark.parametrize(("shift_px", "left"), [(0, 240), (2, 240), (6, 0), (7, 0)])
def test_an_edge_that_shifted_is_no_change(
    write: Callable[..., Path], tmp_path: Path, shift_px: float, left: int
) -> None:
    before, after = fields()
    found = gdl.change(write(before, "a.tif"), write(after, "b.tif"), tmp_path / "c.gpkg", shift_px=shift_px)
    assert found.counts[0, 1] == left
    assert found.counts[0, 2] == 100  # the house is new, not shifted
    assert found.shifted[0, 1] == 240 - left


class Windows:
    """Class indices in memory."""

    def __init__(self, indices: Labels) -> None:
        height, width = indices.shape
        self.grid = Grid(shape=(height, width), transform=TO, crs=None)
        self._indices = indices

    def read(self, window: Window) -> Labels:
        rows, cols = window.toslices()
        found: Labels = self._indices[rows, cols].copy()
        return found


@settings(max_examples=examples(15), deadline=None)
@given(seed=st.integers(0, 1000), rows=st.integers(1, 30), shift_px=st.sampled_from([0.0, 1.0, 1.5, 3.0]))
def test_bands_do_not_show(seed: int, rows: int, shift_px: float) -> None:
    random = np.random.default_rng(seed)
    one, other = (np.kron(random.integers(0, 3, (6, 5)), np.ones((4, 4))).astype(np.uint8) for _ in range(2))
    other[random.random(other.shape) < 0.1] = 255

    def shifted(height: int) -> NDArray[np.bool_]:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(transitions, "BAND_ROWS", height)
            bands = [*iter_bands(Windows(one), Windows(other), shift_px=shift_px, aoi=None)]
        return np.concatenate([band.is_shifted for band in bands])

    whole = shifted(100)
    np.testing.assert_array_equal(shifted(rows), whole)
    for row, col in np.argwhere((one != other) & (other != 255)).tolist():
        i, j = np.ogrid[: one.shape[0], : one.shape[1]]
        near = np.hypot(i - row, j - col) <= shift_px
        masked = np.where(other == 255, 255, one)
        expected = (masked[near] == other[row, col]).any() and (other[near] == one[row, col]).any()
        assert whole[row, col] == expected


def test_another_grid_and_other_classes(write: Callable[..., Path], tmp_path: Path) -> None:
    before, after = fields()
    fine = np.repeat(np.repeat(after, 2, axis=0), 2, axis=1)
    recoded = np.array([0, 7, 9, 8], dtype=np.uint8)[fine]
    names = [LabelClass(id=i, name=name, color=(i, 0, 0)) for i, name in ((7, "Field"), (8, "house"), (9, "forest"))]
    later = write(recoded, "b.tif", names, TO @ Affine.scale(0.5))
    found = gdl.change(write(before, "a.tif"), later, tmp_path / "c.gpkg", classes={"forest": "wood"})
    assert [one.name for one in found.classes] == ["field", "wood", "roof", "house"]
    assert found.counts[0].tolist() == [2400 - 800 - 342, 240, 0, 100]


def test_small_changes_merge_into_what_is_around(write: Callable[..., Path], tmp_path: Path) -> None:
    before, after = fields()
    after[30, 10] = 3
    options = gdl.PolygonOptions(min_area_px=5)
    found = gdl.change(write(before, "a.tif"), write(after, "b.tif"), tmp_path / "c.gpkg", options)
    assert found.polygons == 2
    assert found.counts[0, 2] == 101  # the matrix is that of all pixels


def test_the_lesser_confidence(write: Callable[..., Path], make_raster: MakeRaster, tmp_path: Path) -> None:
    before, after = fields()
    sure = make_raster(np.full((1, 40, 60), 90, np.uint8), "sa.tif", nodata=255, transform=TO)
    unsure = np.full((1, 40, 60), 70, np.uint8)
    unsure[:, 5:15, 5:10] = 95
    other = make_raster(unsure, "sb.tif", nodata=255, transform=TO)
    gdl.change(write(before, "a.tif"), write(after, "b.tif"), tmp_path / "c.gpkg", confidence=(sure, other))
    layer = gpd.read_file(tmp_path / "c.gpkg", layer="landcover").set_index("to_class")
    assert layer.confidence["roof"] == pytest.approx(80)
    assert layer.confidence_min["roof"] == 70


def test_two_scenes_with_one_model(
    make_raster: MakeRaster, blocks: Callable[..., NDArray[np.uint8]], tiny_model: Path, tmp_path: Path
) -> None:
    scene = make_raster(blocks(60, 80), "s.tif", photometric="rgb")
    found = gdl.change(scene, scene, tmp_path / "c.gpkg", model=tiny_model, html=tmp_path / "c.html")
    assert found.changed == 0
    assert found.counts.sum() == 4800
    assert found.polygons == 0
    assert not any(one["isSharp"] for one in content_of((tmp_path / "c.html").read_text())["pictures"])  # the scenes


def test_bands_of_scenes_whose_bands_have_no_names(
    make_raster: MakeRaster, blocks: Callable[..., NDArray[np.uint8]], tiny_model: Path, tmp_path: Path
) -> None:
    image = blocks(60, 80)
    named = make_raster(image, "named.tif", photometric="rgb")
    nameless = make_raster(np.concatenate([image[::-1], image[:1]]), "nameless.tif", photometric="minisblack")
    with pytest.raises(GeoDeepLabError, match="pass `bands=`"):
        gdl.change(nameless, nameless, tmp_path / "c.gpkg", model=tiny_model)
    gdl.change(
        nameless, nameless, tmp_path / "c.gpkg", model=tiny_model, bands=[3, 2, 1], label_raster=tmp_path / "c.tif"
    )
    gdl.change(named, named, tmp_path / "d.gpkg", model=tiny_model, label_raster=tmp_path / "d.tif")
    with rasterio.open(tmp_path / "c.tif") as one, rasterio.open(tmp_path / "d.tif") as other:
        np.testing.assert_array_equal(one.read(), other.read())


def test_a_page_with_both_dates(write: Callable[..., Path], tmp_path: Path) -> None:
    before, after = fields()
    page = tmp_path / "c.html"
    found = gdl.change(write(before, "a.tif"), write(after, "b.tif"), tmp_path / "c.gpkg", html=page)
    content = content_of(page.read_text())
    assert content["title"] == "a.tif → b.tif"
    assert content["dates"] == ["Before: a.tif", "After: b.tif"]
    assert content["vectors"][0]["counts"][0] == found.polygons == 2
    assert [one["name"] for one in content["legend"]] == ["field", "wood", "roof", "field → wood", "field → roof"]
    assert [one["color"] for one in content["vectors"][0]["classes"]] == ["#020000", "#030000"]  # what it became
    assert found.explore().to_html() == page.read_text()
    same = tmp_path / "same.html"
    gdl.change(tmp_path / "a.tif", tmp_path / "a.tif", tmp_path / "d.gpkg", html=same)
    assert content_of(same.read_text())["notes"] == ["There are no polygons: nothing changed."]


def test_a_page_with_numbers_that_have_no_names(make_raster: MakeRaster, tmp_path: Path) -> None:
    before, after = fields()
    a, b = (make_raster(one[None], f"{name}.tif", nodata=0) for one, name in ((before, "a"), (after, "b")))
    gdl.change(a, b, tmp_path / "c.gpkg", html=tmp_path / "c.html")
    assert all(one["isSharp"] for one in content_of((tmp_path / "c.html").read_text())["pictures"])


def test_geojson_has_the_columns(write: Callable[..., Path], tmp_path: Path) -> None:
    before, after = fields()
    options = gdl.PolygonOptions(out_crs="OGC:CRS84")
    gdl.change(write(before, "a.tif"), write(after, "b.tif"), tmp_path / "c.geojson", options)
    layer = gpd.read_file(tmp_path / "c.geojson")
    assert set(zip(layer.class_name, layer.from_class, layer.to_class, strict=True)) == {
        ("field → roof", "field", "roof"),
        ("field → wood", "field", "wood"),
    }


def test_refusals(write: Callable[..., Path], tmp_path: Path) -> None:
    before, after = fields()
    a, b = write(before, "a.tif"), write(after, "b.tif")
    elsewhere = write(after, "e.tif", CLASSES, TO @ Affine.translation(1000, 0))
    strange = [LabelClass(id=1, name="x", color=(1, 1, 1)), LabelClass(id=2, name="y", color=(2, 2, 2))]
    cases: tuple[tuple[Path, dict[str, Any], str], ...] = (
        (elsewhere, {}, "no pixel has a class in both"),
        (write(np.minimum(after, 2), "n.tif", strange), {}, "no class in common"),
        (tmp_path / "x.gpkg", {}, "is a layer"),
        (b, {"shift_px": -1}, "`shift_px=` is a distance"),
        (b, {"classes": {"wood": "lake"}}, "no class 'lake'"),
        (b, {"bands": [1, 2, 3]}, "give a model"),
        (b, {"label_raster": tmp_path / "c.tif", "sieve_labels": True}, "`sieve_labels=` applies the minimum area"),
    )
    for later, options, match in cases:
        with pytest.raises(OptionError, match=match):
            gdl.change(a, later, tmp_path / "c.gpkg", **options)
    assert not list(tmp_path.glob("c.*"))
    (tmp_path / "c.gpkg").write_text("taken")
    with pytest.raises(OutputError, match="exists"):
        gdl.change(a, b, tmp_path / "c.gpkg")
