"""The classes of a label raster: the table that GeoDeepLab writes as a tag, or what GDAL knows of anyone's raster."""

import colorsys
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

from rasterio.errors import RasterioError

from geodeeplab.raster.cog import LabelClass
from geodeeplab.raster.scene import Scene
from geodeeplab.raster.sources.opening import open_dataset
from geodeeplab.raster.sources.remote import gdal_path
from geodeeplab.text import parse_json, to_plain

CLASSES_TAG = "GEODEEPLAB_CLASSES"
GOLDEN_ANGLE = 0.381_966
"""Of a turn: hues that follow one another by it never lie close together."""


def classes_tag(classes: Sequence[LabelClass]) -> dict[str, str]:
    """Give the tag that `read_classes` reads."""
    table = [{"id": item.id, "name": item.name, "color": list(item.color)} for item in classes]
    return {CLASSES_TAG: json.dumps(table)}


def read_classes(scene: Scene, *, nodata: int = 0) -> list[LabelClass]:
    """Read the classes of a label raster of one band.

    They are those of the tag that GeoDeepLab writes; else the category names that GDAL keeps beside or in the file,
    with the colours of the colour table; else the colour table alone, whose classes are called by their number. None
    for a raster without any of these.

    Args:
        scene: the label raster.
        nodata: label that is no class.
    """
    return parse_classes(scene.source.tags.get(CLASSES_TAG)) or _foreign_classes(scene, nodata)


def parse_classes(tag: str | None) -> list[LabelClass]:
    """Give the classes that a tag holds, see `classes_tag`; none where it holds something else, or is not there."""
    try:
        table = parse_json(tag or "[]")
        return [_class_of(item["color"], value=int(item["id"]), name=str(item["name"])) for item in table]
    except (ValueError, KeyError, TypeError, OverflowError):
        return []


def _class_of(color: Sequence[Any], *, value: int, name: str) -> LabelClass:
    red, green, blue = map(int, color)
    return LabelClass(id=value, name=to_plain(name), color=(red, green, blue))


def _foreign_classes(scene: Scene, nodata: int) -> list[LabelClass]:
    if not scene.source.files:  # an array
        return []
    path, band = scene.source.files[0], scene.bands[0].number
    colors, names = _color_table(path, band), _category_names(path, band)
    if not names:
        names = {value: str(value) for value in _without_tail(colors)}
    return [
        LabelClass(id=value, name=to_plain(name), color=colors.get(value, some_color(value)))
        for value, name in names.items()
        if name and value != nodata and 0 <= value <= 255
    ]


def _color_table(path: str, band: int) -> dict[int, tuple[int, int, int]]:
    """Read the colour table; empty where there is none."""
    try:
        with open_dataset(gdal_path(path)) as src:
            return {value: tuple(color[:3]) for value, color in src.colormap(band).items()}
    except (RasterioError, ValueError):
        return {}


def _category_names(path: str, band: int) -> dict[int, str]:
    """Read the category names, which GDAL keeps in `PATH.aux.xml` or in a VRT; empty where there are none."""
    for place in (Path(f"{path}.aux.xml"), Path(path)):
        if not place.is_file() or (place.suffix.lower() not in (".xml", ".vrt")):
            continue
        try:
            root = ET.parse(place).getroot()
        except (ET.ParseError, OSError):
            continue
        for node in root.iter():
            if node.tag in ("PAMRasterBand", "VRTRasterBand") and node.get("band") == str(band):
                found = [category.text or "" for category in node.iterfind("CategoryNames/Category")]
                if any(found):
                    return dict(enumerate(found))
    return {}


def _without_tail(colors: Mapping[int, tuple[int, int, int]]) -> list[int]:
    """Give the values of a colour table but those at its end that have all the same colour: nobody gave them one."""
    values = sorted(colors)
    while len(values) > 1 and colors[values[-1]] == colors[values[-2]]:
        values.pop()
    if values and len(values) < len(colors):
        values.pop()
    return values


def some_color(value: int) -> tuple[int, int, int]:
    """Give a class without a colour one that differs from its neighbours'."""
    red, green, blue = colorsys.hls_to_rgb(value * GOLDEN_ANGLE % 1.0, 0.55, 0.5)
    return round(255 * red), round(255 * green), round(255 * blue)
