"""What training chips look like, for the model file: so that one can tell how far another scene lies from them."""

from collections.abc import Iterator

import torch

from geodeeplab.models import Contract, Normalisation
from geodeeplab.models.appearance import SIDE, Appearance, measure_window, summarise
from geodeeplab.training.chip import Chip, ChipSet

CHIPS = 96
"""Chips that are looked at, spread evenly; some seconds of work."""


def describe_ground(chips: ChipSet, contract: Contract) -> Appearance | None:
    """Describe the windows of some training chips; None where too few have data.

    Args:
        chips: as they are trained on, without changes of light; few of them are drawn in several epochs.
        contract: of the model.
    """
    normalise, windows, side = Normalisation(contract), [], SIDE
    for chip in iter_spread(chips, CHIPS):
        with torch.inference_mode():
            image = normalise(chip.pixels[None], chip.valid[None])[0].numpy()
        valid, size = chip.valid.numpy(), chip.valid.shape[0]
        side = min(SIDE, size)
        for row in range(0, size - side + 1, side):
            for col in range(0, size - side + 1, side):
                here = slice(row, row + side), slice(col, col + side)
                found = measure_window(image[:, *here], valid[here], required=contract.required_channels)
                if found is not None:
                    windows.append(found)
    return summarise(windows, side=side)


def iter_spread(chips: ChipSet, number: int) -> Iterator[Chip]:
    """Draw so many chips, spread evenly over a set; few are drawn in several epochs."""
    count = len(chips)
    for i in range(number):
        index, epoch = (i * count // number, 0) if count >= number else (i % count, i // count)
        yield chips.draw(index, epoch=epoch)
