import base64
import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import shapely
from PIL import Image
from rasterio.crs import CRS

from geodeeplab.errors import OptionError, OutputError, SceneError
from geodeeplab.maps.web import Map, tell_kinds
from geodeeplab.raster import Grid, classes_tag
from geodeeplab.raster.polygons.features import describe_layer
from tests.maps.test_preview import CLASSES, make_labels

MakeRaster = Callable[..., Path]


def content_of(page: str) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="content">(.*?)</script>', page, re.DOTALL)
    assert found is not None
    return json.loads(found[1])  # type: ignore[no-any-return]


@pytest.fixture
def labels(scene: Path, tmp_path: Path) -> Path:
    with rasterio.open(scene) as src:
        grid = Grid(shape=src.shape, transform=src.transform, crs=src.crs)
    array = np.zeros((60, 80), dtype=np.uint8)
    array[:30] = 1
    array[30:, :20] = 2
    return make_labels(tmp_path / "labels.tif", array, grid)


def test_one_page_with_everything(scene: Path, labels: Path, two_squares: gpd.GeoDataFrame) -> None:
    content = content_of(Map(scene, labels=labels, polygons=two_squares).to_html())
    assert content["crs"] == "mercator"
    assert [one["kind"] for one in content["pictures"]] == ["scene", "labels"]
    assert [one["isOn"] for one in content["pictures"]] == [True, False]  # polygons stand for the labels
    assert content["vectors"][0]["counts"] == [2, 2, 10]
    areas = {one["name"]: one["area"] for one in content["legend"]}
    assert sorted(areas.values()) == pytest.approx([100, 400], rel=2e-3)
    assert not content["areasAreEstimates"]


def test_labels_alone_have_areas_of_their_pixels(labels: Path) -> None:
    content = content_of(Map(labels=labels).to_html())
    areas = {one["name"]: one["area"] for one in content["legend"]}
    assert areas == pytest.approx({"land": 2400, "water": 600}, rel=0.03)
    assert content["areasAreEstimates"]
    assert content["legend"][0]["color"] == "#c86400"


def test_without_a_crs_areas_are_pixels(plain_scene: Path) -> None:
    drawn = gpd.GeoDataFrame({"class_name": ["a"]}, geometry=[shapely.box(10, 20, 14, 25)])
    content = content_of(Map(plain_scene, polygons=drawn).to_html())
    assert (content["crs"], content["areaUnit"]) == ("pixels", "px")
    assert content["bounds"] == [0, -60, 80, 0]
    assert content["legend"][0]["area"] == 20


def test_nothing_in_the_page_is_asked_for(scene: Path, two_squares: gpd.GeoDataFrame) -> None:
    page = Map(scene, polygons=two_squares).to_html()
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page)
    assert policy is not None
    assert policy[1].startswith("default-src 'none'; script-src 'sha256-")
    assert "http" not in policy[1]
    assert not re.search(r"<(script|img|link|iframe)[^>]*\s(src|href)=", page)
    shown = Map(scene, basemap="osm").to_html()
    assert "https://tile.openstreetmap.org; connect-src 'none'" in shown


def test_names_are_no_markup(scene: Path, two_squares: gpd.GeoDataFrame) -> None:
    page = Map(scene, polygons=two_squares, title="<i>a & b</i></title>").to_html()
    assert "<img" not in page
    assert page.count("</script>") == page.count("<script")
    assert "<title>&lt;i&gt;a &amp; b" in page
    assert {one["name"] for one in content_of(page)["legend"]} == set(two_squares["class_name"])


def test_truth_may_be_either(scene: Path, labels: Path, two_squares: gpd.GeoDataFrame) -> None:
    by_raster = content_of(Map(scene, truth=labels).to_html())
    by_layer = content_of(Map(scene, truth=two_squares).to_html())
    assert [one["kind"] for one in by_raster["pictures"]] == ["scene", "truth"]
    assert by_layer["vectors"][0]["isOutline"]


def test_confidence_is_a_heat_map(scene: Path, make_raster: MakeRaster) -> None:
    sure = make_raster(np.full((1, 60, 80), 40, dtype=np.uint8), "sure.tif", nodata=255)
    content = content_of(Map(scene, confidence=sure).to_html())
    assert [(one["kind"], one["isOn"]) for one in content["pictures"]] == [("scene", True), ("confidence", False)]


def test_a_notebook_shows_it_in_a_frame(scene: Path, two_squares: gpd.GeoDataFrame) -> None:
    shown = Map(scene, polygons=two_squares)._repr_html_()
    assert shown.startswith('<iframe srcdoc="&lt;!DOCTYPE html&gt;')
    assert shown.count('"') == 10  # of the frame's attributes
    assert len(shown) < 5_000_000


def test_pictures_shrink_until_the_page_fits(make_raster: MakeRaster) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (3, 500, 500), dtype=np.uint8)
    scene = make_raster(noise, "noise.tif")
    assert len(Map(scene).to_html(max_bytes=500_000)) < 500_000


def test_saving_is_all_or_nothing(scene: Path, tmp_path: Path) -> None:
    path = Map(scene).save(tmp_path / "map.html")
    assert path.read_text().startswith("<!DOCTYPE html>")
    with pytest.raises(OutputError, match="exists"):
        Map(scene).save(path)
    with pytest.raises(OptionError, match=r"'\.png'"):
        Map(scene).save(tmp_path / "map.png")


def test_two_dates_lie_under_the_outlines_of_polygons(
    scene: Path, labels: Path, make_raster: MakeRaster, two_squares: gpd.GeoDataFrame
) -> None:
    later = make_raster(np.full((3, 60, 80), 30, dtype=np.uint8), "later.tif")
    content = content_of(Map(before=scene, after=later, polygons=two_squares).to_html())
    assert [(one["kind"], one["name"], one["isOn"], one["isSharp"]) for one in content["pictures"]] == [
        ("before", "Before: scene.tif", True, False),
        ("after", "After: later.tif", True, False),
    ]
    assert content["dates"] == ["Before: scene.tif", "After: later.tif"]
    assert content["vectors"][0]["isOutline"]
    assert [one["mean"] for one in map(shown_pixels, content["pictures"])] == pytest.approx([90, 30], abs=2)
    assert content_of(Map(scene, polygons=two_squares).to_html())["dates"] == []
    both = content_of(Map(before=labels, after=labels, polygons=two_squares).to_html())
    assert all(one["isSharp"] for one in both["pictures"])
    areas = {one["name"]: one["area"] for one in both["legend"]}
    assert {name: area is None for name, area in areas.items()} == {
        "land": True, "water": True, **dict.fromkeys(two_squares["class_name"], False),
    }  # fmt: skip


def shown_pixels(picture: dict[str, Any]) -> dict[str, float]:
    """Give the mean of the opaque pixels of a picture."""
    _, _, text = picture["src"].partition("base64,")
    image = np.asarray(Image.open(io.BytesIO(base64.b64decode(text))).convert("RGBA"))
    return {"mean": float(image[image[..., 3] == 255][:, :3].mean())}


def test_numbers_without_names_are_labels_if_it_is_said(scene: Path, make_raster: MakeRaster) -> None:
    plain = make_raster(np.full((1, 60, 80), 7, dtype=np.uint8), "seven.tif", nodata=0)
    told = content_of(Map(before=plain, after=plain).to_html())
    said = content_of(Map(before=plain, after=plain, are_labels=True).to_html())
    assert [one["isSharp"] for one in told["pictures"]] == [False, False]
    assert [one["name"] for one in said["legend"]] == ["7"]


def test_refusals_of_dates(scene: Path, two_squares: gpd.GeoDataFrame) -> None:
    with pytest.raises(OptionError, match="give both `before=` and `after=`"):
        Map(before=scene)
    with pytest.raises(OptionError, match="two dates alone"):
        Map(scene, before=scene, after=scene)
    nothing = Map(before=scene, after=scene, polygons=two_squares.iloc[:0])
    assert content_of(nothing.to_html())["notes"] == ["There are no polygons: nothing changed."]


def test_refusals(scene: Path, plain_scene: Path, two_squares: gpd.GeoDataFrame) -> None:
    with pytest.raises(OptionError, match="give at least one"):
        Map()
    with pytest.raises(OptionError, match="no basemap 'bing'"):
        Map(scene, basemap="bing")
    with pytest.raises(OptionError, match="have a name each"):
        Map(scene, draw=["a", "a "])
    with pytest.raises(OptionError, match="a basemap needs a place"):
        Map(plain_scene, basemap="osm").to_html()
    with pytest.raises(SceneError, match="the scene has none"):
        Map(plain_scene, polygons=two_squares).to_html()


@pytest.mark.parametrize("suffix", ["gpkg", "parquet", "fgb", "geojson"])
def test_any_vector_file(tmp_path: Path, two_squares: gpd.GeoDataFrame, suffix: str) -> None:
    path = tmp_path / f"two.{suffix}"
    if suffix == "parquet":
        two_squares.to_parquet(path)
    else:
        (two_squares if suffix != "geojson" else two_squares.to_crs(4326)).to_file(path)
    content = content_of(Map(polygons=path).to_html())
    assert content["vectors"][0]["counts"][0] == 2
    assert sorted(one["area"] for one in content["legend"]) == pytest.approx([100, 400], rel=2e-3)


def test_files_are_told_by_what_is_in_them(scene: Path, labels: Path, tmp_path: Path, make_raster: MakeRaster) -> None:
    sure = make_raster(np.full((1, 60, 80), 40, np.uint8), "sure.tif", nodata=255)
    with rasterio.open(sure, "r+") as dst:
        dst.update_tags(**classes_tag(CLASSES))
    polygons = tmp_path / "p.gpkg"
    kinds = tell_kinds([sure, labels, polygons, scene])
    assert (kinds.scene, kinds.labels, kinds.confidence, kinds.polygons) == tuple(
        map(str, (scene, labels, sure, polygons))
    )
    with pytest.raises(OptionError, match="both look like a scene"):
        tell_kinds([scene, scene])


def test_geojson_of_no_crs(tmp_path: Path) -> None:
    feature = {"type": "Feature", "properties": {"crs": None}, "geometry": None}
    collection: dict[str, Any] = {"type": "FeatureCollection", "crs": None, "features": [feature]}
    path = tmp_path / "drawn.geojson"
    path.write_text(json.dumps(collection))
    assert describe_layer(path) == (["crs"], None)
    del collection["crs"]
    path.write_text(json.dumps(collection))
    assert describe_layer(path)[1] == CRS.from_epsg(4326)


def test_classes_have_colours_of_their_own(scene: Path) -> None:
    content = content_of(Map(scene, draw=["water", "road"]).to_html())
    colors = [one["color"] for one in content["draw"]["classes"]]
    assert len(set(colors)) == 2
    assert content["draw"]["fileName"] == "scene-polygons.geojson"


def test_no_suggestions_are_no_error(scene: Path, tmp_path: Path) -> None:
    path = tmp_path / "next.geojson"
    path.write_text('{"type": "FeatureCollection", "features": []}')
    content = content_of(Map(scene, draw=["water"], suggestions=path).to_html())
    assert content["vectors"] == []
    assert content["notes"] == ["There are no suggestions where to draw."]
