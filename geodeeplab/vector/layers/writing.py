"""Write polygons into vector files, the format chosen by suffix."""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np
from rasterio.crs import CRS

from geodeeplab.errors import OptionError, OutputError
from geodeeplab.raster.cog import LabelClass
from geodeeplab.raster.crs import crs_name, same_crs
from geodeeplab.raster.outputs.checks import atomic_outputs, check_output
from geodeeplab.vector.layers.gdal_formats import write_flatgeobuf, write_geopackage
from geodeeplab.vector.layers.geojson import write_geojson
from geodeeplab.vector.layers.geoparquet import write_geoparquet
from geodeeplab.vector.layers.layer import Layer
from geodeeplab.vector.layers.slices import iter_slices
from geodeeplab.vector.layers.subdivide import Measure, check_max_vertices, subdivide
from geodeeplab.vector.layers.wkb import wkb_offsets
from geodeeplab.vector.trace.batch import PolygonBatch


@dataclass(frozen=True, kw_only=True)
class Format:
    """A vector format."""

    name: str
    """As people call it."""
    write: Callable[[Iterable[PolygonBatch], Path, Layer], None]
    """Writes slices into a new file."""
    max_feature_bytes: int | None = None
    """The largest geometry that fits, as WKB; None where there is no limit."""


FORMATS = {
    # SQLite's blobs end at 10⁹ bytes; the row's other values and the header of the blob need some of them
    ".gpkg": Format(name="GeoPackage", write=write_geopackage, max_feature_bytes=10**9 - 10**5),
    ".parquet": Format(name="GeoParquet", write=write_geoparquet, max_feature_bytes=2**31 - 2),
    # GDAL writes up to 2³¹ bytes, the limit of FlatBuffers, but reads half of that
    ".fgb": Format(name="FlatGeobuf", write=write_flatgeobuf, max_feature_bytes=2**30 - 10**6),
    ".geojson": Format(name="GeoJSON", write=write_geojson),
}

POLYGON_SUFFIXES = tuple(FORMATS)
LAYER_NAME = "landcover"
"""Of a layer that nobody names."""

OUTPUT_CRS: Mapping[str, str] = {".geojson": "OGC:CRS84"}
"""The CRS that the coordinates must be in, for formats that know only one."""


def write_polygons(
    batches: Iterable[PolygonBatch],
    dst_path: str | os.PathLike[str],
    *,
    crs: CRS | None,
    classes: Sequence[LabelClass],
    layer: str = LAYER_NAME,
    scene: tuple[str, str] | None = None,
    metadata: Mapping[str, str] | None = None,
    class_columns: Mapping[str, Mapping[int, str]] | None = None,
    max_vertices: int | None = None,
    measure: Measure | None = None,
    overwrite: bool = False,
) -> int:
    """Write polygons with their attributes into one layer: GeoPackage, GeoParquet, FlatGeobuf or GeoJSON.

    Columns: `class_id`; `class_name`, null where no class has the id; `area_m2` and `perimeter_m`, null where they are
    unknown; `confidence` and `confidence_min`, if the batches have them. No polygon at all gives a valid empty layer.

    A GeoPackage has an R-tree, and a style from which QGIS takes the classes' colours and names; QGIS looks for it in a
    second table, so name the layer when you read the file (`geopandas.read_file(path, layer="landcover")`).

    The batches are taken one at a time, and the memory beyond them is bounded by some 100 MB and the largest polygon
    (FlatGeobuf: 80 bytes a polygon more).

    Args:
        batches: The polygons. The first batch, which may be empty, says whether they are multipolygons and which
            columns there are; the others are like it.
        dst_path: Where; the suffix chooses the format, one of `POLYGON_SUFFIXES`.
        crs: CRS of the coordinates; None stays missing in the file. GeoJSON takes WGS 84 only (`OUTPUT_CRS`).
        classes: The classes whose names and colours are written.
        layer: Name of the layer.
        scene: Name of a column, and the name of the scene that stands in it; for a GeoPackage.
        metadata: Metadata of the layer, say its provenance.
        class_columns: More columns of text that follow from the class: by name, the text for each class id.
        max_vertices: Cut polygons with more points than this (see `subdivide`).
        measure: Measures the parts of polygons that were cut; without it, their area and perimeter are null.
        overwrite: Whether a file that exists is replaced.

    Returns:
        How many features were written.

    Raises:
        OptionError: The suffix is unknown, the format cannot hold the CRS, or `max_vertices` is too small; nothing was
            taken from `batches` then.
        OutputError: The path is taken, a polygon is too large for the format, or the file cannot be written; then
            nothing is left behind.
    """
    path = check_output(dst_path, suffixes=POLYGON_SUFFIXES, overwrite=overwrite)
    check_max_vertices(max_vertices)
    check_layer_crs(path, crs)
    target = FORMATS[path.suffix.lower()]
    with atomic_outputs([path], overwrite=overwrite) as temporary:
        rest = iter(batches)
        first = next(rest, _NO_POLYGONS)
        described = Layer(
            name=layer,
            crs=crs,
            classes=classes,
            metadata=metadata or {},
            class_columns=class_columns or {},
            is_multi=first.feature_offsets is not None,
            has_confidence_mean=first.confidence_mean is not None,
            has_confidence_min=first.confidence_min is not None,
            scene=scene,
        )
        features = _Features(chain([first], rest), path=path, target=target, max_vertices=max_vertices, measure=measure)
        target.write(iter_slices(features), temporary[path], described)
    return features.count


_NO_POLYGONS = PolygonBatch(
    class_ids=np.array([], np.int32),
    points=np.empty((0, 2)),
    ring_offsets=np.zeros(1, np.int64),
    polygon_offsets=np.zeros(1, np.int64),
    area_m2=np.array([]),
    perimeter_m=np.array([]),
)


class _Features:
    """Batches on their way to a writer: cut, checked and counted."""

    def __init__(
        self,
        batches: Iterable[PolygonBatch],
        *,
        path: Path,
        target: Format,
        max_vertices: int | None,
        measure: Measure | None,
    ) -> None:
        self._batches = batches
        self._path = path
        self._target = target
        self._max_vertices = max_vertices
        self._measure = measure
        self.count = 0
        """Features that have passed."""

    def __iter__(self) -> Iterator[PolygonBatch]:
        for batch in self._batches:
            limit = self._max_vertices
            ready = batch if limit is None else subdivide(batch, max_vertices=limit, measure=self._measure)
            self._check(ready)
            self.count += len(ready)
            yield ready

    def _check(self, batch: PolygonBatch) -> None:
        """Check that each geometry fits into the format.

        Raises:
            OutputError: One is too large, or its coordinates are no numbers.
        """
        if not np.isfinite(batch.points).all():
            raise OutputError(
                f"cannot write {self._path}: some polygons are outside the domain of its CRS: "
                "choose another with `out_crs=`"
            )
        largest, limit = int(np.diff(wkb_offsets(batch)).max(initial=0)), self._target.max_feature_bytes
        if limit is not None and largest > limit:
            raise OutputError(
                f"cannot write {self._path}: one polygon has {largest / 1e9:.1f} GB, {self._target.name} holds up to "
                f"{limit / 1e9:.1f} GB in one: cut large polygons with `max_vertices=100000`"
            )


def check_layer_crs(path: Path, crs: CRS | None) -> None:
    """Check that the format can hold the CRS.

    Raises:
        OptionError: It cannot.
    """
    wanted = OUTPUT_CRS.get(path.suffix.lower())
    if wanted is None or (crs is not None and same_crs(crs, CRS.from_string(wanted))):
        return
    stated = "have no CRS" if crs is None else f"are in {crs_name(crs)}"
    advice = "write .gpkg" if crs is None else f"pass `out_crs='{wanted}'`, or write .gpkg"
    raise OptionError(f"GeoJSON holds WGS 84 longitudes and latitudes, the polygons of {path} {stated}: {advice}")
