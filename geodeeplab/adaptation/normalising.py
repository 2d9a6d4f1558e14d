"""From a sample of the scenes' pixels to the numbers that a network sees: bands, indices, encoders' input."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from geodeeplab.errors import OptionError
from geodeeplab.models import AdaptedNetwork, Contract, EncoderNumbers, ModelBand
from geodeeplab.models.adapted.encoder import EncoderFeatures
from geodeeplab.models.backbones.efficientnet import INPUT_MEAN, INPUT_STD
from geodeeplab.raster import Band
from geodeeplab.raster.bands import common_name

RGB = ("red", "green", "blue")
INDICES = (
    ("nir", "red"), ("green", "nir"), ("swir", "nir"), ("nir", "swir2"), ("green", "swir"), ("rededge", "red"),
    ("red", "green"), ("red", "blue"), ("green", "blue"),
)  # fmt: skip
"""Normalised differences by the names of their bands: NDVI, NDWI, NDBI, NBR, MNDWI, red edge, and the colours'."""
SAME_BAND = {
    "nir08": "nir", "nir09": "nir", "rededge1": "rededge", "swir16": "swir", "swir22": "swir2",
}  # fmt: skip
"""Names that stand for another in `INDICES`."""
MOST_PAIRS = 10
LEAST_SPREAD = 1e-6
STRETCHED = 0.85
"""Other data than 8-bit ones fill so much of an encoder's range from the 1st to the 99th percentile."""


@dataclass(frozen=True, kw_only=True)
class BandFacts:
    """What a sample of the scenes says of their bands."""

    bands: tuple[ModelBand, ...]
    """Names, with the middle and half the width of the range as mean and deviation."""
    low: npt.NDArray[np.float64]
    """(C,) first percentile."""
    high: npt.NDArray[np.float64]
    """(C,) 99th percentile."""
    dtype: str
    """Data type of the pixels."""
    grey_std: float
    """Standard deviation of the brightness, in units of `values`."""
    gain: npt.NDArray[np.float64]
    """(C,) by which the network's input becomes values of 0 to about 1; see `ColourFeatures`."""
    shift: npt.NDArray[np.float64]
    """(C,) likewise."""

    @property
    def is_8_bit(self) -> bool:
        """Whether values lie between 0 and 255."""
        return self.dtype == "uint8"

    @property
    def value_range(self) -> tuple[float, float]:
        """The contract's range."""
        if self.is_8_bit:
            return 0.0, 255.0
        low, high = float(self.low.min()), float(self.high.max())
        return low, max(high, low + LEAST_SPREAD)


def measure_bands(bands: Sequence[Band], samples: npt.NDArray[np.float64], dtype: str) -> BandFacts:
    """Decide on normalisation from a sample (C, n) of valid pixels.

    8-bit pixels are taken as they are. Others are mapped from their 1st to 99th percentile, band by band; for shares
    and indices of bands, all by the largest 99th percentile, unless some are below zero (decibels, anomalies).
    """
    low, high = np.percentile(samples, [1, 99], axis=1)
    scale, offset = np.array([(band.scale, band.offset) for band in bands]).T
    if dtype == "uint8":
        mean, std = np.full(len(bands), INPUT_MEAN), np.full(len(bands), INPUT_STD)
        low, high = np.zeros(len(bands)), np.full(len(bands), 255.0)
        gain, shift = std / 255, mean / 255
    else:
        half = np.maximum((high - low) / 2, np.maximum(np.abs(high), 1) * LEAST_SPREAD)
        mean, std = (low + high) / 2, half
        physical_low, physical_high = low * scale + offset, high * scale + offset
        if physical_low.min() >= 0 and physical_high.max() > 0:
            gain, shift = scale * std / physical_high.max(), (scale * mean + offset) / physical_high.max()
        else:
            gain, shift = np.full(len(bands), 0.5), np.full(len(bands), 0.5)
    values = (samples - mean[:, None]) / std[:, None] * gain[:, None] + shift[:, None]
    return BandFacts(
        bands=tuple(
            ModelBand(name=band.name, mean=float(m), std=float(s), scale=band.scale, offset=band.offset)
            for band, m, s in zip(bands, mean, std, strict=True)
        ),
        low=low,
        high=high,
        dtype=dtype,
        grey_std=max(float(values.mean(axis=0).std()), 1e-3),
        gain=gain,
        shift=shift,
    )


def choose_pairs(names: Sequence[str]) -> tuple[tuple[int, int], ...]:
    """Choose pairs of bands for normalised differences: indices by name, then all pairs of few bands, or neighbours."""
    plain = [common_name(name) for name in names]
    plain = [SAME_BAND.get(name, name) for name in plain]
    named = [(plain.index(a), plain.index(b)) for a, b in INDICES if a in plain and b in plain]
    count = len(names)
    if not named or count <= 4:
        every = [(a, b) for a in range(count) for b in range(a + 1, count)]
        neighbours = [(a, a + 1) for a in range(count - 1)]
        seen = {frozenset(pair) for pair in named}
        named += [pair for pair in (every if count <= 4 else neighbours) if frozenset(pair) not in seen]
    return tuple(named[:MOST_PAIRS])


def choose_channels(names: Sequence[str], wanted: Sequence[str] = RGB) -> tuple[int, ...]:
    """Choose the bands that an encoder reads: by name, else the first ones; the last stands for those that lack."""
    plain = [common_name(name) for name in names]
    if set(wanted) <= set(plain):
        return tuple(plain.index(name) for name in wanted)
    return tuple(min(number, len(names) - 1) for number in range(len(wanted)))


def has_colours(names: Sequence[str]) -> bool:
    """Tell whether red, green and blue are among the bands; three 8-bit bands without names count as such."""
    plain = [common_name(name) for name in names]
    return set(RGB) <= set(plain) or (len(names) in (3, 4) and all(name.isdecimal() for name in names))


def set_inputs(network: AdaptedNetwork, facts: BandFacts, contracts: Sequence[Contract | None]) -> None:
    """Write into a network, in place, how each part of it maps the image's bands to what it reads.

    Args:
        network: untrained.
        facts: of the bands.
        contracts: of each encoder that is a whole network; None for a backbone with ImageNet's weights.

    Raises:
        OptionError: an encoder reads another number of bands than it is given.
    """
    network.colour.gain.copy_(torch.from_numpy(facts.gain))
    network.colour.shift.copy_(torch.from_numpy(facts.shift))
    network.colour.spread.fill_(facts.grey_std)
    for encoder, contract in zip(network.encoders, contracts, strict=True):
        assert isinstance(encoder, EncoderFeatures)
        gain, shift = _encoder_input(encoder.numbers, facts, contract)
        encoder.gain.copy_(torch.from_numpy(gain))
        encoder.shift.copy_(torch.from_numpy(shift))


def _encoder_input(
    numbers: EncoderNumbers, facts: BandFacts, contract: Contract | None
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Give gain and shift (S,) from the image's channels to an encoder's."""
    count = len(numbers.channels)
    if contract is None:
        return np.full(count, 1.0 if facts.is_8_bit else STRETCHED), np.zeros(count)
    if len(contract.bands) != count:
        raise OptionError(
            f"model '{contract.name}' reads {len(contract.bands)} bands, and {count} are chosen for it: leave it out "
            "with `model=None`"
        )
    mean, std = np.array([(band.mean, band.std) for band in contract.bands]).T
    chosen = list(numbers.channels)
    if facts.dtype == contract.dtype:
        own_mean, own_std = np.array([(band.mean, band.std) for band in facts.bands]).T
        return own_std[chosen] / std, (own_mean[chosen] - mean) / std
    low, high = contract.value_range
    return (high - low) / 2 * STRETCHED / std, ((high + low) / 2 - mean) / std
