"""Describe a raster that lies in blocks, a file each, as a GDAL VRT.

Format: https://gdal.org/en/stable/drivers/raster/vrt.html. The XML is written here as rasterio can neither build a VRT
of files nor set category names.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from geodeeplab.raster.grid import Grid
from geodeeplab.raster.spool.boxes import Box
from geodeeplab.raster.spool.encoded import GDAL_TYPES


@dataclass(frozen=True, kw_only=True)
class VrtBand:
    """What all bands of a VRT have in common, and how many there are."""

    dtype: str
    """NumPy's name of the pixel type."""
    count: int
    """Number of bands; band i shows band i of the files."""
    nodata: float | None
    """Nodata value, also of pixels without a file."""
    descriptions: Sequence[str] = ()
    """Description of each band; empty: none."""


def write_block_vrt(
    path: Path,
    grid: Grid,
    files: Sequence[tuple[Box, Path]],
    *,
    band: VrtBand,
    colors: Mapping[int, tuple[int, int, int]],
    names: Sequence[str],
    tags: Mapping[str, str],
) -> None:
    """Write a VRT of blocks.

    Args:
        path: Where.
        grid: Shape, transform (rotated and sheared too) and CRS; without CRS the VRT has none.
        files: The box of each file and its path, by first row; boxes must not overlap. They lie in the VRT's folder in
            the end, so it refers to them by their names.
        band: Type, number and nodata value of the bands.
        colors: Colour (red, green, blue) per pixel value, 0–255; empty: no colour table. Nodata is transparent.
        names: Category name per pixel value, from value 0 on; empty: none.
        tags: Metadata of the dataset.

    Raises:
        OSError: A file cannot be written.
    """
    root = _dataset(grid, tags)
    for number in range(1, band.count + 1):
        element = _add_band(root, band, number)
        if colors:
            _add_colors(element, colors, nodata=band.nodata)
        if names:
            categories = _add(element, "CategoryNames")
            for name in names:
                _add(categories, "Category", name)
        _add_sources(element, number, files)
    _write_new(path, root)


def _write_new(path: Path, root: ElementTree.Element) -> None:
    """Write a file in place of any other, not through a link."""
    path.unlink(missing_ok=True)
    with open(path, "x", encoding="utf-8") as file:
        file.write(ElementTree.tostring(root, encoding="unicode"))


def _dataset(grid: Grid, tags: Mapping[str, str]) -> ElementTree.Element:
    root = ElementTree.Element("VRTDataset", rasterXSize=str(grid.width), rasterYSize=str(grid.height))
    if grid.crs is not None:
        _add(root, "SRS", grid.crs.to_wkt(version="WKT2_2019"))
    if not grid.transform.is_identity:
        _add(root, "GeoTransform", ", ".join(repr(float(value)) for value in grid.transform.to_gdal()))
    metadata = _add(root, "Metadata")
    for key, text in tags.items():
        _add(metadata, "MDI", text, key=key)
    return root


def _add_band(root: ElementTree.Element, band: VrtBand, number: int) -> ElementTree.Element:
    element = _add(root, "VRTRasterBand", dataType=GDAL_TYPES[band.dtype], band=str(number))
    if band.descriptions:
        _add(element, "Description", band.descriptions[number - 1])
    if band.nodata is not None:
        _add(element, "NoDataValue", repr(band.nodata))
    if band.count == 1:
        _add(element, "ColorInterp", "Gray")
    return element


def _add_colors(band: ElementTree.Element, colors: Mapping[int, tuple[int, int, int]], *, nodata: float | None) -> None:
    for interpretation in band.iter("ColorInterp"):
        interpretation.text = "Palette"
    table = _add(band, "ColorTable")
    for value in range(max(colors) + 1):
        red, green, blue = colors.get(value, (0, 0, 0))
        alpha = 0 if value == nodata else 255
        _add(table, "Entry", c1=str(red), c2=str(green), c3=str(blue), c4=str(alpha))


def _add_sources(band: ElementTree.Element, number: int, files: Iterable[tuple[Box, Path]]) -> None:
    """Show the files' pixels at their places, unscaled."""
    for (top, bottom, left, right), path in files:
        simple = _add(band, "SimpleSource")
        _add(simple, "SourceFilename", path.name, relativeToVRT="1")
        _add(simple, "SourceBand", str(number))
        size = {"xSize": str(right - left), "ySize": str(bottom - top)}
        _add(simple, "SrcRect", xOff="0", yOff="0", **size)
        _add(simple, "DstRect", xOff=str(left), yOff=str(top), **size)


def _add(parent: ElementTree.Element, tag: str, text: str = "", **attributes: str) -> ElementTree.Element:
    element = ElementTree.SubElement(parent, tag, attributes)
    element.text = text
    return element
