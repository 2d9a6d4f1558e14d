"""Whether the polygons of a layer are valid and a valid coverage: one line of JSON.

    python benchmarks/polygon_check.py polygons.gpkg landcover

`invalid` counts polygons that are not valid by OGC's rules, `faulty` those with an edge that does not match their
neighbours' (GEOS: `coverage_invalid_edges`), None if GEOS gives up on them.
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyogrio
import shapely
from numpy.typing import NDArray


def main() -> None:
    """Check one layer."""
    _, _, blobs, _ = pyogrio.raw.read(Path(sys.argv[1]), layer=sys.argv[2], columns=[])
    print(json.dumps(check(shapely.from_wkb(blobs))))


def check(polygons: NDArray[np.object_]) -> dict[str, Any]:
    """Count coordinates and faults of polygons (N,), and sum their planar area."""
    try:
        faulty = int((~shapely.is_empty(shapely.coverage_invalid_edges(polygons))).sum())
    except shapely.GEOSException:
        faulty = None
    return {
        "coordinates": int(shapely.get_num_coordinates(polygons).sum()),
        "invalid": int((~shapely.is_valid(polygons)).sum()),
        "faulty": faulty,
        "area": float(shapely.area(polygons).sum()),
    }


if __name__ == "__main__":
    main()
