"""Describe a raster that lies in row strips of several files as a GDAL VRT.

Format: https://gdal.org/en/stable/drivers/raster/vrt.html. The XML is written here as rasterio can neither build a VRT
of files nor set category names.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from geodeeplab.raster.grid import Grid

_GDAL_TYPES = {
    "uint8": "Byte",
    "uint16": "UInt16",
    "int16": "Int16",
    "uint32": "UInt32",
    "int32": "Int32",
    "float32": "Float32",
    "float64": "Float64",
}
"""GDAL's names of the pixel types."""


@dataclass(frozen=True, kw_only=True)
class VrtSource:
    """Rows of the raster that one file holds, all columns of them."""

    path: Path
    """Absolute path of the file."""
    row_start: int
    """First row of the raster that it holds."""
    row_count: int
    """How many rows it holds."""


def vrt_xml(
    grid: Grid,
    sources: Iterable[VrtSource],
    *,
    dtype: np.dtype[np.generic],
    nodata: float | None,
    colors: Mapping[int, tuple[int, int, int]],
    names: Sequence[str],
    tags: Mapping[str, str],
) -> str:
    """Give the XML of a one-band VRT.

    Args:
        grid: Shape, transform (rotated and sheared too) and CRS; without CRS the VRT has none.
        sources: The files, whose first band counts.
        dtype: Type of the pixels.
        nodata: Nodata value, also of pixels without a source.
        colors: Colour (red, green, blue) per pixel value, 0–255; empty: no colour table. Nodata is transparent.
        names: Category name per pixel value, from value 0 on; empty: none.
        tags: Metadata of the dataset.
    """
    height, width = grid.shape
    root = ElementTree.Element("VRTDataset", rasterXSize=str(width), rasterYSize=str(height))
    if grid.crs is not None:
        _add(root, "SRS", grid.crs.to_wkt(version="WKT2_2019"))
    if not grid.transform.is_identity:
        _add(root, "GeoTransform", ", ".join(repr(float(value)) for value in grid.transform.to_gdal()))
    metadata = _add(root, "Metadata")
    for key, text in tags.items():
        _add(metadata, "MDI", text, key=key)
    band = _add(root, "VRTRasterBand", dataType=_GDAL_TYPES[dtype.name], band="1")
    if nodata is not None:
        _add(band, "NoDataValue", repr(nodata))
    _add(band, "ColorInterp", "Palette" if colors else "Gray")
    if colors:
        table = _add(band, "ColorTable")
        for value in range(max(colors) + 1):
            red, green, blue = colors.get(value, (0, 0, 0))
            alpha = 0 if value == nodata else 255
            _add(table, "Entry", c1=str(red), c2=str(green), c3=str(blue), c4=str(alpha))
    if names:
        categories = _add(band, "CategoryNames")
        for name in names:
            _add(categories, "Category", name)
    for source in sources:
        _add_source(band, source, width=width)
    return ElementTree.tostring(root, encoding="unicode")


def _add_source(band: ElementTree.Element, source: VrtSource, *, width: int) -> None:
    """Show a file's rows at their place, unscaled."""
    simple = _add(band, "SimpleSource")
    _add(simple, "SourceFilename", str(source.path), relativeToVRT="0")
    _add(simple, "SourceBand", "1")
    size = {"xSize": str(width), "ySize": str(source.row_count)}
    _add(simple, "SrcRect", xOff="0", yOff="0", **size)
    _add(simple, "DstRect", xOff="0", yOff=str(source.row_start), **size)


def _add(parent: ElementTree.Element, tag: str, text: str = "", **attributes: str) -> ElementTree.Element:
    element = ElementTree.SubElement(parent, tag, attributes)
    element.text = text
    return element
