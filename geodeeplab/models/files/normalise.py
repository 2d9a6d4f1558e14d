"""From a scene's numbers to the network's: onto the contract's numbers, then mean and deviation per band."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from geodeeplab.errors import ContractError
from geodeeplab.models.contract import Contract


@dataclass(frozen=True, kw_only=True)
class ValueMap:
    """How a scene's numbers become the model's, band by band; made by `from_limits` or `from_pairs`."""

    pairs: tuple[tuple[float, float], ...]
    """Each band's (gain, offset): the model's number = the scene's × gain + offset."""
    clip: tuple[float, float] | None
    """Range that the result is cut to, or None for no cut."""
    limits: tuple[tuple[float, float], ...] | None
    """Each band's numbers in the scene that become the ends of the contract's range; None if they are the ends."""
    note: str | None = None
    """What was decided, in one line for the user, or None if there was nothing to decide."""

    @property
    def is_identity(self) -> bool:
        """True where the scene's numbers are the model's."""
        return self.clip is None and all(pair == (1.0, 0.0) for pair in self.pairs)

    @classmethod
    def from_limits(
        cls, contract: Contract, limits: Sequence[tuple[float, float]], *, note: str | None = None
    ) -> "ValueMap":
        """Map each band's (low, high) linearly onto the contract's range, and cut off what lies beyond."""
        low, high = contract.value_range
        gains = [(high - low) / (b - a) for a, b in limits]
        pairs = tuple((gain, low - a * gain) for (a, _), gain in zip(limits, gains, strict=True))
        return cls(pairs=pairs, clip=(low, high), limits=tuple(limits), note=note)

    @classmethod
    def from_pairs(
        cls, contract: Contract, pairs: Sequence[tuple[float, float]], *, note: str | None = None
    ) -> "ValueMap":
        """Map by each band's (gain, offset), and cut nothing off.

        Raises:
            ContractError: if a gain is not above 0, as of a band whose scale has another sign than the model's.
        """
        if not all(0 < gain < math.inf and math.isfinite(offset) for gain, offset in pairs):
            raise ContractError(
                f"the scene's numbers rise with the model's; by the scales stated they do not ({list(pairs)}): "
                "correct the scale of the bands"
            )
        plain = cls(pairs=tuple(pairs), clip=None, limits=None, note=note)
        if plain.is_identity:
            return plain
        low, high = contract.value_range
        limits = tuple(((low - offset) / gain, (high - offset) / gain) for gain, offset in pairs)
        return cls(pairs=plain.pairs, clip=None, limits=limits, note=note)


class RawPixels(nn.Module):
    """Map pixels of any dtype to the model's own numbers, float32; invalid pixels become NaN.

    It is what a network with its normalisation inside takes, such as an exported one.
    """

    def __init__(self, values: ValueMap | None = None) -> None:
        """Take the map from the scene's numbers; without it they are the model's."""
        super().__init__()
        self.scene_to_model = _Mapping(values)

    def forward(self, pixels: Tensor, valid: Tensor) -> Tensor:
        """Give numbers (N, C, H, W) float32 of pixels (N, C, H, W) of any dtype and `valid` (N, H, W)."""
        x = self.scene_to_model(pixels.float())
        return torch.where(valid.unsqueeze(1), x, torch.full((), torch.nan, device=x.device))


class Normalisation(nn.Module):
    """Map pixels of any dtype to the network's input; invalid pixels become 0, the mean of training.

    So does every pixel of the optional bands, where the map from the scene's numbers has none for them.
    """

    def __init__(
        self,
        contract: Contract,
        *,
        rescale: Sequence[tuple[float, float]] | None = None,
        values: ValueMap | None = None,
    ) -> None:
        """Take the contract and how the scene's numbers become the contract's.

        Args:
            contract: what the network was trained on.
            rescale: each band's (low, high) to map onto the contract's range, short for `ValueMap.from_limits`.
            values: the map, where it is another one.
        """
        super().__init__()
        values = values if rescale is None else ValueMap.from_limits(contract, rescale)
        self.scene_to_model = _Mapping(values)
        self.bands = len(contract.bands)
        there = self.bands if values is None else len(values.pairs)
        channels = contract.channels_of(there)
        assert channels is not None, f"a scene of {there} bands is none for the model"
        self.channels = list(channels)
        self.mean = _per_band([contract.bands[channel].mean for channel in channels])
        self.std = _per_band([contract.bands[channel].std for channel in channels])

    def forward(self, pixels: Tensor, valid: Tensor) -> Tensor:
        """Give images (N, C, H, W) float32 of pixels (N, B, H, W) of any dtype and `valid` (N, H, W)."""
        x: Tensor = self.scene_to_model(pixels.float()) - self.mean  # (N, B, H, W), and the rest in place
        x = x.div_(self.std).masked_fill_(~valid.unsqueeze(1), 0.0)
        if len(self.channels) == self.bands:
            return x
        images = x.new_zeros(len(x), self.bands, *x.shape[2:])
        images[:, self.channels] = x
        return images


class _Mapping(nn.Module):
    """A `ValueMap` on tensors (N, C, H, W) float32; nothing at all where it changes nothing."""

    def __init__(self, values: ValueMap | None) -> None:
        super().__init__()
        self.is_identity = values is None or values.is_identity
        self.clip = None if values is None else values.clip
        pairs = [] if values is None else values.pairs
        self.gain, self.offset = (_per_band([pair[i] for pair in pairs]) for i in (0, 1))

    def forward(self, x: Tensor) -> Tensor:
        if self.is_identity:
            return x
        x = x * self.gain + self.offset
        return x if self.clip is None else x.clamp(*self.clip)


def _per_band(values: Sequence[float]) -> nn.Buffer:
    return nn.Buffer(torch.tensor(values, dtype=torch.float32).view(1, -1, 1, 1))
