"""Maps in Chromium: they are drawn, say what they should, run nothing else, and ask for nothing."""

import json
import math
import re
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


def test_a_line_is_dragged_between_two_dates(
    show: Show, scene: Path, two_squares: gpd.GeoDataFrame, tmp_path: Path
) -> None:
    from selenium.webdriver import ActionChains, Keys
    from selenium.webdriver.common.by import By

    chrome = show(Map(before=scene, after=scene, polygons=two_squares).save(tmp_path / "map.html"))
    line = chrome.find_element(By.CSS_SELECTOR, ".swipe-line")
    texts = [one.text for one in chrome.find_elements(By.CSS_SELECTOR, ".date")]
    assert texts == ["Before: scene.tif", "After: scene.tif"]
    width = chrome.execute_script("return App.map.getSize().x")

    def state() -> tuple[float, str, str, float]:
        """Give where the line is, in per cent and as it is told, and where the later date begins to be seen."""
        clip = chrome.execute_script("return App.map.getPane('after').style.clip")
        left = float(re.findall(r"-?[\d.]+", clip)[3])
        at = chrome.execute_script("return App.map.layerPointToContainerPoint([arguments[0], 0]).x", left)
        told = line.get_attribute("aria-valuenow")
        return chrome.execute_script("return App.datesLine.percent"), str(told), str(line.aria_role), at

    percent, told, role, at = state()
    middle = chrome.execute_script(
        "const [l, b, r, t] = App.content.bounds; "
        "return App.map.latLngToContainerPoint(App.toLatLng([(l + r) / 2, (b + t) / 2])).x"
    )
    assert (role, told) == ("slider", str(round(percent)))
    assert at == pytest.approx(middle, abs=1)
    ActionChains(chrome).click_and_hold(line).move_by_offset(-200, 0).release().perform()
    assert state()[3] == pytest.approx(middle - 200, abs=2)
    dragged = state()[0]
    centre = chrome.execute_script("return App.map.getCenter()")
    line.send_keys(Keys.ARROW_RIGHT, Keys.PAGE_UP)
    assert state()[0] == pytest.approx(dragged + 11)
    line.send_keys(Keys.END)
    assert state()[3] == pytest.approx(width, abs=1)
    line.send_keys(Keys.HOME, Keys.ARROW_LEFT)
    assert state()[3] == pytest.approx(0, abs=1)
    assert chrome.execute_script("return App.map.getCenter()") == centre
    assert not chrome.find_elements(By.ID, "swipe")
    assert requests_of(chrome) == []
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


def drag(chrome: "Chrome", handle: str, number: int, x: int, y: int) -> None:
    """Drag a corner or a middle, found by its number among those that a selector finds, by pixels of the screen."""
    from selenium.webdriver import ActionChains
    from selenium.webdriver.common.by import By

    element = chrome.find_elements(By.CSS_SELECTOR, handle)[number]
    ActionChains(chrome).click_and_hold(element).move_by_offset(x // 2, y // 2).move_by_offset(
        x - x // 2, y - y // 2
    ).release().perform()


def test_corners_are_dragged_and_middles_become_corners(show: Show, plain_scene: Path, tmp_path: Path) -> None:
    chrome = show(Map(plain_scene, draw=["water"]).save(tmp_path / "draw.html"))
    draw_square(chrome, (10, -40, 30, -20))
    click(chrome, 20, -30)
    pixel = chrome.execute_script(
        "const at = (x) => App.map.latLngToContainerPoint(App.toLatLng([x, 0])).x; return at(1) - at(0)"
    )
    ring = "return App.draw.polygons[0].rings[0]"
    before = chrome.execute_script(ring)
    drag(chrome, ".handle:not(.is-middle)", 0, round(-4 * pixel), round(6 * pixel))
    after = chrome.execute_script(ring)
    assert after[1:] == before[1:]
    assert after[0] == pytest.approx([before[0][0] - 4, before[0][1] - 6], abs=5 / pixel)
    drag(chrome, ".handle.is-middle", 1, round(8 * pixel), 0)
    assert len(chrome.execute_script(ring)) == 5
    drag(chrome, ".handle:not(.is-middle)", 0, round(40 * pixel), round(-40 * pixel))  # across its own lines
    assert len(chrome.execute_script(ring)) == 5
    assert chrome.execute_script(ring)[0] == pytest.approx(after[0])
    assert "cross itself" in chrome.execute_script("return document.getElementById('message').textContent")
    chrome.execute_script("App.undo(); App.undo()")
    assert chrome.execute_script(ring) == before
    assert complaints(chrome) == []


@pytest.mark.parametrize("name", ["scene", "plain"])
def test_what_was_saved_can_be_loaded(show: Show, scene: Path, plain_scene: Path, tmp_path: Path, name: str) -> None:
    from selenium.webdriver.common.by import By

    path = Map({"scene": scene, "plain": plain_scene}[name], draw=["water", "road"]).save(tmp_path / "draw.html")
    chrome = show(path)
    left, bottom, right, top = chrome.execute_script("return App.content.bounds")
    width, height = right - left, top - bottom
    draw_square(chrome, (left + 0.2 * width, bottom + 0.2 * height, left + 0.5 * width, bottom + 0.7 * height))
    chrome.execute_script("App.chooseClass(1)")
    draw_square(chrome, (left + 0.6 * width, bottom + 0.2 * height, left + 0.8 * width, bottom + 0.4 * height))
    polygons = "return App.draw.polygons.map((one) => [one.name, one.rings[0]])"
    drawn = chrome.execute_script(polygons)
    file = tmp_path / "downloads" / f"{name}-polygons.geojson"
    saved(chrome, file)
    chrome = show(path)
    assert chrome.execute_script(polygons) == []
    chrome.find_element(By.ID, "load-file").send_keys(str(file))
    for _ in range(100):
        if len(loaded := chrome.execute_script(polygons)) == 2:
            break
        time.sleep(0.05)
    assert [one for one, _ in loaded] == ["water", "road"]
    for (_, ring), (_, wanted) in zip(loaded, drawn, strict=True):
        one, other = shapely.Polygon(ring), shapely.Polygon(wanted)
        assert one.symmetric_difference(other).area < 1e-4 * other.area
    other = tmp_path / "wrong.geojson"
    other.write_text(json.dumps({"type": "FeatureCollection", "features": [], "crs": None if name == "scene" else {}}))
    chrome.find_element(By.ID, "load-file").send_keys(str(other))
    time.sleep(0.3)
    assert "cannot be loaded" in chrome.execute_script("return document.getElementById('message').textContent")
    assert complaints(chrome) == []


@pytest.mark.parametrize(
    ("basemap", "template"),
    [
        ("osm", r"https://tile\.openstreetmap\.org/(?P<z>\d+)/(?P<x>\d+)/(?P<y>\d+)\.png"),
        ("satellite", r"https://tiles\.maps\.eox\.at/wmts/1\.0\.0/\w+/default/g/(?P<z>\d+)/(?P<y>\d+)/(?P<x>\d+)\.jpg"),
    ],
)
def test_a_basemap_is_asked_for_the_tiles_under_the_scene(
    show: Show, scene: Path, tmp_path: Path, basemap: str, template: str
) -> None:
    """Tiles are numbered as those of OpenStreetMap; nobody answers here, and the map is drawn all the same."""
    chrome = show(Map(scene, basemap=basemap).save(tmp_path / "map.html"))
    time.sleep(1)
    asked = [re.fullmatch(template, url) for url in requests_of(chrome)]
    assert asked
    assert all(asked), "it asks nobody else"
    tiles = {(int(one["z"]), int(one["x"]), int(one["y"])) for one in asked if one is not None}
    left, bottom, right, top = chrome.execute_script("return App.content.bounds")
    half = math.pi * 6_378_137
    (zoom,) = {zoom for zoom, _, _ in tiles}
    side = 2 * half / 2**zoom
    middle = int(((left + right) / 2 + half) / side), int((half - (bottom + top) / 2) / side)
    assert (zoom, *middle) in tiles
    assert "OpenStreetMap" in chrome.page_source or "EOX" in chrome.page_source


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
