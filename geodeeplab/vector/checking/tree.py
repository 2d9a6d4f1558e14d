"""Polygons that are asked which of them points lie in."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


class PolygonTree:
    """Polygons and multipolygons (n,), ready to be asked by many points."""

    def __init__(self, polygons: NDArray[Any]) -> None:
        """Build the tree of their boxes, and prepare them."""
        import shapely

        self.polygons = polygons
        """As they were given."""
        self._tree = shapely.STRtree(polygons)
        shapely.prepare(polygons)

    def near(self, points: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Give the places of points, and those of polygons in whose boxes they lie."""
        point, polygon = self._tree.query(points)
        return point, polygon

    def covers(self, points: NDArray[Any]) -> NDArray[np.bool_]:
        """Tell which points (m,) lie in polygons, or between two of them."""
        import shapely

        point, polygon = self.near(points)
        covered = np.zeros(len(points), dtype=np.bool_)
        covered[point[shapely.covers(self.polygons[polygon], points[point])]] = True
        return covered
