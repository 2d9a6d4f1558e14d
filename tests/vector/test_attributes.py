import math

import numpy as np
import pyproj
import pytest
import shapely
from numpy.typing import NDArray
from rasterio.crs import CRS

from geodeeplab.errors import GeoDeepLabWarning
from geodeeplab.vector.attributes import area_m2


def geod_areas(geometries: NDArray[np.object_], crs: CRS, *, step: float) -> list[float]:
    """The oracle: geodesics between points `step` CRS units apart on the edges, on the ellipsoid of the CRS."""
    source = pyproj.CRS.from_wkt(crs.to_wkt(version="WKT2_2019"))
    base, geod = source.geodetic_crs, source.get_geod()
    assert base is not None
    assert geod is not None
    to_lonlat = pyproj.Transformer.from_crs(source, base, always_xy=True)
    factor = math.degrees(base.axis_info[0].unit_conversion_factor)

    def ring_area(ring: shapely.LinearRing) -> float:
        lon, lat = np.array(to_lonlat.transform(*shapely.get_coordinates(shapely.segmentize(ring, step)).T)) * factor
        return abs(float(geod.polygon_area_perimeter(lon, lat)[0]))

    return [
        sum(ring_area(part.exterior) - sum(map(ring_area, part.interiors)) for part in shapely.get_parts(geometry))
        for geometry in geometries
    ]


def blobs(x: float, y: float, scale: float, *, angle: float = 0.0) -> NDArray[np.object_]:
    """A square, an L, a thin strip, a square with two holes, and two squares as one; about `scale` across."""
    shapes = [
        shapely.box(0, 0, 1, 1),
        shapely.from_wkt("POLYGON ((0 0, 3 0, 3 1, 1 1, 1 2, 0 2, 0 0))"),
        shapely.box(0, 0, 5, 0.01),
        shapely.from_wkt("POLYGON ((0 0, 4 0, 4 4, 0 4, 0 0), (1 1, 1 2, 2 2, 1 1), (3 3, 3 2.5, 2.5 2.5, 3 3))"),
        shapely.multipolygons([shapely.box(0, 0, 1, 1), shapely.box(2, 2, 4, 3)]),
    ]
    cos, sin = math.cos(angle), math.sin(angle)
    turn = np.array([[cos, sin], [-sin, cos]])
    placed: NDArray[np.object_] = shapely.transform(
        np.array(shapes, dtype=object), lambda points: (points @ turn) * scale + (x, y)
    )
    return placed


# Where, in which CRS, how large in CRS units.
PROJECTED = {
    "UTM, 500 m": (32633, 300_000, 6_500_000, 500),
    "UTM, 3 km": (32633, 700_000, 8_500_000, 3_000),
    "UTM, 40 km": (32633, 400_000, 7_000_000, 40_000),
    "web mercator, 1 km": (3857, 1_500_000, 8_000_000, 1_000),
    "web mercator, 50 km": (3857, 1_500_000, 8_000_000, 50_000),
    "web mercator, 1000 km": (3857, 1_500_000, 4_000_000, 1_000_000),
    "over the antimeridian": (3832, 3_338_000, 6_000_000, 5_000),
    "UTM 60 over the antimeridian": (32660, 830_000, 6_000_000, 10_000),
    "polar stereographic, near the pole": (3413, 1_000, 2_000, 10_000),
    "LAEA Europe, 300 km": (3035, 4_000_000, 3_000_000, 300_000),
    "Paris meridian and grads": (27572, 600_000, 2_000_000, 1_000),
    "US feet": (2263, 980_000, 200_000, 30_000),
    "with heights": (5972, 500_000, 7_000_000, 1_000),
}


@pytest.mark.parametrize("angle", [0.0, 0.6], ids=["upright", "turned"])
@pytest.mark.parametrize("name", PROJECTED)
def test_map_coordinates_agree_with_geodesics(name: str, angle: float) -> None:
    epsg, x, y, scale = PROJECTED[name]
    crs = CRS.from_epsg(epsg)
    geometries = blobs(x, y, scale, angle=angle)
    expected = geod_areas(geometries, crs, step=max(scale / 500, 20.0))
    np.testing.assert_allclose(area_m2(geometries, crs), expected, rtol=1e-6)


# Where, how large in degrees.
GEOGRAPHIC = {
    "a town": (-70.0, -33.0, 0.05),
    "a country": (10.0, 45.0, 3.0),
    "over the antimeridian": (179.0, -17.0, 0.7),
    "over the equator": (20.0, -1.0, 1.0),
    "the far north": (25.0, 75.0, 2.0),
}


@pytest.mark.parametrize("angle", [0.0, 0.6], ids=["upright", "turned"])
@pytest.mark.parametrize("epsg", [4326, 4258, 4314])
@pytest.mark.parametrize("name", GEOGRAPHIC)
def test_longitudes_and_latitudes_agree_with_geodesics(name: str, epsg: int, angle: float) -> None:
    x, y, scale = GEOGRAPHIC[name]
    crs = CRS.from_epsg(epsg)
    geometries = blobs(x, y, scale, angle=angle)
    np.testing.assert_allclose(area_m2(geometries, crs), geod_areas(geometries, crs, step=scale / 500), rtol=1e-6)


# Where geodesics would need more digits than they have, the scale of the map at the place is the oracle.


@pytest.mark.parametrize("scale", [0.05, 1.0, 30.0])
@pytest.mark.parametrize(("epsg", "x", "y"), [(32633, 500_000, 4_000_000), (3031, 9e5, 9e5), (2193, 1.75e6, 5.9e6)])
def test_small_polygons_keep_their_digits(epsg: int, x: float, y: float, scale: float) -> None:
    factors = pyproj.Proj(epsg)
    areal_scale = factors.get_factors(*factors(x, y, inverse=True)).areal_scale
    geometries = blobs(x, y, scale, angle=0.6)
    areas = area_m2(geometries, CRS.from_epsg(epsg))
    np.testing.assert_allclose(
        areas, shapely.area(geometries) / areal_scale, rtol=1e-5
    )  # the scale changes within 30 m


@pytest.mark.parametrize("metres", [0.05, 1.0, 30.0])
@pytest.mark.parametrize("angle", [0.0, 0.6], ids=["upright", "turned"])
def test_small_polygons_in_degrees_keep_their_digits(metres: float, angle: float) -> None:
    lat = math.radians(48.654321)
    e2 = 0.0066943799901413165
    square_radian = 6_378_137**2 * (1 - e2) * math.cos(lat) / (1 - e2 * math.sin(lat) ** 2) ** 2
    geometries = blobs(16.123456, 48.654321, metres / 111_000, angle=angle)
    expected = shapely.area(geometries) * math.radians(1) ** 2 * square_radian
    np.testing.assert_allclose(area_m2(geometries, CRS.from_epsg(4326)), expected, rtol=2e-5)


def test_the_whole_earth_has_its_area() -> None:
    world = np.array([shapely.box(-180, -90, 180, 90), shapely.box(-180.25, -90.25, 179.75, 90.25)], dtype=object)
    np.testing.assert_allclose(area_m2(world, CRS.from_epsg(4326)), 510_065_621_724_089, rtol=1e-12)
    sphere = CRS.from_string("+proj=longlat +R=1000")
    np.testing.assert_allclose(area_m2(world, sphere), 4e6 * math.pi, rtol=1e-12)


def test_grads_are_no_degrees() -> None:
    crs = CRS.from_epsg(4807)  # NTF (Paris), in grads from Paris
    geometries = blobs(1.0, 52.0, 0.1)
    np.testing.assert_allclose(area_m2(geometries, crs), geod_areas(geometries, crs, step=0.001), rtol=1e-6)


def test_a_polygon_around_the_pole() -> None:
    radius = 500_000
    ring = radius * np.column_stack([np.cos(a := np.linspace(0, 2 * np.pi, 721)), np.sin(a)])
    crs = CRS.from_epsg(3413)
    to_lat = pyproj.Transformer.from_crs(3413, 4326, always_xy=True)
    lat = to_lat.transform(0, radius)[1]
    cap = area_m2(np.array([shapely.box(-180, lat, 180, 90)], dtype=object), CRS.from_epsg(4326))[0]
    chords = math.sin(2 * math.pi / 720) / (2 * math.pi / 720)
    assert area_m2(np.array([shapely.Polygon(ring)], dtype=object), crs)[0] == pytest.approx(cap * chords, rel=2e-6)


def test_rotated_pole_agrees_with_the_plain_one() -> None:
    crs = CRS.from_string("+proj=ob_tran +o_proj=longlat +o_lon_p=0 +o_lat_p=39.25 +lon_0=18 +ellps=WGS84")
    square = np.array([shapely.box(0, 0, 0.1, 0.1)], dtype=object)
    on_the_equator = area_m2(square, CRS.from_epsg(4326))
    np.testing.assert_allclose(area_m2(square, crs), on_the_equator, rtol=0.01)  # the ellipsoid is another at 50° north


def test_unknown_without_crs() -> None:
    assert np.isnan(area_m2(blobs(0, 0, 1), None)).all()
    assert len(area_m2(np.array([], dtype=object), CRS.from_epsg(4326))) == 0


@pytest.mark.parametrize(
    "wkt",
    ['LOCAL_CS["site grid",UNIT["metre",1]]', CRS.from_epsg(4978).to_wkt(version="WKT2_2019")],
    ids=["engineering", "geocentric"],
)
def test_unknown_with_a_warning_off_the_earth(wkt: str) -> None:
    with pytest.warns(GeoDeepLabWarning, match="areas in m² are left empty"):
        areas = area_m2(blobs(0, 0, 1), CRS.from_wkt(wkt))
    assert np.isnan(areas).all()


def test_unknown_outside_the_domain() -> None:
    crs = CRS.from_string("ESRI:54009")  # Mollweide: the corners of the map are off the Earth
    inside, outside = shapely.box(0, 0, 1e6, 1e6), shapely.box(1.7e7, 8.9e6, 1.71e7, 9e6)
    areas = area_m2(np.array([inside, outside], dtype=object), crs)
    assert areas[0] == pytest.approx(1e12, rel=0.01)  # Mollweide's equations are of the sphere
    assert np.isnan(areas[1])
    with pytest.warns(GeoDeepLabWarning, match="outside its domain"):
        assert np.isnan(area_m2(np.array([outside], dtype=object), crs)).all()
