from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.env import get_gdal_config
from rasterio.windows import Window

from geodeeplab.errors import SceneError
from geodeeplab.raster.sources.file import FileSource
from geodeeplab.raster.sources.remote import (
    OPTIONS,
    RemoteSource,
    gdal_path,
    is_remote,
    open_file,
    over_network,
    public_name,
    remote_env,
)
from tests.raster.conftest import Served

MakeRaster = Callable[..., Path]


@pytest.fixture
def noisy(make_raster: MakeRaster) -> Path:
    """Three bands, 1024 x 1024, in blocks of 128 that do not compress."""
    array = np.random.default_rng(0).integers(0, 255, (3, 1024, 1024), dtype=np.uint8)
    return make_raster(array, "noisy.tif", driver="COG", blocksize=128, compress="deflate")


@pytest.fixture(autouse=True)
def no_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GDAL_HTTP_RETRY_DELAY", "0.001")
    monkeypatch.setenv("GDAL_HTTP_MAX_RETRY", "2")


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("https://host/a.tif", "/vsicurl/https://host/a.tif"),
        ("HTTP://host/a.tif?x=1", "/vsicurl/http://host/a.tif?x=1"),
        ("s3://bucket/a.tif", "/vsis3/bucket/a.tif"),
        ("gs://bucket/a.tif", "/vsigs/bucket/a.tif"),
        ("az://container/a.tif", "/vsiaz/container/a.tif"),
        ("/vsicurl/https://host/a.tif", "/vsicurl/https://host/a.tif"),
        ("/vsizip//vsis3/bucket/a.zip/a.tif", "/vsizip//vsis3/bucket/a.zip/a.tif"),
    ],
)
def test_remote_names(path: str, name: str) -> None:
    assert is_remote(path)
    assert gdal_path(path) == name
    assert is_remote(name)


@pytest.mark.parametrize(
    "path", ["a.tif", "/data/a.tif", "C:\\a.tif", "/vsizip/a.zip/a.tif", "/vsimem/a.tif", "NETCDF:a.nc:x"]
)
def test_local_names(path: str) -> None:
    assert not is_remote(path)
    assert gdal_path(path) == path
    assert public_name(path) == path


def test_a_file_url_is_a_path(make_raster: MakeRaster) -> None:
    path = make_raster(np.ones((1, 3, 4), dtype=np.uint8), "with space.tif")
    assert gdal_path(path.as_uri()) == str(path)
    with_source = open_file(path.as_uri())
    assert isinstance(with_source, FileSource)
    with_source.close()


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("https://user:word@host:8000/a.tif", "https://host:8000/a.tif"),
        ("https://host/a.tif?id=3&sig=Ab%2F&se=2026-01-01&sv=1", "https://host/a.tif?id=3&sv=1"),
        ("https://host/a.tif?X-Amz-Signature=1&X-Amz-Date=2&version=3", "https://host/a.tif?version=3"),
        ("/vsicurl/https://host/a.tif?access_token=1", "/vsicurl/https://host/a.tif"),
        ("s3://bucket/a.tif", "s3://bucket/a.tif"),
    ],
)
def test_secrets_stay_out_of_names(path: str, name: str) -> None:
    assert public_name(path) == name


def test_what_the_user_set_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GDAL_HTTP_CONNECTTIMEOUT", "7")
    with rasterio.Env(VSI_CACHE="TRUE"), remote_env():
        assert get_gdal_config("GDAL_HTTP_CONNECTTIMEOUT") == 7
        assert get_gdal_config("VSI_CACHE") == "TRUE"
        assert get_gdal_config("GDAL_DISABLE_READDIR_ON_OPEN") == "TRUE"
    assert get_gdal_config("GDAL_HTTP_LOW_SPEED_TIME") is None
    assert get_gdal_config("GDAL_DISABLE_READDIR_ON_OPEN") is None
    assert set(OPTIONS) >= {"GDAL_HTTP_MAX_RETRY", "GDAL_HTTP_MULTIRANGE", "GDAL_HTTP_MERGE_CONSECUTIVE_RANGES"}


def test_a_window_fetches_its_blocks_only(served: Served, noisy: Path) -> None:
    block = 3 * 128 * 128
    source, local = open_file(f"{served.url}/noisy.tif"), open_file(str(noisy))
    assert isinstance(source, RemoteSource)
    assert isinstance(local, FileSource)
    opening = served.log()
    assert sum(size for *_, size in opening) <= 16384
    window = Window(256, 384, 128, 256)  # two blocks
    pixels = source.read(window, [1, 2, 3])
    fetched = sum(size for *_, size in served.log())
    assert 2 * block < fetched < 2.2 * block
    assert np.array_equal(pixels.array, local.read(window, [1, 2, 3]).array)
    assert (source.grid, source.bands, source.block_shape([1])) == (local.grid, local.bands, (128, 128))
    assert (source.driver, source.tags, source.least_rows) == (local.driver, local.tags, local.least_rows)
    assert source.files == (f"{served.url}/noisy.tif",)
    assert source.is_all_valid([1])
    source.close()
    local.close()


def test_the_whole_file_once(served: Served, noisy: Path) -> None:
    source = open_file(f"{served.url}/noisy.tif")
    for row in range(0, 1024, 128):
        source.read(Window(0, row, 1024, 128), [1, 2, 3])
    source.close()
    assert 3 * 1024 * 1024 < sum(size for *_, size in served.log()) < 1.1 * 3 * 1024 * 1024


def test_a_mask_beside_the_file_counts_as_it_does_on_disk(served: Served, make_raster: MakeRaster) -> None:
    mask = np.array([[True, False, True]])
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=False):
        make_raster(np.array([[[0, 1, 2]]], dtype=np.uint8), "masked.tif", mask=mask)
    assert (served.folder / "masked.tif.msk").exists()
    source = open_file(f"{served.url}/masked.tif")
    assert source.read(Window(0, 0, 3, 1), [1]).valid.tolist() == mask.tolist()
    assert not source.is_all_valid([1])
    source.close()


def test_a_vrt_on_disk_of_a_remote_file(served: Served, noisy: Path, tmp_path: Path) -> None:
    vrt = tmp_path / "scene.vrt"
    vrt.write_text(
        '<VRTDataset rasterXSize="1024" rasterYSize="1024"><SRS>EPSG:32633</SRS>'
        "<GeoTransform>500000, 1, 0, 5000000, 0, -1</GeoTransform>"
        '<VRTRasterBand dataType="Byte" band="1"><SimpleSource>'
        f"<SourceFilename>/vsicurl/{served.url}/noisy.tif</SourceFilename><SourceBand>1</SourceBand>"
        "</SimpleSource></VRTRasterBand></VRTDataset>"
    )
    source = open_file(str(vrt))
    assert isinstance(source, RemoteSource)
    assert source.files == (str(vrt), f"{served.url}/noisy.tif")
    source.close()


def test_a_local_file_stays_as_it_is(noisy: Path) -> None:
    with rasterio.open(noisy) as src:
        source = FileSource(src, path=str(noisy))
        assert over_network(source) is source


@pytest.mark.parametrize(
    ("behaviour", "message"),
    [
        ({"code": 404}, r"404\): check the address"),
        ({"code": 403}, r"403\): it needs credentials"),
        ({"code": 500}, r"500\): check the address and the network, or try again"),
        ({"ranges": False}, r"whole files only, .*copy the file here first"),
    ],
)
def test_a_server_that_fails_at_once(served: Served, noisy: Path, behaviour: dict[str, int], message: str) -> None:
    served.behave(**behaviour)
    with pytest.raises(SceneError, match=r"noisy\.tif' cannot be opened over the network .*" + message) as caught:
        open_file(f"{served.url}/noisy.tif?sig=secret")
    assert "secret" not in str(caught.value)


def test_no_server_at_all() -> None:
    with pytest.raises(SceneError, match="cannot be opened over the network"):
        open_file("http://127.0.0.1:9/a.tif")


def test_a_remote_file_that_is_no_scene(served: Served, make_raster: MakeRaster) -> None:
    make_raster(np.ones((1, 3, 3), dtype=np.complex64), "complex.tif")
    with pytest.raises(SceneError, match="has complex pixels") as caught:
        open_file(f"{served.url}/complex.tif?sig=secret")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("compress", ["deflate", "none"])
@pytest.mark.parametrize("code", [404, 500, -1], ids=["gone", "error", "cut"])
def test_a_server_that_fails_later(served: Served, make_raster: MakeRaster, code: int, compress: str) -> None:
    array = np.random.default_rng(0).integers(0, 255, (1, 512, 512), dtype=np.uint8)
    make_raster(array, "a.tif", driver="COG", blocksize=128, compress=compress)
    source = open_file(f"{served.url}/a.tif")
    served.behave(code=code, from_byte=20_000)
    with pytest.raises(SceneError, match=r"a\.tif' cannot be read over the network in rows 384-511") as caught:
        source.read(Window(0, 384, 512, 128), [1])
    assert "\n" not in str(caught.value)
    assert "try again later" in str(caught.value)
    source.close()


@pytest.mark.parametrize("code", [500, 503, -1])
def test_a_server_that_fails_once_is_asked_again(served: Served, noisy: Path, code: int) -> None:
    source, local = open_file(f"{served.url}/noisy.tif"), open_file(str(noisy))
    served.behave(code=code, from_byte=20_000, times=1)
    window = Window(256, 384, 300, 200)
    pixels = source.read(window, [1, 2, 3])
    assert np.array_equal(pixels.array, local.read(window, [1, 2, 3]).array)
    source.close()
    local.close()
