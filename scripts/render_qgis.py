"""Draw a vector layer as QGIS opens it, with its stored style, into a PNG with a legend: no window, no display.

    /usr/bin/python3 scripts/render_qgis.py polygons.gpkg out.png
    /usr/bin/python3 scripts/render_qgis.py polygons.gpkg out.png --extent 500000 5099000 500500 5099500

It runs with the Python that QGIS belongs to, not with the project's: on Debian, `apt install qgis python3-qgis` and the
system's `python3`. Printed is one line of JSON: QGIS's version, the layer's CRS, extent, fields and number of features,
the kind of its renderer, and value, name and colour of each category. It exits with 1 if QGIS cannot open the layer,
and with `--styled` also if the file brings no categories.
"""

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

LEGEND_WIDTH = 260
LINE_HEIGHT = 34


def main() -> None:
    """Open, draw, describe."""
    options = parse_arguments()
    try:
        from qgis.core import QgsApplication, QgsVectorLayer
    except ModuleNotFoundError:
        sys.exit(f"{sys.executable} has no QGIS: on Debian, apt install qgis python3-qgis, and run /usr/bin/python3")

    application = QgsApplication([], False)
    application.initQgis()
    uri = f"{options.layer_path}|layername={options.layer}" if options.layer else str(options.layer_path)
    layer = QgsVectorLayer(uri, options.layer_path.stem, "ogr")
    if not layer.isValid():
        sys.exit(f"QGIS cannot open '{options.layer_path}': {layer.error().message()}")
    draw(layer, options.output, side=options.side, extent=options.extent)
    found = describe(layer)
    print(json.dumps(found, ensure_ascii=False))
    del layer
    application.exitQgis()
    if options.styled and not found["categories"]:
        sys.exit(f"'{options.layer_path}' brings no categories: its renderer is {found['renderer']}")


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("layer_path", type=Path, metavar="layer", help="vector file")
    parser.add_argument("output", type=Path, help="PNG to write")
    parser.add_argument("--layer", help="name of the layer in the file (default: its first)")
    parser.add_argument("--side", type=int, default=1200, help="longer side of the map, pixels")
    parser.add_argument("--extent", type=float, nargs=4, metavar=("LEFT", "BOTTOM", "RIGHT", "TOP"))
    parser.add_argument("--styled", action="store_true", help="fail if the file brings no categories")
    return parser.parse_args()


def draw(layer: Any, output: Path, *, side: int, extent: list[float] | None) -> None:  # noqa: ANN401 - QGIS's own types
    """Draw the map, and beside it the legend of the layer's renderer."""
    from qgis.core import QgsMapRendererCustomPainterJob, QgsMapSettings, QgsRectangle
    from qgis.PyQt.QtCore import QSize
    from qgis.PyQt.QtGui import QColor, QImage, QPainter

    box = QgsRectangle(*extent) if extent else layer.extent()
    scale = side / max(box.width(), box.height())
    size = QSize(max(1, round(box.width() * scale)), max(1, round(box.height() * scale)))
    settings = QgsMapSettings()
    settings.setLayers([layer])
    settings.setDestinationCrs(layer.crs())
    settings.setExtent(box)
    settings.setOutputSize(size)
    settings.setBackgroundColor(QColor("white"))
    chart = QImage(size, QImage.Format_ARGB32_Premultiplied)
    chart.fill(QColor("white"))
    painter = QPainter(chart)
    job = QgsMapRendererCustomPainterJob(settings, painter)
    job.renderSynchronously()
    painter.end()
    items = layer.renderer().legendSymbolItems()
    image = QImage(
        size.width() + LEGEND_WIDTH, max(size.height(), LINE_HEIGHT * (len(items) + 1)), QImage.Format_ARGB32
    )
    image.fill(QColor("white"))
    painter = QPainter(image)
    painter.drawImage(0, 0, chart)
    for line, item in enumerate(items):
        top = LINE_HEIGHT // 2 + LINE_HEIGHT * line
        if item.symbol():
            painter.drawImage(size.width() + 16, top, item.symbol().asImage(QSize(36, LINE_HEIGHT - 10)))
        painter.drawText(size.width() + 64, top + LINE_HEIGHT // 2, item.label())
    painter.end()
    if not image.save(str(output)):
        sys.exit(f"cannot write '{output}'")


def describe(layer: Any) -> dict[str, Any]:  # noqa: ANN401 - QGIS's own type
    """Tell what QGIS knows of a layer."""
    from qgis.core import Qgis, QgsCategorizedSymbolRenderer

    renderer, box = layer.renderer(), layer.extent()
    categories = []
    if isinstance(renderer, QgsCategorizedSymbolRenderer):
        for category in renderer.categories():
            colour = category.symbol().color().name()
            categories.append({"value": category.value(), "name": category.label(), "colour": colour})
    return {
        "qgis": Qgis.version(),
        "crs": layer.crs().authid() or layer.crs().description(),
        "extent": [box.xMinimum(), box.yMinimum(), box.xMaximum(), box.yMaximum()],
        "features": layer.featureCount(),
        "fields": {field.name(): field.typeName() for field in layer.fields()},
        "renderer": renderer.type(),
        "categories": [one | {"value": plain(one["value"])} for one in categories],
    }


def plain(value: object) -> object:
    """Turn a value of Qt's into one that JSON has; a category for all other values has none."""
    return value if isinstance(value, int | float | str) else None


if __name__ == "__main__":
    main()
