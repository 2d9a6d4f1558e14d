"""`vectorize`: a label raster → polygons."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from geodeeplab.errors import OptionError, SceneError
from geodeeplab.raster import RowReader, Scene, check_output, open_scene, read_classes
from geodeeplab.vector import POLYGON_SUFFIXES, trace_polygons, write_polygons

BAND_ROWS = 512
MAX_LABEL = 2**31 - 1
"""The tracer's own integers have a sign."""


def vectorize(
    labels: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    band: int = 1,
    connectivity: Literal[4, 8] = 4,
    nodata: int | None = None,
    overwrite: bool = False,
) -> Path:
    """Trace the classes of a label raster into polygons; they rasterise back to exactly the labels.

    Args:
        labels: a raster of integers up to 32 bits.
        output: the vector file, by suffix (.gpkg).
        band: 1-based band of the labels.
        connectivity: 4 or 8 neighbours make one polygon.
        nodata: label that gets no polygon; by default the raster's nodata value, and 0 if it has none.
        overwrite: replace an output that exists.

    Returns:
        The path of the output.

    Raises:
        OptionError, OutputError: before any work, for options and outputs that cannot be.
        SceneError: if the raster cannot be read, or holds no integers.
    """
    path = check_output(output, suffixes=POLYGON_SUFFIXES, overwrite=overwrite, inputs=[labels])
    with open_scene(labels, bands=[band], allow_palette=True) as scene:
        if scene.dtype.kind not in "iu" or scene.dtype.itemsize > 4:
            raise SceneError(
                f"labels are integers of at most 32 bits, '{scene.path}' holds {scene.dtype.name}: "
                "convert it, e.g. with gdal_translate -ot Int32"
            )
        limits = np.iinfo(scene.dtype)
        if nodata is None:
            stated = scene.bands[0].nodata
            nodata = int(stated) if stated is not None and limits.min <= stated <= limits.max else 0
        elif not limits.min <= nodata <= limits.max:
            raise OptionError(f"labels of {scene.dtype.name} are never {nodata}: choose another nodata value, or none")
        rows = _iter_labels(scene, nodata)
        batches = trace_polygons(rows, transform=scene.transform, connectivity=connectivity, nodata=nodata)
        write_polygons(batches, path, crs=scene.crs, classes=read_classes(scene), overwrite=overwrite)
    return path


def _iter_labels(scene: Scene, nodata: int) -> Iterator[NDArray[np.integer[Any]]]:
    """Yield bands of rows (n, W), invalid pixels set to nodata."""
    reader = RowReader(scene)
    height = scene.shape[0]
    for start in range(0, height, BAND_ROWS):
        pixels = reader.read(start, min(start + BAND_ROWS, height))
        if scene.dtype == np.uint32 and pixels.array.max() > MAX_LABEL:
            raise SceneError(f"labels go up to {MAX_LABEL}, '{scene.path}' holds {pixels.array.max()}: renumber them")
        yield np.where(pixels.valid, pixels.array[0], np.asarray(nodata, dtype=scene.dtype))
