"""Random changes of light, atmosphere and sensor on chips of any number of bands.

All of them work on standardised pixels, (x − mean) / std by band, so that their strengths mean the same for 8-bit
images, reflectances and radar; then pixels are mapped back to the scenes' numbers.
"""

import dataclasses
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from geodeeplab.models import ModelBand
from geodeeplab.models.backbones.torchvision_models import loading_torchvision
from geodeeplab.training.chip import Chip
from geodeeplab.training.random_state import CPU, kept_random_state, seed_generators

with loading_torchvision():
    from torchvision.transforms import v2

if TYPE_CHECKING:
    from geodeeplab.training.data import TrainingData

DARK, BRIGHT = -1.5, 1.5
"""Standardised levels that shadow and haze pull towards."""
FLOOR, SPAN = -3.0, 6.0
"""Standardised range that gamma maps to 0 to 1."""


class Radiometry:
    """Change the pixels of a chip; what is not valid keeps its numbers, labels are never touched."""

    def __init__(
        self,
        bands: Sequence[ModelBand],
        *,
        strength: float,
        clip: tuple[float, float] | None,
        seed: int,
        recolour_share: float = 0.0,
        optional_share: float = 0.0,
    ) -> None:
        """Take the scenes' statistics.

        Args:
            bands: with mean and standard deviation.
            strength: 0 changes nothing, 1 much.
            clip: range of the sensor's numbers that results are cut to; None for no cut.
            seed: decides all changes, with epoch and index.
            recolour_share: share of chips whose bands are mixed at random.
            optional_share: share of chips that lack the bands that are optional.
        """
        self.mean = torch.tensor([band.mean for band in bands]).view(-1, 1, 1)
        self.std = torch.tensor([band.std for band in bands]).view(-1, 1, 1)
        self.clip, self.seed = clip, seed
        recolour = [v2.RandomApply([Recolour()], p=recolour_share)] if recolour_share > 0 else []
        light = (
            BandMixing(strength),
            v2.RandomApply([Gamma(strength)], p=0.5),
            v2.RandomApply([Haze(strength)], p=0.2),
            v2.RandomApply([Shadow(strength)], p=0.2),
            v2.RandomApply([v2.GaussianBlur(3, sigma=(0.3, 0.3 + strength))], p=0.15),
            v2.RandomApply([Noise(strength)], p=0.3),
        )
        optional = [channel for channel, band in enumerate(bands) if band.is_optional]
        lack = [v2.RandomApply([Lack(optional)], p=optional_share)] if optional and optional_share > 0 else []
        self.transforms = (*recolour, *(light if strength > 0 else ()), *lack)

    def __call__(self, chip: Chip, *, epoch: int, index: int) -> Chip:
        """Give the chip with changed pixels; the same ones for the same seed, epoch and index."""
        if not self.transforms:
            return chip
        seen = None if chip.valid.all() else chip.valid.unsqueeze(0)
        x = (chip.pixels - self.mean).div_(self.std)
        if seen is not None:
            x = torch.where(seen, x, 0.0)  # blur must not spread a nodata value
        with kept_random_state(CPU):  # the transforms draw from torch's global state
            seed_generators(chip_seed(self.seed, epoch=epoch, index=index), CPU)
            for transform in self.transforms:
                x = transform(x)
        pixels = torch.addcmul(self.mean, x, self.std)
        if self.clip is not None:
            pixels.clamp_(*self.clip)
        return dataclasses.replace(chip, pixels=pixels if seen is None else torch.where(seen, pixels, chip.pixels))


def radiometry_of(data: "TrainingData", *, seed: int) -> Radiometry | None:
    """Give the changes that training data asks for; None for none. Whole numbers stay in the sensor's range."""
    if data.augmentation is None:
        return None
    clip = data.value_range if data.dtype.startswith(("uint", "int")) else None
    changes = data.augmentation
    return Radiometry(
        data.bands,
        strength=changes.strength,
        clip=clip,
        seed=seed,
        recolour_share=changes.recolour_share,
        optional_share=changes.optional_share,
    )


def chip_seed(seed: int, *, epoch: int, index: int) -> int:
    """Give a seed for a chip; neighbouring numbers give streams that have nothing in common."""
    return int(np.random.SeedSequence([seed, epoch, index]).generate_state(1, np.uint64)[0])


class _Strong(v2.Transform):  # type: ignore[misc]  # torchvision has no types
    """A transform of standardised pixels (C, H, W) with a strength."""

    def __init__(self, strength: float) -> None:
        super().__init__()
        self.strength = strength

    def spread(self, width: float, *shape: int) -> Tensor:
        """Draw evenly from −width·strength to width·strength."""
        return (2 * torch.rand(shape) - 1) * (width * self.strength)


class BandMixing(_Strong):
    """Gain and offset, of all bands and of each, and saturation: one matrix of bands by bands, and one offset.

    Saturation is the distance of the bands from their mean, for any number of bands: for red, green and blue it is
    what is usually called so.
    """

    def make_params(self, flat_inputs: list[Tensor]) -> dict[str, Tensor]:
        """Draw the matrix (C, C) and the offset (C, 1)."""
        count = flat_inputs[0].shape[0]
        grey = torch.full((count, count), 1 / count)
        colour = 1 + self.spread(0.3)
        saturation = grey + colour * (torch.eye(count) - grey)
        gain = (1 + self.spread(0.25)) * (1 + self.spread(0.1, count, 1))
        return {"matrix": gain * saturation, "offset": self.spread(0.4) + self.spread(0.15, count, 1)}

    def transform(self, inpt: Tensor, params: dict[str, Tensor]) -> Tensor:
        """Mix the bands."""
        return torch.addmm(params["offset"], params["matrix"], inpt.flatten(1)).view_as(inpt)


class Recolour(v2.Transform):  # type: ignore[misc]  # torchvision has no types
    """Make each band a random mixture of all bands, drawn evenly from all weights of sum 1.

    One band of three may become another, or all of them nearly grey: what stays is the light and dark of things.
    """

    def make_params(self, flat_inputs: list[Tensor]) -> dict[str, Tensor]:
        """Draw the weights (C, C)."""
        count = flat_inputs[0].shape[0]
        drawn = -torch.rand(count, count).clamp_(min=1e-9).log_()  # exponential numbers, by their sum: Dirichlet(1)
        return {"weights": drawn / drawn.sum(dim=1, keepdim=True)}

    def transform(self, inpt: Tensor, params: dict[str, Tensor]) -> Tensor:
        """Mix the bands."""
        return torch.mm(params["weights"], inpt.flatten(1)).view_as(inpt)


class Gamma(_Strong):
    """Bend the scale of grey levels; what is below the range of gamma stays."""

    def make_params(self, flat_inputs: list[Tensor]) -> dict[str, float]:
        """Draw the exponent."""
        return {"gamma": math.exp(float(self.spread(0.35)))}

    def transform(self, inpt: Tensor, params: dict[str, float]) -> Tensor:
        """Bend."""
        share = ((inpt - FLOOR) / SPAN).clamp_(min=0)
        return share.pow_(params["gamma"]).mul_(SPAN).add_(FLOOR)


class Haze(_Strong):
    """Pull towards bright, more on one side of the chip than on the other."""

    def make_params(self, flat_inputs: list[Tensor]) -> dict[str, Tensor]:
        """Draw the density (H, W)."""
        most = 0.35 * self.strength * torch.rand(())
        return {"density": most * (0.5 + 0.5 * _half_plane(flat_inputs[0].shape[-2:], softness=(0.3, 1.0)))}

    def transform(self, inpt: Tensor, params: dict[str, Tensor]) -> Tensor:
        """Lay the haze over all bands."""
        return inpt.lerp(torch.tensor(BRIGHT), params["density"].clamp(max=1))


class Shadow(_Strong):
    """Pull one side of a soft line, or the ground between two of them, towards dark, as a cloud or a house does."""

    def make_params(self, flat_inputs: list[Tensor]) -> dict[str, Tensor]:
        """Draw the density (H, W)."""
        shape = flat_inputs[0].shape[-2:]
        cover = _half_plane(shape, softness=(0.01, 0.1))
        if torch.rand(()) < 0.5:
            cover = cover * _half_plane(shape, softness=(0.01, 0.1))
        return {"density": 0.9 * self.strength * torch.rand(()) * cover}

    def transform(self, inpt: Tensor, params: dict[str, Tensor]) -> Tensor:
        """Darken all bands."""
        return inpt.lerp(torch.tensor(DARK), params["density"].clamp(max=1))


class Lack(v2.Transform):  # type: ignore[misc]  # torchvision has no types
    """Put the mean of training in place of some bands, as a scene without them is read."""

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        self.channels = list(channels)

    def transform(self, inpt: Tensor, params: dict[str, object]) -> Tensor:
        """Give the chip without them."""
        lacking = inpt.clone()
        lacking[self.channels] = 0.0
        return lacking


class Noise(_Strong):
    """Add white noise of the sensor, up to a tenth of the standard deviation."""

    def make_params(self, flat_inputs: list[Tensor]) -> dict[str, float]:
        """Draw the deviation."""
        return {"sigma": 0.15 * self.strength * float(torch.rand(()))}

    def transform(self, inpt: Tensor, params: dict[str, float]) -> Tensor:
        """Add it."""
        noisy: Tensor = v2.functional.gaussian_noise(inpt, sigma=params["sigma"], clip=False)
        return noisy


def _half_plane(shape: Sequence[int], *, softness: tuple[float, float]) -> Tensor:
    """Give a map (H, W) from 0 to 1 across a random line, whose edge is as wide as a share of the chip, in limits."""
    height, width = shape
    angle, place, soft = torch.rand(3).tolist()
    angle *= 2 * math.pi
    y, x = torch.linspace(-1, 1, height).unsqueeze(1), torch.linspace(-1, 1, width)
    edge = softness[0] + soft * (softness[1] - softness[0])
    return torch.sigmoid((x * math.cos(angle) + y * math.sin(angle) - (1.6 * place - 0.8)) / edge)
