"""The areas among geometries as people draw them: repaired where they can be, else left out, and both counted."""

import warnings
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from geodeeplab.errors import GeoDeepLabWarning, OptionError
from geodeeplab.raster.polygons.wkb import UNREADABLE

NO_AREA, NO_GEOMETRY, NOT_FINITE, NO_POLYGON = "no area", "no geometry", "coordinates not finite", "points or lines"


@dataclass(frozen=True, kw_only=True, eq=False)
class Areas:
    """Polygons, and the features that they are of."""

    polygons: npt.NDArray[Any]
    """(n,) valid shapely polygons in two dimensions, of finite coordinates, each with an area; at least one."""
    feature: npt.NDArray[np.int64]
    """(n,) which of the geometries each is of, from 0; never decreases."""
    mended: int
    """Geometries that were repaired."""
    left_out: int
    """Geometries that cover no ground."""


@np.errstate(invalid="ignore", over="ignore")  # of NaN and very large numbers among coordinates
def to_areas(geometries: npt.NDArray[Any], notes: npt.NDArray[Any], *, what: str) -> Areas:
    """Take geometries of any kind apart into valid polygons.

    Args:
        geometries: shapely geometries; None where there is none.
        notes: what was done to each in reading it, see `read_wkb`.
        what: how messages name the layer.

    Warns:
        GeoDeepLabWarning: some were repaired or left out; once, with how many and why.

    Raises:
        OptionError: no polygon is left.
    """
    import shapely

    why = np.where(geometries == None, NO_GEOMETRY, NO_AREA).astype(object)  # noqa: E711 - element by element
    why[notes == UNREADABLE] = UNREADABLE
    done = notes.copy()
    parts, feature = _flat(geometries)
    is_areal = (shapely.get_type_id(parts) == shapely.GeometryType.POLYGON) & ~shapely.is_empty(parts)
    others = feature[~is_areal & ~shapely.is_empty(parts)]
    why[others] = NO_POLYGON
    parts, feature = shapely.force_2d(parts[is_areal]), feature[is_areal]
    beside = int(np.isin(others, feature).sum())
    is_finite = _are_finite(parts)
    why[feature] = NO_AREA
    why[feature[~is_finite]] = done[feature[~is_finite]] = NOT_FINITE
    parts, feature = parts[is_finite], feature[is_finite]
    is_broken = ~shapely.is_valid(parts)
    for i, reason in zip(feature[is_broken], shapely.is_valid_reason(parts[is_broken]), strict=True):
        done[i] = done[i] or str(reason).partition("[")[0].strip().lower()
    parts[is_broken] = [_mended(one) for one in parts[is_broken]]
    parts, again = _flat(parts)
    area = shapely.area(parts)
    has_area = (shapely.get_type_id(parts) == shapely.GeometryType.POLYGON) & (area > 0) & np.isfinite(area)
    parts, feature = parts[has_area], feature[again[has_area]]
    is_left = np.zeros(len(geometries), dtype=np.bool_)
    is_left[feature] = True
    mended, whys = done[is_left & (done != "")], why[~is_left]
    if len(parts) == 0:
        raise OptionError(
            f"{what} has no polygon among its {len(geometries)} features{_counted(whys)}: give polygons, e.g. buffer "
            "points and lines"
        )
    said = [f"{len(mended)} of {len(geometries)} geometries repaired{_counted(mended)}"] if len(mended) else []
    said += [f"{len(whys)} of {len(geometries)} left out{_counted(whys)}"] if len(whys) else []
    said += [f"{beside} points or lines beside polygons left out, which have no area"] if beside else []
    if said:
        warnings.warn(f"{what}: {', '.join(said)}", GeoDeepLabWarning, stacklevel=5)
    return Areas(polygons=parts, feature=feature, mended=len(mended), left_out=len(whys))


def _flat(geometries: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], npt.NDArray[np.int64]]:
    """Give the parts of geometries, collections within collections too, and which of the geometries each is of."""
    import shapely

    parts, index = shapely.get_parts(geometries, return_index=True)
    while (shapely.get_type_id(parts) >= shapely.GeometryType.MULTIPOINT).any():
        parts, of_part = shapely.get_parts(parts, return_index=True)
        index = index[of_part]
    return parts, index.astype(np.int64)


def _are_finite(polygons: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    import shapely

    points, of_point = shapely.get_coordinates(polygons, return_index=True)
    finite = np.ones(len(polygons), dtype=np.bool_)
    finite[of_point[~np.isfinite(points).all(axis=1)]] = False
    return finite


def _mended(polygon: Any) -> Any:  # noqa: ANN401 - shapely geometries
    """Repair a polygon; an empty one where nothing is left of it."""
    import shapely

    try:
        return shapely.make_valid(polygon, method="structure", keep_collapsed=False)
    except shapely.errors.GEOSException:  # of coordinates that are too large to be reckoned with
        return shapely.Polygon()


def _counted(reasons: Iterable[str]) -> str:
    """Count reasons for a message."""
    found = ", ".join(f"{count} {reason}" for reason, count in Counter(reasons).most_common())
    return f" ({found})" if found else ""
