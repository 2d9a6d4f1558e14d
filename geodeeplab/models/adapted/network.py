"""The adapted network: colour features and frozen encoders, and a small head over both."""

from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from geodeeplab.models.adapted.architecture import AdaptedArchitecture
from geodeeplab.models.adapted.colour import ColourFeatures
from geodeeplab.models.adapted.encoder import EncoderFeatures
from geodeeplab.models.heads.aspp import resize

CUT_OFF = 6.0
"""Standardised features are cut off here, so that no outlier decides alone."""
Compute = Callable[[Tensor], Tensor]
"""From normalised images (N, C, H, W) to features (N, F, h, w)."""


class AdaptedNetwork(nn.Module):
    """Features of cells of 2 × 2 pixels, a perceptron on each, and bilinear upsampling to the size of the image.

    Attributes:
        centre, scale: standardise each feature, (F,).
        architecture: the arguments that made it.
        recall: gives the features of images and `valid`, which it may have from before, by what computes them; None
            computes them always.
    """

    recall: Callable[[Tensor, Tensor | None, Compute], Tensor] | None = None

    def __init__(self, numbers: AdaptedArchitecture) -> None:
        """Build it untrained.

        Raises:
            ModelError: an encoder cannot be built.
        """
        super().__init__()
        self.numbers = numbers
        self.architecture: Mapping[str, Any] = numbers.to_mapping()
        self.colour = ColourFeatures(numbers.in_channels, numbers.pairs)
        self.encoders = nn.ModuleList(EncoderFeatures(one) for one in numbers.encoders)
        width = self.feature_count
        self.centre, self.scale = nn.Buffer(torch.zeros(width)), nn.Buffer(torch.ones(width))
        self.head = make_head(width, numbers.hidden, numbers.num_classes)

    @property
    def feature_count(self) -> int:
        """Number F of features."""
        return self.colour.channels + sum(one.channels for one in self.encoders if isinstance(one, EncoderFeatures))

    def forward(self, images: Tensor, valid: Tensor | None = None) -> Tensor:
        """Give logits (N, K, H, W), float32, of normalised images (N, C, H, W); `valid` changes nothing."""
        found = self.features(images, valid)
        with torch.autocast(images.device.type, enabled=False):
            logits = self.head(self.standardise(found, dim=1))
            return resize(logits, images.shape[-2:])  # (N, K, H, W)

    def features(self, images: Tensor, valid: Tensor | None = None) -> Tensor:
        """Give the features of cells (N, F, ⌈H/2⌉, ⌈W/2⌉), float32, of normalised images (N, C, H, W)."""
        return self._computed(images) if self.recall is None else self.recall(images, valid, self._computed)

    def _computed(self, images: Tensor) -> Tensor:
        return torch.cat([self.colour(images), *(encoder(images) for encoder in self.encoders)], dim=1)

    def standardise(self, features: Tensor, *, dim: int = -1) -> Tensor:
        """Standardise features along an axis."""
        shape = [1] * features.ndim
        shape[dim] = -1
        standard = (features - self.centre.view(shape)) * self.scale.view(shape)
        return standard.clamp(-CUT_OFF, CUT_OFF)


def make_head(features: int, hidden: tuple[int, ...], classes: int) -> nn.Sequential:
    """Make a perceptron of 1 × 1 convolutions with ReLU between them."""
    widths = (features, *hidden, classes)
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(widths):
        layers += [nn.Conv2d(inputs, outputs, 1), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers[:-1])


def round_weights(network: nn.Module) -> None:
    """Round all weights that a model file keeps as float16, in place, so that a saved network computes the same."""
    with torch.no_grad():
        for tensor in network.parameters():
            if tensor.ndim > 1:
                tensor.copy_(tensor.half().float())
