"""Write polygons into vector files, chosen by suffix."""

import os
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyogrio
import pyogrio.raw
import shapely
from numpy.typing import NDArray
from pyogrio.errors import CRSError, DataLayerError, DataSourceError
from rasterio.crs import CRS

from geodeeplab.errors import OutputError
from geodeeplab.raster.cog import LabelClass
from geodeeplab.raster.outputs import atomic_outputs, check_output, output_errors
from geodeeplab.vector.attributes import area_m2
from geodeeplab.vector.trace import PolygonBatch

DRIVERS = {".gpkg": "GPKG"}
"""GDAL's name of the format that each suffix stands for."""

POLYGON_SUFFIXES = tuple(DRIVERS)


def write_polygons(
    batches: Iterable[PolygonBatch],
    dst_path: str | os.PathLike[str],
    *,
    crs: CRS | None,
    classes: Sequence[LabelClass],
    layer: str = "landcover",
    metadata: Mapping[str, str] | None = None,
    overwrite: bool = False,
) -> int:
    """Write polygons with `class_id`, `class_name` and `area_m2` into one layer, with a spatial index.

    `class_name` is null where no class has the id, `area_m2` (see `area_m2`) where the ground is out of reach. No
    polygon at all gives a valid empty layer. The batches are taken one at a time, each is on disk before the next.

    Args:
        batches: The polygons, as `trace_polygons` gives them.
        dst_path: Where; the suffix chooses the format, one of `POLYGON_SUFFIXES`.
        crs: CRS of the coordinates; None stays missing in the file.
        classes: The classes whose names are written.
        layer: Name of the layer.
        metadata: Metadata of the layer, say its provenance.
        overwrite: Whether a file that exists is replaced.

    Returns:
        How many polygons were written.

    Raises:
        OptionError: The suffix is unknown; nothing was taken from `batches` then.
        OutputError: The path is taken, or the file cannot be written; then nothing is left behind.
    """
    path = check_output(dst_path, suffixes=POLYGON_SUFFIXES, overwrite=overwrite)
    names: dict[int, str | None] = {item.id: item.name for item in classes}
    count = 0
    with atomic_outputs([path], overwrite=overwrite) as temporary:
        target = _Layer(path=temporary[path], final_path=path, name=layer, crs=crs, metadata=metadata)
        for batch in batches:
            target.append(batch, names)
            count += len(batch.class_ids)
        if count == 0:
            target.append(_NO_POLYGONS, names)
        target.check_count(count)
    return count


_NO_POLYGONS = PolygonBatch(class_ids=np.array([], dtype=np.int32), geometries=np.array([], dtype=np.object_))


@dataclass(kw_only=True)
class _Layer:
    """A layer that grows batch by batch; the first one creates it, and its geometry type is the layer's."""

    path: Path
    final_path: Path
    name: str
    crs: CRS | None
    metadata: Mapping[str, str] | None
    geometry_type: str | None = None

    def append(self, batch: PolygonBatch, names: Mapping[int, str | None]) -> None:
        is_first = self.geometry_type is None
        if is_first:
            self.geometry_type = batch.geometries[0].geom_type if len(batch.geometries) else "Polygon"
        fields = {
            "class_id": batch.class_ids.astype(np.int32),
            "class_name": _look_up(names, batch.class_ids),
            "area_m2": area_m2(batch.geometries, self.crs),
        }
        with output_errors(self.final_path, CRSError, DataLayerError, DataSourceError), warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="'crs' was not provided")  # it stays missing on purpose
            pyogrio.raw.write(
                self.path,
                shapely.to_wkb(batch.geometries),
                list(fields.values()),
                list(fields),
                layer=self.name,
                driver=DRIVERS[self.path.suffix.lower()],
                geometry_type=self.geometry_type,
                crs=None if self.crs is None else self.crs.to_wkt(version="WKT2_2019"),
                append=not is_first,
                layer_metadata=dict(self.metadata) if is_first and self.metadata else None,
            )

    def check_count(self, count: int) -> None:
        """Read the file's own count of features: OutputError when some are missing."""
        with output_errors(self.final_path, DataLayerError, DataSourceError):
            found = pyogrio.read_info(self.path, layer=self.name, force_feature_count=True)["features"]
        if found != count:
            raise OutputError(
                f"cannot write {self.final_path}: {found} of {count} polygons arrived: check the disk, then run again"
            )


def _look_up(names: Mapping[int, str | None], class_ids: NDArray[np.int32]) -> NDArray[np.object_]:
    """Give the name of each class id, None where there is none."""
    ids, inverse = np.unique(class_ids, return_inverse=True)
    found: NDArray[np.object_] = np.array([names.get(int(i)) for i in ids], dtype=np.object_)[inverse]
    return found
