"""The ranges of what convolutions read, as a model file keeps them: all that int8 needs beside the weights."""

from collections.abc import Mapping

from geodeeplab.errors import ModelError
from geodeeplab.models.checks import LONGEST_NAME, check_mapping, check_number, check_sequence, is_finite, shown

Ranges = Mapping[str, tuple[float, float]]
"""The least and the greatest number that a convolution reads, by the name of its module in the network."""
MOST = 4096
"""Convolutions of a network; those that can be built have fewer than a thousand."""
LEAST_SPAN = 1e-6
"""Between the two numbers, so that a step of 1 / 255 of it is a number in float32."""
LEVELS = 256
"""Of an 8-bit integer."""


def read_ranges(values: object) -> dict[str, tuple[float, float]]:
    """Read what a contract says of them.

    Raises:
        TypeError: if it is of another type.
        ModelError: for numbers that are no ranges around zero.
    """
    check_mapping(values, "int8_ranges")
    assert isinstance(values, Mapping)
    if len(values) > MOST:
        raise TypeError(f"int8_ranges name up to {MOST} convolutions, not {len(values)}")
    found: dict[str, tuple[float, float]] = {}
    for name, pair in values.items():
        check_sequence(pair, "each of int8_ranges", 2)
        if len(name) > LONGEST_NAME or len(pair) != 2:
            raise TypeError(f"int8_ranges has two numbers for each convolution, not {shown(pair)} for {shown(name)}")
        for number in pair:
            check_number(number, "each end of int8_ranges")
        low, high = pair
        if not (is_finite(low) and is_finite(high) and low <= 0 <= high and high - low >= LEAST_SPAN):
            raise ModelError(
                f"each of int8_ranges is a number up to 0 and one from 0 on, at least {LEAST_SPAN:g} apart, not "
                f"{shown(pair)}: save the model again"
            )
        found[name] = (float(low), float(high))
    return found


def settle_range(low: float, high: float) -> tuple[float, float]:
    """Give a range of `LEVELS` even steps, of which one is 0 exactly, nearest to a measured one around 0.

    Padding is 0, and most of what a ReLU gives.
    """
    step = max(high - low, LEAST_SPAN) / (LEVELS - 1)
    below = round(-low / step)
    return -below * step, (LEVELS - 1 - below) * step
