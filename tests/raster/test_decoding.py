"""GDAL's block cache: lowered while anybody reads, and put back whoever leaves last; threads that decode."""

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.env import get_gdal_config, set_gdal_config
from rasterio.windows import Window

from geodeeplab.errors import SceneError
from geodeeplab.raster import decoding, open_scene
from geodeeplab.raster.decoding import BLOCK_CACHE_BYTES, small_block_cache

BEFORE = 200 << 20


@pytest.fixture(autouse=True)
def cache() -> Iterator[None]:
    original = get_gdal_config("GDAL_CACHEMAX")
    set_gdal_config("GDAL_CACHEMAX", BEFORE)
    yield
    set_gdal_config("GDAL_CACHEMAX", original)


def test_threads_that_overlap_put_it_back() -> None:
    first_in, second_in, first_out = threading.Event(), threading.Event(), threading.Event()
    seen: list[int] = []

    def first() -> None:
        with small_block_cache():
            first_in.set()
            second_in.wait(10)
        first_out.set()

    def second() -> None:
        first_in.wait(10)
        with small_block_cache():
            second_in.set()
            first_out.wait(10)
            seen.append(get_gdal_config("GDAL_CACHEMAX"))

    threads = [threading.Thread(target=one) for one in (first, second)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert seen == [BLOCK_CACHE_BYTES]
    assert get_gdal_config("GDAL_CACHEMAX") == BEFORE


def test_what_another_sets_meanwhile_stays() -> None:
    with small_block_cache():
        set_gdal_config("GDAL_CACHEMAX", 32 << 20)
    assert get_gdal_config("GDAL_CACHEMAX") == 32 << 20


def test_it_is_put_back_after_an_error() -> None:
    with pytest.raises(ValueError, match="x"), small_block_cache():
        raise ValueError("x")
    assert get_gdal_config("GDAL_CACHEMAX") == BEFORE


@pytest.mark.parametrize("tag", ["whole", "broken"])
def test_threads_that_decode_show_neither_in_pixels_nor_in_errors(
    tag: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, rng = tmp_path / "scene.tif", np.random.default_rng(0)
    profile = {"driver": "GTiff", "height": 256, "width": 256, "count": 3, "dtype": "uint8", "compress": "deflate"}
    tiles = {"tiled": True, "blockxsize": 64, "blockysize": 64, "interleave": "pixel"}
    with rasterio.open(path, "w", crs="EPSG:32633", transform=Affine(1, 0, 5e5, 0, -1, 4e6), **profile, **tiles) as dst:
        dst.write(rng.integers(0, 255, (3, 256, 256), dtype="uint8"))
    if tag == "broken":
        content = bytearray(path.read_bytes())
        content[len(content) // 2 : len(content) // 2 + 9000] = bytes(9000)
        path.write_bytes(content)
    told: list[object] = []
    for threads in (1, 4):
        monkeypatch.setattr(decoding, "THREADS", threads)
        with open_scene(path) as scene:
            try:
                told.append(scene.read(Window(0, 0, 256, 256)).array.tobytes())
            except SceneError as error:
                told.append(str(error))
    assert told[0] == told[1]
    assert isinstance(told[0], str) == (tag == "broken")
