import shlex
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.control import GroundControlPoint
from rasterio.crs import CRS

from geodeeplab.errors import GeoDeepLabWarning, SceneError
from geodeeplab.raster import open_scene
from geodeeplab.raster.sources import opening
from geodeeplab.raster.sources.opening import read_ahead, root_cause

MakeRaster = Callable[..., Path]
gray = np.arange(9, dtype="uint8").reshape(1, 3, 3)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(SceneError, match=r"gone\.tif' does not exist: check the path"):
        open_scene(tmp_path / "gone.tif")


def test_a_folder(tmp_path: Path) -> None:
    with pytest.raises(SceneError, match="is a folder"):
        open_scene(tmp_path)


@pytest.mark.parametrize("content", [b"", b"not a raster\n", b"II*\0\x08\0\0\0"])
def test_no_raster(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "some file.tif"
    path.write_bytes(content)
    with pytest.raises(
        SceneError, match=r"is no raster that GDAL can open \(.+\): .*gdalinfo '.*some file\.tif'"
    ) as caught:
        open_scene(path)
    assert "\n" not in str(caught.value)


def test_a_url_is_not_looked_for_on_disk() -> None:
    with pytest.raises(SceneError, match="is no raster that GDAL can open"):
        open_scene("/vsizip/gone.zip/scene.tif")


@pytest.mark.parametrize("dtype", ["complex64", "complex128"])
def test_complex_pixels_are_refused_with_the_command(make_raster: MakeRaster, dtype: str) -> None:
    path = make_raster(gray.astype(dtype))
    with pytest.raises(
        SceneError, match=f"complex pixels .band 1: {dtype}.*gdal_translate DERIVED_SUBDATASET:AMPLITUDE:"
    ):
        open_scene(path)


def with_gcps(path: Path, count: int) -> Path:
    points = [GroundControlPoint(row, col, 10 + col, 50 - row) for row in (0, 3) for col in (0, 3)][:count]
    with rasterio.open(path, "r+") as dst:
        dst.gcps = (points, CRS.from_epsg(4326))
    return path


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_gcps_only_are_refused_with_the_command(make_raster: MakeRaster) -> None:
    path = with_gcps(make_raster(gray, "with space.tif", crs=None, transform=Affine.identity()), 4)
    with pytest.raises(SceneError, match="4 ground control points only and has no grid") as caught:
        open_scene(path)
    command = str(caught.value).partition("warp it first: ")[2]
    assert shlex.split(command) == ["gdalwarp", "-tps", str(path), "with space_warped.tif"]


def write_vrt(path: Path, domain: str, items: dict[str, str]) -> Path:
    entries = "".join(f'<MDI key="{key}">{value}</MDI>' for key, value in items.items())
    path.write_text(
        f'<VRTDataset rasterXSize="3" rasterYSize="3"><Metadata domain="{domain}">{entries}</Metadata>'
        '<VRTRasterBand dataType="Byte" band="1"/></VRTDataset>'
    )
    return path


@pytest.mark.parametrize(
    ("domain", "items", "option"),
    [
        ("RPC", {"LINE_OFF": "1", "SAMP_OFF": "1"}, "-rpc"),
        ("GEOLOCATION", {"X_DATASET": "x.tif", "X_BAND": "1", "Y_DATASET": "y.tif", "Y_BAND": "1"}, "-geoloc"),
    ],
)
def test_rpcs_and_geolocation_only_are_refused(tmp_path: Path, domain: str, items: dict[str, str], option: str) -> None:
    path = write_vrt(tmp_path / "scene.vrt", domain, items)
    with pytest.raises(SceneError, match=f"has no grid; warp it first: gdalwarp {option} .*scene.vrt scene_warped.tif"):
        open_scene(path)


def test_rpcs_beside_a_transform_are_no_reason_to_refuse(make_raster: MakeRaster) -> None:
    path = make_raster(gray)
    with rasterio.open(path, "r+") as dst:
        dst.update_tags(ns="RPC", LINE_OFF="1")
    with open_scene(path) as scene:
        assert scene.transform == Affine(1, 0, 500_000, 0, -1, 5_000_000)


def test_a_palette_is_refused_with_the_command_unless_allowed(make_raster: MakeRaster) -> None:
    path = make_raster(gray, colorinterp=("palette",))
    with pytest.raises(
        SceneError, match=r"band 1 holds colour indices; expand it: gdal_translate -expand rgb .*scene_rgb\.tif"
    ):
        open_scene(path)
    with open_scene(path, allow_palette=True) as scene:
        assert scene.bands[0].colorinterp == "palette"
        assert scene.select([1]).bands == scene.bands


def test_subdatasets_are_named(make_raster: MakeRaster) -> None:
    make_raster(gray, "two.gpkg", driver="GPKG", raster_table="first")
    path = make_raster(gray, "two.gpkg", driver="GPKG", raster_table="second", append_subdataset=True)
    with pytest.raises(SceneError, match=r"has no bands of its own: give one of its subdatasets \(GPKG:.*first, GPKG:"):
        open_scene(path)


def test_a_missing_crs_stays_missing_with_one_warning(make_raster: MakeRaster) -> None:
    path = make_raster(gray, crs=None)
    with pytest.warns(GeoDeepLabWarning, match=r"no CRS, .* gdal_edit.py -a_srs EPSG:CODE .*scene\.tif") as caught:
        scene = open_scene(path)
    with scene:
        assert scene.crs is None
        assert scene.transform == Affine(1, 0, 500_000, 0, -1, 5_000_000)
    assert [Path(one.filename) for one in caught] == [Path(__file__)]


@pytest.mark.parametrize(("driver", "name"), [("PNG", "x.png"), ("JPEG", "x.jpg")])
def test_pictures_have_pixel_coordinates(make_raster: MakeRaster, driver: str, name: str) -> None:
    path = make_raster(gray.repeat(3, axis=0), name, driver=driver, crs=None, transform=None)
    with pytest.warns(GeoDeepLabWarning) as caught:
        scene = open_scene(path)
    with scene:
        assert scene.transform == Affine.identity()
        assert scene.crs is None
        assert [band.name for band in scene.bands] == ["red", "green", "blue"]
    assert len(caught) == 1


def test_a_world_file_places_a_picture(make_raster: MakeRaster) -> None:
    path = make_raster(gray, "x.png", driver="PNG", crs=None, transform=None)
    path.with_suffix(".pgw").write_text("2\n0\n0\n-2\n101\n199\n")
    with pytest.warns(GeoDeepLabWarning, match="no CRS"), open_scene(path) as scene:
        assert scene.transform == Affine(2, 0, 100, 0, -2, 200)


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_a_crs_without_a_transform_warns(make_raster: MakeRaster) -> None:
    path = make_raster(gray, transform=None)
    with pytest.warns(GeoDeepLabWarning, match="has a CRS but no transform"), open_scene(path) as scene:
        assert scene.crs is not None


def test_only_alpha(make_raster: MakeRaster) -> None:
    path = make_raster(gray, colorinterp=("alpha",))
    with pytest.raises(SceneError, match="alpha bands only"):
        open_scene(path)
    with open_scene(path, bands=[1]) as scene:
        assert not scene.bands[0].is_alpha


def test_nothing_is_written_to_stderr_for_a_refusal(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "cut.tif"
    path.write_bytes(b"II*\0\x08\0\0\0")
    with pytest.raises(SceneError), warnings.catch_warnings():
        open_scene(path)
    assert capfd.readouterr() == ("", "")


def test_root_cause_is_one_line() -> None:
    outer = ValueError("see above")
    outer.__cause__ = OSError("two\n  lines.")
    assert root_cause(outer) == "two lines"


@pytest.mark.parametrize("where", [b"<Description>\xd2</Description>", b""])
def test_text_that_is_not_utf_8(make_raster: Callable[..., Path], where: bytes) -> None:
    path = make_raster(np.ones((1, 8, 8), dtype=np.uint8)).with_name("a.vrt")
    source = b'<SimpleSource><SourceFilename relativeToVRT="1">\xd2.tif</SourceFilename><SourceBand>1</SourceBand>'
    band = b'<VRTRasterBand dataType="Byte" band="1">' + where + source + b"</SimpleSource></VRTRasterBand>"
    path.write_bytes(b'<VRTDataset rasterXSize="8" rasterYSize="8">' + band + b"</VRTDataset>")
    with pytest.raises(SceneError, match="'utf-8' codec can't decode byte 0xd2"):
        open_scene(path)


def test_the_beginnings_of_local_files_are_read_and_the_rest_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []

    def watched(path: str, *args: Any, **options: Any) -> Any:  # noqa: ANN401 - as open has them
        opened.append(path)
        return open(path, *args, **options)

    monkeypatch.setattr(opening, "open", watched, raising=False)
    files = [tmp_path / name for name in ("a.tif", "b.tif")]
    for file in files:
        file.write_bytes(b"0")
    thread = read_ahead([str(files[0]), str(tmp_path), str(tmp_path / "none.tif"), "http://h/a.tif", "", str(files[1])])
    thread.join()
    assert opened == [str(file) for file in files]
