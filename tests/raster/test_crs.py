"""Which coordinate reference systems are the same, and which lead to each other."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import rasterio.warp
import shapely
from affine import Affine
from rasterio.crs import CRS

import geodeeplab as gdl
from geodeeplab.errors import OptionError, SceneError
from geodeeplab.raster import Grid, open_scene, read_polygon_layer, to_aoi
from geodeeplab.raster.crs import body_of, crs_name, same_crs, to_crs, transformer
from geodeeplab.raster.sources.mosaic import open_mosaic

MakeRaster = Callable[..., Path]

SITE = 'LOCAL_CS["Building site",LOCAL_DATUM["site",0],UNIT["metre",1],AXIS["X",EAST],AXIS["Y",NORTH]]'
ENGINEERING = 'ENGCRS["plan",EDATUM["plan"],CS[Cartesian,2],AXIS["x",east],AXIS["y",north],LENGTHUNIT["metre",1]]'
MOON = "+proj=longlat +R=1737400 +no_defs"
TURNED = "+proj=tmerc +lon_0=9 +ellps=bessel"
SHIFTED = f"{TURNED} +towgs84=598.1,73.7,418.2"
GAUSS = CRS.from_epsg(31467).to_wkt(version="WKT1_GDAL")
ELLIPSOID = GAUSS[GAUSS.index("SPHEROID") : GAUSS.index("]],", GAUSS.index("SPHEROID")) + 3]
STATED_SHIFT = GAUSS.replace(ELLIPSOID, f"{ELLIPSOID}TOWGS84[598.1,73.7,418.2,0.202,0.045,-2.455,6.7],")


def crs(text: str) -> CRS:
    return CRS.from_user_input(text)


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("EPSG:32633", CRS.from_epsg(32633).to_wkt(version="WKT1_ESRI"), True),
        ("EPSG:32633", CRS.from_epsg(32633).to_wkt(version="WKT2_2019"), True),
        ("EPSG:32633", "+proj=utm +zone=33 +datum=WGS84", True),
        ("EPSG:32633", "+proj=utm +zone=33 +datum=WGS84 +towgs84=0,0,0", True),
        ("EPSG:32633", "EPSG:32633+5773", True),  # heights
        ("EPSG:4326", "OGC:CRS84", True),  # axes
        ("EPSG:4326", "EPSG:4979", True),
        ("EPSG:31467", STATED_SHIFT, True),
        (SITE, SITE, True),
        ("EPSG:32633", "EPSG:32634", False),
        ("EPSG:32633", "EPSG:25833", False),  # WGS 84 and ETRS89
        ("EPSG:32633", "+proj=utm +zone=33 +ellps=WGS84", False),  # nobody named a datum
        (SHIFTED, TURNED, False),  # the shift alone tells what the datum is
        (SHIFTED, f"{TURNED} +towgs84=500,73.7,418.2", False),
        (SITE, SITE.replace("Building site", "Quarry"), False),
        (SITE, "EPSG:32633", False),
    ],
)
def test_the_same_whatever_the_spelling(one: str, other: str, expected: bool) -> None:
    assert same_crs(crs(one), crs(other)) is expected
    assert same_crs(crs(other), crs(one)) is expected


def test_a_missing_crs_is_only_the_same_as_a_missing_one() -> None:
    assert same_crs(None, None)
    assert not same_crs(None, crs("EPSG:4326"))


@pytest.mark.parametrize(
    ("src", "reason"),
    [
        (SITE, "'Building site' is a local system, which has no place on the Earth"),
        (ENGINEERING, "'plan' is a local system"),
        (MOON, "different planets or moons"),
        ("IAU_2015:49910", "different planets or moons"),
        ("EPSG:4978", "is no map, its type is Geocentric CRS"),
        ("EPSG:5773", "is no map, its type is Vertical CRS"),
    ],
)
def test_what_leads_nowhere_is_refused_in_one_line(src: str, reason: str) -> None:
    for pair in ((src, "EPSG:32633"), ("EPSG:4326", src)):
        with pytest.raises(SceneError, match=reason) as caught:
            transformer(*map(crs, pair), what="scene 'a'")
        assert "\n" not in str(caught.value)


def test_text_that_is_no_crs() -> None:
    for text in ("EPSG:nowhere", "nonsense", "", "EPSG:999999"):
        with pytest.raises(OptionError, match="is no CRS"):
            to_crs(text)
    assert (crs_name(crs("EPSG:32633")), crs_name(crs(SITE)), crs_name(None)) == (
        "EPSG:32633",
        "'Building site'",
        "none",
    )


def test_pixel_sizes_on_the_ellipsoid_of_the_body() -> None:
    step = Affine(0.001, 0, 10, 0, -0.001, 45)
    moon, earth = (Grid(shape=(10, 10), transform=step, crs=crs(one)).gsd_m for one in (MOON, "EPSG:4326"))
    assert moon is not None
    moon_x, moon_y = moon
    assert moon_y == pytest.approx(np.radians(0.001) * 1_737_400)
    assert moon_x == pytest.approx(moon_y * np.cos(np.radians(44.995)))
    assert earth == pytest.approx((78.85, 111.13), abs=0.01)
    grads = Grid(shape=(1, 1), transform=Affine(0.001, 0, 10, 0, -0.001, 50), crs=crs("EPSG:4807"))
    assert grads.gsd_m is not None
    assert grads.gsd_m[1] == pytest.approx(100.0, rel=0.003)  # a grad is a hundredth of a quadrant of 10,000 km
    assert Grid(shape=(1, 1), transform=step, crs=crs(SITE)).gsd_m is None
    assert isinstance(body_of(crs(SITE)), str)


def test_a_mosaic_of_one_crs_in_several_spellings(make_raster: MakeRaster) -> None:
    ones = np.ones((1, 8, 8), np.uint8)
    spellings = ["EPSG:32633", "+proj=utm +zone=33 +datum=WGS84 +towgs84=0,0,0", "EPSG:32633+5773"]
    paths = [
        make_raster(ones * n, f"{n}.tif", crs=one, transform=Affine(1, 0, 500_000 + 8 * n, 0, -1, 5_000_000))
        for n, one in enumerate(spellings)
    ]
    assert open_mosaic(paths).grid.shape == (8, 24)
    other = make_raster(ones, "other.tif", crs="EPSG:32634")
    with pytest.raises(
        SceneError, match=r"one CRS, but '.*' has EPSG:32633 and '.*other.tif' has EPSG:32634.*grid_crs"
    ):
        open_mosaic([paths[0], other])


@pytest.mark.parametrize(
    ("crs", "transform", "message"),
    [
        ("EPSG:4326", Affine(0.001, 0, 10, 0, -0.001, 120), "latitudes 119.992 to 120, which there are not"),
        ("EPSG:4326", Affine(0.001, 0, 1e4, 0, -0.001, 40), "longitudes 10000 to"),
        ("EPSG:4326", Affine(0.001, 0, 1e30, 0, -0.001, 40), "are no places"),
        ("EPSG:32633", Affine(1, 0, 1e30, 0, -1, 5_000_000), "are no places"),
        ("EPSG:32633", Affine(1, 0, 1e9, 0, -1, 1e9), "outside of where EPSG:32633 is defined"),
        ("EPSG:32633", Affine(1, 0, 5e5, 0, -1e8, 5e6), r"reaches 20 times around the Earth .* 1 × 1e\+08:"),
    ],
)
def test_coordinates_that_are_no_places(make_raster: MakeRaster, crs: str, transform: Affine, message: str) -> None:
    path = make_raster(np.ones((1, 8, 8), np.uint8), crs=crs, transform=transform)
    with pytest.raises(SceneError, match=message):
        open_scene(path)


def test_grids_of_the_whole_earth_may_reach_past_its_edges(make_raster: MakeRaster) -> None:
    ones = np.ones((1, 19, 37), np.uint8)  # pixel centres on the poles and on 180 degrees
    on_a_disc = "+proj=geos +h=35785831 +ellps=GRS80"  # whose corners lie in space
    for crs, transform in (
        ("EPSG:4326", Affine(10, 0, -185, 0, -10, 95)),
        ("EPSG:4326", Affine(1, 0, 350, 0, -1, 60)),
        (on_a_disc, Affine(600_000, 0, -5_500_000, 0, -600_000, 5_500_000)),
    ):
        with open_scene(make_raster(ones, crs=crs, transform=transform)) as scene:
            assert scene.transform == transform


def test_polygons_that_lead_nowhere(make_raster: MakeRaster) -> None:
    utm = gpd.GeoDataFrame({"k": ["a"]}, geometry=[shapely.box(500_001, 4_999_990, 500_005, 4_999_999)], crs=32633)
    for one in (SITE, ENGINEERING, "IAU_2015:49910"):
        with pytest.raises(OptionError, match="cannot be brought from EPSG:32633 to"):
            to_aoi(utm, crs=crs(one))
        with pytest.raises(OptionError, match="cannot be brought from EPSG:32633 to"):
            read_polygon_layer(utm, crs=crs(one), class_field="k")
    far = shapely.Polygon([(10, 45), (11, 45), (1e30, 46)])
    for where in (4326, 32633):
        with pytest.raises(OptionError, match="coordinates that are no places"):
            to_aoi(gpd.GeoDataFrame(geometry=[far], crs=where), crs=crs("EPSG:32633"))
    with pytest.raises(OptionError, match="reaches beyond where WGS 84 / UTM zone 33N is defined"):
        to_aoi(gpd.GeoDataFrame(geometry=[shapely.box(10, 110, 11, 120)], crs=4326), crs=crs("EPSG:32633"))


@pytest.mark.parametrize("where", [SITE, ENGINEERING, MOON])
def test_polygons_of_a_local_raster_stay_in_its_units(make_raster: MakeRaster, tmp_path: Path, where: str) -> None:
    step = Affine(0.5, 0, 20, 0, -0.5, 40)
    labels = make_raster(np.repeat([[[1, 2]]], 6, axis=1).repeat(4, axis=2).astype(np.uint8), crs=where, transform=step)
    for target in ("a.geojson", "b.gpkg"):
        options = gdl.PolygonOptions(out_crs="EPSG:32633" if target == "b.gpkg" else None)
        with pytest.raises(OptionError, match=r"what is labelled cannot be brought from .* write .gpkg"):
            gdl.vectorize(labels, tmp_path / target, options)
        assert not (tmp_path / target).exists()
    for target in ("a.gpkg", "a.fgb", "a.parquet"):
        if where == MOON:
            gdl.vectorize(labels, tmp_path / target)
        else:
            with pytest.warns(gdl.GeoDeepLabWarning, match="area.* left empty.*local system.*in its own units"):
                gdl.vectorize(labels, tmp_path / target)
    found = gpd.read_parquet(tmp_path / "a.parquet")
    assert found.total_bounds.tolist() == [20, 37, 24, 40]
    assert found.area_m2.notna().all() == (where == MOON)


def test_geojson_in_another_crs_is_refused_before_any_work(make_raster: MakeRaster, tmp_path: Path) -> None:
    labels = make_raster(np.ones((1, 8, 8), np.uint8))
    with pytest.raises(OptionError, match=r"GeoJSON holds WGS 84 longitudes.*EPSG:32633"):
        gdl.vectorize(labels, tmp_path / "a.geojson", gdl.PolygonOptions(out_crs="EPSG:32633"))
    poles = make_raster(np.ones((1, 18, 36), np.uint8), crs="EPSG:4326", transform=Affine(10, 0, -180, 0, -10, 90))
    with pytest.raises(OptionError, match="where EPSG:32633 is not defined"):
        gdl.vectorize(poles, tmp_path / "a.gpkg", gdl.PolygonOptions(out_crs="EPSG:32633"))


def test_the_database_of_another_program(make_raster: MakeRaster, tmp_path: Path) -> None:
    path = make_raster(np.ones((1, 8, 8), np.uint8))
    code = f"import geodeeplab.raster.scene_opening as s; s.open_scene({str(path)!r})"
    for name in ("PROJ_DATA", "PROJ_LIB"):
        kept = {key: value for key, value in os.environ.items() if key not in ("PROJ_DATA", "PROJ_LIB")}
        run = subprocess.run(
            [sys.executable, "-c", code], env=kept | {name: str(tmp_path)}, capture_output=True, text=True
        )
        assert run.returncode == 1
        assert "SceneError: PROJ cannot read its database" in run.stderr.splitlines()[-1]
        assert f"{name}={tmp_path} names another program's, unset it and run again" in run.stderr.splitlines()[-1]
        assert "ERROR 1" not in run.stderr


def test_rasterio_agrees_on_points() -> None:
    x, y = rasterio.warp.transform(crs("EPSG:27700"), crs("EPSG:32630"), [530_000], [180_000])
    moved = transformer(crs("EPSG:27700"), crs("EPSG:32630"), what="a").transform(530_000, 180_000)
    assert moved == pytest.approx((x[0], y[0]), abs=0.01)
