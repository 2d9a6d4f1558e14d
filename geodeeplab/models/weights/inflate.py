"""Fit a pretrained first convolution to other bands: by their names, or by repeating its filters."""

from collections.abc import Sequence

import torch
from torch import Tensor

from geodeeplab.errors import ModelError

RGB = ("red", "green", "blue")


def inflate_first_convolution(
    weight: Tensor, *, bands: int | Sequence[str], source_bands: Sequence[str] = RGB
) -> Tensor:
    """Give the weight (O, n, kh, kw) for n bands of a weight (O, S, kh, kw) trained on S bands.

    By name, a band keeps the filters of the source's band of that name, and any other gets the mean of the source's
    filters. By number, the source's filters are repeated in order; one band gets their sum (timm's rule). All are
    multiplied by S / n, so that activations keep their size. Laws, where a grey image is equal in all bands:

    * The source's own bands, or their number, give the weight itself; its bands in another order give its filters in
      that order.
    * By number, a grey image gives the source's activations when n is 1 or a multiple of S.
    * By name, it does when the n bands hold each of the source's once, or none of them; else the response is
      S / n · (the filters kept + as many means as there are other bands).

    Args:
        weight: of a convolution that reads the bands themselves.
        bands: names of the bands to read, or how many; names are compared without case, blanks, `-` and `_`.
        source_bands: names of the bands that `weight` reads; not used when `bands` is a number.

    Raises:
        ModelError: for no band at all, or names that are not one for each of the weight's bands.
    """
    channels = weight.shape[1]
    count = bands if isinstance(bands, int) else len(bands)
    if count < 1 or isinstance(bands, str):
        raise ModelError(f"bands are a number from 1 or a list of names, not {bands!r}: give e.g. ['red', 'nir']")
    filters = weight.float()  # half precision cannot sum
    if isinstance(bands, int):
        picked = _repeat(filters, bands)  # (O, n, kh, kw)
    else:
        picked = _pick(filters, [plain_name(name) for name in bands], _check_names(source_bands, channels))
    return (picked * (channels / count)).to(weight.dtype)


def plain_name(name: str) -> str:
    """Reduce a band's name to what its spellings share: "Red Edge" and "red_edge" are both "rededge"."""
    return "".join(char for char in name.casefold() if char not in " _-")


def _repeat(filters: Tensor, count: int) -> Tensor:
    """Give `count` bands the filters (O, S, kh, kw) in order, again and again; a single band the mean of all."""
    channels = filters.shape[1]
    if count == 1:
        return filters.mean(dim=1, keepdim=True)
    return filters[:, torch.arange(count) % channels]


def _pick(filters: Tensor, bands: Sequence[str], source_bands: Sequence[str]) -> Tensor:
    """Give each band the filters of its namesake, or the mean of all."""
    mean = filters.mean(dim=1)  # (O, kh, kw)
    named = dict(zip(source_bands, filters.unbind(1), strict=True))
    return torch.stack([named.get(band, mean) for band in bands], dim=1)


def _check_names(source_bands: Sequence[str], channels: int) -> list[str]:
    """Give the plain names of the source's bands, one for each of its channels."""
    names = [plain_name(name) for name in source_bands]
    if len(set(names)) != channels or len(names) != channels:
        raise ModelError(
            f"the first convolution of the weights reads {channels} bands, source_bands names {len(names)} "
            f"({', '.join(source_bands)}): name each of them once, in their order"
        )
    return names
