"""The CRS that polygons are written in."""

from collections.abc import Callable
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import shapely
from affine import Affine

import geodeeplab as gdl
from geodeeplab.errors import OptionError

MakeRaster = Callable[..., Path]
ACROSS = {"crs": "EPSG:32660", "transform": Affine(1000, 0, 570_000, 0, -1000, 5_850_000)}
"""180° lies in the middle of 240 columns."""


@pytest.fixture
def across(make_raster: MakeRaster) -> Path:
    """Give two classes on both sides of the antimeridian, in long straight lines one pixel apart."""
    labels = np.ones((1, 200, 240), np.uint8)
    labels[0, 1, 100:140] = labels[0, 50:, 30:200] = 2
    return make_raster(labels, "labels.tif", **ACROSS)


@pytest.mark.parametrize("tolerance", [None, 1.0])
def test_polygons_across_the_antimeridian(across: Path, tmp_path: Path, tolerance: float | None) -> None:
    gdl.vectorize(across, tmp_path / "own.gpkg", gdl.PolygonOptions(tolerance_px=tolerance))
    own = gpd.read_file(tmp_path / "own.gpkg", layer="landcover").sort_values("area_m2")
    gdl.vectorize(across, tmp_path / "a.geojson", gdl.PolygonOptions(tolerance_px=tolerance))
    gdl.vectorize(across, tmp_path / "a.fgb", gdl.PolygonOptions(out_crs="EPSG:4326", tolerance_px=tolerance))
    for name in ("a.geojson", "a.fgb"):
        found = gpd.read_file(tmp_path / name).sort_values("area_m2")
        assert found.is_valid.all()
        assert np.allclose(found.area_m2, own.area_m2, rtol=1e-3)
        assert shapely.coverage_is_valid(found.geometry.to_numpy()) or name == "a.geojson"
        west, _, east, _ = found.total_bounds
        assert (west, east) == (-180, 180) if name == "a.geojson" else 177 < west < 180 < east < 183


def test_long_edges_become_curves(make_raster: MakeRaster, tmp_path: Path) -> None:
    path = make_raster(np.ones((1, 40, 400), np.uint8), "wide.tif", crs="EPSG:3035",
                       transform=Affine(1000, 0, 4_000_000, 0, -1000, 3_000_000))  # fmt: skip
    gdl.vectorize(path, tmp_path / "a.fgb", gdl.PolygonOptions(out_crs="EPSG:4326"))
    found = gpd.read_file(tmp_path / "a.fgb")
    box = shapely.box(4_000_000, 2_960_000, 4_400_000, 3_000_000)
    back = found.to_crs("EPSG:3035").geometry[0]
    assert back.hausdorff_distance(box) < 1  # metres between vertices and the lines that they stand on
    assert shapely.get_num_coordinates(back) > 26
    assert float(found.area_m2[0]) == pytest.approx(40_000 * 400_000, rel=0.02)
    middle = gpd.GeoSeries([found.geometry[0].segmentize(0.001)], crs="EPSG:4326").to_crs("EPSG:3035")[0]
    assert middle.hausdorff_distance(box) < 60, "a twentieth of a pixel"


@pytest.mark.parametrize(
    ("grid", "crs"),
    [
        (ACROSS, "EPSG:3857"),
        ({"crs": "EPSG:3031", "transform": Affine(5000, 0, -600_000, 0, -5000, 500_000)}, "EPSG:4326"),
    ],
    ids=["the seam of a map", "a pole"],
)
def test_what_would_be_torn_is_refused_before_any_work(
    make_raster: MakeRaster, tmp_path: Path, grid: dict[str, object], crs: str
) -> None:
    path = make_raster(np.ones((1, 200, 240), np.uint8), "labels.tif", **grid)
    with pytest.raises(OptionError, match=f"would be torn in {crs}, as it lies across the antim"):
        gdl.vectorize(path, tmp_path / "a.fgb", gdl.PolygonOptions(out_crs=crs))
    gdl.vectorize(path, tmp_path / "a.fgb")


@pytest.mark.parametrize(
    "grid",
    [
        {"crs": "EPSG:4326", "transform": Affine(1.5, 0, -180, 0, -0.75, 75)},
        {"crs": "EPSG:3857", "transform": Affine(40_075_016 / 240, 0, -20_037_508, 0, -200_000, 20_000_000)},
        {"crs": "EPSG:3031", "transform": Affine(5000, 0, -600_000, 0, -5000, -50_000)},
    ],
    ids=["degrees", "Mercator", "beside a pole"],
)
def test_maps_of_the_world_are_not_torn(make_raster: MakeRaster, tmp_path: Path, grid: dict[str, object]) -> None:
    path = make_raster(np.ones((1, 200, 240), np.uint8), "labels.tif", **grid)
    gdl.vectorize(path, tmp_path / "a.geojson")
    assert gpd.read_file(tmp_path / "a.geojson").is_valid.all()
