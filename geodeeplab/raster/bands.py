"""The bands of a raster, and how they are found by name or number."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from geodeeplab.errors import OptionError, SceneError

# Other spellings of the names that GDAL's colour interpretation and STAC's `common_name` give. No sensor's own band
# names: "B4" is red for one satellite and near infrared for another.
COMMON_NAMES = {
    "r": "red",
    "g": "green",
    "b": "blue",
    "grey": "gray",
    "nearinfrared": "nir",
    "coastalaerosol": "coastal",
    "panchromatic": "pan",
    "swir1": "swir16",
    "swir2": "swir22",
}
SPECTRAL = {"nir", "nir08", "nir09", "rededge", "swir", "swir16", "swir22", "thermal", "lwir", "pan"}
"""Names of bands that are measured, beside the colours, as `common_name` gives them."""
NAMELESS = {"", "undefined", "gray"}  # the first band of several is often "gray" for want of anything better


@dataclass(frozen=True, kw_only=True)
class Band:
    """One band of a raster as the file describes it."""

    number: int
    """1-based, as on disk."""
    name: str
    """The description if it has one, else the colour interpretation if it says something, else the number."""
    dtype: np.dtype[Any]
    """Type of the pixels on disk; never complex."""
    scale: float
    """Physical value = pixel x scale + offset; reads give the pixels as they are."""
    offset: float
    """See scale."""
    nodata: float | None
    """The value that marks pixels without data, as the file states it, even where the type cannot hold it."""
    colorinterp: str
    """GDAL's colour interpretation in lower case: "red", "alpha", "palette", "undefined", ..."""
    was_alpha: bool = False
    """True where the file calls the band alpha, and its pixels show that it is data: `colorinterp` is "undefined"."""

    @property
    def is_alpha(self) -> bool:
        """True when the band says how opaque a pixel is rather than what was measured."""
        return self.colorinterp == "alpha"


def band_name(number: int, *, description: str | None, colorinterp: str, is_only_band: bool) -> str:
    """Name a band: description, else colour interpretation ("gray" only where there is no other band), else number."""
    if description and description.strip():
        return description.strip()
    if is_only_band and colorinterp == "gray":
        return colorinterp
    return str(number) if colorinterp in NAMELESS else colorinterp


def describe_bands(bands: Iterable[Band]) -> str:
    """List bands for a message: `1 (red), 2 (green), 3`."""
    return ", ".join(f"{b.number} ({b.name})" if b.name != str(b.number) else str(b.number) for b in bands)


def describe_left_out(bands: Iterable[Band]) -> str:
    """Say which of the bands are alpha and so left out, to follow a list of the others: ` (+ alpha, left out)`."""
    names = [
        "alpha" if band.name.casefold() == "alpha" else f"'{band.name}', band {band.number}, alpha"
        for band in bands
        if band.is_alpha
    ]
    return f" (+ {', '.join(names)}, left out)" if names else ""


def find_bands(bands: Sequence[Band], wanted: Sequence[str | int], *, path: str) -> tuple[Band, ...]:
    """Find bands by name before number, case-insensitive, in the order wanted; a band may be wanted twice.

    A string is a name first (description, then colour interpretation, then either of them under another spelling)
    and a 1-based number after that; an integer is always a number.

    Raises:
        SceneError: a name or number is not there, or a name is borne by several bands.
        OptionError: nothing is wanted, or a single string is.
    """
    if isinstance(wanted, str) or not wanted:
        raise OptionError(f"bands are a list of names or 1-based numbers, got {wanted!r}: give e.g. ['red', 'nir', 3]")
    return tuple(_find_band(bands, one, path=path) for one in wanted)


def _find_band(bands: Sequence[Band], wanted: str | int, *, path: str) -> Band:
    if isinstance(wanted, str):
        for candidates in _candidates(bands, wanted):
            if len(candidates) > 1:
                raise SceneError(
                    f"scene '{path}' has more than one band '{wanted}': choose by number among {describe_bands(bands)}"
                )
            if candidates:
                return candidates[0]
    text = str(wanted).strip()
    number = int(text) if text.isdecimal() else 0
    if 1 <= number <= len(bands):
        return bands[number - 1]
    there = f"it has {len(bands)} band{'s' if len(bands) > 1 else ''}: {describe_bands(bands)}"
    raise SceneError(f"scene '{path}' has no band '{wanted}', {there}; choose among them by name or number")


def _candidates(bands: Sequence[Band], wanted: str) -> Iterable[list[Band]]:
    """Yield the bands that answer to a name, by one way of answering after the other."""
    exact, common = wanted.strip().casefold(), common_name(wanted)
    yield [b for b in bands if b.name.casefold() == exact]
    yield [b for b in bands if b.colorinterp == exact and exact not in NAMELESS]
    yield [b for b in bands if common_name(b.name) == common]
    yield [b for b in bands if b.colorinterp == common and common not in NAMELESS]
    yield [b for b in bands if b.was_alpha and common == "alpha"]


def is_spectral(name: str | None) -> bool:
    """Tell whether a band's name says that it is measured, such as "nir", whatever its colour interpretation says."""
    return common_name(name or "") in SPECTRAL


def common_name(name: str) -> str:
    """Reduce a name to what its spellings share: "Near Infrared", "near_infrared" and "NIR" are all "nir"."""
    plain = "".join(ch for ch in name.casefold() if ch not in " _-")
    return COMMON_NAMES.get(plain, plain)
