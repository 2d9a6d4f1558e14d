import sqlite3
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import pyogrio
import pytest
import shapely
from affine import Affine
from rasterio.crs import CRS

from geodeeplab.raster.cog import LabelClass
from geodeeplab.vector.layers import gdal_formats, write_polygons
from tests.vector.polygon_batches import batch_of_labels

UTM = CRS.from_epsg(32633)
TRANSFORM = Affine(0.5, 0, 500_000, 0, -0.5, 4_000_000)
CLASSES = [
    LabelClass(id=7, name="roof", color=(200, 0, 10)),
    LabelClass(id=2, name="<\"Straße\" & 'x'>", color=(9, 8, 7)),
]


def write(path: Path, *, labels: Any = ((7, 2, 0), (2, 2, 7)), **options: Any) -> Path:  # noqa: ANN401
    batch = batch_of_labels(np.array(labels), transform=TRANSFORM, multi=options.pop("multi", False))
    write_polygons([batch], path, **{"crs": UTM, "classes": CLASSES} | options)
    return path


@pytest.fixture
def database(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    """A GeoPackage of three polygons."""
    connection = sqlite3.connect(
        write(tmp_path / "a.gpkg", layer="cover", metadata={"model": "x", "options": "a=1 & b"})
    )
    yield connection
    connection.close()


def rows(database: sqlite3.Connection, query: str) -> list[Any]:
    return database.execute(query).fetchall()


def test_the_file_is_a_sound_geopackage(database: sqlite3.Connection) -> None:
    """Requirements 2, 5–8, 10, 11, 13, 14 of OGC 12-128r17."""
    assert rows(database, "PRAGMA application_id") == [(int.from_bytes(b"GPKG"),)]
    assert rows(database, "PRAGMA user_version") == [(10300,)]
    assert rows(database, "PRAGMA integrity_check") == [("ok",)]
    assert rows(database, "PRAGMA foreign_key_check") == []
    assert rows(database, "PRAGMA journal_mode") == [("delete",)]
    assert {-1, 0, 4326, 32633} <= {srs for (srs,) in rows(database, "SELECT srs_id FROM gpkg_spatial_ref_sys")}
    assert rows(
        database,
        "SELECT table_name, data_type, min_x, min_y, max_x, max_y, srs_id FROM gpkg_contents ORDER BY data_type",
    ) == [
        ("layer_styles", "attributes", None, None, None, None, None),
        ("cover", "features", 500_000.0, 3_999_999.0, 500_001.5, 4_000_000.0, 32633),
    ]
    tables = {name for (name,) in rows(database, "SELECT name FROM sqlite_master WHERE type = 'table'")}
    assert {name for (name,) in rows(database, "SELECT table_name FROM gpkg_contents")} <= tables


def test_the_layer_has_a_primary_key_and_one_geometry_column(database: sqlite3.Connection) -> None:
    """Requirements 18, 22–26, 29–31 of OGC 12-128r17."""
    assert rows(database, "SELECT * FROM gpkg_geometry_columns") == [("cover", "geom", "POLYGON", 32633, 0, 0)]
    columns = {name: (kind, key) for _, name, kind, _, _, key in rows(database, "PRAGMA table_info(cover)")}
    assert columns["fid"] == ("INTEGER", 1)
    assert columns["geom"] == ("POLYGON", 0)
    assert rows(database, "SELECT feature_count FROM gpkg_ogr_contents WHERE table_name = 'cover'") == [(3,)]


def test_blobs_have_the_header_of_the_standard(database: sqlite3.Connection) -> None:
    """Requirements 19–21 of OGC 12-128r17: magic, version 0, flags, the CRS, a box or none, WKB."""
    for (blob,) in rows(database, "SELECT geom FROM cover"):
        magic, version, flags, srs = struct.unpack("<2sBBi", blob[:8])
        assert (magic, version, srs) == (b"GP", 0, 32633)
        assert flags & 0b110001 == 1  # little-endian, not empty, not extended
        box_bytes = {0: 0, 1: 32}[(flags >> 1) & 7]
        geometry = shapely.from_wkb(blob[8 + box_bytes :])
        assert geometry.is_valid
        if box_bytes:
            west, east, south, north = struct.unpack("<4d", blob[8:40])
            assert (west, south, east, north) == geometry.bounds


def test_the_r_tree_finds_each_polygon(database: sqlite3.Connection) -> None:
    assert ("cover", "geom", "gpkg_rtree_index") in rows(
        database, "SELECT table_name, column_name, extension_name FROM gpkg_extensions"
    )
    triggers = {name for (name,) in rows(database, "SELECT name FROM sqlite_master WHERE type = 'trigger'")}
    assert {
        f"rtree_cover_geom_{when}" for when in ("insert", "update1", "update2", "update3", "update4", "delete")
    } <= triggers
    assert rows(database, "SELECT rtreecheck('rtree_cover_geom')") == [("ok",)]
    boxes = rows(database, "SELECT id, minx, miny, maxx, maxy FROM rtree_cover_geom ORDER BY id")
    blobs = rows(database, "SELECT fid, geom FROM cover ORDER BY fid")
    assert [item[0] for item in boxes] == [item[0] for item in blobs]
    for (_, *box), (_, blob) in zip(boxes, blobs, strict=True):
        bounds = shapely.from_wkb(blob[8 + 32 * (blob[3] >> 1 & 1) :]).bounds
        np.testing.assert_allclose(box, bounds, rtol=1e-6)  # the R-tree holds float32, rounded outwards
        assert box[0] <= bounds[0] <= bounds[2] <= box[2]
        assert box[1] <= bounds[1] <= bounds[3] <= box[3]


def test_the_r_tree_selects_by_window(tmp_path: Path) -> None:
    labels = np.arange(1, 10_001).reshape(100, 100)
    path = write(tmp_path / "a.gpkg", labels=labels)
    west, north = TRANSFORM @ (40.25, 10.25)
    frame = pyogrio.read_dataframe(path, layer="landcover", bbox=(west, north - 1, west + 1, north))
    assert sorted(frame["class_id"]) == sorted(labels[10:13, 40:43].ravel())


def test_the_r_tree_may_outgrow_its_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gdal_formats, "R_TREE_BYTES", 100_000)
    write(tmp_path / "a.gpkg", labels=np.arange(1, 10_001).reshape(100, 100))
    assert [item.name for item in tmp_path.iterdir()] == ["a.gpkg"]
    connection = sqlite3.connect(tmp_path / "a.gpkg")
    assert rows(connection, "SELECT count(*) FROM rtree_landcover_geom") == [(10_000,)]
    assert rows(connection, "SELECT rtreecheck('rtree_landcover_geom')") == [("ok",)]
    connection.close()
    assert pyogrio.get_gdal_config_option("OGR_GPKG_MAX_RAM_USAGE_RTREE") is None


def test_metadata_come_back(tmp_path: Path) -> None:
    path = write(tmp_path / "a.gpkg", metadata={"model": "x", "options": '{"a": "<&>"}'})
    assert pyogrio.read_info(path, layer="landcover")["layer_metadata"] == {"model": "x", "options": '{"a": "<&>"}'}


def style_of(path: Path) -> tuple[Any, ...]:
    """Ask for the default style as QGIS does, with its own query."""
    info, styles = pyogrio.raw.read(
        path,
        layer="layer_styles",
        where="f_table_schema='' AND f_table_name='landcover' AND f_geometry_column='geom' AND useAsDefault = 1",
        columns=["styleName", "styleQML", "useAsDefault", "update_time"],
        read_geometry=False,
        return_fids=False,
    )[0::3]
    del info
    (name,), (qml,), (is_default,), (time,) = styles
    return name, qml, is_default, time


def test_qgis_finds_colours_and_names(tmp_path: Path) -> None:
    name, qml, is_default, time = style_of(write(tmp_path / "a.gpkg"))
    assert len(name) <= 30
    assert is_default
    assert not np.isnat(time)
    assert qml.startswith("<!DOCTYPE qgis PUBLIC")
    renderer = ET.fromstring(qml).find("renderer-v2")
    assert renderer is not None
    assert (renderer.get("type"), renderer.get("attr")) == ("categorizedSymbol", "class_id")
    found = {}
    for category in renderer.iterfind("categories/category"):
        options = renderer.findall(f"symbols/symbol[@name='{category.get('symbol')}']/layer/Option/Option")
        values = {option.get("name"): option.get("value") for option in options}
        found[category.get("value")] = (category.get("label"), values["color"], values["outline_color"])
    assert found == {
        "7": ("roof", "200,0,10,255", "200,0,10,255"),
        "2": ("<\"Straße\" & 'x'>", "9,8,7,255", "9,8,7,255"),
    }


def test_ids_without_a_class_are_grey_and_only_then(tmp_path: Path) -> None:
    _, qml, _, _ = style_of(write(tmp_path / "a.gpkg", labels=[[7, 3]]))
    renderer = ET.fromstring(qml).find("renderer-v2")
    assert renderer is not None
    assert [category.get("value") for category in renderer.iterfind("categories/category")] == ["7", "2", ""]


def test_no_class_no_style(tmp_path: Path) -> None:
    path = write(tmp_path / "a.gpkg", classes=[])
    assert pyogrio.list_layers(path).tolist() == [["landcover", "Polygon"]]


def test_multipolygons_have_a_layer_of_their_type(tmp_path: Path) -> None:
    path = write(tmp_path / "a.gpkg", labels=[[7, 0], [0, 7]], multi=True)
    assert pyogrio.read_info(path, layer="landcover")["geometry_type"] == "MultiPolygon"


def test_an_empty_layer_has_an_index_and_a_style(tmp_path: Path) -> None:
    write_polygons([], tmp_path / "a.gpkg", crs=UTM, classes=CLASSES)
    assert len(style_of(tmp_path / "a.gpkg")) == 4
    connection = sqlite3.connect(tmp_path / "a.gpkg")
    assert rows(connection, "SELECT count(*) FROM rtree_landcover_geom") == [(0,)]
    connection.close()
