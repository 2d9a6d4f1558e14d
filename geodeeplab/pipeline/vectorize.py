"""`vectorize`: a label raster → polygons."""

import json
import os
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geodeeplab.errors import GeoDeepLabWarning, OptionError, SceneError
from geodeeplab.pipeline.polygon_options import PolygonOptions, with_instances
from geodeeplab.pipeline.polygons import plan_polygons
from geodeeplab.pipeline.result import Vectorization
from geodeeplab.pipeline.told import Progress, Told
from geodeeplab.raster import (
    RowReader,
    Scene,
    check_lossless,
    check_output,
    label_nodata,
    local_files_only,
    open_label_scene,
    open_scene,
    read_classes,
)
from geodeeplab.vector import POLYGON_SUFFIXES, BoundaryRows, LabelRows

BAND_ROWS = 512


def vectorize(
    label_raster: str | os.PathLike[str],
    polygons: str | os.PathLike[str],
    polygon_options: PolygonOptions | None = None,
    *,
    confidence: str | os.PathLike[str] | None = None,
    boundary: str | os.PathLike[str] | None = None,
    instances: str | int | Sequence[str | int] = (),
    band: int = 1,
    nodata: int | None = None,
    overwrite: bool = False,
    local_only: bool = False,
    progress: Progress | None = None,
) -> Vectorization:
    """Trace the classes of a label raster into polygons.

    Without options they rasterise back to exactly the labels. The names and colours of classes are those of a raster
    that GeoDeepLab wrote, else the raster's category names and colour table.

    Args:
        label_raster: a raster of whole numbers up to 32 bits, of any type.
        polygons: the vector file, by suffix (.gpkg, .parquet, .fgb, .geojson).
        polygon_options: what the polygons look like.
        confidence: a raster of the same grid, 0–100, whose mean and minimum each polygon gets.
        boundary: a raster of the same grid, uint8, of 255 × the probability that a pixel lies on the boundary of an
            object, for `instances`.
        instances: classes, by name or id, whose objects become polygons of their own where they touch; the same as in
            `polygon_options`.
        band: 1-based band of the labels.
        nodata: label that gets no polygon; by default the raster's nodata value, and 0 if it has none.
        overwrite: replace an output that exists.
        local_only: see `open_scene`.
        progress: called with pixels read and pixels in all; it may raise to cancel.

    Raises:
        OptionError, OutputError: before any work, for options and outputs that cannot be.
        SceneError: if the raster cannot be read, or holds others than whole numbers.
    """
    start = time.perf_counter()
    inputs = [label_raster, *(one for one in (confidence, boundary) if one is not None)]
    path = check_output(polygons, suffixes=POLYGON_SUFFIXES, overwrite=overwrite, inputs=inputs)
    options = with_instances(polygon_options, instances)
    _check_boundary(options, boundary)
    with ExitStack() as stack:
        stack.enter_context(local_files_only(local_only))
        scene = stack.enter_context(open_label_scene(label_raster, band=band))
        nodata = _nodata(scene, nodata)
        sure = None if confidence is None else stack.enter_context(open_confidence(confidence, scene))
        edges = None if boundary is None else stack.enter_context(open_boundary(boundary, scene))
        classes = read_classes(scene, nodata=nodata)
        plan = plan_polygons(options, grid=scene.grid, classes=classes, nodata=nodata, dst_path=path)
        check_lossless(scene, known=[*(one.id for one in classes), nodata] if classes else [])
        passes = 1 + (plan.minimum is not None) + (edges is not None)
        told = Told(progress, scene.grid.height * scene.grid.width * passes)
        read: Callable[[], Iterator[NDArray[np.integer[Any]]]] = partial(_iter_labels, scene, nodata)
        if edges is not None:
            numbered = plan.number(_with_boundary(told.through(read()), edges), folder=path.parent)
            read = stack.enter_context(numbered).read

        def read_again() -> Iterator[NDArray[np.integer[Any]]]:
            return told.through(read())

        bands = read_again() if plan.minimum is None else plan.sieve(read_again)
        count = plan.write(
            path,
            _with_confidence(bands, sure),
            with_confidence=sure is not None,
            metadata={"GEODEEPLAB_SOURCE": json.dumps({"labels": str(label_raster), "nodata": nodata})},
            overwrite=overwrite,
        )
    if not count:
        warnings.warn(
            f"'{label_raster}' holds nothing but nodata ({nodata}): {path} is empty", GeoDeepLabWarning, stacklevel=2
        )
    facts = {
        "shape": list(scene.shape),
        "polygons": count,
        "options": options.facts(),
        "nodata": nodata,
        "seconds": {"total": time.perf_counter() - start},
        "outputs": [str(path)],
    }
    return Vectorization(polygons_path=path, facts=facts)


def _nodata(scene: Scene, asked: int | None) -> int:
    """Give the label that gets no polygon.

    Raises:
        OptionError: for a value that the raster's type does not have.
    """
    limits = np.iinfo(scene.dtype)
    if asked is not None:
        if not limits.min <= asked <= limits.max:
            raise OptionError(f"labels of {scene.dtype.name} are never {asked}: choose another nodata value, or none")
        return asked
    stated = label_nodata(scene)
    return stated if stated is not None and limits.min <= stated <= limits.max else 0


def _check_boundary(options: PolygonOptions, boundary: str | os.PathLike[str] | None) -> None:
    """Check that classes with objects and a raster of their boundaries come together.

    Raises:
        OptionError: if there is one without the other.
    """
    if options.instance_classes and boundary is None:
        names = ", ".join(map(str, options.instance_classes))
        raise OptionError(
            f"objects of {names} are told apart by their boundaries: give a raster of them, `boundary=`, "
            "as `segment` writes it with a model that finds boundaries"
        )
    if boundary is not None and not options.instance_classes:
        raise OptionError(f"'{boundary}' tells objects apart: say of which classes, `instances=`, too")


def open_confidence(path: str | os.PathLike[str], labels: Scene) -> Scene:
    """Open the raster of confidence.

    Raises:
        SceneError: if it is not on the grid of the labels, or holds no bytes.
    """
    return _open_beside(path, labels, what="confidence is uint8 from 0 to 100")


def open_boundary(path: str | os.PathLike[str], labels: Scene) -> Scene:
    """Open the raster of boundaries.

    Raises:
        SceneError: if it is not on the grid of the labels, or holds no bytes; and if the labels have more than 16 bits.
    """
    if labels.dtype.itemsize > 2:
        raise SceneError(
            f"objects are told apart in labels of up to 16 bits, '{labels.path}' holds {labels.dtype.name}: convert it"
        )
    return _open_beside(path, labels, what="a boundary is uint8, 255 × its probability")


def _open_beside(path: str | os.PathLike[str], labels: Scene, *, what: str) -> Scene:
    scene = open_scene(path, bands=[1])
    if scene.shape != labels.shape or not scene.transform.almost_equals(labels.transform, precision=1e-9):
        raise SceneError(f"'{scene.path}' does not lie on the grid of '{labels.path}': warp it to that grid first")
    if scene.dtype != np.uint8:
        raise SceneError(f"{what}, '{scene.path}' holds {scene.dtype.name}: convert it")
    return scene


def _iter_labels(scene: Scene, nodata: int) -> Iterator[NDArray[np.integer[Any]]]:
    """Yield bands of rows (n, W), invalid pixels set to nodata."""
    reader = RowReader(scene)
    height = scene.shape[0]
    for start in range(0, height, BAND_ROWS):
        pixels = reader.read(start, min(start + BAND_ROWS, height))
        yield np.where(pixels.valid, pixels.array[0], np.asarray(nodata, dtype=scene.dtype))


def _with_confidence(bands: Iterable[NDArray[np.integer[Any]]], scene: Scene | None) -> Iterator[LabelRows]:
    """Yield bands of rows with their confidence, 255 where there is none."""
    reader, start = None if scene is None else RowReader(scene), 0
    for labels in bands:
        confidence = None
        if reader is not None:
            pixels = reader.read(start, start + len(labels))
            confidence = np.where(pixels.valid & (pixels.array[0] <= 100), pixels.array[0], np.uint8(255))
        yield LabelRows(labels=labels, confidence=confidence)
        start += len(labels)


def _with_boundary(bands: Iterable[NDArray[np.integer[Any]]], scene: Scene) -> Iterator[BoundaryRows]:
    """Yield bands of rows with their boundaries, 0 where nothing is known of any."""
    reader, start = RowReader(scene), 0
    for labels in bands:
        pixels = reader.read(start, start + len(labels))
        yield BoundaryRows(labels=labels, boundary=np.where(pixels.valid, pixels.array[0], np.uint8(0)))
        start += len(labels)
