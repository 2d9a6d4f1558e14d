"""The input contract: what a model was trained on, and so what a scene must give it."""

import dataclasses
import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from geodeeplab.errors import ModelError
from geodeeplab.text import decode_text, is_plain

FORMAT_VERSION = 1
MAX_CLASS_ID = 255


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

    @property
    def is_scaled(self) -> bool:
        """True where the training scenes stated how their numbers become physical values."""
        return (self.scale, self.offset) != (1.0, 0.0)


@dataclass(frozen=True, kw_only=True)
class Contract:
    """All that a model file says beside its weights."""

    name: str
    """The model's name."""
    architecture: Mapping[str, Any] = field(default_factory=dict)
    """The arguments of `build_model`; empty for a network that something else built."""
    classes: tuple[ModelClass, ...]
    """Classes in the order of the logits' channels."""
    bands: tuple[ModelBand, ...]
    """Bands in the order of the network's input channels."""
    dtype: str = "uint8"
    """Data type of the training scenes."""
    value_range: tuple[float, float] = (0.0, 255.0)
    """The values that the training scenes span; `rescale` maps onto it."""
    gsd_m: float | None = None
    """Ground sample distance of the training scenes in metres; None where it is unknown."""
    tile_size: int = 512
    """Tile size that suits the model, in pixels."""
    overlap: int = 128
    """Overlap of neighbouring tiles that suits the model, in pixels."""
    licence: str = ""
    """Licence of the weights."""
    provenance: Mapping[str, Any] = field(default_factory=dict)
    """Training data, split, recipe."""
    metrics: Mapping[str, Any] = field(default_factory=dict)
    """Scores, each with the data it was measured on."""
    format_version: int = FORMAT_VERSION
    """Version of the file format."""

    def __post_init__(self) -> None:
        """Check that the parts agree.

        Raises:
            ModelError: if they do not.
        """
        ids = [item.id for item in self.classes]
        if len(set(ids)) != len(ids) or not all(1 <= value <= MAX_CLASS_ID for value in ids):
            raise ModelError(f"class ids are distinct and within 1 to {MAX_CLASS_ID}, not {ids}")
        if self.architecture:
            self._check_architecture()
        if not all(isinstance(value, int) for value in (*ids, self.tile_size, self.overlap)):
            raise ModelError(
                f"ids, tile size and overlap are whole numbers, not {ids}, {self.tile_size}, {self.overlap}"
            )
        if not ids or not self.bands:
            raise ModelError(f"a model has classes and bands, not {len(ids)} and {len(self.bands)}: name at least one")
        if not 0 <= self.overlap <= self.tile_size // 2 or self.tile_size < 1:
            raise ModelError(
                f"tiles have at least 1 pixel and share at most half of them, not {self.overlap} of {self.tile_size}"
            )
        self._check_values()

    @property
    def band_names(self) -> tuple[str, ...]:
        """Names of the bands in the order of the network's channels."""
        return tuple(band.name for band in self.bands)

    def to_json(self) -> str:
        """Write the contract as one JSON object.

        A band's scale and offset are left out where they are 1 and 0, so that earlier readers take the file, too.
        """
        values = dataclasses.asdict(self)
        for stated, band in zip(values["bands"], self.bands, strict=True):
            if not band.is_scaled:
                del stated["scale"], stated["offset"]
        return json.dumps(values, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> "Contract":
        """Read a contract that `to_json` wrote.

        Raises:
            ModelError: if it is of another format version, or not a contract.
        """
        try:
            return cls.from_mapping(json.loads(text))
        except json.JSONDecodeError as error:
            raise ModelError(f"the model file's contract is not readable ({error}): save the model again") from error

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> "Contract":
        """Make a contract of plain values; name, classes and bands are needed, the rest has defaults.

        Small tiles without a stated overlap share half of their pixels at most.

        Raises:
            ModelError: if the values are of another format version, or are not a contract.
        """
        try:
            plain = dict(values)
            version = plain.get("format_version", FORMAT_VERSION)
            if version != FORMAT_VERSION:
                raise ModelError(
                    f"this GeoDeepLab reads model files of format {FORMAT_VERSION}, not {version}: "
                    "install the version that wrote the file, or save the model again"
                )
            plain["classes"] = tuple(ModelClass(**{**c, "color": tuple(c["color"])}) for c in plain["classes"])
            plain["bands"] = tuple(ModelBand(**band) for band in plain["bands"])
            if "value_range" in plain:
                plain["value_range"] = tuple(plain["value_range"])
            if "overlap" not in plain and "tile_size" in plain:
                plain["overlap"] = min(cls.overlap, plain["tile_size"] // 2)
            return cls(**plain)
        except (KeyError, TypeError, ValueError) as error:
            if isinstance(error, ModelError):
                raise
            raise ModelError(
                f"the model file's contract is not readable ({_reason(error)}): save the model again, or write name, "
                "classes (id, name, color) and bands (name, mean, std)"
            ) from error

    def _check_architecture(self) -> None:
        """Check the numbers that the architecture and the contract both state."""
        if self.architecture.get("num_classes") != len(self.classes):
            raise ModelError(
                f"the network gives {self.architecture.get('num_classes')} classes, the contract {len(self.classes)}"
            )
        if self.architecture.get("in_channels") != len(self.bands):
            raise ModelError(
                f"the network reads {self.architecture.get('in_channels')} bands, the contract names {len(self.bands)}"
            )

    def _check_values(self) -> None:
        """Check the numbers that pixels are computed with, and the colours."""
        for band in self.bands:
            if not all(math.isfinite(value) for value in (band.mean, band.std, band.scale, band.offset)):
                raise ModelError(f"mean, std, scale and offset of band '{band.name}' are finite numbers: correct them")
            if band.std <= 0 or band.scale == 0:
                raise ModelError(
                    "the standard deviation of every band is above 0 and its scale is not 0, "
                    f"not {band.std:g} and {band.scale:g} as of band '{band.name}'"
                )
        low, high = self.value_range
        if not (math.isfinite(low) and math.isfinite(high) and low < high):
            raise ModelError(f"the value range is two finite numbers, the lower one first, not {low:g}, {high:g}")
        for item in self.classes:
            if len(item.color) != 3 or not all(isinstance(part, int) and 0 <= part <= 255 for part in item.color):
                raise ModelError(f"a colour is red, green, blue from 0 to 255, not {item.color} as of '{item.name}'")
        try:
            np.dtype(self.dtype)
        except TypeError as error:
            raise ModelError(f"dtype is a type of pixels such as uint8 or float32, not {self.dtype!r}") from error


def read_contract_file(path: str | os.PathLike[str]) -> Contract:
    """Read a contract from a JSON file, as a network that carries none needs it.

    Raises:
        ModelError: if the file is missing, or is not a contract.
    """
    try:
        return Contract.from_json(decode_text(Path(path).read_bytes()))
    except (OSError, UnicodeDecodeError) as error:
        raise ModelError(f"the contract '{path}' cannot be read ({error}): give the path of a JSON file") from error
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from error


def _reason(error: Exception) -> str:
    """Say what a constructor or a look-up complained of."""
    return f"{error} is missing" if isinstance(error, KeyError) else str(error)
