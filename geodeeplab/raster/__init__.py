"""Open scenes, read windows with a validity mask, write georeferenced rasters atomically."""

from geodeeplab.raster.bands import Band
from geodeeplab.raster.classes import classes_tag, read_classes
from geodeeplab.raster.cog import RASTER_SUFFIXES, LabelClass, write_label_cog, write_raster
from geodeeplab.raster.grid import Grid
from geodeeplab.raster.outputs import atomic_outputs, check_distinct, check_output, scratch_folder
from geodeeplab.raster.rows import RowReader, reflect_indices
from geodeeplab.raster.scene import Scene, open_scene
from geodeeplab.raster.source import Pixels, Source
from geodeeplab.raster.spool import RowSpool

__all__ = [
    "RASTER_SUFFIXES",
    "Band",
    "Grid",
    "LabelClass",
    "Pixels",
    "RowReader",
    "RowSpool",
    "Scene",
    "Source",
    "atomic_outputs",
    "check_distinct",
    "check_output",
    "classes_tag",
    "open_scene",
    "read_classes",
    "reflect_indices",
    "scratch_folder",
    "write_label_cog",
    "write_raster",
]
