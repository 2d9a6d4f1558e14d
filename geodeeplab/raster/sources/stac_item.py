"""What the JSON of a STAC item says of its rasters, by the specifications.

STAC 1.0 with the extensions `eo` 1 (`eo:bands`) and `raster` 1 (`raster:bands`), and STAC 1.1 (`bands`, with `eo` 2 and
`raster` 2), see https://github.com/radiantearth/stac-spec and https://stac-extensions.github.io.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from os import PathLike, fspath
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

from geodeeplab.errors import SceneError
from geodeeplab.raster.sources.local_only import check_document
from geodeeplab.raster.sources.remote import check_name, gdal_path, is_remote, public_name
from geodeeplab.text import parse_json, read_json

SUFFIXES = (".json", ".geojson")
TIMEOUT_S = 60

# Assets that were rendered from the data, by role or, in catalogues without roles, by key.
PICTURES = {"visual", "overview", "thumbnail", "rendered_preview", "preview"}
OTHER_ROLES = {"metadata", "mask", "cloud", "cloud-shadow", "snow-ice", "water-mask", "saturation", "quality"}

# Items of the Earth Search catalogue state the offset of Sentinel-2 even where it has been added to the pixels.
OFFSET_APPLIED = ("earthsearch:boa_offset_applied", "sentinel:boa_offset_applied")


@dataclass(frozen=True, kw_only=True)
class StacBand:
    """One band of an asset, or an asset whose bands are not described."""

    key: str
    """Of the asset."""
    href: str
    """Where the asset is: a path or URL, resolved."""
    number: int | None
    """1-based, in the asset; None where the item does not describe bands."""
    count: int
    """How many bands of the asset the item describes."""
    common_name: str | None
    """"red", "nir", ... of the `eo` extension."""
    name: str | None
    """The sensor's own name: "B04"."""
    scale: float | None
    """Physical value = pixel x scale + offset; None where the item does not say."""
    offset: float | None
    """See scale."""
    nodata: float | None
    """Value of pixels without data; None where the item does not say."""
    is_data: bool
    """True where the asset is measured pixels, by its role, or its type where no asset has such a role."""
    is_picture: bool
    """True for a picture made of the data."""


@dataclass(frozen=True, kw_only=True)
class StacItem:
    """A STAC item with the bands of its raster assets."""

    path: str
    """How messages name it: its file or URL, with the id where several share one."""
    id: str
    """Its id."""
    bands: tuple[StacBand, ...]
    """In the order of the JSON."""
    folder: Path | None = None
    """Folder that its assets have to lie in; None: anywhere."""

    def describe(self) -> str:
        """List the assets with their common names for a message: `B04 (red), visual (red, green, blue), SCL`."""
        names: dict[str, list[str]] = {}
        for band in self.bands:
            names.setdefault(band.key, []).extend(filter(None, [band.common_name or band.name]))
        return ", ".join(f"{key} ({', '.join(bands)})" if bands else key for key, bands in names.items()) or "none"


def is_stac(path: str | PathLike[str]) -> bool:
    """Tell whether a path or URL is taken for a STAC item or item collection: by its suffix, .json or .geojson."""
    name = fspath(path)
    plain = urlsplit(name).path if "://" in name else name
    return plain.lower().endswith(SUFFIXES)


def read_stac(document: str | PathLike[str] | Mapping[str, Any]) -> list[StacItem]:
    """Read a STAC item, or all of an item collection in its order; no asset is opened.

    Args:
        document: a file or http(s) URL of the JSON, or the JSON as Python reads it. Relative hrefs are relative to the
            file or URL, or to the `self` link if there is none.

    Raises:
        SceneError: it cannot be read, is no STAC item or collection of at least one, is one page of several, or an
            asset has no place.
    """
    base = None if isinstance(document, Mapping) else fspath(document)
    folder = check_document(base)
    content = document if isinstance(document, Mapping) else load_document(fspath(document))
    name = "the STAC document" if base is None else public_name(base)
    kind = content.get("type") if isinstance(content, Mapping) else None
    if kind == "Feature":
        return [_item(content, base, path=name if base else str(content.get("id", name)), folder=folder)]
    features = content.get("features") if kind == "FeatureCollection" else None
    if not isinstance(features, list) or not features:
        raise SceneError(
            f"'{name}' is no STAC item and no collection of items (type {kind!r}): give an item, or a "
            "FeatureCollection of at least one"
        )
    if any(link.get("rel") == "next" for link in mappings_in(content.get("links"))):
        raise SceneError(f"'{name}' is one page of a longer list of STAC items: put all items into one collection")
    return [
        _item(item, base, path=f"{name}#{item.get('id', n)}", folder=folder)
        for n, item in enumerate(mappings_in(features))
    ]


def load_document(path: str) -> Any:  # noqa: ANN401 - any JSON
    """Read a JSON document from a file or URL."""
    step = "give a STAC item"
    if not is_remote(path):
        return read_json(gdal_path(path), object, error=SceneError, step=step)
    from http.client import HTTPException  # loaded here, as few scenes are items on the web
    from urllib.request import Request, urlopen

    try:
        if not path.lower().startswith(("http://", "https://")):
            raise SceneError(f"STAC item '{path}' can be read from disk or by http(s) only: copy it here first")
        accept = {"Accept": "application/geo+json, application/json", "User-Agent": "geodeeplab"}
        with urlopen(Request(path, headers=accept), timeout=TIMEOUT_S) as answer:
            return parse_json(answer.read())
    except (OSError, HTTPException) as error:
        raise SceneError(
            f"STAC item '{public_name(path)}' cannot be read ({error}): check the path or address"
        ) from None
    except ValueError as error:
        if isinstance(error, SceneError):
            raise
        raise SceneError(f"'{public_name(path)}' is no JSON that can be read ({error}): {step}") from error


def _item(content: Mapping[str, Any], base: str | None, *, path: str, folder: Path | None) -> StacItem:
    assets = content.get("assets")
    if content.get("type") != "Feature" or not isinstance(assets, Mapping):
        raise SceneError(f"'{path}' is no STAC item, it has no assets: give an item")
    own = [link.get("href") for link in mappings_in(content.get("links")) if link.get("rel") == "self"]
    base = base or next((href for href in own if isinstance(href, str)), None)
    properties = content.get("properties")
    properties = properties if isinstance(properties, Mapping) else {}
    rasters = {key: asset for key, asset in assets.items() if isinstance(asset, Mapping) and _is_raster(asset)}
    has_roles = any("data" in _roles(asset) for asset in rasters.values())
    bands = []
    for key, asset in rasters.items():
        href = asset.get("href")
        if not isinstance(href, str):
            raise SceneError(f"asset '{key}' of STAC item '{path}' has no href: correct the item")
        roles = _roles(asset)
        is_data = "data" in roles if has_roles else not roles & OTHER_ROLES
        is_picture = bool((roles | {key.lower()}) & PICTURES)
        for found in _asset_bands(asset, properties, where=f"asset '{key}' of STAC item '{path}'"):
            place = _resolve(href, base, where=f"asset '{key}' of STAC item '{path}'")
            bands.append(StacBand(key=key, href=place, is_data=is_data, is_picture=is_picture, **found))
    return StacItem(path=path, id=str(content.get("id", "")), bands=tuple(bands), folder=folder)


def _asset_bands(asset: Mapping[str, Any], properties: Mapping[str, Any], *, where: str) -> list[dict[str, Any]]:
    """Give what is known of each band of an asset; of one without a number where none is described."""
    eo, raster = mappings_in(asset.get("eo:bands")), mappings_in(asset.get("raster:bands"))
    if eo and raster and len(eo) != len(raster):
        raise SceneError(f"{where} has {len(eo)} eo:bands but {len(raster)} raster:bands: correct the item")
    bands = mappings_in(asset.get("bands")) or ([{}] if "eo:common_name" in asset else [])
    count = len(bands or eo or raster)
    is_applied = any(properties.get(key) is True for key in OFFSET_APPLIED)
    found = []
    for index in range(max(count, 1)):
        if bands:  # STAC 1.1: what a band does not say, its asset or its item may
            levels = (bands[index], asset, properties)
            names = bands[index].get("eo:common_name", asset.get("eo:common_name")), bands[index].get("name")
            values = [_inherited(levels, key) for key in ("raster:scale", "raster:offset", "nodata")]
        else:
            one, numbers = eo[index] if eo else {}, raster[index] if raster else {}
            names = one.get("common_name"), one.get("name")
            values = [numbers.get(key) for key in ("scale", "offset", "nodata")]
        scale, offset, nodata = (_number(value, where=where) for value in values)
        found.append(
            {
                "number": index + 1 if count else None,
                "count": count,
                "common_name": _text(names[0]),
                "name": _text(names[1]),
                "scale": scale,
                "offset": 0.0 if is_applied and offset is not None else offset,
                "nodata": nodata,
            }
        )
    return found


def _is_raster(asset: Mapping[str, Any]) -> bool:
    """Tell whether an asset may be a raster: by its media type, else by its bands or role."""
    media = asset.get("type")
    if isinstance(media, str):
        return media.lower().startswith(("image/", "application/x-hdf", "application/netcdf", "application/x-netcdf"))
    return any(key in asset for key in ("eo:bands", "raster:bands", "bands")) or "data" in _roles(asset)


def _resolve(href: str, base: str | None, *, where: str) -> str:
    """Give the place of an asset: an href that is relative is so to the item's file or URL."""
    check_name(href)
    if "://" in href or href.startswith("/vsi") or Path(href).is_absolute():
        return href
    if base is None:
        raise SceneError(
            f"{where} has the relative href '{href}' and no file that it is relative to: give the item's path"
        )
    if is_remote(base):
        return urljoin(base, href)
    return str((Path(gdal_path(base)).parent / href).resolve())


def _inherited(levels: tuple[Mapping[str, Any], ...], key: str) -> Any:  # noqa: ANN401 - checked by whoever asks
    return next((level[key] for level in levels if level.get(key) is not None), None)


def _number(value: Any, *, where: str) -> float | None:  # noqa: ANN401 - checked here
    """Read a number, or one of the words that stand for what JSON has no number for."""
    if value is None:
        return None
    if isinstance(value, int | float) and not isinstance(value, bool):
        try:
            return float(value)
        except OverflowError:  # an integer of more than 308 digits
            return math.inf if value > 0 else -math.inf
    if value in ("nan", "inf", "-inf"):
        return math.nan if value == "nan" else math.inf if value == "inf" else -math.inf
    raise SceneError(f"{where} states {value!r} where a number belongs (scale, offset or nodata): correct the item")


def _text(value: Any) -> str | None:  # noqa: ANN401 - checked here
    return value if isinstance(value, str) and value.strip() else None


def _roles(asset: Mapping[str, Any]) -> set[str]:
    roles = asset.get("roles")
    return {str(role).lower() for role in roles} if isinstance(roles, list) else set()


def mappings_in(value: Any) -> list[Mapping[str, Any]]:  # noqa: ANN401 - checked here
    """Give the objects of a JSON list; none if it is no list."""
    return [one for one in value if isinstance(one, Mapping)] if isinstance(value, list) else []
