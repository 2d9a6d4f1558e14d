"""Masks of users, as of clouds: which raster it is, and which of its values hide a pixel."""

import hashlib
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike
from typing import TYPE_CHECKING, Any, TypeAlias, Union

import numpy as np
import numpy.typing as npt

from geodeeplab.errors import OptionError, SceneError

if TYPE_CHECKING:
    import xarray as xr

OneMask: TypeAlias = Union[str, PathLike[str], np.ndarray, "xr.DataArray", "Mask"]
MaskLike: TypeAlias = OneMask | Sequence[OneMask]
"""What `to_masks` takes."""

MOST_BITS = 64
_COUNTING = re.compile(r"(?P<raster>.*):(?P<counting>\s*(?:-?\d+|bit\d+)\s*(?:,\s*(?:-?\d+|bit\d+)\s*)*)", re.DOTALL)
_PLACES = ("{name}", "{folder}")


@dataclass(frozen=True, kw_only=True)
class _Preset:
    """The mask that comes with the scenes of a mission."""

    names: tuple[str, ...]
    """What catalogues call its asset; the first that is there."""
    values: tuple[int, ...] = ()
    """See `Mask`."""
    bits: tuple[int, ...] = ()
    """See `Mask`."""


PRESETS = {
    # Clouds of medium and high probability, thin cirrus, and cloud shadows of the Scene Classification Layer, see
    # https://sentiwiki.copernicus.eu/web/s2-processing
    "sentinel-2": _Preset(names=("scl", "scl_20m"), values=(3, 8, 9, 10)),
    # Dilated clouds, cirrus, clouds and cloud shadows of Collection 2, see
    # https://www.usgs.gov/landsat-missions/landsat-collection-2-quality-assessment-bands
    "landsat": _Preset(names=("qa_pixel",), bits=(1, 2, 3, 4)),
    # Clouds, what is adjacent to clouds and shadows, and cloud shadows, see the HLS user guide, table 9
    "hls": _Preset(names=("fmask",), bits=(1, 2, 3)),
}
"""Masks by the name of a mission: clouds and their shadows; snow stays."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Mask:
    """A raster of one band, and which of its values hide a pixel.

    Without `values` and `bits` every value but 0 does. A pixel of nodata hides nothing, unless its value is among
    `values`; nor does what the raster does not reach.
    """

    raster: Any
    """A path or URL, in which `{name}` and `{folder}` stand for each scene's own; the name of a band or an asset of the
    scene, or of a preset; an array (H, W) on the scene's grid, or a DataArray."""
    values: tuple[int, ...] = ()
    """Values that hide a pixel."""
    bits: tuple[int, ...] = ()
    """Bits, from 0 for the lowest; a pixel is hidden where any of them is set."""

    def __post_init__(self) -> None:
        """Check the bits.

        Raises:
            OptionError: one is not within 64 bits.
        """
        if any(not 0 <= bit < MOST_BITS for bit in self.bits):
            raise OptionError(f"the bits of a mask are 0 to {MOST_BITS - 1}, not {max(self.bits)}: count from 0")

    def __str__(self) -> str:
        """Give how messages name it, and users write it."""
        counting = [*map(str, self.values), *(f"bit{bit}" for bit in self.bits)]
        return ":".join([self.name, *([",".join(counting)] if counting else [])])

    @property
    def name(self) -> str:
        """How messages name its raster."""
        is_path = isinstance(self.raster, str | PathLike)
        return str(os.fspath(self.raster)) if is_path else f"array of {' x '.join(map(str, self.raster.shape))}"

    @property
    def band_names(self) -> tuple[str, ...]:
        """What a band or an asset of the scene may be called; none where the mask is a raster of its own."""
        if not isinstance(self.raster, str):
            return ()
        if self.raster.casefold() in PRESETS:
            return PRESETS[self.raster.casefold()].names
        is_path = re.search(r"[/\\]|://", self.raster) or os.path.exists(self.raster) or self.has_places
        return () if is_path else (self.raster,)

    @property
    def has_places(self) -> bool:
        """True where `{name}` or `{folder}` stands for a scene's own."""
        return isinstance(self.raster, str) and any(place in self.raster for place in _PLACES)

    @property
    def is_of_each_scene(self) -> bool:
        """True where each scene of a mosaic has a mask of its own."""
        return self.has_places or bool(self.band_names)

    @property
    def facts(self) -> dict[str, Any]:
        """What tells it from others, ready for JSON; a file is told by its name, its size and its time."""
        is_path = isinstance(self.raster, str | PathLike)
        raster = os.path.basename(self.name) if is_path else _digest(self.raster)
        return {"raster": raster, "values": list(self.values), "bits": list(self.bits)}

    def hides(
        self,
        array: npt.NDArray[Any],
        there: npt.NDArray[np.bool_],
        nodata: tuple[Any, Any] | None,
    ) -> npt.NDArray[np.bool_]:
        """Tell which pixels are hidden: (H, W), True where they are.

        Args:
            array: values of the mask (H, W).
            there: (H, W), True where the mask has a value.
            nodata: lowest and highest value that is nodata, see `nodata_range`.
        """
        hidden = np.isin(array, self.values) if self.values else np.zeros(array.shape, dtype=np.bool_)
        if self.bits or not self.values:
            others = array & self._bit_mask(array.dtype) if self.bits else array
            counts = (others != 0) & (array == array)  # NaN is no value
            if nodata is not None:
                counts &= ~((nodata[0] <= array) & (array <= nodata[1]))
            hidden |= counts
        hidden &= there
        return hidden

    def check_dtype(self, dtype: np.dtype[Any], *, path: str) -> None:
        """Refuse bits that numbers of a type do not have.

        Raises:
            SceneError: they do not have them.
        """
        if self.bits and (dtype.kind not in "iu" or max(self.bits) >= 8 * dtype.itemsize):
            raise SceneError(f"mask '{path}' holds {dtype}, which has no bit {max(self.bits)}: name its values instead")

    def _bit_mask(self, dtype: np.dtype[Any]) -> Any:  # noqa: ANN401 - a number of that type
        chosen = sum(1 << bit for bit in set(self.bits))
        return np.array(chosen, dtype=np.uint64).astype(dtype)[()]


def to_masks(mask: MaskLike | None) -> tuple[Mask, ...]:
    """Make masks of what a caller has; what any of several hides is hidden.

    Args:
        mask: `clouds.tif`, `clouds.tif:1,2`, `qa_pixel:bit3,bit4` (see `Mask`); the name of a preset, whose values may
            be replaced in the same way; an array or DataArray, where True or what is not 0 hides a pixel; or a list of
            these.

    Raises:
        OptionError: it is none of these.
    """
    if mask is None:
        return ()
    if isinstance(mask, Sequence) and not isinstance(mask, str):
        return tuple(one for each in mask for one in to_masks(each))
    if isinstance(mask, Mask):
        return (mask,)
    if isinstance(mask, str | PathLike):
        return (_parse(str(os.fspath(mask))),)
    if len(getattr(mask, "shape", ())) not in (2, 3) or not hasattr(mask, "astype"):
        raise OptionError(
            f"a mask is a raster's path, the name of a band, or an array (H, W), not {type(mask).__name__}: give one"
        )
    return (Mask(raster=mask),)


def mask_rasters(mask: MaskLike | None) -> list[Any]:
    """List the rasters of masks: paths, names and arrays, see `Mask`."""
    return [one.raster for one in to_masks(mask)]


def _parse(text: str) -> Mask:
    """Read `RASTER`, `RASTER:1,2` or `RASTER:bit3`."""
    found = _COUNTING.fullmatch(text)
    raster, counting = (text, "") if found is None else (found["raster"], found["counting"])
    words = [word.strip() for word in counting.split(",") if word.strip()]
    values = tuple(int(word) for word in words if not word.startswith("bit"))
    bits = tuple(int(word.removeprefix("bit")) for word in words if word.startswith("bit"))
    if not raster.strip():
        raise OptionError(f"a mask begins with a raster or the name of a band, got {text!r}: give one")
    preset = PRESETS.get(raster.casefold())
    if preset is not None and not words:
        values, bits = preset.values, preset.bits
    return Mask(raster=raster, values=values, bits=bits)


def _digest(array: Any) -> str:  # noqa: ANN401 - an array or DataArray
    """Tell an array by its content, one that is not in memory by its shape."""
    held = getattr(array, "data", None) if hasattr(array, "dims") else array
    if not isinstance(held, np.ndarray):
        return f"array {tuple(array.shape)}"
    content = hashlib.sha256(np.ascontiguousarray(held).tobytes()).hexdigest()
    return f"array {held.dtype} {held.shape} {content}"
