"""Zarr stores as scenes, and the attributes by which GeoZarr and EOPF say where arrays lie."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from affine import Affine
from pyproj import CRS
from rasterio.windows import Window

import geodeeplab as gdl
from geodeeplab.errors import OptionError, SceneError
from geodeeplab.raster.sources.zarr import is_zarr

ROWS, COLS = 40, 48
TRANSFORM = Affine(10, 0, 500_000, 0, -10, 5_000_000)
pytestmark = [
    pytest.mark.filterwarnings("ignore::UserWarning:zarr"),
    pytest.mark.filterwarnings("ignore:Consolidated metadata"),
]


def variable(seed: int) -> tuple[tuple[str, str], np.ndarray]:
    return ("y", "x"), np.random.default_rng(seed).integers(1, 99, (ROWS, COLS)).astype(np.uint16)


def store(folder: Path, attrs: dict[str, Any], *, version: int = 3, group: str | None = None) -> Path:
    """Write a store of two bands in chunks of 16 px, without coordinates."""
    data = xr.Dataset({"b04": variable(0), "b08": variable(1)}, attrs=attrs)
    encoding = {name: {"chunks": (16, 16)} for name in ("b04", "b08")}
    data.to_zarr(folder, zarr_format=version, group=group, encoding=encoding, mode="a", consolidated=False)
    return folder / (group or "")


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize(
    "attrs",
    [
        {"proj:code": "EPSG:32633", "proj:transform": list(TRANSFORM)},
        {"proj:epsg": 32633, "spatial:transform": list(TRANSFORM)[:6]},
        {"proj:wkt2": CRS(32633).to_wkt(), "proj:transform": list(TRANSFORM)},
        {"proj:projjson": CRS(32633).to_json_dict(), "proj:transform": list(TRANSFORM)[:6]},
    ],
)
def test_attributes_say_where_it_lies(tmp_path: Path, attrs: dict[str, Any], version: int) -> None:
    path = store(tmp_path / "scene.zarr", attrs, version=version)
    with gdl.open_scene(path) as scene:
        assert scene.crs is not None
        assert (scene.crs.to_epsg(), scene.transform, scene.shape) == (32633, TRANSFORM, (ROWS, COLS))
        assert ([band.name for band in scene.bands], scene.block_shape) == (["b04", "b08"], (16, 16))
        assert scene.source.files == (str(path),)
        pixels = scene.select(["b08"]).read(Window(5, 7, 20, 11))
        assert np.array_equal(pixels.array[0], variable(1)[1][7:18, 5:25])
        assert pixels.valid.all()


def test_coordinates_and_a_grid_mapping_do_as_well(tmp_path: Path) -> None:
    x, y = 500_005.0 + 10 * np.arange(COLS), 4_999_995.0 - 10 * np.arange(ROWS)
    data = xr.Dataset(
        {"image": (("band", "y", "x"), np.ones((3, ROWS, COLS), np.int16), {"grid_mapping": "crs"})},
        coords={"y": y, "x": x, "band": ["red", "green", "blue"], "crs": ((), 0, {"crs_wkt": CRS(32633).to_wkt()})},
    )
    data.to_zarr(tmp_path / "scene.zarr", zarr_format=2, consolidated=False)
    with gdl.open_scene(str(tmp_path / "scene.zarr")) as scene:
        assert scene.crs is not None
        assert (scene.crs.to_epsg(), scene.transform) == (32633, TRANSFORM)
        assert [band.name for band in scene.bands] == ["red", "green", "blue"]


def test_attributes_of_a_dataset_in_memory_hold_for_its_variables() -> None:
    data = xr.Dataset({"b04": variable(0), "b08": variable(1)}, attrs={"proj:code": "EPSG:32633"})
    data["b04"].attrs["proj:transform"] = data["b08"].attrs["proj:transform"] = list(TRANSFORM)[:6]
    with gdl.open_scene(data) as scene:
        assert scene.crs is not None
        assert (scene.crs.to_epsg(), scene.transform) == (32633, TRANSFORM)


def test_what_cannot_be_a_scene_is_refused_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nowhere = store(tmp_path / "a.zarr", {"proj:transform": list(TRANSFORM)[:6]})
    with pytest.raises(SceneError, match=r"a\.zarr' has no CRS, and a Zarr store needs one: .*proj:code"):
        gdl.open_scene(nowhere)
    wrong = store(tmp_path / "b.zarr", {"proj:code": "EPSG:32633", "proj:transform": [1, 2]})
    with pytest.raises(SceneError, match=r"'proj:transform' of \[1, 2\], which is a list of six numbers"):
        gdl.open_scene(wrong)
    placed = {"proj:code": "EPSG:32633", "proj:transform": list(TRANSFORM)[:6]}
    store(tmp_path / "c.zarr", placed, group="measurements/r10m")
    with pytest.raises(SceneError, match=r"no variables of its own: give one of its groups \(measurements/r10m\)"):
        gdl.open_scene(tmp_path / "c.zarr")
    gdl.open_scene(tmp_path / "c.zarr" / "measurements" / "r10m").close()
    good = store(tmp_path / "d.zarr", placed)
    with pytest.raises(SceneError, match="is a Zarr store, which is not read with local_only"):
        gdl.open_scene(good, local_only=True)
    with pytest.raises(OptionError, match="stays on its own grid: leave out `grid_crs=`"):
        gdl.open_scene(good, grid_crs="EPSG:4326")
    (good / "zarr.json").write_text("{")
    with pytest.raises(SceneError, match=r"is no Zarr store that xarray can open \(.*\): give the path of a group"):
        gdl.open_scene(good)
    monkeypatch.setitem(sys.modules, "zarr", None)
    with pytest.raises(OptionError, match=r"read by xarray and zarr: pip install 'geodeeplab\[zarr\]'"):
        gdl.open_scene(good)


def test_what_is_a_store() -> None:
    assert is_zarr("https://host/scene.zarr/?token=1")
    assert is_zarr("s3://bucket/scene.zarr")
    assert not is_zarr("https://host/scene.tif")
    assert not is_zarr("scene.zarr.tif")
