"""What files may name with `local_files_only`: nothing outside of their folder, and no address."""

import json
import sqlite3
import threading
import zipfile
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import rasterio.shutil
import shapely
from rasterio.crs import CRS
from rasterio.windows import Window

from geodeeplab.errors import OptionError, SceneError
from geodeeplab.raster import open_scene, read_polygon_layer, to_aoi
from geodeeplab.raster.sources.local_only import is_local_only, local_files_only

MakeRaster = Callable[..., Path]

REFUSED = "cannot be opened with `local_only=True`"
HEAD = '<VRTDataset rasterXSize="8" rasterYSize="8"><SRS>EPSG:32633</SRS>'
HEAD += "<GeoTransform>500000,1,0,5000000,0,-1</GeoTransform>"


DERIVED = 'band="1" subClass="VRTDerivedRasterBand"'
ELSEWHERE = '<Metadata domain="OVERVIEWS"><MDI key="OVERVIEW_FILE">../secret.tif</MDI></Metadata>'


@pytest.fixture
def asked() -> Iterator[tuple[str, list[str]]]:
    """Give the address of a server, and the list of what it was asked for."""
    paths: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            paths.append(self.path)
            self.send_error(404)

        do_HEAD = do_POST = do_GET

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"127.0.0.1:{server.server_port}", paths
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def inside(tmp_path: Path) -> Path:
    """Give a folder with a raster, and make one outside of it."""
    folder = tmp_path / "inside"
    (folder / "deeper").mkdir(parents=True)
    return folder


@pytest.fixture
def rasters(make_raster: MakeRaster, inside: Path) -> Path:
    """Write a raster inside, one deeper, and one outside; give the one inside."""
    pixels = np.arange(64, dtype=np.uint8).reshape(1, 8, 8)
    make_raster(pixels + 100, "secret.tif")
    make_raster(pixels, "inside/deeper/b.tif")
    return make_raster(pixels, "inside/a.tif")


def simple(name: str, relative: int = 1, *, tag: str = "SimpleSource", more: str = "") -> str:
    return (
        f'<VRTRasterBand dataType="Byte" band="1"><{tag}><SourceFilename relativeToVRT="{relative}">{name}'
        f"</SourceFilename>{more}<SourceBand>1</SourceBand></{tag}></VRTRasterBand></VRTDataset>"
    )


def refused(path: Path | str) -> str:
    with local_files_only(), pytest.raises(SceneError, match=REFUSED) as caught:
        open_scene(path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_it_holds_within_the_statement_only() -> None:
    assert not is_local_only()
    with local_files_only():
        with local_files_only(False):
            assert is_local_only()
        assert is_local_only()
    assert not is_local_only()
    with local_files_only(False):
        assert not is_local_only()


@pytest.mark.parametrize("suffix", ["tif", "png", "jp2", "gpkg", "vrt"])
def test_plain_files_are_read_as_ever(rasters: Path, inside: Path, suffix: str) -> None:
    path = inside / f"copy.{suffix}"
    driver = {"tif": "GTiff", "png": "PNG", "jp2": "JP2OpenJPEG", "gpkg": "GPKG", "vrt": "VRT"}[suffix]
    options = {"reversible": "YES", "quality": 100} if suffix == "jp2" else {}
    rasterio.shutil.copy(rasters, path, driver=driver, **options)
    with local_files_only(), open_scene(path, allow_palette=True) as scene:
        assert scene.shape[0] >= 8


def test_a_vrt_of_its_own_folder(rasters: Path, inside: Path) -> None:
    (inside / "one.vrt").write_text(HEAD + simple("deeper/b.tif"))
    (inside / "two.vrt").write_text(HEAD + simple("one.vrt"))
    (inside / "three.vrt").write_text(HEAD + simple(str(rasters), 0))
    (inside / "four.vrt").write_text(
        HEAD
        + simple("a.tif", tag="ComplexSource").replace(
            'band="1">', 'band="1" subClass="VRTDerivedRasterBand"><PixelFunctionType>sum</PixelFunctionType>'
        )
    )
    with local_files_only(), open_scene(inside / "four.vrt") as scene:
        assert scene.shape == (8, 8)
    for name in ("one", "two", "three"):
        with local_files_only(), open_scene(inside / f"{name}.vrt") as scene:
            assert scene.read(Window(0, 0, 8, 8)).array.max() == 63


def test_what_a_vrt_may_not_name(rasters: Path, inside: Path, tmp_path: Path, asked: tuple[str, list[str]]) -> None:
    host, paths = asked
    secret = tmp_path / "secret.tif"
    (inside / "link.tif").symlink_to(secret)
    (inside / "zip.vrt").write_text(HEAD + simple(f"/vsizip/{tmp_path}/a.zip/a.tif", 0))
    wms = f"&lt;GDAL_WMS&gt;&lt;Service name='TMS'&gt;&lt;ServerUrl&gt;http://{host}/${{z}}&lt;/ServerUrl&gt;&lt;/Service&gt;"
    contents = {
        "above": simple("../secret.tif"),
        "absolute": simple(str(secret), 0),
        "link": simple("link.tif"),
        "case": simple(str(secret), 0).replace("SourceFilename", "sourcefilename"),
        "attribute": simple("a.tif").replace("<SimpleSource>", f'<SimpleSource SourceFilename="{secret}">'),
        "curl": simple(f"/vsicurl/http://{host}/a.tif", 0),
        "url": simple(f"http://{host}/a.tif", 0),
        "s3": simple("/vsis3/bucket/a.tif", 0),
        "wms": simple(wms + "&lt;/GDAL_WMS&gt;", 0),
        "nested": simple("zip.vrt"),
        "inline": simple(f"&lt;VRTDataset&gt;{secret}&lt;/VRTDataset&gt;", 0),
        "vrt": simple(f"vrt://{secret}", 0),
        "gti": simple("a.gti.gpkg"),
        "options": simple("a.tif", more='<OpenOptions><OOI key="X">1</OOI></OpenOptions>'),
        "python": simple("a.tif").replace(
            'band="1">',
            'band="1" subClass="VRTDerivedRasterBand"><PixelFunctionLanguage>Python</PixelFunctionLanguage>',
        ),
        "overviews": f'<Metadata domain="OVERVIEWS"><MDI key="OVERVIEW_FILE">{secret}</MDI></Metadata>'
        + simple("a.tif"),
        "entity": simple("a.tif"),
        "loop": simple("loop.vrt"),
        "warped": simple("a.tif").replace("<SimpleSource>", f"<SourceDataset>{secret}</SourceDataset><SimpleSource>"),
        "crs": simple("a.tif").replace("</VRTDataset>", f"<SRS>http://{host}/crs</SRS></VRTDataset>"),
    }
    for name, content in contents.items():
        head = "<!DOCTYPE a [<!ENTITY b SYSTEM 'file:///etc/passwd'>]>" if name == "entity" else ""
        (inside / f"{name}.vrt").write_text(head + HEAD + content)
        refused(inside / f"{name}.vrt")
    (inside / "wms.xml").write_text(
        f"<GDAL_WMS><Service name='WMS'><ServerUrl>http://{host}/</ServerUrl></Service></GDAL_WMS>"
    )
    refused(inside / "wms.xml")
    (inside / "odd.tif").write_bytes(b"GIF89a<VRTDataset/>")
    refused(inside / "odd.tif")
    assert paths == []


def test_names_that_are_no_files(rasters: Path, inside: Path, tmp_path: Path, asked: tuple[str, list[str]]) -> None:
    host, paths = asked
    (inside / "link.tif").symlink_to(tmp_path / "secret.tif")
    for name in (
        f"http://{host}/a.tif", f"/vsicurl/http://{host}/a.tif", "s3://bucket/a.tif", f"vrt://{rasters}",
        f"/vsizip//vsicurl/http://{host}/a.zip/a.tif", f"GTIFF_DIR:1:{rasters}", f"WMS:http://{host}/", str(inside),
        f"<GDAL_WMS><Service name='TMS'><ServerUrl>http://{host}/</ServerUrl></Service></GDAL_WMS>",
        str(inside / "link.tif"), f"http://{host}/item.json",
    ):  # fmt: skip
        refused(name)
    with local_files_only(), pytest.raises(SceneError, match="does not exist: check the path"):
        open_scene(inside / "none.tif")
    assert paths == []


def test_files_beside_a_raster(rasters: Path, inside: Path, tmp_path: Path) -> None:
    aux = Path(f"{rasters}.aux.xml")
    aux.write_text(f"<PAMDataset>{ELSEWHERE}</PAMDataset>")
    messages = [refused(rasters)]
    aux.unlink()
    for suffix in (".ovr", ".msk", ".OVR"):
        beside = Path(f"{rasters}{suffix}")
        beside.write_text(HEAD + simple("../secret.tif"))
        messages.append(refused(rasters))
        beside.unlink()
    with local_files_only(), open_scene(rasters) as scene:
        assert scene.shape == (8, 8)  # nothing but those files was in the way
    with rasterio.open(rasters, "r+") as dst:
        dst.update_tags(ns="OVERVIEWS", OVERVIEW_FILE=str(tmp_path / "secret.tif"))
    messages.append(refused(rasters))
    for message, name in zip(messages, (".aux.xml", ".ovr", ".msk", ".OVR", ""), strict=True):
        assert f"a.tif{name}' " in message.partition("as '")[2]


def test_archives(rasters: Path, inside: Path) -> None:
    with zipfile.ZipFile(inside / "a.zip", "w") as archive:
        archive.write(rasters, "a.tif")
        archive.writestr("b.vrt", HEAD + simple("a.tif"))
    for name in (f"/vsizip/{inside}/a.zip/a.tif", f"/vsizip/{{{inside}/a.zip}}/a.tif"):
        with local_files_only(), open_scene(name) as scene:
            assert scene.shape == (8, 8)
    refused(f"/vsizip/{inside}/a.zip/b.vrt")


def test_stac_items(rasters: Path, inside: Path, tmp_path: Path, asked: tuple[str, list[str]]) -> None:
    host, paths = asked

    def item(href: str) -> dict[str, object]:
        asset = {"href": href, "type": "image/tiff", "roles": ["data"], "eo:bands": [{"common_name": "red"}]}
        return {"type": "Feature", "id": "i", "properties": {}, "geometry": None, "links": [], "assets": {"r": asset}}

    (inside / "deeper" / "up.vrt").write_text(HEAD + simple("../a.tif"))
    for href in ("a.tif", "deeper/b.tif", "./deeper/up.vrt"):
        (inside / "item.json").write_text(json.dumps(item(href)))
        with local_files_only(), open_scene(inside / "item.json") as scene:
            assert [band.name for band in scene.bands] == ["red"]
    for href in (
        "../secret.tif",
        str(tmp_path / "secret.tif"),
        f"http://{host}/a.tif",
        f"/vsicurl/http://{host}/a.tif",
    ):
        (inside / "item.json").write_text(json.dumps(item(href)))
        refused(inside / "item.json")
    with local_files_only(), pytest.raises(SceneError, match="no folder that its assets could lie in"):
        open_scene(item(str(rasters)))
    assert paths == []


def test_vector_files(inside: Path, tmp_path: Path, asked: tuple[str, list[str]]) -> None:
    host, paths = asked
    crs = CRS.from_epsg(32633)
    frame = gpd.GeoDataFrame({"k": ["a"]}, geometry=[shapely.box(500_001, 4_999_990, 500_005, 4_999_999)], crs=32633)
    frame.to_file(tmp_path / "secret.gpkg")
    for name in ("a.gpkg", "a.shp", "a.fgb", "a.geojson", "a.sqlite"):
        frame.to_file(inside / name, **({"driver": "SQLite"} if name == "a.sqlite" else {}))
        with local_files_only():
            assert to_aoi(inside / name, crs=crs).geometry.area == pytest.approx(36)
    frame.to_parquet(inside / "a.parquet")
    with local_files_only():
        assert len(read_polygon_layer(inside / "a.parquet", crs=crs, class_field="k")) == 1
    (inside / "link.gpkg").symlink_to(tmp_path / "secret.gpkg")
    source = f"<SrcDataSource>{tmp_path}/secret.gpkg</SrcDataSource>"
    (inside / "v.vrt").write_text(
        f'<OGRVRTDataSource><OGRVRTLayer name="secret">{source}</OGRVRTLayer></OGRVRTDataSource>'
    )
    linked = json.loads((inside / "a.geojson").read_text())
    for name, kind in (("crs", "link"), ("CRS", "URL")):
        crs_member = {"type": kind, "properties": {"href": f"http://{host}/crs", "url": f"http://{host}/crs"}}
        others = {key: value for key, value in linked.items() if key != "crs"}
        (inside / f"{name}.geojson").write_text(json.dumps(others | {name: crs_member}))
    with sqlite3.connect(inside / "a.sqlite") as database:
        database.execute("CREATE VIRTUAL TABLE words USING fts4(a)")
        database.execute("PRAGMA writable_schema = 1")
        database.execute(
            "UPDATE sqlite_master SET sql = 'CREATE VIRTUAL TABLE words USING VirtualOGR(x)' WHERE name = 'words'"
        )
    for one in ("link.gpkg", "v.vrt", "crs.geojson", "CRS.geojson", "a.sqlite", f"http://{host}/a.geojson"):
        with local_files_only(), pytest.raises(OptionError, match=REFUSED):
            to_aoi(one if "://" in one else inside / one, crs=crs)
    assert paths == []
