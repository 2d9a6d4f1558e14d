"""Trace label rasters into polygons and write vector layers."""

from geodeeplab.vector.attributes import area_m2
from geodeeplab.vector.trace import PolygonBatch, trace_polygons
from geodeeplab.vector.writers import POLYGON_SUFFIXES, write_polygons

__all__ = ["POLYGON_SUFFIXES", "PolygonBatch", "area_m2", "trace_polygons", "write_polygons"]
