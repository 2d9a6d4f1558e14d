"""`vectorize` on label rasters of any origin."""

from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
import pyogrio
import pytest
import rasterio
import rasterio.shutil
import shapely
from affine import Affine
from rasterio.features import rasterize

import geodeeplab as gdl

MakeRaster = Callable[..., Path]


def burn(path: Path, shape: tuple[int, int], transform: Affine) -> np.ndarray:
    meta, _, geometries, values = pyogrio.raw.read(path, layer="landcover")
    back = np.zeros(shape, np.int32)
    ids = dict(zip(meta["fields"], values, strict=True))["class_id"]
    if len(geometries):
        rasterize(zip(shapely.from_wkb(geometries), map(int, ids), strict=True), out=back, transform=transform)
    return back


@pytest.fixture
def patches() -> np.ndarray:
    rng = np.random.default_rng(7)
    return rng.integers(0, 4, (1, 9, 13)).repeat(5, axis=1).repeat(3, axis=2).astype("uint8")


@pytest.mark.parametrize("dtype", ["uint8", "int8", "int16", "uint16", "int32", "uint32"])
@pytest.mark.parametrize("connectivity", [4, 8])
def test_polygons_rasterise_back(
    make_raster: MakeRaster, patches: np.ndarray, tmp_path: Path, dtype: str, connectivity: Literal[4, 8]
) -> None:
    labels = patches.astype(dtype) * (1 if np.dtype(dtype).itemsize == 1 else 9000)
    path = make_raster(labels)
    options = gdl.PolygonOptions(connectivity=connectivity)
    written = gdl.vectorize(path, tmp_path / "a.gpkg", options).polygons_path
    assert written == tmp_path / "a.gpkg"
    transform = Affine(1, 0, 500_000, 0, -1, 5_000_000)
    np.testing.assert_array_equal(burn(written, labels.shape[1:], transform), labels[0])


def test_a_palette_is_a_label_raster(make_raster: MakeRaster, patches: np.ndarray, tmp_path: Path) -> None:
    path = make_raster(patches)
    with rasterio.open(path, "r+") as dst:
        dst.write_colormap(1, {1: (255, 0, 0), 2: (0, 255, 0)})
    gdl.vectorize(path, tmp_path / "a.gpkg")
    transform = Affine(1, 0, 500_000, 0, -1, 5_000_000)
    np.testing.assert_array_equal(burn(tmp_path / "a.gpkg", patches.shape[1:], transform), patches[0])


def test_names_come_from_our_own_rasters_only(make_raster: MakeRaster, patches: np.ndarray, tmp_path: Path) -> None:
    gdl.vectorize(make_raster(patches), tmp_path / "a.gpkg")
    meta, _, _, values = pyogrio.raw.read(tmp_path / "a.gpkg", layer="landcover")
    assert set(dict(zip(meta["fields"], values, strict=True))["class_name"]) == {None}


def test_the_rasters_own_nodata_gets_no_polygon(make_raster: MakeRaster, tmp_path: Path) -> None:
    labels = np.array([[[0, 0, 7], [0, 7, 7]]], dtype="int16")
    for name, options, expected in (
        ("stated.tif", {"nodata": 7}, [0]),
        ("unstated.tif", {}, [7]),
    ):
        gdl.vectorize(make_raster(labels, name, **options), tmp_path / "a.gpkg", overwrite=True)
        meta, _, _, values = pyogrio.raw.read(tmp_path / "a.gpkg", layer="landcover")
        assert dict(zip(meta["fields"], values, strict=True))["class_id"].tolist() == expected
    with pytest.warns(gdl.GeoDeepLabWarning, match="holds nothing but nodata"):
        gdl.vectorize(make_raster(labels, nodata=7), tmp_path / "a.gpkg", nodata=0, overwrite=True)
    assert (
        pyogrio.read_info(tmp_path / "a.gpkg", layer="landcover")["features"] == 0
    )  # 7 is invalid still, and 0 was asked to be


def test_another_band(make_raster: MakeRaster, tmp_path: Path) -> None:
    path = make_raster(np.stack([np.full((4, 5), 3), np.full((4, 5), 8)]).astype("uint8"), photometric="minisblack")
    gdl.vectorize(path, tmp_path / "a.gpkg", band=2)
    meta, _, _, values = pyogrio.raw.read(tmp_path / "a.gpkg", layer="landcover")
    fields = dict(zip(meta["fields"], values, strict=True))
    assert fields["class_id"].tolist() == [8]
    assert fields["area_m2"] == pytest.approx(20, rel=1e-3)


def test_nothing_but_nodata_gives_an_empty_layer(make_raster: MakeRaster, tmp_path: Path) -> None:
    with pytest.warns(gdl.GeoDeepLabWarning, match="holds nothing but nodata"):
        gdl.vectorize(make_raster(np.zeros((1, 600, 3), "uint8")), tmp_path / "a.gpkg")
    info = pyogrio.read_info(tmp_path / "a.gpkg", layer="landcover")
    assert (info["features"], info["geometry_type"]) == (0, "Polygon")


@pytest.mark.parametrize(
    ("labels", "options", "error", "match"),
    [
        (np.full((1, 3, 4), 0.5, "float32"), {}, gdl.SceneError, "at most 32 bits, .* holds 0.5"),
        (np.full((1, 3, 4), 2**40, "int64"), {}, gdl.SceneError, r"at most 32 bits, .* holds 1\.09951e\+12"),
        (np.full((1, 3, 4), 2**31, "uint32"), {}, gdl.SceneError, r"at most 32 bits, .* holds 2\.14748e\+09"),
        (np.ones((1, 3, 4), "uint8"), {"nodata": -1}, gdl.OptionError, "labels of uint8 are never -1"),
        (np.ones((1, 3, 4), "uint8"), {"band": 2}, gdl.SceneError, "has no band '2'"),
    ],
)
def test_refusals_leave_nothing(
    make_raster: MakeRaster,
    tmp_path: Path,
    labels: np.ndarray,
    options: dict[str, int],
    error: type[Exception],
    match: str,
) -> None:
    path, out = make_raster(labels), tmp_path / "out"
    out.mkdir()
    with pytest.raises(error, match=match):
        gdl.vectorize(path, out / "a.gpkg", **options)  # type: ignore[arg-type]
    assert not list(out.iterdir())
