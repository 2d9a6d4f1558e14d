"""What a mask hides is invalid: on any grid, in any window, in mosaics and STAC items."""

import json
import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import rasterio
import xarray as xr
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from rasterio.enums import Resampling
from rasterio.vrt import WarpedVRT
from rasterio.windows import Window

from geodeeplab.errors import GeoDeepLabWarning, OptionError, SceneError
from geodeeplab.raster import MaskLike, Scene, SceneLike, open_array, open_scene, with_mask
from tests.raster.conftest import Served

MakeRaster = Callable[..., Path]
FINE, COARSE = Affine(10, 0, 500_000, 0, -10, 5_000_000), Affine(20, 0, 500_000, 0, -20, 5_000_000)


def valid(scene: SceneLike, mask: MaskLike | None, **options: Any) -> npt.NDArray[np.bool_]:  # noqa: ANN401
    with open_scene(scene, mask=mask, **options) as opened:
        return whole(opened)


def whole(scene: Scene) -> npt.NDArray[np.bool_]:
    return scene.read(Window(0, 0, scene.grid.width, scene.grid.height)).valid


@pytest.fixture
def scene(make_raster: MakeRaster) -> Path:
    """Two bands of 40 x 60 pixels of 10 m, all of them valid."""
    return make_raster(np.full((2, 40, 60), 100, np.uint8), "scene.tif", transform=FINE)


def codes(height: int, width: int, seed: int = 0) -> npt.NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 12, (1, height, width), dtype=np.uint8)


def test_same_grid_and_half_the_resolution(make_raster: MakeRaster, scene: Path) -> None:
    classes = codes(40, 60)
    same = make_raster(classes, "same.tif", transform=FINE)
    assert np.array_equal(valid(scene, f"{same}:3,8"), ~np.isin(classes[0], [3, 8]))
    assert np.array_equal(valid(scene, same), classes[0] == 0)
    classes = codes(20, 30)
    half = make_raster(classes, "half.tif", transform=COARSE)
    doubled = classes[0].repeat(2, axis=0).repeat(2, axis=1)
    assert np.array_equal(valid(scene, f"{half}:3,8,9,10"), ~np.isin(doubled, [3, 8, 9, 10]))
    both = [f"{half}:3", f"{same}:0"]
    with rasterio.open(same) as src:
        assert np.array_equal(valid(scene, both), (doubled != 3) & (src.read(1) != 0))


def test_other_crs_as_gdal_has_it(make_raster: MakeRaster, scene: Path) -> None:
    """A pixel takes what lies at its centre."""
    left, top = 14.998, 45.156
    mask = make_raster(codes(60, 90), "other.tif", crs="EPSG:4326", transform=Affine(2e-4, 0, left, 0, -2e-4, top))
    with rasterio.open(scene) as src, rasterio.open(mask) as other:
        options = {"crs": src.crs, "transform": src.transform, "width": src.width, "height": src.height}
        with WarpedVRT(other, resampling=Resampling.nearest, **options) as vrt:
            expected = vrt.read(1)
    found = valid(scene, f"{mask}:1,2,3")
    assert np.mean(found == ~np.isin(expected, [1, 2, 3])) > 0.999
    assert 0.5 < found.mean() < 0.95


@given(st.integers(0, 39), st.integers(0, 59), st.integers(1, 40), st.integers(1, 60))
def test_windows_do_not_show(
    masked_scene: tuple[Scene, npt.NDArray[Any]], row: int, col: int, high: int, wide: int
) -> None:
    """Law: what is hidden does not depend on the window."""
    opened, expected = masked_scene
    window = Window(col, row, min(wide, 60 - col), min(high, 40 - row))
    rows, cols = window.toslices()
    assert np.array_equal(opened.read(window).valid, expected[rows, cols])


@pytest.fixture(scope="module")
def masked_scene(tmp_path_factory: pytest.TempPathFactory) -> Any:  # noqa: ANN401
    folder = tmp_path_factory.mktemp("masked")
    turned = Affine.translation(499_990, 5_000_100) @ Affine.rotation(20) @ Affine.scale(17, -23)
    for name, array, transform in (
        ("scene.tif", np.full((2, 40, 60), 9, np.uint8), FINE),
        ("mask.tif", codes(60, 80), turned),
    ):
        profile = {"driver": "GTiff", "crs": "EPSG:32633", "transform": transform, "dtype": "uint8"}
        shape = dict(zip(("count", "height", "width"), array.shape, strict=True))
        with rasterio.open(folder / name, "w", **profile, **shape) as dst:
            dst.write(array)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", GeoDeepLabWarning)
        opened = open_scene(folder / "scene.tif", mask=f"{folder / 'mask.tif'}:1,2,3")
    with opened:
        yield opened, whole(opened)


def test_nodata_of_the_mask_and_what_it_does_not_reach(make_raster: MakeRaster, scene: Path) -> None:
    """Both hide nothing; a value that is named does, nodata or not."""
    half = np.zeros((1, 40, 30), np.uint8)
    half[0, :10], half[0, 10:20] = 255, 1
    mask = make_raster(half, "mask.tif", transform=FINE, nodata=255)
    with pytest.warns(GeoDeepLabWarning, match=r"mask '.*mask.tif' does not reach about 50 % of scene") as told:
        found = valid(scene, mask)
    assert len(told) == 1
    expected = np.ones((40, 60), bool)
    expected[10:20, :30] = False
    assert np.array_equal(found, expected)
    expected[:10, :30] = False
    with pytest.warns(GeoDeepLabWarning, match="does not reach"):
        assert np.array_equal(valid(scene, f"{mask}:1,255"), expected)


def test_a_sliver_is_no_other_place(make_raster: MakeRaster) -> None:
    wide = make_raster(np.ones((1, 4, 5000), np.uint8), transform=FINE)
    sliver = make_raster(np.ones((1, 40, 1), np.uint8), "m.tif", transform=FINE @ Affine.translation(4999.9 / 2, 0))
    with pytest.warns(GeoDeepLabWarning, match="does not reach about 1e\\+02 %"):
        assert (~valid(wide, sliver)).sum() == 4


def test_its_own_band(make_raster: MakeRaster) -> None:
    array = np.stack([np.arange(6, dtype=np.uint16).reshape(2, 3)] * 2)
    scene = make_raster(array, names=("red", "QA"), nodata=0)
    with open_scene(scene, bands=["red"], mask="qa:bit0") as opened:
        assert whole(opened).tolist() == [[False, False, True], [False, True, False]]
    data = xr.Dataset(
        {"red": (("y", "x"), array[0]), "scl": (("y", "x"), array[1])}, {"x": [0.5, 1.5, 2.5], "y": [1.5, 0.5]}
    )
    with pytest.warns(GeoDeepLabWarning, match="no CRS"):
        assert valid(data, "scl:4,5", bands=["red"]).tolist() == [[True, True, True], [True, False, False]]


def test_arrays(scene: Path) -> None:
    hide = np.zeros((40, 60), bool)
    hide[3:5] = True
    assert np.array_equal(valid(scene, hide), ~hide)
    coords = {"y": 5_000_000 - 20 * np.arange(20) - 10.0, "x": 500_000 + 20 * np.arange(30) + 10.0}
    data = xr.DataArray(np.eye(20, 30, dtype=bool), dims=("y", "x"), coords=coords, attrs={"crs": "EPSG:32633"})
    assert np.array_equal(valid(scene, data), ~np.eye(20, 30, dtype=bool).repeat(2, 0).repeat(2, 1))
    with pytest.raises(SceneError, match="has the shape of the scene, 40 x 60, not 60 x 40"):
        open_scene(scene, mask=hide.T)


def test_an_open_scene_stays_open(scene: Path) -> None:
    hide = np.eye(40, 60, dtype=bool)
    with open_scene(scene) as opened:
        with with_mask(opened, hide) as hidden:
            assert np.array_equal(whole(hidden), ~hide)
            assert not hidden.is_all_valid
        assert whole(opened).all()
        with with_mask(opened, None) as same:
            assert same is opened


def test_dates_fill_each_other(make_raster: MakeRaster, tmp_path: Path) -> None:
    """Each file of a mosaic has a mask of its own by `{name}`, and what that hides is taken from the next."""
    clouds = np.zeros((2, 1, 4, 6), np.uint8)
    clouds[0, 0, :2], clouds[1, 0, 1:3] = 1, 1
    for number, name in enumerate(("may", "june")):
        make_raster(np.full((1, 4, 6), 10 * (number + 1), np.uint8), f"{name}.tif", transform=FINE)
        make_raster(clouds[number], f"{name}_clouds.tif", transform=FINE)
    dates = [tmp_path / "may.tif", tmp_path / "june.tif"]
    with open_scene(dates, mask="{folder}/{name}_clouds.tif") as opened:
        pixels = opened.read(Window(0, 0, 6, 4))
    assert pixels.array[0, :, 0].tolist() == [20, 0, 10, 10]
    assert pixels.valid[:, 0].tolist() == [True, False, True, True]
    assert set(map(str, tmp_path.glob("*.tif"))) == set(opened.source.files)
    one_for_all = valid(dates, tmp_path / "may_clouds.tif")
    assert one_for_all[:, 0].tolist() == [False, False, True, True]


@pytest.fixture
def items(make_raster: MakeRaster, tmp_path: Path) -> Path:
    """Two dates of a Sentinel-2 item with SCL at half resolution; the first is cloudy on the left."""
    classes = np.full((2, 1, 10, 15), 4, np.uint8)
    classes[0, 0, :, :5], classes[1, 0, :5] = 9, 3
    features = []
    for number, name in enumerate(("a", "b")):
        make_raster(np.full((1, 20, 30), 1000 * (number + 1), np.uint16), f"{name}_red.tif", transform=FINE, nodata=0)
        make_raster(classes[number], f"{name}_scl.tif", transform=COARSE, nodata=0)
        assets = {
            "red": {
                "href": f"{name}_red.tif",
                "type": "image/tiff",
                "roles": ["data"],
                "eo:bands": [{"common_name": "red"}],
            },
            "SCL": {"href": f"{name}_scl.tif", "type": "image/tiff", "roles": ["data"]},
        }
        features.append({"type": "Feature", "id": name, "assets": assets, "properties": {}})
    path = tmp_path / "items.json"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    return path


@pytest.mark.parametrize("mask", ["sentinel-2", "scl:3,8,9,10", "SCL:3,9"])
def test_items_fill_each_other(items: Path, mask: str) -> None:
    with open_scene(items, bands=["red"], mask=mask) as opened:
        pixels = opened.read(Window(0, 0, 30, 20))
    assert np.unique(pixels.array[0, :10, :10]).tolist() == [0]
    assert not pixels.valid[:10, :10].any()
    assert pixels.valid.sum() == 500
    assert (pixels.array[0, 10:, :10] == 2000).all()
    assert (pixels.array[0, :, 10:] == 1000).all()
    assert sum(file.endswith("_scl.tif") for file in opened.source.files) == 2


def test_masked_before_the_warp(items: Path) -> None:
    """No pixel under a cloud is interpolated into its neighbours."""
    with open_scene(items, bands=["red"], mask="scl:9", grid_crs="EPSG:32634") as opened:
        pixels = opened.read(Window(0, 0, opened.grid.width, opened.grid.height))
    assert set(np.unique(pixels.array[0][pixels.valid]).tolist()) == {1000, 2000}


def test_local_only(items: Path, scene: Path, make_raster: MakeRaster) -> None:
    with open_scene(items, bands=["red"], mask="sentinel-2", local_only=True) as opened:
        assert not opened.is_all_valid
    outside = items.parent / "elsewhere"
    outside.mkdir()
    content = json.loads(items.read_text())
    (items.parent / "a_scl.tif").rename(outside / "a_scl.tif")
    content["features"][0]["assets"]["SCL"]["href"] = "../a_scl.tif"
    inner = outside / "items.json"
    inner.write_text(json.dumps(content["features"][0]))
    with pytest.raises(SceneError, match="cannot be opened with `local_only=True`"):
        open_scene(inner, bands=["red"], mask="sentinel-2", local_only=True)
    vrt = outside / "mask.vrt"
    source = f'<SimpleSource><SourceFilename relativeToVRT="0">{scene}</SourceFilename></SimpleSource>'
    vrt.write_text(
        f'<VRTDataset rasterXSize="60" rasterYSize="40"><VRTRasterBand dataType="Byte" band="1">{source}'
        "</VRTRasterBand></VRTDataset>"
    )
    with pytest.raises(SceneError, match=r"mask '.*mask\.vrt' cannot be opened with `local_only=True`"):
        open_scene(scene, mask=vrt, local_only=True)


def test_over_the_network(served: Served, make_raster: MakeRaster, scene: Path) -> None:
    classes = codes(20, 30)
    make_raster(classes, "half.tif", transform=COARSE)
    with open_scene(scene, mask=f"{served.url}/half.tif:3,8") as opened:
        found = whole(opened)
        assert f"{served.url}/half.tif" in opened.source.files
    assert np.array_equal(found, ~np.isin(classes[0].repeat(2, axis=0).repeat(2, axis=1), [3, 8]))
    with pytest.raises(SceneError, match=r"mask '.*gone\.tif' cannot be opened over the network"):
        open_scene(scene, mask=f"{served.url}/gone.tif")


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        ("clouds.tif:1;2", "mask 'clouds.tif:1;2' is no file, and scene '{scene}' has no such band, only 1, 2: give"),
        ("sentinel-2", "mask 'sentinel-2' is no file, and scene"),
        ("{folder}/gone.tif", "mask '{folder}/gone.tif' does not exist: check the path"),
        ("{folder}/scene.tif", "a mask has one band, '{folder}/scene.tif' has 2 (1, 2): take one out"),
        ("{folder}/one.tif:bit8", "mask '{folder}/one.tif' holds uint8, which has no bit 8: name its values"),
        ("{folder}/far.tif", "mask '{folder}/far.tif' lies elsewhere than scene '{scene}': it covers (700000, 4"),
        (
            "{folder}/none.tif",
            "mask '{folder}/none.tif' cannot be brought into another CRS as one of the two is missing",
        ),
        ("{folder}/text.tif", "mask '{folder}/text.tif' is no raster that GDAL can open"),
    ],
)
def test_refused(make_raster: MakeRaster, scene: Path, mask: str, message: str) -> None:
    folder = scene.parent
    make_raster(codes(40, 60), "one.tif", transform=FINE)
    make_raster(codes(4, 6), "far.tif", transform=FINE @ Affine.translation(20_000, 0))
    make_raster(codes(40, 60), "none.tif", transform=FINE, crs=None)
    (folder / "text.tif").write_text("no raster")
    with pytest.raises(SceneError, match=re.escape(message.format(folder=folder, scene=scene))):
        open_scene(scene, mask=mask.format(folder=folder))


def test_refused_of_items_and_arrays(items: Path) -> None:
    with pytest.raises(SceneError, match=r"no asset fmask, its assets are red \(red\), SCL: name one"):
        open_scene(items, bands=["red"], mask="hls")
    with pytest.raises(SceneError, match="is named after the scene's file, and 'array' is none"):
        open_scene(np.ones((1, 4, 4), np.uint8), mask="{name}_clouds.tif")
    with pytest.raises(OptionError, match="a mask is"), open_array(np.ones((1, 4, 4))) as opened, with_mask(opened, 3):  # type: ignore[arg-type]
        pass
