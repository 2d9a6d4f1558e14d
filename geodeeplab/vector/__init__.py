"""Trace label rasters into polygons and write vector layers."""

from geodeeplab.vector.generalise.arcs import Generalisation, Metric
from geodeeplab.vector.generalise.generaliser import LineRule
from geodeeplab.vector.instances.codes import InstanceCodes
from geodeeplab.vector.instances.numbered import NumberedRows, number_rows
from geodeeplab.vector.instances.watershed import BoundaryRows, InstanceRule
from geodeeplab.vector.layers import LAYER_NAME, OUTPUT_CRS, POLYGON_SUFFIXES, check_layer_crs, write_polygons
from geodeeplab.vector.measure.ruler import Ruler, metric_table, row_areas
from geodeeplab.vector.sieve.rows import sieve_rows
from geodeeplab.vector.square.rule import SquareRule
from geodeeplab.vector.trace.assembly import ToOutput
from geodeeplab.vector.trace.batch import PolygonBatch
from geodeeplab.vector.trace.packed import PackedBlock, trace_part
from geodeeplab.vector.trace.strips import LabelRows, Part, Strip, iter_strips, strip_edges
from geodeeplab.vector.tracer import StripRow, iter_strip_rows, trace_polygons

__all__ = [
    "LAYER_NAME",
    "OUTPUT_CRS",
    "POLYGON_SUFFIXES",
    "BoundaryRows",
    "Generalisation",
    "InstanceCodes",
    "InstanceRule",
    "LabelRows",
    "LineRule",
    "Metric",
    "NumberedRows",
    "PackedBlock",
    "Part",
    "PolygonBatch",
    "Ruler",
    "SquareRule",
    "Strip",
    "StripRow",
    "ToOutput",
    "check_layer_crs",
    "iter_strip_rows",
    "iter_strips",
    "metric_table",
    "number_rows",
    "row_areas",
    "sieve_rows",
    "strip_edges",
    "trace_part",
    "trace_polygons",
    "write_polygons",
]
