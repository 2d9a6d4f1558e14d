"""A scene with labels and polygons, and Chromium to look at maps of them."""

import json
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import geopandas as gpd
import numpy as np
import pytest
import shapely

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

MakeRaster = Callable[..., Path]
FLAGS = (
    "headless=new", "no-sandbox", "disable-gpu", "disable-background-networking", "disable-component-update",
    "disable-sync", "no-first-run", "window-size=1200,800",
)  # fmt: skip


@pytest.fixture
def scene(make_raster: MakeRaster) -> Path:
    """(3, 60, 80) of 1 m pixels."""
    return make_raster(np.full((3, 60, 80), 90, dtype=np.uint8), "scene.tif")


@pytest.fixture
def plain_scene(make_raster: MakeRaster) -> Path:
    """The same without a CRS, as a picture from a camera is."""
    return make_raster(np.full((3, 60, 80), 90, dtype=np.uint8), "plain.png", driver="PNG", crs=None, transform=None)


@pytest.fixture
def two_squares() -> gpd.GeoDataFrame:
    """Two squares of 10 and 20 m in the scene, with names that are markup."""
    boxes = [shapely.box(500_010, 4_999_950, 500_020, 4_999_960), shapely.box(500_040, 4_999_950, 500_060, 4_999_970)]
    names = ["<img src=x onerror=alert(1)>", "\"'</script><script>window.hacked = 1</script>"]
    return gpd.GeoDataFrame({"class_name": names, "note": ["<b>bold</b>", None]}, geometry=boxes, crs="EPSG:32633")


@pytest.fixture
def chrome(tmp_path: Path) -> Iterator["Chrome"]:
    """Chromium without a screen; its downloads go to `downloads`."""
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    driver = shutil.which("chromedriver")
    if driver is None:
        pytest.skip("needs chromium and chromedriver")
    options = webdriver.ChromeOptions()
    for flag in FLAGS:
        options.add_argument(f"--{flag}")
    options.add_experimental_option("prefs", {"download.default_directory": str(tmp_path / "downloads")})
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    browser = webdriver.Chrome(options=options, service=Service(driver))
    try:
        yield browser
    finally:
        browser.quit()


@pytest.fixture
def show(chrome: "Chrome") -> Callable[[Path], "Chrome"]:
    """Give a function that opens a map, and waits until it is drawn."""

    def open_map(path: Path) -> "Chrome":
        chrome.get(path.as_uri())
        for _ in range(400):
            if chrome.execute_script("return document.documentElement.dataset.ready") == "true":
                return chrome
            time.sleep(0.05)
        raise AssertionError(chrome.get_log("browser"))  # type: ignore[no-untyped-call]

    return open_map


def requests_of(chrome: "Chrome") -> list[str]:
    """List what the page asked for, itself left out."""
    events = [json.loads(entry["message"])["message"] for entry in chrome.get_log("performance")]  # type: ignore[no-untyped-call]
    urls = [one["params"]["request"]["url"] for one in events if one["method"] == "Network.requestWillBeSent"]
    return [url for url in urls if not url.startswith(("file:", "data:", "blob:"))]
