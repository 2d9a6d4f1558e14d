from pathlib import Path

import geopandas
import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.crs import CRS

from geodeeplab.errors import OptionError
from geodeeplab.vector.layers import write_polygons
from geodeeplab.vector.layers.subdivide import MIN_VERTICES, subdivide
from geodeeplab.vector.trace.batch import PolygonBatch
from tests.examples import examples
from tests.vector.polygon_batches import batch_of, batch_of_labels, planar_measure


def noisy(seed: int, side: int = 20, angle: float = 0.0) -> PolygonBatch:
    """Ragged polygons with many holes, turned so that cuts meet slanted edges."""
    labels = (np.random.default_rng(seed).random((side, side)) < 0.7).astype(np.uint8)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    flat = batch_of_labels(labels).geometries()
    turned = shapely.transform(flat, lambda points: points @ turn * 0.3 + (500_000.1, 4_000_000.7))
    return batch_of(turned, confidence=True)


@pytest.mark.parametrize("angle", [0.0, 0.3])
@settings(max_examples=examples(20))
@given(seed=st.integers(0, 1000), limit=st.integers(MIN_VERTICES, 200))
def test_parts_are_valid_small_and_cover_the_whole(seed: int, limit: int, angle: float) -> None:
    whole = noisy(seed, angle=angle)
    parts = subdivide(whole, max_vertices=limit, measure=planar_measure)
    geometries = parts.geometries()
    assert shapely.is_valid(geometries).all()
    assert shapely.get_num_coordinates(geometries).max() <= limit
    assert shapely.area(geometries).sum() == pytest.approx(whole.area_m2.sum(), rel=1e-9)
    assert (
        shapely.area(shapely.symmetric_difference(shapely.union_all(geometries), shapely.union_all(whole.geometries())))
        < 1e-6
    )
    np.testing.assert_allclose(parts.area_m2, shapely.area(geometries), rtol=1e-6)
    np.testing.assert_allclose(parts.perimeter_m, shapely.length(geometries), rtol=1e-6)


def test_rings_that_touch_are_cut_apart() -> None:
    """Holes that touch each other at corners from cut to cut leave pieces that no longer hang together."""
    labels = np.ones((40, 40), np.uint8)
    labels[np.arange(1, 39), np.arange(1, 39)] = 0
    labels[np.arange(1, 39), np.arange(1, 39)[::-1]] = 0
    whole = batch_of_labels(labels)
    parts = subdivide(whole, max_vertices=MIN_VERTICES, measure=planar_measure)
    geometries = parts.geometries()
    assert shapely.is_valid(geometries).all()
    assert parts.area_m2.sum() == shapely.area(geometries).sum() == labels.sum()
    assert shapely.union_all(geometries).equals(shapely.union_all(whole.geometries()))


def test_parts_take_the_place_and_the_values_of_the_whole() -> None:
    circle = shapely.Point(0, 0).buffer(10, quad_segs=50)
    batch = batch_of(
        [shapely.box(20, 0, 21, 1), circle, shapely.box(30, 0, 31, 1)], class_ids=[5, 6, 7], confidence=True
    )
    parts = subdivide(batch, max_vertices=60, measure=None)
    assert np.unique(parts.class_ids).tolist() == [5, 6, 7]
    assert (np.diff(parts.class_ids) >= 0).all()
    assert parts.confidence_mean is not None
    assert batch.confidence_mean is not None
    np.testing.assert_array_equal(np.unique(parts.confidence_mean), batch.confidence_mean)
    assert (parts.area_m2[0], parts.area_m2[-1]) == (1, 1)
    assert np.isnan(parts.area_m2[1:-1]).all()
    assert np.isnan(parts.perimeter_m[1:-1]).all()


def test_small_polygons_are_left_alone() -> None:
    batch = noisy(0)
    assert subdivide(batch, max_vertices=len(batch.points), measure=None) is batch


def test_a_comb_is_cut_along_its_teeth() -> None:
    teeth = shapely.union_all([shapely.box(2 * i, 0, 2 * i + 1, 1000) for i in range(100)])
    comb = batch_of([teeth | shapely.box(0, -1, 199, 0)])
    parts = subdivide(comb, max_vertices=50, measure=planar_measure)
    assert parts.area_m2.sum() == pytest.approx(comb.area_m2.sum())
    assert shapely.get_num_coordinates(parts.geometries()).max() <= 50


def test_multipolygons_are_cut_into_multipolygons() -> None:
    labels = np.random.default_rng(1).integers(0, 3, (30, 30))
    whole = batch_of_labels(labels, multi=True)
    parts = subdivide(whole, max_vertices=100, measure=planar_measure)
    geometries = parts.geometries()
    assert set(shapely.get_type_id(geometries)) == {shapely.GeometryType.MULTIPOLYGON}
    assert shapely.is_valid(geometries).all()
    counts = shapely.get_num_coordinates(geometries)
    assert counts.max() <= 100
    assert counts.mean() > 50  # parts are gathered, not scattered
    for class_id, area in zip(whole.class_ids, whole.area_m2, strict=True):
        assert parts.area_m2[parts.class_ids == class_id].sum() == pytest.approx(area)


def test_parts_along_a_common_cut_are_not_one_multipolygon() -> None:
    labels = np.ones((60, 60), np.uint8)
    labels[5:55:10, 5:55:10] = 0
    parts = subdivide(batch_of_labels(labels, multi=True), max_vertices=40, measure=planar_measure)
    assert shapely.is_valid(parts.geometries()).all()
    assert parts.area_m2.sum() == 3575
    assert len(parts) > 3


def test_the_writer_cuts_and_counts_parts(tmp_path: Path) -> None:
    batch = noisy(3, side=40)
    count = write_polygons(
        [batch], tmp_path / "a.gpkg", crs=CRS.from_epsg(32633), classes=[], max_vertices=100, measure=planar_measure
    )
    frame = geopandas.read_file(tmp_path / "a.gpkg")
    assert len(frame) == count > len(batch)
    assert frame.geometry.count_coordinates().max() <= 100
    assert frame["area_m2"].sum() == pytest.approx(batch.area_m2.sum())


def test_refuses_a_limit_that_is_too_small(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="16 vertices or more, not 15"):
        write_polygons([], tmp_path / "a.gpkg", crs=None, classes=[], max_vertices=15)
