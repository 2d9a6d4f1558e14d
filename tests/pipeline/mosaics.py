"""Huge mosaics for tests: a VRT of any size that holds one file, and nothing else."""

from pathlib import Path
from xml.etree import ElementTree

import rasterio
from affine import Affine


def write_mosaic(
    dst_path: Path, file: Path, *, shape: tuple[int, int], at: tuple[int, int], nodata: float | None = 0
) -> Path:
    """Write a VRT of (height, width) pixels that shows a file of three bands from (row, column) on, at its place."""
    with rasterio.open(file) as src:
        transform = src.transform @ Affine.translation(-at[1], -at[0])
        size, crs = {"xSize": str(src.width), "ySize": str(src.height)}, src.crs.to_string()
    root = ElementTree.Element("VRTDataset", rasterXSize=str(shape[1]), rasterYSize=str(shape[0]))
    ElementTree.SubElement(root, "SRS").text = crs
    ElementTree.SubElement(root, "GeoTransform").text = ", ".join(map(repr, transform.to_gdal()))
    for number, color in enumerate(("Red", "Green", "Blue"), start=1):
        band = ElementTree.SubElement(root, "VRTRasterBand", dataType="Byte", band=str(number))
        if nodata is not None:
            ElementTree.SubElement(band, "NoDataValue").text = repr(nodata)
        ElementTree.SubElement(band, "ColorInterp").text = color
        source = ElementTree.SubElement(band, "SimpleSource")
        ElementTree.SubElement(source, "SourceFilename", relativeToVRT="0").text = str(file.resolve())
        ElementTree.SubElement(source, "SourceBand").text = str(number)
        ElementTree.SubElement(source, "SrcRect", {"xOff": "0", "yOff": "0", **size})
        ElementTree.SubElement(source, "DstRect", {"xOff": str(at[1]), "yOff": str(at[0]), **size})
    dst_path.write_text(ElementTree.tostring(root, encoding="unicode"), encoding="utf-8")
    return dst_path
