import math
import threading
import tracemalloc
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyproj
import pytest
import rasterio
import shapely
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from rasterio.crs import CRS

from geodeeplab.errors import GeoDeepLabWarning
from geodeeplab.raster.grid import Grid
from geodeeplab.vector.measure.ground import Ground
from geodeeplab.vector.measure.interrupted import InterruptedMap
from geodeeplab.vector.measure.ruler import Ruler
from tests.examples import few

Floats = NDArray[np.float64]
Bounds = tuple[float, float, float, float]
WORLD_MERCATOR = (-20037508.34, -20037508.34, 20037508.34, 20037508.34)
WORLD = (-180.0, -90.0, 180.0, 90.0)


def ring_of(points: object, *, scale: float = 1.0, at: tuple[float, float] = (0, 0), angle: float = 0.0) -> Floats:
    """A closed ring: turned, scaled and moved, in that order."""
    cos, sin = math.cos(angle), math.sin(angle)
    ring = np.asarray(points, dtype=np.float64) @ np.array([[cos, sin], [-sin, cos]]) * scale + at
    return np.concatenate([ring, ring[:1]])


def shapes(x: float, y: float, scale: float) -> list[Floats]:
    """A square, an L, a thin strip and a triangle, upright and turned, about `scale` across; all anticlockwise."""
    plain = [
        [(0, 0), (1, 0), (1, 1), (0, 1)],
        [(0, 0), (3, 0), (3, 1), (1, 1), (1, 2), (0, 2)],
        [(0, 0), (5, 0), (5, 0.01), (0, 0.01)],
        [(1, 1), (2, 2), (1, 2)],
    ]
    return [ring_of(points, scale=scale, at=(x, y), angle=angle) for angle in (0, 0.6) for points in plain]


def measure(ruler: Ruler | InterruptedMap, arcs: list[Floats]) -> tuple[Floats, Floats]:
    return ruler.measure_arcs(np.concatenate(arcs), np.cumsum([0, *map(len, arcs)]))


def outline(arcs: list[Floats]) -> Bounds:
    points = np.concatenate(arcs)
    return (*points.min(axis=0), *points.max(axis=0))


def geodesic_measures(ring: Floats, crs: CRS, *, step: float) -> tuple[float, float]:
    """The oracle: geodesics between points `step` CRS units apart on the edges, on the ellipsoid of the CRS."""
    source = pyproj.CRS.from_wkt(crs.to_wkt(version="WKT2_2019"))
    base, geod = source.geodetic_crs, source.get_geod()
    assert base is not None
    assert geod is not None
    to_lonlat = pyproj.Transformer.from_crs(source, base, always_xy=True)
    factor = math.degrees(base.axis_info[0].unit_conversion_factor)
    dense = shapely.get_coordinates(shapely.segmentize(shapely.LinearRing(ring), step))
    lon, lat = np.array(to_lonlat.transform(*dense.T)) * factor
    area, perimeter = geod.polygon_area_perimeter(lon, lat)
    return float(area), float(perimeter)


# Where, in which CRS, how large in CRS units.
PROJECTED = {
    "UTM, 500 m": (32633, 300_000, 6_500_000, 500),
    "UTM, 3 km": (32633, 700_000, 8_500_000, 3_000),
    "UTM, 40 km": (32633, 400_000, 7_000_000, 40_000),
    "web mercator, 1 km": (3857, 1_500_000, 8_000_000, 1_000),
    "web mercator, 50 km": (3857, 1_500_000, 8_000_000, 50_000),
    "web mercator, 1000 km": (3857, 1_500_000, 4_000_000, 1_000_000),
    "web mercator, past 180": (3857, 20_000_000, 4_000_000, 50_000),
    "over the antimeridian": (3832, 3_338_000, 6_000_000, 5_000),
    "UTM 60 over the antimeridian": (32660, 830_000, 6_000_000, 10_000),
    "polar stereographic, near the pole": (3413, 1_000, 2_000, 10_000),
    "polar stereographic, over the pole": (3031, -30_000, -20_000, 30_000),
    "LAEA Europe, 300 km": (3035, 4_000_000, 3_000_000, 300_000),
    "Albers, 500 km": (5070, -1_000_000, 1_000_000, 500_000),
    "oblique Mercator": (2056, 2_600_000, 1_200_000, 5_000),
    "Paris meridian and grads": (27572, 600_000, 2_000_000, 1_000),
    "US feet": (2263, 980_000, 200_000, 30_000),
    "with heights": (5972, 500_000, 7_000_000, 1_000),
}


@pytest.mark.parametrize("name", PROJECTED)
def test_map_coordinates_agree_with_geodesics(name: str) -> None:
    epsg, x, y, scale = PROJECTED[name]
    crs, rings = CRS.from_epsg(epsg), shapes(x, y, scale)
    areas, lengths = measure(Ruler(crs, outline(rings)), rings)
    expected = np.array([geodesic_measures(ring, crs, step=max(scale / 500, 20.0)) for ring in rings])
    np.testing.assert_allclose(areas, expected[:, 0], rtol=1e-7)
    np.testing.assert_allclose(lengths, expected[:, 1], rtol=1e-7)


# Where, how large in degrees.
GEOGRAPHIC = {
    "a town": (-70.0, -33.0, 0.05),
    "a country": (10.0, 45.0, 1.0),
    "over the antimeridian": (179.0, -17.0, 0.7),
    "over the equator": (20.0, -1.0, 1.0),
    "the far north": (25.0, 75.0, 1.0),
}


@pytest.mark.parametrize("datum", ["EPSG:4326", "EPSG:4979", "EPSG:4314", "OGC:CRS84"])
@pytest.mark.parametrize("name", few(GEOGRAPHIC, 8))
def test_longitudes_and_latitudes_agree_with_geodesics(name: str, datum: str) -> None:
    x, y, scale = GEOGRAPHIC[name]
    crs, rings = CRS.from_string(datum), shapes(x, y, scale)
    areas, lengths = measure(Ruler(crs, outline(rings)), rings)
    expected = np.array([geodesic_measures(ring, crs, step=scale / 1000) for ring in rings])
    np.testing.assert_allclose(areas, expected[:, 0], rtol=1e-7)
    np.testing.assert_allclose(lengths, expected[:, 1], rtol=1e-7)


def test_grads_are_no_degrees() -> None:
    crs, rings = CRS.from_epsg(4807), shapes(1.0, 52.0, 0.1)  # NTF (Paris), in grads from Paris
    areas, lengths = measure(Ruler(crs, outline(rings)), rings)
    expected = np.array([geodesic_measures(ring, crs, step=0.0002) for ring in rings])
    np.testing.assert_allclose(areas, expected[:, 0], rtol=1e-7)
    np.testing.assert_allclose(lengths, expected[:, 1], rtol=1e-7)


LAYERS = {
    "web mercator": (3857, WORLD_MERCATOR, (1.5e6, 8e6, 1e3)),
    "web mercator, far north": (3857, WORLD_MERCATOR, (-1.9e7, 1.9e7, 2e4)),
    "degrees": (4326, WORLD, (-170.0, 72.0, 0.05)),
    "degrees, near the pole": (4326, WORLD, (-170.0, 88.0, 0.02)),
    "polar stereographic": (3413, (-4e6, -4e6, 4e6, 4e6), (-3.7e6, 3.5e6, 5e3)),
    "conterminous US": (5070, (-2.5e6, 2e5, 2.3e6, 3.3e6), (2e6, 3e6, 3e3)),
    "Europe": (3035, (9e5, 9e5, 7.4e6, 5.5e6), (7e6, 5e6, 3e3)),
    "a wide UTM layer": (32633, (-5e5, 5e6, 1e6, 9e6), (-4e5, 8e6, 3e3)),
}


@pytest.mark.parametrize("name", LAYERS)
def test_small_polygons_of_large_layers_agree_with_geodesics(name: str) -> None:
    epsg, bounds, (x, y, scale) = LAYERS[name]
    crs, rings = CRS.from_epsg(epsg), shapes(x, y, scale)
    areas, lengths = measure(Ruler(crs, bounds), rings)
    expected = np.array([geodesic_measures(ring, crs, step=scale / 300) for ring in rings])
    np.testing.assert_allclose(areas, expected[:, 0], rtol=1e-7)
    np.testing.assert_allclose(lengths, expected[:, 1], rtol=1e-7)


# A pixel's geodesics would need more digits than they have; the scale of the map at the place is the oracle there.


def mercator_scale(y: Floats) -> Floats:
    """Square metres in a square unit of EPSG:3857, from the formulas of the ellipsoid and of the spherical Mercator."""
    a, e2 = 6_378_137.0, 0.0066943799901413165
    lat = np.arctan(np.sinh(y / a))
    return np.asarray(np.cos(lat) ** 2 * (1 - e2) / (1 - e2 * np.sin(lat) ** 2) ** 2)


@pytest.mark.parametrize("angle", [0.0, 0.6], ids=["upright", "turned"])
@pytest.mark.parametrize("pixel", [0.05, 1.0, 30.0])
def test_a_pixel_keeps_its_digits_in_a_layer_of_100_000(pixel: float, angle: float) -> None:
    x, y, half = 1_234_567.8, 6_543_210.9, 50_000 * pixel
    corners = np.array([(-1, -1), (-1, 1), (1, -1), (1, 1), (0.3, -0.99), (0, 0)]) * half * 0.999
    pixels = [ring_of([(-.5, -.5), (.5, -.5), (.5, .5), (-.5, .5)], scale=pixel, at=(x + dx, y + dy), angle=angle)
              for dx, dy in corners]  # fmt: skip
    areas, _ = measure(Ruler(CRS.from_epsg(3857), (x - half, y - half, x + half, y + half)), pixels)
    np.testing.assert_allclose(areas, pixel**2 * mercator_scale(y + corners[:, 1]), rtol=2e-8)


@pytest.mark.parametrize("pixel", [0.05, 1.0, 10.0])
@pytest.mark.parametrize(("epsg", "x", "y"), [(32633, 500_000, 4_000_000), (3031, 9e5, 9e5), (2193, 1.75e6, 5.9e6)])
def test_a_pixel_keeps_its_digits_in_other_maps(epsg: int, x: float, y: float, pixel: float) -> None:
    half = 25_000 * pixel
    corners = np.array([(-1, -1), (1, 1), (0.5, -0.99)]) * half * 0.999
    square = ring_of([(-0.5, -0.5), (0.5, -0.5), (0.5, 0.5), (-0.5, 0.5)], scale=pixel)
    areas, lengths = measure(
        Ruler(CRS.from_epsg(epsg), (x - half, y - half, x + half, y + half)),
        [square + np.array([x + dx, y + dy]) for dx, dy in corners],
    )
    proj = pyproj.Proj(epsg)
    scales = [proj.get_factors(*proj(x + dx, y + dy, inverse=True)).areal_scale for dx, dy in corners]
    np.testing.assert_allclose(areas, pixel**2 / np.array(scales), rtol=1e-7)
    np.testing.assert_allclose(lengths, 4 * pixel / np.sqrt(scales), rtol=1e-7)  # all three are conformal


def test_a_pixel_in_degrees_keeps_its_digits() -> None:
    pixel, lon, lat = 1e-6, -179.9, 78.123456  # 10 cm in a layer of the whole world
    e2, a = 0.0066943799901413165, 6_378_137.0
    root = 1 - e2 * math.sin(math.radians(lat)) ** 2
    expected = math.radians(pixel) ** 2 * a**2 * (1 - e2) * math.cos(math.radians(lat)) / root**2
    square = ring_of([(-0.5, -0.5), (0.5, -0.5), (0.5, 0.5), (-0.5, 0.5)], scale=pixel, at=(lon, lat))
    side = square[1, 0] - square[0, 0], square[2, 1] - square[1, 1]  # the digits that the coordinates themselves have
    areas, _ = measure(Ruler(CRS.from_epsg(4326), WORLD), [square])
    assert areas[0] == pytest.approx(expected * side[0] * side[1] / pixel**2, rel=1e-7)


steps = st.lists(st.tuples(st.integers(-9, 9), st.integers(-9, 9)), min_size=3, max_size=12)
RULERS = {
    "UTM": (Ruler(CRS.from_epsg(32633), (4e5, 5e6, 6e5, 5.2e6)), 300.0, (5.1e5, 5.11e6)),
    "degrees": (Ruler(CRS.from_epsg(4326), WORLD), 0.3, (178.0, 51.0)),
    "Mollweide": (Ruler(CRS.from_string("ESRI:54009"), (-1.8e7, -9e6, 1.8e7, 9e6)), 3000.0, (8e6, 5e6)),
}


@pytest.mark.parametrize("name", RULERS)
@given(points=steps, cuts=st.sets(st.integers(0, 11), min_size=1), turned=st.sets(st.integers(0, 11)))
def test_a_ring_is_the_sum_of_its_arcs(
    name: str, points: list[tuple[int, int]], cuts: set[int], turned: set[int]
) -> None:
    ruler, scale, at = RULERS[name]
    ring = ring_of(points, scale=scale, at=at)
    area, length = (values[0] for values in measure(ruler, [ring]))
    ends = sorted({0, len(points), *(cut for cut in cuts if cut < len(points))})
    arcs = [ring[start : stop + 1] for start, stop in pairwise(ends)]
    signs = np.array([-1 if i in turned else 1 for i in range(len(arcs))])
    areas, lengths = measure(ruler, [arc[::sign] for arc, sign in zip(arcs, signs, strict=True)])
    assert (areas * signs).sum() == pytest.approx(area, rel=1e-9, abs=1e-12 * length**2)
    assert lengths.sum() == pytest.approx(length, rel=1e-12)


@pytest.mark.parametrize("name", RULERS)
@given(points=steps, along=st.floats(0.01, 0.99))
def test_more_points_on_its_edges_do_not_change_a_ring(name: str, points: list[tuple[int, int]], along: float) -> None:
    ruler, scale, at = RULERS[name]
    ring = ring_of(points, scale=scale, at=at)
    dense = np.empty((2 * len(ring) - 1, 2))
    dense[::2], dense[1::2] = ring, ring[:-1] + along * (ring[1:] - ring[:-1])
    areas, lengths = measure(ruler, [ring, dense])
    assert areas[1] == pytest.approx(areas[0], rel=1e-8, abs=1e-9 * lengths[0] ** 2)
    assert lengths[1] == pytest.approx(lengths[0], rel=1e-7)


@given(columns=st.lists(st.floats(-170, 170), min_size=1, max_size=5), row=st.floats(-80, 80))
def test_the_parts_of_the_earth_have_its_area(columns: list[float], row: float) -> None:
    ruler = RULERS["degrees"][0]
    xs, ys = sorted({-180.0, *columns, 180.0}), (-90.0, row, 90.0)
    boxes = [
        np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1), (x0, y0)])
        for x0, x1 in pairwise(xs)
        for y0, y1 in pairwise(ys)
    ]
    assert measure(ruler, boxes)[0].sum() == pytest.approx(510_065_621_724_089, rel=1e-9)


def test_the_whole_earth_has_its_area() -> None:
    half_pixel_over = ring_of([(-180.25, -90.25), (179.75, -90.25), (179.75, 90.25), (-180.25, 90.25)])
    ring = ring_of([(-180, -90), (180, -90), (180, 90), (-180, 90)])
    for arc in (ring, half_pixel_over):
        areas, _ = measure(Ruler(CRS.from_epsg(4326), outline([arc])), [arc])
        assert areas[0] == pytest.approx(510_065_621_724_089, rel=1e-9)
    areas, lengths = measure(Ruler(CRS.from_string("+proj=longlat +R=1000"), WORLD), [ring, ring[[1, 2]]])
    assert areas[0] == pytest.approx(4e6 * math.pi, rel=1e-9)
    assert lengths[1] == pytest.approx(1e3 * math.pi, rel=1e-9)


def test_a_ring_around_the_pole() -> None:
    radius = 500_000
    ring = ring_of(radius * np.column_stack([np.cos(a := np.linspace(0, 2 * np.pi, 721)[:-1]), np.sin(a)]))
    lat = pyproj.Transformer.from_crs(3413, 4326, always_xy=True).transform(0, radius)[1]
    cap = measure(Ruler(CRS.from_epsg(4326), WORLD), [ring_of([(-180, lat), (180, lat), (180, 90), (-180, 90)])])[0][0]
    areas, _ = measure(Ruler(CRS.from_epsg(3413), outline([ring])), [ring])
    chords = math.sin(2 * math.pi / 720) / (2 * math.pi / 720)
    assert areas[0] == pytest.approx(cap * chords, rel=2e-6)


def test_full_turns_change_nothing() -> None:
    crs, rings = CRS.from_epsg(4326), shapes(150.0, -20.0, 0.25)
    expected = measure(Ruler(crs, outline(rings)), rings)
    moved = [ring + np.array([360.0, 0.0]) for ring in rings]
    np.testing.assert_allclose(measure(Ruler(crs, outline(moved)), moved), expected, rtol=1e-9)


def test_the_unit_of_the_map_changes_nothing() -> None:
    metres = CRS.from_string("+proj=lcc +lat_0=40 +lon_0=-74 +lat_1=40.6 +lat_2=41 +ellps=GRS80 +units=m")
    feet = CRS.from_string("+proj=lcc +lat_0=40 +lon_0=-74 +lat_1=40.6 +lat_2=41 +ellps=GRS80 +units=us-ft")
    rings = shapes(30_000, 20_000, 1_000)
    expected = measure(Ruler(metres, outline(rings)), rings)
    in_feet = [ring * (3937 / 1200) for ring in rings]
    np.testing.assert_allclose(measure(Ruler(feet, outline(in_feet)), in_feet), expected, rtol=1e-9)


def test_a_shift_to_another_datum_changes_nothing() -> None:
    plain = "+proj=utm +zone=33 +ellps=bessel"
    rings = shapes(500_000, 5_000_000, 1_000)
    expected = measure(Ruler(CRS.from_string(plain), outline(rings)), rings)
    bound = CRS.from_string(plain + " +towgs84=598.1,73.7,418.2,0.202,0.045,-2.455,6.7")
    np.testing.assert_allclose(measure(Ruler(bound, outline(rings)), rings), expected, rtol=1e-12)


def test_a_mirrored_map_counts_as_it_is_drawn() -> None:
    plain, mirrored = "+proj=tmerc +lon_0=15 +ellps=GRS80", "+proj=tmerc +lon_0=15 +ellps=GRS80 +axis=wnu"
    ring = ring_of([(0, 0), (1, 0), (1, 2), (0, 2)], scale=1_000, at=(2_000, 5_000_000))
    other = ring_of([(0, 0), (1, 0), (1, 2), (0, 2)], scale=1_000, at=(-3_000, 5_000_000))
    expected = measure(Ruler(CRS.from_string(plain), outline([ring])), [ring])
    np.testing.assert_allclose(
        measure(Ruler(CRS.from_string(mirrored), outline([other])), [other]), expected, rtol=1e-9
    )


def test_a_turned_globe_agrees_with_the_plain_one() -> None:
    turned = CRS.from_string("+proj=ob_tran +o_proj=longlat +o_lon_p=0 +o_lat_p=39.25 +lon_0=18 +R=6371000")
    square = ring_of([(0, 0), (0.1, 0), (0.1, 0.1), (0, 0.1)])
    plain = CRS.from_string("+proj=longlat +R=6371000")
    for bounds in ((0.0, 0.0, 0.1, 0.1), (-30.0, -30.0, 30.0, 30.0)):
        expected = measure(Ruler(plain, bounds), [square])
        np.testing.assert_allclose(measure(Ruler(turned, bounds), [square]), expected, rtol=1e-8)


# Maps that tear or end.


def test_a_whole_world_that_is_no_rectangle() -> None:
    crs = CRS.from_string("ESRI:54009")  # Mollweide: the corners of the map are off the Earth
    bounds = (-1.8e7, -9e6, 1.8e7, 9e6)
    rings = [*shapes(2e6, 3e6, 1e4), *shapes(-1.2e7, 4e6, 5e5)]
    expected = np.array([geodesic_measures(ring, crs, step=np.ptp(ring, axis=0).max() / 2_000) for ring in rings])
    areas, lengths = measure(Ruler(crs, bounds), [ring_of([(1.7e7, 8.9e6), (1.71e7, 8.9e6), (1.71e7, 9e6)]), *rings])
    assert np.isnan(areas[0])
    assert np.isnan(lengths[0])
    np.testing.assert_allclose(areas[1:], expected[:, 0], rtol=1e-6)
    np.testing.assert_allclose(lengths[1:], expected[:, 1], rtol=1e-6)


MAPS = {
    "UTM": ("EPSG:32633", 3e5, 6.5e6, 500),
    "web mercator": ("EPSG:3857", 1.5e6, 4e6, 3e5),
    "Krovak": ("EPSG:5514", -6e5, -1.1e6, 2e4),
    "polar stereographic": ("EPSG:3413", 1e3, 2e3, 1e4),
    "transverse Mercator, 2 m": ("EPSG:2193", 1.7e6, 5.9e6, 2),
    "sinusoidal on a sphere": ("+proj=sinu +R=6371007.181", 2e6, 5e6, 463.3127),
    "mirrored": ("+proj=tmerc +lon_0=15 +ellps=GRS80 +axis=wnu", 2e3, 5e6, 1e3),
}


@pytest.mark.parametrize("name", MAPS)
def test_point_by_point_measures_agree_with_the_table(name: str) -> None:
    crs_name, x, y, scale = MAPS[name]
    rings = [*shapes(x, y, scale), np.array([[x, y]]), np.empty((0, 2))]
    bounds, crs = outline(rings), CRS.from_string(crs_name)
    points, offsets = np.concatenate(rings), np.cumsum([0, *map(len, rings)])
    slow = InterruptedMap(Ground(crs), bounds).measure_arcs(points, offsets)
    np.testing.assert_allclose(Ruler(crs, bounds).measure_arcs(points, offsets), slow, rtol=1e-7)


def test_points_one_by_one_come_in_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    rings = shapes(3e5, 6.5e6, 500)
    points, offsets = np.concatenate(rings), np.cumsum([0, *map(len, rings)])
    slow = InterruptedMap(Ground(CRS.from_epsg(32633)), outline(rings))
    expected = slow.measure_arcs(points, offsets)
    for most in (1, 7, 12, 23):  # a square takes 9 points with its first again, an L 13
        monkeypatch.setattr("geodeeplab.vector.measure.interrupted.POINTS_AT_ONCE", most)
        np.testing.assert_array_equal(slow.measure_arcs(points, offsets), expected)


def test_edges_around_the_earth_are_measured_in_bounded_memory() -> None:
    crs = CRS.from_epsg(32633)
    ring = ring_of([(5e5, 5e6), (5e5 + 1, 5e6), (5e5 + 1, 5e6 - 1e7), (5e5, 5e6 - 1e7)])
    slow = InterruptedMap(Ground(crs), outline([ring]))
    area, length = measure(slow, [ring])
    tracemalloc.start()
    try:
        areas, lengths = measure(slow, [np.tile(ring, (100, 1))])
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    np.testing.assert_allclose([areas[0], lengths[0]], [100 * area[0], 100 * length[0]], rtol=1e-9)
    assert peak < 60e6


def test_half_the_earth_from_space() -> None:
    crs = CRS.from_string("+proj=geos +h=35785831 +lon_0=0 +sweep=y +ellps=WGS84")
    rings = [*shapes(2e6, 2e6, 1e4), *shapes(-2.5e6, -1e6, 3e4)]
    expected = np.array([geodesic_measures(ring, crs, step=1_000) for ring in rings])
    areas, lengths = measure(Ruler(crs, (-3e6, -3e6, 3e6, 3e6)), rings)
    np.testing.assert_allclose(areas, expected[:, 0], rtol=1e-5)
    np.testing.assert_allclose(lengths, expected[:, 1], rtol=1e-5)


def test_a_layer_whose_middle_is_torn_off() -> None:
    crs = CRS.from_string("+proj=igh +ellps=WGS84")  # between the lobes of the interrupted map there is no Earth
    rings = shapes(-1.2e7, -5e6, 1e4)
    areas, lengths = measure(Ruler(crs, (-2e7, -8.7e6, 1.5e7, 0.0)), rings)
    expected = np.array([geodesic_measures(ring, crs, step=500) for ring in rings])
    np.testing.assert_allclose(areas, expected[:, 0], rtol=1e-6)
    np.testing.assert_allclose(lengths, expected[:, 1], rtol=1e-6)


def test_nothing_on_the_earth() -> None:
    crs = CRS.from_string("ESRI:54009")
    with pytest.warns(GeoDeepLabWarning, match="outside its domain"):
        ruler = Ruler(crs, (1.7e7, 8.9e6, 1.71e7, 9e6))
    assert not ruler.known


# What has no measure.

METHOD = 'METHOD["Transverse Mercator",ID["EPSG",9807]]'


def test_unknown_without_crs() -> None:
    ruler = Ruler(None, (0, 0, 1, 1))
    assert not ruler.known
    areas, lengths = measure(ruler, shapes(0, 0, 1))
    assert areas.shape == lengths.shape == (8,)
    assert np.isnan(areas).all()
    assert np.isnan(lengths).all()


@pytest.mark.parametrize(
    "wkt",
    [
        'LOCAL_CS["site grid",UNIT["metre",1]]',
        CRS.from_epsg(4978).to_wkt(version="WKT2_2019"),
        CRS.from_epsg(32633).to_wkt(version="WKT2_2019").replace(METHOD, 'METHOD["Our own"]'),
    ],
    ids=["engineering", "geocentric", "unknown method"],
)
def test_unknown_with_a_warning_off_the_earth(wkt: str) -> None:
    with pytest.warns(GeoDeepLabWarning, match="areas in m² and perimeters in m are left empty"):
        ruler = Ruler(CRS.from_wkt(wkt), (0, 0, 1, 1))
    assert not ruler.known
    assert np.isnan(measure(ruler, shapes(0, 0, 1))).all()


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, 1e12])
def test_arcs_out_of_reach_are_nan_and_leave_the_others_alone(bad: float) -> None:
    good = ring_of([(0, 0), (1, 0), (1, 1)], scale=100, at=(5e5, 5e6))
    for axis in (0, 1):
        broken = good.copy()
        broken[1, axis] = bad
        areas, lengths = measure(Ruler(CRS.from_epsg(32633), outline([good])), [broken, good, good])
        assert np.isnan([areas[0], lengths[0]]).all()
        assert areas[1] == areas[2] > 0
        assert lengths[1] == lengths[2] > 0


def test_no_arcs_and_single_points() -> None:
    ruler = Ruler(CRS.from_epsg(32633), (5e5, 5e6, 6e5, 6e6))
    assert [len(values) for values in ruler.measure_arcs(np.empty((0, 2)), np.array([0]))] == [0, 0]
    areas, lengths = ruler.measure_arcs(np.array([[5e5, 5e6]]), np.array([0, 1]))
    assert (areas[0], lengths[0]) == (0, 0)


def test_a_layer_without_width() -> None:
    line = np.array([(5e5, 5e6), (5e5, 5.001e6)])
    _, lengths = measure(Ruler(CRS.from_epsg(32633), outline([line])), [line])
    assert lengths[0] == pytest.approx(1000 / 0.9996, rel=1e-6)


def test_threads_give_the_same_bits() -> None:
    generator = np.random.default_rng(5)
    points = generator.uniform((4e5, 5e6), (6e5, 5.2e6), (20_000, 2))
    offsets = np.arange(0, 20_001, 20)
    rulers = [Ruler(CRS.from_epsg(32633), (4e5, 5e6, 6e5, 5.2e6)) for _ in range(2)]
    results: dict[int, tuple[Floats, Floats]] = {}

    def work(i: int) -> None:
        results[i] = rulers[i % 2].measure_arcs(points, offsets)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for i in range(1, 4):
        np.testing.assert_array_equal(results[i], results[0])


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_real_scenes_agree_with_geodesics(shared_data: Path) -> None:
    seen = set()
    for path in sorted((shared_data / "scenes").glob("*/*.tif")):
        with rasterio.open(path) as src:
            crs, transform, shape = src.crs, src.transform, src.shape
        if crs is None or transform.is_identity or crs.to_wkt() in seen:
            continue
        grid = Grid(shape=shape, transform=transform, crs=crs)
        corners = np.array([(0.5, 0.5), (0.58, 0.52), (0.54, 0.59), (0.5, 0.5)]) * (grid.width, grid.height)
        ring = np.array([transform @ tuple(corner) for corner in corners])
        area, length = (values[0] for values in measure(Ruler(crs, grid.bounds), [ring]))
        expected = geodesic_measures(ring, crs, step=np.ptp(ring, axis=0).max() / 200)
        assert (area, length) == pytest.approx(expected, rel=1e-6, abs=1e-3), path.name
        seen.add(crs.to_wkt())
    assert len(seen) >= 3
