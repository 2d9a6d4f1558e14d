"""Files as people have them."""

import json
import shutil
import zipfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import geopandas as gpd
import pandas as pd
import pytest
from rasterio.crs import CRS
from shapely import box

from geodeeplab.errors import GeoDeepLabError, GeoDeepLabWarning, OptionError
from geodeeplab.raster import open_scene, read_polygon_layer
from geodeeplab.raster.polygons.aoi import to_aoi

UTM = CRS.from_epsg(32633)
OPEN = [[0, 0], [4, 0], [4, 4], [0, 4]]
REPAIRED = "ignore:.*1 of 1 geometries repaired"


def collection(name: str = "wood", ring: Sequence[Sequence[float]] = OPEN, **more: Any) -> str:  # noqa: ANN401 - members
    crs = {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::32633"}}
    feature = {
        "type": "Feature",
        "properties": {"kind": name},
        "geometry": {"type": "Polygon", "coordinates": [ring]},
    }
    return json.dumps({"type": "FeatureCollection", "crs": crs, "features": [feature]} | more, ensure_ascii=False)


def values(path: Path, **options: str) -> tuple[str, ...]:
    return read_polygon_layer(path, crs=UTM, class_field="kind", **options).values  # type: ignore[arg-type]


@pytest.mark.parametrize("suffix", ["gpkg", "geojson", "fgb", "shp", "parquet", "geoparquet", "kml", "shp.zip", "gml"])
def test_every_format_is_read_as_labels_and_as_area(tmp_path: Path, suffix: str) -> None:
    frame = gpd.GeoDataFrame({"kind": ["wood"]}, geometry=[box(500_000, 0, 500_010, 10)], crs=32633)
    path = tmp_path / f"layer.{suffix}"
    if suffix.endswith("parquet"):
        frame.to_parquet(path)
    else:
        (frame.to_crs(4326) if suffix == "kml" else frame).to_file(path)
    layer = read_polygon_layer(path, crs=UTM, class_field=None if suffix == "kml" else "kind")
    assert layer.polygons[0].area == pytest.approx(100, rel=1e-3)
    assert to_aoi(path, crs=UTM).geometry.area == pytest.approx(100, rel=1e-3)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
@pytest.mark.filterwarnings(REPAIRED)
def test_unicode_of_any_kind(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "labels.geojson"
    path.write_bytes(collection("Straße").encode(encoding))
    assert values(path) == ("Straße",)
    assert to_aoi(path, crs=UTM).geometry.area == 16
    table = tmp_path / "labels.csv"
    (tmp_path / "labels.prj").write_text(UTM.to_wkt())
    table.write_bytes('kind,geom\nStraße,"POLYGON((0 0,4 0,4 4,0 4))"\n'.encode(encoding))
    assert values(table) == ("Straße",)
    assert to_aoi(table, crs=UTM).geometry.area == 16


@pytest.mark.filterwarnings(REPAIRED)
def test_lines_of_features(tmp_path: Path) -> None:
    feature = json.loads(collection(ring=[[15, 45], [15.01, 45], [15.01, 45.01]]))["features"][0]
    path = tmp_path / "labels.ndjson"
    path.write_text("\n".join([json.dumps(feature)] * 2))
    with pytest.warns(GeoDeepLabWarning, match="2 of 2 geometries repaired"):
        assert len(read_polygon_layer(path, crs=UTM, class_field="kind")) == 2


@pytest.mark.filterwarnings(REPAIRED)
def test_text_in_a_code_page_needs_its_name(tmp_path: Path) -> None:
    path = tmp_path / "labels.geojson"
    path.write_bytes(collection("Straße").encode("cp1252"))
    with pytest.raises(OptionError, match=r"text that is not utf-8 .*: give the encoding it is in"):
        values(path)
    assert values(path, encoding="cp1252") == ("Straße",)
    assert to_aoi(path, crs=UTM).geometry.area == 16  # which needs no text
    with pytest.raises(OptionError, match=r"'klingon' is no encoding: give e\.g\. utf-8"):
        values(path, encoding="klingon")


def shapefile(folder: Path, written: str, stated: str | None) -> Path:
    path = folder / "labels.shp"
    gpd.GeoDataFrame({"kind": ["Straße", "wood"]}, geometry=[box(0, 0, 4, 4), box(5, 5, 6, 6)], crs=32633).to_file(
        path, encoding=written
    )
    path.with_suffix(".cpg").unlink()
    if stated is not None:
        path.with_suffix(".cpg").write_text(stated)
    return path


@pytest.mark.parametrize(
    ("written", "stated"),
    [("utf-8", None), ("utf-8", "ISO-8859-1"), ("utf-8", "1252"), ("utf-8", "nonsense"), ("cp1252", "UTF-8")],
)
def test_a_shapefile_in_another_encoding_than_it_says(tmp_path: Path, written: str, stated: str | None) -> None:
    path = shapefile(tmp_path, written, stated)
    with pytest.raises(OptionError, match=r"encoding.*labels_encoding="):
        values(path)
    assert values(path, encoding=written) == ("Straße", "wood")


def test_a_shapefile_that_says_no_encoding(tmp_path: Path) -> None:
    path = shapefile(tmp_path, "cp1252", None)
    with pytest.warns(GeoDeepLabWarning, match="does not say in which encoding its text is"):
        assert values(path) == ("Straße", "wood")
    assert values(path, encoding="cp1252") == ("Straße", "wood")


def test_an_archive_with_a_folder(tmp_path: Path) -> None:
    shapefile(tmp_path, "utf-8", "UTF-8")
    path = tmp_path / "labels.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for part in sorted(tmp_path.glob("labels.*")):
            if part != path:
                archive.write(part, f"folder/{part.name}")
        archive.writestr("__MACOSX/folder/._labels.shp", b"")
    assert values(path) == ("Straße", "wood")


@pytest.mark.parametrize("name", ["a.geojson", "a.gpkg", "a.shp", "a.fgb", "a.parquet", "a.csv", "a.kml", "a.zip"])
@pytest.mark.parametrize("content", [b"", b"\x00\xff" * 40, b"{", b"PAR1", b"PK\x03\x04", b"\xff\xfe{"])
def test_files_of_noise_end_in_one_line(tmp_path: Path, name: str, content: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    for read in (lambda: values(path), lambda: to_aoi(path, crs=UTM)):
        with pytest.raises(OptionError) as caught:
            read()
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("suffix", ["gpkg", "fgb", "parquet", "shp"])
@pytest.mark.filterwarnings("ignore::geodeeplab.errors.GeoDeepLabWarning")
def test_damaged_files_end_in_a_result_or_one_line(tmp_path: Path, suffix: str) -> None:
    frame = gpd.GeoDataFrame({"kind": list("abcd")}, geometry=[box(i, 0, i + 1, 1) for i in range(4)], crs=32633)
    path = tmp_path / f"whole.{suffix}"
    frame.to_parquet(path) if suffix == "parquet" else frame.to_file(path)
    whole = path.read_bytes()
    refusals: list[str] = []
    for i in range(12):
        at = len(whole) * i // 12
        path.write_bytes(whole[:at] + b"\xff\x00\xff\x7f" + whole[at + 4 :] if i % 2 else whole[:at])
        for read in (lambda: values(path), lambda: to_aoi(path, crs=UTM)):
            try:
                read()
            except OptionError as error:
                refusals.append(str(error))
    assert len(refusals) >= 2, "an empty file is no layer, for either"
    assert not any("\n" in refusal for refusal in refusals)


def test_gdal_says_nothing_beside_the_error(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """In a thread that did not import pyogrio it would."""
    path = tmp_path / "a.shp"
    gpd.GeoDataFrame(geometry=[box(0, 0, 1, 1)], crs="EPSG:32633").to_file(path)
    path.with_suffix(".prj").write_text(path.with_suffix(".prj").read_text()[:-9])
    with ThreadPoolExecutor(1) as pool, pytest.raises(OptionError, match="cannot be read"):
        pool.submit(to_aoi, path, crs=CRS.from_epsg(32633)).result()
    assert capfd.readouterr().err == ""


def test_a_shapefile_that_is_cut_off_is_refused(tmp_path: Path) -> None:
    path = shapefile(tmp_path, "utf-8", "UTF-8")
    whole = path.read_bytes()
    path.write_bytes(whole + bytes(8))
    assert len(values(path)) == 2, "what comes after the end does no harm"
    for left in (len(whole) - 1, 130, 100):
        path.write_bytes(whole[:left])
        for read in (lambda: values(path), lambda: to_aoi(path, crs=UTM)):
            with pytest.raises(OptionError, match=f"is cut off: it has {left} bytes of {len(whole)}; copy it again"):
                read()


def test_parquet_without_geometry_and_without_crs(tmp_path: Path) -> None:
    pd.DataFrame({"kind": ["a"]}).to_parquet(tmp_path / "table.parquet")
    with pytest.raises(OptionError, match="without the metadata of GeoParquet"):
        values(tmp_path / "table.parquet")
    gpd.GeoDataFrame({"kind": ["a"]}, geometry=[box(0, 0, 1, 1)]).to_parquet(tmp_path / "none.parquet")
    with pytest.raises(OptionError, match="has no CRS"):
        to_aoi(tmp_path / "none.parquet", crs=UTM)


def test_parquet_in_arrow_geometries_and_with_open_rings(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    frame = gpd.GeoDataFrame({"kind": ["a"]}, geometry=[box(0, 0, 1, 1)], crs=32633)
    frame.to_parquet(tmp_path / "arrow.parquet", geometry_encoding="geoarrow")
    assert values(tmp_path / "arrow.parquet") == ("a",)
    frame.to_parquet(tmp_path / "wkb.parquet")
    table = pq.read_table(tmp_path / "wkb.parquet")
    wkb = table["geometry"].to_pylist()[0]
    shorter = wkb[:9] + (4).to_bytes(4, "little") + wkb[13:-16]
    column = pa.chunked_array([pa.array([shorter], type=table["geometry"].type)])
    pq.write_table(table.set_column(1, table.schema.field("geometry"), column), tmp_path / "open.parquet")
    with pytest.warns(GeoDeepLabWarning, match="1 of 1 geometries repaired"):
        assert to_aoi(tmp_path / "open.parquet", crs=UTM).geometry.area == 1


def test_a_name_that_is_not_utf8(tmp_path: Path) -> None:
    good = tmp_path / "a.geojson"
    good.write_text(collection())
    bad = tmp_path / "\udcff.geojson"
    try:
        shutil.copy(good, bad)
    except (OSError, UnicodeError):
        pytest.skip("the file system takes no such names")
    with pytest.raises(GeoDeepLabError, match="rename the file"):
        to_aoi(bad, crs=UTM)
    with pytest.raises(GeoDeepLabError, match="rename the file"):
        open_scene(tmp_path / "\udcff.tif")
