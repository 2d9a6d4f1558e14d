"""Objects that touch, as polygons of their own."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely
from numpy.typing import NDArray
from rasterio.features import rasterize
from rasterio.transform import from_origin

import geodeeplab as gdl
from geodeeplab.models import Model
from geodeeplab.pipeline.executor import InThisProcess
from geodeeplab.vector import InstanceRule
from tests.vector.instances.reference_watershed import ReferenceWatershed

MakeRaster = Callable[..., Path]
Bytes = NDArray[np.uint8]

TRANSFORM = from_origin(500_000, 5_000_000, 1, 1)
HOUSES = gdl.PolygonOptions(instances=1, min_marker_px=1)
SQUARE: dict[str, Any] = {"tolerance_px": 1.5, "square": ("roof",)}


@pytest.fixture
def terrace(make_raster: MakeRaster) -> tuple[Path, Path]:
    """Three houses in a row, 8 px each, the last but a fifth as deep, and a road below; and their boundaries."""
    labels = np.zeros((1, 14, 28), np.uint8)
    labels[0, 2:10, 2:26], labels[0, 10:12, 2:26] = 1, 2
    labels[0, 2:8, 18:26] = 0
    boundary = np.zeros_like(labels)
    boundary[0, :, 9:11] = boundary[0, :, 17:19] = 220
    return make_raster(labels, "labels.tif"), make_raster(boundary, "boundary.tif")


def trace(rasters: tuple[Path, Path], path: Path, options: gdl.PolygonOptions = HOUSES) -> Any:  # noqa: ANN401
    return gdl.vectorize(rasters[0], path, options, boundary=rasters[1], overwrite=True).polygons


# ---------------------------------------------------------------------------------------------------------------------
# Examples


def test_houses_that_touch_are_polygons_with_one_line_between_them(terrace: tuple[Path, Path], tmp_path: Path) -> None:
    together = gdl.vectorize(terrace[0], tmp_path / "one.gpkg").polygons
    assert together.class_id.tolist() == [1, 2]
    apart = trace(terrace, tmp_path / "a.gpkg")
    assert apart.class_id.tolist() == [1, 1, 1, 2]
    assert apart.area.tolist() == [64, 64, 16, 48]
    assert shapely.coverage_is_valid(apart.geometry.values)
    short = gdl.vectorize(terrace[0], tmp_path / "b.gpkg", boundary=terrace[1], instances=1).polygons
    assert list(short.geometry) == list(trace(terrace, tmp_path / "a.gpkg", gdl.PolygonOptions(instances=1)).geometry)
    first, second = apart.geometry[0], apart.geometry[1]
    assert first.intersection(second).length == 8
    assert shapely.union_all(apart.geometry).equals(shapely.union_all(together.geometry))


def test_a_minimum_area_is_of_each_object_and_given_by_class(terrace: tuple[Path, Path], tmp_path: Path) -> None:
    options = gdl.PolygonOptions(instances=("1",), min_marker_px=1, min_area_px={1: 20})
    merged = trace(terrace, tmp_path / "a.gpkg", options)  # the third borders 8 px of road, and 2 of the second house
    assert merged.class_id.tolist() == [1, 1, 2]
    assert merged.area.tolist() == [64, 64, 64]
    by_all = trace(terrace, tmp_path / "b.gpkg", gdl.PolygonOptions(instances=(1,), min_marker_px=1, min_area_px=50))
    assert sorted(by_all.area) == [64, 128]
    of_others = gdl.PolygonOptions(instances=(1,), min_marker_px=1, min_area_px={2: 500})
    assert len(trace(terrace, tmp_path / "c.gpkg", of_others)) == 3


def test_markers_and_threshold_can_be_chosen(terrace: tuple[Path, Path], tmp_path: Path) -> None:
    assert len(trace(terrace, tmp_path / "a.gpkg", gdl.PolygonOptions(instances=(1,), boundary_threshold=0.9))) == 2
    assert len(trace(terrace, tmp_path / "b.gpkg", gdl.PolygonOptions(instances=(1,), min_marker_px=30))) == 3


def test_pixels_that_touch_at_corners_join_areas_but_not_objects(make_raster: MakeRaster, tmp_path: Path) -> None:
    labels = np.array([[[1, 0, 2, 0], [0, 1, 0, 2]]], np.uint8)
    rasters = make_raster(labels, "labels.tif"), make_raster(np.zeros_like(labels), "boundary.tif")
    found = trace(rasters, tmp_path / "a.gpkg", gdl.PolygonOptions(instances=(1,), connectivity=8))
    assert found.class_id.tolist() == [1, 2, 1]


def test_where_no_boundary_is_known_there_is_none(make_raster: MakeRaster, tmp_path: Path) -> None:
    labels, boundary = np.ones((1, 3, 9), np.uint8), np.full((1, 3, 9), 255, np.uint8)
    rasters = make_raster(labels, "labels.tif"), make_raster(boundary, "boundary.tif", nodata=255)
    assert len(trace(rasters, tmp_path / "a.gpkg")) == 1


# ---------------------------------------------------------------------------------------------------------------------
# Laws


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("more", [{}, {"tolerance_px": 1.5}, {"tolerance_px": 1.5, "smooth": True}], ids=str)
def test_polygons_are_a_coverage_and_exact_ones_are_the_objects(
    make_raster: MakeRaster, tmp_path: Path, seed: int, more: dict[str, Any]
) -> None:
    rng = np.random.default_rng(seed)
    shape = (40, 50)
    labels = rng.choice(np.array([0, 1, 1, 1, 2], np.uint8), (1, 10, 10)).repeat(4, 1).repeat(5, 2)
    boundary = rng.choice(np.array([0, 50, 150, 200, 255], np.uint8), (1, *shape), p=[0.3, 0.3, 0.2, 0.1, 0.1])
    rasters = make_raster(labels, "labels.tif"), make_raster(boundary, "boundary.tif")
    options = gdl.PolygonOptions(instances=(2, 1), min_marker_px=3, **more)
    found = trace(rasters, tmp_path / "a.gpkg", options)
    assert shapely.coverage_is_valid(found.geometry.values)
    if more:
        return
    rule = InstanceRule(class_ids=(2, 1), threshold=102, min_marker=3)
    objects = ReferenceWatershed(labels[0], boundary[0], rule).objects
    burnt = rasterize(zip(found.geometry, range(1, len(found) + 1), strict=True), out_shape=shape, transform=TRANSFORM)
    np.testing.assert_array_equal(burnt - 1, objects)  # polygons come in the order of their first pixels, too
    np.testing.assert_array_equal(np.array([0, *found.class_id])[burnt], labels[0])


@pytest.mark.parametrize("more", [{}, {"min_area_px": {"roof": 30}, "tolerance_px": 1.0}, SQUARE], ids=str)
def test_a_run_gives_the_polygons_of_its_rasters_whatever_its_shards(
    separating: Path, make_raster: MakeRaster, blocks: Callable[..., Bytes], tmp_path: Path, more: dict[str, Any]
) -> None:
    scene = make_raster(blocks(150, 210), photometric="rgb")
    options = gdl.PolygonOptions(instances=("roof",), boundary_threshold=0.5, min_marker_px=4, **more)
    names = ("label_raster", "confidence", "boundary")
    rasters: dict[str, Any] = {name: tmp_path / f"{name}.tif" for name in names}
    told: dict[str, Any] = {"model": separating, "polygon_options": options}
    run = gdl.segment(scene, tmp_path / "a.gpkg", **rasters, **told)
    first = run.polygons
    assert len(first) > len(gdl.vectorize(rasters["label_raster"], tmp_path / "plain.gpkg").polygons) or more
    again = gdl.vectorize(
        rasters["label_raster"],
        tmp_path / "b.gpkg",
        options,
        confidence=rasters["confidence"],
        boundary=rasters["boundary"],
    ).polygons
    columns = gdl.segment(scene, tmp_path / "c.gpkg", executor=InThisProcess(memory_limit=1), **told)
    assert columns.facts["shards"] > 1
    for other in (again, columns.polygons):
        assert list(other.geometry) == list(first.geometry)
        assert other.drop(columns="geometry").equals(first.drop(columns="geometry"))


def test_a_run_that_was_cut_off_gives_the_same(
    separating: Path, make_raster: MakeRaster, blocks: Callable[..., Bytes], tmp_path: Path
) -> None:
    scene = make_raster(blocks(140, 70), photometric="rgb")
    told: dict[str, Any] = {
        "model": separating,
        "tile_size": 64,
        "instances": "roof",
        "executor": InThisProcess(memory_limit=1),
    }
    whole = gdl.segment(scene, tmp_path / "a.gpkg", **told).polygons

    def stop(done: int, total: int) -> None:
        if done > 0.4 * total:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        gdl.segment(scene, tmp_path / "b.gpkg", progress=stop, **told)
    assert not (tmp_path / "b.gpkg").exists()
    resumed = gdl.segment(scene, tmp_path / "b.gpkg", resume=True, **told)
    assert resumed.facts["resumed_share"] > 0
    assert list(resumed.polygons.geometry) == list(whole.geometry)
    with pytest.raises(gdl.OutputError, match="cannot resume"):
        gdl.segment(scene, tmp_path / "b.gpkg", resume=True, **told | {"instances": ()})


@pytest.mark.slow
@pytest.mark.parametrize("more", [{}, SQUARE], ids=str)
def test_dask_workers_give_the_same(
    separating: Path, make_raster: MakeRaster, blocks: Callable[..., Bytes], tmp_path: Path, more: dict[str, Any]
) -> None:
    from geodeeplab.cluster import Dask

    scene = make_raster(blocks(300, 260), photometric="rgb")
    options = gdl.PolygonOptions(instances=("roof",), boundary_threshold=0.5, min_marker_px=4, **more)
    told: dict[str, Any] = {"model": separating, "polygon_options": options, "boundary": tmp_path / "boundary.tif"}
    one = gdl.segment(scene, tmp_path / "a.gpkg", **told)
    edges = (tmp_path / "boundary.tif").read_bytes()
    two = gdl.segment(scene, tmp_path / "b.gpkg", executor=Dask(2, threads=1, shard_size=130), overwrite=True, **told)
    assert two.facts["shards"] > 1
    assert list(two.polygons.geometry) == list(one.polygons.geometry)
    assert (tmp_path / "boundary.tif").read_bytes() == edges


def test_labels_have_the_classes_of_polygons_if_they_are_sieved(
    separating: Path, make_raster: MakeRaster, blocks: Callable[..., Bytes], tmp_path: Path
) -> None:
    scene = make_raster(blocks(100, 120), photometric="rgb")
    options = gdl.PolygonOptions(instances=("roof",), min_marker_px=4, min_area_px=60)
    run = gdl.segment(
        scene,
        tmp_path / "a.gpkg",
        label_raster=tmp_path / "a.tif",
        model=separating,
        polygon_options=options,
        sieve_labels=True,
    )
    found = run.polygons
    labels = run.to_xarray().values
    burnt = rasterize(
        zip(found.geometry, found.class_id.astype(int), strict=True), out_shape=labels.shape, transform=TRANSFORM
    )
    np.testing.assert_array_equal(burnt, labels)
    assert found.area.min() >= 60


# ---------------------------------------------------------------------------------------------------------------------
# Refusals


@pytest.mark.parametrize(
    ("options", "boundary", "message"),
    [
        ({"instances": ("1",)}, None, "objects of 1 are told apart by their boundaries: give a raster of them"),
        ({}, "boundary.tif", r"boundary\.tif' tells objects apart: say of which classes, `instances=`, too"),
        ({"instances": ("house",)}, "boundary.tif", "no class is called 'house', there are none with a name"),
        ({"instances": (0,)}, "boundary.tif", "label 0 is nodata and has no objects: name others as `instances=`"),
        ({"instances": (1,), "min_marker_px": 0}, "boundary.tif", "a marker has 1 to 4096 pixels at least, not 0"),
        ({"instances": (1,)}, "small.tif", r"small\.tif' does not lie on the grid of .*labels\.tif': warp it"),
        ({"instances": (1,)}, "wide.tif", r"a boundary is uint8, 255 × its probability, .*wide\.tif' holds float32"),
    ],
)
def test_what_cannot_be_is_refused_before_any_work(
    terrace: tuple[Path, Path],
    make_raster: MakeRaster,
    tmp_path: Path,
    options: dict[str, Any],
    boundary: str | None,
    message: str,
) -> None:
    make_raster(np.zeros((1, 14, 27), np.uint8), "small.tif")
    make_raster(np.zeros((1, 14, 28), np.float32), "wide.tif")
    path = None if boundary is None else tmp_path / boundary
    with pytest.raises((gdl.OptionError, gdl.SceneError), match=message):
        gdl.vectorize(terrace[0], tmp_path / "a.gpkg", gdl.PolygonOptions(**options), boundary=path)
    assert not (tmp_path / "a.gpkg").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"instances": ("roof",), "boundary_threshold": 1.0}, "a probability between 0 and 1, not 1.0"),
        ({"min_marker_px": 3}, "thresholds and markers are of objects: say of which classes, `instances=`, too"),
    ],
)
def test_options_that_cannot_be_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(gdl.OptionError, match=message):
        gdl.PolygonOptions(**options)


def test_labels_of_more_than_16_bits_are_refused(
    terrace: tuple[Path, Path], make_raster: MakeRaster, tmp_path: Path
) -> None:
    labels = make_raster(np.ones((1, 14, 28), np.int32), "wide.tif")
    with pytest.raises(gdl.SceneError, match=r"labels of up to 16 bits, .*wide\.tif' holds int32: convert it"):
        trace((labels, terrace[1]), tmp_path / "a.gpkg")


def test_models_that_do_not_separate_the_class_are_refused(
    tiny: Model, separating: Path, make_raster: MakeRaster, blocks: Callable[..., Bytes], tmp_path: Path
) -> None:
    scene = make_raster(blocks(64, 64))
    roofs, woods = gdl.PolygonOptions(instances="roof"), gdl.PolygonOptions(instances=("roof", "wood"))
    with pytest.raises(gdl.OptionError, match=r"'tiny' was not trained to separate objects.*a raster of boundaries"):
        gdl.segment(scene, tmp_path / "a.gpkg", model=tiny, polygon_options=roofs)
    with pytest.raises(gdl.OptionError, match="'tiny' separates objects of roof, not of wood: leave that out"):
        gdl.segment(scene, tmp_path / "a.gpkg", model=separating, polygon_options=woods)
    with pytest.raises(gdl.OptionError, match="objects are told apart in polygons: give `polygons=`, too"):
        gdl.segment(scene, label_raster=tmp_path / "a.tif", model=separating, polygon_options=roofs)
    with pytest.raises(gdl.OptionError, match="`instances=` and `polygon_options=` both name classes with objects"):
        gdl.segment(scene, tmp_path / "a.gpkg", model=separating, polygon_options=roofs, instances="roof")
    with pytest.raises(gdl.OptionError, match="changes are of areas, not of objects: leave out `instances=`"):
        gdl.change(scene, scene, tmp_path / "a.gpkg", polygon_options=roofs)
    assert not list(tmp_path.glob("a.*"))
