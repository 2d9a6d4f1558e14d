"""Take the screenshots of maps in the browser that the documentation shows, with headless Chromium.

    python scripts/draw_gallery.py --data ../shared/data --work out/gallery
    python scripts/draw_map_shots.py --work out/gallery

Reads what the first wrote (the map of Dubai tile 6 from twenty polygons a class, CC0 1.0), writes `map.html` and
`draw.html` beside it, and pictures of both into `docs/images`: a map with a polygon's attributes, and one on which
polygons are drawn. Needs Chromium and chromedriver.
"""

import argparse
import io
import shutil
import sys
import time
from pathlib import Path

from PIL import Image
from selenium import webdriver
from selenium.webdriver import ActionChains
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By

import geodeeplab as gdl

IMAGES = Path(__file__).parents[1] / "docs" / "images"
CLASSES = ["building", "land", "road", "vegetation", "water"]
FLAGS = ("headless=new", "no-sandbox", "disable-gpu", "disable-background-networking", "window-size=1120,720")
DRAWN = {
    0: [(0.2, 0.36), (0.22, 0.35), (0.23, 0.41), (0.21, 0.42)],
    3: [(0.47, 0.13), (0.53, 0.11), (0.55, 0.2), (0.49, 0.22)],
    4: [(0.39, 0.7), (0.47, 0.68), (0.49, 0.8), (0.41, 0.83)],
}
"""Corners of polygons, as shares of the window, by the number of their class."""
BEGUN = [(0.26, 0.22), (0.3, 0.2), (0.3, 0.3)]
QUALITY = 72


def main() -> None:
    """Make both maps and pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path("out/gallery"), help="what draw_gallery.py wrote")
    work = parser.parse_args().work
    paths = {"labels": work / "map-20.tif", "confidence": work / "sure-20.tif", "polygons": work / "map-20.gpkg"}
    shown = gdl.Map(work / "tile6.tif", **paths).save(work / "map.html", overwrite=True)
    drawn = gdl.Map(work / "tile6.tif", draw=CLASSES).save(work / "draw.html", overwrite=True)
    driver = shutil.which("chromedriver")
    if driver is None:
        sys.exit("chromedriver is not installed: apt-get install chromium chromium-driver")
    options = webdriver.ChromeOptions()
    for flag in FLAGS:
        options.add_argument(f"--{flag}")
    browser = webdriver.Chrome(options=options, service=Service(driver))
    try:
        open_map(browser, shown)
        click(browser, [(0.35, 0.6)])
        save(browser, "map")
        open_map(browser, drawn)
        for number, corners in DRAWN.items():
            browser.execute_script("App.chooseClass(arguments[0])", number)
            click(browser, [*corners, corners[0]])
        browser.execute_script("App.chooseClass(1)")
        click(browser, BEGUN)
        save(browser, "map-draw")
    finally:
        browser.quit()


def open_map(browser: webdriver.Chrome, path: Path) -> None:
    """Open a map and wait until it is drawn."""
    browser.get(path.resolve().as_uri())
    while browser.execute_script("return document.documentElement.dataset.ready") != "true":
        time.sleep(0.05)


def click(browser: webdriver.Chrome, places: list[tuple[float, float]]) -> None:
    """Click at places, as shares of the map's width and height."""
    box = browser.find_element(By.ID, "map")
    chain = ActionChains(browser, duration=0)
    for x, y in places:
        away = (round((x - 0.5) * box.size["width"]), round((y - 0.5) * box.size["height"]))
        chain.move_to_element_with_offset(box, *away).click().pause(0.3)
    chain.perform()


def save(browser: webdriver.Chrome, name: str) -> None:
    """Write what the browser shows into the documentation."""
    time.sleep(0.5)
    path = IMAGES / f"{name}.jpg"
    picture = Image.open(io.BytesIO(browser.get_screenshot_as_png())).convert("RGB")
    picture.save(path, quality=QUALITY, optimize=True, progressive=True)
    print(f"{path}: {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
