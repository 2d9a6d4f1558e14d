"""The page itself: one HTML file with everything inside, which asks nobody for anything."""

import base64
import hashlib
import html
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from geodeeplab.errors import OptionError

SCRIPTS = ("polygons.js", "map.js", "swipe.js")
DRAWING_SCRIPT = "draw.js"


@dataclass(frozen=True, kw_only=True)
class Basemap:
    """Tiles of somebody else below the map, which the browser asks for."""

    url: str
    """Template with {z}, {x} and {y}."""
    attribution: str
    """What their licence wants to be said, as HTML of ours."""
    host: str
    """The only host that the page may ask."""
    zoom: int
    """The closest zoom level that there are tiles for."""


BASEMAPS: Mapping[str, Basemap] = {
    "osm": Basemap(
        url="https://tile.openstreetmap.org/{z}/{x}/{y}.png",
        attribution='© <a href="https://www.openstreetmap.org/copyright">OpenStreetMap</a> contributors',
        host="https://tile.openstreetmap.org",
        zoom=19,
    ),
    "satellite": Basemap(
        url="https://tiles.maps.eox.at/wmts/1.0.0/s2cloudless_3857/default/g/{z}/{y}/{x}.jpg",
        attribution='<a href="https://s2maps.eu">Sentinel-2 cloudless 2016</a> by EOX (CC BY 4.0), '
        "with modified Copernicus Sentinel data 2016 and 2017",
        host="https://tiles.maps.eox.at",
        zoom=15,
    ),
}


def find_basemap(name: str | None) -> Basemap | None:
    """Give a basemap by name.

    Raises:
        OptionError: there is none of this name.
    """
    if name is not None and name not in BASEMAPS:
        raise OptionError(f"there is no basemap '{name}': choose {' or '.join(BASEMAPS)}, `basemap=`")
    return None if name is None else BASEMAPS[name]


def build_page(content: Mapping[str, Any], *, title: str, basemap: Basemap | None) -> str:
    """Put content and scripts into one page.

    The content is JSON in an element that no browser runs; `<` is written as an escape, so that no text in it can end
    the element. The page's policy lets run only the scripts of this package, by their hashes, and forbids connections;
    pictures come from the page itself, or from the basemap that somebody asked for.
    """
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    text = text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
    names = [*SCRIPTS, *([DRAWING_SCRIPT] if content.get("draw") else [])]
    scripts = [_asset(name) for name in names]
    parts = {
        "policy": _policy([_asset("vendor/leaflet.js"), *scripts], basemap),
        "title": html.escape(title),
        "leaflet_css": _asset("vendor/leaflet.css"),
        "map_css": _asset("map.css"),
        "content": text,
        "leaflet_js": _asset("vendor/leaflet.js"),
        "scripts": "\n".join(f"<script>{script}</script>" for script in scripts),
    }
    pieces = _asset("page.html").split("{{")
    filled = [pieces[0]]
    for piece in pieces[1:]:
        name, rest = piece.split("}}", 1)
        filled += [parts[name], rest]
    return "".join(filled)


def _policy(scripts: list[str], basemap: Basemap | None) -> str:
    """Give the content security policy."""
    digests = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts]
    hashes = " ".join(f"'sha256-{digest}'" for digest in digests)
    host = "" if basemap is None else f" {basemap.host}"
    return (
        f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; img-src data: blob:{host}; "
        "connect-src 'none'; form-action 'none'; base-uri 'none'"
    )


@cache
def _asset(name: str) -> str:
    """Read a file that lies beside this one."""
    return files("geodeeplab.maps.web").joinpath(name).read_text(encoding="utf-8")
