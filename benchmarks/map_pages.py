"""Time and size of maps in the browser: polygons of a synthetic map by number, a large scene, frames while panning.

python benchmarks/map_pages.py 1000 10000 100000 --scene 20000
"""

import argparse
import resource
import tempfile
import time
from pathlib import Path

import geopandas as gpd
import numpy as np
import rasterio
import shapely
from affine import Affine
from rasterio.windows import Window

from geodeeplab.maps.web import Map

NAMES = ("field", "wood", "water", "road", "roof")
PAN = """
    const done = arguments[arguments.length - 1], times = [];
    let last = performance.now();
    App.map.panBy([230, 90], { animate: true, duration: 1 });
    const step = (now) => {
        times.push(now - last);
        last = now;
        if (now < end) requestAnimationFrame(step);
        else done(times.slice(1));
    };
    const end = last + 900;
    requestAnimationFrame(step);
"""
"""As when it is dragged: what is drawn moves, and is drawn anew when it stands."""
REDRAW = (
    "const t = performance.now(); App.layers.forEach((l) => l.data && l.shown._draw()); return performance.now() - t;"
)


def main() -> None:
    """Print one line for each number of polygons, and one for the scene."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("counts", type=int, nargs="*", default=[1000, 10_000, 100_000])
    parser.add_argument("--scene", type=int, help="side in pixels of a scene that is mapped too")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for count in options.counts:
            polygons = make_polygons(count, folder / f"{count}.gpkg")
            report(f"{count} polygons", Map(polygons=polygons), folder / f"{count}.html")
        if options.scene:
            scene = make_scene(options.scene, folder / "scene.tif")
            report(f"a scene of {options.scene}² pixels", Map(scene), folder / "scene.html")


def report(what: str, shown: Map, path: Path) -> None:
    """Save a map, open it, and print seconds, megabytes and milliseconds a frame."""
    start = time.perf_counter()
    shown.save(path)
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    frames = measure_frames(path)
    print(f"{what}: {seconds:.1f} s, {path.stat().st_size / 1e6:.1f} MB, peak {peak:.0f} MB; {frames}", flush=True)


def make_polygons(count: int, path: Path) -> Path:
    """Write a coverage of irregular polygons of some 40 points each, in UTM."""
    rng = np.random.default_rng(0)
    side = round(count**0.5)
    seeds = np.stack(np.meshgrid(np.arange(side), np.arange(side)), axis=-1).reshape(-1, 2) + rng.uniform(
        0, 0.9, (side**2, 2)
    )
    cells = shapely.get_parts(shapely.voronoi_polygons(shapely.MultiPoint(seeds * 50)))
    cells = shapely.intersection(cells, shapely.box(0, 0, 50 * side, 50 * side))
    rough = shapely.segmentize(cells, 5)
    points = shapely.get_coordinates(rough)
    waves = np.stack([np.sin(points[:, 1] / 7), np.cos(points[:, 0] / 9)], axis=1)  # the same for both neighbours
    rough = shapely.set_coordinates(rough, points + waves + (500_000, 5_000_000))
    names = [NAMES[one] for one in rng.integers(0, len(NAMES), len(rough))]
    frame = gpd.GeoDataFrame({"class_name": names, "area_m2": shapely.area(rough)}, geometry=rough, crs="EPSG:32633")
    frame["confidence"] = rng.uniform(0.3, 1, len(frame)).astype(np.float32)
    frame.to_file(path)
    return path


def make_scene(side: int, path: Path) -> Path:
    """Write a tiled GeoTIFF without overviews, noise on blocks of colours."""
    rng = np.random.default_rng(0)
    profile = {"driver": "GTiff", "width": side, "height": side, "count": 3, "dtype": "uint8", "tiled": True}
    profile |= {"crs": "EPSG:32633", "transform": Affine(0.5, 0, 500_000, 0, -0.5, 5_000_000), "compress": "deflate"}
    with rasterio.open(path, "w", zlevel=1, **profile) as dst:
        for row in range(0, side, 512):
            height = min(512, side - row)
            coarse = rng.integers(30, 220, (3, -(-height // 32), -(-side // 32)), dtype=np.uint8)
            block = coarse.repeat(32, axis=1).repeat(32, axis=2)[:, :height, :side]
            dst.write(block + rng.integers(0, 4, block.shape, dtype=np.uint8), window=Window(0, row, side, height))
    return path


def measure_frames(path: Path) -> str:
    """Pan a map in Chromium, and tell the time of a frame, and of drawing all polygons; needs chromedriver."""
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    for flag in ("headless=new", "no-sandbox", "disable-gpu", "window-size=1200,800"):
        options.add_argument(f"--{flag}")
    browser = webdriver.Chrome(options=options, service=Service("/usr/bin/chromedriver"))
    try:
        start = time.perf_counter()
        browser.get(path.as_uri())
        while browser.execute_script("return document.documentElement.dataset.ready") != "true":
            time.sleep(0.02)
        opened = time.perf_counter() - start
        times = np.array(browser.execute_async_script(PAN))
        redrawn = min(browser.execute_script(REDRAW) for _ in range(3))
    finally:
        browser.quit()
    frames = f"{np.median(times):.0f} ms a frame while panning, worst {times.max():.0f} ms"
    return f"opened in {opened:.1f} s, {frames}, drawn anew in {redrawn:.0f} ms"


if __name__ == "__main__":
    main()
