"""Keep a QGIS style in a GeoPackage, so that a layer opens with the colours and names of its classes, or as outlines.

QGIS takes the style that is marked as default for a layer from the table `layer_styles`, which it finds among the
layers that GDAL lists; the table's columns are those that QGIS 3.40 makes itself (`QgsOgrUtils::saveStyle`).

So geopandas sees two layers and says so, unless it is told which. Nothing helps against that: GDAL lists the table
also where it is not in `gpkg_contents`; with GDAL's extension `gdal_aspatial` in `gpkg_extensions` it does not, and
then QGIS finds no style (tried with GDAL 3.6 and 3.12, QGIS 3.22).
"""

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from xml.etree import ElementTree as ET

from geodeeplab.raster.outputs.checks import output_errors
from geodeeplab.vector.layers.layer import Layer

QGIS_VERSION = "3.40.0"
OTHER_COLOR = (160, 160, 160)
OUTLINE_COLOR = (255, 214, 10)

_CREATE_TABLE = """
    CREATE TABLE layer_styles (
        id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
        f_table_catalog TEXT(256), f_table_schema TEXT(256), f_table_name TEXT(256), f_geometry_column TEXT(256),
        styleName TEXT(30), styleQML TEXT, styleSLD TEXT, useAsDefault BOOLEAN, description TEXT, owner TEXT(30),
        ui TEXT(30), update_time DATETIME DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ','now'))
    )
"""
_REGISTER_TABLE = """
    INSERT INTO gpkg_contents (table_name, data_type, identifier, description)
    VALUES ('layer_styles', 'attributes', 'layer_styles', 'styles of QGIS')
"""
# QGIS asks for a schema that is empty, not null.
_INSERT_STYLE = """
    INSERT INTO layer_styles (f_table_catalog, f_table_schema, f_table_name, f_geometry_column, styleName, styleQML,
                              styleSLD, useAsDefault, description, owner)
    SELECT '', '', table_name, column_name, ?, ?, '', 1, ?, ''
    FROM gpkg_geometry_columns WHERE table_name = ?
"""


def add_style(path: Path, layer: Layer, *, with_other: bool) -> None:
    """Write the style of a layer into its GeoPackage, as the default one.

    Args:
        path: The GeoPackage, which has no style yet.
        layer: The layer, whose classes have names and colours.
        with_other: Whether ids that are no class get a grey entry too.

    Raises:
        OutputError: The file cannot be written.
    """
    qml = style_qml(layer, with_other=with_other)
    add_qml(path, layer.name, qml, name="classes", description="colours and names of the classes")


def add_qml(path: Path, layer: str, qml: str, *, name: str, description: str) -> None:
    """Write a style as QML into the GeoPackage of a layer, as the default one.

    Raises:
        OutputError: The file cannot be written.
    """
    with output_errors(path, sqlite3.Error), closing(sqlite3.connect(path)) as database, database:
        database.execute("PRAGMA synchronous = OFF")  # whoever gives the file its name syncs it
        database.execute(_CREATE_TABLE)
        database.execute(_REGISTER_TABLE)
        database.execute(_INSERT_STYLE, (name, qml, description, layer))


def style_qml(layer: Layer, *, with_other: bool) -> str:
    """Give the style as QML: one category for each class id, filled with the class's colour.

    The outline is thin and has the same colour: without one, the background would shine through between neighbours.
    """
    root = ET.Element("qgis", version=QGIS_VERSION, styleCategories="Symbology")
    renderer = _renderer(root, "categorizedSymbol", attr="class_id")
    categories, symbols = ET.SubElement(renderer, "categories"), ET.SubElement(renderer, "symbols")
    entries = [(str(item.id), "long", item.name, item.color) for item in layer.classes]
    if with_other:
        entries.append(("", "string", "other", OTHER_COLOR))  # the empty value stands for all others
    for place, (value, kind, label, color) in enumerate(entries):
        name = str(place)
        ET.SubElement(categories, "category", value=value, type=kind, label=label, symbol=name, render="true")
        symbols.append(_fill_symbol(name, color))
    return _document(root)


def outline_qml(field: str) -> str:
    """Give a style as QML: outlines that stand out on any ground, each labelled with a field."""
    root = ET.Element("qgis", version=QGIS_VERSION, styleCategories="Symbology|Labeling", labelsEnabled="1")
    symbols = ET.SubElement(_renderer(root, "singleSymbol"), "symbols")
    symbols.append(_fill_symbol("0", OUTLINE_COLOR, is_filled=False))
    settings = ET.SubElement(ET.SubElement(root, "labeling", type="simple"), "settings", calloutType="simple")
    color = ",".join(map(str, (*OUTLINE_COLOR, 255)))
    font = {"fontSize": "12", "fontSizeUnit": "Point", "fontWeight": "75", "textColor": color, "textOpacity": "1"}
    text = ET.SubElement(settings, "text-style", {"fieldName": field, "isExpression": "0", **font})
    edge = {"bufferSize": "1", "bufferSizeUnits": "MM", "bufferColor": "0,0,0,255", "bufferOpacity": "1"}
    ET.SubElement(text, "text-buffer", {"bufferDraw": "1", **edge})
    ET.SubElement(settings, "placement", placement="1", placementFlags="10")  # over the middle
    ET.SubElement(settings, "rendering", drawLabels="1", displayAll="1")
    return _document(root)


def interpretation_qml(field: str, values: Sequence[str]) -> str:
    """Give a style of points as QML: circles that let the ground be seen, and a form with a list for one field."""
    root = ET.Element("qgis", version=QGIS_VERSION, styleCategories="Symbology|Forms")
    symbols = ET.SubElement(_renderer(root, "singleSymbol"), "symbols")
    symbol = ET.SubElement(symbols, "symbol", type="marker", name="0", alpha="1", clip_to_extent="1", force_rhr="0")
    marker = ET.SubElement(symbol, "layer", {"class": "SimpleMarker", "enabled": "1", "locked": "0", "pass": "0"})
    color = ",".join(map(str, (*OUTLINE_COLOR, 255)))
    looks = {"name": "circle", "color": "0,0,0,0", "outline_color": color, "outline_width": "0.6", "size": "5"}
    options = ET.SubElement(marker, "Option", type="Map")
    for key, value in looks.items():
        ET.SubElement(options, "Option", name=key, type="QString", value=value)
    fields = ET.SubElement(root, "fieldConfiguration")
    widget = ET.SubElement(ET.SubElement(fields, "field", name=field), "editWidget", type="ValueMap")
    config = ET.SubElement(ET.SubElement(widget, "config"), "Option", type="Map")
    listed = ET.SubElement(config, "Option", name="map", type="List")
    for value in values:
        ET.SubElement(ET.SubElement(listed, "Option", type="Map"), "Option", name=value, type="QString", value=value)
    return _document(root)


def _renderer(root: ET.Element, kind: str, **attributes: str) -> ET.Element:
    """Add a renderer that draws features in their order."""
    plain = {"enableorderby": "0", "forceraster": "0", "referencescale": "-1", "symbollevels": "0"}
    return ET.SubElement(root, "renderer-v2", {"type": kind, **attributes, **plain})


def _document(root: ET.Element) -> str:
    ET.indent(root)
    return "<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>\n" + ET.tostring(root, encoding="unicode")


def _fill_symbol(name: str, color: tuple[int, int, int], *, is_filled: bool = True) -> ET.Element:
    """Give a fill of one colour, opaque, or an outline of it."""
    symbol = ET.Element("symbol", type="fill", name=name, alpha="1", clip_to_extent="1", force_rhr="0")
    # "class" is a keyword of Python
    fill = ET.SubElement(symbol, "layer", {"class": "SimpleFill", "enabled": "1", "locked": "0", "pass": "0"})
    rgba = ",".join(map(str, (*color, 255)))
    values = {
        "color": rgba,
        "joinstyle": "round",
        "outline_color": rgba,
        "outline_style": "solid",
        "outline_width": "0.1" if is_filled else "0.8",
        "outline_width_unit": "MM",
        "style": "solid" if is_filled else "no",
    }
    options = ET.SubElement(fill, "Option", type="Map")
    for key, value in values.items():
        ET.SubElement(options, "Option", name=key, type="QString", value=value)
    return symbol
