"""Vector layers with all their attributes, some thousand features at a time."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from os import PathLike, fspath
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from rasterio.crs import CRS

from geodeeplab.errors import OptionError
from geodeeplab.raster import LabelClass, LayerLike
from geodeeplab.raster.classes import CLASSES_TAG, parse_classes
from geodeeplab.raster.crs import to_crs
from geodeeplab.raster.polygons.features import layer_name, read_features
from geodeeplab.raster.polygons.pyogrio_options import errors_raised_only
from geodeeplab.raster.polygons.vector_file import PARQUET_SUFFIXES, describe_file, only_layer, reading
from geodeeplab.raster.sources.local_only import check_vector
from geodeeplab.raster.sources.remote import gdal_path

CHUNK = 50_000
"""Features in memory at once."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Chunk:
    """Some features of a layer."""

    geometries: npt.NDArray[Any]
    """(n,) shapely geometries of any kind; None where there is none."""
    columns: dict[str, npt.NDArray[Any]]
    """(n,) values of each field."""


@dataclass(frozen=True, kw_only=True, eq=False)
class VectorLayer:
    """A vector layer that can be read again and again."""

    name: str
    """How messages name it."""
    crs: CRS | None
    """CRS of its coordinates."""
    fields: tuple[str, ...]
    """Names of its fields."""
    classes: tuple[LabelClass, ...]
    """Classes that its file knows, with their colours; none for files of others."""
    source: Any = field(repr=False)
    """A path, or a GeoDataFrame."""

    def iter_chunks(self) -> Iterator[Chunk]:
        """Yield all features in their order.

        Raises:
            OptionError: the file cannot be read.
        """
        if not isinstance(self.source, str):
            yield _of_frame(self.source)
        elif Path(self.source).suffix.lower() in PARQUET_SUFFIXES:
            yield from _iter_parquet(self.source, what=self._what)
        else:
            yield from _iter_gdal(self.source, what=self._what)

    @property
    def _what(self) -> str:
        return f"polygon layer '{self.name}'"


def open_layer(src: LayerLike, *, crs: CRS | None = None) -> VectorLayer:
    """Describe a vector layer.

    Args:
        src: a vector file, a GeoDataFrame, or geometries.
        crs: CRS of geometries that come without one.

    Raises:
        OptionError: it cannot be read, or has several layers.
    """
    what = f"polygon layer '{layer_name(src)}'"
    if isinstance(src, str | PathLike):
        path = fspath(src)
        fields, stated = describe_file(path, layer=None, encoding=None, what=what)
        return VectorLayer(
            name=layer_name(src),
            crs=None if stated is None else to_crs(stated),
            fields=tuple(fields),
            classes=_stated_classes(path, what=what),
            source=path,
        )
    table: Any = src
    if hasattr(src, "columns"):
        fields = [str(one) for one in table.columns if one != table.geometry.name]
        stated = table.crs
    else:
        import geopandas as gpd

        found = read_features(src, field=None, crs=crs, what=what)
        table, fields, stated = gpd.GeoDataFrame(geometry=found.geometries), [], found.crs
    return VectorLayer(
        name=layer_name(src),
        crs=None if stated is None else to_crs(stated),
        fields=tuple(fields),
        classes=(),
        source=table,
    )


def _of_frame(frame: Any) -> Chunk:  # noqa: ANN401 - a GeoDataFrame
    names = [one for one in frame.columns if one != frame.geometry.name]
    columns = {str(name): np.asarray(frame[name].to_numpy()) for name in names}
    return Chunk(geometries=np.asarray(frame.geometry.array, dtype=object), columns=columns)


def _iter_parquet(path: str, *, what: str) -> Iterator[Chunk]:
    import pyarrow.parquet as pq
    import shapely

    from geodeeplab.text import parse_json

    with reading(what), errors_raised_only():
        check_vector(path, what=what)
        file = pq.ParquetFile(path)
        about = parse_json((file.schema_arrow.metadata or {})[b"geo"])
        column = about["primary_column"]
        if about["columns"][column]["encoding"] != "WKB":
            import geopandas as gpd

            yield _of_frame(gpd.read_parquet(path))
            return
        for batch in file.iter_batches(batch_size=CHUNK):
            columns = {
                name: batch[name].to_numpy(zero_copy_only=False) for name in batch.schema.names if name != column
            }
            yield Chunk(geometries=shapely.from_wkb(batch[column].to_numpy(zero_copy_only=False)), columns=columns)


def _iter_gdal(path: str, *, what: str) -> Iterator[Chunk]:
    import pyogrio
    import pyogrio.raw
    import shapely

    with reading(what), errors_raised_only():
        check_vector(path, what=what)
        name = gdal_path(path)
        layer = only_layer(pyogrio.list_layers(name), what=what)
        total = pyogrio.read_info(name, layer=layer, force_feature_count=True)["features"]
        for start in range(0, total, CHUNK):
            meta, _, wkb, data = pyogrio.raw.read(
                name, layer=layer, skip_features=start, max_features=CHUNK, force_2d=True
            )
            if wkb is None:
                raise OptionError(f"{what} has no geometries: give a layer with polygons")
            columns = dict(zip(map(str, meta["fields"]), data, strict=True))
            yield Chunk(geometries=shapely.from_wkb(wkb), columns=columns)


def _stated_classes(path: str, *, what: str) -> tuple[LabelClass, ...]:
    """Give the classes that GeoDeepLab wrote into the metadata of a file."""
    with reading(what):
        if Path(path).suffix.lower() in PARQUET_SUFFIXES:
            import pyarrow.parquet as pq

            stated = {key.decode(): value.decode() for key, value in (pq.read_schema(path).metadata or {}).items()
                      if key == CLASSES_TAG.encode()}  # fmt: skip
        else:
            import pyogrio

            name = gdal_path(path)
            with errors_raised_only():
                info = pyogrio.read_info(name, layer=only_layer(pyogrio.list_layers(name), what=what))
            stated = {**(info.get("dataset_metadata") or {}), **(info.get("layer_metadata") or {})}
    return tuple(parse_classes(stated.get(CLASSES_TAG)))
