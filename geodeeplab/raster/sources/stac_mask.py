"""Masks that come with STAC items as assets: SCL, Fmask, QA_PIXEL."""

from geodeeplab.errors import SceneError
from geodeeplab.raster.sources.local_only import within_folder
from geodeeplab.raster.sources.mask import Mask
from geodeeplab.raster.sources.masked import MaskBand, open_mask, open_mask_file
from geodeeplab.raster.sources.source import Source
from geodeeplab.raster.sources.stac_item import StacBand, StacItem


def open_item_mask(item: StacItem, mask: Mask, source: Source) -> MaskBand:
    """Open a mask for a STAC item: an asset of it by its key, or by the name of a band, else whatever it is.

    Raises:
        SceneError: the item has no such asset, it cannot be opened, or has several bands.
    """
    if not mask.band_names:
        return open_mask(mask, source)
    band = _find(item, mask.band_names)
    if band is None:
        raise SceneError(
            f"mask '{mask.name}' is no file, and STAC item '{item.path}' has no asset {' or '.join(mask.band_names)}, "
            f"its assets are {item.describe()}: name one with its values, such as scl:3,8,9,10, or give a raster"
        )
    with within_folder(item.folder):
        return open_mask_file(mask, band.href, number=band.number, nodata=band.nodata)


def _find(item: StacItem, names: tuple[str, ...]) -> StacBand | None:
    wanted = [name.casefold() for name in names]
    for name in wanted:
        for found in (
            [band for band in item.bands if band.key.casefold() == name and band.count <= 1],
            [band for band in item.bands if (band.name or "").casefold() == name],
        ):
            if found:
                return found[0]
    return None
