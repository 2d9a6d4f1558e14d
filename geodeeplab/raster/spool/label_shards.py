"""A label raster in pieces: a COG each, and a VRT that shows them as one."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from rasterio.windows import Window

from geodeeplab.raster.cog import NODATA_LABEL, LabelClass, category_names, write_label_cog
from geodeeplab.raster.grid import Grid
from geodeeplab.raster.outputs.checks import output_errors
from geodeeplab.raster.spool.store import BlockSpool
from geodeeplab.raster.spool.vrt import VrtBand, write_block_vrt

VRT_NAME = "labels.vrt"


def shard_paths(folder: str | os.PathLike[str], windows: Sequence[Window]) -> dict[Path, Window]:
    """Name the file of each window after its first row and column, in a folder."""
    return {Path(folder) / f"labels_{window.row_off:07d}_{window.col_off:07d}.tif": window for window in windows}


def write_label_shards(
    spool: BlockSpool,
    shards: Mapping[Path, Window],
    temporary: Mapping[Path, Path],
    *,
    grid: Grid,
    classes: Sequence[LabelClass],
    tags: Mapping[str, str],
) -> None:
    """Write each piece of a spool's labels as a COG, and `labels.vrt` beside them.

    Args:
        spool: All blocks; the layer `labels` is uint8.
        shards: Final path and window of each piece; the windows partition the scene, the paths share a folder.
        temporary: Where to write each of them, and the VRT, for now.
        grid: Shape, transform and CRS of the scene.
        classes: The classes; ids must differ.
        tags: Metadata of all files.

    Raises:
        OptionError: Two classes have the same id.
        OutputError: A file cannot be written.
    """
    for path, window in shards.items():
        write_label_cog(spool, temporary[path], grid=grid.crop(window), classes=classes, tags=tags, window=window)
    vrt_path = next(iter(shards)).with_name(VRT_NAME)
    with output_errors(vrt_path):
        write_block_vrt(
            temporary[vrt_path],
            grid,
            [
                ((w.row_off, w.row_off + w.height, w.col_off, w.col_off + w.width), path.resolve())
                for path, w in shards.items()
            ],
            band=VrtBand(dtype="uint8", count=1, nodata=NODATA_LABEL),
            colors={NODATA_LABEL: (0, 0, 0), **{item.id: item.color for item in classes}},
            names=category_names(classes),
            tags=tags,
        )
