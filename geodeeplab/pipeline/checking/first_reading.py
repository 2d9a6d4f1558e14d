"""The first of the two readings of a layer that is checked: features by themselves, and how they lie."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geodeeplab.errors import OptionError
from geodeeplab.raster.polygons.class_text import listed
from geodeeplab.raster.polygons.projecting import edge_ends
from geodeeplab.vector.checking.attributes import AttributeCheck
from geodeeplab.vector.checking.faults import Faults
from geodeeplab.vector.checking.reading import FeatureBatch, FeatureSource
from geodeeplab.vector.checking.shapes import has_finite_points, iter_shape_faults

Progress = Callable[[int, int], None]
"""Called with the features looked at and those to be looked at, each three times; it may raise to cancel."""


class FirstReading:
    """What a first reading of a layer finds of its features by themselves, and keeps of them."""

    def __init__(self, *, spike_degrees: float, min_area: float) -> None:
        self._spike_degrees, self._min_area = spike_degrees, min_area
        self._boxes = [np.empty((0, 4))]
        self._vertices = [np.empty(0, dtype=np.int64)]
        self._bounds = np.array([np.inf, np.inf, -np.inf, -np.inf])
        self.count = 0
        """Features."""
        self.fields: list[str] = []
        """Columns but the geometry."""
        self.median_edge = 0.0
        """Of the first features that have edges, in units of the CRS."""

    def iter_faults(
        self, source: FeatureSource, attributes: AttributeCheck, progress: Progress | None
    ) -> Iterator[Faults]:
        """Read the layer once."""
        for batch in source.batches():
            self.fields = batch.columns.column_names
            yield from iter_shape_faults(
                batch.geometries,
                batch.fids,
                batch.notes,
                spike_degrees=self._spike_degrees,
                min_area=self._min_area,
            )
            yield from attributes.iter_faults(batch.columns, batch.fids)
            self._keep(batch)
            if progress is not None:
                progress(self.count, 3 * max(self.count, source.count_estimate))

    def check_field(self, class_field: str | None, source: FeatureSource) -> None:
        """Refuse a class field that the layer, which was read, has not.

        Raises:
            OptionError: it has not.
        """
        if class_field is not None and class_field not in self.fields:
            raise OptionError(
                f"polygon layer '{source.name}' has no field '{class_field}': choose the class field among "
                f"{listed(self.fields)}"
            )

    @property
    def boxes(self) -> NDArray[np.float64]:
        """Least x and y, greatest x and y (m, 4) of the geometries that have finite ones."""
        return np.concatenate(self._boxes)

    @property
    def vertices(self) -> NDArray[np.int64]:
        """Vertices (m,) of the same."""
        return np.concatenate(self._vertices)

    @property
    def bounds(self) -> NDArray[np.float64]:
        """Least x and y, greatest x and y (4,) of all geometries; NaN where there are none."""
        return np.where(np.isfinite(self._bounds).all(), self._bounds, np.nan)

    def _keep(self, batch: FeatureBatch) -> None:
        import shapely

        self.count += len(batch.fids)
        boxes = shapely.bounds(batch.geometries)
        placed = np.isfinite(boxes).all(axis=1)
        if placed.any():
            np.minimum(self._bounds[:2], boxes[placed, :2].min(axis=0), out=self._bounds[:2])
            np.maximum(self._bounds[2:], boxes[placed, 2:].max(axis=0), out=self._bounds[2:])
        self._boxes.append(boxes[placed])
        self._vertices.append(shapely.get_num_coordinates(batch.geometries[placed]).astype(np.int64))
        if self.median_edge:
            return
        polygons, _ = fit_polygons(batch)
        if len(polygons):
            start, stop = edge_ends(shapely.get_parts(polygons))
            lengths = np.hypot(*(stop - start).T)
            self.median_edge = float(np.median(lengths[lengths > 0]))


def fit_polygons(batch: FeatureBatch) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Give the valid polygons and multipolygons of a batch, which alone can be neighbours, and their numbers."""
    import shapely

    kinds = shapely.get_type_id(batch.geometries)
    fit = (kinds == shapely.GeometryType.POLYGON) | (kinds == shapely.GeometryType.MULTIPOLYGON)
    fit &= (batch.notes == "") & ~shapely.is_empty(batch.geometries)
    fit[fit] = has_finite_points(batch.geometries[fit])
    fit[fit] = shapely.is_valid(batch.geometries[fit])
    return batch.geometries[fit], batch.fids[fit]
