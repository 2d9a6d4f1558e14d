"""The tracer: its laws on random rasters, whatever strips, blocks and threads."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import shapely
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.features import rasterize, shapes

from geodeeplab.vector import (
    Generalisation,
    LabelRows,
    LineRule,
    Metric,
    PolygonBatch,
    Ruler,
    iter_strip_rows,
    trace_polygons,
    tracer,
)
from geodeeplab.vector.trace import strips

IDENTITY = Affine.identity()
TRANSFORMS = {
    "north-up": Affine(0.5, 0, 500_000, 0, -0.5, 4_000_000),
    "south-up": Affine(10, 0, 500_000, 0, 10, 4_000_000),
    "rotated": Affine(0.3, 0.4, 500_000, 0.4, -0.3, 4_000_000),
    "sheared": Affine(1, 0.7, -20, 0, -1.3, 40),
    "degrees": Affine(1e-5, 0, 16.123456, 0, -1e-5, 48.654321),
}
NOWHERE = Ruler(None, (0, 0, 1, 1))

noise = hnp.arrays(
    dtype=st.sampled_from([np.uint8, np.int32]),
    shape=hnp.array_shapes(min_dims=2, max_dims=2, max_side=9),
    elements=st.integers(0, 3),
)
patches = noise.map(lambda raster: raster.repeat(3, axis=0).repeat(2, axis=1))
rasters = st.one_of(noise, patches)
connectivities: st.SearchStrategy[Literal[4, 8]] = st.sampled_from([4, 8])


@contextmanager
def strips_of(pixels: int) -> Iterator[None]:
    """Make blocks of few pixels, so that small rasters have several."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(strips, "BLOCK_PIXELS", pixels)
        patch.setattr(strips, "LEAST_ROWS", 1)
        yield


def trace(
    labels: NDArray[Any],
    *,
    transform: Affine = IDENTITY,
    connectivity: Literal[4, 8] = 4,
    lines: LineRule | None = None,
    bands: int = 1,
    ruler: Ruler = NOWHERE,
    confidence: NDArray[np.uint8] | None = None,
    nodata: int = 0,
    threads: int = 2,
) -> list[PolygonBatch]:
    cuts = np.array_split(np.arange(len(labels)), bands)
    rows = [LabelRows(labels=labels[cut], confidence=None if confidence is None else confidence[cut]) for cut in cuts]
    shape = (labels.shape[0], labels.shape[1])
    batches = trace_polygons(
        iter_strip_rows(rows, shape=shape, nodata=nodata),
        shape=shape,
        transform=transform,
        ruler=ruler,
        connectivity=connectivity,
        nodata=nodata,
        lines=lines,
        with_confidence=confidence is not None,
        threads=threads,
    )
    return list(batches)


def gather(batches: list[PolygonBatch]) -> tuple[NDArray[np.int32], NDArray[np.object_]]:
    if not batches:
        return np.array([], np.int32), np.array([], object)
    return np.concatenate([b.class_ids for b in batches]), np.concatenate([b.geometries() for b in batches])


def as_set(batches: list[PolygonBatch]) -> list[tuple[int, str]]:
    return sorted((int(value), shapely.to_wkt(geometry, -1)) for value, geometry in zip(*gather(batches), strict=True))


@given(raster=rasters, name=st.sampled_from(sorted(TRANSFORMS)), connectivity=connectivities, size=st.integers(1, 60))
def test_polygons_are_valid_and_rasterise_back(
    raster: NDArray[Any], name: str, connectivity: Literal[4, 8], size: int
) -> None:
    transform = TRANSFORMS[name]
    with strips_of(size):
        ids, geometries = gather(trace(raster, transform=transform, connectivity=connectivity))
    assert shapely.is_valid(geometries).all()
    assert set(shapely.get_type_id(geometries)) <= {3 if connectivity == 4 else 6}
    assert shapely.is_ccw(shapely.get_exterior_ring(shapely.get_parts(geometries))).all()
    back = np.zeros_like(raster, dtype=np.int32)
    if len(ids):
        rasterize(zip(geometries, map(int, ids), strict=True), out=back, transform=transform)
    np.testing.assert_array_equal(back, raster)


@given(raster=rasters, size=st.integers(1, 60))
def test_the_same_polygons_as_gdals(raster: NDArray[Any], size: int) -> None:
    with strips_of(size):
        ids, geometries = gather(trace(raster))
    found = {(int(i), shapely.normalize(shapely.simplify(g, 0)).wkt) for i, g in zip(ids, geometries, strict=True)}
    traced = [(shapely.geometry.shape(g), int(v)) for g, v in shapes(raster, mask=raster != 0)]
    assert found == {(value, shapely.normalize(geometry).wkt) for geometry, value in traced}
    assert len(ids) == len(traced)


@given(raster=rasters)
def test_neighbours_share_their_vertices(raster: NDArray[Any]) -> None:
    _, geometries = gather(trace(raster))
    assert len(geometries) == 0 or shapely.coverage_is_valid(geometries)


@given(
    raster=rasters,
    method=st.sampled_from(["vw", "dp"]),
    tolerance=st.sampled_from([0.5, 1.0, 2.5, 20.0]),
    smooth=st.booleans(),
    keep=st.booleans(),
    connectivity=connectivities,
    sizes=st.tuples(st.integers(1, 40), st.integers(1, 80)),
)
def test_generalised_polygons_are_a_coverage_that_shows_no_strips(
    raster: NDArray[Any],
    method: Literal["vw", "dp"],
    tolerance: float,
    smooth: bool,
    keep: bool,
    connectivity: Literal[4, 8],
    sizes: tuple[int, int],
) -> None:
    rule = Generalisation(method=method, tolerance=tolerance, smooth=smooth)
    lines = LineRule(generalisation=rule, metric=Metric.pixels(), keep_outline=keep)
    whole = trace(raster, connectivity=connectivity, lines=lines)
    _, geometries = gather(whole)
    assert shapely.is_valid(geometries).all()
    parts = shapely.get_parts(geometries)
    assert len(parts) == 0 or shapely.coverage_is_valid(parts)
    total = shapely.union_all(parts).area
    assert sum(shapely.area(parts)) == pytest.approx(total, rel=1e-9)
    if keep:
        assert total == np.count_nonzero(raster)
    for size in sizes:
        with strips_of(size):
            assert as_set(trace(raster, connectivity=connectivity, lines=lines, bands=2, threads=1)) == as_set(whole)


@given(raster=rasters, bands=st.integers(1, 5), connectivity=connectivities)
def test_bands_do_not_show(raster: NDArray[Any], bands: int, connectivity: Literal[4, 8]) -> None:
    with strips_of(20):
        whole = trace(raster, connectivity=connectivity)
        cut = trace(raster, connectivity=connectivity, bands=bands, threads=3)
    for a, b in zip(whole, cut, strict=True):
        np.testing.assert_array_equal(a.points, b.points)
        np.testing.assert_array_equal(a.class_ids, b.class_ids)


@given(raster=rasters, connectivity=connectivities, size=st.integers(1, 60), data=st.data())
def test_confidence_is_that_of_the_pixels(
    raster: NDArray[Any], connectivity: Literal[4, 8], size: int, data: st.DataObject
) -> None:
    values = st.sampled_from([0, 30, 99, 100, 255])
    confidence = data.draw(hnp.arrays(np.uint8, raster.shape, elements=values))
    with strips_of(size):
        batches = trace(raster, connectivity=connectivity, confidence=confidence)
    _, geometries = gather(batches)
    for index, geometry in enumerate(geometries):
        inside = rasterize([(geometry, 1)], out_shape=raster.shape).astype(bool) & (confidence != 255)
        batch = batches[0]
        assert batch.confidence_mean is not None
        assert batch.confidence_min is not None
        if inside.any():
            assert batch.confidence_mean[index] == pytest.approx(confidence[inside].mean(), rel=1e-6)
            assert batch.confidence_min[index] == confidence[inside].min()
        else:
            assert np.isnan(batch.confidence_mean[index])
            assert np.isnan(batch.confidence_min[index])


@given(raster=rasters, connectivity=connectivities)
def test_areas_and_perimeters_are_those_of_the_geometries(raster: NDArray[Any], connectivity: Literal[4, 8]) -> None:
    transform = Affine(10, 0, 4_321_000, 0, -10, 3_210_000)  # at the centre of an equal-area projection
    bounds = (4_321_000, 3_210_000 - 10 * raster.shape[0], 4_321_000 + 10 * raster.shape[1], 3_210_000)
    batches = trace(raster, transform=transform, connectivity=connectivity, ruler=Ruler(CRS.from_epsg(3035), bounds))
    for batch in batches:
        np.testing.assert_allclose(batch.area_m2, shapely.area(batch.geometries()), rtol=1e-7)
        np.testing.assert_allclose(batch.perimeter_m, shapely.length(batch.geometries()), rtol=1e-6)


def test_many_corners_are_in_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    raster = np.random.default_rng(3).integers(0, 4, (60, 70)).repeat(3, axis=0)
    lines = LineRule(generalisation=Generalisation(tolerance=1.5), metric=Metric.pixels())
    expected = as_set(trace(raster, lines=lines))
    monkeypatch.setattr(tracer, "BITS_IN_MEMORY", 100)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert as_set(trace(raster, lines=lines)) == expected
    assert not list(tmp_path.iterdir())


def test_another_nodata_and_labels_of_any_sign() -> None:
    raster = np.array([[7, 7, -3], [0, 7, -3]])
    ids, geometries = gather(trace(raster, nodata=7))
    assert sorted(zip(ids.tolist(), shapely.area(geometries).tolist(), strict=True)) == [(-3, 2.0), (0, 1.0)]


def test_a_raster_of_nodata_gives_nothing() -> None:
    assert trace(np.zeros((3, 4), np.uint8)) == []


def test_the_rows_must_be_all_there() -> None:
    rows = [LabelRows(labels=np.ones((2, 3), np.uint8))]
    with pytest.raises(ValueError, match="3 rows came with 2"):
        list(iter_strip_rows(rows, shape=(3, 3)))


def test_many_holes_that_touch_at_corners() -> None:
    raster = np.ones((41, 41), np.uint8)
    raster[1:-1:2, 1:-1:2] = 2
    raster[2:-1:2, 2:-1:2] = 2
    ids, geometries = gather(trace(raster))
    assert shapely.is_valid(geometries).all()
    assert np.bincount(ids, weights=shapely.area(geometries)).tolist() == np.bincount(raster.ravel()).tolist()
