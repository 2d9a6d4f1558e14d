import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from rasterio.crs import CRS

from geodeeplab.errors import OutputError
from geodeeplab.raster.cog import LabelClass
from geodeeplab.vector.layers import OUTPUT_CRS, write_polygons
from geodeeplab.vector.layers.antimeridian import split_at_antimeridian
from geodeeplab.vector.layers.geojson import _coordinates
from geodeeplab.vector.trace.batch import PolygonBatch
from tests.vector.polygon_batches import batch_of, batch_of_labels

CRS84 = CRS.from_string("OGC:CRS84")
DEGREES = Affine(1e-5, 0, 10, 0, -1e-5, 50)
CLASSES = [LabelClass(id=7, name='"Straße"/x', color=(200, 0, 10))]


def write(batches: Any, path: Path, **options: Any) -> dict[str, Any]:  # noqa: ANN401
    write_polygons(batches, path, **{"crs": CRS84, "classes": CLASSES} | options)
    return dict(json.loads(path.read_text("utf-8")))


def test_the_whole_file_by_hand(tmp_path: Path) -> None:
    batch = batch_of([shapely.box(10, 50, 10.5, 50.25)], class_ids=[7], confidence=True)
    write([batch], tmp_path / "a.geojson", metadata={"model": "x"})
    assert (tmp_path / "a.geojson").read_text("utf-8") == (
        '{"type":"FeatureCollection","name":"landcover","metadata":{"model":"x"},"features":[\n'
        '{"type":"Feature","properties":{"class_id":7,"class_name":"\\"Straße\\"/x","area_m2":0.125,"perimeter_m":1.5,'
        '"confidence":50.0,"confidence_min":5.0},"geometry":{"type":"Polygon","coordinates":'
        "[[[10.5,50],[10.5,50.25],[10,50.25],[10,50],[10.5,50]]]}}\n]}\n"
    )


def test_no_polygon_is_an_empty_collection(tmp_path: Path) -> None:
    assert write([], tmp_path / "a.geojson") == {"type": "FeatureCollection", "name": "landcover", "features": []}


@given(values=st.lists(st.floats(-179.9, 179.9), min_size=1, max_size=20))
def test_numbers_are_rounded_to_nine_decimals_without_needless_zeros(values: list[float]) -> None:
    points = np.array([[value, value / 2] for value in values])
    count = len(points)
    batch = PolygonBatch(
        class_ids=np.ones(1, np.int32),
        points=points,
        ring_offsets=np.array([0, count]),
        polygon_offsets=np.array([0, 1]),
        area_m2=np.zeros(1),
        perimeter_m=np.zeros(1),
    )
    (text,) = _coordinates(batch)
    ((ring,),) = (json.loads(text),)
    np.testing.assert_allclose(ring, points, rtol=0, atol=0.5000001e-9)
    expected = ",".join(f"[{','.join(_shortest(value) for value in point)}]" for point in points)
    assert text.decode() == f"[[{expected}]]"


def _shortest(value: float) -> str:
    text = f"{np.rint(value * 10**9) / 10**9:.9f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


@pytest.mark.parametrize("multi", [False, True])
def test_rings_follow_the_right_hand_rule_and_close(tmp_path: Path, multi: bool) -> None:
    labels = np.array([[7, 7, 7, 0], [7, 2, 7, 2], [7, 7, 7, 0]])
    document = write([batch_of_labels(labels, transform=DEGREES, multi=multi)], tmp_path / "a.geojson")
    for feature in document["features"]:
        geometry = feature["geometry"]
        assert geometry["type"] == ("MultiPolygon" if multi else "Polygon")
        for polygon in geometry["coordinates"] if multi else [geometry["coordinates"]]:
            for place, ring in enumerate(polygon):
                assert ring[0] == ring[-1]
                assert len(ring) >= 4
                assert shapely.LinearRing(ring).is_ccw == (place == 0)


def test_equal_corners_stay_equal(tmp_path: Path) -> None:
    seeds = shapely.MultiPoint(np.random.default_rng(0).normal((10.123, 50.987), 1e-4, (300, 2)))
    cells = shapely.get_parts(shapely.voronoi_polygons(seeds, extend_to=seeds.envelope))
    assert shapely.coverage_is_valid(cells)
    document = write([batch_of(cells)], tmp_path / "a.geojson")
    polygons = [shapely.geometry.shape(feature["geometry"]) for feature in document["features"]]
    assert shapely.is_valid(polygons).all()
    assert shapely.coverage_is_valid(polygons)


def test_refuses_coordinates_that_are_no_degrees(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="540° of longitude or 90° of latitude"):
        write([batch_of([shapely.box(500_000, 0, 500_001, 1)])], tmp_path / "a.geojson")
    assert list(tmp_path.iterdir()) == []


def test_the_crs_that_callers_are_told_is_taken(tmp_path: Path) -> None:
    for crs in (CRS.from_string(OUTPUT_CRS[".geojson"]), CRS.from_epsg(4326)):
        assert write([], tmp_path / "a.geojson", crs=crs)["features"] == []
        (tmp_path / "a.geojson").unlink()


@pytest.mark.parametrize("turn", [-360, 0])
def test_polygons_across_the_antimeridian_are_cut_there(tmp_path: Path, turn: int) -> None:
    """RFC 7946, section 3.1.9."""
    boxes = [(170, 175), (175, 185), (178, 179), (181, 190), (160, 180)]
    batch = batch_of([shapely.box(west + turn, 0, east + turn, 1) for west, east in boxes])
    document = write([batch], tmp_path / "a.geojson")
    assert [feature["properties"]["class_id"] for feature in document["features"]] == [1, 2, 3, 4, 5]
    found = [shapely.geometry.shape(feature["geometry"]) for feature in document["features"]]
    assert [polygon.area for polygon in found] == [5, 10, 1, 9, 20]
    assert found[1].equals(shapely.MultiPolygon([shapely.box(175, 0, 180, 1), shapely.box(-180, 0, -175, 1)]))
    assert found[3].equals(shapely.box(-179, 0, -170, 1))
    west, _, east, _ = shapely.total_bounds(found)
    assert (west, east) == (-180, 180)


def test_what_needs_no_cut_stays_in_one_piece() -> None:
    batch = batch_of([shapely.box(-180, 0, 180, 1)])
    assert list(split_at_antimeridian(batch)) == [batch]
    mixed = batch_of([shapely.box(x, 0, x + 2, 1) for x in (170, 172, 179, 181, 175)])
    pieces = list(split_at_antimeridian(mixed))
    assert [len(piece) for piece in pieces] == [2, 2, 1]
    assert [piece.feature_offsets is not None for piece in pieces] == [False, True, False]
    assert all(len(piece.area_m2) == len(piece) for piece, _ in pairwise([*pieces, pieces[0]]))
