"""Where an array lies by its attributes: those of GeoZarr and EOPF products, named as in STAC's projection extension.

https://github.com/zarr-conventions: `proj:code`, `proj:wkt2`, `proj:projjson` (and the older `proj:epsg`) state the
coordinate reference system; `proj:transform` or `spatial:transform` the six numbers from pixel corner to coordinates.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from affine import Affine

from geodeeplab.errors import SceneError

PROJ_PREFIXES = ("proj:", "spatial:")
"""How the names of these attributes begin."""
TRANSFORM_KEYS = ("proj:transform", "spatial:transform")


def stated_crs(attrs: Mapping[Any, Any]) -> str | None:
    """Give the coordinate reference system that attributes state, as a code, WKT or PROJJSON."""
    for key in ("proj:code", "proj:wkt2", "proj:projjson"):
        value = attrs.get(key)
        if value:
            return value if isinstance(value, str) else json.dumps(value)
    return f"EPSG:{int(attrs['proj:epsg'])}" if attrs.get("proj:epsg") else None


def stated_transform(attrs: Mapping[Any, Any], path: str) -> Affine | None:
    """Give the transform that attributes state.

    Raises:
        SceneError: it is no list of six numbers, or of nine.
    """
    for key in TRANSFORM_KEYS:
        value = attrs.get(key)
        if value is None:
            continue
        try:
            numbers = [float(number) for number in value] if isinstance(value, Sequence) else []
        except (TypeError, ValueError):
            numbers = []
        if len(numbers) not in (6, 9):
            raise SceneError(f"{path} has '{key}' of {value!r}, which is a list of six numbers: correct it")
        return Affine(*numbers[:6])
    return None
