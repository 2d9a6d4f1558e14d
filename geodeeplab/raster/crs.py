"""Coordinate reference systems: which are the same, and the one way from one to another."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import rasterio
from rasterio.crs import CRS
from rasterio.errors import CRSError

from geodeeplab.errors import OptionError, SceneError

if TYPE_CHECKING:
    import pyproj

UNNAMED_DATUMS = ("unknown", "undefined", "not specified", "not_specified")
"""What the names of datums begin with that nobody named."""


@dataclass(frozen=True, kw_only=True)
class Body:
    """What is under a CRS: longitude and latitude on an ellipsoid, of the Earth or of another body.

    Heights and shifts to other datums are left aside: a compound or bound CRS is what is below.
    """

    map: "pyproj.CRS"
    """The CRS without them."""
    base: "pyproj.CRS"
    """The geographic CRS that it is a map of; itself if it is geographic and not turned."""
    to_base: "pyproj.Transformer"
    """From (x, y) to (longitude, latitude) in units of the base."""
    geod: "pyproj.Geod"
    """Distances on the ellipsoid."""

    @property
    def degrees(self) -> float:
        """Degrees in a unit of the base."""
        return float(self.base.axis_info[0].unit_conversion_factor) * 57.29577951308232


def to_crs(wanted: Any) -> CRS:  # noqa: ANN401
    """Give a CRS from what a user writes: "EPSG:32633", WKT, PROJ, PROJJSON, or a CRS of pyproj.

    Raises:
        OptionError: it is no CRS.
        SceneError: see `check_database`.
    """
    check_database()
    try:
        with rasterio.Env():  # takes PROJ's own words to the log
            is_json = isinstance(wanted, Mapping)  # of GeoParquet; rasterio takes it for PROJ's keys
            return CRS.from_wkt(to_pyproj(wanted).to_wkt()) if is_json else CRS.from_user_input(wanted)
    except (CRSError, ValueError) as error:  # the latter for EPSG:text
        raise OptionError(f"'{wanted}' is no CRS ({_one_line(error)}): give e.g. EPSG:32633") from error


def check_database() -> None:
    """Refuse to go on where PROJ finds another program's database: it would read CRSs by halves.

    Raises:
        SceneError: it does, or finds none.
    """
    reason = _database_fault()
    if reason is not None:
        named = [f"{name}={os.environ[name]}" for name in ("PROJ_DATA", "PROJ_LIB") if name in os.environ]
        blame = f"{' and '.join(named)} names another program's" if named else "reinstall rasterio"
        raise SceneError(
            f"PROJ cannot read its database of coordinate systems ({reason}): {blame}"
            + (", unset it and run again" if named else "")
        )


def same_crs(one: CRS | None, other: CRS | None) -> bool:
    """Tell whether coordinates (x, y) in one CRS are coordinates in the other.

    So they are whatever the spelling (EPSG, WKT, PROJ), the order of axes and the heights. A CRS that also says how it
    is shifted to another datum is the same without that, unless nothing else names its datum.
    """
    if one is None or other is None:
        return one is other
    return one.wkt == other.wkt or _same(one, other)


def transformer(
    src: Any,  # noqa: ANN401 - whatever pyproj takes, or rasterio's
    dst: Any,  # noqa: ANN401
    *,
    what: str,
    error: type[SceneError] | type[OptionError] = SceneError,
    advice: str = "keep it in its own CRS, or state the right one: gdal_edit.py -a_srs EPSG:CODE",
) -> "pyproj.Transformer":
    """Give the way from one CRS to another, (x, y) to (x, y); the only place that makes one.

    Args:
        src: a CRS of rasterio or pyproj, or text.
        dst: the same.
        what: what is brought there, for the message: "scene 'a.tif'".
        error: what is raised.
        advice: the next step, for the message.

    Raises:
        SceneError, OptionError: nothing leads from one to the other: a local system has no place on the Earth, another
            planet is not the Earth, or PROJ knows no way.
    """
    check_database()
    found = _transformer(_key(src), _key(dst))
    if isinstance(found, str):
        raise error(f"{what} cannot be brought from {crs_name(src)} to {crs_name(dst)} ({found}): {advice}")
    return found


def body_of(crs: Any) -> Body | str:  # noqa: ANN401
    """Give what is under a CRS, or why there is nothing: it is a local system, a height, or PROJ fails."""
    return _body(_key(crs))


def to_pyproj(crs: Any) -> "pyproj.CRS":  # noqa: ANN401
    """Give pyproj's form of a CRS.

    Raises:
        ValueError: it is no CRS; the message says why.
    """
    found = _parsed(_key(crs))
    if isinstance(found, str):
        raise ValueError(found)
    return found


def crs_name(crs: Any) -> str:  # noqa: ANN401
    """Name a CRS for a message: `EPSG:32633`, as options take it, if there is such a code, else its name in quotes."""
    if crs is None:
        return "none"
    found = _parsed(_key(crs))
    if isinstance(found, str):
        return f"'{str(crs)[:60]}'"
    authority = found.to_authority(min_confidence=70)
    return ":".join(authority) if authority else f"'{found.name}'"


@lru_cache(maxsize=1)
def _database_fault() -> str | None:
    """Say why rasterio's PROJ cannot look up a code; None if it can."""
    try:
        with rasterio.Env():
            CRS.from_epsg(4326)
    except CRSError as error:
        return _one_line(error).removeprefix("The EPSG code is unknown. ")
    return None


def _key(crs: Any) -> str:  # noqa: ANN401
    """Give a CRS as text that can be looked up again."""
    try:
        if isinstance(crs, Mapping):
            return json.dumps(crs)
        if isinstance(crs, CRS):
            return str(crs.to_wkt(version="WKT2_2019"))
        return crs if isinstance(crs, str) else str(crs.to_wkt())
    except (CRSError, AttributeError):
        return str(crs)


@lru_cache(maxsize=256)
def _parsed(text: str) -> "pyproj.CRS | str":
    import pyproj

    try:
        return pyproj.CRS.from_user_input(text)
    except (pyproj.exceptions.ProjError, pyproj.exceptions.DataDirError) as error:
        return _one_line(error)[:200]


@lru_cache(maxsize=256)
def _same(one: CRS, other: CRS) -> bool:
    pair = [_parsed(_key(crs)) for crs in (one, other)]
    first, second = pair
    if isinstance(first, str) or isinstance(second, str):
        return bool(one == other)
    if first.is_engineering or second.is_engineering:  # for PROJ, all sites on a datum of one name are one
        return first.name == second.name and bool(one == other)
    if one == other or first.equals(second, ignore_axis_order=True):
        return True
    shifts = [_shift(crs) for crs in (first, second)]
    if None not in shifts and shifts[0] != shifts[1]:
        return False
    below = [_horizontal(crs) for crs in (first, second)]
    if shifts[0] != shifts[1] and any(_has_unnamed_datum(crs) for crs in below):
        return False
    return bool(below[0].equals(below[1], ignore_axis_order=True))


def _shift(crs: "pyproj.CRS") -> list[Any] | None:
    """Give the parameters of a bound CRS's shift to another datum; None where it states none."""
    while crs.is_compound:
        crs = crs.sub_crs_list[0]
    operation = crs.coordinate_operation if crs.is_bound else None
    return None if operation is None else list(operation.towgs84) or [one.value for one in operation.params]


def _has_unnamed_datum(crs: "pyproj.CRS") -> bool:
    return crs.datum is None or crs.datum.name.lower().startswith(UNNAMED_DATUMS)


@lru_cache(maxsize=64)
def _transformer(src: str, dst: str) -> "pyproj.Transformer | str":
    """Give a transformer, or why there is none; kept as it takes milliseconds, for each of a mosaic's parts."""
    import pyproj

    first, second = _parsed(src), _parsed(dst)
    for end in (first, second):
        if isinstance(end, str):
            return end
        if reason := _leads_nowhere(_horizontal(end)):
            return reason
    try:
        return pyproj.Transformer.from_crs(first, second, always_xy=True)
    except pyproj.exceptions.ProjError as error:
        if "celestial body" in str(error):
            return "they are of different planets or moons"
        return _one_line(error)


@lru_cache(maxsize=64)
def _body(text: str) -> Body | str:
    import pyproj

    found = _parsed(text)
    if isinstance(found, str):
        return found
    src = _horizontal(found)
    if reason := _leads_nowhere(src):
        return reason
    base = src.geodetic_crs
    if base is not None and base.type_name.startswith("Derived"):
        base = base.source_crs
    geod = None if base is None else base.get_geod()
    if base is None or base.is_geocentric or geod is None:
        return f"its type is {src.type_name}"
    try:
        to_base = pyproj.Transformer.from_crs(src, base, always_xy=True)
    except pyproj.exceptions.ProjError as error:
        return _one_line(error)
    return Body(map=src, base=base, to_base=to_base, geod=geod)


def _leads_nowhere(crs: "pyproj.CRS") -> str | None:
    """Say why a CRS without heights is no map of a body's surface; None if it is one."""
    if crs.is_engineering:
        return f"'{crs.name}' is a local system, which has no place on the Earth"
    if crs.is_geocentric or not (crs.is_projected or crs.is_geographic):
        return f"'{crs.name}' is no map, its type is {crs.type_name}"
    return None


def _horizontal(crs: "pyproj.CRS") -> "pyproj.CRS":
    """Strip a CRS of its heights and of its shift to another datum."""
    while crs.is_bound or crs.is_compound:
        crs = crs.source_crs if crs.is_bound and crs.source_crs else crs.sub_crs_list[0]
    return crs.to_2d() if len(crs.axis_info) == 3 and not crs.is_geocentric else crs


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()).rstrip(".")
