"""Vector files told from rasters by their names, so that nothing has to be opened for it."""

from os import PathLike, fspath
from pathlib import Path

VECTOR_SUFFIXES = (
    ".gpkg", ".geojson", ".json", ".geojsonl", ".shp", ".fgb", ".parquet", ".gdb", ".kml", ".kmz", ".gml", ".sqlite",
    ".csv", ".dxf", ".tab", ".mif", ".zip", ".shz",
)  # fmt: skip


def is_vector(src: object) -> bool:
    """Tell a vector layer from a raster: a file by its suffix, anything else by whether it has geometries."""
    if isinstance(src, str | PathLike):
        return Path(fspath(src)).suffix.lower() in VECTOR_SUFFIXES
    return hasattr(src, "geometry")
