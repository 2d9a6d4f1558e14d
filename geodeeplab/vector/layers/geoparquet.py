"""Write GeoParquet 1.1 (https://geoparquet.org/releases/v1.1.0): WKB, with the box of each feature as columns."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geodeeplab.raster.outputs.checks import output_errors
from geodeeplab.vector.layers.layer import GEOMETRY, Layer
from geodeeplab.vector.layers.slices import SLICE_BYTES, SLICE_FEATURES
from geodeeplab.vector.layers.wkb import polygons_of_features
from geodeeplab.vector.trace.batch import PolygonBatch

BOX = ("xmin", "ymin", "xmax", "ymax")


def write_geoparquet(slices: Iterable[PolygonBatch], path: Path, layer: Layer) -> None:
    """Write a GeoParquet file; readers skip row groups by the statistics of the column `bbox`.

    Row groups hold 65,536 features, or 32 MiB of geometry and a slice more. The layer's metadata are key-value pairs of
    the file.

    Raises:
        OutputError: The file cannot be written.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    with_box = pa.struct([pa.field(side, pa.float64(), nullable=False) for side in BOX])
    schema = layer.arrow_schema().append(pa.field("bbox", with_box))
    bounds = np.array([np.inf, np.inf, -np.inf, -np.inf])
    with output_errors(path):
        writer = pq.ParquetWriter(
            path,
            schema,
            compression="zstd",
            use_dictionary=["class_id", "class_name"],
            write_statistics=["class_id", "class_name", *(f"bbox.{side}" for side in BOX)],
        )
    try:
        for group in _row_groups(slices):
            columns = []
            for batch in group:
                boxes = feature_boxes(batch)
                np.minimum(bounds[:2], boxes[:, :2].min(axis=0), out=bounds[:2])
                np.maximum(bounds[2:], boxes[:, 2:].max(axis=0), out=bounds[2:])
                box = pa.StructArray.from_arrays([pa.array(side) for side in boxes.T], fields=list(with_box))
                columns.append(pa.RecordBatch.from_arrays([*layer.arrow_batch(batch).columns, box], schema=schema))
            with output_errors(path):
                writer.write_table(pa.Table.from_batches(columns, schema))
        with output_errors(path):
            writer.add_key_value_metadata({**layer.metadata, "geo": json.dumps(geo_metadata(layer, bounds))})
    finally:
        with output_errors(path):
            writer.close()


def feature_boxes(batch: PolygonBatch) -> NDArray[np.float64]:
    """Give the bounds of each feature: (N, 4) smallest x and y, largest x and y."""
    starts = batch.ring_offsets[batch.polygon_offsets[polygons_of_features(batch)[:-1]]]
    columns = [np.ascontiguousarray(batch.points[:, axis]) for axis in (0, 1)]
    smallest = [np.minimum.reduceat(column, starts) for column in columns]
    largest = [np.maximum.reduceat(column, starts) for column in columns]
    return np.column_stack([*smallest, *largest])


def geo_metadata(layer: Layer, bounds: NDArray[np.float64]) -> dict[str, Any]:
    """Give the value of the file's key `geo`.

    Args:
        layer: The layer.
        bounds: (4,) of all features, infinite where there are none.
    """
    import pyproj

    crs = None if layer.wkt is None else pyproj.CRS.from_wkt(layer.wkt).to_json_dict()
    column: dict[str, Any] = {
        "encoding": "WKB",
        "geometry_types": [layer.geometry_type],
        "crs": crs,  # null: unknown; without the key it would be WGS 84
        "orientation": "counterclockwise",
        "edges": "planar",
        "covering": {"bbox": {side: ["bbox", side] for side in BOX}},
    }
    if np.isfinite(bounds).all():
        column["bbox"] = bounds.tolist()
    return {"version": "1.1.0", "primary_column": GEOMETRY, "columns": {GEOMETRY: column}}


def _row_groups(slices: Iterable[PolygonBatch]) -> Iterator[list[PolygonBatch]]:
    """Join small slices until they are a row group's worth."""
    group: list[PolygonBatch] = []
    features = points = 0
    for batch in slices:
        group.append(batch)
        features, points = features + len(batch), points + len(batch.points)
        if features >= SLICE_FEATURES or 16 * points >= SLICE_BYTES:
            yield group
            group, features, points = [], 0, 0
    if group:
        yield group
