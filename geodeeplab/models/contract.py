"""The input contract: what a model was trained on, and so what a scene must give it."""

import dataclasses
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from geodeeplab.errors import ModelError
from geodeeplab.models.adapted.architecture import read_architecture
from geodeeplab.models.appearance import Appearance, check_appearance, read_appearance
from geodeeplab.models.architecture import MAX_BANDS, Architecture
from geodeeplab.models.checks import (
    check_mapping,
    check_name,
    check_number,
    check_text,
    is_finite,
    refuse_unknown,
    shown,
)
from geodeeplab.models.contract_parts import (
    ModelBand,
    ModelClass,
    check_band_types,
    check_band_values,
    check_class_types,
    check_color,
    listed,
    read_band,
    read_class,
)
from geodeeplab.models.int8.ranges import Ranges, read_ranges
from geodeeplab.text import parse_json, read_json

FORMAT_VERSION = 1
HEADER_KEY = "geodeeplab"
"""Where a model file, or an exported ONNX file, has its contract among its metadata."""
MAX_CLASS_ID = 255
MAX_TILE_SIZE = 8192
"""Pixels of a tile along each axis."""
MAX_GSD_M = 1_000_000
LEAST_TEMPERATURE, MAX_TEMPERATURE = 0.01, 100.0
OUTPUTS = ("logits", "probabilities")
PIXEL_DTYPES = tuple(f"{kind}{bits}" for kind in ("uint", "int") for bits in (8, 16, 32, 64))
PIXEL_DTYPES += ("float16", "float32", "float64")


@dataclass(frozen=True, kw_only=True)
class Contract:
    """All that a model file says beside its weights."""

    name: str
    """The model's name."""
    architecture: Mapping[str, Any] = field(default_factory=dict)
    """The arguments of `build_model`, or of a network that `adapt` made; empty for one that something else built."""
    classes: tuple[ModelClass, ...]
    """Classes in the order of the logits' channels. A network of one channel has one class, or two: see `positive`."""
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
    output: Literal["logits", "probabilities"] | None = None
    """What a network from elsewhere gives; None where that is for its file or its values to tell."""
    positive: str | None = None
    """Name of the class whose logit or probability a network of one channel gives; None: of the last class."""
    temperature: float = 1.0
    """What logits are divided by where they become confidence and probabilities, so that these are calibrated; 1 where
    nobody measured it."""
    appearance: Appearance | None = None
    """What the training ground looks like, so that one can tell how far a scene lies from it; None where nobody looked.
    """
    int8_ranges: Ranges = field(default_factory=dict)
    """What each convolution reads on training chips, so that the network can run in int8; empty where nobody measured.
    """
    instances: tuple[str, ...] = ()
    """Names of the classes whose objects the network was trained to separate. If there are some, it gives one logit
    more, after those of the classes: whether a pixel lies on the boundary of such an object."""
    licence: str = ""
    """Licence of the weights."""
    provenance: Mapping[str, Any] = field(default_factory=dict)
    """Training data, split, recipe."""
    metrics: Mapping[str, Any] = field(default_factory=dict)
    """Scores, each with the data it was measured on."""
    format_version: int = FORMAT_VERSION
    """Version of the file format."""

    def __post_init__(self) -> None:
        """Check types, ranges, and that the parts agree.

        Raises:
            ModelError: if something is wrong.
        """
        try:
            self._check_types()
        except TypeError as error:
            raise _unreadable(str(error)) from error
        ids = [item.id for item in self.classes]
        if len(set(ids)) != len(ids) or not all(1 <= value <= MAX_CLASS_ID for value in ids):
            raise ModelError(f"class ids are distinct and within 1 to {MAX_CLASS_ID}, not {shown(ids)}")
        if self.architecture:
            self._check_architecture()
        if not ids or not self.bands:
            raise ModelError(f"a model has classes and bands, not {len(ids)} and {len(self.bands)}: name at least one")
        if all(band.is_optional for band in self.bands):
            raise ModelError("a model needs at least one band that is not optional: say so of one")
        if not 0 <= self.overlap <= self.tile_size // 2 or not 1 <= self.tile_size <= MAX_TILE_SIZE:
            raise ModelError(
                f"tiles have at least 1 pixel, at most {MAX_TILE_SIZE}, and share at most half of them, not "
                f"{shown(self.overlap)} of {shown(self.tile_size)}: choose another tile size or overlap"
            )
        names = [item.name for item in self.classes]
        if len(set(names)) != len(names):
            raise ModelError(f"every class has a name of its own, not {shown(', '.join(names))}: rename the doubles")
        self._check_instances(names)
        if self.positive is not None and (self.positive not in names or len(names) > 2):
            raise ModelError(
                f"positive names one of the one or two classes of a network of one channel, not "
                f"{shown(self.positive)} of {shown(', '.join(names))}"
            )
        self._check_values()

    @property
    def band_names(self) -> tuple[str, ...]:
        """Names of the bands in the order of the network's channels."""
        return tuple(band.name for band in self.bands)

    @property
    def required_channels(self) -> tuple[int, ...]:
        """Channels (from 0) of the bands that are not optional."""
        return tuple(channel for channel, band in enumerate(self.bands) if not band.is_optional)

    def channels_of(self, count: int) -> tuple[int, ...] | None:
        """Give the channels (from 0) that a scene with `count` bands fills: all, or those that are not optional.

        None where a scene with so many bands is none for the model.
        """
        every = tuple(range(len(self.bands)))
        return next((one for one in (every, self.required_channels) if len(one) == count), None)

    def to_json(self) -> str:
        """Write the contract as one JSON object.

        What only later readers know is left out where it says nothing (a band's scale and offset, that it is optional,
        `output`, `positive`, a temperature of 1, `appearance`, `int8_ranges`, `instances`), so that earlier readers
        take the file, too.
        """
        values = dataclasses.asdict(self)
        for stated, band in zip(values["bands"], self.bands, strict=True):
            if not band.is_scaled:
                del stated["scale"], stated["offset"]
            if not band.is_optional:
                del stated["is_optional"]
        for key in ("output", "positive", "appearance", "int8_ranges", "instances"):
            if values[key] in (None, {}, ()):
                del values[key]
        if self.temperature == 1:
            del values["temperature"]
        return json.dumps(values, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> "Contract":
        """Read a contract that `to_json` wrote.

        Raises:
            ModelError: if it is of another format version, or not a contract.
        """
        try:
            values = parse_json(text)
        except ValueError as error:
            raise _unreadable(f"{error}") from error
        return cls.from_mapping(values)

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> "Contract":
        """Make a contract of plain values; name, classes and bands are needed, the rest has defaults.

        Small tiles without a stated overlap share half of their pixels at most.

        Raises:
            ModelError: if the values are of another format version, or are not a contract.
        """
        try:
            check_mapping(values, "a contract")
            plain = dict(values)
            version = plain.get("format_version", FORMAT_VERSION)
            if version != FORMAT_VERSION:
                raise ModelError(
                    f"this GeoDeepLab reads model files of format {FORMAT_VERSION}, not {shown(version)}: "
                    "install the version that wrote the file, or save the model again"
                )
            refuse_unknown(plain, "a contract", [item.name for item in dataclasses.fields(cls)])
            plain["classes"] = tuple(read_class(item) for item in listed(plain["classes"], "classes"))
            plain["bands"] = tuple(read_band(item) for item in listed(plain["bands"], "bands"))
            if "value_range" in plain:
                plain["value_range"] = tuple(listed(plain["value_range"], "value_range"))
            if "instances" in plain:
                plain["instances"] = tuple(listed(plain["instances"], "instances"))
            if plain.get("appearance") is not None:
                plain["appearance"] = read_appearance(plain["appearance"])
            if "int8_ranges" in plain:
                plain["int8_ranges"] = read_ranges(plain["int8_ranges"])
            if "overlap" not in plain and isinstance(plain.get("tile_size"), int):
                plain["overlap"] = min(cls.overlap, plain["tile_size"] // 2)
            return cls(**plain)
        except KeyError as error:
            raise _unreadable(f"{error} is missing") from error
        except TypeError as error:
            raise _unreadable(str(error)) from error

    def _check_types(self) -> None:
        """Check that everything is of its type.

        Raises:
            TypeError: if something is not.
            ModelError: for a name that files cannot hold.
        """
        check_name(self.name, "the model's name")
        for item in self.classes:
            check_class_types(item)
        if len(self.bands) > MAX_BANDS:
            raise TypeError(f"bands are up to {MAX_BANDS}, not {len(self.bands)}")
        for band in self.bands:
            check_band_types(band)
        for key in ("tile_size", "overlap"):
            value = getattr(self, key)
            if isinstance(value, bool) or not isinstance(value, int):
                raise TypeError(f"{key} is a whole number, not {shown(value)}")
        for key in ("architecture", "provenance", "metrics"):
            check_mapping(getattr(self, key), key)
        check_text(self.licence, "licence")
        if len(self.value_range) != 2:
            raise TypeError(f"value_range is two numbers, not {shown(self.value_range)}")
        for value in self.value_range:
            check_number(value, "each end of value_range")
        if self.gsd_m is not None:
            check_number(self.gsd_m, "gsd_m")
        check_number(self.temperature, "temperature")
        if self.appearance is not None:
            check_appearance(self.appearance, bands=len(self.bands))
        read_ranges(self.int8_ranges)
        for name in self.instances:
            check_text(name, "each of instances")
        if self.output not in (None, *OUTPUTS):
            raise TypeError(f"output is {' or '.join(OUTPUTS)}, not {shown(self.output)}")

    def _check_architecture(self) -> None:
        """Check the architecture, and the numbers that it and the contract both state."""
        architecture = read_architecture(self.architecture)
        if architecture.num_classes != len(self.classes):
            raise ModelError(f"the network gives {architecture.num_classes} classes, the contract {len(self.classes)}")
        if architecture.in_channels != len(self.bands):
            raise ModelError(
                f"the network reads {architecture.in_channels} bands, the contract names {len(self.bands)}"
            )
        has_boundary = isinstance(architecture, Architecture) and architecture.boundary
        if has_boundary != bool(self.instances):
            has, names = ("has", "no class") if has_boundary else ("lacks", "classes")
            raise ModelError(f"the network {has} the output of boundaries, and instances name {names}: save it again")
        if self.output == "probabilities" or self.positive is not None:
            raise ModelError(
                "output and positive are said of networks from elsewhere; the network of a model file gives a logit a "
                "class: leave them out"
            )

    def _check_instances(self, names: list[str]) -> None:
        """Check that instances are of classes that there are, and that the network is one that can find them."""
        if unknown := [name for name in self.instances if name not in names]:
            raise ModelError(
                f"instances are of the classes {shown(', '.join(names))}, not of {shown(unknown[0])}: name some of them"
            )
        if self.instances and not self.architecture:
            raise ModelError(
                "instances are said of networks of build_model, which give a boundary beside their classes: leave them "
                "out"
            )

    def _check_values(self) -> None:
        """Check the numbers that pixels are computed with, the colours, and that the rest can be written."""
        for band in self.bands:
            check_band_values(band)
        low, high = self.value_range
        if not (is_finite(low) and is_finite(high) and low < high):
            raise ModelError(
                f"the value range is two finite numbers, the lower one first, not {_brief(low)}, {_brief(high)}"
            )
        if self.gsd_m is not None and not 0 < self.gsd_m <= MAX_GSD_M:
            raise ModelError(f"gsd_m is metres above 0, up to {MAX_GSD_M}, not {shown(self.gsd_m)}: correct it")
        if not LEAST_TEMPERATURE <= self.temperature <= MAX_TEMPERATURE:
            raise ModelError(
                f"a temperature lies within {LEAST_TEMPERATURE:g} to {MAX_TEMPERATURE:g}, not "
                f"{shown(self.temperature)}: leave it out, which is 1"
            )
        for item in self.classes:
            check_color(item)
        if not isinstance(self.dtype, str) or self.dtype not in PIXEL_DTYPES:
            raise ModelError(f"dtype is a type of pixels such as uint8 or float32, not {shown(self.dtype)}")
        try:
            self.to_json().encode()
        except (TypeError, ValueError, RecursionError) as error:
            raise _unreadable(f"provenance or metrics is nothing that JSON can hold, {shown(error)}") from error


def with_tile_size(contract: Contract, tile_size: int) -> Contract:
    """Give the contract for tiles of another size; the overlap stays, up to half a tile."""
    return dataclasses.replace(contract, tile_size=tile_size, overlap=min(contract.overlap, tile_size // 2))


def contract_of_classes(contract: Contract) -> Contract:
    """Give the contract of the same network without the boundaries of objects; see `without_boundary`."""
    architecture = {key: value for key, value in contract.architecture.items() if key != "boundary"}
    return dataclasses.replace(contract, architecture=architecture, instances=())


def read_contract_file(path: str | os.PathLike[str]) -> Contract:
    """Read a contract from a JSON file, as a network that carries none needs it.

    Raises:
        ModelError: if the file is missing, or is not a contract.
    """
    values = read_json(path, dict, error=ModelError, step="give the path of a contract, a JSON file")
    try:
        return Contract.from_mapping(values)
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from error


def _brief(value: float) -> str:
    """Write a number briefly, one beyond floats, too."""
    return f"{value:g}" if isinstance(value, float) or abs(value) < 2**63 else shown(value)


def _unreadable(reason: str) -> ModelError:
    """Say that something is of another kind than a contract has."""
    return ModelError(
        f"the model file's contract is not readable ({reason}): save the model again, or write name, "
        "classes (id, name, color) and bands (name, mean, std)"
    )
