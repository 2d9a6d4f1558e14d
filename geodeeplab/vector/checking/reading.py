"""A vector layer in batches of features, whatever wrote it."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING, Any, Union

import numpy as np
from numpy.typing import NDArray
from rasterio.crs import CRS

from geodeeplab.raster.crs import to_crs
from geodeeplab.raster.polygons.features import layer_name
from geodeeplab.raster.polygons.pyogrio_options import errors_raised_only
from geodeeplab.raster.polygons.vector_file import PARQUET_SUFFIXES, describe_file, only_layer, read_file, reading
from geodeeplab.raster.polygons.wkb import read_wkb
from geodeeplab.raster.sources.remote import gdal_path

if TYPE_CHECKING:
    import geopandas as gpd
    import pyarrow as pa

BATCH_FEATURES = 16_384
LayerSource = Union[str, "PathLike[str]", "gpd.GeoDataFrame"]


@dataclass(frozen=True, kw_only=True, eq=False)
class FeatureBatch:
    """Some features of a layer, in its order."""

    fids: NDArray[np.int64]
    """(n,) numbers of the features in the file; the row, from 0, where it numbers none."""
    geometries: NDArray[Any]
    """(n,) of shapely, in two dimensions; None where there is none."""
    notes: NDArray[Any]
    """(n,) what was done to read each, see `read_wkb`; "" for nothing."""
    columns: "pa.Table"
    """Everything else."""


@dataclass(frozen=True, kw_only=True, eq=False)
class FeatureSource:
    """A layer that can be read again and again."""

    src: LayerSource
    """The file, or the frame."""
    name: str
    """How messages name it."""
    layer: str | None
    """Name of the layer, where the file has layers."""
    crs: CRS | None
    """CRS of the coordinates."""
    count_estimate: int
    """Features, as the file states it; 0 where it does not."""

    @property
    def path(self) -> Path | None:
        """The file, if it is one on the disk."""
        path = Path(fspath(self.src)) if isinstance(self.src, str | PathLike) else None
        return path if path is not None and path.is_file() else None

    def batches(self) -> Iterator[FeatureBatch]:
        """Read the layer from its beginning.

        Raises:
            OptionError: it cannot be read to its end.
        """
        with reading(f"polygon layer '{self.name}'"):
            if not isinstance(self.src, str | PathLike):
                yield from _of_frame(self.src)
            elif Path(fspath(self.src)).suffix.lower() in PARQUET_SUFFIXES:
                yield from _of_parquet(fspath(self.src))
            else:
                yield from _of_gdal(gdal_path(fspath(self.src)), self.layer)


def open_features(src: LayerSource, *, layer: str | None = None) -> FeatureSource:
    """Open a vector file, or a GeoDataFrame.

    Raises:
        OptionError: it cannot be read, or has several layers.
    """
    name = layer_name(src)
    what = f"polygon layer '{name}'"
    if not isinstance(src, str | PathLike):
        known = None if src.crs is None else to_crs(src.crs)
        return FeatureSource(src=src, name=name, layer=None, crs=known, count_estimate=len(src))
    _, crs = describe_file(fspath(src), layer=layer, encoding=None, what=what)
    count = 0
    if Path(fspath(src)).suffix.lower() not in PARQUET_SUFFIXES:
        import pyogrio

        path = gdal_path(fspath(src))
        with reading(what), errors_raised_only():
            layer = layer or only_layer(pyogrio.list_layers(path), what=what)
            count = max(0, pyogrio.read_info(path, layer=layer)["features"])
    known = None if crs is None else to_crs(crs)
    return FeatureSource(src=src, name=name, layer=layer, crs=known, count_estimate=count)


def _of_gdal(path: str, layer: str | None) -> Iterator[FeatureBatch]:
    import pyarrow as pa
    import pyogrio.raw

    with ExitStack() as stack:
        stack.enter_context(errors_raised_only())
        meta, reader = stack.enter_context(
            pyogrio.raw.open_arrow(path, layer=layer, batch_size=BATCH_FEATURES, return_fids=True, use_pyarrow=True)
        )
        geometry = meta["geometry_name"] or "wkb_geometry"
        fid = meta["fid_column"] or "OGC_FID"
        for batch in reader:
            table = pa.Table.from_batches([batch])
            wkb = table[geometry].to_numpy()
            yield _batch(table[fid].to_numpy(), wkb, table.drop_columns([geometry, fid]))


def _of_parquet(path: str) -> Iterator[FeatureBatch]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    from geodeeplab.raster.polygons.vector_file import parquet_geometry

    encoding, column, _, _ = parquet_geometry(path)
    if encoding != "WKB":
        found = read_file(path, field=None, layer=None, encoding=None, what=path)
        count = len(found.geometries)
        yield FeatureBatch(
            fids=np.arange(count),
            geometries=found.geometries,
            notes=found.notes,
            columns=pq.read_table(path).drop_columns([column]),
        )
        return
    with pq.ParquetFile(path) as file:
        start = 0
        for batch in file.iter_batches(batch_size=BATCH_FEATURES):
            table = pa.Table.from_batches([batch])
            fids = np.arange(start, start + table.num_rows)
            start += table.num_rows
            yield _batch(fids, table[column].to_numpy(), table.drop_columns([column]))


def _of_frame(frame: "gpd.GeoDataFrame") -> Iterator[FeatureBatch]:
    import pandas as pd
    import pyarrow as pa
    import shapely

    for start in range(0, len(frame), BATCH_FEATURES):
        part = frame.iloc[start : start + BATCH_FEATURES]
        geometries = shapely.force_2d(np.asarray(part.geometry.array))
        yield FeatureBatch(
            fids=np.arange(start, start + len(part)),
            geometries=geometries,
            notes=np.full(len(part), "", dtype=object),
            columns=pa.Table.from_pandas(pd.DataFrame(part.drop(columns=part.geometry.name)), preserve_index=False),
        )


def _batch(fids: NDArray[Any], wkb: NDArray[Any], columns: "pa.Table") -> FeatureBatch:
    import shapely

    geometries, notes = read_wkb(wkb)
    return FeatureBatch(
        fids=fids.astype(np.int64), geometries=shapely.force_2d(geometries), notes=notes, columns=columns
    )
