"""Whether the polygons of a layer are valid and a valid coverage: one line of JSON.

    python benchmarks/polygon_check.py polygons.gpkg landcover
    python benchmarks/polygon_check.py simple.gpkg landcover --union --exact exact.gpkg --tolerance 1.5

`invalid` counts polygons that are not valid by OGC's rules, `faulty` those with an edge that does not match their
neighbours' (GEOS: `coverage_invalid_edges`), None if GEOS gives up on them. With `--union`, also whether GEOS calls the
whole a valid coverage, and by how much the sum of the areas differs from the area of the union, relative to it (of more
than 20,000 polygons GEOS's union of coverages, which takes minutes instead of hours). With
`--exact`, how far the vertices of the polygons as traced are at most from the nearest line of the layer, in units of
the CRS, and how many are farther than the tolerance.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyogrio
import shapely
from numpy.typing import NDArray

Polygons = NDArray[np.object_]
MOST_UNITED = 20_000
"""More polygons than this are united as the coverage that they have been found to be."""


def main() -> None:
    """Check one layer."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", type=Path)
    parser.add_argument("layer")
    parser.add_argument("--union", action="store_true", help="compare with the union of all polygons")
    parser.add_argument("--exact", type=Path, help="the same layer as traced")
    parser.add_argument("--tolerance", type=float, default=0.0, help="in units of the CRS")
    options = parser.parse_args()
    polygons = read(options.path, options.layer)
    found = check(polygons)
    if options.union:
        found |= check_union(polygons)
    if options.exact:
        found |= check_distances(polygons, read(options.exact, options.layer), options.tolerance)
    print(json.dumps(found))


def read(path: Path, layer: str) -> Polygons:
    """Read the geometries (N,) of a layer."""
    _, _, blobs, _ = pyogrio.raw.read(path, layer=layer, columns=[])
    polygons: Polygons = shapely.from_wkb(blobs)
    return polygons


def check(polygons: Polygons) -> dict[str, Any]:
    """Count coordinates and faults of polygons (N,), and sum their planar area."""
    try:
        faulty = int((~shapely.is_empty(shapely.coverage_invalid_edges(polygons))).sum())
    except shapely.GEOSException:
        faulty = None
    return {
        "polygons": len(polygons),
        "coordinates": int(shapely.get_num_coordinates(polygons).sum()),
        "invalid": int((~shapely.is_valid(polygons)).sum()),
        "faulty": faulty,
        "area": float(shapely.area(polygons).sum()),
    }


def check_union(polygons: Polygons) -> dict[str, Any]:
    """Compare polygons (N,) with their union."""
    left, bottom, _, _ = shapely.total_bounds(polygons)
    near = shapely.transform(polygons, lambda points: points - (left, bottom))  # far from 0 areas lose digits
    is_valid = bool(shapely.coverage_is_valid(polygons))
    unite = shapely.coverage_union_all if is_valid and len(polygons) > MOST_UNITED else shapely.union_all
    united = float(unite(near).area)
    return {
        "coverage_is_valid": is_valid,
        "area_against_union": abs(float(shapely.area(near).sum()) - united) / united,
    }


def check_distances(polygons: Polygons, exact: Polygons, tolerance: float) -> dict[str, Any]:
    """Measure how far the vertices of `exact` are from the lines of `polygons`."""
    rings = shapely.get_rings(shapely.get_parts(polygons))
    points, ring = shapely.get_coordinates(rings, return_index=True)
    inside = np.flatnonzero(ring[1:] == ring[:-1])
    segments = shapely.linestrings(np.stack((points[inside], points[inside + 1]), axis=1))
    vertices = shapely.points(np.unique(shapely.get_coordinates(exact), axis=0))
    _, distances = shapely.STRtree(segments).query_nearest(vertices, all_matches=False, return_distance=True)
    return {
        "vertices": len(vertices),
        "farthest": float(distances.max()),
        "beyond": int((distances > tolerance + 1e-6).sum()),
    }


if __name__ == "__main__":
    main()
