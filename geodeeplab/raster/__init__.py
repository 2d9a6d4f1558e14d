"""Open scenes, read windows with a validity mask, write georeferenced rasters atomically."""

from geodeeplab.raster.bands import Band
from geodeeplab.raster.classes import classes_tag, read_classes
from geodeeplab.raster.cog import (
    NODATA_LABEL,
    RASTER_SUFFIXES,
    LabelClass,
    follow_labels,
    follow_raster,
    write_label_cog,
    write_raster,
)
from geodeeplab.raster.grid import Grid
from geodeeplab.raster.label_scene import as_label_scene, check_lossless, label_nodata, open_label_scene
from geodeeplab.raster.outputs.checks import (
    atomic_outputs,
    check_distinct,
    check_output,
    check_outputs,
    output_errors,
)
from geodeeplab.raster.outputs.inputs import check_not_inputs, iter_files, paths_in
from geodeeplab.raster.polygons.aoi import Aoi, AoiLike, to_aoi
from geodeeplab.raster.polygons.burn import OVERLAPS, Overlap, burn
from geodeeplab.raster.polygons.features import LayerLike, is_vector
from geodeeplab.raster.polygons.layer import PolygonLayer, read_polygon_layer
from geodeeplab.raster.rows import RowReader, reflect_indices
from geodeeplab.raster.scene import Scene
from geodeeplab.raster.scene_opening import SceneLike, names_stac, open_array, open_scene, open_stack, with_mask
from geodeeplab.raster.sources.local_only import local_files_only
from geodeeplab.raster.sources.mask import Mask, MaskLike, mask_rasters, to_masks
from geodeeplab.raster.sources.scaled import ScaledSource, first_at, scaled_indices
from geodeeplab.raster.sources.source import LockedSource, Pixels, Source
from geodeeplab.raster.sources.zarr import is_zarr
from geodeeplab.raster.spool.aligning import BandCutter, most_held_rows
from geodeeplab.raster.spool.encoded import EncodedBlock, SpoolLayer, encode_block
from geodeeplab.raster.spool.label_shards import VRT_NAME, shard_paths, write_label_shards
from geodeeplab.raster.spool.overviews import Overviews
from geodeeplab.raster.spool.reading import follow_rows, iter_rows, read_part
from geodeeplab.raster.spool.store import BlockSpool
from geodeeplab.raster.spool.work_folder import wait_for_workspace, workspace_folder
from geodeeplab.raster.spool.workspace import (
    Workspace,
    describe_difference,
    finished_before,
    open_workspace,
    stored_pins,
)

__all__ = [
    "NODATA_LABEL",
    "OVERLAPS",
    "RASTER_SUFFIXES",
    "VRT_NAME",
    "Aoi",
    "AoiLike",
    "Band",
    "BandCutter",
    "BlockSpool",
    "EncodedBlock",
    "Grid",
    "LabelClass",
    "LayerLike",
    "LockedSource",
    "Mask",
    "MaskLike",
    "Overlap",
    "Overviews",
    "Pixels",
    "PolygonLayer",
    "RowReader",
    "ScaledSource",
    "Scene",
    "SceneLike",
    "Source",
    "SpoolLayer",
    "Workspace",
    "as_label_scene",
    "atomic_outputs",
    "burn",
    "check_distinct",
    "check_lossless",
    "check_not_inputs",
    "check_output",
    "check_outputs",
    "classes_tag",
    "describe_difference",
    "encode_block",
    "finished_before",
    "first_at",
    "follow_labels",
    "follow_raster",
    "follow_rows",
    "is_vector",
    "is_zarr",
    "iter_files",
    "iter_rows",
    "label_nodata",
    "local_files_only",
    "mask_rasters",
    "most_held_rows",
    "names_stac",
    "open_array",
    "open_label_scene",
    "open_scene",
    "open_stack",
    "open_workspace",
    "output_errors",
    "paths_in",
    "read_classes",
    "read_part",
    "read_polygon_layer",
    "reflect_indices",
    "scaled_indices",
    "shard_paths",
    "stored_pins",
    "to_aoi",
    "to_masks",
    "wait_for_workspace",
    "with_mask",
    "workspace_folder",
    "write_label_cog",
    "write_label_shards",
    "write_raster",
]
