"""What GDAL's `.aux.xml` beside a raster says, but for what programs add when they merely show it: statistics."""

import hashlib
from pathlib import Path
from xml.etree import ElementTree as ET

SUFFIX = ".aux.xml"
STATISTICS = "STATISTICS_"
"""What the keys of statistics begin with, those of how much is valid included."""


def digest_side_file(path: str | Path) -> str | None:
    """Digest what a side file says beside statistics, histograms and names of bands; None where it says no more.

    No pixel depends on these, but for the names, which a scene has itself; QGIS writes them for every raster that it
    opens, as GDAL repeats the names of the file.

    Raises:
        OSError, ElementTree.ParseError: It cannot be read.
    """
    root = ET.parse(path).getroot()
    for parent in list(root.iter()):
        for child in [child for child in parent if is_statistics(child)]:
            parent.remove(child)
    said = [one for one in root.iter() if one.attrib.keys() - {"band"} or (one.text or "").strip()]
    if not said:
        return None
    ET.indent(root)
    return hashlib.sha256(ET.tostring(root)).hexdigest()


def is_statistics(element: ET.Element) -> bool:
    """Tell whether an element is a statistic, a histogram or a name, or would hold nothing but these."""
    if element.tag in ("Histograms", "Description") or (
        element.tag == "MDI" and element.get("key", "").startswith(STATISTICS)
    ):
        return True
    return element.tag in ("Metadata", "PAMRasterBand") and len(element) > 0 and all(map(is_statistics, element))
