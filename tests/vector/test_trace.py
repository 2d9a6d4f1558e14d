from itertools import pairwise

import numpy as np
import pytest
import shapely
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from rasterio.features import rasterize, shapes

from geodeeplab.vector import trace
from geodeeplab.vector.trace import PolygonBatch, trace_polygons

IDENTITY = Affine.identity()
TRANSFORMS = {
    "north-up": Affine(0.5, 0, 500_000, 0, -0.5, 4_000_000),
    "south-up": Affine(10, 0, 500_000, 0, 10, 4_000_000),
    "rotated": Affine(0.3, 0.4, 500_000, 0.4, -0.3, 4_000_000),
    "sheared": Affine(1, 0.7, -20, 0, -1.3, 40),
    "degrees": Affine(1e-5, 0, 16.123456, 0, -1e-5, 48.654321),
}

rasters = hnp.arrays(
    dtype=st.sampled_from([np.uint8, np.int32]),
    shape=hnp.array_shapes(min_dims=2, max_dims=2, max_side=9),
    elements=st.integers(0, 3),
)


def gather(batches: list[PolygonBatch]) -> tuple[NDArray[np.int32], NDArray[np.object_]]:
    if not batches:
        return np.array([], np.int32), np.array([], object)
    return np.concatenate([b.class_ids for b in batches]), np.concatenate([b.geometries for b in batches])


def trace_all(
    labels: NDArray[np.integer], transform: Affine = IDENTITY, connectivity: int = 4
) -> tuple[NDArray[np.int32], NDArray[np.object_]]:
    return gather(list(trace_polygons([labels], transform=transform, connectivity=connectivity)))  # type: ignore[arg-type]


@given(raster=rasters, name=st.sampled_from(sorted(TRANSFORMS)), connectivity=st.sampled_from([4, 8]))
def test_polygons_are_valid_and_rasterise_back(raster: NDArray[np.integer], name: str, connectivity: int) -> None:
    transform = TRANSFORMS[name]
    ids, geometries = trace_all(raster, transform, connectivity)
    assert shapely.is_valid(geometries).all()
    assert set(shapely.get_type_id(geometries)) <= {3 if connectivity == 4 else 6}
    back = np.zeros_like(raster, dtype=np.int32)
    if len(ids):
        rasterize(zip(geometries, map(int, ids), strict=True), out=back, transform=transform)
    np.testing.assert_array_equal(back, raster)


@given(raster=rasters, name=st.sampled_from(sorted(TRANSFORMS)), connectivity=st.sampled_from([4, 8]))
def test_areas_count_the_pixels(raster: NDArray[np.integer], name: str, connectivity: int) -> None:
    transform = TRANSFORMS[name]
    ids, geometries = trace_all(raster, transform, connectivity)
    areas = np.bincount(ids, weights=shapely.area(geometries), minlength=4)[1:] / abs(transform.determinant)
    counts = np.bincount(raster.ravel(), minlength=4)[1:]
    np.testing.assert_allclose(areas, counts, rtol=1e-3, atol=1e-3)  # 1e-5 degrees leave few digits at 48 degrees


@given(raster=rasters)
def test_same_polygons_as_gdal(raster: NDArray[np.integer]) -> None:
    ids, geometries = trace_all(raster)
    expected = [(shapely.geometry.shape(g), int(v)) for g, v in shapes(raster, mask=raster != 0)]
    assert list(ids) == [value for _, value in expected]
    assert all(a.normalize() == b.normalize() for a, (b, _) in zip(geometries, expected, strict=True))


@given(raster=rasters, cuts=st.lists(st.integers(1, 8), max_size=4), connectivity=st.sampled_from([4, 8]))
def test_bands_do_not_show(raster: NDArray[np.integer], cuts: list[int], connectivity: int) -> None:
    stops = [0, *sorted({c for c in cuts if c < len(raster)}), len(raster)]
    bands = (raster[start:stop] for start, stop in pairwise(stops))
    ids, geometries = gather(list(trace_polygons(bands, transform=IDENTITY, connectivity=connectivity)))  # type: ignore[arg-type]
    whole_ids, whole_geometries = trace_all(raster, connectivity=connectivity)
    np.testing.assert_array_equal(ids, whole_ids)
    assert shapely.equals_exact(geometries, whole_geometries).all()


def test_batches_are_cut_without_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    labels = np.random.default_rng(0).integers(0, 4, (20, 20), dtype=np.uint8)
    ids, geometries = trace_all(labels)
    monkeypatch.setattr(trace, "BATCH_SIZE", 7)
    batches = list(trace_polygons([labels], transform=IDENTITY))
    assert {len(batch.class_ids) for batch in batches[:-1]} == {7}
    cut_ids, cut_geometries = gather(batches)
    np.testing.assert_array_equal(cut_ids, ids)
    assert shapely.equals_exact(cut_geometries, geometries).all()


def test_a_ring_of_pixels_has_a_hole() -> None:
    ids, geometries = trace_all(np.array([[1, 1, 1], [1, 2, 1], [1, 1, 1]], np.uint8))
    expected = {
        1: "POLYGON ((0 0, 3 0, 3 3, 0 3, 0 0), (1 1, 2 1, 2 2, 1 2, 1 1))",
        2: "POLYGON ((1 1, 2 1, 2 2, 1 2, 1 1))",
    }
    assert {int(i): g.normalize() for i, g in zip(ids, geometries, strict=True)} == {
        i: shapely.from_wkt(wkt).normalize() for i, wkt in expected.items()
    }


def test_corners_join_with_eight_neighbours_only() -> None:
    labels = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 2]], np.uint8)
    assert list(trace_all(labels)[0]) == [1, 1, 2]
    ids, geometries = trace_all(labels, connectivity=8)
    parts = {int(i): shapely.get_num_geometries(g) for i, g in zip(ids, geometries, strict=True)}
    assert parts == {1: 2, 2: 1}


def test_a_hole_that_touches_the_outside_stays_a_hole() -> None:
    labels = np.array([[0, 1, 1], [1, 0, 1], [1, 1, 1]], np.uint8)
    (polygon,) = trace_all(labels)[1]
    assert polygon.is_valid
    assert (polygon.area, len(polygon.interiors)) == (7, 1)


def test_shells_run_anticlockwise_in_the_crs() -> None:
    labels = np.random.default_rng(0).integers(0, 4, (20, 20), dtype=np.uint8)
    for transform in TRANSFORMS.values():
        for geometry in trace_all(labels, transform)[1]:
            assert geometry.exterior.is_ccw
            assert not any(ring.is_ccw for ring in geometry.interiors)


def test_neighbours_share_their_vertices_bit_for_bit() -> None:
    checkers = (np.indices((30, 30)).sum(axis=0) % 2 + 1).astype(np.uint8)
    _, geometries = trace_all(checkers, TRANSFORMS["rotated"])
    assert shapely.coverage_is_valid(geometries)


def test_another_nodata_value() -> None:
    ids, _ = gather(list(trace_polygons([np.array([[0, 255]], np.uint8)], transform=IDENTITY, nodata=255)))
    assert list(ids) == [0]


def test_no_polygon_in_nodata() -> None:
    assert list(trace_polygons([np.zeros((3, 3), np.uint8)], transform=IDENTITY)) == []
