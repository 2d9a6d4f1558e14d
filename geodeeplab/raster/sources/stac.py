"""STAC items as scenes: bands found by common name; scale, offset and nodata as the item states them."""

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from os import PathLike
from typing import Any

from geodeeplab.errors import SceneError
from geodeeplab.raster.bands import Band, common_name, describe_bands, find_bands
from geodeeplab.raster.sources.local_only import within_folder
from geodeeplab.raster.sources.mask import Mask
from geodeeplab.raster.sources.masked import masked_member
from geodeeplab.raster.sources.members import Member, lazy_member
from geodeeplab.raster.sources.source import Source
from geodeeplab.raster.sources.stac_item import StacBand, StacItem, is_stac, read_stac
from geodeeplab.raster.sources.stac_mask import open_item_mask
from geodeeplab.raster.sources.stacked import StackedBand, StackedSource, open_part, stacked_band

__all__ = ["is_stac", "open_item", "open_stac", "read_stac", "stac_parts"]

Wanted = Sequence[str | int] | None


def open_stac(document: str | PathLike[str] | Mapping[str, Any], *, bands: Wanted = None) -> StackedSource:
    """Open a STAC item, or a collection of one, as one source; see `open_item` for what is opened.

    Args:
        document: a file or URL of the JSON, or the JSON as Python reads it.
        bands: see `open_item`.

    Raises:
        SceneError: see `read_stac` and `open_item`; or there are several items.
    """
    items = read_stac(document)
    if len(items) > 1:
        raise SceneError(f"'{items[0].path}' is one of {len(items)} STAC items: join them as a mosaic, or give one")
    return open_item(items[0], bands=bands)


def stac_parts(
    document: str | PathLike[str] | Mapping[str, Any], *, bands: Wanted = None, masks: Sequence[Mask] = ()
) -> list[Member]:
    """Give the items of a STAC item or item collection as parts of a mosaic, in their order; see `open_stac`.

    Args:
        document: see `open_stac`.
        bands: see `open_item`.
        masks: of each item, see `open_item_mask`.
    """
    return [
        masked_member(
            lazy_member(partial(open_item, item, bands=bands)), [partial(open_item_mask, item, one) for one in masks]
        )
        for item in read_stac(document)
    ]


def open_item(item: StacItem, *, bands: Wanted = None) -> StackedSource:
    """Open those assets of a STAC item that are needed, as a stack of bands.

    A name is looked for among the common names of the bands, then their names, then the keys of the assets; in the
    file itself if the item has only one data asset and does not describe its bands. Where several bands answer, a
    picture made of the data (roles `visual`, `overview`, `thumbnail`) gives way, then all that are not also named so
    by key or name. A band is called what it was wanted as, so it can be found under that name.

    Scale, offset and nodata are the item's where it states them, else the file's. An offset that an item of the
    Earth Search catalogue says is in the pixels already (`earthsearch:boa_offset_applied`) is not stated again.

    Args:
        item: one of what `read_stac` gives.
        bands: names, in the order of the stack; default, and where there is a number among them, all bands of the
            data assets in the item's order, by which numbers count.

    Raises:
        SceneError: a name is not there or borne by several bands, an asset cannot be opened or is not what the item
            says, or the assets do not lie on one grid (see `StackedSource`).
    """
    if bands is None or not all(isinstance(one, str) and not one.strip().isdecimal() for one in bands):
        chosen = _named([band for band in item.bands if band.is_data and not band.is_picture])
    else:
        chosen = [(str(name), _find(item, str(name))) for name in dict.fromkeys(bands)]
    if not chosen:
        raise SceneError(f"STAC item '{item.path}' has no asset with data, only {item.describe()}: name an asset")
    opened: dict[str, tuple[Source, tuple[Band, ...]]] = {}
    stack: list[StackedBand] = []
    try:
        for name, band in chosen:
            if band.href not in opened:
                with within_folder(item.folder):
                    opened[band.href] = open_part(band.href, measured=_described(item, band.href))
            stack += _stacked(item, band, name, *opened[band.href], is_wanted=bands is not None)
        return StackedSource(stack, path=item.path)
    except BaseException:
        for source, _ in opened.values():
            source.close()
        raise


def _described(item: StacItem, href: str) -> frozenset[int] | None:
    """Give the numbers of the bands of an asset that the item names as something other than alpha; None of no names."""
    named = [(band.number, band.common_name or band.name) for band in item.bands if band.href == href]
    numbers = [number for number, name in named if number is not None and name and common_name(name) != "alpha"]
    return frozenset(numbers) or None


def _find(item: StacItem, wanted: str) -> StacBand:
    """Find the band of an item that answers to a name."""
    exact, plain = wanted.strip().casefold(), common_name(wanted)
    ways = (
        [band for band in item.bands if band.common_name and common_name(band.common_name) == plain],
        [band for band in item.bands if band.name and band.name.casefold() == exact],
        [band for band in item.bands if band.key.casefold() == exact],
    )
    found = next((way for way in ways if way), [])
    found = [band for band in found if not band.is_picture] or found
    found = [band for band in found if exact in (band.key.casefold(), (band.name or "").casefold())] or found
    if len(found) == 1:
        return found[0]
    if found:
        keys = ", ".join(f"{band.key} ({band.name})" if band.name else band.key for band in found)
        raise SceneError(f"STAC item '{item.path}' has more than one band '{wanted}': name the asset among {keys}")
    data = [band for band in item.bands if band.is_data and not band.is_picture]
    if len(data) == 1 and data[0].number is None:
        return data[0]  # its file may know the name
    raise SceneError(
        f"STAC item '{item.path}' has no band '{wanted}', its assets are {item.describe()}; choose among them by "
        "common name, band name or key"
    )


def _named(bands: Sequence[StacBand]) -> list[tuple[str | None, StacBand]]:
    """Name bands by the first that no other bears: common name, name, key of the asset; None for what the file says."""
    common, names = Counter(band.common_name for band in bands), Counter(band.name for band in bands)
    keys = Counter(band.key for band in bands)
    named: list[tuple[str | None, StacBand]] = []
    for band in bands:
        candidates = ((band.common_name, common), (band.name, names), (band.key, keys))
        unique = [name for name, count in candidates if name and count[name] == 1]
        named.append((unique[0] if unique and band.number is not None else None, band))
    return named


def _stacked(
    item: StacItem, band: StacBand, name: str | None, source: Source, own: Sequence[Band], *, is_wanted: bool
) -> list[StackedBand]:
    """Give the bands of an opened asset that a band of the item stands for: one, or all if it does not describe any."""
    data = [one for one in own if not one.is_alpha]
    if band.number is not None:
        if band.count not in (len(own), len(data)):
            raise SceneError(
                f"STAC item '{item.path}' says that asset '{band.key}' has {band.count} bands, '{source.path}' has "
                f"{describe_bands(own)}: correct the item"
            )
        found = [own[band.number - 1]]
    elif name is None or not is_wanted:
        found = data
    elif name.strip().casefold() != band.key.casefold():
        found = list(find_bands(own, [name], path=source.path))
    elif len(data) == 1:
        found = data
    else:
        raise SceneError(
            f"asset '{band.key}' of STAC item '{item.path}' has {len(data)} bands ({describe_bands(data)}): name one"
        )
    return [
        stacked_band(
            source,
            one,
            name=name if name is not None and len(found) == 1 else _file_name(one, band, len(found)),
            scale=band.scale,
            offset=band.offset,
            nodata=band.nodata,
        )
        for one in found
    ]


def _file_name(own: Band, band: StacBand, count: int) -> str:
    """Name a band that the item does not describe: as its file does, after the asset if that says nothing."""
    if own.name not in (str(own.number), "gray"):
        return own.name
    return band.key if count == 1 else f"{band.key}_{own.number}"
