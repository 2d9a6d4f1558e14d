"""GDAL's block cache: lowered while anybody reads, and put back whoever leaves last."""

import threading
from collections.abc import Iterator

import pytest
from rasterio.env import get_gdal_config, set_gdal_config

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
