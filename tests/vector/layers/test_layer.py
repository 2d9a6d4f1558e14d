import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pyogrio
import pytest
import shapely
from affine import Affine
from rasterio.crs import CRS

from geodeeplab.errors import OptionError, OutputError
from geodeeplab.raster.cog import LabelClass
from geodeeplab.vector.layers import POLYGON_SUFFIXES, write_polygons, writing
from geodeeplab.vector.layers.slices import slice_batch
from geodeeplab.vector.trace.batch import PolygonBatch
from tests.examples import few
from tests.vector.polygon_batches import batch_of, batch_of_labels

CLASSES = [LabelClass(id=7, name="building", color=(200, 0, 0)), LabelClass(id=2, name='"Straße" <&>', color=(9, 8, 7))]
DEGREES = Affine(1e-5, 0, 10, 0, -1e-5, 50)
WGS84 = CRS.from_epsg(4326)
LABELS = np.array([[7, 7, 0, 3], [2, 7, 3, 3], [2, 2, 2, 3]], np.uint8)


@pytest.fixture(params=POLYGON_SUFFIXES)
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return tmp_path / f"a{request.param}"


def read(path: Path) -> geopandas.GeoDataFrame:
    if path.suffix == ".parquet":
        return geopandas.read_parquet(path)
    return geopandas.read_file(path, layer="landcover" if path.suffix == ".gpkg" else None)


def files(folder: Path) -> list[str]:
    return sorted(item.name for item in folder.iterdir())


def batch(**options: Any) -> PolygonBatch:  # noqa: ANN401 - as batch_of_labels takes them
    return batch_of_labels(LABELS, transform=DEGREES, **options)


def write(batches: Any, path: Path, **options: Any) -> int:  # noqa: ANN401 - as write_polygons takes them
    return write_polygons(batches, path, **{"crs": WGS84, "classes": CLASSES} | options)


@pytest.mark.parametrize("multi", [False, True])
def test_everything_comes_back(path: Path, multi: bool) -> None:
    polygons = batch(multi=multi, confidence=True)
    assert write([polygons], path, metadata={"model": "landcover"}) == len(polygons)
    assert files(path.parent) == [path.name]
    frame = read(path)
    frame = frame.set_index(frame["class_id"]).loc[polygons.class_ids]  # FlatGeobuf has an order of its own
    assert frame.crs == ("OGC:CRS84" if path.suffix == ".geojson" else "EPSG:4326") or frame.crs == "EPSG:4326"
    assert shapely.equals(frame.geometry.to_numpy(), polygons.geometries()).all()
    expected = polygons.geometries()
    assert all(frame.geom_type == expected[0].geom_type)
    np.testing.assert_allclose(
        shapely.get_coordinates(frame.geometry.to_numpy()), shapely.get_coordinates(expected), rtol=0, atol=1e-9
    )
    names = {7: "building", 2: '"Straße" <&>', 3: None}
    assert [None if name != name else name for name in frame["class_name"]] == [names[i] for i in polygons.class_ids]
    np.testing.assert_array_equal(frame["area_m2"], polygons.area_m2)
    np.testing.assert_array_equal(frame["perimeter_m"], polygons.perimeter_m)
    np.testing.assert_array_equal(frame["confidence"].astype(np.float32), polygons.confidence_mean)
    np.testing.assert_array_equal(frame["confidence_min"].astype(np.float32), polygons.confidence_min)


def test_columns_and_types(path: Path) -> None:
    write([batch(confidence=True)], path)
    columns = ["class_id", "class_name", "area_m2", "perimeter_m", "confidence", "confidence_min"]
    if path.suffix == ".parquet":
        import pyarrow.parquet as pq

        schema = pq.read_schema(path)
        assert schema.names == [*columns, "geometry", "bbox"]
        assert [str(kind) for kind in schema.types[:7]] == [
            "int32", "string", "double", "double", "float", "float", "binary",
        ]  # fmt: skip
        return
    info = pyogrio.read_info(path, layer="landcover")
    assert list(info["fields"]) == columns
    assert list(info["ogr_types"]) == ["OFTInteger", "OFTString", "OFTReal", "OFTReal", "OFTReal", "OFTReal"]
    assert info["geometry_type"] == "Polygon"
    assert info["layer_name"] == "landcover"


def test_unknown_measures_and_names_are_null(path: Path) -> None:
    polygons = batch()
    unknown = np.full(len(polygons), np.nan)
    write([PolygonBatch(**{**vars(polygons), "area_m2": unknown, "perimeter_m": unknown})], path, classes=[])
    frame = read(path)
    assert frame[["area_m2", "perimeter_m", "class_name"]].isna().all(axis=None)
    assert "confidence" not in frame


def test_no_polygon_gives_a_valid_empty_layer(path: Path) -> None:
    assert write([], path) == 0
    frame = read(path)
    assert frame.empty
    if path.suffix != ".geojson":  # which has no schema
        assert list(frame.columns[:4]) == ["class_id", "class_name", "area_m2", "perimeter_m"]
        assert frame.crs == "EPSG:4326"


def test_an_empty_first_batch_describes_the_layer(path: Path) -> None:
    polygons = batch(multi=True, confidence=True)
    assert write([slice_batch(polygons, 0, 0), polygons], path) == len(polygons)
    frame = read(path)
    assert set(frame.geom_type) == {"MultiPolygon"}
    assert frame["confidence"].notna().all()


def test_many_batches_are_one_layer(path: Path) -> None:
    assert write((batch() for _ in range(50)), path) == 50 * len(batch())
    frame = read(path)
    assert len(frame) == 50 * len(batch())
    assert frame["class_id"].value_counts().to_dict() == {7: 50, 3: 50, 2: 50}


def test_missing_crs_stays_missing(path: Path) -> None:
    if path.suffix == ".geojson":
        with pytest.raises(OptionError, match=r"have no CRS: write \.gpkg"):
            write([batch()], path, crs=None)
        return
    write([batch()], path, crs=None)
    assert read(path).crs is None


def test_a_crs_without_a_code_comes_back(path: Path) -> None:
    crs = CRS.from_string("+proj=laea +lat_0=48.5 +lon_0=9.25 +datum=WGS84 +units=m")
    if path.suffix == ".geojson":
        with pytest.raises(OptionError, match="`out_crs='OGC:CRS84'`"):
            write([batch()], path, crs=crs)
        return
    write([batch()], path, crs=crs)
    assert read(path).crs.equals(crs.to_wkt(version="WKT2_2019"), ignore_axis_order=True)


@pytest.mark.parametrize("name", ["a.shp", "a", "a.geojson.zip"])
def test_refuses_an_unknown_suffix_before_any_work(tmp_path: Path, name: str) -> None:
    with pytest.raises(OptionError, match=r"use \.gpkg or \.parquet or \.fgb or \.geojson"):
        write(failing(AssertionError()), tmp_path / name)


def test_overwrites_only_when_told(path: Path) -> None:
    write([batch()], path)
    with pytest.raises(OutputError, match="`overwrite=True`"):
        write([], path)
    assert write([], path, overwrite=True) == 0
    assert read(path).empty


def failing(error: BaseException, *, after: int = 0) -> Iterator[PolygonBatch]:
    for _ in range(after):
        yield batch()
    raise error


@pytest.mark.parametrize("error", [KeyboardInterrupt(), RuntimeError("x"), OSError(5, "y"), OutputError("z")])
@pytest.mark.parametrize("after", [0, 3])
def test_what_ends_the_batches_goes_through_and_nothing_is_left(path: Path, error: BaseException, after: int) -> None:
    with pytest.raises(type(error)) as caught:
        write(failing(error, after=after), path)
    assert str(caught.value) == str(error)
    assert files(path.parent) == []


@pytest.mark.parametrize("suffix", [".gpkg", ".parquet", ".fgb"])
def test_refuses_a_polygon_that_the_format_cannot_hold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    small = writing.Format(name="Tiny", write=writing.FORMATS[suffix].write, max_feature_bytes=9 + 4 + 4 * 16)
    assert (writing.FORMATS[suffix].max_feature_bytes or 0) > 9 * 10**8
    monkeypatch.setitem(writing.FORMATS, suffix, small)
    with pytest.raises(OutputError, match=r"one polygon has 0\.0 GB, Tiny holds .* `max_vertices="):
        write([batch()], tmp_path / f"a{suffix}")
    assert files(tmp_path) == []


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_refuses_coordinates_that_are_no_numbers(path: Path, bad: float) -> None:
    polygons = batch()
    polygons.points[3, 0] = bad
    with pytest.raises(OutputError, match="outside the domain of its CRS"):
        write([polygons], path)
    assert files(path.parent) == []


@pytest.mark.skipif(sys.platform != "linux", reason="mounts a small disk")
@pytest.mark.parametrize("size", few(["300k", "64k", "800k"], 1))
def test_a_full_disk_is_one_clear_line(path: Path, size: str) -> None:
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(path.parent)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("cannot mount a small disk here")
    try:
        corners = np.random.default_rng(0).uniform(0, 1, (20_000, 2))
        boxes = shapely.box(*corners.T, *(corners + 1e-3).T)
        with pytest.raises(OutputError, match=rf"^cannot write .*a\{path.suffix}.*space") as caught:
            write((batch_of(boxes) for _ in range(2)), path)
        assert "\n" not in str(caught.value)
        assert files(path.parent) == []
    finally:
        subprocess.run(["umount", str(path.parent)], check=True)
