"""What a network's convolutions read on training chips, for the model file: so that it can run in int8."""

from collections.abc import Iterator

import torch
from torch import Tensor

from geodeeplab.models import Contract, Normalisation, SegmentationNetwork
from geodeeplab.models.int8.calibrate import measure_ranges
from geodeeplab.models.network import without_boundary
from geodeeplab.training.chip import ChipSet
from geodeeplab.training.loop.ground import iter_spread

CHIPS = 32
"""Chips that are run, spread evenly."""


def measure_chips(network: SegmentationNetwork, chips: ChipSet, contract: Contract) -> dict[str, tuple[float, float]]:
    """Measure the ranges on training chips; the network is left as it was. They are of the classes alone.

    Args:
        network: as it is saved.
        chips: as they are trained on.
        contract: of the model.
    """
    device, is_training = next(network.parameters()).device, network.training
    normalise = Normalisation(contract).to(device)

    def images() -> Iterator[Tensor]:
        for chip in iter_spread(chips, CHIPS):
            yield normalise(chip.pixels[None].to(device), chip.valid[None].to(device))

    try:
        with torch.inference_mode():
            network.eval()
            return measure_ranges(without_boundary(network), images())  # type: ignore[arg-type]
    finally:
        network.train(is_training)
