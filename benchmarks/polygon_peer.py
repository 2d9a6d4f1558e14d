"""Polygons of a label raster as they are usually made: rasterio → shapely → geopandas, all at once.

python benchmarks/polygon_peer.py labels.tif polygons.gpkg --tolerance-px 1
"""

import argparse
from pathlib import Path

import geopandas
import numpy as np
import rasterio
import shapely
from rasterio.features import shapes
from shapely.geometry import shape


def main() -> None:
    """Trace, simplify if asked to, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("labels", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--tolerance-px", type=float, help="of coverage_simplify, in pixels (default: as traced)")
    options = parser.parse_args()
    write_polygons(options.labels, options.output, tolerance_px=options.tolerance_px)


def write_polygons(labels_path: Path, output: Path, *, tolerance_px: float | None) -> None:
    """Write the polygons of a label raster, whose nodata gets none; areas and lengths are planar."""
    with rasterio.open(labels_path) as src:
        labels, crs, transform = src.read(1), src.crs, src.transform
        mask = labels != src.nodata
    geometries, class_ids = [], []
    for geometry, value in shapes(labels, mask=mask, transform=transform):
        geometries.append(shape(geometry))
        class_ids.append(int(value))
    polygons = np.array(geometries)
    if tolerance_px is not None:
        polygons = shapely.coverage_simplify(polygons, tolerance_px * abs(transform.determinant) ** 0.5)
    attributes = {
        "class_id": class_ids,
        "class_name": [f"class {one}" for one in class_ids],
        "area_m2": shapely.area(polygons),
        "perimeter_m": shapely.length(polygons),
    }
    frame = geopandas.GeoDataFrame(attributes, geometry=polygons, crs=crs)
    frame.to_file(output, driver="GPKG", layer="landcover")


if __name__ == "__main__":
    main()
