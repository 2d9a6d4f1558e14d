"""Layers with planted faults, and layers without."""

import json
import math
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import shapely
from shapely import Point, Polygon, box

import geodeeplab as gdl
from geodeeplab.errors import OptionError, OutputError
from geodeeplab.vector.checking import reading

MakeRaster = Callable[..., Path]
X, Y = 500_000.0, 5_000_000.0


def squares() -> gpd.GeoDataFrame:
    """A hundred fields of 10 × 10 m, of two classes in turn."""
    places = [(row, col) for row in range(10) for col in range(10)]
    shapes = [box(X + 10 * col, Y + 10 * row, X + 10 * col + 10, Y + 10 * row + 10) for row, col in places]
    ids = np.array([1 + (row + col) % 2 for row, col in places], dtype=np.int32)
    columns = {"class_id": ids, "class_name": np.array(["field", "wood"])[ids - 1], "area_m2": 100.0}
    return gpd.GeoDataFrame(columns, geometry=shapes, crs="EPSG:32633")


def moved(shape: Any, x: float, y: float) -> Any:  # noqa: ANN401 - shapely geometries
    return shapely.transform(shape, lambda points: points + np.array([x, y]))


PLANTED: dict[str, tuple[Callable[[gpd.GeoDataFrame], object], dict[str, Any], set[str]]] = {
    "a null geometry": (lambda f: _put(f, "geometry", 44, None), {"gap_width": "all"}, {"no geometry", "gap"}),
    "an empty one": (lambda f: _put(f, "geometry", 44, Polygon()), {}, {"empty geometry"}),
    "a point": (lambda f: _put(f, "geometry", 44, Point(X, Y)), {}, {"no polygon"}),
    "a bow-tie": (lambda f: _corner(f, [2, 2, 2, 0, 0, 2]), {}, {"invalid"}),
    "a spike": (lambda f: _at(f, 99, [0, 0, 10, 0, 10, 10, 5.001, 10, 5, 90, 4.999, 10, 0, 10]), {}, {"spike"}),
    "a small one": (lambda f: _at(f, 99, [0, 0, 1, 0, 0, 1]), {"min_area": 5}, {"small area", "edge mismatch"}),
    "a null class": (lambda f: _put(f, "class_name", 44, None), {}, {"no class"}),
    "a blank class": (lambda f: _put(f, "class_name", 44, " "), {}, {"no class"}),
    "a foreign class": (lambda f: _put(f, "class_name", 44, "lake"), {"classes": ["field", "wood"]},
                        {"unknown class", "class mismatch"}),
    "a name with another id": (lambda f: _put(f, "class_id", 44, 2), {}, {"class mismatch"}),
    "a null attribute": (lambda f: _put(f, "area_m2", 44, math.nan), {}, {"null attribute"}),
    "a duplicate": (lambda f: _put(f, "geometry", 99, f.geometry[44]), {}, {"duplicate"}),
    "a shifted one": (lambda f: _put(f, "geometry", 44, moved(f.geometry[44], 0.2, 0)), {},
                      {"overlap", "edge mismatch", "gap"}),
    "one in another": (lambda f: _put(f, "geometry", 99, box(X + 2, Y + 2, X + 3, Y + 3)), {}, {"overlap"}),
    "a vertex too many": (lambda f: _at(f, 99, [0, 0, 5, 0, 10, 0, 10, 10, 0, 10]), {}, {"edge mismatch"}),
    "a sliver": (lambda f: _at(f, 45, [0.001, 0, 10, 0, 10, 10, 0.001, 10]), {}, {"gap", "edge mismatch"}),
    "a hole": (lambda f: _at(f, 44, [0, 0, 10, 0, 10, 9, 0, 9]), {"gap_width": 2}, {"gap", "edge mismatch"}),
    "another CRS": (lambda _: None, {"crs": "EPSG:32632"}, {"other CRS"}),
    "coordinates of another place": (lambda f: _put(f, "geometry", slice(None), moved(f.geometry.values, 9e6, 0)), {},
                                     {"outside the CRS"}),
    "degrees that are none": (lambda f: f.set_crs("EPSG:4326", allow_override=True, inplace=True), {},
                              {"outside the CRS"}),
}  # fmt: skip


def _put(frame: gpd.GeoDataFrame, column: str, place: int | slice, value: object) -> None:
    frame.loc[place, column] = value


def _at(frame: gpd.GeoDataFrame, place: int, corners: list[float]) -> None:
    row, col = divmod(place, 10)
    points = np.array(corners, dtype=float).reshape(-1, 2) + np.array([X + 10 * col, Y + 10 * row])
    frame.loc[place, "geometry"] = Polygon(points)


def _corner(frame: gpd.GeoDataFrame, corners: list[float]) -> None:
    _at(frame, 99, [0, 0, *corners])


@pytest.mark.parametrize("plant", PLANTED)
def test_a_planted_fault_is_found_and_nothing_else(plant: str) -> None:
    frame = squares()
    change, options, expected = PLANTED[plant]
    change(frame)
    found = gdl.check(frame, **options)
    assert set(found.counts) == expected
    assert not found
    assert found.count == len(frame)


def test_a_layer_without_faults() -> None:
    found = gdl.check(squares(), classes=["field", "wood"], crs="EPSG:32633", min_area=100, gap_width="all")
    assert found
    assert found.table() == "GeoDataFrame: 100 features, no fault"
    assert found.unchecked == ()


@pytest.mark.parametrize("name", ["a.gpkg", "a.fgb", "a.geojson", "a.parquet", "a.shp"])
def test_every_format_is_read_alike(name: str, tmp_path: Path) -> None:
    frame = squares()
    _at(frame, 99, [0, 0, 5, 0, 10, 0, 10, 10, 0, 10])
    frame.loc[44, "class_name"] = None
    path = tmp_path / name
    frame.to_parquet(path) if name.endswith("parquet") else frame.to_file(path)
    found = gdl.check(path)
    assert found.counts == {"no class": 1, "edge mismatch": 1}
    shape = found.faults
    first = {"a.gpkg": 1}.get(name, 0)  # the number of the first feature
    assert (shape.fid - first).tolist() == ([44, 89] if name != "a.fgb" else (shape.fid - first).tolist())


@pytest.mark.parametrize(
    "options", [{}, {"tolerance_px": 1.0}, {"tolerance_px": 1.5, "smooth": True, "min_area_px": 4}]
)
@pytest.mark.parametrize("name", ["a.gpkg", "a.geojson"])
def test_our_own_layers_have_none(options: dict[str, Any], name: str, make_raster: MakeRaster, tmp_path: Path) -> None:
    labels = np.random.default_rng(2).integers(0, 4, (1, 40, 60)).astype(np.uint8)
    labels[0, 10:30, 5:50] = 2
    raster = make_raster(labels, "labels.tif", nodata=0)
    options = options | ({"out_crs": "EPSG:4326"} if name == "a.geojson" else {})
    gdl.vectorize(raster, tmp_path / name, gdl.PolygonOptions(**options))
    found = gdl.check(tmp_path / name, nullable=["class_name"], class_field="class_id")
    assert found.counts == {}, found.table()


def test_batches_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    frame = squares()
    frame.loc[44, "geometry"] = moved(frame.geometry[44], 0.2, 0)
    whole = gdl.check(frame).to_dict()
    monkeypatch.setattr(reading, "BATCH_FEATURES", 7)
    assert gdl.check(frame).to_dict() | {"seconds": 0} == whole | {"seconds": 0}


def test_what_a_geopackage_says_of_itself(tmp_path: Path) -> None:
    squares().to_file(tmp_path / "a.gpkg", layer="fields")
    assert gdl.check(tmp_path / "a.gpkg")
    for name, change, kind in (
        ("extent", "UPDATE gpkg_contents SET max_x = max_x + 500", "stale extent"),
        ("short", "DELETE FROM rtree_fields_geom WHERE id = 5", "stale index"),
        ("wide", "UPDATE rtree_fields_geom SET maxx = maxx + 500 WHERE id = 5", "stale index"),
    ):
        path = tmp_path / f"{name}.gpkg"
        shutil.copy(tmp_path / "a.gpkg", path)
        with closing(sqlite3.connect(path)) as database, database:
            database.execute(change)
        assert list(gdl.check(path).counts) == [kind], name


def test_the_faults_as_a_layer(tmp_path: Path) -> None:
    frame = squares()
    frame.loc[44, "geometry"] = moved(frame.geometry[44], 1, 0)
    frame.loc[3, "class_name"] = None
    found = gdl.check(frame, gap_width="all", faults=tmp_path / "f.gpkg", json=tmp_path / "f.json")
    points = gpd.read_file(tmp_path / "f.gpkg", layer="faults")
    shapes = gpd.read_file(tmp_path / "f.gpkg", layer="overlaps_and_gaps")
    assert points.kind.value_counts().to_dict() == found.counts
    assert points.crs == shapes.crs == frame.crs
    assert points.geometry.isna().sum() == 1  # the class has no place
    assert sorted(zip(shapes.kind, shapes.area.round(6), strict=True)) == [("gap", 10.0), ("overlap", 10.0)]
    assert json.loads((tmp_path / "f.json").read_text())["kinds"]["overlap"]["count"] == 1
    with pytest.raises(OutputError, match="exists"):
        gdl.check(frame, faults=tmp_path / "f.gpkg")


def test_an_empty_layer(tmp_path: Path) -> None:
    squares().iloc[:0].to_file(tmp_path / "a.gpkg")
    found = gdl.check(tmp_path / "a.gpkg")
    assert (bool(found), found.count) == (True, 0)


def test_without_a_crs() -> None:
    assert gdl.check(squares().set_crs(None, allow_override=True)).counts == {"no CRS": 1}


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"class_field": "use"}, r"no field 'use'.*'class_id'"),
        ({"min_area": -1}, "`min_area=` is 0 or more"),
        ({"spike_degrees": 90}, "less than 90"),
        ({"crs": "EPSG:1"}, "is no CRS"),
        ({"faults": "f.shp"}, "suffix"),
    ],
)  # fmt: skip
def test_refusals(options: dict[str, Any], match: str) -> None:
    with pytest.raises(OptionError, match=match):
        gdl.check(squares(), **options)


def test_damaged_files(tmp_path: Path) -> None:
    (tmp_path / "a.gpkg").write_bytes(b"no database")
    with pytest.raises(OptionError, match="cannot be read"):
        gdl.check(tmp_path / "a.gpkg")
    with pytest.raises(OptionError, match="cannot be read"):
        gdl.check(tmp_path / "missing.gpkg")
