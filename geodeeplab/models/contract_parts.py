"""Classes and bands, of which an input contract has lists: what they state, and that it is what a model can have."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from geodeeplab.errors import ModelError
from geodeeplab.models.checks import (
    check_flag,
    check_mapping,
    check_name,
    check_number,
    is_finite,
    refuse_unknown,
    shown,
)
from geodeeplab.text import is_plain


@dataclass(frozen=True, kw_only=True)
class ModelClass:
    """One class that a model tells apart."""

    id: int
    """Value in the label raster, 1 to 255; 0 is nodata."""
    name: str
    """Its name in every output."""
    color: tuple[int, int, int]
    """Red, green, blue, 0 to 255."""

    def __post_init__(self) -> None:
        """Check the name.

        Raises:
            ModelError: some file of an output could not hold it.
        """
        if not is_plain(str(self.name)):
            raise ModelError(f"names of classes have no control characters, but {self.name!r} has: name it anew")


@dataclass(frozen=True, kw_only=True)
class ModelBand:
    """One band that a model reads."""

    name: str
    """The band's common name, such as `red` or `nir`."""
    mean: float
    """Mean over the training pixels, in the units of `Contract.value_range`."""
    std: float
    """Standard deviation, likewise; above 0."""
    scale: float = 1.0
    """Physical value = pixel × scale + offset in the training scenes; 1 and 0 where they stated neither."""
    offset: float = 0.0
    """See scale."""
    is_optional: bool = False
    """Whether a scene may lack the band, with all the others that are optional: the network then reads their means, as
    it did in a share of its training."""

    @property
    def is_scaled(self) -> bool:
        """True where the training scenes stated how their numbers become physical values."""
        return (self.scale, self.offset) != (1.0, 0.0)


def listed(value: object, what: str) -> list[Any]:
    """Give a list of a contract.

    Raises:
        TypeError: if it is none.
    """
    if not isinstance(value, list | tuple):
        raise TypeError(f"{what} is a list, not {shown(value)}")
    return list(value)


def read_class(values: object) -> ModelClass:
    """Make a class of plain values.

    Raises:
        KeyError: if one is missing.
        TypeError: if they are of another kind.
        ModelError: if a key is unknown, or the name cannot be written.
    """
    if isinstance(values, ModelClass):
        return values
    check_mapping(values, "a class")
    assert isinstance(values, Mapping)
    refuse_unknown(values, "a class", ("id", "name", "color"))
    return ModelClass(id=values["id"], name=values["name"], color=tuple(listed(values["color"], "a colour")))


def read_band(values: object) -> ModelBand:
    """Make a band of plain values.

    Raises:
        KeyError: if one is missing.
        TypeError: if they are of another kind.
        ModelError: if a key is unknown.
    """
    if isinstance(values, ModelBand):
        return values
    check_mapping(values, "a band")
    assert isinstance(values, Mapping)
    refuse_unknown(values, "a band", [item.name for item in dataclasses.fields(ModelBand)])
    missing = [key for key in ("name", "mean", "std") if key not in values]
    if missing:
        raise KeyError(missing[0])
    return ModelBand(**values)


def check_class_types(item: ModelClass) -> None:
    """Check that name, id and colour are of their types.

    Raises:
        TypeError: if one is not.
        ModelError: for a name that files cannot hold.
    """
    check_name(item.name, "a class's name")
    if isinstance(item.id, bool) or not isinstance(item.id, int):
        raise TypeError(f"the id of class '{item.name}' is a whole number, not {shown(item.id)}")
    if not isinstance(item.color, list | tuple):
        raise TypeError(f"the colour of class '{item.name}' is red, green, blue, not {shown(item.color)}")


def check_band_types(band: ModelBand) -> None:
    """Check that name and numbers are of their types.

    Raises:
        TypeError: if one is not.
        ModelError: for a name that files cannot hold.
    """
    check_name(band.name, "a band's name")
    for key in ("mean", "std", "scale", "offset"):
        check_number(getattr(band, key), f"{key} of band '{band.name}'")
    check_flag(band.is_optional, f"is_optional of band '{band.name}'")


def check_color(item: ModelClass) -> None:
    """Check a colour.

    Raises:
        ModelError: if it is not three whole numbers from 0 to 255.
    """
    if len(item.color) != 3 or not all(_is_color_part(part) for part in item.color):
        raise ModelError(f"a colour is red, green, blue from 0 to 255, not {shown(item.color)} as of '{item.name}'")


def check_band_values(band: ModelBand) -> None:
    """Check the numbers that pixels are computed with.

    Raises:
        ModelError: if one is not finite, or pixels cannot be divided by it.
    """
    if not all(is_finite(value) for value in (band.mean, band.std, band.scale, band.offset)):
        raise ModelError(f"mean, std, scale and offset of band '{band.name}' are finite numbers: correct them")
    if np.float32(band.std) <= 0 or band.scale == 0:
        raise ModelError(
            "the standard deviation of every band is above 0 and its scale is not 0, "
            f"not {band.std:g} and {band.scale:g} as of band '{band.name}'"
        )


def _is_color_part(part: object) -> bool:
    return isinstance(part, int) and not isinstance(part, bool) and 0 <= part <= 255
