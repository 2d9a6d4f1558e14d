"""Maps in Chromium: they are drawn, say what they should, run nothing else, and ask for nothing."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import geopandas as gpd
import pytest
import shapely
from rasterio.crs import CRS

from geodeeplab.maps.web import Map
from geodeeplab.raster import read_polygon_layer
from tests.maps.web.conftest import requests_of

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

pytestmark = pytest.mark.browser
Show = Callable[[Path], "Chrome"]


def click(chrome: "Chrome", x: float, y: float, *, times: int = 1) -> None:
    """Click at a point of the plane of the map."""
    from selenium.webdriver import ActionChains
    from selenium.webdriver.common.by import By

    box = chrome.find_element(By.ID, "map")
    at = chrome.execute_script(
        "const p = App.map.latLngToContainerPoint(App.toLatLng([arguments[0], arguments[1]])); return [p.x, p.y];", x, y
    )
    middle = box.size["width"] / 2, box.size["height"] / 2
    chain = ActionChains(chrome, duration=0)
    for _ in range(times):
        chain.move_to_element_with_offset(box, round(at[0] - middle[0]), round(at[1] - middle[1])).click()
    chain.perform()


def complaints(chrome: "Chrome") -> list[str]:
    """List what is on the console, but for a hint that concerns the reading of pixels by these tests."""
    log = chrome.get_log("browser")  # type: ignore[no-untyped-call]
    return [entry["message"] for entry in log if "willReadFrequently" not in entry["message"]]


def pixels(chrome: "Chrome", opaque: int = 0) -> int:
    """Count the pixels that the canvas of polygons has drawn."""
    return int(
        chrome.execute_script(
            "const c = document.querySelector('canvas'); const d = c.getContext('2d').getImageData(0, 0, c.width, "
            "c.height).data; let n = 0; for (let i = 3; i < d.length; i += 4) n += d[i] > arguments[0]; return n;",
            opaque,
        )
    )


def test_a_map_is_drawn_and_asks_for_nothing(
    show: Show, scene: Path, two_squares: gpd.GeoDataFrame, tmp_path: Path
) -> None:
    chrome = show(Map(scene, polygons=two_squares).save(tmp_path / "map.html"))
    assert complaints(chrome) == []
    assert requests_of(chrome) == []
    assert pixels(chrome) > 1000
    image = "const i = document.querySelector('.leaflet-image-layer'); return i.complete && i.naturalWidth > 50;"
    assert chrome.execute_script(image)


def test_names_and_attributes_are_text(show: Show, scene: Path, two_squares: gpd.GeoDataFrame, tmp_path: Path) -> None:
    chrome = show(Map(scene, polygons=two_squares, title="<img src=x onerror=hacked=1>").save(tmp_path / "map.html"))
    centre = two_squares.geometry.iloc[0].centroid
    x, y = gpd.GeoSeries([centre], crs=two_squares.crs).to_crs(3857).get_coordinates().iloc[0]
    click(chrome, x, y)
    popup = chrome.execute_script("return document.querySelector('.popup').textContent")
    assert "<b>bold</b>" in popup
    assert "<img src=x onerror=alert(1)>" in popup
    assert "</script><script>" in chrome.execute_script("return document.getElementById('panel').textContent")
    assert chrome.execute_script("return [typeof hacked, document.querySelectorAll('img[src=x]').length]") == [
        "undefined",
        0,
    ]
    assert complaints(chrome) == []


def test_an_injected_script_would_not_run(show: Show, scene: Path, tmp_path: Path) -> None:
    path = Map(scene).save(tmp_path / "map.html")
    page = path.read_text().replace(
        "</body>", "<script>window.hacked = 1</script><img src=x onerror='hacked=1'></body>"
    )
    path.write_text(page)
    chrome = show(path)
    assert chrome.execute_script("return typeof hacked") == "undefined"


def test_layers_classes_opacity_and_swipe(
    show: Show, scene: Path, two_squares: gpd.GeoDataFrame, tmp_path: Path
) -> None:
    chrome = show(Map(scene, polygons=two_squares).save(tmp_path / "map.html"))
    all_of_them = pixels(chrome)
    chrome.execute_script("document.getElementById('class-0').click()")
    assert 0 < pixels(chrome) < all_of_them
    chrome.execute_script(
        "const s = document.getElementById('opacity'); s.value = 30; s.dispatchEvent(new Event('input'))"
    )
    assert chrome.execute_script("return document.querySelector('canvas').style.opacity") == "0.3"
    chrome.execute_script("document.getElementById('swipe').click()")
    assert chrome.execute_script("return App.map.getPane('results').style.clip").startswith("rect(")
    chrome.execute_script("document.getElementById('layer-1').click()")
    assert chrome.execute_script("return document.querySelectorAll('canvas').length") == 0
    assert complaints(chrome) == []


def test_on_a_phone_the_panel_can_be_put_away(show: Show, scene: Path, tmp_path: Path) -> None:
    path = Map(scene).save(tmp_path / "map.html")
    chrome = show(path)
    chrome.set_window_size(390, 844)
    chrome.execute_script("document.getElementById('panel-toggle').click()")
    assert chrome.execute_script("return document.getElementById('panel').hidden")
    assert chrome.execute_script("return document.documentElement.scrollWidth <= innerWidth")


def draw_square(chrome: "Chrome", box: tuple[float, float, float, float]) -> None:
    left, bottom, right, top = box
    for x, y in ((left, bottom), (right, bottom), (right, top), (left, top), (left, bottom)):
        click(chrome, x, y)


def saved(chrome: "Chrome", path: Path) -> dict[str, Any]:
    chrome.execute_script("document.getElementById('save').click()")
    for _ in range(200):
        if path.exists():
            return json.loads(path.read_text())  # type: ignore[no-any-return]
        time.sleep(0.05)
    raise AssertionError(complaints(chrome))


def test_polygons_drawn_in_pixels_come_back(show: Show, plain_scene: Path, tmp_path: Path) -> None:
    chrome = show(Map(plain_scene, draw=["water", "<road>"]).save(tmp_path / "draw.html"))
    draw_square(chrome, (10, -40, 30, -20))
    chrome.execute_script("App.chooseClass(1)")
    draw_square(chrome, (50, -40, 60, -30))
    path = tmp_path / "downloads" / "plain-polygons.geojson"
    assert saved(chrome, path)["crs"] is None
    layer = read_polygon_layer(path, crs=None, class_field="class_name")
    assert layer.values == ("<road>", "water")
    wanted = {"water": shapely.box(10, 20, 30, 40), "<road>": shapely.box(50, 30, 60, 40)}
    for polygon, index in zip(layer.polygons, layer.class_index, strict=True):
        assert polygon.symmetric_difference(wanted[layer.values[index]]).area < 20
    assert complaints(chrome) == []


def test_polygons_drawn_on_the_earth_are_mended_and_saved(show: Show, scene: Path, tmp_path: Path) -> None:
    chrome = show(Map(scene, draw=["water", "road"]).save(tmp_path / "draw.html"))
    left, bottom, right, top = chrome.execute_script("return App.content.bounds")
    width, height = right - left, top - bottom
    square = (left + 0.2 * width, bottom + 0.2 * height, left + 0.5 * width, bottom + 0.7 * height)
    draw_square(chrome, square)
    draw_square(chrome, (left + 0.6 * width, bottom + 0.2 * height, left + 0.8 * width, bottom + 0.4 * height))
    click(chrome, left + 0.7 * width, bottom + 0.3 * height)  # chosen, then deleted
    chrome.execute_script("App.deleteSelected()")
    click(chrome, left + 0.35 * width, bottom + 0.4 * height)
    chrome.execute_script("App.chooseClass(1)")
    collection = saved(chrome, tmp_path / "downloads" / "scene-polygons.geojson")
    assert "crs" not in collection
    layer = read_polygon_layer(
        tmp_path / "downloads" / "scene-polygons.geojson", crs=CRS.from_epsg(32633), class_field="class_name"
    )
    assert layer.values == ("road",)
    assert shapely.area(layer.polygons).sum() == pytest.approx(0.3 * 80 * 0.5 * 60, rel=0.05)
    assert shapely.is_ccw(
        shapely.get_exterior_ring(shapely.from_geojson(json.dumps(collection["features"][0]["geometry"])))
    )
    chrome.execute_script("App.undo(); App.undo(); App.undo()")
    assert chrome.execute_script("return App.draw.polygons.length") == 1


def test_crossing_polygons_are_not_taken(show: Show, plain_scene: Path, tmp_path: Path) -> None:
    chrome = show(Map(plain_scene, draw=["water"]).save(tmp_path / "draw.html"))
    for x, y in ((10, -40), (30, -20), (30, -40), (10, -20), (10, -40)):
        click(chrome, x, y)
    assert chrome.execute_script("return App.draw.polygons.length") == 0
    assert "cross itself" in chrome.execute_script("return document.getElementById('message').textContent")


def test_suggestions_are_listed(show: Show, scene: Path, two_squares: gpd.GeoDataFrame, tmp_path: Path) -> None:
    windows = two_squares.rename(columns={"note": "reason"})[["reason", "geometry"]]
    chrome = show(Map(scene, draw=["water"], suggestions=windows).save(tmp_path / "draw.html"))
    assert chrome.execute_script("return App.draw.windows.length") == 2
    assert "<b>bold</b>" in chrome.execute_script("return document.getElementById('suggestions').textContent")
    assert complaints(chrome) == []


def test_a_notebooks_frame_is_drawn(
    show: Show, chrome: "Chrome", scene: Path, two_squares: gpd.GeoDataFrame, tmp_path: Path
) -> None:
    path = tmp_path / "notebook.html"
    path.write_text(
        f"<!DOCTYPE html><html data-ready=true><body>{Map(scene, polygons=two_squares)._repr_html_()}</body>"
    )
    show(path)
    chrome.switch_to.frame(0)
    for _ in range(200):
        if chrome.execute_script("return document.documentElement.dataset.ready") == "true":
            break
        time.sleep(0.05)
    assert pixels(chrome) > 1000
    assert complaints(chrome) == []
