"""Write layers of polygons."""

from geodeeplab.vector.layers.layer import read_layer_metadata
from geodeeplab.vector.layers.writing import LAYER_NAME, OUTPUT_CRS, POLYGON_SUFFIXES, check_layer_crs, write_polygons

__all__ = [
    "LAYER_NAME",
    "OUTPUT_CRS",
    "POLYGON_SUFFIXES",
    "check_layer_crs",
    "read_layer_metadata",
    "write_polygons",
]
