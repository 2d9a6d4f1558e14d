"""Polygons of several scenes in one layer: all of a scene, or none."""

import re
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pyogrio
import pytest
import shapely
from rasterio.crs import CRS

from geodeeplab.errors import OptionError, OutputError
from geodeeplab.raster import LabelClass, classes_tag
from geodeeplab.vector import PolygonBatch, write_polygons
from geodeeplab.vector.layers import appending, scene_records
from geodeeplab.vector.layers.appending import append_part, check_append
from geodeeplab.vector.layers.scene_records import AppendTarget, read_records
from tests.examples import few

CLASSES = (LabelClass(id=1, name="wood", color=(0, 99, 0)), LabelClass(id=2, name="water", color=(0, 0, 99)))


def squares(count: int, x: float) -> PolygonBatch:
    """Give unit squares in a row from a place on."""
    ring = np.array([[0, 0], [1, 0], [1, 1], [0, 1], [0, 0]], float)
    points = np.concatenate([ring + np.array([x + 2 * one, 0]) for one in range(count)]) if count else np.empty((0, 2))
    return PolygonBatch(
        class_ids=np.arange(count, dtype=np.int32) % 2 + 1,
        points=points,
        ring_offsets=np.arange(count + 1, dtype=np.int64) * 5,
        polygon_offsets=np.arange(count + 1, dtype=np.int64),
        area_m2=np.ones(count),
        perimeter_m=np.full(count, 4.0),
    )


def write_part(
    folder: Path,
    scene_name: str,
    count: int = 3,
    *,
    x: float = 0,
    name: str = "part",
    **options: Any,  # noqa: ANN401
) -> Path:
    """Write a part as a run does."""
    stated: dict[str, Any] = {"crs": CRS.from_epsg(32633), "classes": CLASSES, "scene": ("scene", scene_name)} | options
    metadata = {"GEODEEPLAB": f'{{"scene": "{scene_name}.tif"}}', **classes_tag(stated["classes"])}
    write_polygons([squares(count, x)], folder / f"{name}.gpkg", metadata=metadata, **stated)
    return folder / f"{name}.gpkg"


def to(path: Path, scene: str) -> AppendTarget:
    return AppendTarget(path=path, layer="landcover", column="scene", scene=scene)


def rows_of(path: Path) -> list[tuple[Any, ...]]:
    """Give all features with their numbers."""
    meta, fids, geometry, fields = pyogrio.raw.read(path, layer="landcover", return_fids=True)
    columns = [fids.tolist(), *(one.tolist() for one in fields), shapely.to_wkt(shapely.from_wkb(geometry)).tolist()]
    assert list(meta["fields"])[-1] == "scene"
    return list(zip(*columns, strict=True))


@pytest.fixture
def layer(tmp_path: Path) -> Path:
    """A layer with the scene `a`."""
    path = tmp_path / "all.gpkg"
    append_part(write_part(tmp_path, "a"), to(path, "a"), replace=False)
    return path


def test_scenes_one_after_the_other(layer: Path, tmp_path: Path) -> None:
    append_part(write_part(tmp_path, "b", 4, x=100), to(layer, "b"), replace=False)
    append_part(write_part(tmp_path, "none", 0), to(layer, "none"), replace=False)
    rows = rows_of(layer)
    assert [row[0] for row in rows] == list(range(1, 8))
    assert [row[-2] for row in rows] == ["a"] * 3 + ["b"] * 4
    info = pyogrio.read_info(layer, layer="landcover", force_total_bounds=True)
    assert info["features"] == 7
    assert info["total_bounds"] == (0, 0, 107, 1)
    assert info["capabilities"]["fast_spatial_filter"]
    found = pyogrio.raw.read(layer, layer="landcover", bbox=(101.5, 0, 102.5, 1), return_fids=True)[1]
    assert found.tolist() == [5]
    assert set(read_records(layer)) == {("landcover", name) for name in ("a", "b", "none")}
    assert to(layer, "b").record() == {"scene": "b", "GEODEEPLAB": '{"scene": "b.tif"}'}
    assert "GEODEEPLAB" not in info["layer_metadata"]
    assert "GEODEEPLAB_CLASSES" in info["layer_metadata"]
    assert sorted(tmp_path.iterdir()) == [layer]
    with closing(sqlite3.connect(layer)) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert database.execute("PRAGMA foreign_key_check").fetchall() == []
        assert database.execute("SELECT feature_count FROM gpkg_ogr_contents").fetchone() == (7,)
        extent = database.execute("SELECT min_x, max_x FROM gpkg_contents WHERE table_name = 'landcover'").fetchone()
        assert extent == (0, 107)
        assert database.execute("SELECT rtreecheck('rtree_landcover_geom')").fetchone() == ("ok",)


def test_gdal_goes_on_with_it(layer: Path, tmp_path: Path) -> None:
    """The triggers of GDAL and QGIS are there afterwards."""
    append_part(write_part(tmp_path, "b", x=100), to(layer, "b"), replace=False)
    meta, _, geometry, fields = pyogrio.raw.read(layer, layer="landcover", max_features=1)
    moved = shapely.to_wkb(shapely.transform(shapely.from_wkb(geometry), lambda at: at + 1000))
    pyogrio.raw.write(
        layer, moved, fields, meta["fields"], layer="landcover", geometry_type="Polygon", crs=meta["crs"], append=True
    )
    info = pyogrio.read_info(layer, layer="landcover")
    assert info["features"] == 7
    assert len(pyogrio.raw.read(layer, layer="landcover", bbox=(1000, 1000, 1001, 1001))[2]) == 1
    append_part(write_part(tmp_path, "c", x=200), to(layer, "c"), replace=False)
    assert [row[0] for row in rows_of(layer)] == list(range(1, 11))


def test_a_scene_that_is_there_is_refused_or_replaced(layer: Path, tmp_path: Path) -> None:
    before = rows_of(layer)
    part = write_part(tmp_path, "a", 5, x=50)
    with pytest.raises(
        OptionError, match=r"layer 'landcover' of .* has polygons of scene 'a' already: pass `overwrite="
    ):
        append_part(part, to(layer, "a"), replace=False)
    assert rows_of(layer) == before
    append_part(part, to(layer, "a"), replace=True)
    rows = rows_of(layer)
    assert [row[0] for row in rows] == [4, 5, 6, 7, 8], "numbers are not given twice"
    assert len(read_records(layer)) == 1
    assert len(pyogrio.raw.read(layer, layer="landcover", bbox=(0, 0, 10, 1))[2]) == 0


OTHERS: list[tuple[dict[str, Any], str]] = [
    ({"crs": CRS.from_epsg(32634)}, "is in EPSG:32633, these polygons are in EPSG:32634: pass `out_crs=`"),
    ({"crs": None}, "is in EPSG:32633, these polygons are in none"),
    ({"classes": CLASSES[:1]}, "has the classes 1 wood, 2 water, these polygons have 1 wood: choose"),
    ({"scene": ("tile", "b")}, "lacks the columns tile (TEXT)"),
    ({"layer": "other"}, "has no layer 'other', only 'landcover': choose one with `layer_name=`"),
]


@pytest.mark.parametrize(("options", "message"), OTHERS)
def test_other_layers_are_refused_and_nothing_is_lost(
    layer: Path, tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    content = layer.read_bytes()
    part = write_part(tmp_path, "b", **options)
    name, column = options.get("layer", "landcover"), options.get("scene", ("scene",))[0]
    target = AppendTarget(path=layer, layer=name, column=column, scene="b")
    with pytest.raises(OptionError, match=re.escape(message)):
        check_append(part, target)
    with pytest.raises(OptionError, match=re.escape(message)):
        append_part(part, target, replace=False)
    assert layer.read_bytes() == content
    assert part.exists()


def test_other_files_are_refused(layer: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    part = write_part(tmp_path, "b")
    other = tmp_path / "other.gpkg"
    other.write_text("no database, but a text of some length")
    with pytest.raises(OutputError, match=r"nothing is appended to .*other\.gpkg \(file is not a database\)"):
        append_part(part, to(other, "b"), replace=False)
    with pytest.raises(OutputError, match="check that it is a GeoPackage"):
        read_records(other)
    with closing(sqlite3.connect(other.with_suffix(".db"))) as database:
        database.execute("CREATE TABLE a (b)")
    with pytest.raises(OutputError, match="it has no table gpkg_contents"):
        read_records(other.with_suffix(".db"))
    monkeypatch.setattr(scene_records, "WAIT_S", 0.05)
    before = rows_of(layer)
    with closing(sqlite3.connect(layer, isolation_level=None)) as database:
        database.execute("BEGIN IMMEDIATE")
        with pytest.raises(OutputError, match=r"\(database is locked\): close it in the program that holds it"):
            append_part(part, to(layer, "b"), replace=False)
    assert rows_of(layer) == before
    append_part(part, to(layer, "b"), replace=False)
    assert len(rows_of(layer)) == 6


def test_columns_of_users_stay(layer: Path, tmp_path: Path) -> None:
    with closing(sqlite3.connect(layer)) as database, database:
        database.execute("ALTER TABLE landcover ADD COLUMN checked TEXT")
    append_part(write_part(tmp_path, "b"), to(layer, "b"), replace=False)
    assert len(pyogrio.raw.read(layer, layer="landcover")[2]) == 6


def test_a_crs_of_another_number(tmp_path: Path) -> None:
    """A system without a code has a number of each file's own, which stands in its geometries."""
    own = CRS.from_proj4("+proj=laea +lat_0=50 +lon_0=11 +datum=WGS84")
    path = tmp_path / "all.gpkg"
    append_part(write_part(tmp_path, "a", crs=own), to(path, "a"), replace=False)
    with closing(sqlite3.connect(path)) as database:
        (number,) = database.execute("SELECT srs_id FROM gpkg_geometry_columns").fetchone()
        (blob,) = database.execute("SELECT geom FROM landcover LIMIT 1").fetchone()
        moved = appending._Renumbered(7)(blob)
        database.create_function("moved", 1, appending._Renumbered(number + 5))
        database.execute("UPDATE gpkg_spatial_ref_sys SET srs_id = srs_id + 5 WHERE srs_id = ?", (number,))
        for table in ("gpkg_geometry_columns", "gpkg_contents"):
            database.execute(f"UPDATE {table} SET srs_id = srs_id + 5 WHERE srs_id = ?", (number,))
        database.commit()
    assert moved is not None
    assert (moved[:4], moved[4:8], moved[8:]) == (blob[:4], (7).to_bytes(4, "little"), blob[8:])
    append_part(write_part(tmp_path, "b", crs=own), to(path, "b"), replace=False)
    with closing(sqlite3.connect(path)) as database:
        heads = [blob[4:8] for (blob,) in database.execute("SELECT geom FROM landcover WHERE scene = 'b'")]
    assert heads == [(number + 5).to_bytes(4, "little")] * 3


KILLED = """
import os, sys
from pathlib import Path
from geodeeplab.vector.layers import appending, scene_records
part, path = map(Path, sys.argv[1:3])
setattr(appending, sys.argv[3], lambda *arguments: os._exit(9))
target = appending.AppendTarget(path=path, layer="landcover", column="scene", scene="b")
appending.append_part(part, target, replace=False)
"""


@pytest.mark.parametrize("at", few(["copy_record", "_copy", "_check_alike"], 1))
def test_a_kill_leaves_the_old_layer(layer: Path, tmp_path: Path, at: str) -> None:
    before, part = rows_of(layer), write_part(tmp_path, "b", 2000, x=9)
    done = subprocess.run([sys.executable, "-c", KILLED, part, layer, at], check=False)
    assert done.returncode == 9
    assert rows_of(layer) == before
    assert part.exists()
    append_part(part, to(layer, "b"), replace=False)
    assert len(rows_of(layer)) == 2003


def test_a_layer_that_appears_meanwhile(layer: Path, tmp_path: Path) -> None:
    part = write_part(tmp_path, "b")
    assert not appending._become(part, layer)
    assert part.exists()
