"""The numbers that an adapted network is built from, checked once, as a model file states them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from geodeeplab.errors import ModelError
from geodeeplab.models.architecture import MAX_BANDS, MAX_CHANNELS, MAX_CLASSES, Architecture
from geodeeplab.models.checks import check_mapping, check_name, check_sequence, check_whole, refuse_unknown, shown

ADAPTED = "adapted"
"""What `arch` says of such a network."""
MAX_ENCODERS = 4
MAX_PAIRS = 64
MAX_HIDDEN = 8
"""Hidden layers of the head."""


@dataclass(frozen=True, kw_only=True)
class EncoderNumbers:
    """A frozen network whose maps are features: a backbone alone, or a whole network with its classes."""

    backbone: str | None = None
    """A name of `geodeeplab.models.BACKBONES`; None where a network is given."""
    network: Architecture | None = None
    """A network of `build_model`, whose levels and coarse logits are features; None for a backbone alone."""
    channels: tuple[int, ...] = (0, 1, 2)
    """Which of the bands it reads, in its own order; one may stand for several."""
    components: int = 8
    """Principal components that are kept of each of its maps."""

    @classmethod
    def from_mapping(cls, values: object) -> "EncoderNumbers":
        """Make one of plain values.

        Raises:
            TypeError, ModelError: something is of another type, or out of its range.
        """
        check_mapping(values, "an encoder")
        assert isinstance(values, Mapping)
        refuse_unknown(values, "an encoder", [field.name for field in fields(cls)])
        plain = dict(values)
        if plain.get("network") is not None:
            check_mapping(plain["network"], "the network of an encoder")
            plain["network"] = Architecture.from_mapping(plain["network"])
        if (plain.get("backbone") is None) == (plain.get("network") is None):
            raise ModelError("an encoder is a backbone or a network, one of the two: save the model again")
        if plain.get("backbone") is not None:
            check_name(plain["backbone"], "the backbone of an encoder")
        check_sequence(plain.get("channels", cls.channels), "the channels of an encoder", MAX_BANDS)
        plain["channels"] = tuple(plain.get("channels", cls.channels))
        check_whole(plain.get("components", cls.components), "the components of an encoder", 1, MAX_CHANNELS)
        return cls(**plain)

    def to_mapping(self) -> dict[str, Any]:
        """Give plain values, as JSON has them."""
        kind = {"backbone": self.backbone} if self.network is None else {"network": self.network.to_mapping()}
        return {**kind, "channels": list(self.channels), "components": self.components}


@dataclass(frozen=True, kw_only=True)
class AdaptedArchitecture:
    """The arguments of an `AdaptedNetwork`."""

    num_classes: int
    """Classes, 2 to 255."""
    in_channels: int = 3
    """Bands of the images."""
    encoders: tuple[EncoderNumbers, ...] = ()
    """Frozen networks, none to four."""
    pairs: tuple[tuple[int, int], ...] = ()
    """Bands (a, b) whose normalised difference (a − b) / (a + b) is a feature."""
    hidden: tuple[int, ...] = (128, 64)
    """Widths of the head's hidden layers."""

    def __post_init__(self) -> None:
        """Check ranges, and that bands are among those that are read.

        Raises:
            ModelError: for a number of another type or out of its range.
        """
        try:
            check_whole(self.num_classes, "num_classes", 2, MAX_CLASSES)
            check_whole(self.in_channels, "in_channels", 1, MAX_BANDS)
            for width in self.hidden:
                check_whole(width, "each of hidden", 1, MAX_CHANNELS)
            chosen = [band for pair in self.pairs for band in pair]
            for band in chosen + [band for one in self.encoders for band in one.channels]:
                check_whole(band, "the number of a band", 0, self.in_channels - 1)
        except TypeError as error:
            raise ModelError(f"{error}: correct the architecture") from error
        counts = len(self.encoders), len(self.pairs), len(self.hidden)
        if any(count > most for count, most in zip(counts, (MAX_ENCODERS, MAX_PAIRS, MAX_HIDDEN), strict=True)):
            raise ModelError(
                f"an adapted network has up to {MAX_ENCODERS} encoders, {MAX_PAIRS} pairs of bands and {MAX_HIDDEN} "
                f"hidden layers, not {counts[0]}, {counts[1]} and {counts[2]}: correct the architecture"
            )
        for one in self.encoders:
            if one.network is not None and one.network.in_channels != len(one.channels):
                raise ModelError(
                    f"an encoder's network reads {one.network.in_channels} bands, and its channels are "
                    f"{len(one.channels)}: correct the architecture"
                )

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> "AdaptedArchitecture":
        """Make one of plain values, as a model file has them.

        Raises:
            ModelError: for a key that nobody knows, and see above.
        """
        try:
            refuse_unknown(values, "the architecture", ["arch", *(field.name for field in fields(cls))])
            plain = {key: value for key, value in values.items() if key != "arch"}
            if "num_classes" not in plain:
                raise ModelError("the architecture states num_classes, and here it is missing: save the model again")
            plain["encoders"] = tuple(map(EncoderNumbers.from_mapping, _listed(plain.get("encoders", []), "encoders")))
            plain["pairs"] = tuple(_pair(one) for one in _listed(plain.get("pairs", []), "pairs"))
            plain["hidden"] = tuple(_listed(plain.get("hidden", list(cls.hidden)), "hidden"))
        except TypeError as error:
            raise ModelError(f"{error}: save the model again") from error
        return cls(**plain)

    @property
    def sources(self) -> str:
        """Name what the features are of."""
        networks = [one.network for one in self.encoders]
        named = [
            str(one.backbone) if network is None else f"{network.arch} {network.backbone}"
            for one, network in zip(self.encoders, networks, strict=True)
        ]
        return ", ".join(["colour", *named])

    def to_mapping(self) -> dict[str, Any]:
        """Give plain values, as JSON has them. Law: `from_mapping` gives the same back."""
        return {
            "arch": ADAPTED,
            "in_channels": self.in_channels,
            "num_classes": self.num_classes,
            "encoders": [one.to_mapping() for one in self.encoders],
            "pairs": [list(pair) for pair in self.pairs],
            "hidden": list(self.hidden),
        }


def read_architecture(values: Mapping[str, Any]) -> Architecture | AdaptedArchitecture:
    """Read the architecture that a contract states, of whichever kind.

    Raises:
        ModelError: it is none.
    """
    if values.get("arch") == ADAPTED:
        return AdaptedArchitecture.from_mapping(values)
    return Architecture.from_mapping(values)


def _listed(value: object, what: str) -> list[Any]:
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise TypeError(f"{what} is a list, not {shown(value)}")
    return list(value)


def _pair(value: object) -> tuple[int, int]:
    pair = _listed(value, "a pair of bands")
    if len(pair) != 2:
        raise TypeError(f"a pair of bands has two numbers, not {shown(value)}")
    return pair[0], pair[1]
