"""Write GeoPackage and FlatGeobuf: GDAL takes the features as one Arrow stream."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from geodeeplab.errors import OutputError
from geodeeplab.quiet import ignore_warnings
from geodeeplab.raster.outputs.checks import output_errors
from geodeeplab.raster.polygons.pyogrio_options import errors_raised_only, gdal_option
from geodeeplab.vector.layers.layer import GEOMETRY, Layer
from geodeeplab.vector.layers.qgis_style import add_style
from geodeeplab.vector.trace.batch import PolygonBatch

if TYPE_CHECKING:
    import pyarrow as pa


GEOPACKAGE_VERSION = "1.3"
"""Newer files make GDAL before 3.7, and so QGIS in Debian 12, complain."""

R_TREE_BYTES = 512 << 20
"""Memory for the entries of a GeoPackage's R-tree, 67 bytes a polygon; GDAL's own limit grows with the machine's."""


def write_geopackage(slices: Iterable[PolygonBatch], path: Path, layer: Layer) -> None:
    """Write a GeoPackage 1.3 with an R-tree, and QGIS's style table if the layer has classes.

    GDAL inserts slice by slice and builds the R-tree at the end, packed; beyond `R_TREE_BYTES`, some eight million
    polygons, it grows the R-tree in a file instead, which takes longer. It does not wait for the disk between
    transactions, as the file is new.
    """
    with gdal_option("OGR_GPKG_MAX_RAM_USAGE_RTREE", R_TREE_BYTES):
        unnamed = _write(slices, path, layer, driver="GPKG", options={"VERSION": GEOPACKAGE_VERSION})
    if layer.classes:
        add_style(path, layer, with_other=unnamed)


def write_flatgeobuf(slices: Iterable[PolygonBatch], path: Path, layer: Layer) -> None:
    """Write a FlatGeobuf, whose features stand in the order of their index, a packed Hilbert R-tree.

    As the index comes first in the file, GDAL writes the features to a nameless file in the same folder, keeps a box
    and a position of each in memory (about 80 bytes together), and copies them in order at the end.
    """
    _write(slices, path, layer, driver="FlatGeobuf", options={})


def _write(
    slices: Iterable[PolygonBatch], path: Path, layer: Layer, *, driver: str, options: Mapping[str, str]
) -> bool:
    """Stream all slices into a new file; tell whether any feature has an id that is no class.

    Raises:
        OutputError: The file cannot be written.
    """
    import pyarrow as pa
    import pyogrio.raw
    from pyogrio.errors import CRSError, DataLayerError, DataSourceError, FeatureError

    source = _Source(slices, layer)
    stream = pa.RecordBatchReader.from_batches(layer.arrow_schema(), iter(source))
    errors = (CRSError, DataLayerError, DataSourceError, FeatureError)
    no_crs = ignore_warnings(message="'crs' was not provided")  # it stays missing on purpose
    with output_errors(path, *errors), errors_raised_only(), no_crs:
        try:
            pyogrio.raw.write_arrow(
                stream,
                path,
                layer=layer.name,
                driver=driver,
                geometry_name=GEOMETRY,
                geometry_type=layer.geometry_type,
                crs=layer.wkt,
                layer_metadata=dict(layer.metadata) or None,
                dataset_options=dict(options),
            )
        except RuntimeError:
            if source.error is None:
                raise
    if source.error is not None:
        raise source.error
    _check_count(path, layer.name, source.count)
    return source.has_unnamed


class _Source:
    """Slices as Arrow batches, for a reader in C that forgets which exception ended them."""

    def __init__(self, slices: Iterable[PolygonBatch], layer: Layer) -> None:
        self._slices = slices
        self._layer = layer
        self.count = 0
        """Features handed out."""
        self.has_unnamed = False
        """Whether any of them has an id that is no class."""
        self.error: BaseException | None = None
        """What ended the slices too early."""

    def __iter__(self) -> Iterator["pa.RecordBatch"]:
        try:
            for batch in self._slices:
                columns = self._layer.arrow_batch(batch)
                self.count += len(batch)
                self.has_unnamed |= columns["class_name"].null_count > 0
                yield columns
        except GeneratorExit:  # the reader has had enough
            raise
        except BaseException as error:
            self.error = error
            raise


def _check_count(path: Path, layer: str, count: int) -> None:
    """Read the file's own count of features.

    Raises:
        OutputError: Some are missing.
    """
    import pyogrio
    from pyogrio.errors import DataLayerError, DataSourceError

    with output_errors(path, DataLayerError, DataSourceError):
        found = pyogrio.read_info(path, layer=layer, force_feature_count=True)["features"]
    if found != count:
        raise OutputError(f"cannot write {path}: {found} of {count} polygons arrived: check the disk, then run again")
