import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.windows import Window

from geodeeplab.errors import SceneError
from geodeeplab.raster import Scene, open_scene
from geodeeplab.raster.sources.stac import is_stac, open_item, open_stac, read_stac, stac_parts
from tests.raster.conftest import Served

MakeRaster = Callable[..., Path]
Json = dict[str, Any]


def item(assets: Json, *, properties: Json | None = None, links: list[Json] | None = None, name: str = "one") -> Json:
    return {
        "type": "Feature",
        "stac_version": "1.0.0",
        "id": name,
        "geometry": None,
        "properties": {"datetime": "2024-06-01T00:00:00Z"} | (properties or {}),
        "links": links or [],
        "assets": assets,
    }


def asset(href: str, common: str | None = None, name: str | None = None, more: Json | None = None) -> Json:
    band = {key: value for key, value in (("common_name", common), ("name", name)) if value}
    return {"href": href, "type": "image/tiff; application=geotiff", "roles": ["data"], "eo:bands": [band]} | (
        more or {}
    )


SENTINEL = {"nodata": 0, "scale": 0.0001, "offset": -0.1}


@pytest.fixture
def folder(make_raster: MakeRaster, tmp_path: Path) -> Path:
    """A Sentinel-2 item as catalogues have it, with small rasters."""
    values = np.arange(36, dtype="uint16").reshape(1, 6, 6)
    fine, coarse = Affine(10, 0, 500_000, 0, -10, 5_000_000), Affine(20, 0, 500_000, 0, -20, 5_000_000)
    for number, name in enumerate(("B02", "B03", "B04"), start=1):
        make_raster(values + 1000 * number, f"{name}.tif", transform=fine)
    make_raster(values[:, :3, :3] + 5000, "B11.tif", transform=coarse, nodata=7)
    make_raster(np.zeros((3, 6, 6), dtype=np.uint8), "TCI.tif", transform=fine)
    picture = [{"name": "B04", "common_name": "red"}, {"name": "B03", "common_name": "green"}]
    assets = {
        "visual": {"href": "./TCI.tif", "type": "image/tiff", "roles": ["data"], "eo:bands": [*picture, {}]},
        "blue": asset("./B02.tif", "blue", "B02", {"raster:bands": [SENTINEL]}),
        "green": asset("B03.tif", "green", "B03", {"raster:bands": [SENTINEL]}),
        "red": asset("B04.tif", "red", "B04", {"raster:bands": [SENTINEL]}),
        "red-jp2": asset("gone.jp2", "red", "B04", {"raster:bands": [SENTINEL], "type": "image/jp2"}),
        "swir16": asset("B11.tif", "swir16", "B11"),
        "thumbnail": {"href": "gone.jpg", "type": "image/jpeg", "roles": ["thumbnail"]},
        "metadata": {"href": "gone.xml", "type": "application/xml", "roles": ["metadata"]},
    }
    (tmp_path / "item.json").write_text(json.dumps(item(assets)))
    return tmp_path


def values(source: Any, numbers: list[int]) -> list[int]:  # noqa: ANN401
    return source.read(Window(0, 0, 1, 1), numbers).array[:, 0, 0].tolist()  # type: ignore[no-any-return]


def test_assets_by_common_name(folder: Path) -> None:
    stack = open_stac(folder / "item.json", bands=["red", "GREEN", "blue", "swir16"])
    assert [(band.number, band.name) for band in stack.bands] == [(1, "red"), (2, "GREEN"), (3, "blue"), (4, "swir16")]
    assert values(stack, [1, 2, 3, 4]) == [3000, 2000, 1000, 5000]
    assert {(band.scale, band.offset, band.nodata) for band in stack.bands[:3]} == {(0.0001, -0.1, 0)}
    assert stack.bands[0].offset / stack.bands[0].scale == pytest.approx(-1000)
    assert (stack.bands[3].scale, stack.bands[3].offset, stack.bands[3].nodata) == (1, 0, 7)
    assert stack.files == tuple(str(folder / f"{name}.tif") for name in ("B04", "B03", "B02", "B11"))
    assert stack.path == str(folder / "item.json")
    with Scene(stack, bands=["red", "GREEN"]) as scene:
        assert [band.name for band in scene.bands] == ["red", "GREEN"]


def test_assets_by_band_name_and_key(folder: Path) -> None:
    stack = open_stac(str(folder / "item.json"), bands=["b03", "swir16", "B11"])
    assert [band.name for band in stack.bands] == ["b03", "swir16", "B11"]
    assert values(stack, [1, 2, 3]) == [2000, 5000, 5000]
    stack.close()


def test_only_needed_assets_are_opened(folder: Path) -> None:
    for name in ("B02", "B11", "TCI"):
        (folder / f"{name}.tif").unlink()
    open_stac(folder / "item.json", bands=["red", "green"]).close()
    with pytest.raises(SceneError, match=r"B02\.tif' does not exist"):
        open_stac(folder / "item.json", bands=["red", "blue"])


def test_all_data_bands_without_a_wish(folder: Path) -> None:
    content = json.loads((folder / "item.json").read_text())
    del content["assets"]["red-jp2"]
    (folder / "item.json").write_text(json.dumps(content))
    for bands in (None, [3, "blue"]):
        stack = open_stac(folder / "item.json", bands=bands)  # type: ignore[arg-type]
        assert [band.name for band in stack.bands] == ["blue", "green", "red", "swir16"]
        stack.close()


def test_what_is_not_there_is_refused_with_a_list(folder: Path) -> None:
    message = (
        r"no band 'nir', its assets are visual \(red, green\), blue \(blue\), .*red-jp2 \(red\), swir16 \(swir16\)"
    )
    with pytest.raises(SceneError, match=message):
        open_stac(folder / "item.json", bands=["red", "nir"])


def test_what_is_there_twice_is_refused(folder: Path) -> None:
    content = json.loads((folder / "item.json").read_text())
    content["assets"] = {"a": asset("B04.tif", "red", "one"), "b": asset("B03.tif", "red", "two")}
    (folder / "item.json").write_text(json.dumps(content))
    with pytest.raises(SceneError, match=r"more than one band 'red': name the asset among a \(one\), b \(two\)"):
        open_stac(folder / "item.json", bands=["red"])
    stack = open_stac(folder / "item.json", bands=["two", "a"])
    assert values(stack, [1, 2]) == [2000, 3000]
    stack.close()
    stack = open_stac(folder / "item.json")
    assert [band.name for band in stack.bands] == ["one", "two"]
    stack.close()


def test_an_offset_that_is_in_the_pixels_already(folder: Path) -> None:
    content = json.loads((folder / "item.json").read_text())
    content["properties"]["earthsearch:boa_offset_applied"] = True
    stack = open_stac(content | {"links": [{"rel": "self", "href": str(folder / "item.json")}]}, bands=["red"])
    assert (stack.bands[0].scale, stack.bands[0].offset) == (0.0001, 0)
    assert stack.path == "one"
    stack.close()


def test_stac_1_1(folder: Path) -> None:
    bands = [{"name": "B04", "eo:common_name": "red", "nodata": "nan", "raster:scale": 2}]
    assets = {
        "a": {"href": "B04.tif", "type": "image/tiff", "roles": ["data"], "bands": bands, "raster:offset": 3},
        "b": {"href": "B03.tif", "type": "image/tiff", "roles": ["data"], "eo:common_name": "nir", "nodata": 5},
    }
    (folder / "new.json").write_text(json.dumps(item(assets, properties={"raster:scale": 7})))
    stack = open_stac(folder / "new.json", bands=["nir", "red"])
    assert [(band.scale, band.offset) for band in stack.bands] == [(7, 0), (2, 3)]
    assert stack.bands[0].nodata == 5
    assert stack.bands[1].nodata is not None
    assert math.isnan(stack.bands[1].nodata)
    stack.close()


def test_bands_of_one_file_that_the_item_does_not_describe(make_raster: MakeRaster, tmp_path: Path) -> None:
    array = np.arange(8, dtype="uint8").reshape(4, 1, 2)
    colors = ("red", "green", "blue", "undefined")
    make_raster(array, "rgbn.tif", names=("Red", "Green", "Blue", "NIR"), colorinterp=colors)
    content = item(
        {"image": {"href": "rgbn.tif", "type": "image/tiff"}, "data": {"href": "x.json", "type": "text/json"}}
    )
    (tmp_path / "item.json").write_text(json.dumps(content))
    stack = open_stac(tmp_path / "item.json", bands=["nir", "red"])
    assert values(stack, [1, 2]) == [6, 0]
    stack.close()
    stack = open_stac(tmp_path / "item.json")
    assert [band.name for band in stack.bands] == ["Red", "Green", "Blue", "NIR"]
    stack.close()
    with pytest.raises(SceneError, match=r"asset 'image' of STAC item .* has 4 bands .*: name one"):
        open_stac(tmp_path / "item.json", bands=["image"])
    with pytest.raises(SceneError, match="has no band 'swir'"):
        open_stac(tmp_path / "item.json", bands=["swir"])


def test_bands_that_the_file_does_not_have(make_raster: MakeRaster, tmp_path: Path) -> None:
    make_raster(np.zeros((1, 2, 2), dtype=np.uint8), "a.tif")
    content = item({"a": {"href": "a.tif", "type": "image/tiff", "eo:bands": [{"name": "x"}, {"name": "y"}]}})
    (tmp_path / "item.json").write_text(json.dumps(content))
    with pytest.raises(SceneError, match=r"says that asset 'a' has 2 bands, '.*a\.tif' has 1"):
        open_stac(tmp_path / "item.json", bands=["x"])


def test_a_collection_is_a_list_of_parts(folder: Path) -> None:
    content = json.loads((folder / "item.json").read_text())
    collection = {"type": "FeatureCollection", "features": [content, content | {"id": "two"}]}
    (folder / "items.geojson").write_text(json.dumps(collection))
    items = read_stac(folder / "items.geojson")
    assert [one.path for one in items] == [f"{folder / 'items.geojson'}#{name}" for name in ("one", "two")]
    stack = open_item(items[1], bands=["red"])
    assert values(stack, [1]) == [3000]
    stack.close()
    parts = stac_parts(folder / "items.geojson", bands=["red"])
    assert [part.path for part in parts] == [one.path for one in items]
    assert parts[0].grid.shape == (6, 6)
    with pytest.raises(SceneError, match="one of 2 STAC items"):
        open_stac(folder / "items.geojson")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is no JSON"),
        ("[1]", "is no STAC item and no collection of items"),
        ('{"type": "Collection"}', r"no STAC item and no collection of items \(type 'Collection'\)"),
        ('{"type": "FeatureCollection", "features": []}', "of at least one"),
        ('{"type": "Feature"}', "has no assets"),
        (json.dumps({"type": "FeatureCollection", "features": [item({})], "links": [{"rel": "next"}]}), "one page of"),
        (json.dumps(item({})), "has no asset with data, only none"),
        (json.dumps(item({"a": {"type": "image/tiff"}})), "asset 'a' of STAC item .* has no href"),
        (
            json.dumps(item({"a": asset("a.tif", "red", None, {"raster:bands": [{"scale": "x"}]})})),
            "states 'x' where a number",
        ),
        (
            json.dumps(item({"a": asset("a.tif", "red", None, {"raster:bands": [{}, {}]})})),
            "1 eo:bands but 2 raster:bands",
        ),
    ],
)
def test_what_is_no_item(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "item.json"
    path.write_text(content)
    with pytest.raises(SceneError, match=message):
        open_stac(path)


def test_a_missing_item_and_a_relative_asset_of_nowhere(tmp_path: Path) -> None:
    with pytest.raises(SceneError, match=r"gone\.json' cannot be read"):
        open_stac(tmp_path / "gone.json")
    with pytest.raises(SceneError, match=r"relative href 'a\.tif' and no file that it is relative to"):
        open_stac(item({"a": asset("a.tif", "red")}))
    with pytest.raises(SceneError, match=r"from disk or by http\(s\) only"):
        open_stac("s3://bucket/item.json")


def test_is_stac() -> None:
    assert is_stac("a/item.JSON")
    assert is_stac(Path("items.geojson"))
    assert is_stac("https://host/item.json?token=1")
    assert not is_stac("https://host/item.tif?a=.json")
    assert not is_stac("scene.tif")


def test_an_item_and_its_assets_over_http(served: Served, folder: Path) -> None:
    stack = open_stac(f"{served.url}/item.json", bands=["red", "swir16"])
    assert values(stack, [1, 2]) == [3000, 5000]
    assert stack.files == (f"{served.url}/B04.tif", f"{served.url}/B11.tif")
    stack.close()
    assert {path for _, path, status, _ in served.log() if status < 300} == {"/item.json", "/B04.tif", "/B11.tif"}
    with pytest.raises(SceneError, match=r"gone\.json' cannot be read .*404"):
        open_stac(f"{served.url}/gone.json?sig=secret")


def test_a_real_sentinel_2_file_as_an_item(shared_data: Path, tmp_path: Path) -> None:
    path = shared_data / "scenes" / "ftw-baselines" / "inference-img.tif"
    names = ["red", "green", "blue", "nir"] * 2
    bands = [{"name": f"w{n}", "common_name": name} for n, name in enumerate(names)]
    content = item(
        {"image": asset(str(path), more={"eo:bands": bands, "raster:bands": [SENTINEL | {"nodata": 0}] * 8})}
    )
    (tmp_path / "item.json").write_text(json.dumps(content))
    stack = open_stac(tmp_path / "item.json", bands=["w3", "w4"])
    window = Window(77, 33, 120, 140)
    with rasterio.open(path) as src:
        assert np.array_equal(stack.read(window, [1, 2]).array, src.read([4, 5], window=window))
    assert [(band.scale, band.offset, band.nodata) for band in stack.bands] == [(0.0001, -0.1, 0)] * 2
    stack.close()
    with pytest.raises(SceneError, match="more than one band 'red'"):
        open_stac(tmp_path / "item.json", bands=["red"])


def test_several_items_and_files_are_one_mosaic(make_raster: MakeRaster, tmp_path: Path) -> None:
    arrays = np.random.default_rng(0).integers(1, 99, (3, 1, 4, 5), dtype=np.uint16)
    names = []
    for number, array in enumerate(arrays):
        place = Affine(1, 0, 500_000 + 5 * number, 0, -1, 5_000_000)
        make_raster(array, f"{number}.tif", transform=place, names=("red",))
        one = item({"red": asset(f"{number}.tif", "red")}, name=f"i{number}")
        (tmp_path / f"{number}.json").write_text(json.dumps(one))
        names.append(str(tmp_path / f"{number}.json"))
    names[1] = str(tmp_path / "1.tif")
    with open_scene(names, bands=["red"]) as scene:
        assert scene.shape == (4, 15)
        assert np.array_equal(scene.read(Window(0, 0, 15, 4)).array, np.concatenate(arrays, axis=2))


def test_a_band_that_the_item_names_is_no_alpha(make_raster: MakeRaster, tmp_path: Path) -> None:
    array = np.zeros((4, 4, 5), dtype=np.uint8)
    array[:3] = 7
    make_raster(array, "naip.tif", colorinterp=("red", "green", "blue", "alpha"))
    names = ("red", "green", "blue", "nir")
    image = asset("naip.tif") | {"eo:bands": [{"name": name.upper(), "common_name": name} for name in names]}
    (tmp_path / "naip.json").write_text(json.dumps(item({"image": image})))
    with open_scene(tmp_path / "naip.json") as scene:
        assert [band.name for band in scene.bands] == list(names)
        assert scene.select(["red"]).read(Window(0, 0, 5, 4)).valid.all()


@pytest.mark.parametrize("href", ["a\0.tif", "\ud800.tif", "https://example.com/\0.tif"])
def test_an_href_that_no_file_can_have(tmp_path: Path, href: str) -> None:
    path = tmp_path / "item.json"
    path.write_text(json.dumps(item({"B04": asset(href, "red")})))
    with pytest.raises(SceneError, match=r"^the name '[^\n]+$"):
        open_scene(path)


def test_a_number_beyond_floats(tmp_path: Path) -> None:
    described = asset("a.tif", "red", more={"raster:bands": [{"offset": -(10**400)}]})
    (tmp_path / "item.json").write_text(json.dumps(item({"B04": described})))
    assert read_stac(tmp_path / "item.json")[0].bands[0].offset == -math.inf
