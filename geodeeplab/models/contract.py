"""The input contract: what a model was trained on, and so what a scene must give it."""

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from geodeeplab.errors import ModelError

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


@dataclass(frozen=True, kw_only=True)
class ModelBand:
    """One band that a model reads."""

    name: str
    """The band's common name, such as `red` or `nir`."""
    mean: float
    """Mean over the training pixels, in the units of `Contract.value_range`."""
    std: float
    """Standard deviation, likewise; above 0."""


@dataclass(frozen=True, kw_only=True)
class Contract:
    """All that a model file says beside its weights."""

    name: str
    """The model's name."""
    architecture: Mapping[str, Any]
    """The arguments of `build_model`."""
    classes: tuple[ModelClass, ...]
    """Classes in the order of the logits' channels."""
    bands: tuple[ModelBand, ...]
    """Bands in the order of the network's input channels."""
    dtype: str = "uint8"
    """Data type of the training scenes."""
    value_range: tuple[float, float] = (0.0, 255.0)
    """The values that the training scenes span; `--rescale` maps onto it."""
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
        if self.architecture.get("num_classes") != len(ids):
            raise ModelError(
                f"the network gives {self.architecture.get('num_classes')} classes, the contract {len(ids)}"
            )
        if self.architecture.get("in_channels") != len(self.bands):
            raise ModelError(
                f"the network reads {self.architecture.get('in_channels')} bands, the contract names {len(self.bands)}"
            )
        if not all(isinstance(value, int) for value in (*ids, self.tile_size, self.overlap)):
            raise ModelError(
                f"ids, tile size and overlap are whole numbers, not {ids}, {self.tile_size}, {self.overlap}"
            )
        if any(band.std <= 0 for band in self.bands):
            raise ModelError("the standard deviation of every band is above 0")

    @property
    def band_names(self) -> tuple[str, ...]:
        """Names of the bands in the order of the network's channels."""
        return tuple(band.name for band in self.bands)

    def to_json(self) -> str:
        """Write the contract as one JSON object."""
        return json.dumps(dataclasses.asdict(self), ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> "Contract":
        """Read a contract that `to_json` wrote.

        Raises:
            ModelError: if it is of another format version, or not a contract.
        """
        try:
            values = json.loads(text)
            version = values["format_version"]
            if version != FORMAT_VERSION:
                raise ModelError(
                    f"this GeoDeepLab reads model files of format {FORMAT_VERSION}, not {version}: "
                    "install the version that wrote the file, or save the model again"
                )
            values["classes"] = tuple(ModelClass(**{**c, "color": tuple(c["color"])}) for c in values["classes"])
            values["bands"] = tuple(ModelBand(**band) for band in values["bands"])
            values["value_range"] = tuple(values["value_range"])
            return cls(**values)
        except (KeyError, TypeError, json.JSONDecodeError) as error:
            raise ModelError(f"the model file's contract is not readable ({error}): save the model again") from error
