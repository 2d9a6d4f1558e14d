import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import geopandas
import numpy as np
import pyogrio
import pytest
import rasterio
import shapely
from affine import Affine
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.features import rasterize
from rasterio.windows import Window

from geodeeplab.errors import OptionError, OutputError
from geodeeplab.raster.cog import LabelClass
from geodeeplab.vector.attributes import area_m2
from geodeeplab.vector.trace import PolygonBatch, trace_polygons
from geodeeplab.vector.writers import write_polygons

CLASSES = [LabelClass(id=1, name="building", color=(200, 0, 0)), LabelClass(id=2, name="Straße", color=(9, 9, 9))]
TRANSFORM = Affine(0.5, 0, 500_000, 0, -0.5, 4_000_000)
UTM = CRS.from_epsg(32633)
LABELS = np.array([[1, 1, 0], [2, 1, 3]], np.uint8)


def batches_of(labels: NDArray[np.uint8], connectivity: int = 4) -> Iterator[PolygonBatch]:
    return trace_polygons([labels], transform=TRANSFORM, connectivity=connectivity)  # type: ignore[arg-type]


def written(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_layer_has_ids_names_areas_and_metadata(tmp_path: Path) -> None:
    path = tmp_path / "a.gpkg"
    count = write_polygons(batches_of(LABELS), path, crs=UTM, classes=CLASSES, metadata={"model": "landcover-aerial"})
    assert count == 3
    assert written(tmp_path) == ["a.gpkg"]
    info = pyogrio.read_info(path, layer="landcover")
    assert info["geometry_type"] == "Polygon"
    assert list(zip(info["fields"], info["ogr_types"], strict=True)) == [
        ("class_id", "OFTInteger"),
        ("class_name", "OFTString"),
        ("area_m2", "OFTReal"),
    ]
    assert info["layer_metadata"] == {"model": "landcover-aerial"}
    frame = geopandas.read_file(path).sort_values("class_id", ignore_index=True)
    assert frame.crs == "EPSG:32633"
    assert frame["class_id"].tolist() == [1, 2, 3]
    assert frame["class_name"].fillna("-").tolist() == ["building", "Straße", "-"]
    np.testing.assert_array_equal(frame["area_m2"], area_m2(frame.geometry.to_numpy(), UTM))
    np.testing.assert_allclose(frame["area_m2"], [0.75, 0.25, 0.25], rtol=1e-3)
    back = rasterize(zip(frame.geometry, frame["class_id"], strict=True), out_shape=(2, 3), transform=TRANSFORM)
    np.testing.assert_array_equal(back, LABELS)


def test_layer_has_a_spatial_index(tmp_path: Path) -> None:
    write_polygons(batches_of(LABELS), tmp_path / "a.gpkg", crs=UTM, classes=CLASSES, layer="cover")
    with sqlite3.connect(tmp_path / "a.gpkg") as database:
        assert database.execute("SELECT count(*) FROM rtree_cover_geom").fetchone() == (3,)
    database.close()


def test_batches_are_appended(tmp_path: Path) -> None:
    batches = [batch for _ in range(3) for batch in batches_of(LABELS)]
    assert write_polygons(iter(batches), tmp_path / "a.gpkg", crs=UTM, classes=CLASSES, metadata={"a": "b"}) == 9
    info = pyogrio.read_info(tmp_path / "a.gpkg")
    assert (info["features"], info["layer_metadata"]) == (9, {"a": "b"})
    assert len(pyogrio.list_layers(tmp_path / "a.gpkg")) == 1


def test_no_polygon_gives_an_empty_layer_of_the_same_schema(tmp_path: Path) -> None:
    assert write_polygons([], tmp_path / "a.gpkg", crs=UTM, classes=CLASSES) == 0
    write_polygons(batches_of(LABELS), tmp_path / "b.gpkg", crs=UTM, classes=CLASSES)
    empty, full = (pyogrio.read_info(tmp_path / name, layer="landcover") for name in ("a.gpkg", "b.gpkg"))
    assert empty["features"] == 0
    for key in ("fields", "ogr_types", "crs", "geometry_type", "geometry_name"):
        assert list(empty[key]) == list(full[key])
    assert geopandas.read_file(tmp_path / "a.gpkg").empty


def test_multipolygons_make_a_layer_of_multipolygons(tmp_path: Path) -> None:
    labels = np.array([[1, 0], [0, 1]], np.uint8)
    assert write_polygons(batches_of(labels, connectivity=8), tmp_path / "a.gpkg", crs=UTM, classes=CLASSES) == 1
    assert pyogrio.read_info(tmp_path / "a.gpkg")["geometry_type"] == "MultiPolygon"


def test_missing_crs_stays_missing_and_areas_are_null(tmp_path: Path) -> None:
    write_polygons(batches_of(LABELS), tmp_path / "a.gpkg", crs=None, classes=CLASSES)
    frame = geopandas.read_file(tmp_path / "a.gpkg")
    assert frame.crs is None
    with sqlite3.connect(tmp_path / "a.gpkg") as database:
        assert database.execute("SELECT count(*), count(area_m2) FROM landcover").fetchone() == (3, 0)
    database.close()


@pytest.mark.parametrize("name", ["a.shp", "a", "a.geojson.zip"])
def test_refuses_an_unknown_suffix_before_any_work(tmp_path: Path, name: str) -> None:
    def work() -> Iterator[PolygonBatch]:
        raise AssertionError("work has begun")
        yield

    with pytest.raises(OptionError, match=r"use \.gpkg"):
        write_polygons(work(), tmp_path / name, crs=UTM, classes=CLASSES)


def test_overwrites_only_when_told(tmp_path: Path) -> None:
    path = tmp_path / "a.gpkg"
    write_polygons(batches_of(LABELS), path, crs=UTM, classes=CLASSES, layer="old")
    with pytest.raises(OutputError, match="--overwrite"):
        write_polygons(batches_of(LABELS), path, crs=UTM, classes=CLASSES)
    write_polygons(batches_of(LABELS), path, crs=UTM, classes=CLASSES, overwrite=True)
    assert [name for name, _ in pyogrio.list_layers(path)] == ["landcover"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_nothing_is_left_when_the_work_fails(tmp_path: Path, error: type[BaseException]) -> None:
    def work() -> Iterator[PolygonBatch]:
        yield from batches_of(LABELS)
        raise error

    with pytest.raises(error):
        write_polygons(work(), tmp_path / "a.gpkg", crs=UTM, classes=CLASSES)
    assert written(tmp_path) == []


@pytest.mark.skipif(sys.platform != "linux", reason="mounts a small disk")
def test_a_full_disk_is_one_clear_line(tmp_path: Path) -> None:
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(tmp_path)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("cannot mount a small disk here")
    try:
        labels = np.random.default_rng(0).integers(1, 4, (200, 200), dtype=np.uint8)
        with pytest.raises(OutputError, match=r"^cannot write .*a\.gpkg.*space") as caught:
            write_polygons(batches_of(labels), tmp_path / "a.gpkg", crs=UTM, classes=CLASSES)
        assert "\n" not in str(caught.value)
        assert written(tmp_path) == []
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


@pytest.mark.parametrize(
    ("file", "window"),
    [
        ("nrcan-geo-deep-learning/tiled_label_1.tif", None),
        ("nrcan-geo-deep-learning/tiled_label_2.tif", None),
        ("rio-tiler/cog_cmap.tif", Window(6500, 6000, 400, 300)),
    ],
)
@pytest.mark.parametrize("connectivity", [4, 8])
def test_real_labels_come_back(
    tmp_path: Path, shared_data: Path, file: str, window: Window | None, connectivity: int
) -> None:
    with rasterio.open(shared_data / "scenes" / file) as src:
        labels = src.read(1, window=window)
        transform = src.transform if window is None else src.window_transform(window)
        crs = src.crs
    batches = trace_polygons([labels], transform=transform, connectivity=connectivity)  # type: ignore[arg-type]
    write_polygons(batches, tmp_path / "a.gpkg", crs=crs, classes=CLASSES)
    frame = geopandas.read_file(tmp_path / "a.gpkg")
    assert frame.crs == crs
    assert shapely.is_valid(frame.geometry).all()
    back = np.zeros_like(labels)
    if len(frame):
        rasterize(zip(frame.geometry, frame["class_id"], strict=True), out=back, transform=transform)
    np.testing.assert_array_equal(back, labels)
    assert frame["area_m2"].notna().all()
