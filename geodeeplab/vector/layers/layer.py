"""What a layer holds, and its features as Arrow columns."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from rasterio.crs import CRS

from geodeeplab.raster.cog import LabelClass
from geodeeplab.text import parse_json
from geodeeplab.vector.layers.wkb import wkb_of
from geodeeplab.vector.trace.batch import PolygonBatch

if TYPE_CHECKING:
    import pyarrow as pa

GEOMETRY = "geometry"
"""Name of the Arrow column that holds the geometries as WKB."""


@dataclass(frozen=True, kw_only=True)
class Layer:
    """A layer of polygons: all that its features share."""

    name: str
    """Name of the layer, in formats that name layers."""
    crs: CRS | None
    """CRS of the coordinates; None stays missing in the file."""
    classes: Sequence[LabelClass]
    """The classes whose names and colours are written."""
    metadata: Mapping[str, str]
    """Whatever else is known of the layer, say its provenance."""
    is_multi: bool
    """Multipolygons, not polygons."""
    class_columns: Mapping[str, Mapping[int, str]] = field(default_factory=dict)
    """Columns of text that follow from the class: by name, the text for each class id."""
    has_confidence_mean: bool = False
    """The features have a column `confidence`."""
    has_confidence_min: bool = False
    """The features have a column `confidence_min`."""
    scene: tuple[str, str] | None = None
    """Name of a column, and the name of the scene that all its rows have; formats of GDAL's only."""

    @property
    def geometry_type(self) -> str:
        """The simple-features name of the geometries' type."""
        return "MultiPolygon" if self.is_multi else "Polygon"

    @property
    def wkt(self) -> str | None:
        """The CRS as WKT2:2019."""
        return None if self.crs is None else str(self.crs.to_wkt(version="WKT2_2019"))

    def columns(self, batch: PolygonBatch) -> dict[str, NDArray[Any]]:
        """Give the columns of numbers of a batch, by name; NaN stands for null."""
        columns: dict[str, NDArray[Any]] = {
            "class_id": batch.class_ids,
            "area_m2": batch.area_m2,
            "perimeter_m": batch.perimeter_m,
        }
        if self.has_confidence_mean and batch.confidence_mean is not None:
            columns["confidence"] = batch.confidence_mean
        if self.has_confidence_min and batch.confidence_min is not None:
            columns["confidence_min"] = batch.confidence_min
        return columns

    def class_places(self, class_ids: NDArray[np.int32]) -> NDArray[np.int64]:
        """Give the place of each id in `classes`, (N,); -1 for an id that is no class."""
        if not self.classes:
            return np.full(len(class_ids), -1)
        ids, order = self._sorted_ids
        found = np.minimum(np.searchsorted(ids, class_ids), len(ids) - 1)
        return np.where(ids[found] == class_ids, order[found], -1)

    @cached_property
    def _sorted_ids(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        ids = np.array([item.id for item in self.classes], dtype=np.int64)
        order = np.argsort(ids, kind="stable")
        return ids[order], order

    def arrow_schema(self) -> "pa.Schema":
        """Give the columns' Arrow types: `class_id`, `class_name`, measures, confidence, geometry."""
        import pyarrow as pa

        fields = [
            pa.field("class_id", pa.int32()),
            pa.field("class_name", pa.string()),
            *(pa.field(name, pa.string()) for name in self.class_columns),
            pa.field("area_m2", pa.float64()),
            pa.field("perimeter_m", pa.float64()),
        ]
        if self.has_confidence_mean:
            fields.append(pa.field("confidence", pa.float32()))
        if self.has_confidence_min:
            fields.append(pa.field("confidence_min", pa.float32()))
        if self.scene is not None:
            fields.append(pa.field(self.scene[0], pa.string()))
        return pa.schema([*fields, pa.field(GEOMETRY, pa.binary())])

    def arrow_batch(self, batch: PolygonBatch) -> "pa.RecordBatch":
        """Give a batch as Arrow columns; the WKB, at most 2 GiB of it, is written once and not copied again."""
        import pyarrow as pa

        schema = self.arrow_schema()
        places = self.class_places(batch.class_ids)
        names = pa.array([item.name for item in self.classes], pa.string())
        buffer, offsets = wkb_of(batch)
        arrays: dict[str, pa.Array] = {
            "class_name": names.take(pa.array(places, mask=places < 0)),
            GEOMETRY: pa.Array.from_buffers(
                pa.binary(), len(batch), [None, pa.py_buffer(offsets.astype(np.int32)), pa.py_buffer(buffer)]
            ),
        }
        for name, texts in self.class_columns.items():
            values = pa.array([texts.get(item.id) for item in self.classes], pa.string())
            arrays[name] = values.take(pa.array(places, mask=places < 0))
        if self.scene is not None:
            arrays[self.scene[0]] = pa.repeat(self.scene[1], len(batch))
        for name, numbers in self.columns(batch).items():
            arrays[name] = pa.array(numbers, schema.field(name).type, from_pandas=True)
        return pa.RecordBatch.from_arrays([arrays[one.name] for one in schema], schema=schema)


def read_layer_metadata(path: Path) -> dict[str, str]:
    """Read back the metadata of a layer that `write_polygons` wrote; errors are those of the library that reads it."""
    if path.suffix.lower() == ".parquet":
        import pyarrow.parquet

        pairs = pyarrow.parquet.read_metadata(path).metadata or {}
        return {key.decode(): value.decode() for key, value in pairs.items()}
    if path.suffix.lower() == ".geojson":
        with open(path, encoding="utf-8") as file:
            head = parse_json(file.readline().rstrip().removesuffix('"features":[').removesuffix(",") + "}")
        return dict(head.get("metadata", {}))
    import pyogrio

    layers = pyogrio.list_layers(path)
    return dict(pyogrio.read_info(path, layer=str(layers[0][0])).get("layer_metadata") or {})
